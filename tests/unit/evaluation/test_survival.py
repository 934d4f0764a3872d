"""Survival figures against lifelines 0.30.3, whose numbers stand here, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medgraph.errors import SchemaError
from medgraph.evaluation.survival import censored_squared_errors, concordance_of, incidence, kaplan_meier


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, days with ties, and which event (0 = censored); lifelines was given the same."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(40, 2)), 1)
    days = np.ceil(rng.exponential(20 * np.exp(-X[:, 0])))
    return X, days, rng.choice(3, size=40, p=[0.3, 0.5, 0.2])


def test_concordance_is_lifelines() -> None:
    X, days, which = drawn()
    found = concordance_of(days, which == 1, X[:, 0])(np.ones((1, 40)))[0, 0]
    assert found == pytest.approx(0.7229965156794426)  # lifelines.utils.concordance_index


def test_weights_of_concordance_stand_for_repeated_samples() -> None:
    X, days, which = drawn()
    rows = np.random.default_rng(1).integers(40, size=40)
    weights = np.bincount(rows, minlength=40)[None, :].astype(float)
    repeated = concordance_of(days[rows], (which == 1)[rows], X[rows, 0])(np.ones((1, 40)))
    np.testing.assert_allclose(concordance_of(days, which == 1, X[:, 0])(weights), repeated)


def test_concordance_by_hand() -> None:
    days, event = np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, False])
    risk = np.array([0.9, 0.2, 0.2, 0.4])
    # pairs: 1 before each other (3 right); 2 before the censored at 2 (equal) and before 3 (wrong)
    assert concordance_of(days, event, risk)(np.ones((1, 4)))[0, 0] == pytest.approx(3.5 / 5)
    with pytest.raises(SchemaError, match="No event"):
        concordance_of(days, np.zeros(4, dtype=bool), risk)


def test_kaplan_meier_is_lifelines() -> None:
    _, days, which = drawn()
    times, share = kaplan_meier(days, which == 1)
    at = share[np.searchsorted(times, [5.0, 20.0], side="right") - 1]
    np.testing.assert_allclose(at, [0.8864540816326533, 0.7437829823004719])  # lifelines.KaplanMeierFitter


def test_incidence_is_aalen_and_johansens_as_lifelines_has_it() -> None:
    _, days, which = drawn()
    days = days + np.arange(40) / 1000  # lifelines breaks ties at random
    found = [incidence(days, which == 1, which == 0, horizon) for horizon in (5.5, 20.5)]
    np.testing.assert_allclose(found, [0.11300130775937225, 0.23467741935483868])  # lifelines.AalenJohansenFitter


def test_brier_by_hand() -> None:
    days = np.array([1.0, 2.0, 3.0, 4.0])
    event, censored = np.array([True, False, True, False]), np.array([False, True, False, False])
    risk = np.array([0.8, 0.5, 0.4, 0.1])
    # by day 3: 1 had it, 2 was censored (1 in 3 then), 3 had it (weight 3/2), 4 had not (weight 3/2)
    wanted = [0.2**2, 0, 1.5 * 0.6**2, 1.5 * 0.1**2]
    np.testing.assert_allclose(censored_squared_errors(days, event, censored, risk, 3.0), wanted)


def test_without_censoring_it_is_the_plain_brier_score() -> None:
    rng = np.random.default_rng(0)
    days, risk = rng.exponential(size=50), rng.random(50)
    event = np.ones(50, dtype=bool)
    found = censored_squared_errors(days, event, ~event, risk, 0.7).mean()
    assert found == pytest.approx(((days <= 0.7) - risk).__pow__(2).mean())
