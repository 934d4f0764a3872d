"""Kronecker ridge regression against scikit-learn's kernel ridge on the kernel of pairs, written out."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import planted
from sklearn.kernel_ridge import KernelRidge

from medgraph import Affinities, KronRLS, PairMeans
from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.similarity import KmerCosine, Tanimoto

Sides = float | tuple[float, float]
EXACT = {"drug_power": 2.0, "target_power": 1.0, "iterations": 5000, "tolerance": 1e-13}


def pair_kernel(a: Affinities, b: Affinities, power: float, constant: Sides, identity: Sides) -> np.ndarray:
    """Kernel of pairs, entity by entity; all parts of a split share their tables."""
    drugs, targets = Tanimoto(), KmerCosine(3)
    D = drugs.between(*[drugs.encode(a.smiles)] * 2) ** power
    T = targets.between(*[targets.encode(a.sequences)] * 2)
    both = [side if isinstance(side, tuple) else (side, side) for side in (constant, identity)]
    D, T = ((K + c + i * np.eye(len(K))) / (1 + c + i) for K, c, i in zip((D, T), *both, strict=True))
    return np.array([[D[i, k] * T[j, m] for k, m in zip(b.drug, b.target, strict=True)]
                     for i, j in zip(a.drug, a.target, strict=True)])  # fmt: skip


@pytest.mark.parametrize(("constant", "identity"), [(0.0, 0.0), (0.2, 0.5), ((0.0, 0.3), (0.7, 0.1))])
@pytest.mark.parametrize("by", ["pair", "drug", "both"])
def test_it_is_kernel_ridge_on_the_cells_that_there_are(constant: Sides, identity: Sides, by: str) -> None:
    split = planted(drugs=14, targets=10).split(by=by, fractions=(0.5, 0.2, 0.3), seed=0)
    train, test = split.train, split.test
    ours = KronRLS(ridge=0.3, constant=constant, identity=identity, target_similarity=KmerCosine(3), **EXACT)
    theirs = KernelRidge(alpha=0.3, kernel="precomputed")
    mean = train.value.mean()
    theirs.fit(pair_kernel(train, train, 2, constant, identity), train.value - mean)
    expected = mean + theirs.predict(pair_kernel(test, train, 2, constant, identity))
    np.testing.assert_allclose(ours.fit(train).predict(test), expected, atol=1e-8)


def test_the_ridge_that_valid_chose_is_the_best_of_those_fitted_one_by_one() -> None:
    split = planted().split(by="pair", fractions=(0.5, 0.3, 0.2), seed=0)
    fixed = {"identity": 0.1, **EXACT}
    chosen = KronRLS(**fixed).fit(split.train, split.valid)
    errors = {
        ridge: np.mean((KronRLS(ridge=ridge, **fixed).fit(split.train).predict(split.valid) - split.valid.value) ** 2)
        for ridge in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    }
    assert chosen.chosen_.ridge == min(errors, key=lambda ridge: errors[ridge])


def test_what_valid_chose_is_no_worse_on_it_than_where_it_began() -> None:
    split = planted().split(by="pair", fractions=(0.5, 0.3, 0.2), seed=0)
    start = KronRLS(target_power=0.7, drug_power=1.0, identity=0.1).fit(split.train, split.valid)
    free = KronRLS().fit(split.train, split.valid)
    errors = [np.mean((m.predict(split.valid) - split.valid.value) ** 2) for m in (free, start)]
    assert errors[0] <= errors[1] + 1e-9


def test_ids_tell_apart_what_structure_does_not() -> None:
    """Mutants with the wild type's sequence: without the identity all of them are one."""
    pairs = planted(drugs=24, targets=10)
    frame = pairs.to_pandas()
    frame["Target"] = frame["Target"].iloc[0]  # only the id is left
    same = Affinities.of(frame, unit="pKd")
    split = same.split(by="pair", seed=0)
    fixed = {"ridge": 0.1, "drug_power": 1.0, "target_power": 1.0, "constant": 0.0}
    with_ids, without = (KronRLS(identity=i, **fixed).fit(split.train).predict(split.test) for i in (1.0, 0.0))
    first = split.test.drug == np.bincount(split.test.drug).argmax()
    assert np.ptp(without[first]) < 1e-9 < np.ptp(with_ids[first])
    errors = [np.mean((p - split.test.value) ** 2) for p in (with_ids, without)]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("by", ["drug", "target", "both"])
def test_structure_tells_of_what_is_new(by: str) -> None:
    split = planted(drugs=48, targets=32).split(by=by, fractions=(0.6, 0.2, 0.2), seed=1)
    kernels, means = (kind().fit(split.train, split.valid).predict(split.test) for kind in (KronRLS, PairMeans))
    errors = [np.mean((p - split.test.value) ** 2) for p in (kernels, means)]
    assert errors[0] < errors[1]


def test_faults() -> None:
    for name in ("drug_power", "target_power", "ridge", "tolerance"):
        with pytest.raises(SchemaError, match=f"{name} must be above 0"):
            KronRLS(**{name: 0.0})
    for wrong in ((0.1,), (0.1, -1.0), (0.1, 0.2, 0.3)):
        with pytest.raises(SchemaError, match="constant must be at least 0, one number or two"):
            KronRLS(constant=wrong)
    with pytest.raises(SchemaError, match="identity must be at least 0"):
        KronRLS(identity=-1.0)
