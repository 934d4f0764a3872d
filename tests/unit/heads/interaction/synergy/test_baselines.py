"""Plain models of synergy, against other people's solvers and hand-worked cases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from combinations import planted
from sklearn.linear_model import Ridge

from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.synergies import Synergies
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.interaction.synergy.baselines import (
    SynergyBoosting,
    SynergyEffects,
    SynergyMean,
    SynergyNeighbours,
    SynergyRidge,
    synergy_baselines,
)


@pytest.fixture(scope="module")
def data() -> Synergies:
    return planted(drugs=10, cells=5, noise=0.5)


def turned(data: Synergies) -> Synergies:
    """The same rows with the tables of drugs in another order, so that the pairs' drugs change places."""
    order = np.random.default_rng(3).permutation(data.drugs.num_rows)
    place = np.argsort(order)
    return replace(data, drugs=data.drugs.take(pa.array(order)), first=place[data.first], second=place[data.second])


@pytest.mark.parametrize("baseline", synergy_baselines()[:-1], ids=lambda b: b.name)
def test_no_baseline_sees_an_order(baseline: object, data: Synergies) -> None:
    """But for boosting, whose trees break ties by the order of its columns: it has a + b and |a - b| alone."""
    split = data.split("pair", (0.6, 0.2, 0.2))
    kind = type(baseline)
    fits = []
    for train, valid, test in (
        (split.train, split.valid, split.test),
        tuple(map(turned, (split.train, split.valid, split.test))),
    ):
        one = kind(**{f: getattr(baseline, f) for f in baseline.__dataclass_fields__ if f not in {"_found", "bits"}})  # type: ignore[attr-defined]
        fits.append(one.fit(train, valid).scores(test))
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-6)


def test_effects_are_those_of_ridge_regression(data: Synergies) -> None:
    """scikit-learn on dummy columns written out one by one."""
    split = data.split("pair", (0.6, 0.2, 0.2))

    def dummies(part: Synergies) -> np.ndarray:
        d, c = part.drugs.num_rows, part.cells.num_rows
        pairs = {pair: i for i, pair in enumerate(itertools.combinations(range(d), 2))}
        X = np.zeros((len(part), d + c + len(pairs) + d * c))
        for row, (a, b, cell) in enumerate(zip(part.first, part.second, part.cell, strict=True)):
            X[row, [a, b, d + cell, d + c + pairs[a, b]]] = 1
            for drug in (a, b):
                X[row, d + c + len(pairs) + drug * c + cell] = 1
        return X

    mean = split.train.value.mean()
    model = Ridge(alpha=2.0, fit_intercept=False).fit(dummies(split.train), split.train.value - mean)
    ours = SynergyEffects(pair=True, drug_in_cell=True, strengths=(2.0,)).fit(split.train)
    expected = mean + model.predict(dummies(split.test))
    np.testing.assert_allclose(ours.scores(split.test), expected, atol=1e-5)


def test_effects_add_up() -> None:
    """Scores that are sums of effects are found again, for pairs never seen together."""
    rng = np.random.default_rng(0)
    drug, cell = rng.normal(size=10), rng.normal(size=5)
    data = planted(drugs=10, cells=5)
    exact = replace(data, value=drug[data.first] + drug[data.second] + cell[data.cell])
    split = exact.split("pair", (0.6, 0.2, 0.2))
    found = SynergyEffects(strengths=(1e-6,)).fit(split.train).scores(split.test)
    np.testing.assert_allclose(found, split.test.value, atol=1e-4)


