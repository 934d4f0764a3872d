"""Convolutions over rows against torch's own, and DeepDTA against a plain, padded, pairwise form of its weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from bindings import planted
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.tokens import PROTEIN_TOKENS
from medgraph.heads.interaction.batching import PairData, blocks
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.heads.interaction.row_convolution import folded_convolution, largest_answers, row_convolution
from medgraph.heads.interaction.token_convolution import TokenConvolution
from medgraph.heads.interaction.token_features import TokenFeatures

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad((out * torch.arange(out.numel()).reshape(out.shape)).sum(), inputs)


def test_row_convolution_is_torchs() -> None:
    x, weight = torch.randn(40, 3, requires_grad=True), torch.randn(5, 3, 4, requires_grad=True)
    mine, theirs = row_convolution(x, weight), functional.conv1d(x.T[None], weight)[0].T
    close(mine, theirs)
    for a, b in zip(gradients(mine, x, weight), gradients(theirs, x, weight), strict=True):
        close(a, b)
    assert torch.autograd.gradcheck(row_convolution, (x[:9].detach().requires_grad_(), weight))


def test_folded_is_the_convolution_of_the_vectors() -> None:
    tokens = torch.randint(0, 6, (30,), dtype=torch.int32)
    vectors, weight = torch.randn(6, 4, requires_grad=True), torch.randn(5, 4, 3, requires_grad=True)
    mine, theirs = folded_convolution(tokens, vectors, weight), row_convolution(vectors[tokens.long()], weight)
    close(mine, theirs)
    for a, b in zip(gradients(mine, vectors, weight), gradients(theirs, vectors, weight), strict=True):
        close(a, b)


def test_largest_answers_are_the_maxima_with_their_gradients() -> None:
    lengths, window = [7, 12, 4], 4
    x, weight = torch.randn(sum(lengths), 3, requires_grad=True), torch.randn(5, 3, window, requires_grad=True)
    counts = [length - window + 1 for length in lengths]
    mine = largest_answers(x, weight, lengths, counts)
    theirs = torch.stack([row_convolution(part, weight).amax(dim=0) for part in torch.split(x, lengths)])
    close(mine, theirs)
    for a, b in zip(gradients(mine, x, weight), gradients(theirs, x, weight), strict=True):
        close(a, b)
    assert not torch.allclose(largest_answers(x, weight, [23], [20]), mine[:1])  # windows across texts are left out


def plain(encoder: nn.Module, texts: list[Tensor]) -> Tensor:
    """DeepDTA's block with torch's layers: padded to the longest, and a maximum that leaves padding out."""
    assert isinstance(encoder, TokenConvolution)
    padded = nn.utils.rnn.pad_sequence([text.long() for text in texts], batch_first=True)
    x = encoder.embedding(padded).transpose(1, 2)
    for convolution in encoder.convolutions:
        x = torch.relu(convolution(x))
    last = torch.tensor([len(text) for text in texts]) - encoder.field
    inside = torch.arange(x.shape[2]) <= last[:, None]
    return torch.where(inside[:, None], x, torch.zeros_like(x)).amax(dim=2)


def some_pairs(head: DeepDTA) -> tuple[PairData, PairNetwork]:
    rng = np.random.default_rng(0)
    smiles = ["CCO", "C1=CC=CC=C1C1=CC=CC=C1C1=CC=CC=C1", "CC(=O)Oc1ccccc1C(=O)O", "N[C@@H](C)C(=O)NCCCCCCCC"]
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=n)) for n in (8, 60, 131, 24, 90)]
    sequences.append("MKWVTFISLLFLFSSAYS" * 6)  # repeats: the maximum stands at several places
    anything = planted(drugs=2, targets=2)  # the alphabets are fixed
    drugs, targets = head._drugs(anything), head._targets(anything)
    drug, target = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(6), indexing="ij"))
    encoded = (drugs.of(Entities(("",) * 4, tuple(smiles))), targets.of(Entities(("",) * 6, tuple(sequences))))
    data = PairData(*encoded, drug, target, rng.normal(size=24), np.zeros(24, dtype=bool), CPU)
    return data, head._network(drugs, targets, 1)


def test_deepdta_is_the_plain_pairwise_form() -> None:
    data, network = some_pairs(DeepDTA(dropout=0.0))
    (rows,) = blocks(data.target, 3, 24, 0, 0)
    once = network(data.batch(rows))

    def texts(side: str) -> list[Tensor]:
        encoded, numbers = (data.drugs, data.drug) if side == "drugs" else (data.targets, data.target)
        return [encoded.tensors(numbers[rows][i : i + 1], CPU)[0] for i in range(len(rows))]

    pairwise = network.join(plain(network.drugs, texts("drugs")), plain(network.targets, texts("targets")))
    close(once, pairwise)
    weights = [p for p in network.parameters() if p.numel()]
    for a, b in zip(gradients(once, *weights), gradients(pairwise, *weights), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12 * max(1.0, float(a.abs().max())))


def test_deepdta_is_as_published() -> None:
    _, network = some_pairs(DeepDTA())
    for encoder, windows in ((network.drugs, (4, 6, 8)), (network.targets, (4, 8, 12))):
        assert isinstance(encoder, TokenConvolution)
        found = [(c.out_channels, c.kernel_size[0]) for c in encoder.convolutions]  # type: ignore[union-attr]
        assert found == list(zip((32, 64, 96), windows, strict=True))
        assert encoder.embedding.embedding_dim == 128
    layers = list(network.join.layers)  # type: ignore[arg-type, union-attr]
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == [1024, 1024, 512, 1]
    assert layers[0].in_features == 192
    assert [type(layer).__name__ for layer in layers[:6]] == ["Linear", "ReLU", "Dropout"] * 2
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.1, 0.1]


def test_given_vectors_stand_in_for_the_tokens() -> None:
    encoder = TokenConvolution(27, 8, (4, 5), (3, 4))
    encoded = TokenFeatures(PROTEIN_TOKENS, None, encoder.field).of(Entities(("", ""), ("MKWVTFISLLF", "ACD")))
    tokens, lengths = encoded.tensors(np.array([1, 0]), CPU)
    assert lengths.tolist() == [encoder.field, 11]  # a short text is filled up, whatever it is with
    vectors = encoder.embedding(tokens.long()).detach().requires_grad_()
    found = encoder(tokens, lengths, vectors)
    close(found, encoder(tokens, lengths))
    (pulled,) = gradients(found, vectors)
    assert pulled.abs().sum() > 0
