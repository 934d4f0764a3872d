"""The areas and errors of risks under resampling: each function takes weights, how often a sample was drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import check_probabilities, check_scores
from medgraph.evaluation.resampling import Clusters, Interval, Statistic, bootstrap, percentile_interval

__all__ = [
    "auprc_of",
    "auroc_of",
    "estimate",
    "estimate_beside",
    "macro_of",
    "mean_of",
    "recall_at_k",
    "squared_errors",
]

_Labels = Bool[np.ndarray, " n"]
_Scores = Float[np.ndarray, " n"]


def auroc_of(labels: _Labels, scores: _Scores) -> Statistic:
    """(b, n) weights -> P(a negative scores below a positive), ties half; nan where one class was not drawn."""
    order, starts = _groups(scores)

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        positive, negative = _classes(weights, labels, order, starts)
        below = np.cumsum(negative, axis=1) - negative / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            area = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
        return np.asarray(area[:, None])

    return statistic


def auprc_of(labels: _Labels, scores: _Scores) -> Statistic:
    """(b, n) weights -> average precision, scikit-learn's; nan where no positive was drawn."""
    order, starts = _groups(-scores)

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        positive, negative = _classes(weights, labels, order, starts)
        true, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
        precision = true / np.maximum(true + false, np.finfo(np.float64).tiny)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(((precision * positive).sum(axis=1) / positive.sum(axis=1))[:, None])

    return statistic


def mean_of(values: Float[np.ndarray, " n"]) -> Statistic:
    """(b, n) weights -> the mean of what is not nan, such as squared errors."""
    given = ~np.isnan(values)
    filled = np.where(given, values, 0)

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ filled / (weights @ given.astype(np.float64)))[:, None])

    return statistic


def macro_of(statistics: list[Statistic]) -> Statistic:
    """(b, n) weights -> the mean over several figures, those that are nan left out."""

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        each = np.concatenate([one(weights) for one in statistics], axis=1)
        count = (~np.isnan(each)).sum(axis=1)
        return np.asarray((np.nansum(each, axis=1) / np.where(count, count, np.nan))[:, None])

    return statistic


def recall_at_k(labels: Bool[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"], k: int) -> Float[np.ndarray, " n"]:
    """Of a sample's true labels, how many stand among its k likeliest? nan for a sample without any.

    Ties are no merit: each place that equals fight for is shared among them.
    """
    if k < 1:
        raise SchemaError(f"recall at {k}: expected at least 1.")
    check_scores(scores)
    k = min(k, scores.shape[1])
    last = -np.sort(-scores, axis=1)[:, k - 1 : k]
    above, equal = scores > last, scores == last
    room = (k - above.sum(axis=1)) / equal.sum(axis=1)
    found = (labels & above).sum(axis=1) + (labels & equal).sum(axis=1) * room
    true = labels.sum(axis=1)
    return np.where(true > 0, found / np.maximum(true, 1), np.nan)


def squared_errors(labels: Bool[np.ndarray, "..."], probabilities: Float[np.ndarray, "..."]) -> np.ndarray:
    """(p - y)², whose mean is the Brier score."""
    check_probabilities(probabilities.ravel())
    return np.asarray((probabilities - labels) ** 2)


def estimate(
    statistic: Statistic, n: int, n_bootstrap: int, seed: int, clusters: Clusters, minus: Statistic | None = None
) -> Interval:
    """A figure (or the paired difference of two) and its 95 % interval; samples without one are left out."""

    def figure(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        return statistic(weights) if minus is None else np.asarray(statistic(weights) - minus(weights))

    value = float(figure(np.ones((1, n)))[0, 0])
    return _interval(value, bootstrap(figure, n, n_bootstrap, seed, clusters)[:, 0])


def estimate_beside(
    methods: Mapping[str, Mapping[str, Statistic]], n: int, n_bootstrap: int, seed: int, clusters: Clusters
) -> tuple[dict[str, dict[str, Interval]], dict[str, dict[str, Interval]]]:
    """Every figure of every method, and the first method's less each other one's, paired: (estimates, gains).

    All are taken on the same samples, each once; samples without a figure are left out of its interval.
    """
    places = {(method, name): i for i, (method, name) in enumerate((m, f) for m, row in methods.items() for f in row)}
    statistics = [statistic for row in methods.values() for statistic in row.values()]

    def all_of_them(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b m"]:
        return np.concatenate([statistic(weights) for statistic in statistics], axis=1)

    value, drawn = all_of_them(np.ones((1, n)))[0], bootstrap(all_of_them, n, n_bootstrap, seed, clusters)

    def interval(name: str, method: str, minus: str | None = None) -> Interval:
        mine = places[method, name]
        if minus is None:
            return _interval(value[mine], drawn[:, mine])
        other = places[minus, name]
        return _interval(value[mine] - value[other], drawn[:, mine] - drawn[:, other])

    first = next(iter(methods))
    estimates = {method: {name: interval(name, method) for name in row} for method, row in methods.items()}
    gains = {
        method: {name: interval(name, first, method) for name in row}
        for method, row in methods.items()
        if method != first
    }
    return estimates, gains


def _interval(value: float, drawn: Float[np.ndarray, " b"]) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not drawn.size:
        return Interval(float(value), float("nan"), float("nan"))
    return percentile_interval(drawn, value)


def _groups(scores: _Scores) -> tuple[np.ndarray, np.ndarray]:
    """The order of rising scores, and where each distinct one begins."""
    check_scores(scores)
    if not scores.size:
        raise SchemaError("No samples: nothing can be judged.")
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    return order, starts


def _classes(
    weights: Float[np.ndarray, "b n"], labels: _Labels, order: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The weight of positives and of negatives at each distinct score."""
    ordered, true = weights[:, order], labels[order]
    return np.add.reduceat(ordered * true, starts, axis=1), np.add.reduceat(ordered * ~true, starts, axis=1)
