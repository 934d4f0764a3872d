"""Concentrations and their logarithms, and numbers as people write them: ">10000", "0.5", "1e-9"."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int64

__all__ = [
    "CONCENTRATIONS",
    "Measures",
    "concentration_of",
    "factor_to",
    "is_logarithm",
    "negative_log",
    "read_measures",
    "read_numbers",
]

CONCENTRATIONS: Mapping[str, float] = MappingProxyType(
    {"M": 1.0, "mM": 1e-3, "uM": 1e-6, "nM": 1e-9, "pM": 1e-12, "fM": 1e-15}
)
"""Units of concentration -> mol/l."""
_MEASURE = r"^\s*(?P<sign>>=|<=|=>|=<|>>|<<|[<>=~≥≤≈])?\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$"
_MORE, _LESS = (">", ">=", "=>", ">>", "≥"), ("<", "<=", "=<", "<<", "≤")


class Measures(NamedTuple):
    """Numbers with their signs.

    Args:
        value: nan where there is none.
        side: 1 where the true number is more (">"), -1 where it is less ("<"), 0 where it is this one.
    """

    value: Float64[np.ndarray, " n"]
    side: Int64[np.ndarray, " n"]


def read_measures(text: pa.Array, signs: pa.Array | None = None) -> Measures:
    """The numbers in a column of text, each with the sign before it, or in a column of its own."""
    found = pc.extract_regex(text, _MEASURE)
    number = pc.replace_substring_regex(pc.struct_field(found, "number"), r"^\+", "")
    sign = pc.struct_field(found, "sign")
    if signs is not None:
        given = pc.utf8_trim_whitespace(signs.cast(pa.string()))
        sign = pc.if_else(pc.fill_null(pc.equal(sign, ""), True), given, sign)
    side = np.zeros(len(text), dtype=np.int64)
    for value, words in ((1, _MORE), (-1, _LESS)):
        side[pc.fill_null(pc.is_in(sign, pa.array(words)), False).to_numpy(zero_copy_only=False)] = value
    return Measures(_numpy(number.cast(pa.float64())), side)


def read_numbers(text: pa.Array) -> Float64[np.ndarray, " n"]:
    """The numbers in a column of text; nan where there is none, or one with a sign such as ">"."""
    found = read_measures(text)
    signed = pc.match_substring_regex(text, r"^\s*[<>~≥≤≈]")
    found.value[pc.fill_null(signed, False).to_numpy(zero_copy_only=False)] = np.nan
    return found.value


def concentration_of(unit: str) -> float | None:
    """How many mol/l is one `unit`? None for what is no unit of concentration.

    Case does not count, and u, micro sign and Greek mu are one.
    """
    text = unit.strip().lower().replace("µ", "u").replace("μ", "u").removesuffix("ol/l").removesuffix("olar")
    return next((value for name, value in CONCENTRATIONS.items() if name.lower() == text), None)


def is_logarithm(unit: str) -> bool:
    """Does this unit name a -log10 of mol/l, such as "pKd" or "-log10(M)"?"""
    text = unit.strip().lower()
    return text.startswith("-log") or (text.startswith("p") and concentration_of(text) is None)


def factor_to(unit: str, given: str) -> float | None:
    """How many mol/l is one `given`, for values wanted in `unit`; 0 where they are in it already, None if they cannot.

    A logarithm that names another measure (pIC50 where pKd is wanted) cannot.
    """
    text = given.strip().lower()
    if text == unit.strip().lower():
        return 0.0
    if not is_logarithm(unit):
        return None
    return 0.0 if text == "p" or text.startswith("-log") else concentration_of(given)


def negative_log(
    value: Float64[np.ndarray, " n"], factor: Float64[np.ndarray, " n"] | float
) -> Float64[np.ndarray, " n"]:
    """-log10(value * factor): a concentration in mol/l on the p scale; nan where it is not positive."""
    good = value > 0
    result = np.full(value.size, np.nan)
    np.log10(value, out=result, where=good)
    result = -result - np.log10(factor)
    return result


def _numpy(column: pa.Array) -> Float64[np.ndarray, " n"]:
    numbers: Float64[np.ndarray, " n"] = column.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers
