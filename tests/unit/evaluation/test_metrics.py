"""Metrics against scikit-learn, SciPy and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from medgraph.errors import SchemaError
from medgraph.evaluation import metrics


def test_ranks_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]])
    ranks = metrics.rank_links(scores, np.array([[0, 0], [2, 0]]))
    assert ranks.optimistic.tolist() == [2, 1]
    assert ranks.pessimistic.tolist() == [4, 1]
    assert ranks.realistic.tolist() == [3.0, 1.0]
    assert ranks.candidates.tolist() == [5, 5]


def test_known_pairs_leave_the_list_but_never_the_ranked_link() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]])
    known = np.array([[True, True, True, False, False]])
    ranks = metrics.rank_links(scores, np.array([[0], [2]]), known)
    assert (ranks.optimistic[0], ranks.pessimistic[0], ranks.candidates[0]) == (1, 2, 3)


def test_infinite_scores_rank_and_nan_is_refused() -> None:
    assert metrics.rank_links(np.array([[-np.inf, 0.0]]), np.array([[0], [0]])).realistic[0] == 2
    with pytest.raises(SchemaError, match=r"1 of 2 scores are NaN, the first at \(0, 1\)"):
        metrics.rank_links(np.array([[0.0, np.nan]]), np.array([[0], [0]]))
    with pytest.raises(SchemaError, match="column 7"):
        metrics.rank_links(np.zeros((1, 2)), np.array([[0], [7]]))
    with pytest.raises(SchemaError, match="they must agree"):
        metrics.rank_links(np.zeros((1, 2)), np.array([[0], [0]]), np.zeros((2, 2), dtype=bool))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (6, 9), elements=st.integers(0, 4)), arrays(bool, (6, 9)), st.data())
def test_ranks_equal_scipy(scores, known, data) -> None:
    links = np.array(data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=8))).T
    for matrix, pairs, mask in ((scores, links, known), (scores.T, links[::-1], known.T)):
        ranks = metrics.rank_links(matrix, pairs, mask)
        for i, (row, column) in enumerate(pairs.T):
            keep = ~mask[row]
            keep[column] = True
            place = int(keep[:column].sum())
            values = -matrix[row, keep]
            assert ranks.realistic[i] == rankdata(values, method="average")[place]
            assert ranks.optimistic[i] == rankdata(values, method="min")[place]
            assert ranks.pessimistic[i] == rankdata(values, method="max")[place]
            assert ranks.candidates[i] == keep.sum()


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, known = rng.integers(5, size=(20, 30)).astype(float), rng.random((20, 30)) < 0.2
    area = metrics.separate(scores[known], scores[~known])
    monkeypatch.setattr(metrics, "_BLOCK", 70)
    assert metrics.separate(scores[known], scores[~known]).auprc() == area.auprc()


def test_means_over_ranks_by_hand() -> None:
    ranks = np.array([1.0, 1.5, 4.0, 10.0])
    assert metrics.mrr(ranks) == pytest.approx((1 + 2 / 3 + 1 / 4 + 1 / 10) / 4)
    assert [metrics.hits_at(ranks, k) for k in (1, 3, 10)] == [0.25, 0.5, 1.0]
    assert metrics.recall_at(ranks, np.array([5, 5, 5, 2]), 3) == pytest.approx((2 / 3 + 0) / 2)
    with pytest.raises(SchemaError, match="No values"):
        metrics.mrr(np.array([]))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_areas_equal_scikit_learn(p: int, q: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(p + q) < p)
    scores = rng.integers(levels, size=p + q) + 0.25 * labels * rng.integers(2, size=p + q)
    assert metrics.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_weighted_auprc_equals_scikit_learn_on_repeated_positives() -> None:
    rng = np.random.default_rng(1)
    positives, negatives = rng.integers(8, size=12) / 2 + 1, rng.integers(8, size=50) / 2
    weights = rng.integers(4, size=(5, 12)).astype(float)
    ours = metrics.separate(positives, negatives).weighted_auprc(weights)
    for value, row in zip(ours, weights.astype(int), strict=True):
        scores = np.concatenate([np.repeat(positives, row), negatives])
        labels = np.arange(scores.size) < row.sum()
        assert value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_areas_refuse_one_class() -> None:
    with pytest.raises(SchemaError, match="0 positives and 3 negatives"):
        metrics.auroc(np.zeros(3, dtype=bool), np.arange(3.0))


def test_probability_errors_equal_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(500)
    y = rng.random(500) < p**2
    assert metrics.brier(y, p) == pytest.approx(brier_score_loss(y, p))
    assert metrics.log_loss(y, p) == pytest.approx(sklearn_log_loss(y, p))
    observed, mean = calibration_curve(y, p, n_bins=10, strategy="quantile")
    assert metrics.expected_calibration_error(y, p) == pytest.approx(np.abs(observed - mean).mean(), abs=1e-3)
    assert np.isfinite(metrics.log_loss(np.array([True]), np.array([0.0])))
    with pytest.raises(SchemaError, match=r"Probability 1\.5 at place 1"):
        metrics.brier(np.array([True, False]), np.array([0.5, 1.5]))


def test_calibration_error_by_hand() -> None:
    labels = np.array([True, False, False, False, True, True])
    probabilities = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8])
    assert metrics.expected_calibration_error(labels, probabilities, 2) == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.2)


def test_equal_values_share_a_bin() -> None:
    assert metrics.equal_mass_bins(np.array([0.0] * 9 + [1.0]), 5).tolist() == [0] * 9 + [1]
    assert np.bincount(metrics.equal_mass_bins(np.arange(100.0), 10)).tolist() == [10] * 10
