"""A graph in which what belongs together is known: compounds, diseases and genes of four communities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType

TREATS = EdgeType("Compound", "treats", "Disease")
BINDS = EdgeType("Compound", "binds", "Gene")
INTERACTS = EdgeType("Gene", "interacts", "Gene")


def communities(seed: int = 0, weighted: bool = False) -> tuple[KnowledgeGraph, np.ndarray]:
    """Edges mostly within a community; and which treats-edges are likely. `weighted` nodes have a number each."""
    rng = np.random.default_rng(seed)
    sizes = {"Compound": 60, "Disease": 40, "Gene": 80, "Loner": 3}
    groups = {name: rng.integers(0, 4, size) for name, size in sizes.items()}
    nodes = {}
    for name, size in sizes.items():
        table = {"id": [f"{name}:{i}" for i in range(size)], "name": [f"{name} {i}" for i in range(size)]}
        nodes[name] = pa.table(table | ({"weight": rng.normal(size=size)} if weighted else {}))
    edges = {}
    for edge_type in (TREATS, BINDS, INTERACTS):
        within = groups[edge_type.source][:, None] == groups[edge_type.target]
        pairs = np.argwhere(rng.random(within.shape) < np.where(within, 0.3, 0.01))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]] if edge_type == INTERACTS else pairs
        edges[edge_type] = pa.table({"source": pairs[:, 0], "target": pairs[:, 1]})
    graph = KnowledgeGraph(nodes, edges, frozenset({INTERACTS}))
    return graph, groups["Compound"][:, None] == groups["Disease"]
