"""Counted co-occurrence: by hand, against a dense recount, and against scikit-learn's decomposition."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD

from medgraph.data import shards as shards_module
from medgraph.data.guard import poisoned
from medgraph.data.prediction_times import AfterVisit
from medgraph.data.tasks import CodeWithin
from medgraph.embeddings.cooccurrence import PPMI, cooccurrence, ppmi
from medgraph.embeddings.visits import VisitSequences
from medgraph.errors import NotFittedError, SchemaError
from tests.unit.embeddings.histories import cohort_of, planted_cohort

HAND = cohort_of(
    [
        (1, 0.0, "A", 1),
        (1, 0.0, "B", 1),
        (1, 0.0, "B", 1),
        (1, 3.0, "C", 2),
        (2, 0.0, "A", 3),
        (2, 0.0, "B", 3),
        (2, 0.0, "C", 3),
        (3, 0.0, "D", 4),
    ]
)


@pytest.mark.parametrize("repeats", [False, True])
def test_counts_by_hand(repeats):
    visit = cooccurrence(VisitSequences(HAND, context="visit", repeats=repeats)).toarray()
    np.testing.assert_array_equal(visit, [[0, 2, 1, 0], [2, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    subject = cooccurrence(VisitSequences(HAND, context="subject", repeats=repeats)).toarray()
    np.testing.assert_array_equal(subject, [[0, 2, 2, 0], [2, 0, 2, 0], [2, 2, 0, 0], [0, 0, 0, 0]])


def test_counts_are_those_of_a_plain_recount_whatever_the_blocks(monkeypatch):
    cohort = planted_cohort()
    bags: dict[tuple[int, int], set[str]] = {}
    for events in cohort.events(prefetch=0):
        for row in range(events.time.size):
            if (visit := int(events.visit[row])) >= 0:
                bags.setdefault((0, visit), set()).add(cohort.shards.codes[events.code[row]])
    names = cohort.shards.codes
    expected = np.zeros((len(names), len(names)))
    for bag in bags.values():
        for a, b in combinations(sorted(bag), 2):
            expected[names.index(a), names.index(b)] += 1
    monkeypatch.setattr(shards_module, "_BLOCK", 100)
    found = cooccurrence(VisitSequences(planted_cohort(), context="visit"))
    np.testing.assert_array_equal(found.toarray(), expected + expected.T)


def test_ppmi_by_hand():
    counts = csr_array(np.array([[0, 2, 1], [2, 0, 1], [1, 1, 0]]))
    found = ppmi(counts).toarray()  # 8 in all; rows 3, 3, 2
    assert found[0, 1] == pytest.approx(math.log(2 * 8 / (3 * 3)))
    assert found[0, 2] == pytest.approx(math.log(1 * 8 / (3 * 2)))
    assert found[0, 0] == 0
    shifted = ppmi(counts, shift=1.5).toarray()
    assert shifted[0, 1] == pytest.approx(math.log(16 / 9 / 1.5))
    assert shifted[0, 2] == 0  # log(4/3) < log(1.5)
    smooth = ppmi(counts, smoothing=0.75).toarray()
    weights = np.array([3, 3, 2]) ** 0.75
    assert smooth[2, 0] == pytest.approx(math.log(1 / 2 / (weights[0] / weights.sum())))
    for wrong in ({"shift": 0.5}, {"smoothing": 0.0}, {"smoothing": 1.1}):
        with pytest.raises(SchemaError, match="shift"):
            ppmi(counts, **wrong)


@pytest.mark.parametrize("size", [6, 60])  # truncated, and more than there are codes
def test_factors_are_those_of_scikit_learn(size):
    model = PPMI(vector_size=size, power=1).fit(VisitSequences(planted_cohort(), context="subject"))
    dense = model.matrix_.toarray()
    if size < len(model.ids):
        reference = TruncatedSVD(size, algorithm="arpack", random_state=0).fit_transform(dense)
    else:
        left, values, _ = np.linalg.svd(dense)
        reference = left * values
    vectors = model.embedding_.vectors.astype(np.float64)
    np.testing.assert_allclose(vectors @ vectors.T, reference @ reference.T, atol=2e-4)  # signs are free
    half = PPMI(vector_size=size).fit(VisitSequences(planted_cohort(), context="subject")).embedding_.vectors
    values = np.linalg.norm(vectors, axis=0)
    np.testing.assert_allclose(half * np.sqrt(values), vectors, atol=2e-4)
    assert half.shape == (40, size)


def test_it_finds_topics_and_is_blind_to_the_future():
    out = CodeWithin(("T1*",), 10, AfterVisit(2))
    cohort = planted_cohort().with_tasks(out=out)
    future, given = poisoned(cohort, "out")
    one = PPMI(vector_size=8).fit(VisitSequences(cohort, label=given, context="subject"))
    other = PPMI(vector_size=8).fit(VisitSequences(future, label="out", context="subject"))
    assert one.ids == other.ids
    np.testing.assert_array_equal(one.embedding_.vectors, other.embedding_.vectors)
    emb = one.embedding_
    right = [near.split(":")[0] == id_.split(":")[0] for id_ in emb.ids for near, _ in emb.most_similar(id_, topn=3)]
    assert np.mean(right) > 0.9


def test_bad_input_is_refused():
    with pytest.raises(SchemaError, match="context='visit'"):
        cooccurrence(VisitSequences(HAND, context="visits"))
    with pytest.raises(SchemaError, match="no two codes"):
        PPMI().fit(VisitSequences(cohort_of([(1, 0.0, "A", 1), (2, 0.0, "B", 2)]), context="visit"))
    with pytest.raises(SchemaError, match="vector_size"):
        PPMI(vector_size=0)
    with pytest.raises(NotFittedError):
        _ = PPMI().embedding_
    flat = PPMI(vector_size=2).fit(VisitSequences(cohort_of([(1, 0.0, "A", 1), (1, 0.0, "B", 1)]), context="visit"))
    assert flat.matrix_.toarray()[0, 1] == pytest.approx(math.log(2))
