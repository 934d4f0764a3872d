"""Vectors on the nodes of a server's graph, against exact search over the same vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError, UnknownIdentifierError
from medgraph.stores.neo4j import Neo4jStore

SIZES = {"Compound": 120, "Disease": 40, "Gene": 200}


def sample(last: str = "g") -> KnowledgeGraph:
    nodes = {
        node_type: pa.table({"id": [f"{node_type[0]}:{i}" for i in range(size)], "name": [last] * size})
        for node_type, size in SIZES.items()
    }
    edge_type = EdgeType("Compound", "treats", "Disease")
    return KnowledgeGraph(nodes, {edge_type: pa.table({"source": [0, 1], "target": [1, 2]})})


def embedding(seed: int = 0, dimension: int = 16) -> Embedding:
    graph = sample()
    vectors = np.random.default_rng(seed).normal(size=(graph.num_nodes, dimension))
    return Embedding.of_graph(graph, vectors, metadata={"encoder": "SkipGram", "graph": {"fingerprint": "f" * 64}})


@pytest.fixture(scope="module")
def store(neo4j_url: str) -> Iterator[Neo4jStore]:
    with Neo4jStore(neo4j_url) as opened:
        opened.write(KnowledgeGraph({}))
        opened.write(sample())
        opened.write_embedding(embedding())
        yield opened
        opened.write(KnowledgeGraph({}))


def indexes(store: Neo4jStore) -> list[str]:
    found = store.execute("SHOW VECTOR INDEXES YIELD name RETURN name ORDER BY name")
    return found["name"].to_pylist() if found.num_rows else []


@pytest.mark.parametrize("node_type", [None, "Compound", "Disease", "Gene"])
@pytest.mark.parametrize("topn", [1, 10, 100, 1000])
def test_finds_what_an_exact_search_finds(store: Neo4jStore, node_type: str | None, topn: int) -> None:
    emb = embedding()
    for id_ in ("C:0", "D:7", "G:199"):
        found, exact = store.most_similar(id_, topn, node_type), emb.most_similar(id_, topn=topn, node_type=node_type)
        assert [one for one, _ in found] == [one for one, _ in exact]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in exact], atol=1e-6)


def test_cosines_that_can_be_done_by_hand(store: Neo4jStore) -> None:
    vectors = np.zeros((4, 3), np.float32)
    vectors[:3] = [[1, 0, 0], [3, 4, 0], [-2, 0, 0]]
    ids = ("C:0", "C:1", "D:0", "D:1")
    emb = Embedding(ids, ("Compound", "Compound", "Disease", "Disease"), ids, vectors)
    stored = store.write_embedding(emb, "by_hand")
    assert dict(store.most_similar("C:0", embedding="by_hand")) == pytest.approx({"C:1": 0.6, "D:0": -1}, abs=1e-6)
    assert store.most_similar("C:0", topn=0, embedding="by_hand") == []
    assert store.most_similar("C:1", node_type="Disease", embedding="by_hand")[0] == ("D:0", pytest.approx(-0.6))
    assert (stored.counts, stored.zeros, len(stored)) == ({"Compound": 2, "Disease": 1}, 1, 3)
    with pytest.raises(
        UnknownIdentifierError, match=r"'D:1' has no vector in 'by_hand' \(3 ids; 1 more had vectors of z"
    ):
        store.most_similar("D:1", embedding="by_hand")
    with pytest.raises(SchemaError, match=r"'Gene' has no vectors in 'by_hand'"):
        store.most_similar("C:0", node_type="Gene", embedding="by_hand")
    store.remove_embedding("by_hand")


def test_what_is_recorded(store: Neo4jStore) -> None:
    (stored,) = store.embeddings()
    assert (stored.name, stored.dimension, stored.counts, stored.zeros) == ("skipgram", 16, SIZES, 0)
    assert (stored.encoder, stored.graph) == ("SkipGram", "f" * 64)
    assert stored == store.write_embedding(embedding())


def test_the_graph_is_as_it_was(store: Neo4jStore) -> None:
    assert store.read().fingerprint == sample().fingerprint == store.fingerprint
    store.write(sample())  # changes nothing
    assert [stored.name for stored in store.embeddings()] == ["skipgram"]
    assert len(indexes(store)) == 3


def test_written_anew_only_if_it_differs(store: Neo4jStore) -> None:
    first, other = embedding(), embedding(seed=1, dimension=8)
    one = store.write_embedding(first, "two")
    assert store.write_embedding(first, "two") == one
    two = store.write_embedding(other, "two")
    assert two.fingerprint != one.fingerprint
    found, exact = store.most_similar("C:3", embedding="two"), other.most_similar("C:3")
    assert [one for one, _ in found] == [one for one, _ in exact]
    assert {stored.name: stored.dimension for stored in store.embeddings()} == {"skipgram": 16, "two": 8}
    store.remove_embedding("two")
    assert [stored.name for stored in store.embeddings()] == ["skipgram"]
    assert len(indexes(store)) == 3
    assert store.query("MATCH (n:Gene) WHERE '_vector_two' IN keys(n) RETURN n.id").num_rows == 0


def test_vectors_that_went_are_put_back(store: Neo4jStore) -> None:
    store.execute("MATCH (n:Gene) WHERE n.id STARTS WITH 'G:1' REMOVE n._vector_skipgram")
    store.write_embedding(embedding())
    exact = [one for one, _ in embedding().most_similar("C:0", topn=200, node_type="Gene")]
    assert [one for one, _ in store.most_similar("C:0", topn=200, node_type="Gene")] == exact
    store.execute("DROP INDEX `medgraph_vector.skipgram.Gene`")
    store.write_embedding(embedding())
    assert [one for one, _ in store.most_similar("C:0", topn=200, node_type="Gene")] == exact


def test_half_written_is_not_asked(store: Neo4jStore) -> None:
    store.execute("MATCH (m:_Medgraph {name: 'embedding:skipgram'}) SET m.whole = false")
    assert store.embeddings() == []
    with pytest.raises(StoreError, match="not written to its end; write it again"):
        store.most_similar("C:0")
    store.write_embedding(embedding())
    assert store.most_similar("C:0", topn=1)[0][0] == embedding().most_similar("C:0", topn=1)[0][0]


def test_wrong_questions(store: Neo4jStore) -> None:
    with pytest.raises(StoreError, match=r"no embedding 'skipgrm'; it has skipgram. Nearest: skipgram"):
        store.most_similar("C:0", embedding="skipgrm")
    with pytest.raises(StoreError, match="no embedding 'nothing'"):
        store.remove_embedding("nothing")
    with pytest.raises(
        UnknownIdentifierError, match=r"'C:1200' has no vector in 'skipgram' \(360 ids\). Nearest: C:120|C:1"
    ):
        store.most_similar("C:1200")
    with pytest.raises(SchemaError, match=r"'Diseas' has no vectors.*Nearest: Disease"):
        store.most_similar("C:0", node_type="Diseas")


def part(ids: list[str], types: list[str], vectors: np.ndarray) -> object:
    class Given:
        pass

    given = Given()
    given.ids, given.node_types, given.vectors = ids, types, vectors  # type: ignore[attr-defined]
    return given


@pytest.mark.parametrize(
    ("emb", "fault", "message"),
    [
        (part(["C:0", "C:999", "D:0", "C:x"], ["Compound", "Compound", "Gene", "Compound"], np.ones((4, 2))),
         UnknownIdentifierError, r"3 of 4 ids.*2 of 3 of type 'Compound', such as 'C:999'.*1 of 1 of type 'Gene'"),
        (part(["X:0"], ["Nobody"], np.ones((1, 2))), UnknownIdentifierError, "1 of 1 of type 'Nobody'"),
        (part(["C:0", "C:0"], ["Compound"] * 2, np.ones((2, 2))), SchemaError, "twice"),
        (part(["C:0"], ["Compound"], np.array([[1, np.nan]])), SchemaError, "C:0 is not finite"),
        (part(["C:0"], ["Compound"], np.array([[1, 1e30]])), SchemaError, "C:0 is not finite, or too long"),
        (part(["C:0"], ["Compound"], np.array([[1e-30, 1e-30]])), SchemaError, "too short"),
        (part(["C:0"], ["Compound"], np.ones((1, 4097))), SchemaError, "from 1 to 4,096"),
        (part(["C:0"], ["Compound"], np.ones((2, 3))), SchemaError, "belong together"),
        ({"C:0": [1, 2]}, SchemaError, "dict is no embedding"),
    ],
)  # fmt: skip
def test_what_cannot_be_written(store: Neo4jStore, emb: object, fault: type[Exception], message: str) -> None:
    with pytest.raises(fault, match=message):
        store.write_embedding(emb, "wrong")  # type: ignore[arg-type]
    assert [stored.name for stored in store.embeddings()] == ["skipgram"]
    assert store.query("MATCH (n) WHERE '_vector_wrong' IN keys(n) RETURN n.id").num_rows == 0


@pytest.mark.parametrize("name", ["", "a b", "`]->() DETACH DELETE", "x" * 64, "ü"])
def test_names_that_are_none(store: Neo4jStore, name: str) -> None:
    with pytest.raises(SchemaError, match="name of an embedding"):
        store.write_embedding(embedding(), name)


def test_a_reader_does_not_write(store: Neo4jStore, neo4j_url: str) -> None:
    with Neo4jStore(neo4j_url, read_only=True) as reader:
        assert reader.most_similar("C:0", topn=3) == store.most_similar("C:0", topn=3)
        with pytest.raises(StoreUnavailableError, match="read-only"):
            reader.write_embedding(embedding())
        with pytest.raises(StoreUnavailableError, match="read-only"):
            reader.remove_embedding("skipgram")


def test_another_graph_takes_them_away(store: Neo4jStore) -> None:
    store.write(sample("other"))
    assert store.embeddings() == []
    assert indexes(store) == []
    with pytest.raises(StoreError, match="it has none"):
        store.most_similar("C:0")
    assert store.query("MATCH (n) WHERE '_vector_skipgram' IN keys(n) RETURN n.id").num_rows == 0
    store.write(sample())
    store.write_embedding(embedding())
