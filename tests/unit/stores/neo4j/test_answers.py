"""Answers of a server as Arrow tables: what the driver hands out, and what a real server answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from medgraph.errors import StoreError
from medgraph.stores.neo4j import Neo4jStore
from medgraph.stores.neo4j.answers import to_table

pytest.importorskip("neo4j")


@pytest.fixture(scope="module")
def store(neo4j_url: str) -> Iterator[Neo4jStore]:
    with Neo4jStore(neo4j_url) as opened:
        opened.execute("MATCH (n) DETACH DELETE n")
        opened.execute(
            "CREATE (:A {id: 'a', n: 1, _row: 0, _text: 'a', _exact: '{}', _vector_x: [0.5], _mine: 7})"
            "-[:r {w: 0.5, _exact: '{}'}]->(:A:B {id: 'b', name: 'b'})"
        )
        yield opened
        opened.execute("MATCH (n) DETACH DELETE n")


def test_nodes_and_edges_without_what_is_kept_on_them(store: Neo4jStore) -> None:
    found = store.execute("MATCH (a:A {id: 'a'})-[r]->(b) RETURN a, r, b, [a] AS many, {one: r} AS map")
    a = {"_labels": ["A"], "id": "a", "n": 1, "_mine": 7}
    assert found.to_pylist() == [
        {
            "a": a,
            "r": {"_relation": "r", "w": 0.5},
            "b": {"_labels": ["A", "B"], "id": "b", "name": "b"},
            "many": [a],
            "map": {"one": {"_relation": "r", "w": 0.5}},
        }
    ]


def test_what_is_kept_comes_when_it_is_asked_for(store: Neo4jStore) -> None:
    found = store.execute("MATCH (a:A {id: 'a'}) RETURN a._row AS row, a._text AS text")
    assert found.to_pylist() == [{"row": 0, "text": "a"}]


def test_paths(store: Neo4jStore) -> None:
    (row,) = store.execute("MATCH p = (:A {id: 'a'})-[]->() RETURN p").to_pylist()
    assert [node["id"] for node in row["p"]["nodes"]] == ["a", "b"]
    assert row["p"]["edges"] == [{"_relation": "r", "w": 0.5}]
    assert "_row" not in row["p"]["nodes"][0]


def test_nodes_of_several_types_share_a_struct(store: Neo4jStore) -> None:
    found = store.execute("MATCH (n:A) RETURN n ORDER BY n.id")
    assert [row["n"].get("name") for row in found.to_pylist()] == [None, "b"]


UTC2 = dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("date('2024-02-03')", pa.date32(), dt.date(2024, 2, 3)),
        ("localtime('10:11:12.5')", pa.time64("us"), dt.time(10, 11, 12, 500_000)),
        ("time('10:11:12+02:00')", pa.string(), "10:11:12.000000000+02:00"),
        ("localdatetime('2024-02-03T10:11:12')", pa.timestamp("us"), dt.datetime(2024, 2, 3, 10, 11, 12)),
        (
            "datetime('2024-02-03T10:11:12.123456789+02:00')",
            pa.timestamp("us", "+02:00"),
            dt.datetime(2024, 2, 3, 10, 11, 12, 123_456, UTC2),
        ),
        (
            "duration('P1M2DT3.5S')",
            pa.month_day_nano_interval(),
            pa.MonthDayNano((1, 2, 3_500_000_000)),
        ),
        (
            "point({x: 1, y: 2})",
            pa.struct([("srid", pa.int64()), ("x", pa.float64()), ("y", pa.float64())]),
            {"srid": 7203, "x": 1.0, "y": 2.0},
        ),
        (
            "point({longitude: 1, latitude: 2, height: 3})",
            pa.struct([("srid", pa.int64()), *((axis, pa.float64()) for axis in "xyz")]),
            {"srid": 4979, "x": 1.0, "y": 2.0, "z": 3.0},
        ),
        ("$given", pa.binary(), b"a\0b"),
        ("null", pa.null(), None),
        ("[]", pa.list_(pa.null()), []),
        ("[[1], [], [2, 3]]", pa.list_(pa.list_(pa.int64())), [[1], [], [2, 3]]),
        ("[1, 2.5]", pa.list_(pa.float64()), [1.0, 2.5]),
        ("{a: 1, b: {c: ['x']}}", None, {"a": 1, "b": {"c": ["x"]}}),
        ("[date('2024-02-03'), null]", pa.list_(pa.date32()), [dt.date(2024, 2, 3), None]),
    ],
)
def test_values(store: Neo4jStore, expression: str, kind: pa.DataType | None, value: Any) -> None:
    found = store.execute(f"RETURN {expression} AS x", given=b"a\0b").column("x")
    assert found.to_pylist() == [value]
    assert kind is None or found.type == kind


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ("[1, 2.5, null]", pa.float64(), [1.0, 2.5, None]),
        ("[{a: 1}, {b: 'x'}]", None, [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        (
            "[datetime('2024-02-03T10:00+02:00'), datetime('2024-02-03T10:00-05:00')]",
            pa.timestamp("us", "+02:00"),
            [dt.datetime(2024, 2, 3, 10, tzinfo=UTC2), dt.datetime(2024, 2, 3, 17, tzinfo=UTC2)],
        ),
    ],
)
def test_values_that_have_a_common_type(
    store: Neo4jStore, values: str, kind: pa.DataType | None, expected: list[Any]
) -> None:
    found = store.execute(f"UNWIND {values} AS x RETURN x").column("x")
    assert found.to_pylist() == expected
    assert kind is None or found.type == kind


@pytest.mark.parametrize(
    "values",
    [
        "[1, 'a']",
        "[true, 1]",
        "[[1], 'a']",
        "[9007199254740993, 0.5]",
        "[date(), datetime()]",
        "[[date(), localdatetime()]]",
        "[localdatetime(), datetime()]",
        "[time(), localtime()]",
        "[{a: 1}, {a: 'x'}]",
        "[duration('P1M'), 1]",
        "[duration({seconds: 9223372037})]",
    ],
)
def test_values_that_have_none(store: Neo4jStore, values: str) -> None:
    with pytest.raises(StoreError, match=r"'x' holds values of several types.*toString"):
        store.execute(f"UNWIND {values} AS x RETURN x")


def test_nothing_found_has_columns_all_the_same(store: Neo4jStore) -> None:
    found = store.execute("MATCH (a:A {id: 'none'}) RETURN a, a.id AS id, count(*) AS n")
    assert (found.num_rows, found.column_names) == (0, ["a", "id", "n"])


def test_no_columns_at_all() -> None:
    assert to_table([], []).num_columns == 0
