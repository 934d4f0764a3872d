"""KronRLS on profiles, against dense linear algebra; what is new gets a predicted profile."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import planted
from numpy.testing import assert_allclose

from medgraph.data.affinities import Affinities
from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.proteins import kmer_cosine, kmers
from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.kronrls import KronRLS
from medgraph.heads.interaction.baselines.profiles import ProfileKronRLS

RIDGE, P, Q, SAME = 0.3, 0.6, 0.4, 0.1


@pytest.fixture(scope="module")
def whole() -> Affinities:
    return planted(drugs=14, targets=9)


def profile_kernel(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """exp(-|a - b|² / (width x median)), the median over pairs of b."""
    distance = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    among = [((x - y) ** 2).sum() for i, x in enumerate(b) for y in b[i + 1 :]]
    return np.asarray(np.exp(-distance / (width * np.median(among))))


def dense(train: Affinities, test: Affinities) -> np.ndarray:
    """Two stages by np.linalg.solve over whole kernels of all entities; the known are those of train."""
    drugs, targets = np.unique(train.drug), np.unique(train.target)
    s = tanimoto(morgan(train.smiles), morgan(train.smiles))
    t = kmer_cosine(kmers(train.sequences, 4), kmers(train.sequences, 4)) ** 0.7
    mean = train.value.mean()

    def solved(k: np.ndarray, m: np.ndarray) -> np.ndarray:
        """The table of all drugs by all targets."""
        gram = k[np.ix_(train.drug, train.drug)] * m[np.ix_(train.target, train.target)]
        c = np.linalg.solve(gram + RIDGE * np.eye(len(train)), train.value - mean)
        return np.asarray(mean + (k[:, train.drug] * c) @ m[:, train.target].T)

    eye_d, eye_t = np.eye(len(s)), np.eye(len(t))
    table = solved((1 - 0.5) * s + 0.5 * eye_d, (1 - 0.5) * t + 0.5 * eye_t)
    full = table.copy()
    full[train.drug, train.target] = train.value
    known_rows, known_columns = full[np.ix_(drugs, targets)], full[np.ix_(drugs, targets)].T
    rows, columns = table[:, targets].copy(), table[drugs].T.copy()
    rows[drugs], columns[targets] = known_rows, known_columns
    a = np.zeros_like(s)
    a[:, drugs] = (1 - P - SAME) * s[:, drugs] + P * profile_kernel(rows, known_rows, 0.7) + SAME * eye_d[:, drugs]
    b = np.zeros_like(t)
    b[:, targets] = (
        (1 - Q - SAME) * t[:, targets] + Q * profile_kernel(columns, known_columns, 0.7) + SAME * eye_t[:, targets]
    )
    return solved(a, b)[test.drug, test.target]


@pytest.mark.parametrize("by", ["pair", "drug", "both"])
def test_as_dense_algebra_says(whole: Affinities, by: str) -> None:
    split = whole.split(by, fractions=(0.7, 0.0, 0.3), seed=2)  # type: ignore[arg-type]
    model = ProfileKronRLS(
        stages=1, ridge=RIDGE, drug_profile=P, target_profile=Q, identity=SAME, iterations=400, tolerance=1e-12
    )
    assert_allclose(model.fit(split.train).scores(split.test), dense(split.train, split.test), atol=1e-8)


def test_no_stage_is_plain_kronecker_ridge_regression(whole: Affinities) -> None:
    split = whole.split("pair", seed=1)
    mine = ProfileKronRLS(stages=0, ridge=0.2, drug_profile=0.4, target_profile=0.4, identity=0.1, tolerance=1e-12)
    plain = KronRLS(
        drug_power=1.0, target_power=0.7, identity=1.0, constant=0.0, ridge=0.2, iterations=400, tolerance=1e-12
    )  # (s + identity) / 2 on either side
    assert_allclose(mine.fit(split.train).scores(split.test), plain.fit(split.train).scores(split.test), atol=1e-6)


def test_profiles_find_likeness_that_structure_does_not_show() -> None:
    """Drugs and targets of hidden classes that nothing in the structure tells."""
    rng = np.random.default_rng(3)
    shown = planted(drugs=24, targets=16)
    effect = rng.normal(size=(4, 4)) * 2
    classes = rng.integers(4, size=24), rng.integers(4, size=16)
    value = effect[classes[0][shown.drug], classes[1][shown.target]] + 0.1 * rng.normal(size=len(shown))
    hidden = Affinities(shown.drugs, shown.targets, shown.drug, shown.target, value, unit="pKd")
    split = hidden.split("pair", fractions=(0.6, 0.2, 0.2), seed=0)
    errors = []
    for model in (KronRLS(), ProfileKronRLS()):
        found = model.fit(split.train, split.valid).scores(split.test)
        errors.append(float(np.mean((found - split.test.value) ** 2)))
    assert errors[1] < 0.6 * errors[0]


def test_valid_chooses_stages_and_ridge(whole: Affinities) -> None:
    split = whole.split("pair", fractions=(0.6, 0.2, 0.2), seed=1)
    model = ProfileKronRLS(most=2).fit(split.train, split.valid)
    assert model.chosen_.stages in {0, 1, 2}
    assert model.chosen_.ridge is not None
    fixed = ProfileKronRLS(most=2, stages=model.chosen_.stages, ridge=model.chosen_.ridge).fit(split.train)
    assert_allclose(fixed.scores(split.test), model.scores(split.test))


@pytest.mark.parametrize("wrong", [{"ridge": 0.0}, {"drug_profile": 1.2}, {"stages": -1}, {"target_width": 0.0}])
def test_refuses_what_is_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(SchemaError, match="ProfileKronRLS"):
        ProfileKronRLS(**wrong)  # type: ignore[arg-type]
