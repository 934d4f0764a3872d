"""Node and edge tables in their one normal form: checked, merged and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import SchemaError

__all__ = ["edge_table", "fingerprint", "merge_edges", "merge_nodes", "node_table"]

_Rows = Int64[np.ndarray, " n"]


def _normal_type(given: pa.DataType, where: str) -> pa.DataType:
    types = pa.types
    if types.is_dictionary(given):
        given = given.value_type
    if types.is_null(given) or types.is_string(given) or types.is_large_string(given) or types.is_string_view(given):
        return pa.string()
    if types.is_boolean(given):
        return pa.bool_()
    if types.is_integer(given):
        return pa.int64()
    if types.is_floating(given):
        return pa.float64()
    if types.is_list(given) or types.is_large_list(given):
        _normal_type(given.value_type, where)
        return pa.list_(pa.field("element", pa.string()))
    raise SchemaError(f"{where} has type {given}; expected string, integer, float, boolean or list of string.")


def _normal_column(column: pa.ChunkedArray, where: str) -> pa.Array:
    wanted = _normal_type(column.type, where)
    try:
        column = column if column.type == wanted else column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as fault:
        raise SchemaError(f"{where} cannot be read as {wanted}: {fault}") from None
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _columns(table: pa.Table, where: str, first: tuple[str, str]) -> dict[str, pa.Array]:
    if missing := [name for name in first if name not in table.column_names]:
        raise SchemaError(f"{where} has no column {missing[0]!r}; it has {table.column_names}.")
    if len(set(table.column_names)) != len(table.column_names):
        raise SchemaError(f"{where} has a column twice: {table.column_names}.")
    order = [*first, *(name for name in table.column_names if name not in first)]
    return {name: _normal_column(table.column(name), f"{where}, column {name!r},") for name in order}


def node_table(table: pa.Table, node_type: NodeType) -> pa.Table:
    """`table` in normal form: `id` and `name` first, ids given and unique. Raises SchemaError."""
    columns = _columns(table, f"node table {node_type}", ("id", "name"))
    ids = columns["id"]
    if not pa.types.is_string(ids.type):
        raise SchemaError(f"node table {node_type}: `id` holds {ids.type}, expected strings such as 'DOID:1612'.")
    bad = pc.or_kleene(pc.is_null(ids), pc.equal(ids, ""))
    if pc.any(bad).as_py():
        raise SchemaError(f"node table {node_type} has no id in row {pc.index(pc.fill_null(bad, True), True).as_py()}.")
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise SchemaError(f"node table {node_type} has id {twice.as_py()!r} more than once; ids must be unique.")
    return pa.table(columns)


def edge_table(
    table: pa.Table, edge_type: EdgeType, sizes: tuple[int, int]
) -> tuple[pa.Table, Int64[np.ndarray, "2 edges"]]:
    """`table` in normal form, and its (2, E) edge index, which shares memory with its two end columns.

    Raises:
        SchemaError: a missing column, an end that is no row of its node table (named with its row).
    """
    columns = _columns(table, f"edge table {edge_type}", ("source", "target"))
    index = np.empty((2, table.num_rows), dtype=np.int64)
    for side, (name, size) in enumerate(zip(("source", "target"), sizes, strict=True)):
        column = columns[name]
        if not pa.types.is_int64(column.type) or column.null_count:
            raise SchemaError(f"edge table {edge_type}: {name!r} must hold int64 row numbers and no nulls.")
        index[side] = column.to_numpy()
        outside = (index[side] < 0) | (index[side] >= size)
        if outside.any():
            row = int(outside.argmax())
            node_type = edge_type.source if side == 0 else edge_type.target
            raise SchemaError(
                f"edge table {edge_type}, row {row}: {name} {index[side, row]} is no row of {node_type}, "
                f"which has {size} rows."
            )
        columns[name] = pa.Array.from_buffers(pa.int64(), table.num_rows, [None, pa.py_buffer(index[side])])
    return pa.table(columns), index


def _hash_column(digest: hashlib._Hash, column: pa.Array) -> None:
    kind = "list" if pa.types.is_list(column.type) else str(column.type)  # the name of its items is not content
    digest.update(kind.encode())
    digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(column.type):
        digest.update(pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype("<i8").tobytes())
        _hash_column(digest, column.flatten())
    elif pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        digest.update(pc.binary_length(filled).to_numpy().astype("<i8").tobytes())
        for start in range(0, len(filled), 1 << 16):  # in chunks: the joined bytes never exceed memory
            digest.update("".join(filled[start : start + (1 << 16)].to_pylist()).encode())
    else:
        plain = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
        values = plain.to_numpy(zero_copy_only=False)
        digest.update(values.astype("<f8" if values.dtype.kind == "f" else "<i8").tobytes())


def _canonical_order(source: _Rows, target: _Rows, properties: pa.Table) -> _Rows:
    """Rows by (source, target); parallel edges by the text of their properties."""
    order = np.lexsort((target, source))
    same = (np.diff(source[order]) == 0) & (np.diff(target[order]) == 0)
    if properties.num_columns and same.any():
        tied = np.zeros(order.size, dtype=bool)
        tied[1:] |= same
        tied[:-1] |= same
        text = np.full(order.size, "", dtype=object)
        text[tied] = [repr(sorted(row.items())) for row in properties.take(pa.array(order[tied])).to_pylist()]
        group = np.concatenate([[0], np.cumsum(~same)])
        rows = np.flatnonzero(tied)
        order[rows] = order[rows[np.lexsort((np.unique(text[rows], return_inverse=True)[1], group[rows]))]]
    return order


def fingerprint(
    nodes: Mapping[NodeType, pa.Table],
    edges: Mapping[EdgeType, pa.Table],
    indices: Mapping[EdgeType, Int64[np.ndarray, "2 edges"]],
    symmetric: frozenset[EdgeType],
) -> str:
    """SHA-256 of a graph's content in one canonical order, so that equal graphs hash equal whatever their row order."""
    digest = hashlib.sha256(b"medgraph graph 1")
    rank = {}
    for node_type in sorted(nodes):
        table = nodes[node_type]
        order = pc.sort_indices(table.column("id")).to_numpy()
        rank[node_type] = np.empty(order.size, dtype=np.int64)
        rank[node_type][order] = np.arange(order.size)
        digest.update(f"\nnode {node_type} {order.size}".encode())
        for name in sorted(table.column_names):
            digest.update(f"\n{name} ".encode())
            _hash_column(digest, table.column(name).take(pa.array(order)).combine_chunks())
    for edge_type in sorted(edges):
        source, target = indices[edge_type]
        source, target = rank[edge_type.source][source], rank[edge_type.target][target]
        if edge_type in symmetric:
            source, target = np.minimum(source, target), np.maximum(source, target)
        properties = edges[edge_type].drop_columns(["source", "target"])
        order = _canonical_order(source, target, properties)
        digest.update(f"\nedge {edge_type} {edge_type in symmetric} {order.size}".encode())
        digest.update(source[order].astype("<i8").tobytes())
        digest.update(target[order].astype("<i8").tobytes())
        for name in sorted(properties.column_names):
            digest.update(f"\n{name} ".encode())
            _hash_column(digest, properties.column(name).take(pa.array(order)).combine_chunks())
    return digest.hexdigest()


