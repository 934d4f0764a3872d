"""Which nodes are called something like this? The full-text index proposes, the embedded store's rules decide."""

from __future__ import annotations

import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import NodeType
from medgraph.stores.cypher import label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import ROW, TEXT_INDEX, Manifest
from medgraph.stores.search import NameIndex, asked_words, name_columns

__all__ = ["search_names"]

_MOST = 10_000  # nodes that have every word
_CLOSE = 2_000  # nodes that have some, or words spelt alike


def search_names(
    connection: Connection, manifest: Manifest, text: str, topn: int, node_type: NodeType | None
) -> pa.Table:
    """id, name, node_type, matched, score, best first, as `NameIndex.search` ranks them.

    Candidates are the nodes with every word of the text, whole or cut short; where no name has them all, also those
    with some of them, or with words one or two letters away (Levenshtein), best by BM25.
    """
    words = asked_words(text)
    if not words or not manifest.nodes:
        return _index(connection, manifest, [], node_type).search("")
    every = _index(
        connection, manifest, _propose(connection, " AND ".join(f"{word}*" for word in words), _MOST), node_type
    )
    if every.holds_all(text):
        return every.search(text, topn, node_type)
    close = " OR ".join(f"{word} OR {word}* OR {word}~" for word in words)
    return _index(connection, manifest, _propose(connection, close, max(_CLOSE, topn)), node_type).search(
        text, topn, node_type
    )


def _propose(connection: Connection, query: str, limit: int) -> list[int]:
    found: list[int] = connection.read(
        f"CALL db.index.fulltext.queryNodes('{TEXT_INDEX}', $query, {{limit: $limit}}) YIELD node "
        f"RETURN collect(node.{ROW})",
        query=query,
        limit=limit,
    )[0][0]
    return found


def _index(connection: Connection, manifest: Manifest, rows: list[int], wanted: NodeType | None) -> NameIndex:
    """The index of the candidates, in the graph's order, so that ties fall as they do in the whole of it."""
    tables = {}
    for node_type, part in manifest.nodes.items():
        first = manifest.offsets[node_type]
        own = sorted(row for row in rows if first <= row < first + part.rows)
        columns = name_columns(part.columns.empty_table())
        schema = pa.schema([part.columns.field(name) for name in columns])
        if own and wanted in (None, node_type):
            asked = ", ".join(f"n.{property_name(part.properties[name])}" for name in columns)
            found = connection.read(
                f"UNWIND $rows AS row MATCH (n:{label(node_type)} {{{ROW}: row}}) RETURN collect([{asked}])", rows=own
            )[0][0]
            tables[node_type] = pa.table(list(map(list, zip(*found, strict=True))), schema=schema)
        else:
            tables[node_type] = schema.empty_table()
    return NameIndex.build(KnowledgeGraph(tables))
