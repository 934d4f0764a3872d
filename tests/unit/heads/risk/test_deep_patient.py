"""Deep Patient: its inputs by hand, its layers beside plain ones, its vectors learned without a label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import NONE, samples_of
from torch.nn import functional

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.errors import SchemaError
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.deep_patient import Stack
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch

HISTORIES = [
    [(9.0, [(0, NONE), (1, 14.0)]), (4.0, [(0, NONE), (0, NONE), (2, NONE)])],
    [],
    [(3.0, [(3, NONE)])],
]


def test_inputs_and_layers_by_hand() -> None:
    torch.manual_seed(0)
    stack = Stack(CodeVectors.fresh(4, 3), Person(4), layers=2, hidden=5, outputs=1, dropout=0.5).eval()
    stack.largest.copy_(torch.log(torch.tensor([8.0, 2.0, 4.0, 1.5])))
    batch = Batch.of(samples_of(HISTORIES))
    shares = np.array([[np.log(4) / np.log(8), 1.0, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 1.0]])  # the last more than any
    np.testing.assert_allclose(stack.shares(batch), shares, rtol=1e-6)
    first = torch.sigmoid(
        functional.linear(
            torch.tensor(shares).float() @ stack.codes.learned[1:], stack.layers[0].weight, stack.layers[0].bias
        )
    )
    wanted = torch.sigmoid(stack.layers[1](first))
    torch.testing.assert_close(stack.encode(batch), wanted)
    logits = stack.output(torch.cat([wanted, stack.person(batch)], dim=1))
    torch.testing.assert_close(stack(batch), logits)


DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))


def cohort_of(flip: bool) -> Cohort:
    """Two kinds of patients, whose codes come together; flipped, only the outcome is another."""
    rng = np.random.default_rng(0)
    rows = []
    for who in range(200):
        kind = who % 2
        for code in range(5):
            if rng.random() < 0.8:
                rows.append((who, INDEX - int(rng.integers(5, 300)) * DAY, f"K{kind}//{code}"))
        rows.append((who, INDEX - 3 * DAY, f"C//{rng.integers(5)}"))
        if (rng.random() < 0.85) == (kind == int(flip)):
            rows.append((who, INDEX + 20 * DAY, "O//OUT"))
        rows.append((who, INDEX + 500 * DAY, "C//0"))
    who_, when, what = zip(*rows, strict=True)
    table = pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what})
    return Cohort.of(table).split(seed=0).with_tasks(out=CodeWithin(("O//OUT",), 365, AtDates(("2020-01-01",))))


def fit(cohort: Cohort, **more: object) -> mg.DeepPatient:
    small = {"vector_size": 8, "layers": 2, "hidden_size": 12, "pretrain_epochs": 30, "pretrain_rate": 0.02}
    head = mg.DeepPatient(**{**small, "batch_size": 32, "epochs": 10, "learning_rate": 0.1, "dropout": 0.0, **more})
    return head.fit(cohort, "out", progress=False)


def test_the_vectors_are_learned_without_labels_and_tell_the_kinds_apart() -> None:
    cohort, flipped = cohort_of(False), cohort_of(True)
    one, other = fit(cohort), fit(flipped)
    vectors = one.patient_vectors(cohort.held_out)
    assert vectors.shape == (len(one.predict_proba(cohort.held_out)), 12)
    np.testing.assert_array_equal(vectors, other.patient_vectors(flipped.held_out))
    kind = one.predict_proba(cohort.held_out).subject_id % 2
    centred = vectors - vectors.mean(axis=0)
    first = centred @ np.linalg.svd(centred)[2][0]  # unsupervised all the way: the main direction is the kind
    agreement = ((first > 0) == kind).mean()
    assert max(agreement, 1 - agreement) > 0.9
    found = one.predict_proba(cohort.held_out)
    assert ((found.probability > 0.5) == (kind == 0)).mean() > 0.9


def test_tuned_the_labels_change_the_vectors() -> None:
    cohort = cohort_of(False)
    kept, tuned = (fit(cohort, tune_encoder=t, pretrain_epochs=2, epochs=3) for t in (False, True))
    assert not np.allclose(kept.patient_vectors(cohort.held_out), tuned.patient_vectors(cohort.held_out))


def test_reconstruction_gets_better_and_stale_gradients_do_not_stay() -> None:
    cohort = cohort_of(False)
    head = fit(cohort, layers=1, epochs=1, wide=False)
    stack = head._fitted().network
    assert not any(p.requires_grad for p in stack.layers.parameters())
    assert all(p.grad is None for p in stack.layers.parameters())
    # the most that any training sample has of a code is 1 here, so shares are 0 or 1
    assert torch.allclose(stack.largest.exp(), torch.full_like(stack.largest, 2.0))


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"noise": 1.0}, {"pretrain_rate": 0.0}])
def test_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(SchemaError, match=next(iter(wrong))):
        mg.DeepPatient(**wrong)
