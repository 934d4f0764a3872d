"""A head's training as the one training loop takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medgraph.data.samples import Samples
from medgraph.heads.risk.batching import Batches, Dataset
from medgraph.heads.risk.targets import Target
from medgraph.heads.risk.tensors import Batch
from medgraph.training import Task as TrainingTask

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["Learning"]


class Learning(TrainingTask):
    """Descend a head's loss on train; measure the log loss on tuning after each epoch."""

    def __init__(
        self,
        head: RiskHead,
        network: nn.Module,
        target: Target,
        train: Dataset,
        tuning: Dataset,
        settings: Mapping[str, Any],
    ) -> None:
        self.head, self.module, self.target, self.train, self.tuning = head, network, target, train, tuning
        # epochs and patience may be raised when a run goes on
        self.settings = {k: v for k, v in settings.items() if k not in {"epochs", "patience"}}
        self.device = next(network.parameters()).device
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, head.learning_rate, weight_decay=head.weight_decay)

    def batches(self, epoch: int) -> Batches:
        """The epoch's samples."""
        return self.train.batches(epoch)

    def losses(self, batch: Samples, progress: float) -> Mapping[str, Tensor]:
        """The head's loss."""
        del progress
        return {"loss": self.head._loss(self.module, self.target, self._tensors(batch))}

    def validate(self) -> Mapping[str, float]:
        """The mean log loss of tuning's samples."""
        total = 0.0
        for samples in self.tuning.in_order():
            batch = self._tensors(samples)
            total += float(self.target.log_loss(self.module(batch), batch.label).sum())
        return {"tuning_log_loss": total / len(self.tuning)}

    def _tensors(self, samples: Samples) -> Batch:
        return Batch.of(samples, self.device, self.head.max_visits)
