"""From scores to probabilities that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.metrics import (
    brier,
    check_probabilities,
    check_scores,
    expected_calibration_error,
    log_loss,
)
from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Calibrator",
    "IsotonicCalibrator",
    "PlattCalibrator",
    "Reliability",
    "TemperatureCalibrator",
    "reliability",
]

_Values = Float[np.ndarray, " n"]
_Labels = Bool[np.ndarray, " n"]


@runtime_checkable
class Calibrator(Protocol):
    """What turns scores into probabilities."""

    def fit(self, scores: _Values, labels: _Labels, base_rate: float | None = None) -> Calibrator:
        """Learn from pairs known to be links or not."""

    def predict_proba(self, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """P(link | score)."""


@dataclass
class PlattCalibrator:
    """P(link | score) = 1 / (1 + exp(-(slope x score + intercept))): a temperature and an intercept.

    Platt (1999), "Probabilistic outputs for support vector machines": the targets are (n₊ + 1) / (n₊ + 2) and
    1 / (n₋ + 2), so that few examples never give certainty. Newton's method with step halving (Lin, Lin & Weng 2007).
    """

    max_iterations: int = 100
    slope_: float = field(init=False, repr=False)
    intercept_: float = field(init=False, repr=False)

    def fit(self, scores: _Values, labels: _Labels, base_rate: float | None = None) -> PlattCalibrator:
        """Learn slope and intercept.

        Args:
            scores: of pairs that the scores were not fitted on, the valid part's links and negatives.
            labels: which of them are links.
            base_rate: true share of links among all pairs, if negatives were drawn instead of all used: the intercept
                is moved by the difference in log odds (King & Zeng 2001).

        Raises:
            SchemaError: only links or only non-links, NaN or infinite scores, a base rate outside (0, 1).
        """
        positive = _check(scores, labels, base_rate)
        centre, scale = float(scores.mean()), float(scores.std()) or 1.0
        z = (scores.astype(np.float64) - centre) / scale
        links, others = int(positive), int(labels.size - positive)
        target = np.where(labels, (links + 1) / (links + 2), 1 / (others + 2))
        design = np.stack([z, np.ones_like(z)])
        weights = np.array([0.0, np.log((links + 1) / (others + 1))])
        loss = _cross_entropy(weights @ design, target)
        for _ in range(self.max_iterations):
            p = _sigmoid(weights @ design)
            gradient = design @ (p - target)
            hessian = (design * (p * (1 - p))) @ design.T + 1e-12 * np.eye(2)
            step, size = np.linalg.solve(hessian, gradient), 1.0
            while (new := _cross_entropy((weights - size * step) @ design, target)) > loss and size > 1e-10:
                size /= 2
            weights, before, loss = weights - size * step, loss, min(new, loss)
            if before - loss < 1e-12 * max(1.0, abs(loss)):
                break
        shift = 0.0 if base_rate is None else _log_odds(base_rate) - _log_odds(links / labels.size)
        self.slope_ = float(weights[0] / scale)
        self.intercept_ = float(weights[1] - weights[0] * centre / scale + shift)
        return self

    def predict_proba(self, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """P(link | score). Raises NotFittedError before `fit`."""
        if not hasattr(self, "slope_"):
            raise NotFittedError("PlattCalibrator has no slope yet; call fit(scores, labels) first.")
        return _sigmoid(self.slope_ * scores + self.intercept_)


@dataclass
class TemperatureCalibrator:
    """P(link | score) = 1 / (1 + exp(-score / temperature)), for scores that are log-odds (Guo et al. 2017).

    One number, so it cannot overfit a small tuning part, and cannot mend a wrong base rate: that is Platt's intercept.
    """

    temperature_: float = field(init=False, repr=False)

    def fit(self, scores: _Values, labels: _Labels, base_rate: float | None = None) -> TemperatureCalibrator:
        """Learn the temperature, from 0.05 to 20; arguments and errors as in PlattCalibrator.

        A base rate is refused: one temperature cannot move it.
        """
        if base_rate is not None:
            raise SchemaError("A temperature cannot move the base rate; use PlattCalibrator.")
        _check(scores, labels, base_rate)
        from scipy.optimize import minimize_scalar

        target = labels.astype(np.float64)
        found = minimize_scalar(
            lambda log: _cross_entropy(scores * np.exp(-log), target), bounds=(-3, 3), method="bounded"
        )
        self.temperature_ = float(np.exp(found.x))
        return self

    def predict_proba(self, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """P(link | score). Raises NotFittedError before `fit`."""
        if not hasattr(self, "temperature_"):
            raise NotFittedError("TemperatureCalibrator has no temperature yet; call fit(scores, labels) first.")
        return _sigmoid(scores / self.temperature_)


@dataclass
class IsotonicCalibrator:
    """P(link | score) as the best fitting non-decreasing step function (Zadrozny & Elkan 2002).

    Needs some hundred links: with fewer its steps are noise, and scores beyond the last link get 0 or 1.
    """

    thresholds_: Float[np.ndarray, " k"] = field(init=False, repr=False)
    probabilities_: Float[np.ndarray, " k"] = field(init=False, repr=False)

    def fit(self, scores: _Values, labels: _Labels, base_rate: float | None = None) -> IsotonicCalibrator:
        """Learn the steps; arguments and errors as in PlattCalibrator.

        A base rate changes the odds of every step by one factor, which equals weighting the negatives.
        """
        positive = _check(scores, labels, base_rate)
        from sklearn.isotonic import IsotonicRegression

        regression = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels.astype(np.float64))
        self.thresholds_ = np.asarray(regression.X_thresholds_, dtype=np.float64)
        p = np.asarray(regression.y_thresholds_, dtype=np.float64)
        if base_rate is not None:
            rate = positive / labels.size
            yes, no = p * base_rate / rate, (1 - p) * (1 - base_rate) / (1 - rate)
            p = yes / (yes + no)
        self.probabilities_ = p
        return self

    def predict_proba(self, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """P(link | score), linear between steps. Raises NotFittedError before `fit`."""
        if not hasattr(self, "thresholds_"):
            raise NotFittedError("IsotonicCalibrator has no steps yet; call fit(scores, labels) first.")
        return np.asarray(np.interp(scores, self.thresholds_, self.probabilities_))


@dataclass(frozen=True, eq=False, repr=False)
class Reliability:
    """Predicted beside observed: when it says 30 %, is it right 30 times in 100?

    Args:
        predicted: mean probability of each bin.
        observed: share of links in it.
        low: lower end of the observed share's 95 % interval (Wilson 1927).
        high: its upper end.
        counts: pairs in it.
        ece: expected calibration error.
        brier: mean squared error of the probabilities.
        log_loss: mean negative log probability of what was true, in nats.
    """

    predicted: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]
    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    counts: Int64[np.ndarray, " bins"]
    ece: float
    brier: float
    log_loss: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Reliability:
        """The reverse of `to_dict`."""
        arrays: dict[str, Any] = {name: np.array(value) for name, value in plain.items() if isinstance(value, list)}
        return cls(**{**plain, **arrays})

    def __rich__(self) -> Table:
        from rich.table import Table

        title = f"ECE {self.ece:.4f}, Brier {self.brier:.4f}, log loss {self.log_loss:.4f}"
        table = Table("predicted", "observed", "95 % interval", "pairs", title=title)
        for predicted, observed, low, high, count in zip(
            self.predicted, self.observed, self.low, self.high, self.counts, strict=True
        ):
            table.add_row(f"{predicted:.4f}", f"{observed:.4f}", f"{low:.4f} to {high:.4f}", f"{count:,}")
        return table

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__


def reliability(labels: _Labels, probabilities: _Values, bins: int = 10) -> Reliability:
    """How well do probabilities match what happened?

    Each bin holds about equally many expected links, not pairs: links are rare, and of ten bins of equally many pairs
    nine would speak of pairs that nobody looks at. The calibration error is over bins of equally many pairs.

    Raises:
        SchemaError: no pairs, or a probability outside [0, 1].
    """
    numbers = _equal_links_bins(check_probabilities(probabilities), bins)
    counts = np.bincount(numbers)
    predicted = np.bincount(numbers, weights=probabilities) / counts
    observed = np.bincount(numbers, weights=labels) / counts
    z = 1.959964
    middle = (observed + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z * np.sqrt(observed * (1 - observed) / counts + z**2 / (4 * counts**2)) / (1 + z**2 / counts)
    return Reliability(
        predicted,
        observed,
        np.maximum(middle - half, 0),
        np.minimum(middle + half, 1),
        counts.astype(np.int64),
        expected_calibration_error(labels, probabilities, bins),
        brier(labels, probabilities),
        log_loss(labels, probabilities),
    )


def _equal_links_bins(probabilities: _Values, bins: int) -> Int64[np.ndarray, " n"]:
    values, value, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    links = values * counts
    middle = (np.cumsum(links) - links / 2) / max(float(links.sum()), np.finfo(np.float64).tiny)
    return np.unique((middle * bins).astype(np.int64), return_inverse=True)[1][value].astype(np.int64)


def _check(scores: _Values, labels: _Labels, base_rate: float | None) -> int:
    check_scores(scores)
    positive = int(labels.sum())
    if not np.isfinite(scores).all():
        raise SchemaError("Scores to calibrate on must be finite; clip infinite ones first.")
    if not 0 < positive < labels.size:
        raise SchemaError(f"{positive} of {labels.size} pairs are links; calibration needs links and non-links.")
    if base_rate is not None and not 0 < base_rate < 1:
        raise SchemaError(f"base_rate={base_rate}; expected the share of links among all pairs, between 0 and 1.")
    return positive


def _log_odds(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def _sigmoid(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def _cross_entropy(x: _Values, target: _Values) -> float:
    return float((np.logaddexp(0, x) - target * x).sum())
