"""What stands in a database becomes the graph: its nodes get their numbers and texts, it gets a manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from medgraph.data.graph import Provenance
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError
from medgraph.stores.cypher import edge_pattern, label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.indexes import prepare
from medgraph.stores.neo4j.layout import BOOKKEEPING, EXACT, ROW, TEXT, Manifest, Part
from medgraph.stores.neo4j.reading import gather
from medgraph.stores.neo4j.survey import survey
from medgraph.stores.neo4j.writing import Writer
from medgraph.stores.search import folded_names

__all__ = ["accept"]

_BATCH = 10_000


def accept(
    connection: Connection,
    writer: Writer,
    old: Manifest | None,
    node_types: Iterable[NodeType] | None = None,
    symmetric: Iterable[EdgeType] = (),
) -> Manifest:
    """Take what stands in the database as its graph; nothing is changed but medgraph's own underscore properties.

    Nodes that had a number keep their order, new ones follow by id. Killed at any moment, it may be run again.

    Raises:
        SchemaError: a label or a symmetric edge type that is not there.
        StoreError: what stands there is no graph: all that is wrong, with what to do.
    """
    writer.clean()
    found = survey(connection, old, node_types, symmetric)
    manifest = found.manifest
    writer.beat()
    ids = {node_type: _identities(connection, node_type) for node_type in manifest.nodes}
    _check_ids(connection, {node_type: given for node_type, (given, _) in ids.items()})
    _check_indexes(connection, list(manifest.nodes))
    prepare(connection, manifest.schema.node_types)
    connection.write("CALL db.awaitIndexes(300)")
    for node_type, (given, rows) in ids.items():
        _number(writer, node_type, given, rows, manifest.offsets[node_type])
    for kind in found.exact:
        _forget_exact(connection, writer, manifest, kind)
    writer.beat()
    graph = gather(connection, manifest)
    for node_type, table in graph.nodes.items():
        _tell_texts(connection, writer, node_type, manifest.offsets[node_type], table)
    provenance = manifest.provenance
    if old is None or graph.fingerprint != old.fingerprint:
        here = replace(connection.address, database=connection.server.database)
        provenance = tuple(dict.fromkeys((*provenance, Provenance("accepted from Neo4j", url=str(here)))))
    manifest = replace(manifest, fingerprint=graph.fingerprint, provenance=provenance)
    text = manifest.to_json()
    writer.batches(
        1,
        1,
        lambda *_: [text],
        f"UNWIND $rows AS row MERGE (m:{BOOKKEEPING} {{name: 'graph'}}) SET m.manifest = row",
    )
    gone = sorted(set(old.nodes) - set(manifest.nodes)) if old else []
    prepare(connection, manifest.schema.node_types, gone)
    return manifest


def _identities(connection: Connection, node_type: NodeType) -> tuple[list[str], np.ndarray]:
    """The ids of a type's nodes, and their numbers; -1 for those that have none yet."""
    ids, rows = connection.read(
        f"MATCH (n:{label(node_type)}) RETURN collect(n.id), collect(coalesce(n.{ROW}, -1))"
    )[0]  # fmt: skip
    return ids, np.array(rows, dtype=np.int64)


def _check_ids(connection: Connection, ids: dict[NodeType, list[str]]) -> None:
    """Is every id given, and that of one node?"""
    if nameless := [node_type for node_type, given in ids.items() if "" in given]:
        raise StoreError(f"{connection.address}: some {nameless[0]} nodes have an empty `id`: give them one.")
    every = [id_ for given in ids.values() for id_ in given]
    if len(set(every)) < len(every):
        ((id_, times),) = Counter(every).most_common(1)
        where = [node_type for node_type, given in ids.items() if id_ in given]
        more = sum(count > 1 for count in Counter(every).values())
        raise StoreError(
            f"{connection.address}: {more:,} ids stand on more than one node, such as {id_!r} on {times:,} "
            f"({', '.join(where)}). An id is that of one node, whatever its type: merge these nodes, or put their "
            "type in front of the id."
        )


