"""A head's training as the one training loop takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from medgraph.heads.interaction.batching import Batches, PairBatch, PairData, blocks
from medgraph.heads.interaction.losses import Loss
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.training import Task as TrainingTask
from medgraph.training.rates import cosine, set_rate

if TYPE_CHECKING:
    from medgraph.heads.interaction.base import InteractionHead

__all__ = ["Learning"]


class Learning(TrainingTask):
    """Descend the loss on train's blocks; measure the error on valid after each epoch.

    Args:
        head: its hyper-parameters.
        network: one member.
        loss: what its outputs mean.
        limit: standardised, where values say "at most".
        train: pairs to learn from.
        valid: pairs that say when to stop.
        seed: of the member; orders the batches.
        settings: what a resumed run must share.
    """

    def __init__(
        self,
        head: InteractionHead,
        network: PairNetwork,
        loss: Loss,
        limit: float | None,
        train: PairData,
        valid: PairData,
        seed: int,
        settings: Mapping[str, Any],
    ) -> None:
        self.head, self.module, self.loss, self.limit = head, network, loss, limit
        self.train, self.valid, self.seed = train, valid, seed
        # epochs and patience may be raised when a run goes on; with a decaying rate, epochs shape the run
        free = {"patience"} if head.decay else {"epochs", "patience"}
        self.settings = {name: value for name, value in settings.items() if name not in free}
        self.optimiser: torch.optim.AdamW = torch.optim.AdamW(
            network.parameters(), head.learning_rate, weight_decay=head.weight_decay, fused=True
        )
        self.monitor = "valid_log_loss" if loss.kind == "binary" else "valid_mse"

    def batches(self, epoch: int) -> Batches:
        """Blocks of pairs, shuffled by the epoch."""
        head = self.head
        return Batches(self.train, blocks(self.train.target, head.block, head.batch_size, self.seed, epoch))

    def losses(self, batch: PairBatch, progress: float) -> Mapping[str, Tensor]:
        """The mean loss of the batch's pairs."""
        if self.head.decay:
            set_rate(self.optimiser, self.head.learning_rate * cosine(progress))
        return {"loss": self.head._loss(self.module, self.loss, batch)}

    def validate(self) -> Mapping[str, float]:
        """The mean squared error of valid, in standardised units squared; or the log loss, in nats."""
        total = torch.zeros((), dtype=torch.float64)
        for batch in self.valid.in_order(self.head.predict_batch):
            raw = self.module(batch)
            if self.loss.kind == "binary":
                error = self.loss.loss(raw, batch.value, batch.limited, self.module.learned)
            else:
                error = (self.loss.answer(raw, self.module.learned, self.limit)[0] - batch.value) ** 2
            total += error.double().sum().cpu()
        return {self.monitor: float(total) / len(self.valid)}
