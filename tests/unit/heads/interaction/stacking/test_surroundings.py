"""The columns of a pair's surroundings, against plain loops."""

from __future__ import annotations

import numpy as np
from bindings import planted
from numpy.testing import assert_allclose

from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.proteins import kmer_cosine, kmers
from medgraph.heads.interaction.stacking.surroundings import Surroundings


def test_nearest_values_by_structure_as_loops_find_them() -> None:
    split = planted(drugs=12, targets=8).split("pair", fractions=(0.5, 0.0, 0.5), seed=0)
    train, test = split.train, split.test
    found = Surroundings.fitted(train).columns(test)
    value = {(d, t): v for d, t, v in zip(train.drug, train.target, train.value - train.value.mean(), strict=True)}
    s = tanimoto(morgan(train.smiles), morgan(train.smiles))
    k = kmer_cosine(kmers(train.sequences, 4), kmers(train.sequences, 4))
    share = len(train) / (np.unique(train.drug).size * np.unique(train.target).size)
    for row, (drug, target) in enumerate(zip(test.drug.tolist(), test.target.tolist(), strict=True)):
        drugs = sorted(((s[drug, d], v) for (d, t), v in value.items() if t == target and d != drug), reverse=True)
        targets = sorted(((k[target, t], v) for (d, t), v in value.items() if d == drug and t != target), reverse=True)
        for start, likes in ((4, drugs), (20, targets)):
            first = [like for like, _ in likes[:3]]
            assert_allclose(found[row, start + 3], first[0])
            assert_allclose(found[row, start + 4], first[2] if len(first) > 2 else 0.0)
            if len({round(like, 9) for like, _ in likes}) == len(likes) and min(first) > 0:  # no ties
                assert_allclose(found[row, start : start + len(first)], [v for _, v in likes[:3]])
            weights = np.array([like**4 for like, _ in likes])
            if weights.sum() > 1e-9:
                assert_allclose(found[row, start + 5], weights @ [v for _, v in likes] / weights.sum())
            assert_allclose(found[row, start + 7], weights.sum() / share, rtol=1e-9, atol=1e-12)
    assert found.shape == (len(test), 4 + 4 * 8)


def test_what_is_new_has_no_profile_and_no_mean() -> None:
    split = planted().split("both", fractions=(0.7, 0.0, 0.3), seed=0)
    found = Surroundings.fitted(split.train).columns(split.test)
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:] == 0).all()  # a new drug was measured on nothing, nor anything on a new target
    split = planted().split("drug", fractions=(0.7, 0.0, 0.3), seed=0)
    found = Surroundings.fitted(split.train).columns(split.test)
    assert (found[:, 0] == 0).all()
    assert (found[:, 3] > 0).all()
    assert (found[:, 7] > 0).all()  # likes by structure
    assert (found[:, 12:20] == 0).all()  # none by profile
    assert np.isfinite(found).all()
