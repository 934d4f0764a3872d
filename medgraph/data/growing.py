"""A table that grows from a stream."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.errors import MalformedInputError

__all__ = ["GrowingTable", "split_lists"]


@runtime_checkable
class HasPath(Protocol):
    """What a table is read from, for errors to name."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...


@dataclass
class GrowingTable:
    """A table that grows by parts whose columns and types may differ.

    Args:
        keep: columns that stay even if no row has a value.
        lists: columns that hold several values, parted by | where they are text.
    """

    keep: Collection[str]
    lists: Collection[str] = ()
    rows: int = 0
    columns: dict[str, list[pa.Array]] = field(default_factory=dict)

    def add(self, table: pa.Table, file: HasPath) -> None:
        """Put `table` below what is there. Raises MalformedInputError: a column that cannot be read."""
        for name in table.column_names:
            chunks = self.columns.setdefault(name, [pa.nulls(self.rows)] if self.rows else [])
            chunks.append(_plain(table[name], name, self.lists, file))
        for name in self.columns.keys() - set(table.column_names):
            self.columns[name].append(pa.nulls(len(table)))
        self.rows += len(table)

    def table(self) -> pa.Table:
        """The whole, less columns without a value; consumes the parts, so that nothing is held twice for long."""
        result = {}
        for name in list(self.columns):
            chunks = self.columns.pop(name)
            if name not in self.keep and all(chunk.null_count == len(chunk) for chunk in chunks):
                continue
            kind = _common({chunk.type for chunk in chunks})
            result[name] = pa.concat_arrays([_cast(chunk, kind) for chunk in chunks])
        return pa.table(result)


def split_lists(column: pa.ChunkedArray) -> pa.Array:
    """`a|b` -> [a, b]; lists stay lists."""
    values = column.combine_chunks()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = values.cast(pa.string())
        return pc.split_pattern(pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values), "|")
    return values


def _plain(column: pa.ChunkedArray, name: str, lists: Collection[str], file: HasPath) -> pa.Array:
    """A column as the graph holds it: lists where the slot has several values."""
    values = split_lists(column) if name in lists else column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    try:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return values.cast(pa.list_(pa.string()))
        if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
            return values.cast(pa.string())
    except pa.ArrowException as fault:
        raise MalformedInputError(f"cannot be read: {str(fault)[:200]}", file.path, None, name) from None
    return values


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    """The one type for a column whose parts have these."""
    kinds = kinds - {pa.null()}
    if len(kinds) <= 1:
        return next(iter(kinds), pa.string())
    if any(pa.types.is_list(kind) for kind in kinds):
        return pa.list_(pa.string())
    return pa.float64() if kinds == {pa.int64(), pa.float64()} else pa.string()


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if pa.types.is_list(kind) and not pa.types.is_null(values.type):
        text = values.cast(pa.string())
        lengths = text.is_valid().cast(pa.int32())
        offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy())])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), text.drop_null(), mask=text.is_null())
    return values.cast(kind)
