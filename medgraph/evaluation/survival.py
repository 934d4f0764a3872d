"""How good are risks of events that are seen late, or never? Concordance and Brier score under censoring."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import check_probabilities, check_scores
from medgraph.evaluation.resampling import Statistic

__all__ = ["censored_squared_errors", "censoring_weights", "concordance_of", "incidence", "kaplan_meier"]

_BLOCK = 1 << 22


def concordance_of(
    days: Float[np.ndarray, " n"], event: Bool[np.ndarray, " n"], risk: Float[np.ndarray, " n"]
) -> Statistic:
    """(b, n) weights -> of the pairs where one had the event first, in how many was its risk higher? (Harrell 1982)

    A pair counts where the earlier time is an event's; of equal times, where one is an event's and one is censored.
    Equal risks count half.
    """
    check_scores(risk)
    if not event.any():
        raise SchemaError("No event among these samples: there is no pair to order.")
    rows = np.flatnonzero(event)
    step = max(1, _BLOCK // max(days.size, 1))

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for start in range(0, rows.size, step):
            mine = rows[start : start + step]
            later = (days[None, :] > days[mine, None]) | ((days[None, :] == days[mine, None]) & ~event[None, :])
            better = (risk[None, :] < risk[mine, None]) + 0.5 * (risk[None, :] == risk[mine, None])
            right += (weights[:, mine] * (weights @ (later * better).T)).sum(axis=1)
            pairs += (weights[:, mine] * (weights @ later.T.astype(np.float64))).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((right / pairs)[:, None])

    return statistic


def kaplan_meier(
    days: Float[np.ndarray, " n"], event: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Distinct times, and the share that is without the event after each (Kaplan & Meier 1958)."""
    times, place = np.unique(days, return_inverse=True)
    left = np.bincount(place)
    at_risk = left[::-1].cumsum()[::-1]
    return times, np.cumprod(1 - np.bincount(place, weights=event) / at_risk)


def censored_squared_errors(
    days: Float[np.ndarray, " n"],
    event: Bool[np.ndarray, " n"],
    censored: Bool[np.ndarray, " n"],
    risk: Float[np.ndarray, " n"],
    horizon: float,
) -> Float[np.ndarray, " n"]:
    """Each sample's part in the Brier score at a horizon, weighted by the inverse chance of being seen so long.

    Graf et al. (1999). Who is censored before the horizon has no part, and the others stand in for them; with competing
    events a sample that had another one by then counts as without this one. Their mean is the Brier score.

    Args:
        days: to the event or to censoring.
        event: had this event.
        censored: had no event at all while observed.
        risk: P(this event within the horizon).
        horizon: days.
    """
    check_probabilities(risk)
    happened = event & (days <= horizon)
    return np.asarray(censoring_weights(days, censored, horizon) * (happened - risk) ** 2)


def incidence(
    days: Float[np.ndarray, " n"], event: Bool[np.ndarray, " n"], censored: Bool[np.ndarray, " n"], horizon: float
) -> float:
    """P(this event within the horizon), whatever else may come first: the estimate of Aalen & Johansen (1978)."""
    return float((censoring_weights(days, censored, horizon) * (event & (days <= horizon))).mean())


def censoring_weights(
    days: Float[np.ndarray, " n"], censored: Bool[np.ndarray, " n"], horizon: float
) -> Float[np.ndarray, " n"]:
    """1 / P(not censored before the event, or the horizon); 0 for who was censored before it."""
    times, share = kaplan_meier(days, censored)
    share = np.concatenate([[1.0], share])  # P(not censored up to and including the time before each)
    until = share[np.searchsorted(times, days, side="left")]  # just before the own time
    at_horizon = share[np.searchsorted(times, horizon, side="right")]
    over = ~censored & (days <= horizon)
    beyond = np.full(days.size, 1 / at_horizon if at_horizon > 0 else 0.0)
    return np.where(over, 1 / np.where(over, until, 1.0), np.where(days > horizon, beyond, 0.0))
