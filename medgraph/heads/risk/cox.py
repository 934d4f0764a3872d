"""Cox's proportional hazards (1972) with Efron's ties and a ridge: λ(t | x) = λ₀(t) exp(xβ)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from medgraph.errors import MedgraphError, SchemaError

__all__ = ["Cox", "fit_cox"]


@dataclass(frozen=True, eq=False)
class Cox:
    """A fitted model.

    Args:
        beta: log hazard ratios.
        times: of the events in training, distinct, rising.
        hazard: Breslow's cumulative baseline hazard at each.
        log_likelihood: the partial one, without the penalty.
    """

    beta: Float[np.ndarray, " p"]
    times: Float[np.ndarray, " m"]
    hazard: Float[np.ndarray, " m"]
    log_likelihood: float

    def cumulative_hazard(self, X: Float[np.ndarray, "n p"], days: Float[np.ndarray, " b"]) -> np.ndarray:
        """Λ(t | x) of each sample at each of the days (n, b)."""
        at = np.concatenate([[0.0], self.hazard])[np.searchsorted(self.times, days, side="right")]
        return np.asarray(np.exp(X @ self.beta)[:, None] * at[None, :])


def fit_cox(
    X: Float[np.ndarray, "n p"],
    days: Float[np.ndarray, " n"],
    event: Bool[np.ndarray, " n"],
    ridge: float = 0.0,
    max_iterations: int = 50,
) -> Cox:
    """Maximise the partial log likelihood less ridge/2 |β|², by Newton's method with step halving.

    lifelines has this model; it holds pandas below 3, so it is what this is tested against and not what is used.

    Raises:
        SchemaError: no event.
        MedgraphError: no maximum: columns that tell events apart without error, or are copies of each other. Add ridge.
    """
    if not event.any():
        raise SchemaError("No event happens: a Cox model has nothing to learn from.")
    order = np.argsort(-days, kind="stable")  # latest first, so that risk sets are cumulative sums
    X, days, event = X[order], days[order], event[order]
    stops = np.searchsorted(-days, -np.unique(days[event])[::-1], side="right")
    starts = np.searchsorted(-days, -days[stops - 1], side="left")
    beta = np.zeros(X.shape[1])
    value, gradient, hessian, _ = _likelihood(X, event, starts, stops, beta)
    for _ in range(max_iterations):
        slope = gradient - ridge * beta
        try:
            step = np.linalg.solve(hessian + ridge * np.eye(beta.size), slope)
        except np.linalg.LinAlgError:
            raise MedgraphError("The Cox model has no single maximum: columns repeat each other. Add ridge.") from None
        size, before = 1.0, value - ridge / 2 * float(beta @ beta)
        while True:
            trial = beta + size * step
            found = _likelihood(X, event, starts, stops, trial)
            after = found[0] - ridge / 2 * float(trial @ trial)
            if after >= before - 1e-12 or size < 1e-8:
                break
            size /= 2
        beta, (value, gradient, hessian, _) = trial, found
        if abs(after - before) < 1e-10 * max(1.0, abs(before)):
            break
    else:
        raise MedgraphError(f"The Cox model did not converge in {max_iterations} steps; add ridge.")
    _, _, _, jumps = _likelihood(X, event, starts, stops, beta)
    return Cox(beta, days[starts][::-1], np.cumsum(jumps[::-1]), float(value))


def _likelihood(
    X: Float[np.ndarray, "n p"],
    event: Bool[np.ndarray, " n"],
    starts: np.ndarray,
    stops: np.ndarray,
    beta: Float[np.ndarray, " p"],
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Efron's log likelihood, its gradient, minus its second derivative, and the baseline hazard's jumps."""
    eta = X @ beta
    top = eta.max()
    w = np.exp(eta - top)
    value, gradient, hessian = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
    s0, s1, s2, last = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size)), 0
    jumps = np.zeros(stops.size)
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        new = slice(last, stop)  # who comes into the risk set
        xw = X[new] * w[new, None]
        s0, s1, s2, last = s0 + w[new].sum(), s1 + xw.sum(axis=0), s2 + X[new].T @ xw, stop
        tied = np.flatnonzero(event[start:stop]) + start
        d0, dx = w[tied].sum(), X[tied] * w[tied, None]
        d1, d2 = dx.sum(axis=0), X[tied].T @ dx
        value += eta[tied].sum()
        gradient += X[tied].sum(axis=0)
        for share in np.arange(tied.size) / tied.size:
            total, mean = s0 - share * d0, (s1 - share * d1) / (s0 - share * d0)
            value -= np.log(total) + top
            gradient -= mean
            hessian += (s2 - share * d2) / total - np.outer(mean, mean)
        jumps[number] = tied.size / (s0 * np.exp(top))
    return float(value), gradient, hessian, jumps
