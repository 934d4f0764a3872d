"""Stacked convolutions over texts and their largest answers, with only the work that the maximum needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TokenConvolution"]


class TokenConvolution(nn.Module):
    """max over places of ReLU(conv(... ReLU(conv(vectors of tokens)))), per text and filter; no padding anywhere.

    The texts are laid end to end; windows that would reach from one into the next are left out of the maximum. Numbers
    and gradients are those of the plain form; what is saved is work:

    - the vectors are folded into the first convolution, which becomes a sum of looked-up rows, one a token and offset;
    - the last convolution runs without a graph to find where its maximum is, and is computed again only there: the
      gradient of a maximum flows through its place alone.

    Args:
        tokens: how many there are, padding and unknown among them.
        size: of their vectors.
        filters: of each convolution.
        windows: of each convolution.
    """

    def __init__(self, tokens: int, size: int, filters: Sequence[int], windows: Sequence[int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, size)
        self.convolutions = nn.ModuleList()
        for width, window in zip(filters, windows, strict=True):
            self.convolutions.append(nn.Conv1d(size, width, window))
            size = width
        self.field = sum(window - 1 for window in windows) + 1

    def forward(
        self, tokens: Int[Tensor, " t"], lengths: Int[Tensor, " m"], vectors: Float[Tensor, "t d"] | None = None
    ) -> Float[Tensor, "m f"]:
        """One row a text.

        Args:
            tokens: of all texts, end to end.
            lengths: of the texts, each at least `field`.
            vectors: stand in for those of the tokens: attributions change them.
        """
        first, *middle, last = self.convolutions
        x = self._folded(first, tokens) if vectors is None else first(vectors.T[None])[0].T
        x = torch.relu(x)
        for convolution in middle:
            x = torch.relu(convolution(x.T[None])[0].T)
        return torch.relu(_largest(last, x, lengths.tolist(), self.field))

    def _folded(self, first: nn.Module, tokens: Int[Tensor, " t"]) -> Float[Tensor, "p f"]:
        """The first convolution: row (offset, token) of the table is what that token adds there."""
        assert isinstance(first, nn.Conv1d)
        assert first.bias is not None
        window, count = first.weight.shape[2], self.embedding.num_embeddings
        table = torch.einsum("vd,fdo->ovf", self.embedding.weight, first.weight).reshape(window * count, -1)
        index = tokens.long().unfold(0, window, 1) + count * torch.arange(window, device=tokens.device)
        return functional.embedding_bag(index, table, mode="sum") + first.bias


def _largest(last: nn.Module, x: Float[Tensor, "p g"], lengths: list[int], field: int) -> Float[Tensor, "m f"]:
    """The last convolution's largest answer of each filter, within each text."""
    assert isinstance(last, nn.Conv1d)
    assert last.bias is not None
    window = last.weight.shape[2]
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    with torch.no_grad():
        answers = functional.conv1d(x.T[None], last.weight)[0]
        places = torch.stack(
            [answers[:, s : s + n - field + 1].argmax(1) + s for s, n in zip(starts[:-1], lengths, strict=True)]
        )
    around = places[:, :, None] + torch.arange(window, device=x.device)
    found: Tensor = torch.einsum("mfog,fgo->mf", x[around], last.weight) + last.bias
    return found
