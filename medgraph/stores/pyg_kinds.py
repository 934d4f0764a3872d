"""What PyTorch Geometric's loaders take, over a store read by rows: a FeatureStore, a GraphStore and a BaseSampler."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import MissingExtraError, SchemaError
from medgraph.stores.access import RandomAccess
from medgraph.stores.features import NodeFeatures
from medgraph.stores.sampling import FanOut, checked_fan_out, sample_neighbours

__all__ = ["PygKinds", "pyg_kinds"]


class PygKinds(NamedTuple):
    """Our classes under PyG's."""

    features: Any
    edges: Any
    sampler: Any


@cache
def pyg_kinds() -> PygKinds:
    """The classes, made on first use: without PyG the rest of this room works.

    Raises:
        MissingExtraError: torch-geometric is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of torch's deprecations, and of the samplers we replace
            from torch_geometric import data, sampler
            from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample
    except ImportError:
        raise MissingExtraError("torch-geometric", "pyg", "A remote backend") from None
    import torch
    from torch.utils.data import get_worker_info

    class StoreFeatures(data.FeatureStore):  # type: ignore[misc]
        """`x` of node types with features, `row` of the others; read only."""

        def __init__(self, features: NodeFeatures) -> None:
            super().__init__()
            self.__dict__["features"] = features

        def get_all_tensor_attrs(self) -> list[data.TensorAttr]:
            types = self.features.access.schema.node_types
            return [data.TensorAttr(name, "x" if name in self.features else "row", None) for name in types]

        def _get_tensor(self, attr: data.TensorAttr) -> Any:
            size = self._get_tensor_size(attr)
            if size is None:
                raise SchemaError(f"{attr.group_name!r} has no {attr.attr_name!r}.")
            index, every = attr.index, np.arange(size[0])
            if index is None:
                rows = every
            elif isinstance(index, slice | int):
                rows = np.atleast_1d(every[index])
            else:
                rows = np.asarray(index)
            return torch.from_numpy(rows if attr.attr_name == "row" else self.features.rows(attr.group_name, rows))

        def _get_tensor_size(self, attr: data.TensorAttr) -> tuple[int, ...] | None:
            for known in self.get_all_tensor_attrs():
                if (known.group_name, known.attr_name) == (attr.group_name, attr.attr_name):
                    count = self.features.access.counts[known.group_name]
                    return (count, self.features.size(known.group_name)) if known.attr_name == "x" else (count,)
            return None

        def _put_tensor(self, tensor: Any, attr: data.TensorAttr) -> bool:  # noqa: ARG002
            raise SchemaError("A store's features are read only: give others to remote_backend(store, features=...).")

        def _remove_tensor(self, attr: data.TensorAttr) -> bool:
            return self._put_tensor(None, attr)

    class StoreEdges(data.GraphStore):  # type: ignore[misc]
        """Every relation and its inverse, as CSC or COO, sorted by target and then by source; read only."""

        def __init__(self, access: RandomAccess) -> None:
            super().__init__()
            self.access = access

        def get_all_edge_attrs(self) -> list[data.EdgeAttr]:
            counts = self.access.counts
            return [
                data.EdgeAttr(tuple(one), "csc", True, (counts[one.source], counts[one.target]))
                for one in self.access.relations
            ]

        def _get_edge_index(self, edge_attr: data.EdgeAttr) -> Any:
            relation = EdgeType.of(edge_attr.edge_type)
            if relation not in self.access.relations or edge_attr.layout.value == "csr":
                return None
            edges = np.arange(self.access.num_edges(relation))
            own = self.access.sources(relation, edges)
            csc = edge_attr.layout.value == "csc"
            other = self.access.bounds(relation) if csc else self.access.targets(relation, edges)
            return torch.from_numpy(own), torch.from_numpy(np.array(other))

        def _put_edge_index(self, edge_index: Any, edge_attr: data.EdgeAttr) -> bool:  # noqa: ARG002
            raise SchemaError("A store's edges are changed by store.write(graph), not through PyG.")

        def _remove_edge_index(self, edge_attr: data.EdgeAttr) -> bool:
            return self._put_edge_index(None, edge_attr)

    class StoreSampler(sampler.BaseSampler):  # type: ignore[misc]
        """`sample_neighbours`, in PyG's terms."""

        def __init__(self, access: RandomAccess, fan_out: FanOut, replace: bool, seed: int) -> None:
            checked_fan_out(access, fan_out)
            self.access, self.fan_out, self.replace, self.seed, self.calls = access, fan_out, replace, seed, 0

        def sample_from_nodes(self, index: Any, **_: Any) -> Any:
            return node_sample(index, self._sample)

        def sample_from_edges(self, index: Any, neg_sampling: Any = None) -> Any:
            return edge_sample(index, self._sample, self.access.counts, False, None, neg_sampling)

        def _sample(self, seeds: Mapping[NodeType, torch.Tensor], time: Any = None) -> Any:
            if time is not None:
                raise SchemaError("Times are not sampled by here: leave them out.")
            worker = get_worker_info()
            entropy = [self.seed, self.calls, *([worker.seed] if worker else [])]
            self.calls += 1
            found = sample_neighbours(
                self.access, {name: rows.numpy() for name, rows in seeds.items()}, self.fan_out, self.replace, entropy
            )
            edges = {tuple(one): tuple(map(torch.from_numpy, part)) for one, part in found.edges.items()}
            return sampler.HeteroSamplerOutput(
                node={name: torch.from_numpy(rows) for name, rows in found.nodes.items()},
                row={one: part[0] for one, part in edges.items()},
                col={one: part[1] for one, part in edges.items()},
                edge={one: part[2] for one, part in edges.items()},
                num_sampled_nodes=dict(found.nodes_per_hop),
                num_sampled_edges={tuple(one): list(counts) for one, counts in found.edges_per_hop.items()},
            )

    return PygKinds(StoreFeatures, StoreEdges, StoreSampler)
