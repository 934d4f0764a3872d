"""Are the stronger binders told to be stronger? The concordance index, exact with ties, in O(n log n)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import check_scores
from medgraph.evaluation.resampling import Statistic

__all__ = ["concordance_index", "concordance_index_of"]


def concordance_index(y: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " m"]) -> float:
    """Over pairs of observations with y_i > y_j: the share with p_i > p_j, and half of those with p_i = p_j.

    Gönen & Heller (2005), as the text of DeepDTA (Öztürk et al. 2018) prints it. Equal measurements are no pair. The
    code of DeepDTA looks only at pairs whose stronger one comes later in the file: about half of them.

    Raises:
        SchemaError: lengths differ, a value is not a number, or all measurements are equal.
    """
    value = float(concordance_index_of(y, predicted)(np.ones((1, y.size)))[0, 0])
    if np.isnan(value):
        raise SchemaError(f"All {y.size} measurements are equal: there is no pair to order.")
    return value


def concordance_index_of(y: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " m"]) -> Statistic:
    """(b, n) weights -> the concordance index when observation i was drawn w_i times; nan without a pair to order.

    Which observations meet is settled once, by splitting the ranks of y bit by bit, so a further sample costs one
    running sum for each of log2(n) bits: about 3 ms for 23,000 observations.
    """
    if y.shape != predicted.shape:
        raise SchemaError(f"{y.size} measurements and {predicted.size} predictions; expected one for each.")
    check_scores(y)
    check_scores(predicted)
    levels, values = _levels(y, predicted), np.unique(y, return_inverse=True)[1]

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        found = np.full((len(weights), 1), np.nan)
        for row, weight in enumerate(weights):
            each = np.bincount(values, weights=weight)
            pairs = (weight.sum() ** 2 - (each**2).sum()) / 2
            if pairs > 0:
                found[row] = sum(level.ordered(weight) for level in levels) / pairs
        return found

    return statistic


class _Level(NamedTuple):
    """The observations whose ranks of y agree above one bit, and part at it."""

    lower: Int64[np.ndarray, " p"]  # those with bit 0, in groups, each by rising prediction
    upper: Int64[np.ndarray, " q"]  # those with bit 1
    first: Int64[np.ndarray, " q"]  # for each of these: where its group begins among the lower
    below: Int64[np.ndarray, " q"]  # where those predicted below it end
    upto: Int64[np.ndarray, " q"]  # where those predicted the same end

    def ordered(self, weight: Float[np.ndarray, " n"]) -> float:
        """The weight of the pairs that are predicted in the order measured, ties half."""
        sums = np.empty(self.lower.size + 1)
        sums[0] = 0
        np.cumsum(weight[self.lower], out=sums[1:])
        reached = sums[self.below]
        reached = reached if self.upto is self.below else (reached + sums[self.upto]) / 2
        return float(weight[self.upper] @ (reached - sums[self.first]))


def _levels(y: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]) -> list[_Level]:
    """One for each bit of the ranks of y: every two unequal ranks part at exactly one bit, their highest unlike one."""
    rank, place = (np.unique(given, return_inverse=True)[1].astype(np.int64) for given in (y, predicted))
    rising = np.argsort(place, kind="stable")
    span = int(place.max(initial=0)) + 2
    levels = []
    for bit in range(int(rank.max(initial=0)).bit_length()):
        group = rank >> (bit + 1)
        order = rising[np.argsort(group[rising], kind="stable")]
        high = (rank[order] >> bit) & 1 == 1
        lower, upper = order[~high], order[high]
        keys, wanted = group[lower] * span + place[lower], group[upper] * span
        first = np.searchsorted(keys, wanted)
        below = np.searchsorted(keys, wanted + place[upper])
        upto = np.searchsorted(keys, wanted + place[upper], side="right")
        levels.append(_Level(lower, upper, first, below, below if np.array_equal(below, upto) else upto))
    return levels
