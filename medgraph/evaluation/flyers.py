"""Frequent flyers: does the same drug top every disease's list?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["Flyer", "FrequentFlyers", "appearances", "frequent_flyers"]


class Flyer(NamedTuple):
    """A source node, the share of lists it stands in, and how many training links it has."""

    id: str
    name: str
    share: float
    training_links: int


class FrequentFlyers(NamedTuple):
    """How unevenly the places in the targets' lists go to sources.

    A list is the `topn` best sources of one target, known pairs left out. Compare with the random baseline of the same
    report: few lists are uneven by chance.
    """

    lists: int
    topn: int
    gini: float
    effective: float
    expected_share: float
    top: tuple[Flyer, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**self._asdict(), "top": [flyer._asdict() for flyer in self.top]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> FrequentFlyers:
        """The reverse of `to_dict`."""
        return cls(**{**plain, "top": tuple(Flyer(**flyer) for flyer in plain["top"])})


def appearances(
    scores: Float[np.ndarray, "s t"], excluded: Bool[np.ndarray, "s t"], topn: int
) -> Float[np.ndarray, " s"]:
    """In how many targets' lists of the `topn` best sources does each source stand? Ties for the last places share."""
    open_scores = np.where(excluded, -np.inf, scores)
    depth = min(topn, scores.shape[0])
    last = np.partition(open_scores, -depth, axis=0)[-depth]
    above, equal = open_scores > last, (open_scores == last) & ~excluded
    share = (depth - above.sum(axis=0)) / np.maximum(equal.sum(axis=0), 1)
    return np.asarray(above.sum(axis=1) + equal @ np.minimum(share, 1.0))


def frequent_flyers(
    scores: Float[np.ndarray, "s t"],
    excluded: Bool[np.ndarray, "s t"],
    nodes: list[tuple[str, str, int]],
    topn: int = 10,
    shown: int = 10,
) -> FrequentFlyers:
    """The audit: Gini coefficient and effective number (exp of the entropy) of sources over all lists.

    Args:
        scores: higher = more likely.
        excluded: pairs that may stand in no list.
        nodes: id, name and number of training links of each source.
        topn: length of a list.
        shown: how many of the most frequent sources to name.
    """
    count = appearances(scores, excluded, topn)
    lists, sources = scores.shape[1], count.size
    ordered = np.sort(count)
    total = max(float(count.sum()), np.finfo(np.float64).tiny)
    gini = float((2 * np.arange(1, sources + 1) - sources - 1) @ ordered / (sources * total))
    share = ordered[ordered > 0] / total
    first = np.argsort(-count, kind="stable")[:shown].tolist()
    top = tuple(Flyer(nodes[i][0], nodes[i][1], float(count[i] / lists), nodes[i][2]) for i in first)
    effective = float(np.exp(-(share * np.log(share)).sum()))
    return FrequentFlyers(lists, topn, gini, effective, total / (lists * sources), top)
