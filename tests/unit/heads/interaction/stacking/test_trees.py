"""Boosted trees as arrays say what scikit-learn's say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from medgraph.heads.interaction.stacking.trees import BoostedTrees


@pytest.mark.parametrize("binary", [False, True])
def test_as_scikit_learn(binary: bool) -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(400, 5)), 1)  # ties at thresholds
    y = np.sin(3 * x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=400)
    y = (y > 0).astype(np.float64) if binary else y
    trees = BoostedTrees.grown(x, y, binary=binary, rounds=30, learning_rate=0.1, leaves=7, smallest=5)
    kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
    theirs = kind(max_iter=30, learning_rate=0.1, max_leaf_nodes=7, min_samples_leaf=5, early_stopping=False,
                  random_state=0).fit(x, y)  # fmt: skip
    new = np.round(rng.normal(size=(300, 5)), 1)
    wanted = theirs.decision_function(new) if binary else theirs.predict(new)
    assert_allclose(trees.predict(new), wanted, rtol=1e-6, atol=1e-9)
    stages = list(theirs.staged_decision_function(new) if binary else theirs.staged_predict(new))
    assert_allclose(trees.staged(new, [3, 30])[0], np.ravel(stages[2]), rtol=1e-6, atol=1e-9)
    assert_allclose(trees.first(3).predict(new), np.ravel(stages[2]), rtol=1e-6, atol=1e-9)
    again = BoostedTrees.restore(trees.arrays())
    assert np.array_equal(again.predict(new), trees.predict(new))
    assert len(trees) == 30