def _check_indexes(connection: Connection, node_types: list[NodeType]) -> None:
    """An index of somebody's on `id` keeps the constraint out."""
    found = connection.read(
        "SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, owningConstraint "
        "WHERE type = 'RANGE' AND entityType = 'NODE' AND properties = ['id'] AND owningConstraint IS NULL "
        "AND labelsOrTypes[0] IN $types RETURN name, labelsOrTypes[0]",
        types=node_types,
    )
    if found:
        drops = "; ".join(f"DROP INDEX {property_name(name)}" for name, _ in found)
        raise StoreError(
            f"{connection.address}: an index on (:{found[0][1]} {{id}}) stands where a constraint has to be, which "
            f"brings an index of its own. Drop it: {drops}"
        )


def _number(writer: Writer, node_type: NodeType, ids: list[str], rows: np.ndarray, offset: int) -> None:
    """Dense numbers from `offset`, sent in an order that keeps the nodes in theirs wherever it is cut off."""
    order = sorted(range(len(ids)), key=lambda at: (rows[at] < 0, rows[at], ids[at]))
    new = np.empty(len(ids), dtype=np.int64)
    new[order] = np.arange(len(ids)) + offset
    rising = [at for at in reversed(order) if 0 <= rows[at] < new[at]]
    others = [at for at in order if rows[at] > new[at]] + [at for at in order if rows[at] < 0]
    changed = rising + others
    writer.batches(
        len(changed),
        _BATCH,
        lambda start, stop: [[ids[at], int(new[at])] for at in changed[start:stop]],
        f"UNWIND $rows AS row MATCH (n:{label(node_type)} {{id: row[0]}}) SET n.{ROW} = row[1]",
    )


def _forget_exact(connection: Connection, writer: Writer, manifest: Manifest, kind: NodeType | EdgeType) -> None:
    """A list that holds nulls is kept beside what is stored of it; where that has changed, it is the list now."""
    if isinstance(kind, EdgeType):
        part, pattern = manifest.edges[kind], edge_pattern(kind, edge="n")
        one = "()-[n]->() WHERE elementId(n) = row[0]"
    else:
        part, pattern = manifest.nodes[kind], f"(n:{label(kind)})"
        one = "(n) WHERE elementId(n) = row[0]"
    lists = _lists(part)
    values = ", ".join(f"n.{property_name(name)}" for name in lists.values())
    found = connection.read(
        f"MATCH {pattern} WHERE n.{EXACT} IS NOT NULL RETURN collect([elementId(n), n.{EXACT}, [{values}]])"
    )[0][0]
    changed = []
    for element, text, stored in found:
        now = dict(zip(lists, stored, strict=True))
        kept = {name: whole for name, whole in _loaded(text).items() if name in now and _agree(whole, now[name])}
        if kept != _loaded(text) or not kept:
            changed.append([element, json.dumps(kept, ensure_ascii=False) if kept else None])
    writer.batches(
        len(changed),
        _BATCH,
        lambda start, stop: changed[start:stop],
        f"UNWIND $rows AS row MATCH {one} SET n.{EXACT} = row[1]",
    )


def _lists(part: Part) -> dict[str, str]:
    return {field.name: part.properties[field.name] for field in part.columns if pa.types.is_list(field.type)}


def _loaded(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _agree(whole: Any, stored: list[str] | None) -> bool:
    return isinstance(whole, list) and [one for one in whole if one is not None] == stored


def _tell_texts(connection: Connection, writer: Writer, node_type: NodeType, offset: int, table: pa.Table) -> None:
    """The folded names, for search, where they are not there yet."""
    rows, texts = connection.read(
        f"MATCH (n:{label(node_type)}) WHERE n.{TEXT} IS NOT NULL RETURN collect(n.{ROW}), collect(n.{TEXT})"
    )[0]
    there = dict(zip(rows, texts, strict=True))
    names = folded_names(table)
    changed = [row for row, text in enumerate(names, offset) if there.get(row) != text]
    writer.batches(
        len(changed),
        _BATCH,
        lambda start, stop: [[row, names[row - offset]] for row in changed[start:stop]],
        f"UNWIND $rows AS row MATCH (n:{label(node_type)} {{{ROW}: row[0]}}) SET n.{TEXT} = row[1]",
    )
