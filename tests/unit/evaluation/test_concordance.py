"""The concordance index against counting every pair."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medgraph.errors import SchemaError
from medgraph.evaluation.concordance import concordance_index, concordance_index_of

triples = st.lists(st.tuples(st.integers(-3, 9), st.integers(-3, 9), st.integers(0, 3)), min_size=1, max_size=40)


def every_pair(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
    pairs = np.outer(w, w) * (y[:, None] > y[None, :])
    right = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    return float((pairs * right).sum() / pairs.sum()) if pairs.sum() else float("nan")


@settings(deadline=None, max_examples=200)
@given(triples)
def test_it_is_the_count_over_every_pair(rows: list[tuple[int, int, int]]) -> None:
    y, p, w = np.array(rows, dtype=np.float64).T
    found = concordance_index_of(y / 7, p / 3)(np.stack([w, np.ones(w.size)]))[:, 0]
    np.testing.assert_allclose(found, [every_pair(y, p, w), every_pair(y, p, np.ones(w.size))], rtol=1e-12)


def test_of_two_values_it_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 500).astype(float), np.round(rng.normal(size=500), 1)
    assert concordance_index(y, p) == pytest.approx(roc_auc_score(y, p))


def test_by_hand() -> None:
    assert concordance_index(np.array([5.0, 5.0, 6.0, 7.0]), np.array([1.0, 2.0, 2.0, 1.5])) == (1 + 0.5 + 1) / 5
    assert concordance_index(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == 0.5


def test_a_bootstrap_sample_of_kibas_size_is_affordable() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=23_000)
    statistic = concordance_index_of(y, y + rng.normal(size=y.size))
    weights = rng.integers(0, 3, size=(3, y.size)).astype(float)
    started = time.perf_counter()
    statistic(weights)
    assert (time.perf_counter() - started) / 3 < 0.1  # 0.002 s when nothing else runs; every pair would be 2 s


def test_faults() -> None:
    two = np.array([1.0, 2.0])
    with pytest.raises(SchemaError, match="All 2 measurements are equal"):
        concordance_index(np.ones(2), two)
    with pytest.raises(SchemaError, match="2 measurements and 3 predictions"):
        concordance_index(two, np.ones(3))
    with pytest.raises(SchemaError, match="NaN"):
        concordance_index(two, np.array([1.0, np.nan]))
