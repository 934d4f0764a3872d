"""How a graph lies in Neo4j: what each type, column and property is called, and the manifest that says so.

    (:Disease {id, name, ..., _row, _text, _exact})-[:associates {pmids, ..., _exact}]->(:Gene {...})
    (:_Medgraph {name: "graph", manifest})      what is stored: schemas, counts, provenance, fingerprint
    (:_Medgraph {name: "writer", ...})          who is writing, and how far they are
    (:_Medgraph {name: "embedding:...", ...})   vectors written to the nodes

`_row` is the node's global index, `_text` its names as the full-text index reads them. Neo4j keeps no null in a list: a
list that has one is stored without it, and whole, as JSON, in `_exact`. Labels with an underscore in front are never
those of a graph, so no name of one can meet ours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import FormatVersionError, StoreError

__all__ = [
    "BOOKKEEPING",
    "EMBEDDING",
    "EXACT",
    "PREDICTED",
    "RETIRED",
    "ROW",
    "STAGED",
    "TEXT",
    "TEXT_INDEX",
    "VECTOR",
    "VECTOR_INDEX",
    "Manifest",
    "property_names",
]

FORMAT_VERSION = 1
BOOKKEEPING, STAGED, RETIRED = "_Medgraph", "_Staged", "_Retired"
ROW, TEXT, EXACT = "_row", "_text", "_exact"
TEXT_INDEX = "medgraph_names"
VECTOR = "_vector_"  # and the embedding's name: the property with a node's vector
PREDICTED = "predicted_"  # how relations of predicted edges begin
EMBEDDING, VECTOR_INDEX = "embedding:", "medgraph_vector."  # how bookkeeping nodes and indexes of vectors are called


def property_names(columns: Iterable[str]) -> dict[str, str]:
    r"""What each column is called in the database: its own name where Neo4j can have it.

    A NUL, a backslash (Cypher reads `\u0060` inside names), no name at all, and our own underscore names cannot be.
    """
    names: dict[str, str] = {}
    for column in columns:
        name = column.replace("\0", "_").replace("\\", "_") or "unnamed"
        if name.startswith("_"):
            name = f"x{name}"
        while name in names.values():
            name += "_"
        names[column] = name
    return names


@dataclass(frozen=True)
class Part:
    """One node or edge type as stored: rows, columns (Arrow), their property names, and how many nulls each has."""

    rows: int
    columns: pa.Schema
    properties: Mapping[str, str]
    nulls: Mapping[str, int]

    @classmethod
    def of(cls, table: pa.Table) -> Part:
        """What the manifest keeps of a table."""
        nulls = {name: table.column(name).null_count for name in table.column_names}
        return cls(table.num_rows, table.schema.remove_metadata(), property_names(table.column_names), nulls)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        columns = base64.b64encode(self.columns.serialize().to_pybytes()).decode()
        return {"rows": self.rows, "columns": columns, "properties": dict(self.properties), "nulls": dict(self.nulls)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Part:
        """Back from plain values."""
        columns = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(entry["columns"])))
        return cls(entry["rows"], columns, entry["properties"], entry["nulls"])


@dataclass(frozen=True)
class Manifest:
    """What is stored."""

    nodes: Mapping[NodeType, Part]
    edges: Mapping[EdgeType, Part]
    symmetric: frozenset[EdgeType]
    provenance: tuple[Provenance, ...]
    skipped: Mapping[str, int]
    fingerprint: str

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> Manifest:
        """The manifest of a graph that is about to be written."""
        return cls(
            {node_type: Part.of(table) for node_type, table in graph.nodes.items()},
            {edge_type: Part.of(table) for edge_type, table in graph.edges.items()},
            graph.symmetric,
            graph.provenance,
            dict(graph.skipped),
            graph.fingerprint,
        )

    @cached_property
    def schema(self) -> Schema:
        """The node and edge types."""
        return Schema(tuple(self.nodes), tuple(self.edges), self.symmetric)

    @cached_property
    def offsets(self) -> dict[NodeType, int]:
        """The `_row` of each node type's first node."""
        offsets, start = {}, 0
        for node_type, part in self.nodes.items():
            offsets[node_type] = start
            start += part.rows
        return offsets

    @property
    def num_nodes(self) -> int:
        """How many nodes there are."""
        return sum(part.rows for part in self.nodes.values())

    def to_json(self) -> str:
        """As the bookkeeping node holds it."""
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "nodes": {node_type: part.to_json() for node_type, part in self.nodes.items()},
                "edges": [
                    {**edge_type._asdict(), "symmetric": edge_type in self.symmetric, **part.to_json()}
                    for edge_type, part in self.edges.items()
                ],
                "provenance": [asdict(one) for one in self.provenance],
                "skipped": dict(self.skipped),
                "fingerprint": self.fingerprint,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Back from the bookkeeping node.

        Raises:
            FormatVersionError: written by a newer medgraph.
            StoreError: it was damaged.
        """
        try:
            found = json.loads(text)
            if found["format_version"] > FORMAT_VERSION:
                raise FormatVersionError(
                    f"The graph in this database has format {found['format_version']}; this medgraph reads up to "
                    f"{FORMAT_VERSION}. Upgrade medgraph."
                )
            ends = [EdgeType(one["source"], one["relation"], one["target"]) for one in found["edges"]]
            return cls(
                {node_type: Part.from_json(entry) for node_type, entry in found["nodes"].items()},
                {edge_type: Part.from_json(entry) for edge_type, entry in zip(ends, found["edges"], strict=True)},
                frozenset(one for one, entry in zip(ends, found["edges"], strict=True) if entry["symmetric"]),
                tuple(Provenance(**one) for one in found["provenance"]),
                found["skipped"],
                found["fingerprint"],
            )
        except (KeyError, TypeError, ValueError, pa.ArrowInvalid) as fault:
            raise StoreError(
                f"The manifest in this database was damaged ({fault!r}). Remove it by "
                f"store.execute(\"MATCH (m:{BOOKKEEPING} {{name: 'graph'}}) DELETE m\"), then store.accept() takes "
                "what is there as the graph."
            ) from None
