"""How good are scores? Ranks with ties, areas under curves, errors of probabilities: pure functions on arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.errors import SchemaError

__all__ = [
    "Ranks",
    "Separation",
    "auprc",
    "auroc",
    "brier",
    "expected_calibration_error",
    "hits_at",
    "log_loss",
    "mrr",
    "rank_links",
    "recall_at",
    "separate",
]

_BLOCK = 1 << 22  # scores looked at in one step: a few tens of MB


class Ranks(NamedTuple):
    """Where each true answer stands in its list; 1 is the top.

    Ties are no merit: `optimistic` puts the true answer first among equals, `pessimistic` last, `realistic` in the
    middle, which is what every figure here uses (Berrendorf et al. 2020, arXiv:2002.06914).
    """

    optimistic: Int64[np.ndarray, " n"]
    pessimistic: Int64[np.ndarray, " n"]
    candidates: Int64[np.ndarray, " n"]

    @property
    def realistic(self) -> Float[np.ndarray, " n"]:
        """The mean of the optimistic and the pessimistic rank."""
        return np.asarray((self.optimistic + self.pessimistic) / 2)


def rank_links(
    scores: Float[np.ndarray, "s t"],
    links: Int64[np.ndarray, "2 n"],
    excluded: Bool[np.ndarray, "rows columns"] | None = None,
) -> Ranks:
    """For each link's source, at which rank among all targets stands the link's target?

    For the other direction pass `scores.T`, `links[::-1]` and `excluded.T`.

    Args:
        scores: higher = more likely.
        links: rows and columns of the true pairs.
        excluded: pairs that are no candidates because they are known to be true ("filtered" setting, Bordes et al.
            2013). The ranked link itself always stays a candidate.

    Raises:
        SchemaError: a score that is not a number, links outside the matrix, or `excluded` of another shape.
    """
    check_scores(scores)
    rows, columns = links
    if links.size and (links.min() < 0 or rows.max() >= scores.shape[0] or columns.max() >= scores.shape[1]):
        raise SchemaError(
            f"Links reach row {rows.max()}, column {columns.max()}; the scores have shape {scores.shape}."
        )
    if excluded is not None and excluded.shape != scores.shape:
        raise SchemaError(f"Excluded pairs have shape {excluded.shape}, the scores {scores.shape}; they must agree.")
    better, equal, candidates = (np.empty(rows.size, dtype=np.int64) for _ in range(3))
    order = np.argsort(rows, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(rows[order])) + 1) if rows.size else []:
        row, column = rows[mine[0]], columns[mine]
        free = np.ones(scores.shape[1], dtype=bool) if excluded is None else ~excluded[row]
        pool = np.sort(scores[row, free])
        below, upto = (np.searchsorted(pool, scores[row, column], side=side) for side in ("left", "right"))
        better[mine] = pool.size - upto
        equal[mine] = upto - below - free[column]
        candidates[mine] = pool.size + 1 - free[column]
    return Ranks(better + 1, better + equal + 1, candidates)


def mrr(ranks: Float[np.ndarray, " n"]) -> float:
    """mean(1 / rank): the mean reciprocal rank."""
    return float(np.mean(1 / _given(ranks)))


def hits_at(ranks: Float[np.ndarray, " n"], k: int) -> float:
    """mean(rank <= k): the share of links whose true answer is among the first k."""
    return float(np.mean(_given(ranks) <= k))


def recall_at(ranks: Float[np.ndarray, " n"], queries: Int64[np.ndarray, " n"], n: int) -> float:
    """Of what is true for a query, how much stands in its first n answers? The mean over queries.

    Args:
        ranks: ranks in lists from which a query's other true answers were not taken out.
        queries: which links share one query.
        n: length of the list.
    """
    found = np.bincount(queries, weights=_given(ranks) <= n)
    asked = np.bincount(queries)
    return float(np.mean(found[asked > 0] / asked[asked > 0]))


class Separation(NamedTuple):
    """For each positive, how many negatives score above it and how many the same: all that ROC and PR curves need."""

    positives: Float[np.ndarray, " p"]
    above: Int64[np.ndarray, " p"]
    equal: Int64[np.ndarray, " p"]
    negatives: int

    @property
    def placements(self) -> Float[np.ndarray, " p"]:
        """P(negative < positive) + P(negative = positive) / 2, per positive; their mean is the AUROC."""
        return 1 - (self.above + self.equal / 2) / self.negatives

    def auroc(self) -> float:
        """P(negative < positive) + P(negative = positive) / 2 (Hanley & McNeil 1982)."""
        return float(self.placements.mean())

    def auprc(self) -> float:
        """Average precision, the sum of precision x step in recall over the distinct thresholds."""
        return float(self.weighted_auprc(np.ones((1, self.positives.size)))[0])

    def weighted_auprc(self, weights: Float[np.ndarray, "b p"]) -> Float[np.ndarray, " b"]:
        """Average precision when positive i counts `weights[:, i]` times, as in a bootstrap sample."""
        order = np.argsort(-self.positives, kind="stable")
        ranked = self.positives[order]
        last = np.searchsorted(-ranked, -ranked, side="right") - 1  # equals share one threshold
        weights = weights[:, order]
        true = np.cumsum(weights, axis=1)[:, last]
        false = (self.above + self.equal)[order]
        precision = true / np.maximum(true + false, np.finfo(np.float64).tiny)
        return np.asarray((weights * precision).sum(axis=1) / weights.sum(axis=1))


def separate(positives: Float[np.ndarray, " p"], negatives: Float[np.ndarray, " q"]) -> Separation:
    """Count, for each positive score, the negatives above it and equal to it.

    Raises:
        SchemaError: no positives, no negatives, or a score that is not a number.
    """
    check_scores(positives)
    check_scores(negatives)
    if not positives.size or not negatives.size:
        raise SchemaError(f"{positives.size} positives and {negatives.size} negatives: at least one of each is needed.")
    above, equal = np.zeros(positives.size, dtype=np.int64), np.zeros(positives.size, dtype=np.int64)
    for start in range(0, negatives.size, _BLOCK):
        part = np.sort(negatives[start : start + _BLOCK])
        below, upto = np.searchsorted(part, positives, side="left"), np.searchsorted(part, positives, side="right")
        above += part.size - upto
        equal += upto - below
    return Separation(positives, above, equal, negatives.size)


def auroc(labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: P(a true pair outscores a false one), ties half."""
    return separate(scores[labels], scores[~labels]).auroc()


