"""The bootstrap against SciPy's and against known sampling variances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medgraph.errors import SchemaError
from medgraph.evaluation import resampling
from medgraph.evaluation.resampling import bootstrap, bootstrap_mean, paired_difference


def test_percentile_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=80)
    ours = bootstrap_mean(values, n_bootstrap=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert ours.value == values.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_clusters_are_drawn_whole() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)  # ten copies of each tell nothing new
    clusters = np.repeat(np.arange(20) * 7, 10)
    samples = bootstrap(lambda w: (w @ values / w.sum(axis=1))[:, None], 200, 5000, clusters=clusters)
    assert samples.std() == pytest.approx(values.std() / np.sqrt(20), rel=0.05)
    assert bootstrap_mean(values, 5000).high - bootstrap_mean(values, 5000).low < 2 * samples.std()


def test_pairing_removes_what_methods_share() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    b = a - 0.1 + 0.01 * rng.normal(size=100)
    interval = paired_difference(a, b)
    assert 0.09 < interval.low < interval.value < interval.high < 0.11
    with pytest.raises(SchemaError, match="same links"):
        paired_difference(a, b[1:])


def test_deterministic_and_independent_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(30.0)
    first = bootstrap_mean(values, 200, seed=3)
    assert first == bootstrap_mean(values, 200, seed=3)
    assert first != bootstrap_mean(values, 200, seed=4)
    monkeypatch.setattr(resampling, "_BLOCK", 64)
    assert first == bootstrap_mean(values, 200, seed=3)
    with pytest.raises(SchemaError, match="0 observations"):
        bootstrap_mean(np.array([]))
