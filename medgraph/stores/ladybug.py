"""The embedded store: a folder of Parquet tables with a Ladybug database made from them, asked in Cypher.

Ladybug (MIT) is the maintained successor of Kùzu (Feng et al., CIDR 2023). Its file format moves between minor
versions, so the graph itself is kept as Parquet (stores/folder.py) and `read` needs no engine; the database answers
queries and is made anew from the Parquet whenever the graph is written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ladybug
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError, UnknownIdentifierError, nearest
from medgraph.stores import folder as folders
from medgraph.stores.base import NEIGHBOURS
from medgraph.stores.cypher import check_reading, edge_pattern, label, plain_parameters, property_name
from medgraph.stores.search import NameIndex

__all__ = ["LadybugStore"]

_DATABASE = "graph.lbug"
_NAMES = "names"
_ADDRESS_SPACE = 1 << 38  # bytes of address space an open database reserves; the engine's own 8 TB allows 16 at once
_RESERVED = {"_id", "_label", "_src", "_dst"}


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
        _check_tables(graph.schema)
        try:
            with folders.new_snapshot(self.path) as (path, manifest):
                manifest.update(folders.write_graph(path, graph), engine=_engine())
                _build(path / _DATABASE, graph)
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
        where = "MATCH (a {id: $id}) RETURN label(a) AS node_type"
        found = self.query(where, id=id) if schema.node_types else pa.table({})
        if not found.num_rows:
            ids = self._index().nodes.column("id").to_pylist()
            raise UnknownIdentifierError(f"{id!r} is not in this store ({len(ids):,} nodes).{nearest(str(id), ids)}")
        node_type = found.column("node_type")[0].as_py()
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
                    rows = rows.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
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

    def __enter__(self) -> Self:
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
            self._names = NameIndex.load(self._current().path / _NAMES)
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
                self._database = ladybug.Database(path, read_only=True, max_db_size=_ADDRESS_SPACE)
                self._connection = ladybug.Connection(self._database)
            except RuntimeError as fault:
                raise StoreError(
                    f"{path} cannot be opened: {_first_line(fault)} The graph itself is kept apart: "
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
        message, schema = _first_line(fault), self.schema
        labels = {*schema.node_types, *(edge_type.relation for edge_type in schema.edge_types)}
        hint = ""
        if missing := re.search(r"Table (\w+) does not exist", message):
            hint = nearest(missing[1], labels)
        elif word := re.search(r"(\w+)>: expected", message):
            hint = f" A label that is a word of Cypher needs backticks: `{word[1]}`." if word[1] in labels else ""
        return f"{message}{hint} In: {cypher}"


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]


def _engine() -> dict[str, Any]:
    version = ladybug.Database.get_storage_version()
    return {"name": "ladybug", "version": ladybug.__version__, "storage_version": version}


def _check_tables(schema: Schema) -> None:
    """Ladybug keeps node types and relations in one list of tables, and takes Gene and gene for one name."""
    taken: dict[str, str] = {}
    kinds = [(one, "node type") for one in schema.node_types]
    kinds += [(one, "relation") for one in sorted({edge_type.relation for edge_type in schema.edge_types})]
    for name, what in kinds:
        other = taken.setdefault(name.lower(), f"{what} {name!r}")
        if other != f"{what} {name!r}":
            raise StoreError(f"Ladybug cannot tell {what} {name!r} from {other}: rename one of them.")


def _column_type(given: pa.DataType) -> str:
    if pa.types.is_list(given):
        return "STRING[]"
    return {pa.string(): "STRING", pa.int64(): "INT64", pa.float64(): "DOUBLE", pa.bool_(): "BOOL"}[given]


def _property_names(columns: Iterable[str]) -> dict[str, str]:
    """What each column is called in Cypher: its own name, or one that Ladybug can tell from the others."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for column in columns:
        name = column.replace("\0", "") or "unnamed"
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        names[column] = name
    return names


def _relation_columns(graph: KnowledgeGraph, edge_types: list[EdgeType]) -> dict[str, pa.DataType]:
    """The properties of one relation over all type pairs that it joins; an empty column takes any type."""
    columns: dict[str, pa.DataType] = {}
    for edge_type in edge_types:
        table = graph.edges[edge_type]
        for field in table.schema:
            empty = table.column(field.name).null_count == table.num_rows
            known = columns.get(field.name)
            if known is None or (known != field.type and known == pa.null()):
                columns[field.name] = pa.null() if empty else field.type
            elif known != field.type and not empty:
                raise StoreError(
                    f"Ladybug keeps one type for a property of a relation: {field.name!r} of {edge_type.relation!r} is "
                    f"{known} in one edge type and {field.type} in {edge_type}. Rename or convert one of them."
                )
    del columns["source"], columns["target"]
    return {name: pa.string() if given == pa.null() else given for name, given in columns.items()}


def _build(path: Path, graph: KnowledgeGraph) -> None:
    """Make the database of a graph: a table per node type, a table group per relation, filled by COPY from Arrow."""
    database = ladybug.Database(path, max_db_size=_ADDRESS_SPACE, auto_checkpoint=False)
    connection = ladybug.Connection(database)

    def declared(columns: dict[str, pa.DataType]) -> str:
        return "".join(f", {property_name(name)} {_column_type(kind)}" for name, kind in columns.items())

    try:
        for node_type, table in graph.nodes.items():
            names = _property_names(table.column_names)
            rows = table.rename_columns([names[name] for name in table.column_names])
            columns = {field.name: field.type for field in rows.schema if field.name != "id"}
            connection.execute(
                f"CREATE NODE TABLE {label(node_type)}(`id` STRING{declared(columns)}, PRIMARY KEY(`id`))"
            )
            connection.execute(f"COPY {label(node_type)} FROM $rows", {"rows": rows})
        relations = defaultdict(list)
        for edge_type in graph.edge_types:
            relations[edge_type.relation].append(edge_type)
        ids = {node_type: table.column("id").combine_chunks() for node_type, table in graph.nodes.items()}
        for relation, edge_types in relations.items():
            columns = _relation_columns(graph, edge_types)
            names = _property_names(["source", "target", *columns])
            pairs = ", ".join(f"FROM {label(one.source)} TO {label(one.target)}" for one in edge_types)
            stored = {names[name]: kind for name, kind in columns.items()}
            connection.execute(f"CREATE REL TABLE {label(relation, 'relation')}({pairs}{declared(stored)})")
            for edge_type in edge_types:
                table = graph.edges[edge_type]
                ends = {
                    end: ids[node_type].take(table.column(end).combine_chunks())
                    for end, node_type in (("source", edge_type.source), ("target", edge_type.target))
                }
                rest = {names[name]: _column(table, name, kind) for name, kind in columns.items()}
                connection.execute(
                    f"COPY {label(relation, 'relation')} FROM $rows "
                    f"(from='{edge_type.source}', to='{edge_type.target}')",
                    {"rows": pa.table({**ends, **rest})},
                )
        connection.execute("CHECKPOINT")
    except RuntimeError as fault:
        raise StoreError(f"Ladybug could not take the graph in: {_first_line(fault)}") from fault
    finally:
        connection.close()
        database.close()


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """A property of an edge table, or as many nulls where it has none."""
    if name in table.column_names and table.schema.field(name).type == kind:
        return table.column(name)
    return pa.nulls(table.num_rows, kind)
