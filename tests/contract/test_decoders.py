"""What every decoder promises."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from medgraph.embeddings.decoders import Bilinear, ComplEx, Decoder, DistMult, InnerProduct

DECODERS = [InnerProduct(), DistMult(), ComplEx(), Bilinear()]


@pytest.fixture(params=DECODERS, ids=str)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return request.param


def test_score_is_the_pairs_of_score_all(decoder: Decoder) -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(5, 6, generator=generator), torch.randn(4, 6, generator=generator)
    relation = decoder.initial(3, 6, generator)[1]
    table = decoder.score_all(source, relation, target)
    assert table.shape == (5, 4)
    rows, columns = torch.tensor([0, 4, 2]), torch.tensor([3, 0, 2])
    torch.testing.assert_close(decoder.score(source[rows], relation, target[columns]), table[rows, columns])


def test_score_is_linear_in_each_end(decoder: Decoder) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, t = torch.randn(3, 6, generator=generator)
    relation = decoder.initial(1, 6, generator)[0]
    torch.testing.assert_close(
        decoder.score(2 * a - b, relation, t), 2 * decoder.score(a, relation, t) - decoder.score(b, relation, t)
    )
    torch.testing.assert_close(
        decoder.score(t, relation, 2 * a - b), 2 * decoder.score(t, relation, a) - decoder.score(t, relation, b)
    )


def test_training_starts_near_the_inner_product(decoder: Decoder) -> None:
    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(2, 200, 64, generator=generator)
    scores = decoder.score(s, decoder.initial(1, 64, generator)[0], t)
    assert torch.corrcoef(torch.stack([scores, (s * t).sum(-1)]))[0, 1] > 0.95


def test_initial_values_come_from_the_generator(decoder: Decoder) -> None:
    first, second = (decoder.initial(2, 6, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (2, *decoder.shape(6))


def test_a_decoder_is_a_value(decoder: Decoder) -> None:
    assert decoder == dataclasses.replace(decoder)
    assert hash(decoder) == hash(dataclasses.replace(decoder))


def test_gradients_reach_both_ends_and_the_relation(decoder: Decoder) -> None:
    source, target = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    relation = decoder.initial(1, 6)[0].double().requires_grad_()
    assert torch.autograd.gradcheck(decoder.score, (source, relation, target))
