"""Losses beside torch.distributions, scikit-learn and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch.distributions import Categorical

from medgraph.errors import SchemaError
from medgraph.heads.risk.targets import HazardTarget, LabelTarget, Target, rounded_up


def test_log_loss_is_scikit_learns_and_weights_are_taken_off_again() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(50) < 0.2).astype(np.float32)
    target = LabelTarget.of("binary", ("a",), label, balance=True)
    assert target.weights == pytest.approx(((50 - label.sum()) / label.sum(),))
    logits = torch.from_numpy(rng.normal(size=(50, 1)))
    p = torch.sigmoid(logits[:, 0] - math.log(target.weights[0])).numpy()
    found = target.log_loss(logits, torch.from_numpy(label).double()).mean()
    assert float(found) == pytest.approx(log_loss(label, p))
    np.testing.assert_allclose(torch.sigmoid(target.log_odds(logits))[:, 0], p)


def test_a_weighted_constant_learns_the_true_rate() -> None:
    label = torch.tensor([1.0] + [0.0] * 9)
    target = LabelTarget.of("binary", ("a",), label.numpy(), balance=True)
    constant = torch.zeros(1, 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([constant], lr=1.0, max_iter=100)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = target.loss(constant.expand(10, 1), label)
        loss.backward()
        return loss

    optimiser.step(closure)
    found = constant.detach()
    assert float(torch.sigmoid(found)) == pytest.approx(0.5, abs=1e-3)  # what was balanced
    assert float(torch.sigmoid(target.log_odds(found))) == pytest.approx(0.1, abs=1e-3)  # what is true


HAZARDS = HazardTarget("survival", ("death", "transplant"), (10.0, 20.0, 30.0))


def test_hazards_beside_a_categorical_distribution_in_each_bin() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 6, dtype=torch.float64)
    bins = [Categorical(logits=torch.nn.functional.pad(logits.reshape(6, 3, 2), (1, 0))[:, b]) for b in range(3)]
    none = [b.log_prob(torch.zeros(6)) for b in bins]
    # died in the first bin; at its very end; transplanted in the third; censored at 15, at 20, event past the last bin
    label = torch.tensor([[3.0, 1], [10.0, 1], [25.0, 2], [15.0, 0], [20.0, 0], [45.0, 1]], dtype=torch.float64)
    wanted = [
        bins[0].log_prob(torch.ones(6))[0],
        bins[0].log_prob(torch.ones(6))[1],
        none[0][2] + none[1][2] + bins[2].log_prob(torch.full((6,), 2))[2],
        none[0][3],
        none[0][4] + none[1][4],
        none[0][5] + none[1][5] + none[2][5],
    ]
    torch.testing.assert_close(HAZARDS.log_loss(logits, label), -torch.stack(wanted))
    p = [torch.exp(n) for n in none]
    death = [b.probs[:, 1] for b in bins]
    risk = torch.stack([death[0], death[0] + p[0] * death[1], death[0] + p[0] * death[1] + p[0] * p[1] * death[2]], 1)
    torch.testing.assert_close(HAZARDS.incidence(logits)[:, 0], risk)


def test_one_event_is_the_logistic_hazard() -> None:
    target = HazardTarget("survival", ("death",), (1.0, 2.0))
    logits = torch.tensor([[0.3, -0.4]])
    hazard = torch.sigmoid(logits[0])
    wanted = -(torch.log(1 - hazard[0]) + torch.log(hazard[1]))
    torch.testing.assert_close(target.log_loss(logits, torch.tensor([[1.5, 1.0]]))[0], wanted)


def test_bins_hold_as_many_events_each() -> None:
    days = np.array([5.0, 1, 2, 3, 4, 6, 7, 8, 100])
    labels = np.column_stack([days, [1] * 8 + [0]]).astype(np.float32)
    assert HazardTarget.of(("death",), labels, 4).edges == (2, 4, 6, 8)
    with pytest.raises(SchemaError, match="only censoring"):
        HazardTarget.of(("death",), labels[-1:], 4)


def test_edges_are_round_and_no_ones_own_days() -> None:
    rng = np.random.default_rng(0)
    days = rng.exponential(900, 400) + rng.random(400) * 1e-3
    labels = np.column_stack([days, np.ones(400)])
    target = HazardTarget.of(("death",), labels, 20)
    assert len(target.edges) == 20
    assert not set(target.edges) & set(days.tolist())
    assert all(float(f"{edge:.3g}") == edge for edge in target.edges)
    assert days.max() <= target.edges[-1] < days.max() * 1.1  # every event is within a bin
    held = np.histogram(days, [0, *target.edges])[0]
    assert held.sum() == 400
    assert held.min() >= 8  # about 20 each
    two = HazardTarget.of(("death",), labels, 4).edges
    assert all(float(f"{edge:.2g}") == edge for edge in two)
    for seed in range(20):  # one event, at a time of its own
        lone = float(np.random.default_rng(seed).uniform(0.001, 5000))
        (edge,) = HazardTarget.of(("death",), np.array([[lone, 1.0]]), 5).edges
        assert lone < edge < lone * 1.1


@pytest.mark.parametrize(
    ("number", "digits", "wanted"),
    [(2.0, 2, 2.0), (0.3, 2, 0.3), (1234.5, 2, 1300.0), (1201.0, 3, 1210.0), (99.5, 2, 100.0), (0.0123, 1, 0.02)],
)
def test_rounded_up_by_hand(number: float, digits: int, wanted: float) -> None:
    assert rounded_up(np.array([number]), digits) == (wanted,)


def test_base_is_the_best_constant() -> None:
    """Found by a general optimiser, but for the half sample that is added."""
    rng = np.random.default_rng(0)
    labels = np.column_stack([rng.uniform(0, 35, 4000), rng.integers(0, 3, 4000)]).astype(np.float32)
    for target, truth in (
        (HAZARDS, labels),
        (LabelTarget.of("multilabel", ("a", "b"), (labels > 1).astype(np.float32), True), (labels > 1).astype("f4")),
    ):
        constant = torch.zeros(1, target.outputs, requires_grad=True)
        optimiser = torch.optim.LBFGS([constant], max_iter=100, line_search_fn="strong_wolfe")

        def closure(
            target: Target = target, truth: np.ndarray = truth, constant: torch.Tensor = constant,
            optimiser: torch.optim.Optimizer = optimiser,
        ) -> torch.Tensor:  # fmt: skip
            optimiser.zero_grad()
            loss = target.loss(constant.expand(len(truth), -1), torch.from_numpy(truth))
            loss.backward()
            return loss

        optimiser.step(closure)
        torch.testing.assert_close(target.base(truth), constant.detach()[0], atol=0.02, rtol=0)


def test_targets_come_back_from_plain_values() -> None:
    for target in (HAZARDS, LabelTarget("multilabel", ("a", "b"), (1.0, 2.0))):
        assert Target.from_dict(target.to_dict()) == target
    with pytest.raises(SchemaError, match="no known target"):
        Target.from_dict({"class": "Other"})
