"""The shared store: a graph in a Neo4j server, asked in Cypher by all who may reach it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError, UnknownIdentifierError, nearest
from medgraph.stores.base import NEIGHBOURS
from medgraph.stores.cypher import check_reading, label, plain_parameters
from medgraph.stores.neo4j.accepting import accept
from medgraph.stores.neo4j.address import Address
from medgraph.stores.neo4j.answers import to_table
from medgraph.stores.neo4j.attached import Attached
from medgraph.stores.neo4j.connection import Connection, Credentials, ServerInfo
from medgraph.stores.neo4j.layout import Manifest
from medgraph.stores.neo4j.names import search_names
from medgraph.stores.neo4j.reading import read_graph
from medgraph.stores.neo4j.writing import Writer, load_manifest

__all__ = ["Neo4jStore"]

_READS = 3  # how often a read starts again because a writer replaced the graph under it


class Neo4jStore(Attached):
    """A graph in a Neo4j database. See `GraphStore` for what it does.

    Answers are of the graph that is stored now, whoever wrote it: a server has no snapshots for its readers. Only
    `read` sees one graph throughout; it starts again when a writer comes between.

    Args:
        url: neo4j[+s|+ssc]://host[:port][/database], or bolt in place of neo4j.
        read_only: refuse to write, and raise at once where there is no graph.
        credentials: a function that returns user and password; without it NEO4J_USERNAME and NEO4J_PASSWORD count.
        retry_seconds: how long a statement is tried again while the server is away or busy.

    Raises:
        StoreUnavailableError: no server answers, it refuses us, or `read_only` and no graph.
        StoreError: the address is none, or the server is too old.
        MissingExtraError: the driver is not installed.
    """

    def __init__(
        self, url: str, read_only: bool = False, credentials: Credentials | None = None, retry_seconds: float = 15.0
    ) -> None:
        self.read_only = read_only
        self._address = Address.parse(url)
        self._connection = Connection(self._address, credentials, retry_seconds)
        self._closed = False
        self._known: Manifest | None = None
        if read_only:
            try:
                self._current()
            except StoreError:
                self.close()
                raise

    def __repr__(self) -> str:
        server = f"; Neo4j {self.server.version} {self.server.edition}" if hasattr(self, "_connection") else ""
        return f"Neo4jStore({str(self._address)!r}{', read_only=True' if self.read_only else ''}{server})"

    @property
    def server(self) -> ServerInfo:
        """What answered: version, edition, database, and what this edition lacks."""
        return self._connection.server

    @property
    def schema(self) -> Schema:
        """Which node and edge types are stored?"""
        return self._current().schema

    @property
    def fingerprint(self) -> str:
        """The content hash of the stored graph."""
        return self._current().fingerprint

    def write(self, graph: KnowledgeGraph) -> None:
        """Put `graph` in place of what is stored, whole or not at all; nothing changes if it is stored already.

        Vectors and predictions that were written to the old graph go with it.

        Raises:
            StoreUnavailableError: another process is writing, the server went away, or this handle is read-only.
            StoreError: nodes of these types stand there that medgraph did not write; the server refused.
        """
        self._check_writable()
        with Writer(self._connection).writing() as writer:
            stored = load_manifest(self._connection)
            new = Manifest.of(graph)
            if stored is not None and stored.to_json() == new.to_json() and self._intact(stored):
                writer.keep(stored)
            else:
                writer.replace(graph, stored)
        self._known = new

    def read(
        self, node_types: Iterable[NodeType] | None = None, edge_types: Iterable[EdgeType] | None = None
    ) -> KnowledgeGraph:
        """The stored graph, or its part on some types; nodes in the order they were written, edges by their ends."""
        types = None if node_types is None else tuple(node_types)
        wanted = None if edge_types is None else tuple(edge_types)
        for _ in range(_READS):
            before = self._current()
            try:
                graph = read_graph(self._connection, before, types, wanted)
            except StoreError:
                if self._current() == before:
                    raise
                continue
            if self._current() == before:
                return graph
        raise StoreUnavailableError(f"{self._address} is being rewritten faster than it can be read; try again.")

    def query(self, cypher: str, /, **parameters: Any) -> pa.Table:
        """The answer to one reading Cypher statement.

        Neo4j's dialect: `type(r)` for the relation of an edge, `SHORTEST 1 (a)-[]-+(b)` for shortest paths. A node or
        an edge comes as a struct of its properties with `_labels` or `_relation`.

        Raises:
            StoreError: a writing or faulty statement, or a parameter or column that is no plain value.
        """
        check_reading(cypher)
        self._check_stored()
        names, rows, unknown = self._connection.asked(cypher, plain_parameters(cypher, parameters))
        if unknown and (strange := [one for one in unknown if one not in (words := self._words())]):
            raise StoreError(
                f"Nothing here is called {strange[0]!r}, so this finds nothing.{nearest(strange[0], words)} "
                f"In: {cypher}"
            )
        return to_table(names, rows)

    def execute(self, cypher: str, /, **parameters: Any) -> pa.Table:
        """Run one statement that may change the database; values go in as `$parameters`.

        After a change to the graph itself `accept()` makes it what `read` returns. A statement whose answer was
        lost is not sent again: the error says that it may have been done.

        Raises:
            StoreUnavailableError: this handle is read-only.
            StoreError: the server refuses it.
        """
        self._check_writable()
        found = self._connection.table(cypher, plain_parameters(cypher, parameters), access="WRITE")
        return to_table(*found)

    def accept(self, node_types: Iterable[NodeType] | None = None, symmetric: Iterable[EdgeType] = ()) -> None:
        """Take what stands in the database as the graph: after `execute`, or where another program wrote it.

        Labels become node types, relationship types relations, properties columns. `schema`, `read` and all else then
        speak of that graph. Only medgraph's own underscore properties, constraints and indexes are written; what is
        left out (predictions, labels and relations with an underscore in front) is counted in `read().skipped`.

        Args:
            node_types: the labels that are node types; all that are there if not given.
            symmetric: edge types that are true both ways, beside those that were declared before.

        Raises:
            SchemaError: a label or symmetric edge type that is not there, or a label that no store takes.
            StoreError: nodes without a string `id` or with several labels, properties of other types than string,
                integer, float, boolean and list of strings: what, how many, and how to mend it.
            StoreUnavailableError: another process is writing, or this handle is read-only.
        """
        self._check_writable()
        with Writer(self._connection).writing() as writer:
            self._known = accept(self._connection, writer, load_manifest(self._connection), node_types, symmetric)

    def neighbours(self, id: str, edge_types: Iterable[EdgeType] | None = None, limit: int | None = None) -> pa.Table:
        """What is `id` joined to? relation, direction, id, name, node_type; one row an edge, sorted in that order."""
        schema = self.schema
        wanted = schema.edge_types if edge_types is None else tuple(dict.fromkeys(map(schema.require, edge_types)))
        if limit is not None and limit < 1:
            raise SchemaError(f"limit is {limit!r}; expected at least 1, or None for all.")
        relations = "|".join(sorted({label(one.relation, "relation") for one in wanted})) or "_"
        found = self._connection.read(
            f"MATCH (n:{_any(schema.node_types)} {{id: $id}}) "
            f"OPTIONAL MATCH (n)-[r:{relations}]-(m:{_any(schema.node_types)}) "
            "RETURN labels(n), collect(type(r)), collect(startNode(r) = n), collect(m.id), "
            "collect(CASE WHEN m IS NOT NULL THEN [m.name] END), "
            "collect(labels(m))",
            id=str(id),
        ) if schema.node_types else []  # fmt: skip
        if not found:
            ids = self._ids()
            raise UnknownIdentifierError(f"{id!r} is not in this store ({len(ids):,} nodes).{nearest(str(id), ids)}")
        here = _one(found[0][0], schema)
        rows = []
        for relation, leaves, other, name, labels in zip(*found[0][1:], strict=True):
            there = _one(labels, schema)
            edge_type = EdgeType(here, relation, there) if leaves else EdgeType(there, relation, here)
            if edge_type in wanted:
                direction = "both" if edge_type in schema.symmetric else "out" if leaves else "in"
                rows += [(relation, direction, other, name[0], there)]
                if other == id and direction == "out":  # a loop leaves and arrives, and matches once
                    rows += [(relation, "in", other, name[0], there)]
        table = pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 5, schema=NEIGHBOURS)
        table = table.sort_by([(name, "ascending") for name in ("relation", "direction", "id", "node_type")])
        return table if limit is None else table.slice(0, limit)

    def search(self, text: str, topn: int = 10, node_type: NodeType | None = None) -> pa.Table:
        """Which nodes are called something like `text`? id, name, node_type, matched, score; best first."""
        manifest = self._current()
        if node_type is not None:
            manifest.schema.require_node_type(node_type)
        if topn < 1:
            raise SchemaError(f"topn is {topn!r}; expected at least 1.")
        return search_names(self._connection, manifest, text, topn, node_type)

    def close(self) -> None:
        """Let go of connections. May be called twice."""
        self._connection.close()
        self._closed = True

    def __enter__(self) -> Neo4jStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self!r} is closed; open it again with open_store.")

    def _check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise StoreUnavailableError(f"{self._address} was opened read-only; open it without read_only=True.")

    @contextmanager
    def _writing(self) -> Iterator[tuple[Writer, Manifest]]:
        """The lease, and what is stored."""
        self._check_writable()
        with Writer(self._connection).writing() as writer:
            yield writer, self._current()

    def _check_stored(self) -> None:
        """Is there a graph? Asked of the server once; a handle that found one need not ask before every query."""
        self._check_open()
        if self._known is None:
            self._current()

    def _current(self) -> Manifest:
        self._check_open()
        self._known = load_manifest(self._connection)
        if self._known is None:
            raise StoreUnavailableError(f"{self._address} holds no graph yet. Put one there with store.write(graph).")
        return self._known

    def _intact(self, manifest: Manifest) -> bool:
        """Are there as many nodes and edges as were written?"""
        counted = [
            self._connection.read(f"MATCH (n:{label(node_type)}) RETURN count(n)")[0][0] == part.rows
            for node_type, part in manifest.nodes.items()
        ]
        by_relation: dict[str, int] = {}
        for edge_type, part in manifest.edges.items():
            by_relation[edge_type.relation] = by_relation.get(edge_type.relation, 0) + part.rows
        counted += [
            self._connection.read(f"MATCH ()-[r:{label(relation, 'relation')}]->() RETURN count(r)")[0][0] == rows
            for relation, rows in by_relation.items()
        ]
        return all(counted)

    def _words(self) -> set[str]:
        """Labels, relations and properties that a query may name, be there any of them or not."""
        assert self._known is not None
        parts = [*self._known.nodes.values(), *self._known.edges.values()]
        relations = {edge_type.relation for edge_type in self._known.edges}
        return {*self._known.nodes, *relations, *(name for part in parts for name in part.properties.values())}

    def _ids(self) -> list[str]:
        types = self.schema.node_types
        return self._connection.read(f"MATCH (n:{_any(types)}) RETURN collect(n.id)")[0][0] if types else []


def _any(node_types: Iterable[NodeType]) -> str:
    return "|".join(map(label, node_types))


def _one(labels: list[str], schema: Schema) -> NodeType:
    """The label that is a node type of the graph; users may have added others."""
    return next(one for one in labels if one in schema.node_types)
