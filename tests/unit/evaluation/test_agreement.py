"""Errors and correlations against SciPy and scikit-learn; weights against drawing the observations again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error as mean_squared_error_sklearn
from sklearn.metrics import r2_score

from medgraph.errors import SchemaError
from medgraph.evaluation import agreement

RNG = np.random.default_rng(0)
Y = np.round(RNG.normal(7, 1, size=300), 1)
P = np.round(0.6 * Y + 2 + RNG.normal(0, 0.5, size=300), 1)
NAMES = ["mean_squared_error", "root_mean_squared_error", "pearson", "spearman", "r2m", "r2m_deepdta"]


def test_errors_and_correlations_are_those_of_others() -> None:
    assert agreement.mean_squared_error(Y, P) == pytest.approx(mean_squared_error_sklearn(Y, P))
    assert agreement.root_mean_squared_error(Y, P) == pytest.approx(mean_squared_error_sklearn(Y, P) ** 0.5)
    assert agreement.pearson(Y, P) == pytest.approx(stats.pearsonr(Y, P)[0], abs=1e-12)
    assert agreement.spearman(Y, P) == pytest.approx(stats.spearmanr(Y, P)[0], abs=1e-12)


def test_r2m_from_fits_of_scikit_learn() -> None:
    free, origin = LinearRegression(), LinearRegression(fit_intercept=False)
    r2, r02 = (r2_score(Y, model.fit(P[:, None], Y).predict(P[:, None])) for model in (free, origin))
    assert agreement.r2m(Y, P) == pytest.approx(r2 * (1 - np.sqrt(r2 - r02)))
    assert agreement.r2m_deepdta(Y, P) == pytest.approx(r2 * (1 - np.sqrt(abs(r2**2 - r02**2))))
    assert agreement.r2m(P, Y) != pytest.approx(agreement.r2m(Y, P))  # the axes matter


def test_r2m_by_hand() -> None:
    y, p = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])  # r² = 1; k = 20 / 29, r0² = 1 - (14 - 400 / 29) / 2
    r02 = 1 - (14 - 400 / 29) / 2
    assert agreement.r2m(y, p) == pytest.approx(1 - np.sqrt(1 - r02))
    assert agreement.r2m_deepdta(y, p) == pytest.approx(1 - np.sqrt(1 - r02**2))
    assert agreement.r2m(y, y) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_is_how_often_it_was_drawn(name: str) -> None:
    weights = RNG.integers(0, 4, size=(3, Y.size))
    plain, weighted = getattr(agreement, name), getattr(agreement, f"{name}_of")
    again = [plain(np.repeat(Y, w), np.repeat(P, w)) for w in weights]
    np.testing.assert_allclose(weighted(Y, P)(weights.astype(float))[:, 0], again, rtol=1e-10)


@pytest.mark.parametrize("name", ["pearson", "spearman", "r2m", "r2m_deepdta"])
def test_a_constant_has_no_correlation(name: str) -> None:
    assert np.isnan(getattr(agreement, name)(Y, np.full(Y.size, 7.3)))
    assert np.isnan(getattr(agreement, name)(np.full(Y.size, 7.3), P))


@pytest.mark.parametrize("name", NAMES)
def test_faults(name: str) -> None:
    figure = getattr(agreement, name)
    with pytest.raises(SchemaError, match="300 measurements and 2 predictions"):
        figure(Y, P[:2])
    with pytest.raises(SchemaError, match="and some"):
        figure(Y[:0], P[:0])
    with pytest.raises(SchemaError, match="NaN"):
        figure(Y, np.append(P[:-1], np.nan))
