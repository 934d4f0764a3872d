"""Path counts equal a walk over every path, node by node."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.heads.repurposing.metapaths import Metapath, MetapathCounter, Step, metapaths_between

TREATS = EdgeType("Compound", "treats", "Disease")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")
REGULATES = EdgeType("Gene", "regulates", "Gene")
BINDS = EdgeType("Compound", "binds", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")


@pytest.fixture
def graph() -> KnowledgeGraph:
    rng = np.random.default_rng(3)
    sizes = {"Compound": 7, "Disease": 6, "Gene": 8}
    nodes = {t: pa.table({"id": [f"{t}:{i}" for i in range(n)], "name": [""] * n}) for t, n in sizes.items()}

    def edges(edge_type: EdgeType) -> pa.Table:
        mask = rng.random((sizes[edge_type.source], sizes[edge_type.target])) < 0.45
        if edge_type == RESEMBLES:
            mask = np.triu(mask, 1)
        if edge_type == REGULATES:
            np.fill_diagonal(mask, False)
        source, target = np.nonzero(mask)
        return pa.table({"source": source, "target": target})

    types = (TREATS, RESEMBLES, REGULATES, BINDS, ASSOCIATES)
    return KnowledgeGraph(nodes, {t: edges(t) for t in types}, frozenset({RESEMBLES}))


def brute_force(graph: KnowledgeGraph, metapath: Metapath, damping: float) -> np.ndarray:
    """Every path, one edge at a time, on NetworkX."""
    whole = graph.to_networkx()
    by_relation: dict[str, nx.DiGraph] = {}
    for source, target, relation in whole.edges(data="relation"):
        by_relation.setdefault(relation, nx.DiGraph()).add_edge(source, target)

    def walk(path: list[str], value: float, steps: tuple[Step, ...]) -> None:
        if not steps:
            totals[path[0], path[-1]] = totals.get((path[0], path[-1]), 0) + value
            return
        edges = by_relation[steps[0].edge_type.relation]
        here = path[-1]
        if here not in edges:
            return
        for there in edges.successors(here) if steps[0].forward else edges.predecessors(here):
            if there in path:
                continue
            start, end = (here, there) if steps[0].forward else (there, here)
            product = edges.out_degree(start) * edges.in_degree(end)
            walk([*path, there], value * product**-damping, steps[1:])

    totals: dict[tuple[str, str], float] = {}
    first, last = metapath.node_types[0], metapath.node_types[-1]
    sources = graph.nodes[first].column("id").to_pylist()
    for id_ in sources:
        walk([id_], 1.0, metapath.steps)
    targets = graph.nodes[last].column("id").to_pylist()
    return np.array([[totals.get((s, t), 0.0) for t in targets] for s in sources])


@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_counts_equal_brute_force_for_every_metapath(graph: KnowledgeGraph, damping: float) -> None:
    metapaths = metapaths_between(graph.schema, "Compound", "Disease", 3)
    ways = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 2]])  # Compound, Disease, Gene; regulates runs both ways
    assert len(metapaths) == sum(np.linalg.matrix_power(ways, length)[0, 1] for length in (1, 2, 3))
    counter = MetapathCounter(graph, damping)
    for metapath in metapaths:
        np.testing.assert_allclose(counter.count(metapath), brute_force(graph, metapath, damping), atol=1e-12)


def test_counts_within_one_type_leave_out_the_node_itself(graph: KnowledgeGraph) -> None:
    for metapath in metapaths_between(graph.schema, "Gene", "Gene", 2):
        np.testing.assert_allclose(
            MetapathCounter(graph, 0.4).count(metapath), brute_force(graph, metapath, 0.4), atol=1e-12
        )


def test_given_links_take_the_place_of_edges(graph: KnowledgeGraph) -> None:
    kept = graph.edge_index(TREATS)[:, ::2]
    removed = graph.edge_index(TREATS)[:, 1::2]
    for metapath in metapaths_between(graph.schema, "Compound", "Disease", 3):
        expected = MetapathCounter(graph.without({TREATS: removed})).count(metapath)
        np.testing.assert_allclose(MetapathCounter(graph, links={TREATS: kept}).count(metapath), expected, atol=1e-12)


def test_metapaths_are_readable_and_checked(graph: KnowledgeGraph) -> None:
    texts = {str(m) for m in metapaths_between(graph.schema, "Compound", "Disease", 2)}
    assert texts == {
        "Compound -treats-> Disease",
        "Compound -treats-> Disease -resembles-> Disease",
        "Compound -binds-> Gene <-associates- Disease",
    }
    with pytest.raises(SchemaError, match="do not meet"):
        Metapath((Step(TREATS, True), Step(BINDS, True)))
    with pytest.raises(SchemaError, match="up to three"):
        MetapathCounter(graph).count(metapaths_between(graph.schema, "Compound", "Disease", 4, 4)[0])


def test_the_own_edge_leaves_by_an_exact_factor(graph: KnowledgeGraph) -> None:
    counter = MetapathCounter(graph)
    links = graph.edge_index(TREATS)
    for metapath in metapaths_between(graph.schema, "Compound", "Disease", 3, min_length=2):
        counts = counter.count(metapath) * counter.without_own_edge(metapath, TREATS)
        for source, target in links.T.tolist():
            alone = graph.without({TREATS: np.array([[source], [target]])})
            expected = MetapathCounter(alone).count(metapath)[source, target]
            assert counts[source, target] == pytest.approx(expected, abs=1e-12), str(metapath)
