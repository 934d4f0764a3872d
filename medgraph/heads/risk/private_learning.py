"""DP-SGD as the one training loop takes it: subjects drawn by chance, each clipped, noise on their sum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from medgraph.data.samples import Samples
from medgraph.data.timelines import Timelines
from medgraph.errors import SchemaError
from medgraph.heads.risk.batching import IN_MEMORY
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.privacy import DifferentialPrivacy
from medgraph.heads.risk.targets import Target
from medgraph.heads.risk.tensors import Batch
from medgraph.training import Task as TrainingTask

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["PrivateLearning", "Subjects"]


class Subjects:
    """The samples of training, by subject; held in memory, since any subject may be drawn in any step."""

    def __init__(self, timelines: Timelines) -> None:
        blocks, held = [], 0
        for block in timelines:
            blocks.append(block)
            held += block.codes.size
            if held > IN_MEMORY:
                raise SchemaError(
                    f"Private training draws subjects at random and holds their samples, {IN_MEMORY:,} events at most. "
                    "Use fewer prediction times, a shorter observation window, or a part of the cohort."
                )
        if not blocks:
            raise SchemaError(f"The task leaves no sample in {timelines.cohort!r}.")
        self.samples = Samples.concat(blocks)
        order = np.argsort(self.samples.subject_id, kind="stable")
        starts = np.unique(self.samples.subject_id[order], return_index=True)[1]
        self.rows = np.split(order, starts[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, number: int) -> Samples:
        """All samples of one subject."""
        return self.samples.take(self.rows[number])


class PrivateLearning(TrainingTask):
    """Descend the noisy mean of the subjects' clipped gradients. A subject's loss is the mean of its samples'.

    Each subject goes through the network by itself, so no term of a loss that compares subjects is left, and a batch
    needs no more memory than a subject.

    Args:
        head: whose loss, and hyper-parameters; `batch_size` subjects are drawn in a step on average.
        network: what is trained.
        target: what its outputs mean.
        subjects: the training samples.
        privacy: how much each may give.
        noise_multiplier: of `max_grad_norm`.
        settings: what a resumed run must have in common.
    """

    def __init__(
        self,
        head: RiskHead,
        network: nn.Module,
        target: Target,
        subjects: Subjects,
        privacy: DifferentialPrivacy,
        noise_multiplier: float,
        settings: Mapping[str, Any],
    ) -> None:
        self.head, self.module, self.target, self.subjects = head, network, target, subjects
        self.privacy, self.noise_multiplier = privacy, noise_multiplier
        self.settings = dict(settings)
        self.device = next(network.parameters()).device
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.fixed = [m.learned for m in network.modules() if isinstance(m, CodeVectors)]  # row 0 is no code's
        self.optimiser = torch.optim.AdamW(self.trained, head.learning_rate, weight_decay=head.weight_decay)

    @staticmethod
    def plan(subjects: int, batch_size: int) -> tuple[int, float]:
        """Steps of an epoch, and the probability with which a subject is drawn in one."""
        return math.ceil(subjects / batch_size), min(batch_size / subjects, 1.0)

    def batches(self, epoch: int) -> Sequence[int]:
        """The numbers of the epoch's steps."""
        steps, _ = self.plan(len(self.subjects), self.head.batch_size)
        return range(epoch * steps, (epoch + 1) * steps)

    def losses(self, batch: int, progress: float) -> Mapping[str, Tensor]:
        """A number whose gradient is the private one; it measures nothing."""
        del progress
        gradient = self.gradient(batch)
        return {"loss": torch.stack([(p * g).sum() for p, g in zip(self.trained, gradient, strict=True)]).sum()}

    def gradient(self, step: int) -> list[Tensor]:
        """(Σ clipped gradients + noise) / the mean number of subjects drawn."""
        _, rate = self.plan(len(self.subjects), self.head.batch_size)
        rng = np.random.default_rng([self.privacy.secret, step + 1])  # 0 is for choosing the codes
        total = [torch.zeros_like(p) for p in self.trained]
        for number in np.flatnonzero(rng.random(len(self.subjects)) < rate).tolist():
            for one, more in zip(total, self.clipped(number), strict=True):
                one.add_(more)
        deviation = self.noise_multiplier * self.privacy.max_grad_norm
        for parameter, one in zip(self.trained, total, strict=True):
            noise = rng.normal(0.0, deviation, tuple(parameter.shape)).astype(np.float32)
            one.add_(torch.from_numpy(noise).to(self.device)).div_(rate * len(self.subjects))
            if any(parameter is learned for learned in self.fixed):
                one[0] = 0
        return total

    def clipped(self, number: int) -> list[Tensor]:
        """A subject's gradient, its norm `max_grad_norm` at most; nothing where it is not finite."""
        batch = Batch.of(self.subjects.of(number), self.device, self.head.max_visits)
        loss = self.head._loss(self.module, self.target, batch)
        found = torch.autograd.grad(loss, self.trained, allow_unused=True)
        gradient = [torch.zeros_like(p) if g is None else g for p, g in zip(self.trained, found, strict=True)]
        norm = float(torch.stack([g.square().sum() for g in gradient]).sum().sqrt())
        if not math.isfinite(norm):
            return [torch.zeros_like(p) for p in self.trained]
        factor = min(1.0, self.privacy.max_grad_norm / max(norm, 1e-12))
        return [g * factor for g in gradient]
