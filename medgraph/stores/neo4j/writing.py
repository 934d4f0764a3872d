"""A graph into Neo4j, whole or not at all: staged beside the stored one in batches, then put in its place at once.

The writer holds the lease, under which every batch is done once. Nodes are staged under a label of their own; one last
transaction turns the stored nodes into retired ones, the staged ones into the graph, and replaces the manifest. Killed
at any moment, the database holds the old graph or the new one; what is left of the other is removed by the next write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError
from medgraph.stores.cypher import label
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.failures import TooLargeError
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
from medgraph.stores.neo4j.lease import Lease, TakenOverError
from medgraph.stores.search import folded_names

__all__ = ["Writer", "load_manifest"]

_NODES, _EDGES, _REMOVED = 10_000, 20_000, 50_000  # rows of a first batch; halved where the server's memory is short
_SMALLEST = 1
_PATIENCE = 600.0  # seconds until an index must be filled
_LONGEST_ID = 8_000  # bytes; the index that keeps ids unique takes some 160 more


def load_manifest(connection: Connection) -> Manifest | None:
    """What the database says it holds; None where there is no graph yet. Raises StoreError, FormatVersionError."""
    found = connection.read(f"MATCH (m:{BOOKKEEPING} {{name: 'graph'}}) RETURN m.manifest")
    return Manifest.from_json(found[0][0]) if found else None


class Writer:
    """The one that writes, while `writing` is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lease = Lease(connection)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold the lease. Raises StoreUnavailableError if another holds it."""
        with self._lease.holding():
            yield self

    def keep(self, stored: Manifest) -> None:
        """Leave the stored graph as it is, and nothing of another beside it."""
        self.clean()
        prepare(self._connection, stored.schema.node_types)

    def replace(self, graph: KnowledgeGraph, old: Manifest | None) -> Manifest:
        """Put `graph` in place of the stored one, whose manifest is `old`."""
        new, before = Manifest.of(graph), set(old.nodes) if old else set()
        self._refuse_foreign(new, old)
        self._refuse_long_ids(graph)
        self.clean()
        self._connection.write(f"CREATE INDEX medgraph_staged IF NOT EXISTS FOR (n:{STAGED}) ON (n.{ROW})")
        prepare(self._connection, sorted(before | set(new.nodes)))  # the stored graph can be searched all the while
        self._await_indexes()
        for node_type in new.nodes:
            self._stage_nodes(graph, new, node_type)
        staged = self._connection.read(f"MATCH (n:{STAGED}) RETURN count(n)")[0][0]
        if staged != new.num_nodes:
            raise StoreError(f"{self._connection.address} holds {staged:,} of {new.num_nodes:,} nodes; write again.")
        for edge_type in new.edges:
            self._stage_edges(graph, new, edge_type)
        self._swap(new, old)
        with suppress(TakenOverError):  # the graph is in its place, and whoever took over does the rest
            self.clean()
            prepare(self._connection, new.schema.node_types, sorted(before - set(new.nodes)))
            self._await_indexes()
        return new

    def _await_indexes(self) -> None:
        """Wait until every index is filled."""
        until, pause = time.monotonic() + _PATIENCE, 0.05
        while found := self._connection.read(
            "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'medgraph_' AND state <> 'ONLINE' RETURN name, state"
        ):
            if time.monotonic() > until or any(state == "FAILED" for _, state in found):
                name, state = found[0]
                raise StoreError(f"{self._connection.address} could not fill the index {name} ({state}); write again.")
            self.beat()
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _refuse_long_ids(self, graph: KnowledgeGraph) -> None:
        for node_type, table in graph.nodes.items():
            longest = pc.max(pc.binary_length(table.column("id").cast(pa.string()))).as_py() or 0
            if longest > _LONGEST_ID:
                raise StoreError(
                    f"{self._connection.address}: an id of {node_type} has {longest:,} bytes; the index that keeps "
                    f"ids unique takes up to {_LONGEST_ID:,}. Give such nodes a shorter id."
                )

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
                made = self._lease.once(f"{cypher} RETURN count(*)", rows=rows(start, stop))
            except TooLargeError:
                if stop - start <= _SMALLEST:
                    raise
                size = max((stop - start) // 4, _SMALLEST)
                continue
            if made not in (None, stop - start):
                raise StoreError(f"{self._connection.address} took {made:,} of {stop - start:,} rows; write again.")
            start = stop

    def _swap(self, new: Manifest, old: Manifest | None) -> None:
        """One transaction: the stored nodes retire, the staged ones take their types, the manifest changes."""
        statements: list[tuple[str, dict[str, Any]]] = []
        for node_type in old.nodes if old else ():
            here = label(node_type)
            statements.append((f"MATCH (n:{here}) REMOVE n:{here} SET n:{RETIRED}", {}))
        for node_type, first in new.offsets.items():
            statements.append(
                (
                    f"MATCH (n:{STAGED}) WHERE n.{ROW} >= $low AND n.{ROW} < $high "
                    f"REMOVE n:{STAGED} SET n:{label(node_type)}",
                    {"low": first, "high": first + new.nodes[node_type].rows},
                )
            )
        statements.append((f"MATCH (m:{BOOKKEEPING}) WHERE m.name STARTS WITH '{EMBEDDING}' DELETE m", {}))
        statements.append(
            (
                f"MERGE (m:{BOOKKEEPING} {{name: 'graph'}}) SET m = {{name: 'graph', manifest: $manifest}}",
                {"manifest": new.to_json()},
            )
        )
        self._lease.together(statements)

    def clean(self) -> None:
        """Remove what was staged or retired, edges before nodes, in bounded transactions."""
        for left in (STAGED, RETIRED):
            self.remove(f"MATCH (:{left})-[r]-() WITH DISTINCT r LIMIT $size DELETE r RETURN count(*)")
            self.remove(f"MATCH (n:{left}) WITH n LIMIT $size DELETE n RETURN count(*)")

    def beat(self) -> None:
        """Say that this writer is alive, where its work is done by the server."""
        self._lease.beat()

    def remove(self, cypher: str, **parameters: Any) -> None:
        """Run `cypher`, which removes at most `$size` things and returns their number, until none is left."""
        size = _REMOVED
        while True:
            try:
                if not self._lease.held(cypher, size=size, **parameters)[0][0]:
                    self._lease.check()
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
