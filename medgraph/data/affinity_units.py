"""Concentrations and their logarithms, and numbers as people write them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

__all__ = ["read_numbers"]

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def read_numbers(text: pa.Array) -> Float64[np.ndarray, " n"]:
    """The numbers in a column of text; nan where there is none."""
    good = pc.match_substring_regex(text, _NUMBER)
    plain = pc.if_else(good, pc.utf8_trim_whitespace(text), pa.scalar(None, pa.string()))
    plain = pc.replace_substring_regex(plain, r"^\+", "")
    numbers: Float64[np.ndarray, " n"] = plain.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return numbers
