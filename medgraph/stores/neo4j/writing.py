"""A graph into Neo4j, whole or not at all: staged beside the stored one in batches, then put in its place at once.

One writer at a time holds the lease, a bookkeeping node. Every batch counts itself there in its own transaction, so a
batch that is sent again because its answer was lost is not applied again, and a writer whose lease was taken stops.
Nodes are staged under a label of their own; one last transaction turns the stored nodes into retired ones, the staged
ones into the graph, and replaces the manifest. Killed at any moment, the database holds the old graph or the new one;
what is left of the other is removed by the next write.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores.cypher import label
from medgraph.stores.neo4j.connection import Connection, TooLargeError
from medgraph.stores.neo4j.indexes import prepare
from medgraph.stores.neo4j.layout import (
    BOOKKEEPING,
    EMBEDDING,
    EXACT,
    RETIRED,
    ROW,
    STAGED,
    TEXT,
    Manifest,
    Part,
)
from medgraph.stores.search import folded_names

__all__ = ["Writer", "load_manifest"]

_LEASE_SECONDS = 30  # without a sign of life, after which another writer may take over
_NODES, _EDGES, _REMOVED = 10_000, 20_000, 50_000  # rows of a first batch; halved where the server's memory is short
_SMALLEST = 16

_FENCE = (
    f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) SET w.beat = timestamp() "
    "WITH w WHERE w.token = $token AND w.done = $number - 1 SET w.done = $number WITH w "
)


def load_manifest(connection: Connection) -> Manifest | None:
    """What the database says it holds; None where there is no graph yet. Raises StoreError, FormatVersionError."""
    found = connection.read(f"MATCH (m:{BOOKKEEPING} {{name: 'graph'}}) RETURN m.manifest")
    return Manifest.from_json(found[0][0]) if found else None


class Writer:
    """The one that writes, while `writing` is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._token = secrets.token_hex(8)
        self._number = 0

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold the lease. Raises StoreUnavailableError if another holds it."""
        run = self._connection.write
        run(f"CREATE CONSTRAINT medgraph_bookkeeping IF NOT EXISTS FOR (n:{BOOKKEEPING}) REQUIRE n.name IS UNIQUE")
        holder = json.dumps({"process": os.getpid(), "host": socket.gethostname()})
        taken = run(
            f"MERGE (w:{BOOKKEEPING} {{name: 'writer'}}) SET w.seen = timestamp() WITH w "
            "WITH w, w.token AS token, w.holder AS holder, timestamp() - w.beat AS silence "
            "FOREACH (_ IN CASE WHEN token IS NULL OR token = $token OR silence > $lease OR holder IN $dead "
            "THEN [1] ELSE [] END | SET w.token = $token, w.holder = $holder, w.done = 0, w.beat = timestamp()) "
            "RETURN w.token, w.holder, w.beat, timestamp()",
            token=self._token,
            holder=holder,
            lease=1000 * _LEASE_SECONDS,
            dead=self._dead(),
        )[0]
        if taken[0] != self._token:
            other = json.loads(taken[1])
            raise StoreUnavailableError(
                f"{self._connection.address} is being written by process {other['process']} on {other['host']}, last "
                f"heard of {(taken[3] - taken[2]) / 1000:.0f} s ago; try again when it is done. If it died, its claim "
                f"ends after {_LEASE_SECONDS} s of silence."
            )
        try:
            yield self
        finally:
            with suppress(StoreError):  # the server is away: the lease runs out
                run(
                    f"MATCH (w:{BOOKKEEPING} {{name: 'writer', token: $token}}) REMOVE w.token, w.holder",
                    token=self._token,
                )

    def _dead(self) -> list[str]:
        """The holder of the lease, if it was a process of this machine that is no more."""
        found = self._connection.read(f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) RETURN w.holder")
        if not found or not found[0][0]:
            return []
        holder = json.loads(found[0][0])
        if holder["host"] != socket.gethostname() or os.name != "posix":
            return []
        try:
            os.kill(holder["process"], 0)
        except ProcessLookupError:
            return [found[0][0]]
        except PermissionError:
            pass
        return []

    def replace(self, graph: KnowledgeGraph, old: Manifest | None) -> Manifest:
        """Put `graph` in place of the stored one, whose manifest is `old`."""
        run, new = self._connection.write, Manifest.of(graph)
        self._refuse_foreign(new, old)
        self._clean()
        run(f"CREATE INDEX medgraph_staged IF NOT EXISTS FOR (n:{STAGED}) ON (n.{ROW})")
        prepare(self._connection, new.schema.node_types)
        run("CALL db.awaitIndexes(300)")
        for node_type in new.nodes:
            self._stage_nodes(graph, new, node_type)
        staged = self._connection.read(f"MATCH (n:{STAGED}) RETURN count(n)")[0][0]
        if staged != new.num_nodes:
            raise StoreError(f"{self._connection.address} holds {staged:,} of {new.num_nodes:,} nodes; write again.")
        for edge_type in new.edges:
            self._stage_edges(graph, new, edge_type)
        self._swap(new, old)
        self._clean()
        gone = set(old.nodes) - set(new.nodes) if old else set()
        prepare(self._connection, new.schema.node_types, sorted(gone))
        run("CALL db.awaitIndexes(300)")
        return new

    def _refuse_foreign(self, new: Manifest, old: Manifest | None) -> None:
        """Nodes of these types that are not ours would be mixed up with them."""
        for node_type in new.nodes:
            ours = old.nodes[node_type].rows if old and node_type in old.nodes else 0
            found = self._connection.read(f"MATCH (n:{label(node_type)}) RETURN count(n)")[0][0]
            if found > ours:
                raise StoreError(
                    f"{self._connection.address} already has {found - ours:,} {node_type} nodes that medgraph did not "
                    "write. Use an empty database, rename one of the types, or take them in by store.accept()."
                )

    def _stage_nodes(self, graph: KnowledgeGraph, manifest: Manifest, node_type: NodeType) -> None:
        table, part = graph.nodes[node_type], manifest.nodes[node_type]
        texts = folded_names(table)

        def rows(start: int, stop: int) -> list[dict[str, Any]]:
            found = _properties(table.slice(start, stop - start), part)
            for i, row in enumerate(found):
                row[ROW] = manifest.offsets[node_type] + start + i
                row[TEXT] = texts[start + i]
            return found

        self.batches(table.num_rows, _NODES, rows, f"UNWIND $rows AS row CREATE (n:{STAGED}) SET n = row")

    def _stage_edges(self, graph: KnowledgeGraph, manifest: Manifest, edge_type: EdgeType) -> None:
        """By source, so that each batch looks a source up once and its edges lie together."""
        table, part = graph.edges[edge_type], manifest.edges[edge_type]
        ends = graph.edge_index(edge_type)
        order = np.lexsort((ends[1], ends[0]))
        source = (ends[0] + manifest.offsets[edge_type.source])[order]
        target = (ends[1] + manifest.offsets[edge_type.target])[order]
        plain = table.num_columns == 2
        rest = table if plain else table.take(pa.array(order))

        def rows(start: int, stop: int) -> list[Any]:
            into: list[Any] = target[start:stop].tolist()
            if not plain:
                into = list(map(list, zip(into, _properties(rest.slice(start, stop - start), part), strict=True)))
            first = np.flatnonzero(np.diff(source[start:stop], prepend=-1))
            bounds = [*first.tolist(), stop - start]
            return [[int(source[start + low]), into[low:high]] for low, high in pairwise(bounds)]

        relation = label(edge_type.relation, "relation")
        ending = f"(b:{STAGED} {{{ROW}: {'to' if plain else 'to[0]'}}}) CREATE (a)-[r:{relation}]->(b)"
        self.batches(
            table.num_rows,
            _EDGES,
            rows,
            f"UNWIND $rows AS row MATCH (a:{STAGED} {{{ROW}: row[0]}}) UNWIND row[1] AS to MATCH {ending}"
            + ("" if plain else " SET r = to[1]"),
        )

    def batches(self, total: int, size: int, rows: Callable[[int, int], list[Any]], cypher: str) -> None:
        """Run `cypher` on all `$rows`, `size` at a time, each exactly once; it must make one row of each."""
        start = 0
        while start < total:
            stop = min(start + size, total)
            try:
                made = self._once(f"{cypher} RETURN count(*)", rows(start, stop))
            except TooLargeError:
                if size <= _SMALLEST:
                    raise
                size = max(size // 4, _SMALLEST)
                continue
            if made not in (None, stop - start):
                raise StoreError(f"{self._connection.address} took {made:,} of {stop - start:,} rows; write again.")
            start = stop

    def _once(self, cypher: str, rows: list[Any]) -> int | None:
        """How many rows a batch made; None if an earlier try, whose answer was lost, had made them."""
        number = self._number + 1
        found = self._connection.write(_FENCE + cypher, token=self._token, number=number, rows=rows)[0][0]
        if not found:
            self._check_lease(number)
        self._number = number
        return found or None

    def _check_lease(self, number: int) -> None:
        found = self._connection.read(f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) RETURN w.token, w.done")
        if not found or found[0] != (self._token, number):
            raise StoreUnavailableError(
                f"{self._connection.address}: another writer took over, after {_LEASE_SECONDS} s without a sign of "
                "life from this one. Nothing of this graph was stored; write again."
            )

    def _swap(self, new: Manifest, old: Manifest | None) -> None:
        """One transaction: the stored nodes retire, the staged ones take their types, the manifest changes."""
        number = self._number + 1
        fenced: dict[str, Any] = {"token": self._token, "number": number}
        statements: list[tuple[str, Mapping[str, Any]]] = [(_FENCE + "RETURN count(*)", fenced)]
        holds = f"MATCH (:{BOOKKEEPING} {{name: 'writer', token: $token, done: $number}}) "
        for node_type in old.nodes if old else ():
            statements.append(
                (f"{holds} MATCH (n:{label(node_type)}) REMOVE n:{label(node_type)} SET n:{RETIRED}", fenced)
            )
        for node_type, first in new.offsets.items():
            statements.append(
                (
                    f"{holds} MATCH (n:{STAGED}) WHERE n.{ROW} >= $low AND n.{ROW} < $high "
                    f"REMOVE n:{STAGED} SET n:{label(node_type)}",
                    {**fenced, "low": first, "high": first + new.nodes[node_type].rows},
                )
            )
        statements.append((f"{holds} MATCH (m:{BOOKKEEPING}) WHERE m.name STARTS WITH '{EMBEDDING}' DELETE m", fenced))
        statements.append(
            (
                f"{holds} MERGE (m:{BOOKKEEPING} {{name: 'graph'}}) SET m = {{name: 'graph', manifest: $manifest}} "
                "RETURN m.name",
                {**fenced, "manifest": new.to_json()},
            )
        )
        if not self._connection.write_all(statements)[-1]:
            self._check_lease(number)
        self._number = number

    def _clean(self) -> None:
        """Remove what was staged or retired, edges before nodes, in bounded transactions."""
        for left in (STAGED, RETIRED):
            self.remove(f"MATCH (:{left})-[r]-() WITH DISTINCT r LIMIT $size DELETE r RETURN count(*)")
            self.remove(f"MATCH (n:{left}) WITH n LIMIT $size DELETE n RETURN count(*)")

    def beat(self) -> None:
        """Say that this writer is alive, where its work is done by the server."""
        self._connection.write(
            f"MATCH (w:{BOOKKEEPING} {{name: 'writer', token: $token}}) SET w.beat = timestamp()", token=self._token
        )

    def remove(self, cypher: str) -> None:
        """Run `cypher`, which removes at most `$size` things and returns their number, until none is left."""
        size = _REMOVED
        while True:
            try:
                beat = f"MATCH (w:{BOOKKEEPING} {{name: 'writer', token: $token}}) SET w.beat = timestamp() WITH w "
                if not self._connection.write(beat + cypher, token=self._token, size=size)[0][0]:
                    return
            except TooLargeError:
                if size <= _SMALLEST:
                    raise
                size = max(size // 4, _SMALLEST)


def _properties(table: pa.Table, part: Part) -> list[dict[str, Any]]:
    """Each row as the properties that a node or edge gets: no nulls, and none inside lists."""
    names = [name for name in table.column_names if name not in ("source", "target")]
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name in names:
        column = table.column(name)
        stored = part.properties[name]
        holey = pa.types.is_list(column.type) and pc.list_flatten(column).null_count
        for row, value in zip(rows, column.to_pylist(), strict=True):
            if value is None:
                continue
            if holey and None in value:
                row[EXACT] = {**row.get(EXACT, {}), name: value}
                value = [one for one in value if one is not None]  # noqa: PLW2901
            row[stored] = value
    for row in rows:
        if EXACT in row:
            row[EXACT] = json.dumps(row[EXACT], ensure_ascii=False)
    return rows
