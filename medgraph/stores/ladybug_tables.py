"""The tables of a Ladybug database, made from a graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import ladybug
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, Schema
from medgraph.errors import StoreError
from medgraph.stores.cypher import label, property_name

__all__ = ["ADDRESS_SPACE", "build_database", "check_tables", "first_line"]

ADDRESS_SPACE = 1 << 38  # bytes of address space an open database reserves; the engine's own 8 TB allows 16 at once
_RESERVED = {"_id", "_label", "_src", "_dst"}


def first_line(fault: Exception) -> str:
    """What the engine says, without its picture of the query."""
    return (str(fault).splitlines() or [type(fault).__name__])[0]


def check_tables(schema: Schema) -> None:
    """Ladybug keeps node types and relations in one list of tables, and takes Gene and gene for one name.

    Raises:
        StoreError: two names of `schema` are one to Ladybug.
    """
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


def build_database(path: Path, graph: KnowledgeGraph) -> None:
    """Make the database of a graph: a table per node type, a table group per relation, filled by COPY from Arrow.

    Raises:
        StoreError: Ladybug refused, or a property has two types in one relation.
    """

    def declared(columns: dict[str, pa.DataType]) -> str:
        return "".join(f", {property_name(name)} {_column_type(kind)}" for name, kind in columns.items())

    database = connection = None
    try:
        database = ladybug.Database(path, max_db_size=ADDRESS_SPACE, auto_checkpoint=False)
        connection = ladybug.Connection(database)
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
        raise StoreError(f"Ladybug could not take the graph in: {first_line(fault)}") from fault
    finally:
        for opened in (connection, database):
            if opened is not None:
                opened.close()


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """A property of an edge table, or as many nulls where it has none."""
    if name in table.column_names and table.schema.field(name).type == kind:
        return table.column(name)
    return pa.nulls(table.num_rows, kind)
