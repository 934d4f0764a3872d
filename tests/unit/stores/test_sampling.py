"""Neighbour sampling against a plain-Python oracle: what may be drawn, how much of it, how evenly, and reproducibly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.stores.access import MemoryAccess, inverse, random_access
from medgraph.stores.sampling import Sample, sample_neighbours

TREATS = EdgeType("Compound", "treats", "Disease")
INTERACTS = EdgeType("Gene", "interacts", "Gene")
REGULATES = EdgeType("Gene", "regulates", "Gene")
TARGETS = EdgeType("Compound", "targets", "Gene")
SIZES = {"Compound": 9, "Disease": 5, "Gene": 7}


def _nodes(name: str, size: int) -> pa.Table:
    return pa.table({"id": [f"{name}:{i}" for i in range(size)], "name": pa.nulls(size, pa.string())})


def _graph(seed: int = 0, share: float = 0.3) -> KnowledgeGraph:
    """Four edge types, one symmetric, with loops and edges that stand twice."""
    rng = np.random.default_rng(seed)
    nodes = {name: _nodes(name, size) for name, size in SIZES.items()}
    edges = {}
    for edge_type in (TREATS, INTERACTS, REGULATES, TARGETS):
        pairs = np.argwhere(rng.random((SIZES[edge_type.source], SIZES[edge_type.target])) < share)
        pairs = np.concatenate([pairs, pairs[: len(pairs) // 4]])[rng.permutation(len(pairs) + len(pairs) // 4)]
        edges[edge_type] = pa.table({"source": pairs[:, 0], "target": pairs[:, 1]})
    return KnowledgeGraph(nodes, edges, frozenset({INTERACTS}))


def _sent(graph: KnowledgeGraph) -> dict[EdgeType, list[tuple[int, int]]]:
    """The oracle: every (target, source) of every relation, sorted."""
    found: dict[EdgeType, list[tuple[int, int]]] = {}
    for edge_type, table in graph.edges.items():
        pairs = list(zip(table["source"].to_pylist(), table["target"].to_pylist(), strict=True))
        forward = [(t, s) for s, t in pairs]
        if edge_type in graph.symmetric:
            forward += [(s, t) for s, t in pairs if s != t]
        else:
            found[inverse(edge_type)] = sorted(pairs)
        found[edge_type] = sorted(forward)
    return found


def _pairs(sample: Sample, relation: EdgeType) -> list[tuple[int, int]]:
    part = sample.edges[relation]
    target, source = sample.nodes[relation.target][part.target], sample.nodes[relation.source][part.source]
    return list(zip(target.tolist(), source.tolist(), strict=True))


def test_edges_are_numbered_by_target_then_source() -> None:
    graph = _graph()
    access = random_access(graph)
    oracle = _sent(graph)
    assert set(access.relations) == set(oracle)
    assert access.relations[:4] == graph.edge_types
    for relation, pairs in oracle.items():
        edges = np.arange(access.num_edges(relation))
        found = zip(access.targets(relation, edges).tolist(), access.sources(relation, edges).tolist(), strict=True)
        assert list(found) == pairs


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 50),
    st.lists(st.integers(-1, 4), min_size=1, max_size=3),
    st.booleans(),
    st.sets(st.integers(0, 4), max_size=3),
    st.sets(st.integers(0, 6), max_size=3),
    st.floats(0.05, 0.9),
)
def test_a_sample_is_part_of_the_graph_and_as_large_as_asked(
    seed: int, fan_out: list[int], replace: bool, diseases: set[int], genes: set[int], share: float
) -> None:
    graph = _graph(seed, share)
    seeds = {"Disease": np.array(sorted(diseases), dtype=int)[::-1], "Gene": np.array(sorted(genes), dtype=int)}
    sample = sample_neighbours(random_access(graph), seeds, fan_out, replace, seed)
    oracle = _sent(graph)
    reached = {name: set(rows.tolist()) for name, rows in {**dict.fromkeys(SIZES, np.empty(0)), **seeds}.items()}
    first = dict.fromkeys(SIZES, 0)
    stops = {name: np.cumsum(sample.nodes_per_hop[name]) for name in SIZES}
    for name, rows in sample.nodes.items():
        assert len(set(rows.tolist())) == rows.size == sum(sample.nodes_per_hop[name])
    for name, rows in seeds.items():
        assert sample.nodes[name][: rows.size].tolist() == rows.tolist()
    begun = dict.fromkeys(oracle, 0)
    for hop, count in enumerate(fan_out):
        for relation, pairs in oracle.items():
            part = slice(begun[relation], begun[relation] + sample.edges_per_hop[relation][hop])
            begun[relation] = part.stop
            edges, drawn = sample.edges[relation].edge[part].tolist(), _pairs(sample, relation)[part]
            assert drawn == [pairs[edge] for edge in edges]  # it exists, under this number
            if not replace or count < 0:
                assert len(set(edges)) == len(edges)
            frontier = sample.nodes[relation.target][first[relation.target] : stops[relation.target][hop]]
            degrees = Counter(target for target, _ in pairs)
            got = Counter(target for target, _ in drawn)
            for node in frontier.tolist():
                wanted = degrees[node] if count < 0 else count if replace else min(count, degrees[node])
                assert got.pop(node, 0) == (wanted if degrees[node] else 0)
            assert not got
            reached[relation.source] |= {source for _, source in drawn}
        first = {name: int(stops[name][hop]) for name in SIZES}
    assert {name: set(rows.tolist()) for name, rows in sample.nodes.items()} == reached


def test_all_neighbours_of_all_hops_are_what_a_breadth_first_search_finds() -> None:
    graph = _graph(3, 0.08)
    sample = sample_neighbours(random_access(graph), {"Disease": np.array([2])}, (-1,) * 3)
    layer, seen = {("Disease", 2)}, {("Disease", 2)}
    sizes = [1]
    for _ in range(3):
        layer = {
            (relation.source, source)
            for relation, pairs in _sent(graph).items()
            for target, source in pairs
            if (relation.target, target) in layer
        } - seen
        seen |= layer
        sizes.append(len(layer))
    assert {(name, row) for name, rows in sample.nodes.items() for row in rows.tolist()} == seen
    assert np.sum([sample.nodes_per_hop[name] for name in SIZES], axis=0).tolist() == sizes


@pytest.mark.parametrize("replace", [False, True])
def test_every_neighbour_is_as_likely_and_so_is_every_pair(replace: bool) -> None:
    star = KnowledgeGraph(
        {"A": _nodes("A", 6), "B": _nodes("B", 3000)},
        {
            EdgeType("A", "to", "B"): pa.table(
                {"source": np.tile(np.arange(6), 3000), "target": np.repeat(range(3000), 6)}
            )
        },
    )
    sample = sample_neighbours(random_access(star), {"B": np.arange(3000)}, {EdgeType("A", "to", "B"): [3]}, replace, 7)
    drawn = sample.nodes["A"][sample.edges[EdgeType("A", "to", "B")].source].reshape(3000, 3)
    assert chisquare(np.bincount(drawn.ravel())).pvalue > 0.001
    outcomes = Counter(tuple(row) for row in (drawn if replace else np.sort(drawn, axis=1)).tolist())
    assert len(outcomes) == (6**3 if replace else 20)
    assert chisquare(list(outcomes.values())).pvalue > 0.001


def test_the_same_seed_draws_the_same_and_another_draws_others() -> None:
    first, again, other = (
        sample_neighbours(MemoryAccess(_graph(0, 0.6)), {"Gene": np.arange(7)}, (2, 2), seed=seed) for seed in (1, 1, 2)
    )
    for relation in first.edges:
        np.testing.assert_array_equal(first.edges[relation].edge, again.edges[relation].edge)
    assert any(first.edges[r].edge.tolist() != other.edges[r].edge.tolist() for r in first.edges)


def test_a_large_fan_out_and_hubs_take_no_loop_over_nodes() -> None:
    rng = np.random.default_rng(0)
    size = 20_000
    pairs = np.stack([rng.integers(0, size, 400_000), np.minimum(rng.pareto(1, 400_000) * 30, size - 1).astype(int)])
    graph = KnowledgeGraph(
        {"A": _nodes("A", size)},
        {EdgeType("A", "to", "A"): pa.table({"source": pairs[0], "target": pairs[1]})},
    )
    access = random_access(graph)
    sample = sample_neighbours(access, {"A": np.arange(2000)}, (25, 10))
    for relation in access.relations:
        part = sample.edges[relation]
        degrees = np.diff(access.bounds(relation))[sample.nodes["A"]]
        got = np.bincount(part.target, minlength=degrees.size)
        np.testing.assert_array_equal(got[:2000], np.minimum(degrees[:2000], 25))
        assert np.unique(part.edge).size == part.edge.size


@pytest.mark.parametrize(
    ("seeds", "fan_out", "message"),
    [
        ({"Gene": [7]}, [1], "7 rows"),
        ({"Gene": [-1]}, [1], "7 rows"),
        ({"Gene": [1, 1]}, [1], "stands twice"),
        ({"Gen": [1]}, [1], "Nearest: Gene"),
        ({"Gene": [1]}, [], "expected for each hop"),
        ({"Gene": [1]}, [-2], "expected for each hop"),
        ({"Gene": [1]}, {TREATS: [1], TARGETS: [1, 2]}, "expected for each hop"),
        ({"Gene": [1]}, {EdgeType("Gene", "rev_interacts", "Gene"): [1]}, "no relation of this graph"),
    ],
)
def test_what_cannot_be_sampled_is_refused(seeds: dict, fan_out: object, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        sample_neighbours(random_access(_graph()), {k: np.array(v) for k, v in seeds.items()}, fan_out)


def test_an_edge_type_named_as_an_inverse_is_refused() -> None:
    table = pa.table({"source": pa.array([], pa.int64()), "target": pa.array([], pa.int64())})
    graph = KnowledgeGraph({"A": _nodes("A", 1)}, {("A", "to", "A"): table, ("A", "rev_to", "A"): table})
    with pytest.raises(SchemaError, match="called as the inverse"):
        random_access(graph)
