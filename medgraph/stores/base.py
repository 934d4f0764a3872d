"""What every graph store does, whichever engine is behind it."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema

__all__ = ["NEIGHBOURS", "GraphStore"]

NEIGHBOURS = pa.schema(
    [(name, pa.string()) for name in ("relation", "direction", "id", "name", "node_type")]
)  # the columns of GraphStore.neighbours


@runtime_checkable
class GraphStore(Protocol):
    """Keeps one graph: written whole, read whole or in part, and asked in Cypher.

    A store is a context manager. A reader keeps the graph it opened, however often others write meanwhile.
    """

    @property
    def schema(self) -> Schema:
        """Which node and edge types are stored? Raises StoreUnavailableError where no graph is."""

    @property
    def fingerprint(self) -> str:
        """The content hash of the stored graph. Raises StoreUnavailableError where no graph is."""

    def write(self, graph: KnowledgeGraph) -> None:
        """Put `graph` in place of what is stored: all of it, or, if anything fails, none.

        Raises:
            StoreUnavailableError: another process is writing, or the store was opened read-only.
            StoreError: the engine cannot keep this graph.
        """

    def read(
        self, node_types: Iterable[NodeType] | None = None, edge_types: Iterable[EdgeType] | None = None
    ) -> KnowledgeGraph:
        """The stored graph, with the fingerprint it was written with, or its part on some types.

        Raises:
            SchemaError: a type that is not stored.
            StoreUnavailableError: there is no graph.
            StoreError: the stored files were altered.
        """

    def query(self, cypher: str, /, **parameters: Any) -> pa.Table:
        """The answer to one reading Cypher statement; values go in as `$parameters`, never into the text.

        Raises:
            StoreError: a writing statement, a faulty one, or a parameter the engine cannot take.
            StoreUnavailableError: there is no graph.
        """

    def neighbours(self, id: str, edge_types: Iterable[EdgeType] | None = None, limit: int | None = None) -> pa.Table:
        """What is `id` joined to? One row an edge: relation, direction, id, name, node_type, sorted in that order.

        `direction` is "out", "in", or "both" for a symmetric edge type.

        Raises:
            UnknownIdentifierError: the id is not stored; the nearest are named.
            SchemaError: an edge type that is not stored.
        """

    def search(self, text: str, topn: int = 10, node_type: NodeType | None = None) -> pa.Table:
        """Which nodes are called something like `text`? Columns id, name, node_type, matched, score; best first.

        Looks in ids, names and synonyms, whatever case and accents; words may be cut short or misspelt.

        Raises:
            SchemaError: a node type that is not stored, or a `topn` below 1.
        """

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""

    def __enter__(self) -> GraphStore: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
