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
        _, first, group, size = np.unique(pair, return_index=True, return_inverse=True, return_counts=True)
        if first.size == pair.size:
            return Merged(np.arange(pair.size), value, at_most, 0, 0, 0), None
        merged, bound = value[first].copy(), at_most[first].copy()
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(size)
        keep = np.ones(first.size, dtype=bool)
        disagreeing, worst = 0, None
        for g in np.flatnonzero(size > 1).tolist():
            rows = order[ends[g] - size[g] : ends[g]]
            values, bounds = value[rows], at_most[rows]
            bound[g] = bounds.all()
            exact = values if bound[g] else values[~bounds]
            apart = not bound[g] and np.ptp(exact) > (0 if binary else self.agree)
            if apart:
                disagreeing += 1
                worst = int(rows[1]) if worst is None else worst
            if binary:
                share = exact.mean() if self.rule != "first" else exact[0]
                merged[g], keep[g] = float(share > 0.5), share != 0.5
            elif bound[g]:
                merged[g] = values.min()
            else:
                merged[g] = {"first": exact[0], "median": np.median(exact)}.get(self.rule, exact.mean())
        chosen = np.flatnonzero(keep)
        chosen = chosen[np.argsort(first[chosen])]
        found = Merged(
            first[chosen], merged[chosen], bound[chosen], pair.size - first.size, disagreeing, int((~keep).sum())
        )
        return found, worst if self.rule == "refuse" else None
