"""The wide and deep layer beside numbers worked by hand; members beside each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tiny import NONE, samples_of
from torch import nn
from torch.nn import functional

import medgraph as mg
from medgraph.errors import SchemaError
from medgraph.heads.risk.readout import Members, Readout, start_linear
from medgraph.heads.risk.tensors import Batch


def test_starts_from_the_base_and_is_linear_beside_one_hidden_layer() -> None:
    layer = Readout(plain=1, learned=1, hidden=1, outputs=2, dropout=0.5).eval()
    layer.start(torch.tensor([0.5, -1.0]))
    x = torch.tensor([[1.0, 2.0], [-3.0, 0.0]])
    assert layer(x).tolist() == [[0.5, -1.0]] * 2
    assert layer.deep is not None
    with torch.no_grad():
        layer.output.weight.copy_(torch.tensor([[2.0, 0.0, 1.0], [0.0, -1.0, 10.0]]))
        layer.deep[0].weight.copy_(torch.tensor([[1.0, 1.0]]))
        layer.deep[0].bias.fill_(1.0)
    # hidden: relu(1 + 2 + 1) = 4, relu(-3 + 1) = 0
    assert layer(x).tolist() == [[0.5 + 2 + 4, -1 - 2 + 40], [0.5 - 6, -1.0]]
    assert Readout(1, 1, 3, 2, 0.0, linear=False).output.in_features == 3
    assert Readout(2, 0, 0, 2, 0.0)(x).shape == (2, 2)


def test_the_penalty_by_hand() -> None:
    layer = Readout(plain=1, learned=0, hidden=1, outputs=4, dropout=0.0)  # two bins of two events
    with torch.no_grad():
        layer.output.weight.copy_(torch.tensor([[1.0, 5.0], [2.0, 0.0], [3.0, 4.0], [2.0, 1.0]]))
    means = (1 + 3) / 2, (2 + 2) / 2, (5 + 4) / 2, (0 + 1) / 2
    changes = (3 - 1) ** 2 + 0 + (4 - 5) ** 2 + 1
    wanted = 0.1 * sum(w**2 for w in means) + 0.01 * changes
    assert layer.penalty(2, 0.1, 0.01).item() == pytest.approx(wanted)
    assert layer.penalty(1, 0.0, 7.0).item() == 0  # no time, nothing to be smooth in
    bends = (1 - 2 * 2 + 3, 2 - 2 * 3 + 2, 5 - 2 * 0 + 4, 0 - 2 * 4 + 1)  # one event, four bins
    assert layer.penalty(4, 0.0, 1.0, 2).item() == pytest.approx(sum(bend**2 for bend in bends))
    layer.start(torch.tensor([9.0, -9.0, 0.0, 3.0]))
    assert layer.penalty(2, 0.1, 0.01).item() == pytest.approx(wanted)  # rates are free


def test_a_linear_start_is_scikit_learns_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(50, 10, 300), rng.normal(0, 0.01, 300), np.full(300, 7.0), rng.normal(0, 1, 300)])
    y = rng.random(300) < 1 / (1 + np.exp(-(x[:, 0] - 52) / 8 - 60 * x[:, 1]))
    layer = Readout(plain=3, learned=1, hidden=2, outputs=1, dropout=0.5)
    seen, truth = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(logits, truth) + layer.penalty(1, 0.01, 1.0)

    start_linear([layer], seen, loss)
    assert layer.training
    z = (x[:, :2] - x[:, :2].mean(axis=0)) / x[:, :2].std(axis=0)
    known = LogisticRegression(C=1 / (2 * 0.01 * 300), tol=1e-8).fit(z, y)
    weight = layer.output.weight.detach().numpy()[0]
    np.testing.assert_allclose(weight[:2], known.coef_[0], atol=2e-3)
    assert not weight[2:].any()  # a constant, what is learned later, and the hidden layer
    np.testing.assert_allclose(layer.eval()(seen).sigmoid()[:, 0].detach(), known.predict_proba(z)[:, 1], atol=2e-3)


class Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, batch: Batch, vectors: torch.Tensor | None = None) -> torch.Tensor:
        return torch.full((len(batch), 2), self.value if vectors is None else -self.value)


def test_members_answer_with_their_mean() -> None:
    batch = Batch.of(samples_of([[(1.0, [(1, NONE)])], []]))
    lone = Constant(1.0)
    assert Members.of([lone]) is lone
    assert Members.within(lone) == [lone]
    three = Members.of([lone, Constant(3.0), Constant(8.0)])
    assert three(batch).tolist() == [[4.0, 4.0]] * 2
    assert three(batch, torch.zeros(1, 2)).tolist() == [[-4.0, -4.0]] * 2
    assert [part.value for part in Members.within(three)] == [1.0, 3.0, 8.0]


@pytest.mark.parametrize("name", ["GRUD", "DynamicDeepHit"])
def test_members_differ_and_share_the_codes(name: str) -> None:
    from medgraph.heads.risk.code_vectors import CodeVectors
    from medgraph.heads.risk.person import Person

    head = getattr(mg, name)(
        members=3, hidden_size=4, variables=2, bins=2, **({"deep": True} if name == "GRUD" else {})
    )
    network = head._network(CodeVectors.fresh(4, 3), Person(4), 5)
    first, second, _ = Members.within(network)
    assert first.codes is second.codes
    deep = [(part.readout if name == "GRUD" else part.events[0]).deep[0].weight for part in (first, second)]
    assert not torch.equal(*deep)
    for wrong in ({"members": 0}, {"ridge": -1.0}, {"smoothness": np.nan}):
        with pytest.raises(SchemaError, match=next(iter(wrong))):
            getattr(mg, name)(**wrong)
