"""Matrix factorisation: each half sweep is ridge regression, a planted table comes back, the new has no factors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bindings import planted
from sklearn.linear_model import Ridge

from medgraph import ALS, Affinities
from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Cells


def table_of(values: np.ndarray) -> Affinities:
    drug, target = np.indices(values.shape).reshape(2, -1)
    return Affinities.of(
        pd.DataFrame(
            {
                "Drug_ID": [f"D{i}" for i in drug],
                "Drug": ["C" * (i + 1) for i in drug],
                "Target_ID": [f"T{i}" for i in target],
                "Target": ["ACDEFGHIKL" + "A" * i for i in target],
                "Y": values.ravel(),
            }
        ),
        unit="pKd",
    )


def test_at_the_end_each_side_is_a_ridge_regression_on_the_other() -> None:
    cells = Cells.measured(planted().split(by="pair", seed=0).train)
    model = ALS(rank=3, ridge=0.05, sweeps=5)._learn(cells)
    for target in range(5):  # solved for last
        mine = cells.target == target
        u = model.drug[cells.drug[mine]]
        design = np.append(u[:, :-1], np.ones((mine.sum(), 1)), axis=1)
        ridge = Ridge(alpha=0.05 * mine.sum(), fit_intercept=False)
        ridge.fit(design, cells.value[mine] - model.mean - u[:, -1])
        np.testing.assert_allclose(model.target[target], ridge.coef_, atol=1e-8)


def test_a_table_of_rank_two_comes_back_from_half_of_its_cells() -> None:
    rng = np.random.default_rng(0)
    pairs = table_of(6 + rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30)) + rng.normal(size=(40, 1)))
    split = pairs.split(by="pair", fractions=(0.5, 0.2, 0.3), seed=0)
    model = ALS(rank=2, ridge=1e-4, sweeps=60).fit(split.train)
    assert np.mean((model.predict(split.test) - split.test.value) ** 2) < 0.01 * split.test.value.var()


def test_what_is_new_has_the_bias_of_the_other_side() -> None:
    split = planted().split(by="drug", seed=0)
    model = ALS(rank=3).fit(split.train, split.valid)
    found = model._model
    ids = split.test.targets["id"].to_pylist()
    expected = [found.mean + found.target[found.targets.ids.index(ids[t]), -1] for t in split.test.target]
    np.testing.assert_allclose(model.predict(split.test), expected)


def test_the_seed_decides_and_bad_fields_are_refused() -> None:
    split = planted().split(by="pair", seed=0)
    one, again, other = (ALS(ridge=0.02, sweeps=2, seed=s).fit(split.train).predict(split.test) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0
    for wrong in ({"rank": 0}, {"sweeps": 0}, {"ridge": 0.0}):
        with pytest.raises(SchemaError, match="at least 1 and ridge above 0"):
            ALS(**wrong)
