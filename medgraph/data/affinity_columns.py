"""Columns of a table that is in memory, whatever they are kept as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from medgraph.data.affinity_units import read_numbers
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["number_column", "text_column"]


def text_column(table: pd.DataFrame | pa.Table, name: str) -> pa.Array:
    """A column as text. Raises SchemaError where it cannot be."""
    column = _column(table, name)
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        raise SchemaError(f"Column {name!r} holds {column.type}, which cannot be read as text.") from None


def number_column(table: pd.DataFrame | pa.Table, name: str) -> Float64[np.ndarray, " n"]:
    """A column as numbers; nan where there is none."""
    column = _column(table, name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return read_numbers(text_column(table, name))
    numbers: Float64[np.ndarray, " n"] = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return numbers


def _column(table: pd.DataFrame | pa.Table, name: str) -> pa.Array:
    """One column as Arrow holds it; objects of several kinds become text."""
    if isinstance(table, pa.Table):
        column = table[name].combine_chunks()
    else:
        series = table[name]
        try:
            column = pa.array(series, from_pandas=True)
            if isinstance(column, pa.ChunkedArray):  # of a frame that was put together from several
                column = column.combine_chunks()
        except pa.ArrowException:
            missing = series.isna()
            column = pa.array([None if gone else str(v) for v, gone in zip(series, missing, strict=True)], pa.string())
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
