"""Each drug and each target goes through its encoder once a batch; pairs only meet in the last layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.heads.interaction.batching import PairBatch

__all__ = ["Dense", "JoinedEncoder", "PairNetwork"]


class PairNetwork(nn.Module):
    """join(drugs(batch.drug_inputs)[batch.drug], targets(batch.target_inputs)[batch.target]).

    The numbers and gradients are those of the pairwise form, in which every pair has its own copy of drug and target.

    Args:
        drugs: encoder, `drugs(*inputs)` -> (m, d), one row an entity, whatever else is in the batch.
        targets: encoder, `targets(*inputs)` -> (k, e).
        join: `join((n, d), (n, e))` -> (n, outputs), row-wise.
    """

    def __init__(self, drugs: nn.Module, targets: nn.Module, join: nn.Module) -> None:
        super().__init__()
        self.drugs, self.targets, self.join = drugs, targets, join
        self.learned = nn.Parameter(torch.zeros(0))  # the loss's own numbers, such as a noise

    def with_learned(self, count: int) -> PairNetwork:
        """With so many numbers of the loss's own; returns itself."""
        self.learned = nn.Parameter(torch.zeros(count))
        return self

    def forward(self, batch: PairBatch) -> Float[Tensor, "n k"]:
        """Raw outputs; a loss says what they mean."""
        drugs: Tensor = self.drugs(*batch.drug_inputs)
        targets: Tensor = self.targets(*batch.target_inputs)
        found: Tensor = self.join(drugs[batch.drug], targets[batch.target])
        return found


class JoinedEncoder(nn.Module):
    """Encoders side by side, for `JoinedFeatures`: each takes its own tensors, their rows are concatenated.

    Args:
        encoders: in the order of the features' parts.
        sizes: how many tensors each takes (`part.size`).
    """

    def __init__(self, encoders: Sequence[nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoders, self.sizes = nn.ModuleList(encoders), tuple(sizes)

    def forward(self, *inputs: Tensor) -> Float[Tensor, "m d"]:
        """(m, sum of the encoders' widths)."""
        return torch.cat(self.each(inputs), dim=1)

    def each(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The rows of every encoder."""
        rows, start = [], 0
        for encoder, size in zip(self.encoders, self.sizes, strict=True):
            rows.append(encoder(*inputs[start : start + size]))
            start += size
        return rows


class Dense(nn.Module):
    """Linear layers with ReLU and dropout between them over [drug, target]: the usual `join`.

    Args:
        width: of drug and target vectors together.
        hidden: of the layers.
        outputs: of the last, which has neither ReLU nor dropout.
        dropout: after each hidden layer but the last, as in DeepDTA; after all where `last_dropout`.
    """

    def __init__(
        self, width: int, hidden: Sequence[int], outputs: int, dropout: float, last_dropout: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, size in enumerate(hidden):
            layers += [nn.Linear(width, size), nn.ReLU()]
            if number + 1 < len(hidden) or last_dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, drugs: Float[Tensor, "n d"], targets: Float[Tensor, "n e"]) -> Float[Tensor, "n k"]:
        """Row-wise."""
        found: Tensor = self.layers(torch.cat([drugs, targets], dim=1))
        return found
