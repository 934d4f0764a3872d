"""The embedded store: a folder of Parquet tables with a Ladybug database made from them, asked in Cypher.

Ladybug (MIT) is the maintained successor of Kùzu (Feng et al., CIDR 2023). Its file format moves between minor
versions, so the graph itself is kept as Parquet (stores/folder.py) and `read` needs no engine; the database answers
queries and is made anew from the Parquet whenever the graph is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import ladybug
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError, UnknownIdentifierError, nearest
from medgraph.stores import folder as folders
from medgraph.stores.base import NEIGHBOURS
from medgraph.stores.cypher import check_reading, edge_pattern, plain_parameters
from medgraph.stores.ladybug_tables import ADDRESS_SPACE, build_database, check_tables, first_line
from medgraph.stores.search import NameIndex

__all__ = ["LadybugStore"]

_DATABASE = "graph.lbug"
_NAMES = "names"


class LadybugStore:
    """A graph in a folder. See `GraphStore` for what it does.

    Every handle sees the graph that was there when it was opened, or that it wrote itself. Any number of processes may
    read while one writes; of two writers the second is refused.

    Args:
        path: the folder; made by the first `write`.
        read_only: refuse to write, and raise at once where there is no graph.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path = path.expanduser()
        self.read_only = read_only
        self._closed = False
        self._database: ladybug.Database | None = None
        self._connection: ladybug.Connection | None = None
        self._names: NameIndex | None = None
        self._snapshot = folders.current(self.path)
        if read_only:
            self._current()

    def __repr__(self) -> str:
        return f"LadybugStore({str(self.path)!r}{', read_only=True' if self.read_only else ''})"

    @property
    def schema(self) -> Schema:
        """Which node and edge types are stored?"""
        return self._current().schema

    @property
    def fingerprint(self) -> str:
        """The content hash of the stored graph."""
        return str(self._current().manifest["fingerprint"])

    def write(self, graph: KnowledgeGraph) -> None:
        """Put `graph` in place of what is stored, whole or not at all.

        Raises:
            StoreUnavailableError: another process is writing, or this handle is read-only.
            StoreError: labels or properties that Ladybug cannot tell apart or keep; the disk refused.
        """
        self._check_open()
        if self.read_only:
            raise StoreUnavailableError(f"{self.path} was opened read-only; open it without read_only=True to write.")
        check_tables(graph.schema)
        try:
            with folders.new_snapshot(self.path) as (path, manifest):
                manifest.update(folders.write_graph(path, graph), engine=_engine())
                build_database(path / _DATABASE, graph)
                NameIndex.build(graph).save(path / _NAMES)
                self._release()
        except OSError as fault:
            raise StoreError(f"{self.path} could not be written: {fault}") from fault
        finally:
            if self._snapshot is None:
                self._snapshot = folders.current(self.path)

    def read(
        self, node_types: Iterable[NodeType] | None = None, edge_types: Iterable[EdgeType] | None = None
    ) -> KnowledgeGraph:
        """The stored graph, or its part on some types, rows in the order they were written."""
        return folders.read_graph(self._current(), node_types, edge_types)

    def snapshot(self) -> folders.Snapshot:
        """The files behind this handle, held until the snapshot is closed, even if the store is written or closed."""
        return self._current().again()

    def query(self, cypher: str, /, **parameters: Any) -> pa.Table:
        """The answer to one reading Cypher statement.

        Ladybug's dialect: `label(r)` for the relation of an edge, `[* SHORTEST 1..4]` for shortest paths.

        Raises:
            StoreError: a writing or faulty statement, or a parameter that is no plain value.
        """
        check_reading(cypher)
        values = plain_parameters(cypher, parameters)
        connection = self._connected()
        try:
            result = connection.execute(cypher, values)
            if isinstance(result, list):
                raise StoreError(f"One statement a query; this holds several: {cypher}")
            with result:
                return result.get_as_arrow(max(result.get_num_tuples(), 1))
        except (RuntimeError, TypeError, ValueError, OverflowError) as fault:
            raise StoreError(self._explained(fault, cypher)) from None

    def neighbours(self, id: str, edge_types: Iterable[EdgeType] | None = None, limit: int | None = None) -> pa.Table:
        """What is `id` joined to? relation, direction, id, name, node_type; one row an edge, sorted in that order."""
        schema = self.schema
        wanted = schema.edge_types if edge_types is None else tuple(dict.fromkeys(map(schema.require, edge_types)))
        if limit is not None and limit < 1:
            raise SchemaError(f"limit is {limit!r}; expected at least 1, or None for all.")
        nodes = self._index().nodes
        row = pc.index(nodes.column("id"), str(id)).as_py()
        if row < 0:
            ids = nodes.column("id").to_pylist()
            raise UnknownIdentifierError(f"{id!r} is not in this store ({len(ids):,} nodes).{nearest(str(id), ids)}")
        node_type = nodes.column("node_type")[row].as_py()
        parts = [NEIGHBOURS.empty_table()]
        for edge_type in wanted:
            both = edge_type in schema.symmetric
            for end, other, direction in (("a", "b", "out"), ("b", "a", "in")):
                if (edge_type.source if end == "a" else edge_type.target) != node_type:
                    continue
                once = f"AND {other}.id <> $id " if both and direction == "in" else ""  # a loop is one edge
                rows = self.query(
                    f"MATCH {edge_pattern(edge_type)} WHERE {end}.id = $id {once}"
                    f"RETURN {other}.id AS id, {other}.name AS name",
                    id=id,
                )
                fixed = {
                    "relation": edge_type.relation,
                    "direction": "both" if both else direction,
                    "node_type": edge_type.source if other == "a" else edge_type.target,
                }
                for name, value in fixed.items():
                    rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
                parts.append(rows.select(NEIGHBOURS.names).cast(NEIGHBOURS))
        table = pa.concat_tables(parts)
        table = table.sort_by([(name, "ascending") for name in ("relation", "direction", "id", "node_type")])
        return table if limit is None else table.slice(0, limit)

    def search(self, text: str, topn: int = 10, node_type: NodeType | None = None) -> pa.Table:
        """Which nodes are called something like `text`? id, name, node_type, matched, score; best first."""
        if node_type is not None:
            self.schema.require_node_type(node_type)
        if topn < 1:
            raise SchemaError(f"topn is {topn!r}; expected at least 1.")
        return self._index().search(text, topn, node_type)

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""
        self._release()
        self._closed = True

    def __enter__(self) -> LadybugStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self!r} is closed; open it again with open_store.")

    def _current(self) -> folders.Snapshot:
        self._check_open()
        if self._snapshot is None:  # another may have written since
            self._snapshot = folders.current(self.path)
        if self._snapshot is None:
            there = "holds no graph yet" if self.path.exists() else "does not exist"
            raise StoreUnavailableError(f"{self.path} {there}. Put one there with open_store(path).write(graph).")
        return self._snapshot

    def _index(self) -> NameIndex:
        if self._names is None:
            path = self._current().path / _NAMES
            try:
                self._names = NameIndex.load(path)
            except (OSError, pa.ArrowInvalid) as fault:
                raise StoreError(f"{path} cannot be read: {fault} store.write(store.read()) renews it.") from None
        return self._names

    def _connected(self) -> ladybug.Connection:
        snapshot = self._current()
        if self._connection is None:
            written = snapshot.manifest["engine"]
            if written["storage_version"] != _engine()["storage_version"]:
                raise StoreError(
                    f"{self.path} was made by Ladybug {written['version']}, whose database file Ladybug "
                    f"{ladybug.__version__} does not read. The graph is unharmed: store.write(store.read()) renews it."
                )
            try:
                path = snapshot.path / _DATABASE
                self._database = ladybug.Database(path, read_only=True, max_db_size=ADDRESS_SPACE)
                self._connection = ladybug.Connection(self._database)
            except RuntimeError as fault:
                raise StoreError(
                    f"{path} cannot be opened: {first_line(fault)} The graph itself is kept apart: "
                    "store.write(store.read()) renews the database."
                ) from None
        return self._connection

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._database is not None:
            self._database.close()
        if self._snapshot is not None:
            self._snapshot.close()
        self._connection = self._database = self._names = self._snapshot = None

    def _explained(self, fault: Exception, cypher: str) -> str:
        """The engine's first line, the query, and what to do where we know."""
        message, schema = first_line(fault), self.schema
        labels = {*schema.node_types, *(edge_type.relation for edge_type in schema.edge_types)}
        hint = ""
        if missing := re.search(r"Table (\w+) does not exist", message):
            hint = nearest(missing[1], labels)
        elif word := re.search(r"(\w+)>: expected", message):
            hint = f" A label that is a word of Cypher needs backticks: `{word[1]}`." if word[1] in labels else ""
        return f"{message}{hint} In: {cypher}"


def _engine() -> dict[str, Any]:
    version = ladybug.Database.get_storage_version()
    return {"name": "ladybug", "version": ladybug.__version__, "storage_version": version}
