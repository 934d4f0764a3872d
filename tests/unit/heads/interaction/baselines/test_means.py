"""Means of drugs and targets against ridge regression on indicators."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import planted
from sklearn.linear_model import Ridge

from medgraph import PairMeans
from medgraph.errors import SchemaError


def test_it_is_ridge_regression_on_who_it_is() -> None:
    split = planted().split(by="pair", fractions=(0.5, 0.2, 0.3), seed=0)
    train, test = split.train, split.test

    def indicators(drug: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.concatenate([np.eye(24)[drug], np.eye(16)[target]], axis=1)

    mean = train.value.mean()
    ridge = Ridge(alpha=2.5, fit_intercept=False).fit(indicators(train.drug, train.target), train.value - mean)
    found = PairMeans(shrink=2.5).fit(train).predict(test)
    np.testing.assert_allclose(found, mean + ridge.predict(indicators(test.drug, test.target)), atol=1e-8)


def test_what_is_new_gets_the_mean_of_the_other_side() -> None:
    pairs = planted()
    split = pairs.split(by="drug", seed=0)
    model = PairMeans().fit(split.train, split.valid)
    by_target = dict(zip(split.test.target, model.predict(split.test), strict=True))
    assert len({*model.predict(split.test)}) == len(by_target) == 16
    both = pairs.split(by="both", fractions=(0.5, 0.2, 0.3), seed=0)
    model = PairMeans().fit(both.train, both.valid)
    np.testing.assert_allclose(model.predict(both.test), both.train.value.mean())


def test_valid_chooses() -> None:
    split = planted(drugs=40, targets=30).split(by="pair", fractions=(0.05, 0.5, 0.45), seed=0)
    chosen = PairMeans().fit(split.train, split.valid).chosen_.shrink
    errors = {
        shrink: np.mean((PairMeans(shrink=shrink).fit(split.train).predict(split.valid) - split.valid.value) ** 2)
        for shrink in (0.3, 1.0, 3.0, 10.0, 30.0)
    }
    assert chosen == min(errors, key=lambda shrink: errors[shrink])
    with pytest.raises(SchemaError, match="shrink must be above 0"):
        PairMeans(shrink=0.0)
