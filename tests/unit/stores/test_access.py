"""Stores read by rows: the same edges and numbers as from memory, files that are made whole or again, flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreError
from medgraph.stores import folder_access, open_store
from medgraph.stores.access import MemoryAccess, RandomAccess, inverse, random_access
from medgraph.stores.base import GraphStore
from medgraph.stores.neo4j import access as server_access
from medgraph.stores.sampling import sample_neighbours

TREATS = EdgeType("Compound", "treats", "Disease")
INTERACTS = EdgeType("Gene", "interacts", "Gene")
REGULATES = EdgeType("Gene", "regulates", "Gene")
SHARED = EdgeType("Compound", "regulates", "Gene")  # one relation between two pairs of types
SIZES = {"Compound": 40, "Disease": 30, "Gene": 50, "Loner": 3}


def _graph(seed: int = 0) -> KnowledgeGraph:
    rng = np.random.default_rng(seed)
    nodes = {
        name: pa.table(
            {
                "id": [f"{name}:{i}" for i in range(size)],
                "name": [f"{name} {i}" for i in range(size)],
                "mass": pa.array(rng.normal(size=size).round(3), mask=rng.random(size) < 0.2),
                "year": pa.array(rng.integers(1900, 2020, size)),
                "approved": rng.random(size) < 0.5,
                "note": ["x"] * size,
            }
        )
        for name, size in SIZES.items()
    }
    edges = {}
    for edge_type in (TREATS, INTERACTS, REGULATES, SHARED):
        count = 200
        source, target = (rng.integers(0, SIZES[name], count) for name in (edge_type.source, edge_type.target))
        target[:5] = np.minimum(source[:5], SIZES[edge_type.target] - 1)  # loops, where they can be
        source[5:8], target[5:8] = source[8:11], target[8:11]  # edges that stand twice
        edges[edge_type] = pa.table({"source": source, "target": target})
    return KnowledgeGraph(nodes, edges, frozenset({INTERACTS}))


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    return _graph()


@pytest.fixture(scope="module")
def folder(graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "graph"
    with open_store(path) as store:
        store.write(graph)
    return path


@pytest.fixture(scope="module", params=["folder", pytest.param("server", marks=pytest.mark.neo4j)])
def store(request: pytest.FixtureRequest, graph: KnowledgeGraph) -> Iterator[GraphStore]:
    address = request.getfixturevalue({"folder": "folder", "server": "emptied_neo4j"}[request.param])
    with open_store(address) as opened:
        if request.param == "server":
            opened.write(graph)
        yield opened


def _assert_same(one: RandomAccess, other: RandomAccess) -> None:
    assert (one.relations, one.counts) == (other.relations, other.counts)
    for relation in one.relations:
        np.testing.assert_array_equal(one.bounds(relation), other.bounds(relation))
        edges = np.random.default_rng(0).permutation(np.repeat(np.arange(one.num_edges(relation)), 2))
        np.testing.assert_array_equal(one.sources(relation, edges), other.sources(relation, edges))
        np.testing.assert_array_equal(one.targets(relation, edges), other.targets(relation, edges))


def test_a_store_answers_as_memory_does(store: GraphStore, graph: KnowledgeGraph) -> None:
    with random_access(store) as access, random_access(graph) as memory:
        assert type(access) is not type(memory)
        _assert_same(access, memory)
        rows = np.array([3, 0, 3, 39, 7])
        columns = ["mass", "year", "approved"]
        found = access.columns("Compound", columns, rows)
        np.testing.assert_array_equal(found, memory.columns("Compound", columns, rows))
        table = graph.nodes["Compound"].take(rows).to_pydict()
        expected = [[float("nan") if v is None else float(v) for v in table[name]] for name in columns]
        np.testing.assert_array_equal(found.T, expected)
        assert np.isnan(access.columns("Compound", ["mass"], np.arange(40))).any()
        assert access.columns("Compound", columns, np.array([], dtype=int)).shape == (0, 3)


@pytest.mark.parametrize("fan_out", [(3, 2), (-1,), {REGULATES: (2, 2), inverse(TREATS): (1, 1)}])
def test_the_same_sample_from_every_store(store: GraphStore, graph: KnowledgeGraph, fan_out: object) -> None:
    seeds = {"Gene": np.array([4, 1, 9]), "Compound": np.array([0]), "Loner": np.array([2])}
    with random_access(store) as access:
        one = sample_neighbours(access, seeds, fan_out, seed=[5, 1])
    other = sample_neighbours(random_access(graph), seeds, fan_out, seed=[5, 1])
    for name in SIZES:
        np.testing.assert_array_equal(one.nodes[name], other.nodes[name])
    assert one.edges.keys() == other.edges.keys()
    for relation, edges in one.edges.items():
        np.testing.assert_array_equal(edges, other.edges[relation])


def test_what_is_not_there_is_refused(store: GraphStore) -> None:
    with random_access(store) as access:
        with pytest.raises(SchemaError, match="no relation"):
            access.bounds(EdgeType("Compound", "cures", "Disease"))
        with pytest.raises(SchemaError, match="has 200 edges; asked was 200"):
            access.sources(TREATS, np.array([200]))
        with pytest.raises(SchemaError, match="40 rows"):
            access.columns("Compound", ["mass"], np.array([40]))
        with pytest.raises(SchemaError, match="expected numbers"):
            access.columns("Compound", ["note"], np.array([0]))


def test_edges_are_sorted_in_pieces(folder: Path, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_access, "CHUNK", 7)
    with open_store(folder, read_only=True) as store, random_access(store) as access:
        _assert_same(access, MemoryAccess(graph))


@pytest.mark.neo4j
def test_edges_are_asked_for_in_pieces(
    emptied_neo4j: str, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_access, "NODES", 9)
    monkeypatch.setattr(server_access, "EDGES", 11)
    with open_store(emptied_neo4j) as store:
        store.write(graph)
        _assert_same(random_access(store), MemoryAccess(graph))


@pytest.mark.neo4j
def test_a_graph_that_changes_under_the_reader_is_noticed(emptied_neo4j: str, graph: KnowledgeGraph) -> None:
    with open_store(emptied_neo4j) as store:
        store.write(graph)
        access = random_access(store)
        edges = np.arange(access.num_edges(TREATS))
        store.write(_graph(1))
        with pytest.raises(StoreError, match="changed on the server"):
            access.sources(TREATS, edges)


def test_the_sorted_files_stay_and_a_damaged_one_is_made_again(tmp_path: Path, graph: KnowledgeGraph) -> None:
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
        with random_access(store) as access:
            access.bounds(TREATS)
            access.columns("Compound", ["mass"], np.array([0]))
        made = sorted((tmp_path / "graph").glob("graph-*/access/*.npy"))
        assert len(made) == 3
        assert not list((tmp_path / "graph").glob("graph-*/access/.*"))
        before = [path.stat().st_mtime_ns for path in made]
        with random_access(store) as access:
            _assert_same(access, MemoryAccess(graph))
        assert [path.stat().st_mtime_ns for path in made] == before
        for path in made:
            path.write_bytes(path.read_bytes()[:-3])
        with random_access(store) as access:
            _assert_same(access, MemoryAccess(graph))
            assert access.columns("Compound", ["mass"], np.arange(40)).shape == (40, 1)
        assert store.read().fingerprint == graph.fingerprint
        store.write(_graph(1))
        assert len(list((tmp_path / "graph").glob("graph-*"))) == 1  # they went with their snapshot


def test_a_reader_keeps_its_snapshot_while_the_store_is_rewritten(tmp_path: Path, graph: KnowledgeGraph) -> None:
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
        access = random_access(store)
        access.bounds(TREATS)
        store.write(_graph(1))
    _assert_same(access, MemoryAccess(graph))
    assert len(list((tmp_path / "graph").glob("graph-*"))) == 2
    access.close()
    access.close()
    with open_store(tmp_path / "graph") as store:
        store.write(_graph(1))
    assert len(list((tmp_path / "graph").glob("graph-*"))) == 1


def test_a_store_opened_read_only_is_not_written_to(tmp_path: Path, graph: KnowledgeGraph) -> None:
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
    before = sorted(tmp_path.rglob("*"))
    with open_store(tmp_path / "graph", read_only=True) as store, random_access(store) as access:
        _assert_same(access, MemoryAccess(graph))
    assert sorted(tmp_path.rglob("*")) == before


def test_edges_altered_on_disk_are_refused(tmp_path: Path, graph: KnowledgeGraph) -> None:
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
        (path,) = (tmp_path / "graph").glob("graph-*/edges/*treats*")
        path.write_bytes(path.read_bytes() + b"x")
        with random_access(store) as access, pytest.raises(StoreError, match="altered"):
            access.bounds(TREATS)
