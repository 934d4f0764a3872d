"""Small graphs, written by hand or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType

TREATS = EdgeType("Compound", "treats", "Disease")
PALLIATES = EdgeType("Compound", "palliates", "Disease")
TREATED_BY = EdgeType("Disease", "treated_by", "Compound")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")
IS_A = EdgeType("Disease", "is_a", "Disease")


def build(
    sizes: Mapping[str, int],
    edges: Mapping[EdgeType, object],
    symmetric=(),
    columns: Mapping[EdgeType, dict] | None = None,
) -> KnowledgeGraph:
    """A graph with ids such as DISEASE:3 and the given (2, n) pairs."""
    tables = {}
    for edge_type, pairs in edges.items():
        source, target = np.asarray(pairs, dtype=np.int64).reshape(2, -1)
        tables[edge_type] = pa.table({"source": source, "target": target, **(columns or {}).get(edge_type, {})})
    nodes = {
        t: pa.table({"id": [f"{t.upper()}:{i}" for i in range(n)], "name": [f"{t} {i}" for i in range(n)]})
        for t, n in sizes.items()
    }
    return KnowledgeGraph(nodes, tables, frozenset(symmetric))


@st.composite
def pairs(draw: st.DrawFn, sources: int, targets: int, least: int = 20, most: int = 120) -> np.ndarray:
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    skew = draw(st.sampled_from([1.0, 3.0]))  # some nodes with many links, as in real graphs
    return np.stack([(rng.random(n) ** skew * sources).astype(int), (rng.random(n) ** skew * targets).astype(int)])