def _unified(left: pa.Table, right: pa.Table, where: str) -> pa.Table:
    """Both tables one below the other, with the columns of both."""
    for name in set(left.column_names) & set(right.column_names):
        if left.schema.field(name).type != right.schema.field(name).type:
            types = left.schema.field(name).type, right.schema.field(name).type
            raise SchemaError(f"{where}: column {name!r} is {types[0]} in one graph and {types[1]} in the other.")
    return pa.concat_tables([left, right], promote_options="default")


def merge_nodes(left: pa.Table | None, right: pa.Table | None, node_type: NodeType) -> tuple[pa.Table, _Rows]:
    """The union by id, and for each row of `right` its row in the union. Rows of `left` keep their numbers."""
    if left is None or right is None:
        only = right if left is None else left
        assert only is not None
        return only, np.arange(0 if right is None else right.num_rows, dtype=np.int64)
    found = pc.index_in(right.column("id"), value_set=left.column("id").combine_chunks())
    is_new = found.is_null().to_numpy(zero_copy_only=False)
    rows = pc.fill_null(found, 0).to_numpy().astype(np.int64)
    rows[is_new] = left.num_rows + np.arange(is_new.sum())
    union = _unified(left, right.filter(pa.array(is_new)), f"node type {node_type}")
    back = np.full(union.num_rows, -1, dtype=np.int64)
    back[rows[~is_new]] = np.flatnonzero(~is_new)
    filler = pa.array(back, mask=back < 0)
    for name in union.column_names:
        if name in right.column_names and union.column(name).null_count:
            filled = pc.coalesce(union.column(name), right.column(name).take(filler))
            union = union.set_column(union.column_names.index(name), name, filled)
    return union, rows


def merge_edges(
    left: pa.Table | None,
    right: pa.Table | None,
    rows: tuple[_Rows, _Rows],
    edge_type: EdgeType,
    symmetric: bool,
) -> pa.Table:
    """The union by ends; `rows` renumbers the ends of `right`. List-valued properties of an edge in both are united."""
    if right is None:
        assert left is not None
        return left
    ends = [rows[side][right.column(name).to_numpy()] for side, name in enumerate(("source", "target"))]
    right = right.set_column(0, "source", pa.array(ends[0])).set_column(1, "target", pa.array(ends[1]))
    if left is None:
        return right

    ends_of = [table.column(name) for table in (left, right) for name in ("source", "target")]
    width = 1 + max(pc.max(column).as_py() or 0 for column in ends_of)

    def keys(table: pa.Table) -> pa.Array:
        source, target = (table.column(name).to_numpy() for name in ("source", "target"))
        if symmetric:
            source, target = np.minimum(source, target), np.maximum(source, target)
        return pa.array(source * width + target)

    twin = pc.fill_null(pc.index_in(keys(right), value_set=keys(left)), -1).to_numpy().astype(np.int64)
    union = _unified(left, right.filter(pa.array(twin < 0)), f"edge type {edge_type}")
    for name in union.column_names:
        if pa.types.is_list(union.schema.field(name).type) and name in right.column_names and (twin >= 0).any():
            values = union.column(name).to_pylist()
            more = right.column(name).to_pylist()
            for row in np.flatnonzero(twin >= 0).tolist():
                merged = dict.fromkeys([*(values[twin[row]] or ()), *(more[row] or ())])
                values[twin[row]] = list(merged) or None
            column = pa.array(values, type=union.schema.field(name).type)
            union = union.set_column(union.column_names.index(name), name, column)
    return union
