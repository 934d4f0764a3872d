"""A server's edges by their targets: one Cypher statement a relation and batch, answered in columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError, StoreError
from medgraph.stores.access import RandomAccess
from medgraph.stores.cypher import label, property_name

__all__ = ["ServerAccess"]

NODES, EDGES = 200_000, 500_000  # asked for in one statement


class _Server(Protocol):
    """What is needed of a store whose nodes have `_row`, their global index."""

    @property
    def schema(self) -> Schema: ...

    def query(self, cypher: str, /, **parameters: Any) -> pa.Table: ...


class ServerAccess(RandomAccess):
    """The graph of a server, read with the store's own connection. Kept in memory: one count a node and relation.

    Args:
        store: open for as long as this is used.
    """

    def __init__(self, store: _Server) -> None:
        counts = {
            node_type: int(store.query(f"MATCH (n:{label(node_type)}) RETURN count(n) AS n")["n"][0].as_py())
            for node_type in store.schema.node_types
        }
        super().__init__(store.schema, counts)
        self._store = store
        sizes = [counts[node_type] for node_type in self.schema.node_types]
        starts = np.cumsum([0, *sizes[:-1]]).tolist() if sizes else []
        self._offsets = dict(zip(self.schema.node_types, starts, strict=True))

    def _pattern(self, relation: EdgeType, ends: bool = True) -> str:
        """What enters `(b)`; without the label of the other end where it goes without saying: then counts are kept."""
        stored, inverse = self.stored(relation)
        named = label(stored.relation, "relation")
        alike = [one for one in self.schema.edge_types if one.relation == stored.relation]
        head = "<" if not inverse and stored not in self.schema.symmetric else ""
        tail = ">" if inverse else ""
        other = f"a:{label(relation.source)}" if ends else f":{label(relation.source)}"
        if not ends and len(alike) == 1:
            other = ""
        return f"(b){head}-[:{named}]-{tail}({other})"

    def _find_bounds(self, relation: EdgeType, stored: EdgeType, inverse: bool) -> Int64[np.ndarray, " bounds"]:
        del stored, inverse
        nodes, offset = self.counts[relation.target], self._offsets[relation.target]
        counts = np.zeros(nodes + 1, dtype=np.int64)
        for low in range(offset, offset + nodes, NODES):
            rows, degrees = self._answer(
                f"MATCH (b:{label(relation.target)}) WHERE $low <= b._row < $high "
                f"RETURN collect(b._row) AS rows, collect(COUNT {{ {self._pattern(relation, ends=False)} }}) AS counts",
                low=low,
                high=min(low + NODES, offset + nodes),
            )
            counts[rows - offset + 1] = degrees
        return np.cumsum(counts)

    def _find_sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        bounds = self.bounds(relation)
        rows, place = np.unique(self.targets(relation, edges), return_inverse=True)
        counts = bounds[rows + 1] - bounds[rows]
        found = np.empty(int(counts.sum()), dtype=np.int64)
        filled = 0
        for part in _parts(counts):
            answer = self._incoming(relation, rows[part], counts[part])
            found[filled : filled + answer.size] = answer
            filled += answer.size
        starts = np.cumsum(counts) - counts
        wanted: Int64[np.ndarray, " n"] = found[starts[place] + edges - bounds[rows[place]]]
        return wanted

    def _incoming(
        self, relation: EdgeType, rows: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " edges"]:
        """The sources of every edge that enters `rows`, ordered by target and then by source."""
        offset = self._offsets[relation.target]
        target, source = self._answer(
            f"UNWIND $rows AS t MATCH (b:{label(relation.target)} {{_row: t}}) MATCH {self._pattern(relation)} "
            "RETURN collect(t) AS targets, collect(a._row) AS sources",
            rows=(rows + offset).tolist(),
        )
        order = np.lexsort((source, target))
        if not np.array_equal(target[order], np.repeat(rows + offset, counts)):
            raise StoreError(f"{relation} was changed on the server while it was read: open it again.")
        local: Int64[np.ndarray, " edges"] = source[order] - self._offsets[relation.source]
        return local

    def _find_numbers(
        self, node_type: NodeType, column: str, rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        asked, place = np.unique(rows, return_inverse=True)
        result = np.full(asked.size, np.nan)
        for part in (slice(start, start + NODES) for start in range(0, asked.size, NODES)):
            name = property_name(column)
            table = self._store.query(
                f"UNWIND $rows AS t MATCH (n:{label(node_type)} {{_row: t}}) WHERE n.{name} IS NOT NULL "
                f"RETURN collect(t) AS rows, collect(n.{name}) AS numbers",
                rows=(asked[part] + self._offsets[node_type]).tolist(),
            )
            given = table["numbers"][0].values if table["numbers"][0].is_valid else pa.array([], pa.float64())
            kind = given.type
            if not (
                pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or not len(given)
            ):
                raise SchemaError(f"Column {column!r} of {node_type} holds {kind}; expected numbers.")
            found = np.asarray(table["rows"][0].values.to_numpy(zero_copy_only=False), dtype=np.int64)
            values = given.cast(pa.float64()).to_numpy(zero_copy_only=False)
            result[np.searchsorted(asked, found - self._offsets[node_type])] = values
        return result[place]

    def _answer(self, cypher: str, **parameters: Any) -> Iterator[Int64[np.ndarray, " n"]]:
        """The two lists of whole numbers that a statement returns."""
        table = self._store.query(cypher, **parameters)
        lists = (table.column(name)[0].values for name in table.column_names)
        return (np.asarray(one.to_numpy(zero_copy_only=False), dtype=np.int64) for one in lists)


def _parts(counts: Int64[np.ndarray, " n"]) -> Iterator[slice]:
    """Stretches of rows with at most EDGES edges together (or one row)."""
    ends, start = np.cumsum(counts), 0
    while start < counts.size:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + EDGES, side="right")))
        yield slice(start, stop)
        start = stop
