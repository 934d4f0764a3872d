"""Losses and what they answer against scipy's and torch's distributions, and numerical integrals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import integrate, stats

from medgraph.errors import SchemaError
from medgraph.heads.interaction.losses import BinaryCrossEntropy, Censored, Evidential, Loss, SquaredError

VALUE = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
LIMITED = torch.tensor([False, True, False])
NONE = torch.zeros(0, dtype=torch.float64)


def test_squared_and_cross_entropy() -> None:
    raw = torch.tensor([[1.0], [-1.0], [0.5]], dtype=torch.float64)
    assert_allclose(SquaredError().loss(raw, VALUE, LIMITED, NONE), (raw[:, 0] - VALUE) ** 2)
    truth = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    expected = -stats.bernoulli(torch.sigmoid(raw[:, 0])).logpmf(truth)
    assert_allclose(BinaryCrossEntropy().loss(raw, truth, LIMITED, NONE), expected)
    assert BinaryCrossEntropy().answer(raw, NONE, None)[1] is None


def test_censored_is_the_tobit_likelihood() -> None:
    raw = torch.tensor([[0.1], [-1.0], [1.0]], dtype=torch.float64)
    learned = torch.tensor([np.log(0.7)])
    normal = stats.norm(raw[:, 0], 0.7)
    expected = np.where(LIMITED, -normal.logcdf(VALUE), -normal.logpdf(VALUE))
    assert_allclose(Censored().loss(raw, VALUE, LIMITED, learned), expected)
    far = Censored().loss(torch.tensor([[60.0]], dtype=torch.float64), VALUE[:1], LIMITED[1:2], learned)
    assert torch.isfinite(far).all()


@pytest.mark.parametrize("mean", [-3.0, -0.5, 0.0, 2.0])
def test_censored_answers_what_would_be_recorded(mean: float) -> None:
    s, limit = 0.8, -0.4
    raw, learned = torch.tensor([[mean]], dtype=torch.float64), torch.tensor([np.log(s)])
    value, std = Censored().answer(raw, learned, limit)
    density = stats.norm(mean, s)

    def moment(power: int) -> float:
        above, _ = integrate.quad(lambda y: y**power * density.pdf(y), limit, mean + 12 * s + 12, epsabs=1e-12)
        return float(above + limit**power * density.cdf(limit))

    assert std is not None
    assert_allclose(value, moment(1), rtol=1e-7)
    assert_allclose(std, np.sqrt(moment(2) - moment(1) ** 2), rtol=1e-5)
    plain, spread = Censored().answer(raw, learned, None)
    assert spread is not None
    assert (float(plain), float(spread)) == (mean, pytest.approx(s))


def test_evidential_is_a_student_t() -> None:
    raw = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g, v, a, b = Evidential._parameters(raw)
    scale = (b * (1 + v) / (v * a)).sqrt()
    expected = -torch.distributions.StudentT(2 * a, g, scale).log_prob(VALUE)
    assert_allclose(Evidential(weight=0.0).loss(raw, VALUE, LIMITED, NONE), expected)
    more = Evidential(weight=0.5).loss(raw, VALUE, LIMITED, NONE) - expected
    assert_allclose(more, 0.5 * (VALUE - g).abs() * (2 * v + a))
    value, std = Evidential().answer(raw, NONE, None)
    assert_allclose(value, g)
    assert std is not None
    assert_allclose(std**2, torch.distributions.StudentT(2 * a, g, scale).variance, rtol=1e-9)


def test_a_loss_is_written_and_read() -> None:
    for loss in (SquaredError(), BinaryCrossEntropy(), Censored(), Evidential(weight=0.3)):
        assert Loss.from_dict(loss.to_dict()) == loss
    with pytest.raises(SchemaError, match="no known loss"):
        Loss.from_dict({"class": "Hinge"})
    with pytest.raises(SchemaError, match="weight"):
        Evidential(weight=-1.0)
