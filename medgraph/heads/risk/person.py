"""What is known of a person besides the events: age, and codes without a time such as sex."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.heads.risk.tensors import Batch

__all__ = ["Person"]

_AGES = 11  # columns of age_features


class Person(nn.Module):
    """Age features beside the sum of the static codes' vectors: (n, `size`).

    Args:
        codes: of the vocabulary.
        width: numbers for the static codes.
    """

    def __init__(self, codes: int, width: int = 4) -> None:
        super().__init__()
        self.static = nn.Parameter(torch.randn(codes, width) * 0.1)
        self.size = _AGES + width

    def forward(self, batch: Batch) -> Float[Tensor, "n p"]:
        """One row a sample."""
        empty = self.static.new_zeros((len(batch), self.static.shape[1]))
        summed = empty.index_add(0, batch.static_sample, self.static[batch.static_codes])
        return torch.cat([batch.person, summed], dim=1)
