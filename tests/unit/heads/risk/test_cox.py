"""The Cox model against lifelines 0.30.3, whose numbers stand here: it keeps pandas below 3, so it is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from medgraph.errors import MedgraphError, SchemaError
from medgraph.heads.risk.cox import fit_cox


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(40, 2)), 1)
    days = np.ceil(rng.exponential(20 * np.exp(-X[:, 0])))
    return X, days, rng.choice(3, size=40, p=[0.3, 0.5, 0.2]) == 1


def test_it_is_lifelines_with_efrons_ties() -> None:
    X, days, event = drawn()
    assert np.unique(days[event]).size < event.sum()  # there are ties
    model = fit_cox(X, days, event)
    np.testing.assert_allclose(model.beta, [1.1836658070004833, 0.16172688901858798], rtol=1e-8)
    assert model.log_likelihood == pytest.approx(-37.533331660410404, rel=1e-10)
    hazard = model.cumulative_hazard(X.mean(axis=0)[None, :], np.array([1.0, 4.0, 10.0]))
    np.testing.assert_allclose(hazard, [[0.0129, 0.0743, 0.1914]], atol=5e-5)  # baseline_cumulative_hazard_


def test_without_effects_the_hazard_is_nelsons_and_aalens() -> None:
    model = fit_cox(np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([1.0, 1.0, 2.0, 2.0]), np.ones(4, dtype=bool))
    assert model.beta[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(model.cumulative_hazard(np.zeros((1, 1)), np.array([0.5, 1.0, 9.0])), [[0, 0.5, 1.5]])


def test_a_ridge_pulls_to_zero_by_its_own_condition() -> None:
    X, days, event = drawn()
    free, held = fit_cox(X, days, event), fit_cox(X, days, event, ridge=5.0)
    assert np.abs(held.beta).sum() < np.abs(free.beta).sum()
    step = 1e-5  # at the maximum the likelihood rises as fast as the penalty
    for column in range(2):
        moved = [_partial(X, days, event, held.beta + s * np.eye(2)[column]) for s in (step, -step)]
        assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(5.0 * held.beta[column], abs=1e-4)


def _partial(X: np.ndarray, days: np.ndarray, event: np.ndarray, beta: np.ndarray) -> float:
    """Efron's partial log likelihood, written as in the textbook."""
    risk, value = np.exp(X @ beta), 0.0
    for day in np.unique(days[event]):
        tied = event & (days == day)
        value += float((X[tied] @ beta).sum())
        for i in range(tied.sum()):
            value -= float(np.log(risk[days >= day].sum() - i / tied.sum() * risk[tied].sum()))
    return value


def test_what_cannot_be_fitted_is_said() -> None:
    X, days, event = drawn()
    with pytest.raises(SchemaError, match="No event"):
        fit_cox(X, days, np.zeros(40, dtype=bool))
    with pytest.raises(MedgraphError, match="ridge"):
        fit_cox(np.zeros((40, 1)), days, event)
