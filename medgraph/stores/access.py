"""A graph read by rows: the edges that enter some nodes, the numbers of some nodes, and never the whole.

What neighbour sampling asks of a store. Every relation is kept compressed by target (CSC, as PyG has it): the edges are
sorted by target and then by source, and an edge's number is its place in that order. So the numbers, and all that is
drawn by them, are the same whichever store answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int64

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError, nearest
from medgraph.stores.base import GraphStore

__all__ = ["MemoryAccess", "RandomAccess", "check_numbers", "inverse", "numbers", "random_access"]

INVERSE = "rev_"  # as PyG's ToUndirected calls them


def inverse(edge_type: EdgeType) -> EdgeType:
    """The relation that sends from an edge type's targets to its sources.

    >>> inverse(EdgeType("Compound", "treats", "Disease"))
    EdgeType(source='Disease', relation='rev_treats', target='Compound')
    """
    return EdgeType(edge_type.target, INVERSE + edge_type.relation, edge_type.source)


class RandomAccess(ABC):
    """The edges of a graph by their targets, a few rows at a time. A context manager.

    Relations are the edge types in order, then the inverses of those that are not symmetric; a symmetric edge type is
    stored once and sends both ways under its one relation (a loop once), as in `TypedEdges`.

    Args:
        schema: of the graph.
        counts: how many nodes of each type.

    Raises:
        SchemaError: an edge type that is called as the inverse of another is.
    """

    def __init__(self, schema: Schema, counts: Mapping[NodeType, int]) -> None:
        self.schema, self.counts = schema, dict(counts)
        self._stored = {edge_type: (edge_type, False) for edge_type in schema.edge_types}
        for edge_type in schema.edge_types:
            if edge_type not in schema.symmetric:
                if inverse(edge_type) in schema.edge_types:
                    raise SchemaError(f"{inverse(edge_type)} is called as the inverse of {edge_type} is: rename it.")
                self._stored[inverse(edge_type)] = (edge_type, True)
        self._bounds: dict[EdgeType, Int64[np.ndarray, " bounds"]] = {}

    @property
    def relations(self) -> tuple[EdgeType, ...]:
        """Every edge type, then the inverses."""
        return tuple(self._stored)

    def stored(self, relation: EdgeType) -> tuple[EdgeType, bool]:
        """The edge type behind a relation, and whether the relation is its inverse. Raises SchemaError."""
        try:
            return self._stored[EdgeType.of(relation)]
        except KeyError:
            hint = nearest(str(relation), map(str, self._stored))
            raise SchemaError(f"{relation} is no relation of this graph ({len(self._stored)}).{hint}") from None

    def num_edges(self, relation: EdgeType) -> int:
        """How many edges has a relation, both ways of a symmetric one counted?"""
        return int(self.bounds(relation)[-1])

    def bounds(self, relation: EdgeType) -> Int64[np.ndarray, " bounds"]:
        """The edges that enter target row t have the numbers `bounds[t]` to `bounds[t + 1] - 1`."""
        relation = EdgeType.of(relation)
        if relation not in self._bounds:
            self._bounds[relation] = self._find_bounds(relation, *self.stored(relation))
        return self._bounds[relation]

    def targets(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The target rows of edges, given by their numbers."""
        return np.searchsorted(self.bounds(relation), edges, side="right") - 1

    def sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The source rows of edges, given by their numbers.

        Raises:
            SchemaError: a relation or a number that is not there.
        """
        relation, edges = EdgeType.of(relation), np.asarray(edges, dtype=np.int64)
        if edges.size and not 0 <= edges.min() <= edges.max() < self.num_edges(relation):
            raise SchemaError(f"{relation} has {self.num_edges(relation):,} edges; asked was {int(edges.max())}.")
        return self._find_sources(relation, edges)

    def columns(
        self, node_type: NodeType, columns: list[str], rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, "n c"]:
        """The numbers in some columns of some nodes; NaN where there is none.

        Raises:
            SchemaError: a node type, a column or a row that is not there, or a column that holds no numbers.
        """
        self.schema.require_node_type(node_type)
        rows, count = np.asarray(rows, dtype=np.int64), self.counts[node_type]
        if rows.size and not 0 <= rows.min() <= rows.max() < count:
            raise SchemaError(f"{node_type} has {count:,} rows; asked were {int(rows.min())} to {int(rows.max())}.")
        result = np.empty((rows.size, len(columns)))
        for place, column in enumerate(columns):
            result[:, place] = self._find_numbers(node_type, column, rows)
        return result

    def close(self) -> None:  # noqa: B027
        """Let go of files. May be called twice."""

    def __enter__(self) -> RandomAccess:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    @abstractmethod
    def _find_bounds(self, relation: EdgeType, stored: EdgeType, inverse: bool) -> Int64[np.ndarray, " bounds"]: ...

    @abstractmethod
    def _find_sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]: ...

    @abstractmethod
    def _find_numbers(
        self, node_type: NodeType, column: str, rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]: ...


def check_numbers(columns: pa.Schema, node_type: NodeType, column: str) -> None:
    """Does a node type have this column, and does it hold numbers? Raises SchemaError."""
    if column not in columns.names:
        raise SchemaError(f"{node_type} has no column {column!r}.{nearest(column, columns.names)}")
    kind = columns.field(column).type
    if not (pa.types.is_int64(kind) or pa.types.is_float64(kind) or pa.types.is_boolean(kind)):
        raise SchemaError(f"Column {column!r} of {node_type} holds {kind}; expected numbers.")


def numbers(table: pa.Table, node_type: NodeType, column: str) -> Float64[np.ndarray, " n"]:
    """A column of a node table as float64, NaN where empty. Raises SchemaError if it is missing or no numbers."""
    check_numbers(table.schema, node_type, column)
    filled = pc.fill_null(table.column(column).cast(pa.float64()), float("nan"))
    result: Float64[np.ndarray, " n"] = filled.combine_chunks().to_numpy(zero_copy_only=False)
    return result


class MemoryAccess(RandomAccess):
    """A graph in memory, read as stores are: for small graphs, and to compare with."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        super().__init__(graph.schema, {name: table.num_rows for name, table in graph.nodes.items()})
        self.graph = graph
        self._sources: dict[EdgeType, Int64[np.ndarray, " edges"]] = {}

    def _find_bounds(self, relation: EdgeType, stored: EdgeType, inverse: bool) -> Int64[np.ndarray, " bounds"]:
        source, target = self.graph.edge_index(stored)
        if inverse:
            source, target = target, source
        elif stored in self.schema.symmetric:
            twice = source != target
            source, target = np.append(source, target[twice]), np.append(target, source[twice])
        self._sources[relation] = source[np.lexsort((source, target))]
        counts = np.bincount(target, minlength=self.counts[relation.target])
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _find_sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        self.bounds(relation)
        found: Int64[np.ndarray, " n"] = self._sources[relation][edges]
        return found

    def _find_numbers(
        self, node_type: NodeType, column: str, rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        found: Float64[np.ndarray, " n"] = numbers(self.graph.nodes[node_type], node_type, column)[rows]
        return found


def random_access(source: KnowledgeGraph | GraphStore | RandomAccess) -> RandomAccess:
    """Read `source` by rows: a graph from memory, a folder from its files, a server by Cypher.

    Raises:
        StoreUnavailableError: the store holds no graph.
        StoreError: its files were altered or cannot be read.
    """
    if isinstance(source, RandomAccess):
        return source
    if isinstance(source, KnowledgeGraph):
        return MemoryAccess(source)
    from medgraph.stores.ladybug import LadybugStore

    if isinstance(source, LadybugStore):
        from medgraph.stores.folder_access import FolderAccess

        return FolderAccess(source.snapshot(), keep=not source.read_only)
    from medgraph.stores.neo4j import Neo4jStore
    from medgraph.stores.neo4j.access import ServerAccess

    if isinstance(source, Neo4jStore):
        return ServerAccess(source._connection, source._current())
    raise SchemaError(f"{source!r} cannot be read by rows; expected a graph or a store of open_store.")
