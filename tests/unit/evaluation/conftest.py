"""The graph that the tests of splits and leaks share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medgraph.data.graph import KnowledgeGraph

sys.path.insert(0, str(Path(__file__).parent))  # the tests import small_graphs
from small_graphs import IS_A, PALLIATES, RESEMBLES, TREATED_BY, TREATS, build


@pytest.fixture
def clinic() -> KnowledgeGraph:
    """Everything that can leak, small enough to count by hand."""
    return build(
        {"Compound": 6, "Disease": 6},
        {
            TREATS: [[0, 0, 1, 2, 3, 4, 5, 0], [0, 1, 1, 2, 3, 4, 5, 0]],  # (0, 0) twice
            PALLIATES: [[0, 2, 4], [0, 2, 5]],
            TREATED_BY: [[0, 1, 3], [0, 1, 3]],
            RESEMBLES: [[0, 4], [1, 5]],
            IS_A: [[2, 3], [4, 4]],
        },
        symmetric=[RESEMBLES],
    )
