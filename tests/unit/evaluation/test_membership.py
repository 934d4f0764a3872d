"""Membership inference by loss: the areas by counting pairs, planted members, subjects, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medgraph.errors import SchemaError
from medgraph.evaluation.membership import membership_inference


def test_by_hand() -> None:
    """Members .1 .2 .9, others .3 .8: 4 of 6 pairs; below the mean .4 are two of three, and one of two."""
    found = membership_inference(np.array([0.1, 0.2, 0.9]), np.array([0.3, 0.8]), n_bootstrap=20)
    assert found.auroc.value == pytest.approx(4 / 6)
    assert found.advantage.value == pytest.approx(2 / 3 - 1 / 2)
    assert found.found == pytest.approx(2 / 3)
    assert (found.members, found.others) == (3, 2)
    assert json.loads(json.dumps(found.to_dict()))["auroc"]["value"] == pytest.approx(4 / 6)
    assert "AUROC 0.667" in str(found)


def test_samples_of_a_subject_count_as_one() -> None:
    """Subject 7's samples .1 and .9 have the mean .5."""
    found = membership_inference(
        np.array([0.1, 0.9, 0.3]), np.array([0.4, 0.6]), np.array([7, 7, 8]), np.array([1, 2]), n_bootstrap=20
    )
    assert (found.members, found.others) == (2, 2)
    assert found.auroc.value == pytest.approx(3 / 4)


def test_finds_planted_members_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    member, other = rng.exponential(0.5, 400), rng.exponential(1.0, 300)
    found = membership_inference(member, other, n_bootstrap=300)
    truth = np.repeat([1, 0], [400, 300])
    assert found.auroc.value == pytest.approx(roc_auc_score(truth, -np.concatenate([member, other])))
    assert found.auroc.low > 0.55
    assert found.advantage.low > 0.05
    nothing = membership_inference(rng.exponential(1, 400), rng.exponential(1, 300), n_bootstrap=300)
    assert nothing.auroc.low < 0.5 < nothing.auroc.high
    assert nothing.advantage.low < 0 < nothing.advantage.high


def test_refusals() -> None:
    one = np.array([0.5])
    with pytest.raises(SchemaError, match="both are needed"):
        membership_inference(one, np.zeros(0))
    with pytest.raises(SchemaError, match="finite"):
        membership_inference(one, np.array([np.nan]))
    with pytest.raises(SchemaError, match="1 subjects stand among members"):
        membership_inference(one, one, np.array([3]), np.array([3]))
