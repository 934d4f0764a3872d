"""Judging concept vectors: by hand, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from medgraph.errors import SchemaError
from medgraph.evaluation.concepts import (
    ConceptVectors,
    class_auroc,
    halves,
    neighbour_overlap,
    neighbour_precision,
    pair_hits,
    scrambled,
)

RNG = np.random.default_rng(0)
IDS = tuple(f"c{n}" for n in range(30))
DENSE = RNG.normal(size=(30, 4))
CLASSES = {id_: f"g{n % 5}" for n, id_ in enumerate(IDS)}


def angles(**degrees: float) -> ConceptVectors:
    turned = np.radians(list(degrees.values()))
    return ConceptVectors(tuple(degrees), np.stack([np.cos(turned), np.sin(turned)], axis=1))


def test_pair_hits_by_hand():
    space = angles(drug=0, near=10, far=40, other=60, lone=90)
    pairs = [("drug", "far"), ("drug", "other"), ("lone", "near"), ("gone", "near"), ("drug", "missing")]
    pool = ["near", "far", "other", "drug"]
    one = pair_hits(space, pairs, pool, k=2)
    assert (one.value, one.used, one.asked) == (0.5, 2, 3)  # drug: near, far; lone: other, far, near, drug
    assert pair_hits(space, pairs, pool, k=1).value == 0
    assert pair_hits(space, pairs, pool, k=3).value == 1
    assert str(one) == "0.500 (2 of 3)"
    assert math.isnan(pair_hits(space, [("gone", "near")], pool).value)
    assert pair_hits(space, [("drug", "drug")]).used == 0


def test_ties_earn_nothing():
    flat = ConceptVectors(IDS, np.ones((30, 3)))
    pairs = [(id_, IDS[(n + 1) % 30]) for n, id_ in enumerate(IDS)]
    assert pair_hits(flat, pairs, k=10).value == 0  # all 29 share rank 15
    assert class_auroc(flat, CLASSES).value == 0.5
    known = ConceptVectors(IDS, csr_array(np.roll(np.eye(30), 1, axis=1)), given=True)
    assert pair_hits(known, pairs, k=1).value == 1
    assert pair_hits(ConceptVectors(IDS, np.roll(np.eye(30), 1, axis=1), given=True), pairs, k=1).value == 1


def test_sparse_and_dense_vectors_give_the_same():
    thin = np.where(RNG.random((30, 40)) < 0.2, RNG.random((30, 40)), 0)
    thin[3] = 0
    one, other = ConceptVectors(IDS, thin), ConceptVectors(IDS, csr_array(thin))
    rows = np.arange(30)
    for query in range(30):
        np.testing.assert_allclose(one.scores(query, rows), other.scores(query, rows), atol=1e-12)
        np.testing.assert_allclose(one.scores(query, rows), cosine_similarity(thin)[query], atol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_the_same_questions_for_several_spaces(kind):
    space = ConceptVectors(("a", "b", "c"), kind(np.arange(12.0).reshape(3, 4)))
    other = space.over(["c", "new", "a"])
    dense = other.vectors if isinstance(other.vectors, np.ndarray) else other.vectors.toarray()
    np.testing.assert_array_equal(dense, [[8, 9, 10, 11], [0, 0, 0, 0], [0, 1, 2, 3]])
    assert other.scores(0, np.array([1, 2]))[0] == 0
    known = ConceptVectors(("a", "b", "c"), kind(np.arange(9.0).reshape(3, 3)), given=True).over(["c", "new", "a"])
    np.testing.assert_array_equal([known.scores(q, np.arange(3)) for q in range(3)], [[8, 0, 6], [0, 0, 0], [2, 0, 0]])


def test_class_auroc_is_that_of_scikit_learn():
    left, right = np.triu_indices(30, 1)
    cosine = cosine_similarity(DENSE)[left, right]
    found = class_auroc(ConceptVectors(IDS, DENSE), {**CLASSES, "gone": "g1"})
    assert found.value == pytest.approx(roc_auc_score(left % 5 == right % 5, cosine))
    assert (found.used, found.asked) == (5 * 15, 5 * 15 + 6)
    several = {id_: {f"g{n % 5}", f"h{n % 7}"} for n, id_ in enumerate(IDS)}
    same = (left % 5 == right % 5) | (left % 7 == right % 7)
    assert class_auroc(ConceptVectors(IDS, DENSE), several).value == pytest.approx(roc_auc_score(same, cosine))
    assert math.isnan(class_auroc(ConceptVectors(IDS, DENSE), {"c1": "g", "c2": "g"}).value)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_neighbour_precision_is_that_of_scikit_learn(k):
    near = NearestNeighbors(n_neighbors=29, metric="cosine").fit(DENSE).kneighbors(return_distance=True)[1]
    most = min(k, 5)  # a group of six has five others
    expected = np.mean([np.mean(row[:most] % 5 == n % 5) for n, row in enumerate(near)])
    found = neighbour_precision(ConceptVectors(IDS, DENSE), {**CLASSES, "gone": "g1", "alone": "z"}, k)
    assert found.value == pytest.approx(expected)
    assert (found.used, found.asked) == (30, 31)


def test_neighbour_overlap():
    space = ConceptVectors(IDS, DENSE)
    turn, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
    assert neighbour_overlap(space, ConceptVectors(IDS, 3 * DENSE @ turn), k=5).value == 1  # a turned space is the same
    chance = [neighbour_overlap(space, scrambled(space, seed), k=5).value for seed in range(20)]
    assert np.mean(chance) == pytest.approx(5 / 29, abs=0.03)
    line = angles(a=0, b=1, c=20, d=22)
    other = angles(a=0, b=1, c=40, d=10, e=170)
    assert neighbour_overlap(line, other, k=1).value == 0.75  # d's was c, and is b
    assert neighbour_overlap(other, line, k=1).asked == 5


def test_halves_share_no_query():
    pairs = [(f"q{n % 11}", f"p{n}") for n in range(40)]
    one, other = halves(pairs)
    assert sorted(one + other) == sorted(pairs)
    assert not {q for q, _ in one} & {q for q, _ in other}
    assert len({q for q, _ in one}) == 6


def test_bad_input_is_refused():
    with pytest.raises(SchemaError):
        ConceptVectors(("a", "a"), np.ones((2, 2)))
    with pytest.raises(SchemaError):
        ConceptVectors(("a", "b"), np.ones((2, 3)), given=True)
