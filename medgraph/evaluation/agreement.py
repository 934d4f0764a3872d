"""How near are predicted values to measured ones? Errors, correlations and r²m, each also under weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import check_scores
from medgraph.evaluation.resampled import mean_of
from medgraph.evaluation.resampling import Statistic

__all__ = [
    "mean_squared_error",
    "mean_squared_error_of",
    "pearson",
    "pearson_of",
    "r2m",
    "r2m_deepdta",
    "r2m_deepdta_of",
    "r2m_of",
    "root_mean_squared_error",
    "root_mean_squared_error_of",
    "spearman",
    "spearman_of",
]

_Values = Float[np.ndarray, " n"]
_Predicted = Float[np.ndarray, " m"]  # as many, which is checked
_Sums = Float[np.ndarray, " b"]


def mean_squared_error(y: _Values, predicted: _Predicted) -> float:
    """mean((y - p)²)."""
    return _once(mean_squared_error_of, y, predicted)


def root_mean_squared_error(y: _Values, predicted: _Predicted) -> float:
    """sqrt(mean((y - p)²)), in the unit of y."""
    return _once(root_mean_squared_error_of, y, predicted)


def pearson(y: _Values, predicted: _Predicted) -> float:
    """cov(y, p) / (sd(y) sd(p)); nan where either is constant."""
    return _once(pearson_of, y, predicted)


def spearman(y: _Values, predicted: _Predicted) -> float:
    """Pearson's correlation of the ranks, equals at their mean rank (Spearman 1904); nan where either is constant."""
    return _once(spearman_of, y, predicted)


def r2m(y: _Values, predicted: _Predicted) -> float:
    """r² (1 - sqrt(r² - r0²)), as Pratim Roy et al. (2009) and the text of DeepDTA print it.

    r is Pearson's; r0² = 1 - sum((y - k p)²) / sum((y - mean(y))²) with k = sum(y p) / sum(p²), the fit through the
    origin. It is never above r², so no absolute value is needed. Ojha et al. (2011) average this and
    `r2m(predicted, y)`, the same with the axes swapped.
    """
    return _once(r2m_of, y, predicted)


def r2m_deepdta(y: _Values, predicted: _Predicted) -> float:
    """r² (1 - sqrt(|r⁴ - r0⁴|)): what the code of DeepDTA computes, and with it most affinity papers since.

    It squares r² and r0² once more (`get_rm2` of its emetrics.py), so figures are not those of `r2m`. Tables from 2018
    on that name this code, such as GraphDTA's descendants, must be compared with this one.
    """
    return _once(r2m_deepdta_of, y, predicted)


def mean_squared_error_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `mean_squared_error`."""
    _check(y, predicted)
    return mean_of((y - predicted) ** 2)


def root_mean_squared_error_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `root_mean_squared_error`."""
    squares = mean_squared_error_of(y, predicted)
    return lambda weights: np.asarray(np.sqrt(squares(weights)))


def pearson_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `pearson`."""
    _check(y, predicted)
    centred = _centred(y), _centred(predicted)
    return lambda weights: _correlation(weights, *centred)[:, None]


def spearman_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `spearman`; an observation drawn twice is two equals."""
    _check(y, predicted)
    groups = [np.unique(given, return_inverse=True)[1] for given in (y, predicted)]

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        found = np.empty((len(weights), 1))
        for row, weight in enumerate(weights):
            ranks = []
            for group in groups:
                each = np.bincount(group, weights=weight)
                ranks.append((np.cumsum(each) - each / 2 - weight.sum() / 2)[group])
            found[row] = _correlation(weight[None, :], ranks[0], ranks[1])
        return found

    return statistic


def r2m_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `r2m`."""
    return _r2m(y, predicted, lambda r2, r02: np.maximum(r2 - r02, 0))


def r2m_deepdta_of(y: _Values, predicted: _Predicted) -> Statistic:
    """(b, n) weights -> `r2m_deepdta`."""
    return _r2m(y, predicted, lambda r2, r02: np.abs(r2**2 - r02**2))


def _r2m(y: _Values, predicted: _Predicted, gap: Callable[[_Sums, _Sums], _Sums]) -> Statistic:
    _check(y, predicted)
    centred = _centred(y), _centred(predicted)

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        r2 = _correlation(weights, *centred) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = (weights @ (y * predicted)) ** 2 / (weights @ predicted**2)  # sum((y - k p)²) = sum(y²) - this
            r02 = 1 - (weights @ y**2 - fit) / _spread(weights, centred[0])
        return np.asarray((r2 * (1 - np.sqrt(gap(r2, r02))))[:, None])

    return statistic


def _correlation(weights: Float[np.ndarray, "b n"], a: _Values, b: _Values) -> _Sums:
    with np.errstate(invalid="ignore", divide="ignore"):
        common = weights @ (a * b) - (weights @ a) * (weights @ b) / weights.sum(axis=1)
        both = np.sqrt(_spread(weights, a) * _spread(weights, b))
        return np.asarray(np.where(both > 0, common / both, np.nan))


def _spread(weights: Float[np.ndarray, "b n"], a: _Values) -> _Sums:
    """The weighted squares about the mean; what rounding leaves of a constant counts as none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        square = weights @ a**2
        spread = square - (weights @ a) ** 2 / weights.sum(axis=1)
    return np.asarray(np.where(spread > 1e-13 * square, spread, 0))


def _centred(values: _Values) -> _Values:
    return np.asarray(values - values.mean())


def _check(y: _Values, predicted: _Predicted) -> None:
    if y.shape != predicted.shape or not y.size:
        raise SchemaError(f"{y.size} measurements and {predicted.size} predictions; expected one for each, and some.")
    check_scores(y)
    check_scores(predicted)


def _once(statistic: Callable[[_Values, _Predicted], Statistic], y: _Values, predicted: _Predicted) -> float:
    return float(statistic(y, predicted)(np.ones((1, y.size)))[0, 0])
