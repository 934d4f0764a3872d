"""A graph out of Neo4j: whole columns at a time, never a record an edge, since the driver's cost is by the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError
from medgraph.stores.cypher import edge_pattern, label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.failures import TooLargeError
from medgraph.stores.neo4j.layout import EXACT, ROW, Manifest, Part

__all__ = ["gather", "read_graph"]

_CHUNK = 200_000  # edges in one answer


def read_graph(
    connection: Connection,
    manifest: Manifest,
    node_types: Iterable[NodeType] | None = None,
    edge_types: Iterable[EdgeType] | None = None,
) -> KnowledgeGraph:
    """The stored graph, or its part on some types (edges whose two ends are read). Edges come sorted by their ends.

    Raises:
        SchemaError: a type that is not stored.
        StoreError: what is there is not what was written.
    """
    graph = gather(connection, manifest, node_types, edge_types)
    if graph.schema == manifest.schema and graph.fingerprint != manifest.fingerprint:
        raise StoreError(_altered(connection, "its content"))
    return graph


def gather(
    connection: Connection,
    manifest: Manifest,
    node_types: Iterable[NodeType] | None = None,
    edge_types: Iterable[EdgeType] | None = None,
) -> KnowledgeGraph:
    """As `read_graph`, whatever the fingerprint."""
    schema = manifest.schema
    types = schema.node_types if node_types is None else tuple(map(schema.require_node_type, node_types))
    wanted = schema.edge_types if edge_types is None else tuple(map(schema.require, edge_types))
    kept = sorted({edge_type for edge_type in wanted if edge_type.source in types and edge_type.target in types})
    return KnowledgeGraph(
        nodes={node_type: _nodes(connection, manifest, node_type) for node_type in types},
        edges={edge_type: _edges(connection, manifest, edge_type) for edge_type in kept},
        symmetric=schema.symmetric & set(kept),
        provenance=manifest.provenance,
        skipped=manifest.skipped,
    )


def _altered(connection: Connection, what: str) -> str:
    return (
        f"{connection.address}: {what} is no longer what store.write put there; it was changed by store.execute or by "
        "another program. store.accept() takes what is there as the graph; store.write(graph) puts one in its place."
    )


def _nodes(connection: Connection, manifest: Manifest, node_type: NodeType) -> pa.Table:
    """Each column by a statement of its own: the rows that have a value, and the values."""
    part, first = manifest.nodes[node_type], manifest.offsets[node_type]
    pattern = f"MATCH (n:{label(node_type)}) WHERE n.{ROW} >= $low AND n.{ROW} < $high"
    columns = {}
    for field in part.columns:
        name = property_name(part.properties[field.name])
        indices, values = np.empty(0, np.int64), []
        for low, high in _ranges(first, part.rows, part.rows):
            if part.nulls[field.name] == part.rows:
                continue
            cypher = f"{pattern} AND n.{name} IS NOT NULL RETURN collect(n.{ROW}), collect(n.{name})"
            for found in _answers(connection, cypher, low, high):
                indices = np.concatenate([indices, np.asarray(found[0], dtype=np.int64) - first])
                values += found[1]
        if pa.types.is_list(field.type):
            exact = connection.read(
                f"{pattern} AND n.{EXACT} IS NOT NULL RETURN collect(n.{ROW}), collect(n.{EXACT})",
                low=first, high=first + part.rows,
            )[0]  # fmt: skip
            owners = np.asarray(exact[0], dtype=np.int64) - first
            indices, values = _restore(field.name, indices, values, owners, exact[1])
        columns[field.name] = _column(connection, str(node_type), part, field, indices, values)
    return pa.table(columns, schema=part.columns)


def _edges(connection: Connection, manifest: Manifest, edge_type: EdgeType) -> pa.Table:
    """All columns together, so that they stay aligned; a property with nulls comes with a mask."""
    part = manifest.edges[edge_type]
    source, target = manifest.offsets[edge_type.source], manifest.offsets[edge_type.target]
    asked = [f"collect(a.{ROW})", f"collect(b.{ROW})"]
    properties = [field for field in part.columns if field.name not in ("source", "target")]
    properties = [field for field in properties if part.nulls[field.name] < part.rows]
    lists = any(pa.types.is_list(field.type) for field in properties)
    for name in [*(property_name(part.properties[field.name]) for field in properties), *([EXACT] if lists else [])]:
        asked += [f"collect(r.{name} IS NOT NULL)", f"collect(r.{name})"]
    cypher = (
        f"MATCH (a:{label(edge_type.source)}) WHERE a.{ROW} >= $low AND a.{ROW} < $high "
        f"MATCH {edge_pattern(edge_type)} RETURN {', '.join(asked)}"
    )
    found: list[list[Any]] = [[] for _ in asked]
    for low, high in _ranges(source, manifest.nodes[edge_type.source].rows, part.rows):
        for answer in _answers(connection, cypher, low, high):
            for whole, piece in zip(found, answer, strict=True):
                whole.extend(piece)
    ends = np.array([found[0], found[1]], dtype=np.int64).reshape(2, -1)
    if ends.shape[1] != part.rows:
        raise StoreError(_altered(connection, f"{edge_type} has {ends.shape[1]:,} edges instead of {part.rows:,}: it"))
    every = np.arange(part.rows)
    exact = (every[np.array(found[-2], dtype=bool)], found[-1]) if lists else (every[:0], [])
    columns: dict[str, pa.Array] = {"source": pa.array(ends[0] - source), "target": pa.array(ends[1] - target)}
    for number, field in enumerate(properties):
        mask, values = found[2 + 2 * number], found[3 + 2 * number]
        indices = every[np.array(mask, dtype=bool)]
        if pa.types.is_list(field.type):
            indices, values = _restore(field.name, indices, values, *exact)
        columns[field.name] = _column(connection, str(edge_type), part, field, indices, values)
    for field in part.columns:
        if field.name not in columns:
            columns[field.name] = pa.nulls(part.rows, field.type)
    order = pa.array(np.lexsort((ends[1], ends[0])))
    return pa.table({field.name: columns[field.name].take(order) for field in part.columns}, schema=part.columns)


def _answers(connection: Connection, cypher: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
    """The answer for the nodes from `low` to `high`: in halves where the server's memory is too short for it whole."""
    try:
        found = connection.read(cypher, low=low, high=high)[0]
    except TooLargeError:
        if high - low <= 1:
            raise
        yield from _answers(connection, cypher, low, (low + high) // 2)
        yield from _answers(connection, cypher, (low + high) // 2, high)
        return
    yield found


def _ranges(first: int, rows: int, weight: int) -> Iterator[tuple[int, int]]:
    """Ranges of `rows` rows from `first`, so many that each carries about `_CHUNK` of `weight`."""
    pieces = min(max(1, -(-weight // _CHUNK)), max(rows, 1))
    bounds = np.linspace(first, first + rows, pieces + 1).astype(int).tolist()
    yield from pairwise(bounds)


def _restore(
    column: str, indices: np.ndarray, values: list[Any], owners: np.ndarray, exact: list[str]
) -> tuple[np.ndarray, list[Any]]:
    """Put back the lists that hold nulls, and the empty ones that an import dropped."""
    lists = [(owner, found[column]) for owner, text in zip(owners.tolist(), exact, strict=True)
             if column in (found := json.loads(text))]  # fmt: skip
    if not lists:
        return indices, values
    position = {row: i for i, row in enumerate(indices.tolist())}
    absent = [(owner, value) for owner, value in lists if owner not in position]
    for owner, value in lists:
        if owner in position:
            values[position[owner]] = value
    indices = np.concatenate([indices, np.array([owner for owner, _ in absent], dtype=np.int64)])
    return indices, values + [value for _, value in absent]


def _column(
    connection: Connection, where: str, part: Part, field: pa.Field, indices: np.ndarray, values: list[Any]
) -> pa.Array:
    """A column of `part.rows` rows that has `values` at `indices` and nulls elsewhere."""
    if len(values) != len(indices) or (indices.size and (indices.min() < 0 or indices.max() >= part.rows)):
        raise StoreError(_altered(connection, f"{where}.{field.name}"))
    try:
        given = pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as fault:
        raise StoreError(_altered(connection, f"{where}.{field.name} ({str(fault).splitlines()[0]}): it")) from None
    place = np.full(part.rows, -1, dtype=np.int64)
    place[indices] = np.arange(len(indices))
    return given.take(pa.array(place, mask=place < 0))
