"""A server's edges by their targets: one Cypher statement a relation and batch, answered in columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError
from medgraph.stores.access import RandomAccess, check_numbers
from medgraph.stores.cypher import label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import ROW, Manifest
from medgraph.stores.neo4j.survey import OTHER_EDGES

__all__ = ["ServerAccess"]

NODES, EDGES = 200_000, 500_000  # asked for in one statement


class ServerAccess(RandomAccess):
    """The graph of a server. Kept in memory: one count a node and relation.

    A server has no snapshots: a graph that is replaced while it is read is noticed by its counts, and refused.

    Args:
        connection: open for as long as this is used.
        manifest: of the graph that is stored.
    """

    def __init__(self, connection: Connection, manifest: Manifest) -> None:
        super().__init__(manifest.schema, {node_type: part.rows for node_type, part in manifest.nodes.items()})
        self._connection, self._manifest = connection, manifest

    def _pattern(self, relation: EdgeType, other: str) -> str:
        """What enters `(b)` from the node `other`."""
        stored, inverse = self.stored(relation)
        head = "<" if not inverse and stored not in self.schema.symmetric else ""
        return f"(b){head}-[:{label(stored.relation, 'relation')}]-{'>' if inverse else ''}({other})"

    def _find_bounds(self, relation: EdgeType, stored: EdgeType, inverse: bool) -> Int64[np.ndarray, " bounds"]:
        del inverse
        nodes, offset = self.counts[relation.target], self._manifest.offsets[relation.target]
        alone = sum(one.relation == stored.relation for one in self.schema.edge_types) == 1
        alone = alone and OTHER_EDGES not in self._manifest.skipped
        # without a label at its other end a pattern need not be walked: the database keeps its count
        pattern = self._pattern(relation, "" if alone else f":{label(relation.source)}")
        counts = np.zeros(nodes + 1, dtype=np.int64)
        for low in range(offset, offset + nodes, NODES):
            rows, degrees = self._answer(
                f"MATCH (b:{label(relation.target)}) WHERE $low <= b.{ROW} < $high "
                f"RETURN collect(b.{ROW}), collect(COUNT {{ {pattern} }})",
                low=low,
                high=min(low + NODES, offset + nodes),
            )
            counts[rows - offset + 1] = degrees
        return np.cumsum(counts)

    def _find_sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        bounds = self.bounds(relation)
        rows, place = np.unique(self.targets(relation, edges), return_inverse=True)
        counts = bounds[rows + 1] - bounds[rows]
        parts = [self._incoming(relation, rows[part], counts[part]) for part in _parts(counts)]
        found = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        starts = np.cumsum(counts) - counts
        wanted: Int64[np.ndarray, " n"] = found[starts[place] + edges - bounds[rows[place]]]
        return wanted

    def _incoming(
        self, relation: EdgeType, rows: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " edges"]:
        """The sources of every edge that enters `rows`, ordered by target and then by source."""
        offset = self._manifest.offsets[relation.target]
        target, source = self._answer(
            f"UNWIND $rows AS row MATCH (b:{label(relation.target)} {{{ROW}: row}}) "
            f"MATCH {self._pattern(relation, f'a:{label(relation.source)}')} "
            f"RETURN collect(row), collect(a.{ROW})",
            rows=(rows + offset).tolist(),
        )
        order = np.lexsort((source, target))
        if not np.array_equal(target[order], np.repeat(rows + offset, counts)):
            raise StoreError(f"{relation} was changed on the server while it was read: open it again.")
        local: Int64[np.ndarray, " edges"] = source[order] - self._manifest.offsets[relation.source]
        return local

    def _find_numbers(
        self, node_type: NodeType, column: str, rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        part, offset = self._manifest.nodes[node_type], self._manifest.offsets[node_type]
        check_numbers(part.columns, node_type, column)
        name = property_name(part.properties[column])
        asked, place = np.unique(rows, return_inverse=True)
        result = np.full(asked.size, np.nan)
        for start in range(0, asked.size, NODES):
            ((found, values),) = self._connection.read(
                f"UNWIND $rows AS row MATCH (n:{label(node_type)} {{{ROW}: row}}) WHERE n.{name} IS NOT NULL "
                f"RETURN collect(row), collect(n.{name})",
                rows=(asked[start : start + NODES] + offset).tolist(),
            )
            result[np.searchsorted(asked, np.array(found, dtype=np.int64) - offset)] = values
        return result[place]

    def _answer(self, cypher: str, **parameters: object) -> Iterator[Int64[np.ndarray, " n"]]:
        """The lists of whole numbers that a statement returns; by the driver: by Arrow it took ten times as long."""
        (row,) = self._connection.read(cypher, **parameters)
        return (np.array(one, dtype=np.int64) for one in row)


def _parts(counts: Int64[np.ndarray, " n"]) -> Iterator[slice]:
    """Stretches of rows with at most EDGES edges together (or one row)."""
    ends, start = np.cumsum(counts), 0
    while start < counts.size:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + EDGES, side="right")))
        yield slice(start, stop)
        start = stop
