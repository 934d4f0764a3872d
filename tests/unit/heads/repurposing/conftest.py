"""A graph whose answer is known: drugs treat the diseases whose genes they bind."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType

TREATS = EdgeType("Compound", "treats", "Disease")
BINDS = EdgeType("Compound", "binds", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")


@pytest.fixture(scope="session")
def planted() -> KnowledgeGraph:
    """Five groups of 12 compounds, 5 diseases and 12 genes; edges mostly inside a group, some anywhere."""
    rng = np.random.default_rng(11)
    sizes = {"Compound": 60, "Disease": 25, "Gene": 60}
    group = {t: np.arange(n) % 5 for t, n in sizes.items()}
    prefix = {"Compound": "DRUGBANK:DB", "Disease": "DOID:", "Gene": "NCBIGENE:"}
    nodes = {
        t: pa.table({"id": [f"{prefix[t]}{i + 1}" for i in range(n)], "name": [f"{t} {i + 1}" for i in range(n)]})
        for t, n in sizes.items()
    }

    def edges(edge_type: EdgeType, inside: float, outside: float) -> pa.Table:
        same = group[edge_type.source][:, None] == group[edge_type.target][None, :]
        source, target = np.nonzero(rng.random(same.shape) < np.where(same, inside, outside))
        return pa.table({"source": source, "target": target})

    return KnowledgeGraph(
        nodes,
        {TREATS: edges(TREATS, 0.5, 0.01), BINDS: edges(BINDS, 0.4, 0.02), ASSOCIATES: edges(ASSOCIATES, 0.4, 0.02)},
    )
