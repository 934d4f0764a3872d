"""What becomes of a pair that was measured more than once?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from medgraph.errors import SchemaError

__all__ = ["Duplicates", "Merged"]


class Merged(NamedTuple):
    """Pairs that stand once each.

    Args:
        first: the row each pair stood on first; pairs are in this order.
        value: of each pair.
        at_most: whether that is only a bound.
        repeats: how many rows were merged into others.
        disagreeing: how many pairs had values further apart than allowed.
        undecided: how many binary pairs were as often 0 as 1; they are left out.
    """

    first: Int64[np.ndarray, " m"]
    value: Float64[np.ndarray, " m"]
    at_most: Bool[np.ndarray, " m"]
    repeats: int
    disagreeing: int
    undecided: int


@dataclass(frozen=True)
class Duplicates:
    """One value for each pair.

    Where a pair has exact values, its bounds ("at most") are passed over; where it has bounds alone, the lowest, which
    says most, stands. Binary values go by majority; pairs that are as often 0 as 1 are left out and counted.

    Args:
        rule: "mean" or "median" of the values as they are, so of logarithms where the unit is one; "first"; "refuse":
            an error if a pair has values further apart than `agree`, else their mean.
        agree: how far apart the values of a pair may be before they count as disagreeing; 1 is a factor of ten.

    Raises:
        SchemaError: another rule, a negative `agree`.
    """

    rule: Literal["mean", "median", "first", "refuse"] = "mean"
    agree: float = 1.0

    def __post_init__(self) -> None:
        if self.rule not in {"mean", "median", "first", "refuse"}:
            raise SchemaError(f"rule is 'mean', 'median', 'first' or 'refuse', not {self.rule!r}.")
        if not self.agree >= 0:
            raise SchemaError(f"agree must not be negative, and is {self.agree}.")

    def merge(
        self,
        pair: Int64[np.ndarray, " n"],
        value: Float64[np.ndarray, " n"],
        at_most: Bool[np.ndarray, " n"],
        binary: bool,
    ) -> tuple[Merged, int | None]:
        """One value for each number in `pair`; and, where the rule is "refuse", a row that disagrees, if any does."""
        _, first, group = np.unique(pair, return_index=True, return_inverse=True)
        if first.size == pair.size:
            return Merged(np.arange(pair.size), value, at_most, 0, 0, 0), None
        bound = np.bincount(group, ~at_most, first.size) == 0
        counts = np.flatnonzero(~at_most | bound[group])  # the rows that have a say
        counts = counts[np.lexsort((value[counts], group[counts]))]
        start = np.searchsorted(group[counts], np.arange(first.size))
        n = np.diff(np.append(start, counts.size))
        low, high = value[counts[start]], value[counts[start + n - 1]]
        merged = self._one(group, value, counts, start, n).clip(low, high)
        apart = ~bound & (high - low > (0 if binary else self.agree))
        keep = np.ones(first.size, dtype=bool)
        if binary:
            keep = (merged != 0.5) | bound
            merged = (merged > 0.5).astype(np.float64)
        merged = np.where(bound, low, merged)
        again = np.flatnonzero(apart[group] & ~at_most & (np.arange(pair.size) != first[group]))
        chosen = np.flatnonzero(keep)
        chosen = chosen[np.argsort(first[chosen])]
        found = Merged(
            first[chosen],
            merged[chosen],
            bound[chosen],
            pair.size - first.size,
            int(apart.sum()),
            int((~keep).sum()),
        )
        return found, int(again[0]) if self.rule == "refuse" and again.size else None

    def _one(
        self,
        group: Int64[np.ndarray, " n"],
        value: Float64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " k"],
        start: Int64[np.ndarray, " m"],
        n: Int64[np.ndarray, " m"],
    ) -> Float64[np.ndarray, " m"]:
        """One value for each group; its rows stand in `counts` from `start` on, `n` of them, by value."""
        result: Float64[np.ndarray, " m"]
        if self.rule == "first":
            result = value[np.minimum.reduceat(counts, start)]
        elif self.rule == "median":
            result = (value[counts[start + (n - 1) // 2]] + value[counts[start + n // 2]]) / 2
        else:
            result = np.bincount(group[counts], value[counts], start.size) / n
        return result
