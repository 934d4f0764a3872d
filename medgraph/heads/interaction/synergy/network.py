"""The network of DeepSynergy: each drug encoded once, two of them joined in a way that has no order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

__all__ = ["SynergyBatch", "SynergyNetwork"]


class SynergyBatch(NamedTuple):
    """Rows of drug pairs in cell lines; every drug and every pair of the batch stands here once.

    Args:
        drugs: features of the distinct drugs.
        first: of each distinct pair, a row of `drugs`.
        second: the other.
        pair: of each row, which of the distinct pairs.
        cell: of each row, the number of its cell line; -1 where training had none of it.
        features: of each row's cell line, standardised; None where there are none, nan rows where they are not known.
    """

    drugs: Float[Tensor, "u f"]
    first: Int64[Tensor, " p"]
    second: Int64[Tensor, " p"]
    pair: Int64[Tensor, " n"]
    cell: Int64[Tensor, " n"]
    features: Float[Tensor, "n g"] | None = None


class SynergyNetwork(nn.Module):
    """e = encode(drug), c = cell line; MLP(e1 + e2, e1 e2, |e1 - e2|, c, (U e1 + U e2) c) + (V e1 + V e2) . c.

    No bit of it changes when the drugs are swapped. The last term is a factorised effect of each drug in each cell
    line. The first layer of the MLP is taken apart, so that what depends on the pair alone is computed once for all its
    rows.

    Args:
        features: of a drug.
        cells: how many cell lines have vectors of their own; 0 where they come with features.
        cell_features: of a cell line; 0 where vectors are learned.
        width: of a drug's encoding.
        cell_size: of a cell line's vector.
        hidden: sizes of the layers after the join.
        dropouts: of the drugs' features, and of every hidden layer.
        cell_dropout: share of rows, in training, whose cell line is taken for an unknown one.
    """

    def __init__(
        self,
        features: int,
        cells: int,
        cell_features: int,
        width: int,
        cell_size: int,
        hidden: Sequence[int],
        dropouts: tuple[float, float],
        cell_dropout: float,
    ) -> None:
        super().__init__()
        self.cell_dropout = cell_dropout
        self.encode = nn.Sequential(nn.Dropout(dropouts[0]), nn.Linear(features, width), nn.Tanh())
        self.vectors = nn.Parameter(torch.randn(cells, cell_size) * cell_size**-0.5) if cells else None
        self.project = nn.Linear(cell_features, cell_size) if cell_features else None
        self.of_pair = nn.Linear(3 * width, hidden[0])
        self.of_cell = nn.Linear(cell_size, hidden[0], bias=False)
        self.of_drug = nn.Linear(width, cell_size, bias=False)
        self.of_both = nn.Linear(cell_size, hidden[0], bias=False)
        self.effect = nn.Linear(width, cell_size)
        layers: list[nn.Module] = [nn.ReLU(), nn.Dropout(dropouts[1])]
        for before, after in pairwise(hidden):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropouts[1])]
        self.score = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, batch: SynergyBatch) -> Float[Tensor, " n"]:
        """The standardised score of each row."""
        encoded = self.encode(batch.drugs)
        one, two = encoded[batch.first], encoded[batch.second]
        pairs = self.of_pair(torch.cat([one + two, one * two, (one - two).abs()], dim=1))
        cells = self._cells(batch)
        both = self.of_drug(one + two)[batch.pair] * cells
        joined: Float[Tensor, " n"] = self.score(pairs[batch.pair] + self.of_cell(cells) + self.of_both(both)).squeeze(
            1
        )
        effects: Float[Tensor, " n"] = (self.effect(one + two)[batch.pair] * cells).sum(dim=1)
        return joined + effects

    def _cells(self, batch: SynergyBatch) -> Float[Tensor, "n c"]:
        """Each row's cell line; an unknown one is the mean of those that training had."""
        dropped = torch.zeros_like(batch.cell, dtype=torch.bool)
        if self.training and self.cell_dropout:
            dropped = torch.rand(batch.cell.shape, device=batch.cell.device) < self.cell_dropout
        if self.vectors is not None:
            table = torch.cat([self.vectors.mean(dim=0, keepdim=True), self.vectors])
            rows: Tensor = table[torch.where(dropped, 0, batch.cell + 1)]
            return rows
        assert self.project is not None
        assert batch.features is not None
        known = batch.features.masked_fill(dropped[:, None], 0.0).nan_to_num(nan=0.0)  # 0: the mean of training's
        projected: Tensor = self.project(known)
        return projected