def auprc(labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Area under the precision-recall curve as average precision, scikit-learn's definition."""
    return separate(scores[labels], scores[~labels]).auprc()


def brier(labels: Bool[np.ndarray, " n"], probabilities: Float[np.ndarray, " n"]) -> float:
    """mean((p - y)²) (Brier 1950)."""
    return float(np.mean((check_probabilities(probabilities) - labels) ** 2))


def log_loss(labels: Bool[np.ndarray, " n"], probabilities: Float[np.ndarray, " n"]) -> float:
    """-mean(log p(y)), in nats; a probability of 0 or 1 is moved inwards by one machine epsilon."""
    given = check_probabilities(probabilities)
    epsilon = np.finfo(given.dtype).eps
    given = np.clip(given, epsilon, 1 - epsilon)
    return float(-np.mean(np.where(labels, np.log(given), np.log1p(-given))))


def expected_calibration_error(
    labels: Bool[np.ndarray, " n"], probabilities: Float[np.ndarray, " n"], bins: int = 10
) -> float:
    """Sum over bins of (share of pairs in the bin) x |observed frequency - mean probability| (Naeini et al. 2015).

    Bins hold equally many pairs: true links are rare, and of ten equally wide bins nine would be nearly empty.
    """
    numbers = equal_mass_bins(check_probabilities(probabilities), bins)
    gaps = np.bincount(numbers, weights=labels - probabilities)
    return float(np.abs(gaps).sum() / labels.size)


def equal_mass_bins(values: Float[np.ndarray, " n"], bins: int) -> Int64[np.ndarray, " n"]:
    """The number, from 0, of each value's bin when bins hold equally many values; equal values share a bin."""
    if bins < 1:
        raise SchemaError(f"{bins} bins; expected at least 1.")
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def check_scores(scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`scores`, if none of them is NaN; SchemaError with the first place if one is."""
    if np.isnan(scores).any():
        count, first = int(np.isnan(scores).sum()), tuple(int(i) for i in np.argwhere(np.isnan(scores))[0])
        raise SchemaError(f"{count} of {scores.size} scores are NaN, the first at {first}; every pair needs a score.")
    return scores


def check_probabilities(probabilities: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """`probabilities`, if there are any and all lie in [0, 1]; SchemaError if not."""
    inside = (_given(probabilities) >= 0) & (probabilities <= 1)
    if not inside.all():
        first = int(np.argmin(inside))
        raise SchemaError(f"Probability {probabilities[first]} at place {first}; expected a number from 0 to 1.")
    return probabilities


def _given(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    if not values.size:
        raise SchemaError("No values: a mean over nothing was asked for. Is the part of the split empty?")
    return values
