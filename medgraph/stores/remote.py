"""A store as PyTorch Geometric's remote backend: batches of a graph that is never all in memory.

PyG asks a `FeatureStore` for the features of a batch's nodes and a `GraphStore` for edges; here both ask the store, by
rows. The sampler is ours (stores/sampling.py): it works where PyG's compiled ones are absent, and from any store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import SchemaError
from medgraph.stores.access import RandomAccess, random_access
from medgraph.stores.base import GraphStore
from medgraph.stores.features import Features, NodeFeatures
from medgraph.stores.pyg_kinds import pyg_kinds
from medgraph.stores.sampling import FanOut

if TYPE_CHECKING:
    from torch_geometric.data import FeatureStore
    from torch_geometric.data import GraphStore as EdgeStore
    from torch_geometric.loader import LinkLoader, NodeLoader
    from torch_geometric.sampler import BaseSampler

__all__ = ["link_loader", "neighbour_loader", "neighbour_sampler", "remote_backend"]

Source = KnowledgeGraph | GraphStore | RandomAccess


def remote_backend(source: Source, features: Features | None = None) -> tuple[FeatureStore, EdgeStore]:
    """PyG's `(feature_store, graph_store)` over a store, for its loaders and for whatever else takes the pair.

    Edge types are the store's, and their inverses under `rev_...`, so that messages run both ways. A symmetric edge
    type has both ways of every edge, as after PyG's `ToUndirected`; `KnowledgeGraph.to_pyg()` has them as stored. Edges
    are in CSC order: by target, then by source.

    Args:
        source: a store, or a graph in memory.
        features: node type -> what its nodes have as `x`, as `NodeFeatures` takes it: a matrix, a file that holds one,
            or names of columns. Nodes of other types have `row`, their row number, for a table of learned vectors.

    Raises:
        SchemaError: features that do not fit the graph.
        StoreUnavailableError: the store holds no graph.
        MissingExtraError: torch-geometric is not installed.
    """
    kinds = pyg_kinds()
    access = random_access(source)
    return kinds.features(NodeFeatures(access, features)), kinds.edges(access)


def neighbour_sampler(source: Source, fan_out: FanOut, replace: bool = False, seed: int = 0) -> BaseSampler:
    """PyG's `BaseSampler` by `sample_neighbours`: of node and of edge seeds, every call with draws of its own.

    The n-th call draws by `seed` and n (and by the worker's seed in a worker process of a loader).

    Raises:
        SchemaError: a fan-out that does not fit the graph.
        MissingExtraError: torch-geometric is not installed.
    """
    return pyg_kinds().sampler(random_access(source), fan_out, replace, seed)


def neighbour_loader(
    source: Source,
    node_type: NodeType,
    fan_out: FanOut,
    rows: Int64[np.ndarray, " n"] | None = None,
    batch_size: int = 512,
    features: Features | None = None,
    replace: bool = False,
    shuffle: bool = True,
    seed: int = 0,
    **more: Any,
) -> NodeLoader:
    """PyG's NodeLoader over a store: batches of nodes, each a HeteroData with the neighbours that send to them.

    Args:
        source: a store, or a graph in memory.
        node_type: of the seeds; they come first among a batch's nodes of that type.
        fan_out: edges per node and relation in each hop, -1 for all; or relation -> such a list.
        rows: the seeds; all nodes of the type if None.
        batch_size: seeds in a batch.
        features: as `remote_backend` takes them.
        replace: draw neighbours with replacement.
        shuffle: a new order in every epoch.
        seed: of orders and draws.
        more: what torch's DataLoader takes. Worker processes can share a folder, but not a server's connection.

    Raises:
        SchemaError: seeds, features or a fan-out that do not fit the graph.
        MissingExtraError: torch-geometric is not installed.
    """
    pyg_kinds()
    from torch_geometric.loader import NodeLoader

    access = random_access(source)
    access.schema.require_node_type(node_type)
    chosen = np.arange(access.counts[node_type]) if rows is None else np.asarray(rows, dtype=np.int64)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < access.counts[node_type]:
        raise SchemaError(f"{node_type} has {access.counts[node_type]:,} rows; rows= goes beyond.")
    return NodeLoader(
        remote_backend(access, features),
        neighbour_sampler(access, fan_out, replace, seed),
        (node_type, _tensor(chosen)),
        batch_size=batch_size,
        shuffle=shuffle,
        generator=_generator(seed),
        **more,
    )


def link_loader(
    source: Source,
    edge_type: EdgeType,
    fan_out: FanOut,
    pairs: Int64[np.ndarray, "2 n"] | None = None,
    batch_size: int = 512,
    features: Features | None = None,
    negative: float = 1.0,
    replace: bool = False,
    shuffle: bool = True,
    seed: int = 0,
    **more: Any,
) -> LinkLoader:
    """PyG's LinkLoader over a store: batches of edges to tell from random pairs, with what sends to their ends.

    As in PyG, a batch's own edges are among its messages where they are stored: leave them out with
    `graph.without(...)` before the graph is written, or use `VGAE.fit_sampled`, which holds them out.

    Args:
        source: a store, or a graph in memory.
        edge_type: of the edges.
        fan_out: edges per node and relation in each hop, -1 for all; or relation -> such a list.
        pairs: (2, n) rows; every edge of the type, read at once, if None.
        batch_size: edges in a batch.
        features: as `remote_backend` takes them.
        negative: random pairs for each edge, labelled 0; drawn by torch's global generator.
        replace: draw neighbours with replacement.
        shuffle: a new order in every epoch.
        seed: of orders and draws.
        more: what torch's DataLoader takes.

    Raises:
        SchemaError: pairs, features or a fan-out that do not fit the graph.
        MissingExtraError: torch-geometric is not installed.
    """
    pyg_kinds()
    from torch_geometric.loader import LinkLoader

    access = random_access(source)
    wanted = access.schema.require(edge_type)
    return LinkLoader(
        remote_backend(access, features),
        neighbour_sampler(access, fan_out, replace, seed),
        (tuple(wanted), None if pairs is None else _tensor(np.asarray(pairs, dtype=np.int64))),
        neg_sampling_ratio=negative,
        batch_size=batch_size,
        shuffle=shuffle,
        generator=_generator(seed),
        **more,
    )


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def _generator(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)
