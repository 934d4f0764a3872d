"""Calibration against scikit-learn, SciPy and data whose probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.calibration import (
    IsotonicCalibrator,
    PlattCalibrator,
    TemperatureCalibrator,
    reliability,
)
from medgraph.evaluation.metrics import brier, expected_calibration_error, log_loss

CALIBRATORS = [PlattCalibrator, IsotonicCalibrator]


def drawn(n: int = 4000, slope: float = 1.7, intercept: float = -2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    return scores, rng.random(n) < expit(slope * scores + intercept)


def test_platt_minimises_cross_entropy_with_platts_targets() -> None:
    scores, labels = drawn(300)
    scores = 1000 + 5 * scores
    target = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    standard = (scores - scores.mean()) / scores.std()

    def loss(w: np.ndarray) -> float:
        x = w[0] * standard + w[1]
        return float((np.logaddexp(0, x) - target * x).sum())

    theirs = minimize(loss, [0, 0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}).x
    ours = PlattCalibrator().fit(scores, labels)
    assert ours.slope_ * scores.std() == pytest.approx(theirs[0], rel=1e-5)
    np.testing.assert_allclose(ours.predict_proba(scores), expit(theirs[0] * standard + theirs[1]), atol=1e-6)


def test_platt_finds_the_law_behind_the_data() -> None:
    fitted = PlattCalibrator().fit(*drawn(200_000))
    assert (fitted.slope_, fitted.intercept_) == pytest.approx((1.7, -2.0), abs=0.05)


def test_platt_stays_short_of_certainty_on_separable_data() -> None:
    scores = np.arange(10.0)
    p = PlattCalibrator().fit(scores, scores > 4.5).predict_proba(scores)
    assert 0.05 < p.min() < 0.2
    assert 0.8 < p.max() < 0.95
    constant = PlattCalibrator().fit(np.zeros(8), np.arange(8) < 2).predict_proba(np.zeros(1))
    assert constant[0] == pytest.approx((2 * 3 / 4 + 6 / 8) / 8, abs=1e-6)


def test_isotonic_equals_scikit_learn() -> None:
    scores, labels = drawn(500)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels).predict(np.linspace(-4, 4, 99))
    ours = IsotonicCalibrator().fit(scores, labels).predict_proba(np.linspace(-4, 4, 99))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_isotonic_base_rate_equals_weighted_negatives() -> None:
    scores, labels = drawn(500)
    factor = 30.0  # each negative stands for thirty
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, np.where(labels, 1.0, factor))
    base_rate = labels.sum() / (labels.sum() + factor * (~labels).sum())
    ours = IsotonicCalibrator().fit(scores, labels, base_rate)
    np.testing.assert_allclose(ours.predict_proba(scores), theirs.predict(scores), atol=1e-9)


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_base_rate_undoes_the_sampling_of_negatives(kind) -> None:
    scores, labels = drawn(100_000, intercept=-4)
    kept = labels | (np.random.default_rng(1).random(labels.size) < 0.05)
    raw = kind().fit(scores[kept], labels[kept])
    fixed = kind().fit(scores[kept], labels[kept], base_rate=float(labels.mean()))
    truth = expit(1.7 * scores - 4)
    assert expected_calibration_error(labels, fixed.predict_proba(scores)) < 0.005
    assert expected_calibration_error(labels, raw.predict_proba(scores)) > 0.1
    assert np.abs(fixed.predict_proba(scores) - truth).mean() < 0.01


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_order_is_kept_and_matrices_pass(kind) -> None:
    scores, labels = drawn(300)
    p = kind().fit(scores, labels).predict_proba(np.sort(scores).reshape(30, 10))
    assert p.shape == (30, 10)
    assert (np.diff(p.ravel()) >= 0).all()
    assert p.min() >= 0
    assert p.max() <= 1


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_refusals(kind) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        kind().predict_proba(np.zeros(1))
    with pytest.raises(SchemaError, match="needs links and non-links"):
        kind().fit(np.zeros(3), np.ones(3, dtype=bool))
    with pytest.raises(SchemaError, match="NaN"):
        kind().fit(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(SchemaError, match="finite"):
        kind().fit(np.array([np.inf, 1.0]), np.array([True, False]))
    with pytest.raises(SchemaError, match=r"base_rate=1\.0"):
        kind().fit(np.array([2.0, 1.0]), np.array([True, False]), 1.0)


def test_reliability_by_hand() -> None:
    p = np.array([0.05] * 100 + [0.5] * 10)
    y = np.array([True] * 10 + [False] * 90 + [True] * 4 + [False] * 6)
    table = reliability(y, p, bins=2)
    assert table.counts.tolist() == [100, 10]
    assert table.predicted.tolist() == pytest.approx([0.05, 0.5])
    assert table.observed.tolist() == pytest.approx([0.1, 0.4])
    wilson = binomtest(4, 10).proportion_ci(method="wilson")
    assert (table.low[1], table.high[1]) == pytest.approx((wilson.low, wilson.high))
    assert (table.brier, table.log_loss) == (brier(y, p), log_loss(y, p))
    assert table.ece == expected_calibration_error(y, p)
    assert "0.4000" in str(table)
    assert table.to_dict()["counts"] == [100, 10]


def test_reliability_bins_share_the_expected_links() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000) ** 8
    table = reliability(rng.random(50_000) < p, p)
    expected = table.counts * table.predicted
    assert table.counts.size == 10
    assert expected.max() / expected.min() < 1.1
    assert ((table.low <= table.predicted) & (table.predicted <= table.high)).sum() >= 8
    assert reliability(np.array([False, False]), np.zeros(2)).counts.tolist() == [2]


def test_a_temperature_minimises_cross_entropy() -> None:
    scores, labels = drawn(800, slope=0.4, intercept=0.0)
    found = TemperatureCalibrator().fit(scores, labels)
    wanted = minimize(lambda t: -np.log(expit(np.where(labels, scores, -scores) / t[0])).sum(), x0=[1.0])
    assert found.temperature_ == pytest.approx(wanted.x[0], rel=1e-3)
    assert found.temperature_ == pytest.approx(1 / 0.4, rel=0.25)  # what it was drawn with
    np.testing.assert_allclose(found.predict_proba(scores), expit(scores / found.temperature_))
    with pytest.raises(NotFittedError, match="temperature"):
        TemperatureCalibrator().predict_proba(scores)
    with pytest.raises(SchemaError, match="PlattCalibrator"):
        TemperatureCalibrator().fit(scores, labels, base_rate=0.1)
