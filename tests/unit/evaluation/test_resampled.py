"""Figures under weights against scikit-learn's, which take the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from medgraph.errors import SchemaError
from medgraph.evaluation.resampled import (
    auprc_of,
    auroc_of,
    estimate,
    estimate_beside,
    macro_of,
    mean_of,
    recall_at_k,
    squared_errors,
)

RNG = np.random.default_rng(0)
LABELS = RNG.random(200) < 0.3
SCORES = np.round(RNG.random(200) + 0.3 * LABELS, 1)  # many ties
WEIGHTS = RNG.integers(0, 4, size=(5, 200)).astype(float)


@pytest.mark.parametrize(("ours", "theirs"), [(auroc_of, roc_auc_score), (auprc_of, average_precision_score)])
def test_areas_are_scikit_learns_with_sample_weights(ours: type, theirs: type) -> None:
    found = ours(LABELS, SCORES)(WEIGHTS)[:, 0]
    np.testing.assert_allclose(found, [theirs(LABELS, SCORES, sample_weight=w) for w in WEIGHTS])


def test_brier_is_scikit_learns_with_sample_weights() -> None:
    p = SCORES / 2
    found = mean_of(squared_errors(LABELS, p))(WEIGHTS)[:, 0]
    np.testing.assert_allclose(found, [brier_score_loss(LABELS, p, sample_weight=w) for w in WEIGHTS])
    with pytest.raises(SchemaError, match="expected a number from 0 to 1"):
        squared_errors(LABELS, SCORES * 2)


def test_a_class_that_was_not_drawn_gives_nan_and_is_left_out() -> None:
    only = LABELS.astype(float)[None, :]
    assert np.isnan(auroc_of(LABELS, SCORES)(only)[0, 0])
    assert np.isnan(auprc_of(LABELS, SCORES)(1 - only)[0, 0])
    both = macro_of([auroc_of(LABELS, SCORES), mean_of(np.full(200, 0.25))])
    assert both(only)[0, 0] == 0.25
    two = np.array([True, False])
    told = estimate(auroc_of(two, np.array([0.9, 0.1])), 2, 50, 0, None)
    assert told == (1.0, 1.0, 1.0)


def test_recall_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]], dtype=bool)
    scores = np.array([[0.9, 0.1, 0.5, 0.2], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.1]])
    found = recall_at_k(truth, scores, 2)
    np.testing.assert_allclose(found, [0.5, np.nan, (2 / 3) / 2])  # two places for three equals
    np.testing.assert_allclose(recall_at_k(truth, scores, 9), [1, np.nan, 1])
    assert mean_of(found)(np.ones((1, 3)))[0, 0] == pytest.approx((0.5 + 1 / 3) / 2)


def test_subjects_are_drawn_whole_and_differences_are_paired() -> None:
    values = np.repeat(RNG.normal(size=20), 10)
    clusters = np.repeat(np.arange(20), 10)
    alone = estimate(mean_of(values), 200, 400, 0, None)
    whole = estimate(mean_of(values), 200, 400, 0, clusters)
    assert whole.high - whole.low > 2 * (alone.high - alone.low)
    paired = estimate(mean_of(values + 1), 200, 400, 0, clusters, mean_of(values))
    np.testing.assert_allclose(paired, [1, 1, 1])


def test_figures_beside_each_other_are_those_taken_one_by_one() -> None:
    other = np.random.default_rng(1).random(200)
    methods = {
        name: {"AUROC": auroc_of(LABELS, scores), "AUPRC": auprc_of(LABELS, scores)}
        for name, scores in (("ours", SCORES), ("theirs", other))
    }
    clusters = np.arange(200) // 4
    estimates, gains = estimate_beside(methods, 200, 100, 3, clusters)
    assert list(gains) == ["theirs"]
    for metric, theirs in methods["theirs"].items():
        ours = methods["ours"][metric]
        assert estimates["theirs"][metric] == estimate(theirs, 200, 100, 3, clusters)
        assert gains["theirs"][metric] == estimate(ours, 200, 100, 3, clusters, theirs)
