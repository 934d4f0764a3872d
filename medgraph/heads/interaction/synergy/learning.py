"""Training of one network of drug pairs, as the one training loop takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn import functional

from medgraph.heads.interaction.synergy.inputs import SynergyTensors, blocks_of_pairs
from medgraph.heads.interaction.synergy.network import SynergyNetwork
from medgraph.training import Task
from medgraph.training.rates import cosine, set_rate

if TYPE_CHECKING:
    from medgraph.heads.interaction.synergy.head import DeepSynergy

__all__ = ["SynergyLearning", "answers"]

_ROWS = 8192  # of a batch that nothing is learned from


class SynergyLearning(Task):
    """Descend Huber's loss on train; measure the squared error on valid after each epoch.

    Args:
        head: its hyper-parameters.
        network: one member.
        train: rows to learn from, and their standardised scores.
        valid: rows that say when to stop, and theirs.
        seed: of the member; orders the batches.
        settings: what a resumed run must share.
    """

    def __init__(
        self,
        head: DeepSynergy,
        network: SynergyNetwork,
        train: tuple[SynergyTensors, Float64[np.ndarray, " n"]],
        valid: tuple[SynergyTensors, Float64[np.ndarray, " v"]],
        seed: int,
        settings: Mapping[str, Any],
    ) -> None:
        self.head, self.module, self.seed = head, network, seed
        (self.train, target), (self.valid, self.measured) = train, valid
        self.target = torch.from_numpy(target.astype(np.float32)).to(self.train.drugs.device)
        self.pair = self.train.first * len(self.train.drugs) + self.train.second
        self.settings = {k: v for k, v in settings.items() if k != "patience"}
        self.optimiser: torch.optim.AdamW = torch.optim.AdamW(
            network.parameters(), head.learning_rate, weight_decay=head.weight_decay
        )

    def batches(self, epoch: int) -> list[Int64[np.ndarray, " _"]]:
        """Rows, shuffled by the epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        return blocks_of_pairs(self.pair, self.head.block, self.head.batch_size, rng)

    def losses(self, batch: Int64[np.ndarray, " m"], progress: float) -> Mapping[str, Tensor]:
        """The mean loss of the batch's rows; the rate of learning falls as a cosine."""
        set_rate(self.optimiser, self.head.learning_rate * cosine(progress))
        found = self.module(self.train.batch(batch))
        wanted = self.target[torch.from_numpy(batch).to(self.target.device)]
        if self.head.huber is None:
            return {"loss": functional.mse_loss(found, wanted)}
        return {"loss": functional.huber_loss(found, wanted, delta=self.head.huber)}

    def validate(self) -> Mapping[str, float]:
        """The mean squared error of valid, in train's variances."""
        return {"valid_mse": float(np.mean((answers(self.module, self.valid) - self.measured) ** 2))}


def answers(network: torch.nn.Module, data: SynergyTensors) -> Float64[np.ndarray, " n"]:
    """Standardised scores of all rows, as many at once as fit; rows of one pair stand together."""
    order = np.lexsort((data.second, data.first))
    found = np.empty(order.size, dtype=np.float64)
    network.eval()
    with torch.no_grad():
        for start in range(0, order.size, _ROWS):
            rows = order[start : start + _ROWS]
            found[rows] = network(data.batch(rows)).double().cpu().numpy()
    return found
