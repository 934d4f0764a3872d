"""What is particular to the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import StoreError
from medgraph.stores import open_store

ONE = pa.table({"id": ["A:1"], "name": ["a"]})
TWO = pa.table({"id": ["B:1"], "name": ["b"]})
EDGE = {"source": [0], "target": [0]}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (KnowledgeGraph({"Gene": ONE, "gene": TWO}), "node type 'gene' from node type 'Gene'"),
        (
            KnowledgeGraph({"Treats": ONE}, {EdgeType("Treats", "treats", "Treats"): pa.table(EDGE)}),
            "relation 'treats' from node type 'Treats'",
        ),
    ],
)
def test_names_that_ladybug_cannot_tell_apart(tmp_path: Path, graph: KnowledgeGraph, message: str) -> None:
    with open_store(tmp_path / "store") as store, pytest.raises(StoreError, match=message):
        store.write(graph)
    assert not list(tmp_path.iterdir())


def test_properties_that_ladybug_cannot_tell_apart_are_renamed_in_queries_only(tmp_path: Path) -> None:
    columns = {"Name": ["b"], "_id": ["c"], "": ["d"], "a`b": ["e"], "nul\0x": ["f"], "ID": ["g"]}
    edge = {**EDGE, "Source": ["h"], "_SRC": ["i"], "x": ["j"], "X": ["k"]}
    node = pa.table({"id": ["A:1"], "name": ["a"], **columns})
    graph = KnowledgeGraph({"A": node}, {EdgeType("A", "e", "A"): pa.table(edge)})
    with open_store(tmp_path) as store:
        store.write(graph)
        assert store.read().nodes["A"].equals(node)
        assert store.read().fingerprint == graph.fingerprint
        found = store.query("MATCH (n:A) RETURN n.name, n.`Name_`, n.`_id_`, n.unnamed, n.`a``b`, n.nulx, n.`ID_`")
        assert [*found.to_pylist()[0].values()] == ["a", "b", "c", "d", "e", "f", "g"]
        found = store.query("MATCH ()-[e:e]->() RETURN e.`Source_`, e.`_SRC_`, e.x, e.`X_`")
        assert [*found.to_pylist()[0].values()] == ["h", "i", "j", "k"]


def test_a_property_of_two_types_in_one_relation(tmp_path: Path) -> None:
    nodes = {"A": ONE, "B": TWO}

    def joined(first: pa.Array, second: pa.Array) -> KnowledgeGraph:
        return KnowledgeGraph(
            nodes,
            {
                EdgeType("A", "e", "A"): pa.table({**EDGE, "weight": first}),
                EdgeType("A", "e", "B"): pa.table({**EDGE, "weight": second}),
            },
        )

    with open_store(tmp_path) as store:
        with pytest.raises(StoreError, match=r"'weight' of 'e' is double in one edge type and string in A-e-B"):
            store.write(joined(pa.array([0.5]), pa.array(["high"])))
        for graph in (joined(pa.nulls(1), pa.array([0.5])), joined(pa.array([0.5]), pa.nulls(1))):
            store.write(graph)
            assert store.read().fingerprint == graph.fingerprint
            found = store.query("MATCH ()-[e:e]->() RETURN e.weight AS w ORDER BY w")
            assert sorted(found["w"].to_pylist(), key=str) == [0.5, None]


def test_an_engine_of_another_storage_version_leaves_the_graph_readable(tmp_path: Path) -> None:
    graph = KnowledgeGraph({"A": ONE})
    with open_store(tmp_path) as store:
        store.write(graph)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["engine"] |= {"version": "0.1.0", "storage_version": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with open_store(tmp_path) as store:
        with pytest.raises(StoreError, match=r"made by Ladybug 0.1.0.*store.write\(store.read\(\)\) renews it"):
            store.query("MATCH (n) RETURN n.id")
        store.write(store.read())
        assert store.query("MATCH (n) RETURN n.id AS id")["id"].to_pylist() == ["A:1"]


def test_a_damaged_database_leaves_the_graph_readable(tmp_path: Path) -> None:
    graph = KnowledgeGraph({"A": ONE})
    with open_store(tmp_path) as store:
        store.write(graph)
    (tmp_path / "graph-000001" / "graph.lbug").write_bytes(b"no database")
    with open_store(tmp_path) as store:
        with pytest.raises(StoreError, match="renews the database"):
            store.query("MATCH (n) RETURN n.id")
        store.write(store.read())
        assert store.query("MATCH (n) RETURN n.id AS id")["id"].to_pylist() == ["A:1"]


def test_a_damaged_index_leaves_the_graph_readable(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(KnowledgeGraph({"A": ONE}))
    (tmp_path / "graph-000001" / "names" / "words.arrow").write_bytes(b"no index")
    with open_store(tmp_path) as store:
        with pytest.raises(StoreError, match="renews it"):
            store.search("a")
        store.write(store.read())
        assert store.search("a")["id"].to_pylist() == ["A:1"]


def test_many_stores_open_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(KnowledgeGraph({"A": ONE}))
    stores = [open_store(tmp_path, read_only=True) for _ in range(20)]
    for store in stores:
        assert store.query("MATCH (n) RETURN n.id AS id")["id"].to_pylist() == ["A:1"]
    for store in stores:
        store.close()


def test_a_very_long_name(tmp_path: Path) -> None:
    text = "ä" * 1_000_000
    graph = KnowledgeGraph({"A": pa.table({"id": ["A:1"], "name": [text]})})
    with open_store(tmp_path) as store:
        store.write(graph)
        assert store.read().fingerprint == graph.fingerprint
        assert store.query("MATCH (n) RETURN n.name AS name")["name"].to_pylist() == [text]
