"""Stacked convolutions over texts and their largest answers, with only the work that the maximum needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medgraph.heads.interaction.row_convolution import folded_convolution, largest_answers, row_convolution

__all__ = ["TokenConvolution"]


class TokenConvolution(nn.Module):
    """max over places of ReLU(conv(... ReLU(conv(vectors of tokens)))), per text and filter; no padding anywhere.

    The texts are laid end to end; windows that would reach from one into the next are left out of the maximum. Numbers
    and gradients are those of the plain form; what is saved is work: the vectors are folded into the first convolution,
    and gradients of the last one are taken only where its maximum is (see `row_convolution`).

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
        layers = [(c.weight, c.bias) for c in self.convolutions if isinstance(c, nn.Conv1d) and c.bias is not None]
        first, *middle, last = layers
        if vectors is None:
            x = folded_convolution(tokens, self.embedding.weight, first[0])
        else:
            x = row_convolution(vectors, first[0])
        x = torch.relu(x + first[1])
        for weight, bias in middle:
            x = torch.relu(row_convolution(x, weight) + bias)
        sizes = lengths.tolist()
        return torch.relu(largest_answers(x, last[0], sizes, [size - self.field + 1 for size in sizes]) + last[1])