def test_ridge_on_fingerprints_is_scikit_learns(data: Synergies) -> None:
    split = data.split("pair", (0.6, 0.2, 0.2))

    def design(part: Synergies) -> np.ndarray:
        bits = morgan(part.smiles, 3, 256).toarray()
        return np.hstack([bits[part.first] + bits[part.second], np.eye(part.cells.num_rows)[part.cell]])

    mean = split.train.value.mean()
    model = Ridge(alpha=30.0, fit_intercept=False).fit(design(split.train), split.train.value - mean)
    ours = SynergyRidge(bits=256, strengths=(30.0,)).fit(split.train).scores(split.test)
    np.testing.assert_allclose(ours, mean + model.predict(design(split.test)), atol=1e-4)


def test_nearest_pairs_are_those_of_brute_force(data: Synergies) -> None:
    split = data.split("drug", (0.5, 0.2, 0.3))
    train, test = split.train, split.test
    bits = morgan(data.smiles)
    near = tanimoto(bits, bits)
    expected = []
    for a, b, cell in zip(test.first, test.second, test.cell, strict=True):
        rows = np.flatnonzero(train.cell == cell)
        c, d = train.first[rows], train.second[rows]
        weight = np.maximum(near[a, c] * near[b, d], near[a, d] * near[b, c]) ** 2
        expected.append((weight, train.value[rows]))
    found = SynergyNeighbours(neighbours=(10**6,)).fit(train).scores(test)  # all of them: no ties to break
    np.testing.assert_allclose(found, [(w * v).sum() / w.sum() for w, v in expected], atol=1e-9)
    one = SynergyNeighbours(neighbours=(1,)).fit(train).scores(test)
    for (weight, values), value in zip(expected, one, strict=True):
        assert np.isclose(values[weight >= weight.max() - 1e-12], value).any()


def test_a_new_cell_line_gets_the_mean_over_cell_lines(data: Synergies) -> None:
    split = data.split("cell", (0.6, 0.2, 0.2))
    found = SynergyNeighbours(neighbours=(1,)).fit(split.train).scores(split.test)
    mean = pd.Series(split.train.value).groupby(split.train.pair).mean()
    np.testing.assert_allclose(found, mean[split.test.pair].to_numpy(), atol=1e-9)
    additive = SynergyEffects().fit(split.train).scores(split.test)
    for pair in np.unique(split.test.pair):
        assert np.ptp(additive[split.test.pair == pair]) < 1e-9  # nothing is known of the cell line


def test_boosting_finds_what_is_not_additive() -> None:
    data = planted(drugs=24, cells=4)
    split = data.split("pair", (0.7, 0.1, 0.2))
    errors = {}
    for one in (SynergyMean(), SynergyEffects(), SynergyBoosting(rounds=(60,))):
        found = one.fit(split.train, split.valid).scores(split.test)
        errors[one.name] = float(np.mean((found - split.test.value) ** 2))
    assert errors["boosting on fingerprints"] < 0.2 * errors["drug + drug + cell"]
    assert errors["mean"] == pytest.approx(np.mean((split.train.value.mean() - split.test.value) ** 2))


def test_valid_chooses(data: Synergies) -> None:
    drug = np.arange(data.drugs.num_rows) % 3.0
    split = replace(data, value=drug[data.first] + drug[data.second]).split("pair", (0.6, 0.2, 0.2))
    strengths = (1e6, 1.0)
    chosen = SynergyEffects(strengths=strengths).fit(split.train, split.valid).scores(split.test)
    alone = [SynergyEffects(strengths=(s,)).fit(split.train).scores(split.test) for s in strengths]
    np.testing.assert_array_equal(chosen, alone[1])
    np.testing.assert_array_equal(SynergyEffects(strengths=strengths).fit(split.train).scores(split.test), alone[0])


def test_they_say_what_is_wrong(data: Synergies) -> None:
    with pytest.raises(NotFittedError, match="mean has not been fitted"):
        SynergyMean().scores(data)
    with pytest.raises(SchemaError, match="nothing to learn from"):
        SynergyMean().fit(data.take(np.arange(0)))
    with pytest.raises(SchemaError, match="these are others"):
        SynergyRidge(bits=64).fit(data).scores(planted(drugs=6))
