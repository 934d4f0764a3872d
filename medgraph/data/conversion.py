"""A graph as other libraries hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from medgraph.data.schema import EdgeType
from medgraph.errors import MissingExtraError

if TYPE_CHECKING:
    import networkx
    import pandas as pd
    from torch_geometric.data import HeteroData

    from medgraph.data.graph import KnowledgeGraph


def to_pyg(graph: KnowledgeGraph, indices: Mapping[EdgeType, Int64[np.ndarray, "2 edges"]]) -> HeteroData:
    """HeteroData whose `edge_index` tensors share memory with `indices`."""
    try:
        from torch_geometric.data import HeteroData
    except ImportError:
        raise MissingExtraError("torch-geometric", "pyg", "to_pyg()") from None
    import torch

    data = HeteroData()
    for node_type, table in graph.nodes.items():
        data[node_type].num_nodes = table.num_rows
    for edge_type, index in indices.items():
        data[tuple(edge_type)].edge_index = torch.from_numpy(index)
    return data


def to_networkx(graph: KnowledgeGraph) -> networkx.MultiDiGraph[str]:
    """MultiDiGraph on ids, all columns as attributes, symmetric edges in both directions."""
    import networkx

    result: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    for node_type, table in graph.nodes.items():
        result.add_nodes_from((row["id"], {**row, "node_type": node_type}) for row in table.to_pylist())
    for edge_type, table in graph.edges.items():
        sources = graph.nodes[edge_type.source].column("id").to_pylist()
        targets = graph.nodes[edge_type.target].column("id").to_pylist()
        for row in table.to_pylist():
            source, target = sources[row.pop("source")], targets[row.pop("target")]
            ways = [(source, target)]
            if edge_type in graph.symmetric and source != target:
                ways.append((target, source))
            result.add_edges_from((*ends, {**row, "relation": edge_type.relation}) for ends in ways)
    return result


def to_pandas(graph: KnowledgeGraph) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two frames: nodes, and edges with their ends as ids."""
    import pandas as pd

    nodes = [table.to_pandas().assign(node_type=node_type) for node_type, table in graph.nodes.items()]
    edges = []
    for edge_type, table in graph.edges.items():
        frame = table.to_pandas()
        for side, node_type in (("source", edge_type.source), ("target", edge_type.target)):
            frame[side] = graph.nodes[node_type].column("id").to_pandas().to_numpy(dtype=object)[frame[side]]
        ends = {"source_type": edge_type.source, "relation": edge_type.relation, "target_type": edge_type.target}
        edges.append(frame.assign(**ends))
    empty_nodes = pd.DataFrame(columns=["id", "name", "node_type"])
    empty_edges = pd.DataFrame(columns=["source", "target", "source_type", "relation", "target_type"])
    return (
        pd.concat(nodes, ignore_index=True) if nodes else empty_nodes,
        pd.concat(edges, ignore_index=True) if edges else empty_edges,
    )
