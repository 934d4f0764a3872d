"""The LSTM over texts against torch's own on one text at a time, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from medgraph.data.tokens import PROTEIN_TOKENS
from medgraph.errors import SchemaError
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.lstm import PairLSTM, RecurrentText
from medgraph.heads.interaction.token_features import TokenFeatures

SEQUENCES = ("MKWVTFISLL", "ACD", "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFK")


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("stride", [1, 3])
def test_a_text_at_a_time_gives_the_same(stride: int) -> None:
    encoder = RecurrentText(PROTEIN_TOKENS.size, 5, 4, stride)
    encoded = TokenFeatures(PROTEIN_TOKENS, multiple=stride).of(Entities(("",) * 3, SEQUENCES))
    found = encoder(*encoded.tensors(np.arange(3), torch.device("cpu")))
    assert found.shape == (3, encoder.width)
    rows = []
    for text in SEQUENCES:
        numbers = PROTEIN_TOKENS.encode([text]).flat.astype(np.int64)
        numbers = np.pad(numbers, (0, -len(numbers) % stride)).reshape(-1, stride)
        steps = torch.stack(
            [
                sum(encoder.embedding.weight[o * PROTEIN_TOKENS.size + int(t)] for o, t in enumerate(run))
                for run in numbers
            ]
        )
        states, (last, _) = encoder.lstm(steps[None])
        rows.append(torch.cat([last[0, 0], last[1, 0], states[0].mean(dim=0)]))
    plain = torch.stack(rows)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
    weights = list(encoder.parameters())
    pull = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * pull).sum(), weights),
        torch.autograd.grad((plain * pull).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_given_vectors_stand_in_for_the_runs() -> None:
    encoder = RecurrentText(PROTEIN_TOKENS.size, 5, 4, 2)
    encoded = TokenFeatures(PROTEIN_TOKENS, multiple=2).of(Entities(("",) * 3, SEQUENCES))
    tokens, lengths = encoded.tensors(np.arange(3), torch.device("cpu"))
    vectors = encoder.run_vectors(tokens)
    torch.testing.assert_close(encoder(tokens, lengths, vectors), encoder(tokens, lengths))
    assert not torch.allclose(encoder(tokens, lengths, 2 * vectors), encoder(tokens, lengths))


def test_sizes_are_checked() -> None:
    with pytest.raises(SchemaError, match="stride=0"):
        PairLSTM(stride=0)
