"""Neighbours on both sides against a loop over every known pair."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import planted
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from medgraph import PairMeans, PairNeighbours
from medgraph.data.alignment import Alignments
from medgraph.data.fragments import FRAGMENTS, counter, unary
from medgraph.data.molecules import tanimoto as compared
from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.similarity import CountedFragments, KmerCosine, LocalAlignment, Tanimoto


def tanimoto(a: str, b: str) -> float:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return DataStructs.TanimotoSimilarity(*(generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in (a, b)))


def cosine(a: str, b: str, k: int) -> float:
    words = sorted({text[i : i + k] for text in (a, b) for i in range(len(text) - k + 1)})
    x, y = (np.array([sum(t[i : i + k] == w for i in range(len(t))) for w in words], dtype=float) for t in (a, b))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def test_similarities_are_rdkits_and_a_count_by_hand() -> None:
    pairs = planted(drugs=5, targets=4)
    for similarity, texts, theirs in (
        (Tanimoto(), pairs.smiles, tanimoto),
        (KmerCosine(2), pairs.sequences, lambda a, b: cosine(a, b, 2)),
    ):
        encoded = similarity.encode(texts)
        expected = [[theirs(a, b) for b in texts] for a in texts]
        np.testing.assert_allclose(similarity.between(encoded, encoded), expected, atol=1e-6)
    with pytest.raises(SchemaError, match="k must be 1 to 6"):
        KmerCosine(9)


def test_fragments_and_alignments_are_one_for_the_same_and_told_apart_by_what_differs() -> None:
    fragments, aligned = CountedFragments(), LocalAlignment()
    smiles = ["Nc1ccccc1", "Oc1ccccc1", "CCCCCCCC", "CCCCCCCC"]
    drugs = fragments.encode(smiles)
    found = fragments.between(drugs, drugs)
    each = [unary([counter(kind)(text) for text in smiles], 4096 * 16) for kind in FRAGMENTS]
    np.testing.assert_allclose(found, np.mean([compared(one, one) for one in each], axis=0), atol=1e-6)
    assert found[2, 3] == 1
    assert 0 == found[0, 2] < found[0, 1] < 1
    texts = ["MKVLAAGIVGLCAKAYWA", "MKVLGGIVGLAKAYWA", "MKVLAAGIVGLCAKAYWA"]
    encoded = aligned.encode(texts)
    np.testing.assert_allclose(aligned.between(encoded, encoded), Alignments().likeness(texts, texts))
    assert aligned.between(aligned.encode(texts[:1]), encoded)[0].argsort().tolist()[0] == 1
    assert aligned == LocalAlignment()


def test_it_is_the_weighted_mean_over_known_pairs() -> None:
    split = planted(drugs=12, targets=8).split(by="pair", fractions=(0.6, 0.2, 0.2), seed=0)
    train, test = split.train, split.test
    model = PairNeighbours(k=99, drug_power=3.0, target_power=2.0, shrink=0.1, target_similarity=KmerCosine(2))
    means = PairMeans(shrink=3.0).fit(train)
    left = train.value - means.predict(train)
    expected = []
    for drug, target, prior in zip(test.drug, test.target, means.predict(test), strict=True):
        weights = np.array(
            [
                tanimoto(train.smiles[drug], train.smiles[d]) ** 3
                * cosine(train.sequences[target], train.sequences[t], 2) ** 2
                for d, t in zip(train.drug, train.target, strict=True)
            ]
        )
        expected.append(prior + weights @ left / (weights.sum() + 0.1))
    np.testing.assert_allclose(model.fit(train).predict(test), expected, atol=1e-6)


def test_only_the_nearest_are_asked() -> None:
    split = planted().split(by="pair", seed=0)
    few, all_ = (PairNeighbours(k=k, drug_power=1.0, target_power=1.0, shrink=0.1).fit(split.train) for k in (1, 99))
    assert np.abs(few.predict(split.test) - all_.predict(split.test)).max() > 0.01


@pytest.mark.parametrize("by", ["drug", "both"])
def test_structure_tells_of_what_is_new(by: str) -> None:
    split = planted(drugs=48, targets=32).split(by=by, fractions=(0.6, 0.2, 0.2), seed=1)
    neighbours, means = (
        kind().fit(split.train, split.valid).predict(split.test) for kind in (PairNeighbours, PairMeans)
    )
    errors = [np.mean((p - split.test.value) ** 2) for p in (neighbours, means)]
    assert errors[0] < 0.8 * errors[1]


def test_faults() -> None:
    for name in ("k", "drug_power", "target_power", "shrink"):
        with pytest.raises(SchemaError, match=f"{name} must be above 0"):
            PairNeighbours(**{name: 0 if name == "k" else 0.0})
