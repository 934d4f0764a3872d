"""Predicted links beside the known ones, marked so that nobody takes the one for the other.

    (:Compound)-[:predicted_treats {predicted: true, model, score, probability, date}]->(:Disease)

They are no part of the graph: `read` and `neighbours` do not see them, nor does a query for the relation itself.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from medgraph.data.schema import EdgeType, NodeType, Schema, check_label
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest
from medgraph.stores.cypher import label
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import PREDICTED, Manifest
from medgraph.stores.neo4j.writing import Writer

__all__ = ["Answers", "Predictions", "remove_predictions", "write_predictions"]

_BATCH = 10_000
_Row: TypeAlias = tuple[str, str, float, float | None]  # source id, target id, score, probability


@runtime_checkable
class Answers(Protocol):
    """A ranked list for one node, as `LinkPredictor.rank` gives it: rows with id, score and probability."""

    @property
    def asked(self) -> str: ...  # noqa: D102
    @property
    def relation(self) -> EdgeType: ...  # noqa: D102
    @property
    def rows(self) -> Sequence[Any]: ...  # noqa: D102


Predictions: TypeAlias = Answers | Iterable[Answers] | pa.Table | Iterable[Sequence[Any]]


def write_predictions(
    connection: Connection,
    writer: Writer,
    manifest: Manifest,
    predictions: Predictions,
    relation: EdgeType | None,
    model: str,
    date: datetime.date | str | None,
) -> int:
    """Write the edges, once for each model, source and target; returns how many.

    Raises:
        SchemaError: no predictions, scores that are not numbers, another relation than theirs, or types that the store
            does not have.
        UnknownIdentifierError: ids that are not in the graph.
    """
    if not isinstance(model, str) or not model:
        raise SchemaError(f"model is {model!r}; expected the name of what made the predictions.")
    day = _day(date)
    rows, told = _rows(predictions)
    edge_type = _edge_type(manifest.schema, relation, told)
    known = [_known(connection, node_type) for node_type in (edge_type.source, edge_type.target)]
    links = _links(rows, edge_type, known, symmetric=edge_type in manifest.schema.symmetric)

    def batch(start: int, stop: int) -> list[Any]:
        return [[*ends, score, probability, model, day] for ends, (score, probability) in links[start:stop]]

    writer.batches(
        len(links),
        _BATCH,
        batch,
        f"UNWIND $rows AS row MATCH (a:{label(edge_type.source)} {{id: row[0]}}) "
        f"MATCH (b:{label(edge_type.target)} {{id: row[1]}}) "
        f"MERGE (a)-[r:{label(PREDICTED + edge_type.relation, 'relation')} {{model: row[4]}}]->(b) "
        "SET r.predicted = true, r.score = row[2], r.probability = row[3], r.date = row[5]",
    )
    return len(links)


def remove_predictions(
    connection: Connection, writer: Writer, manifest: Manifest, model: str | None, relation: EdgeType | None
) -> int:
    """Take predictions away: of one model, of one edge type, or all; returns how many."""
    source, target = "", ""
    found = [
        name for (name,) in connection.read("CALL db.relationshipTypes() YIELD relationshipType AS name RETURN name")
    ]
    own = {edge_type.relation for edge_type in manifest.edges}
    wanted = [name for name in found if name.startswith(PREDICTED) and name not in own]
    if relation is not None:
        edge_type = _edge_type(manifest.schema, relation, None)
        source, target = f":{label(edge_type.source)}", f":{label(edge_type.target)}"
        wanted = [name for name in wanted if name == PREDICTED + edge_type.relation]
    count = 0
    for name in wanted:
        pattern = f"MATCH ({source})-[r:{label(name, 'relation')}]->({target}) WHERE r.predicted = true"
        if model is not None:
            pattern += " AND r.model = $model"
        count += connection.read(f"{pattern} RETURN count(r)", model=model)[0][0]
        writer.remove(f"{pattern} WITH r LIMIT $size DELETE r RETURN count(*)", model=model)
    return count


def _day(date: datetime.date | str | None) -> str:
    try:
        day = (
            datetime.datetime.now(datetime.UTC).date() if date is None else datetime.date.fromisoformat(str(date)[:10])
        )
    except ValueError:
        raise SchemaError(f"date is {date!r}; expected one such as '2026-01-31'.") from None
    return day.isoformat()


def _rows(predictions: Predictions) -> tuple[list[tuple[str | None, _Row]], EdgeType | None]:
    """(id that was asked for, row) of each; and the relation, where they tell it.

    A row of ranked answers has the asked id for a source: whether it is one is not known here.
    """
    if isinstance(predictions, Answers):
        predictions = [predictions]
    if isinstance(predictions, pa.Table):
        return [(None, row) for row in _table_rows(predictions)], None
    if isinstance(predictions, str | Mapping) or not isinstance(predictions, Iterable):
        raise SchemaError(
            f"{type(predictions).__name__} is no predictions: expected LinkPredictor.rank(...), a list of them, a "
            "table, or rows of source id, target id, score."
        )
    rows: list[tuple[str | None, _Row]] = []
    relations: dict[EdgeType, None] = {}
    for one in predictions:
        if isinstance(one, Answers):
            relations[EdgeType.of(one.relation)] = None
            answers = ((one.asked, row.id, row.score, getattr(row, "probability", None)) for row in one.rows)
            rows += [(one.asked, row) for row in answers]
        else:
            rows.append((None, _plain_row(one)))
    if len(relations) > 1:
        raise SchemaError(
            f"Predictions of several edge types: {', '.join(map(str, relations))}. Write them one by one."
        )
    return rows, next(iter(relations), None)


def _table_rows(table: pa.Table) -> Iterator[_Row]:
    if missing := [name for name in ("source", "target", "score") if name not in table.column_names]:
        raise SchemaError(f"The predictions have no column {missing[0]!r}; they have {table.column_names}.")
    names = [name for name in ("source", "target", "score", "probability") if name in table.column_names]
    columns = [table.column(name).to_pylist() for name in names]
    yield from map(_plain_row, zip(*columns, strict=True))


def _plain_row(row: Any) -> _Row:
    if isinstance(row, str) or not isinstance(row, Sequence) or not 3 <= len(row) <= 4:
        raise SchemaError(f"{row!r} is no prediction; expected source id, target id, score and perhaps probability.")
    source, target, score, *more = row
    return source, target, score, more[0] if more else None


def _edge_type(schema: Schema, given: EdgeType | None, told: EdgeType | None) -> EdgeType:
    if given is None and told is None:
        raise SchemaError("Predictions of which relation? Give relation=EdgeType(source, relation, target).")
    edge_type = EdgeType.of(given if given is not None else told or ())
    if told not in (None, edge_type):
        raise SchemaError(f"These are predictions of {told}, not of {edge_type}.")
    for node_type in (edge_type.source, edge_type.target):
        schema.require_node_type(node_type)
    name = check_label(PREDICTED + check_label(edge_type.relation, "relation"), "relation")
    if any(one.relation == name for one in schema.edge_types):
        raise SchemaError(f"The graph itself has a relation {name!r}: rename it, or the predictions' relation.")
    return edge_type


def _known(connection: Connection, node_type: NodeType) -> dict[str, None]:
    return dict.fromkeys(connection.read(f"MATCH (n:{label(node_type)}) RETURN collect(n.id)")[0][0])


def _links(
    rows: list[tuple[str | None, _Row]], edge_type: EdgeType, known: list[dict[str, None]], symmetric: bool
) -> list[tuple[tuple[str, str], tuple[float, float | None]]]:
    """Source and target, score and probability; each pair once, the last row counting."""
    links: dict[tuple[str, str], tuple[float, float | None]] = {}
    missing: list[tuple[str, int]] = []
    for asked, (source, target, score, probability) in rows:
        ends = (source, target)
        if asked is not None and asked not in known[0]:
            ends = (target, source)  # asked for the sources of a target
        absent = [(id_, side) for side, id_ in enumerate(ends) if id_ not in known[side]]
        missing += absent
        values = _number(score, ends), None if probability is None else _number(probability, ends)
        links[(min(ends), max(ends)) if symmetric and not absent else ends] = values
    if missing:
        id_, side = missing[0]
        node_type = (edge_type.source, edge_type.target)[side]
        raise UnknownIdentifierError(
            f"{len(dict.fromkeys(missing)):,} ids of the predictions are not in this store, such as {id_!r}, which is "
            f"no {node_type} ({len(known[side]):,} are known).{nearest(str(id_), known[side])} Nothing was written."
        )
    return list(links.items())


def _number(value: Any, ends: tuple[str, str]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SchemaError(f"The score of {ends[0]} and {ends[1]} is {value!r}; expected a finite number.")
    return number
