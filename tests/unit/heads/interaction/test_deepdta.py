"""DeepDTA on Davis itself: what the paper's lengths cut, and the plain pairwise form of a real batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medgraph.data.affinities import Affinities
from medgraph.errors import SchemaError
from medgraph.heads.interaction.batching import blocks
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.fitted import Scale
from medgraph.heads.interaction.fitting import encode_parts
from medgraph.loading import load


@pytest.fixture(scope="module")
def davis(shared_data: Path) -> Affinities:
    return load("davis", path=shared_data / "dta" / "davis")


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_what_the_papers_lengths_cut_is_counted(davis: Affinities) -> None:
    head = DeepDTA(max_smiles=85, max_sequence=1200)
    cut = sum(len(sequence) > 1200 for sequence in davis.sequences)
    found = head._targets(davis).of(Entities.of_table(davis.targets, "sequence"))
    assert found.notes == (f"{cut} of 442 texts cut to 1200 tokens",)
    assert cut == 61
    assert DeepDTA()._targets(davis).of(Entities.of_table(davis.targets, "sequence")).notes == ()


def test_a_real_batch_is_the_pairwise_form(davis: Affinities, float64: None) -> None:
    torch.manual_seed(0)
    head = DeepDTA(dropout=0.0)
    drugs, targets = head._drugs(davis), head._targets(davis)
    scale = Scale(float(davis.value.mean()), float(davis.value.std()))
    data, _ = encode_parts(drugs, targets, (davis, davis), scale, torch.device("cpu"))
    rows = blocks(data.target, 16, 256, 0, 0)[0][::16]
    network = head._network(drugs, targets, 1)

    def alone(encoder: nn.Module, encoded: object, number: int) -> Tensor:
        """One text through torch's own layers, for one pair."""
        tokens, _ = encoded.tensors(np.array([number]), torch.device("cpu"))  # type: ignore[attr-defined]
        x = encoder.embedding(tokens.long()).T[None]  # type: ignore[operator]
        for convolution in encoder.convolutions:  # type: ignore[union-attr]
            x = torch.relu(convolution(x))
        return torch.as_tensor(x.amax(dim=2))

    def loss_of(raw: Tensor) -> Tensor:
        return ((raw[:, 0] - torch.from_numpy(data.value[rows])) ** 2).mean()

    once = loss_of(network(data.batch(rows)))
    first = torch.cat([alone(network.drugs, data.drugs, number) for number in data.drug[rows]])
    second = torch.cat([alone(network.targets, data.targets, number) for number in data.target[rows]])
    pairwise = loss_of(network.join(first, second))
    torch.testing.assert_close(once, pairwise, rtol=1e-12, atol=1e-12)
    weights = [p for p in network.parameters() if p.numel()]
    for a, b in zip(torch.autograd.grad(once, weights), torch.autograd.grad(pairwise, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_sizes_are_checked() -> None:
    with pytest.raises(SchemaError, match="equally many"):
        DeepDTA(filters=(8, 8))
    with pytest.raises(SchemaError, match="hidden"):
        DeepDTA(hidden=(0,))
