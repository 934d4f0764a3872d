"""The wide part: its elastic net beside scikit-learn's, its formula by hand, its shares beside integrated gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from tiny import NONE, samples_of
from torch import nn

from medgraph.heads.risk.attribution import integrated_gradients
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.elastic_net import PENALTIES, chosen_penalty, fit_logistic, interactions
from medgraph.heads.risk.lstm import DecayGRU, Recurrent
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.wide import WINDOWS, Wide, WideAndDeep, presence

# a twice and b in the last year, c long ago | nothing | a and d lately
HISTORIES = [
    [(900.0, [(2, NONE), (0, NONE)]), (300.0, [(0, NONE), (1, NONE)]), (20.0, [(0, NONE)])],
    [],
    [(10.0, [(0, NONE), (3, NONE)])],
]


@pytest.fixture
def wide() -> Wide:
    part = Wide(4, 2)
    rng = torch.Generator().manual_seed(3)
    for name in ("weight", "static", "age", "bias", "pair_weight"):
        buffer = getattr(part, name)
        buffer.copy_(torch.randn(buffer.shape, generator=rng))
    part.pairs[0] = torch.tensor([0, 2])
    part.pairs[1] = torch.tensor([0, 3])
    return part


def test_logits_are_the_formula(wide: Wide) -> None:
    batch = Batch.of(samples_of(HISTORIES))
    logits = wide(batch).double().numpy()
    w, u = wide.weight.double().numpy(), wide.pair_weight.double().numpy()
    assert list(WINDOWS) == [float("inf"), 365.0, 180.0]
    rest = (batch.person.double() @ wide.age.double() + wide.bias).numpy()
    one, two, three = np.log(2), np.log(3), np.log(4)
    first = three * w[0, 0] + one * w[0, 1] + one * w[0, 2] + two * w[1, 0] + one * w[1, 1] + one * w[2, 0] + u[0]
    last = one * (w[:, 0] + w[:, 3]).sum(axis=0) + u[1]
    np.testing.assert_allclose(logits, rest + np.stack([first, np.zeros(2), last]), rtol=1e-5)


def test_shares_are_the_integrated_gradients_and_add_up(wide: Wide) -> None:
    torch.manual_seed(0)
    batch = Batch.of(samples_of(HISTORIES))
    codes = CodeVectors.fresh(4, 5)
    deep = Recurrent(codes, Person(4), DecayGRU(5, 6), 2, fade=True, dropout=0.0)
    network = WideAndDeep(deep, wide).silence().eval()
    shares = wide.contributions(batch)
    for output in range(2):
        found = integrated_gradients(network, batch, output, tolerance=1e-4)
        torch.testing.assert_close(shares[:, output], found, rtol=0, atol=1e-3)
    with torch.no_grad():
        nothing = network(batch, torch.zeros(len(batch.codes), 5))
        total = nothing.index_add(0, batch.visit_sample[batch.code_visit], shares)
        torch.testing.assert_close(total, network(batch), rtol=1e-4, atol=1e-4)


def test_an_event_is_present_as_far_as_its_vector_is_left() -> None:
    own = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]])
    changed = own * torch.tensor([[1.0], [0.25], [0.0]])
    torch.testing.assert_close(presence(changed, own), torch.tensor([1.0, 0.25, 1.0]))  # one without a vector stays


def test_the_deep_part_starts_from_zero(wide: Wide) -> None:
    batch = Batch.of(samples_of(HISTORIES))
    deep = Recurrent(CodeVectors.fresh(4, 5), Person(4), DecayGRU(5, 6), 2, fade=True, dropout=0.0)
    network = WideAndDeep(deep, wide)
    assert not torch.allclose(network(batch), wide(batch))
    torch.testing.assert_close(network.silence()(batch), wide(batch))
    assert isinstance(deep.output, nn.Linear)
    assert deep.output.weight.requires_grad
    assert not any(name.startswith("wide") for name, _ in network.named_parameters())


def drawn(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.6, size=(n, 12)) * (1 + np.arange(12) / 4)
    score = X[:, 0] - 0.7 * X[:, 1] - 0.4
    return X, (rng.random(n) < 1 / (1 + np.exp(-score))).astype(np.float64)


def test_the_elastic_net_is_where_its_conditions_hold() -> None:
    X, y = drawn()
    Z = X / X.std(axis=0)
    for ridge in (0.0, 0.4, 1.0):
        found = fit_logistic(sparse.csr_array(X), y[:, None], 0.03, ridge, max_steps=3000, tolerance=1e-8)
        w = found.weight[:, 0] * X.std(axis=0)
        told = 1 / (1 + np.exp(-(Z @ w + found.bias)))
        slope = Z.T @ (told - y) / len(y) + 0.03 * ridge * w  # of the smooth part: the sizes' slope stands against it
        assert abs((told - y).mean()) < 1e-4
        assert (w == 0).any() == (ridge < 1)
        np.testing.assert_allclose(slope[w != 0], -0.03 * (1 - ridge) * np.sign(w[w != 0]), atol=2e-4)
        assert (np.abs(slope[w == 0]) <= 0.03 * (1 - ridge) + 2e-4).all()
    one = fit_logistic(sparse.csr_array(X), y[:, None], 0.03, max_steps=3000, tolerance=1e-8)
    two = fit_logistic(sparse.csr_array(X), np.stack([y, 1 - y], axis=1), 0.03, max_steps=3000, tolerance=1e-8)
    np.testing.assert_allclose(two.weight, one.weight * np.array([1, -1]), atol=2e-3)


def test_tuning_picks_the_penalty() -> None:
    (X, y), (X_tuning, y_tuning) = drawn(150), drawn(3000, seed=1)
    chosen = chosen_penalty(sparse.csr_array(X), y[:, None], sparse.csr_array(X_tuning), y_tuning[:, None])
    losses = []
    for penalty in PENALTIES:
        model = fit_logistic(sparse.csr_array(X), y[:, None], penalty)
        told = model.probabilities(sparse.csr_array(X_tuning))[:, 0]
        losses.append(-np.log(np.where(y_tuning == 1, told, 1 - told)).mean())
    assert chosen.penalty == PENALTIES[int(np.argmin(losses))]
    assert PENALTIES[0] > chosen.penalty > PENALTIES[-1]


def test_interactions_name_the_planted_pair_and_their_score_is_the_log_odds_ratio_s() -> None:
    rng = np.random.default_rng(0)
    here = rng.random((4000, 15)) < 0.4
    p = np.where(here[:, 3] & here[:, 7], 0.5, 0.15)
    outcome = (rng.random(4000) < p).astype(np.float64)
    model = fit_logistic(sparse.csr_array(here.astype(float)), outcome[:, None], 0.005)
    told = model.probabilities(sparse.csr_array(here.astype(float)))[:, 0]
    found = interactions(sparse.csr_array(here), outcome, told, np.array([3, 5]), most=5)
    assert found.tolist() == [[3, 7]]
    assert interactions(sparse.csr_array(here), outcome, told, np.array([5]), most=5).size == 0
    assert interactions(sparse.csr_array(here), outcome, told, np.zeros(0, dtype=np.int64), most=5).shape == (0, 2)
    assert interactions(sparse.csr_array(here), outcome, told, np.array([3]), 5, least_cell=1e6).size == 0
