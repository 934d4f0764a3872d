"""Where the two stores differ: the table in docs/stores.md, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import StoreError
from medgraph.stores import GraphStore, open_store

BINDS, SET = EdgeType("Gene", "binds", "Gene"), EdgeType("Gene", "SET", "Order")
REFUSED = object()


class Pair(NamedTuple):
    ladybug: GraphStore
    neo4j: GraphStore


def sample() -> KnowledgeGraph:
    genes = {
        "id": ["G:1", "G:2", "G:3"],
        "name": ["BRCA1", None, "TNF"],
        "synonyms": pa.array([["a", None], [], None]),
        "Name": ["N", None, None],
        "_row": ["mine", None, None],
        "a\0b": ["x", None, None],
        "a\\b": [1, 2, 3],
    }
    nodes = {"Gene": pa.table(genes), "Order": pa.table({"id": ["O:1"], "name": ["o"]})}
    edges = {
        BINDS: pa.table({"source": [2, 0], "target": [1, 1], "weight": [0.5, None]}),
        SET: pa.table({"source": [1], "target": [0]}),
    }
    return KnowledgeGraph(nodes, edges)


@pytest.fixture(scope="module")
def pair(neo4j_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with open_store(tmp_path_factory.mktemp("pair") / "store") as one, open_store(neo4j_url) as other:
        other.execute("MATCH (n) DETACH DELETE n")  # type: ignore[attr-defined]
        for store in (one, other):
            store.write(sample())
        yield Pair(one, other)
        other.execute("MATCH (n) DETACH DELETE n")  # type: ignore[attr-defined]


def ask(store: GraphStore, cypher: str) -> Any:
    """The only column, or that it was refused."""
    try:
        return store.query(cypher).column(0).to_pylist()
    except StoreError:
        return REFUSED


def test_both_read_the_same_graph_edges_in_another_order(pair: Pair) -> None:
    assert pair.ladybug.read().fingerprint == pair.neo4j.read().fingerprint == sample().fingerprint
    assert pair.ladybug.read().edges[BINDS]["source"].to_pylist() == [2, 0]
    assert pair.neo4j.read().edges[BINDS]["source"].to_pylist() == [0, 2]


GENE = "MATCH (g:Gene {id: 'G:1'}) RETURN"
PATH = "(a:Gene {id: 'G:1'})-%s(b:Gene {id: 'G:3'})"


@pytest.mark.parametrize(
    ("cypher", "ladybug", "neo4j"),
    [
        ("MATCH (:Gene)-[r:binds]->() RETURN label(r)", ["binds"] * 2, REFUSED),
        ("MATCH (:Gene)-[r:binds]->() RETURN type(r)", REFUSED, ["binds"] * 2),
        (f"{GENE} labels(g)", ["Gene"], [["Gene"]]),
        (f"MATCH p = {PATH % '[* SHORTEST 1..4]-'} RETURN length(p)", [2], REFUSED),
        (f"MATCH p = SHORTEST 1 {PATH % '[]-+'} RETURN length(p)", REFUSED, [2]),
        ("MATCH (o:Order) RETURN o.id", REFUSED, ["O:1"]),
        ("MATCH (o:`Order`) RETURN o.id", ["O:1"], ["O:1"]),
        ("MATCH (g:gene {ID: 'G:1'}) RETURN g.ID", ["G:1"], REFUSED),
        ("MATCH (n:Genes) RETURN n.id", REFUSED, REFUSED),
        ("MATCH (g:Gene) RETURN g.nme", REFUSED, REFUSED),
        ("MATCH (g:Gene) RETURN g.synonyms ORDER BY g.id", [["a", None], [], None], [["a"], [], None]),
        (f"{GENE} g.Name_", ["N"], REFUSED),
        (f"{GENE} g.Name", ["BRCA1"], ["N"]),
        (f"{GENE} g._row", ["mine"], [0]),
        (f"{GENE} g.x_row", REFUSED, ["mine"]),
        (f"{GENE} g.ab", ["x"], REFUSED),
        (f"{GENE} g.a_b", REFUSED, ["x"]),
        (f"{GENE} g.a_b_", REFUSED, [1]),
        ("MATCH (n) WHERE n.id IS NOT NULL RETURN count(*)", [4], [4]),
        ("MATCH (n) RETURN count(*)", [4], [6]),
        ("MATCH (n:Gene|Order) RETURN count(*)", REFUSED, [4]),
        ("MATCH (n:Gene) WHERE EXISTS { (n)-[:binds]->() } RETURN count(*)", REFUSED, [2]),
        ("CALL { MATCH (g:Gene) RETURN g } RETURN count(*)", REFUSED, [3]),
        ("RETURN toString(1)", REFUSED, ["1"]),
        ("RETURN string(1)", ["1"], REFUSED),
        ("RETURN substring('abc', 1, 1)", ["a"], ["b"]),
        ("RETURN ['a', 'b'][1]", ["a"], ["b"]),
    ],
)
def test_dialects(pair: Pair, cypher: str, ladybug: object, neo4j: object) -> None:
    assert ask(pair.ladybug, cypher) == ladybug
    assert ask(pair.neo4j, cypher) == neo4j


def test_a_node_as_a_struct(pair: Pair) -> None:
    (one,), (other,) = (ask(store, "MATCH (o:`Order`) RETURN o") for store in pair)
    assert (one.pop("_LABEL"), set(one)) == ("Order", {"_ID", "id", "name"})
    assert other == {"_labels": ["Order"], "id": "O:1", "name": "o"}


@pytest.mark.parametrize(
    "graph",
    [
        KnowledgeGraph({name: pa.table({"id": [f"{name}:1"], "name": [name]}) for name in ("Gene", "gene")}),
        KnowledgeGraph(
            {"Gene": sample().nodes["Gene"], "Drug": pa.table({"id": ["D:1"], "name": ["d"]})},
            {
                BINDS: pa.table({"source": [0], "target": [1], "weight": [0.5]}),
                EdgeType("Drug", "binds", "Gene"): pa.table({"source": [0], "target": [1], "weight": ["much"]}),
            },
        ),
    ],
    ids=["names that differ in case", "a property of two types in one relation"],
)
def test_graphs_that_only_a_server_takes(neo4j_url: str, tmp_path: Path, graph: KnowledgeGraph) -> None:
    with open_store(tmp_path / "store") as store, pytest.raises(StoreError, match=r"Rename|rename"):
        store.write(graph)
    with open_store(neo4j_url) as server:
        server.write(graph)
        assert server.read().fingerprint == graph.fingerprint
        server.execute("MATCH (n) DETACH DELETE n")  # type: ignore[attr-defined]
