"""Predicted links written to a server, seen by those who ask for them and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreUnavailableError, UnknownIdentifierError
from medgraph.heads.repurposing.candidates import Candidate, Candidates
from medgraph.stores.neo4j import Neo4jStore

TREATS = EdgeType("Compound", "treats", "Disease")
LIKE = EdgeType("Disease", "like", "Disease")
ALL = (
    "MATCH (a)-[r:predicted_treats]->(b) RETURN a.id AS a, b.id AS b, r.predicted AS predicted, r.model AS model, "
    "r.score AS score, r.probability AS probability, r.date AS date ORDER BY a, b, model"
)


def sample(name: str = "x") -> KnowledgeGraph:
    nodes = {
        t: pa.table({"id": [f"{t[0]}:{i}" for i in range(5)], "name": [name] * 5}) for t in ("Compound", "Disease")
    }
    edges = {TREATS: pa.table({"source": [0, 1], "target": [1, 2]}), LIKE: pa.table({"source": [0], "target": [1]})}
    return KnowledgeGraph(nodes, edges, frozenset({LIKE}))


def ranked(asked: str, *ids: str, relation: EdgeType = TREATS) -> Candidates:
    rows = (Candidate(i, id_, id_, 5.0 - i, 0.5 / i, False, 0.1) for i, id_ in enumerate(ids, 1))
    return Candidates("?", asked, relation, tuple(rows))


@pytest.fixture(scope="module")
def opened(neo4j_url: str) -> Iterator[Neo4jStore]:
    with Neo4jStore(neo4j_url) as store:
        store.write(KnowledgeGraph({}))
        store.write(sample())
        yield store
        store.write(KnowledgeGraph({}))


@pytest.fixture
def store(opened: Neo4jStore) -> Neo4jStore:
    opened.remove_predictions()
    return opened


def pairs(store: Neo4jStore, relation: str = "treats") -> list[tuple[str, str]]:
    found = store.execute(f"MATCH (a)-[r:predicted_{relation}]->(b) RETURN a.id AS a, b.id AS b ORDER BY a, b")
    return [tuple(row.values()) for row in found.to_pylist()]


def test_ranked_answers_for_a_disease_and_for_a_drug(store: Neo4jStore) -> None:
    assert store.write_predictions(ranked("D:0", "C:3", "C:4"), model="m", date="2026-01-31") == 2
    same = {"b": "D:0", "predicted": True, "model": "m", "date": "2026-01-31"}
    assert store.query(ALL).to_pylist() == [
        {"a": "C:3", "score": 4.0, "probability": 0.5, **same},
        {"a": "C:4", "score": 3.0, "probability": 0.25, **same},
    ]
    assert store.write_predictions(ranked("C:0", "D:0", "D:3"), TREATS, model="m") == 2
    assert pairs(store) == [("C:0", "D:0"), ("C:0", "D:3"), ("C:3", "D:0"), ("C:4", "D:0")]
    lists = [ranked("D:1", "C:2"), ranked("C:4", "D:4")]
    assert store.write_predictions(lists, model="m") == 2
    assert {("C:2", "D:1"), ("C:4", "D:4")} < set(pairs(store))


def test_tables_and_rows(store: Neo4jStore) -> None:
    table = pa.table({"target": ["D:0"], "source": ["C:1"], "score": [2]})
    assert store.write_predictions(table, TREATS, model="table", date=date(2026, 2, 1)) == 1
    assert store.write_predictions([("C:2", "D:2", 0.5), ["C:3", "D:3", 0.25, 0.9]], TREATS, model="rows") == 2
    found = {row["a"]: row for row in store.query(ALL).to_pylist()}
    assert (found["C:1"]["score"], found["C:1"]["probability"], found["C:1"]["date"]) == (2.0, None, "2026-02-01")
    assert found["C:3"]["probability"] == 0.9
    assert found["C:2"]["date"] == datetime.now(UTC).date().isoformat()
    assert store.write_predictions([], TREATS, model="none") == 0


def test_once_for_a_model_and_a_pair(store: Neo4jStore) -> None:
    row = ("C:0", "D:0")
    for score in (1.0, 2.0):
        store.write_predictions([(*row, score)], TREATS, model="first")
    store.write_predictions([(*row, 7.0), (*row, 3.0)], TREATS, model="second")
    found = store.query(ALL).to_pylist()
    assert [(one["model"], one["score"]) for one in found] == [("first", 2.0), ("second", 3.0)]


def test_a_symmetric_pair_is_one(store: Neo4jStore) -> None:
    store.write_predictions(ranked("D:3", "D:1", "D:4", relation=LIKE), model="m")
    store.write_predictions([("D:1", "D:3", 1.0)], LIKE, model="m")
    assert pairs(store, "like") == [("D:1", "D:3"), ("D:3", "D:4")]


def test_nobody_else_sees_them(store: Neo4jStore) -> None:
    before = store.neighbours("C:0").num_rows
    assert store.write_predictions([("C:0", "D:4", 1.0)], TREATS, model="m") == 1
    assert store.read().fingerprint == sample().fingerprint
    assert store.neighbours("C:0").num_rows == before == 1
    assert store.query("MATCH (:Compound)-[r:treats]->(:Disease) RETURN count(r) AS n")["n"].to_pylist() == [2]
    assert "predicted_treats" not in {one.relation for one in store.schema.edge_types}
    store.write(sample())  # the same graph: nothing changes
    assert pairs(store) == [("C:0", "D:4")]


def test_removed_by_model_by_relation_or_all(store: Neo4jStore) -> None:
    def fill() -> None:
        store.write_predictions([("C:0", "D:0", 1.0), ("C:1", "D:1", 1.0)], TREATS, model="a")
        store.write_predictions([("C:0", "D:0", 1.0)], TREATS, model="b")
        store.write_predictions([("D:0", "D:1", 1.0)], LIKE, model="a")

    fill()
    assert store.remove_predictions(model="a") == 3
    assert (pairs(store), pairs(store, "like")) == ([("C:0", "D:0")], [])
    fill()
    assert store.remove_predictions(relation=LIKE) == 1
    assert store.remove_predictions(model="b", relation=TREATS) == 1
    assert store.remove_predictions(model="nobody") == 0
    assert store.remove_predictions() == 2
    assert store.remove_predictions() == 0
    assert store.read().fingerprint == sample().fingerprint


def test_a_large_number_goes_in_batches(store: Neo4jStore) -> None:
    nodes = {t: pa.table({"id": [f"{t[0]}:{i}" for i in range(160)], "name": ["x"] * 160}) for t in TREATS[::2]}
    store.write(KnowledgeGraph(nodes, {TREATS: pa.table({"source": [0], "target": [0]})}))
    rows = [(f"C:{a}", f"D:{b}", float(a * b)) for a in range(160) for b in range(160)]
    assert store.write_predictions(rows, TREATS, model="m") == 25_600
    found = store.query("MATCH (a)-[r:predicted_treats]->() RETURN count(r) AS n, sum(r.score) AS total").to_pylist()
    assert found == [{"n": 25_600, "total": float(sum(range(160))) ** 2}]
    store.write(sample("other"))
    assert store.remove_predictions() == 0  # they went with their graph
    store.write(sample())


@pytest.mark.parametrize(
    ("predictions", "relation", "fault", "message"),
    [
        (
            [("C:0", "D:99", 1.0), ("C:98", "D:1", 1.0)],
            TREATS,
            UnknownIdentifierError,
            "2 ids.*'D:99', which is no Disease",
        ),
        ([("C:44", "D:1", 1.0)], TREATS, UnknownIdentifierError, r"Nearest: C:4"),
        ([("D:1", "C:1", 1.0)], TREATS, UnknownIdentifierError, "'D:1', which is no Compound"),
        ([("C:0", "D:0", float("nan"))], TREATS, SchemaError, "score of C:0 and D:0 is nan"),
        ([("C:0", "D:0", None)], TREATS, SchemaError, "is None"),
        ([("C:0", "D:0", "high")], TREATS, SchemaError, "'high'"),
        ([("C:0", "D:0")], TREATS, SchemaError, "is no prediction"),
        (["C:0"], TREATS, SchemaError, "is no prediction"),
        ("C:0", TREATS, SchemaError, "str is no predictions"),
        (7, TREATS, SchemaError, "int is no predictions"),
        (pa.table({"source": ["C:0"], "score": [1.0]}), TREATS, SchemaError, "no column 'target'"),
        ([("C:0", "D:0", 1.0)], None, SchemaError, "of which relation"),
        ([("C:0", "D:0", 1.0)], ("Compound", "treats", "Diseas"), SchemaError, "Nearest: Disease"),
        ([("C:0", "D:0", 1.0)], ("Compound", "a`]->() DETACH DELETE", "Disease"), SchemaError, "is no relation"),
        (
            ranked("D:0", "C:1"),
            LIKE,
            SchemaError,
            "predictions of Compound-treats-Disease, not of Disease-like-Disease",
        ),
        ([ranked("D:0", "C:1"), ranked("D:0", "D:1", relation=LIKE)], None, SchemaError, "several edge types"),
    ],
)
def test_what_is_refused(
    store: Neo4jStore, predictions: object, relation: EdgeType | None, fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message):
        store.write_predictions(predictions, relation, model="m")  # type: ignore[arg-type]
    assert store.remove_predictions() == 0


def test_what_else_is_refused(store: Neo4jStore, neo4j_url: str) -> None:
    with pytest.raises(SchemaError, match="date is 'today'"):
        store.write_predictions([("C:0", "D:0", 1.0)], TREATS, model="m", date="today")
    with pytest.raises(SchemaError, match="model is ''"):
        store.write_predictions([("C:0", "D:0", 1.0)], TREATS, model="")
    with Neo4jStore(neo4j_url, read_only=True) as reader, pytest.raises(StoreUnavailableError, match="read-only"):
        reader.remove_predictions()
    own = KnowledgeGraph(sample().nodes, {EdgeType("Compound", "predicted_treats", "Disease"): sample().edges[TREATS]})
    store.write(own)
    with pytest.raises(SchemaError, match="itself has a relation 'predicted_treats'"):
        store.write_predictions([("C:0", "D:0", 1.0)], TREATS, model="m")
    assert store.remove_predictions() == 0
    assert store.read().fingerprint == own.fingerprint
    store.write(sample())
