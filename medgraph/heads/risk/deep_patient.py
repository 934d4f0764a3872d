"""Deep Patient (Miotto et al. 2016, doi:10.1038/srep26094): stacked denoising autoencoders make a patient a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.cohort import Cohort
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.heads.risk.batching import Batches, Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.visit_head import VisitHead
from medgraph.heads.risk.wide import WideAndDeep
from medgraph.training import Task as TrainingTask
from medgraph.training import Trainer

__all__ = ["DeepPatient", "Stack"]


class Stack(nn.Module):
    """How often each code stands in a history, from 0 to 1, through sigmoid layers; one linear layer on the last."""

    largest: Tensor

    def __init__(
        self, codes: CodeVectors, person: Person, layers: int, hidden: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.codes, self.person, self.hidden = codes, person, hidden
        self.register_buffer("largest", torch.ones(codes.slots.shape[0]))  # log(1 + the most any training sample has)
        self.layers = nn.ModuleList(nn.Linear(codes.size if i == 0 else hidden, hidden) for i in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden + person.size, outputs)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        patients = self.dropout(self.encode(batch, vectors))
        logits: Tensor = self.output(torch.cat([patients, self.person(batch)], dim=1))
        return logits

    def encode(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n h"]:
        """The patients' vectors."""
        hidden = self.first(batch, self.shares(batch), vectors)
        for layer in list(self.layers)[1:]:
            hidden = torch.sigmoid(layer(hidden))
        return hidden

    def first(
        self, batch: Batch, shares: Float[Tensor, "n c"], vectors: Float[Tensor, "t d"] | None = None
    ) -> Float[Tensor, "n h"]:
        """The first layer; a code's events divide its share among them."""
        events = self.codes(batch.codes) if vectors is None else vectors
        at = (batch.visit_sample[batch.code_visit], batch.codes)
        weight = (shares / counts(batch, shares.shape[1]).clamp(min=1))[at]
        total = events.new_zeros((len(batch), events.shape[1])).index_add(0, at[0], events * weight[:, None])
        return torch.sigmoid(self.layers[0](total))

    def shares(self, batch: Batch) -> Float[Tensor, "n c"]:
        """log(1 + count) of each code over the most that training has, at most 1."""
        return (torch.log1p(counts(batch, len(self.largest))) / self.largest).clamp(max=1)


def counts(batch: Batch, codes: int) -> Float[Tensor, "n c"]:
    """How often each code stands in each sample."""
    at = (batch.visit_sample[batch.code_visit], batch.codes)
    one = torch.ones(len(batch.codes), device=batch.codes.device)
    return one.new_zeros((len(batch), codes)).index_put(at, one, accumulate=True)


class Denoising(TrainingTask):
    """Train one layer to give back what was there before some of its inputs were set to zero."""

    def __init__(self, head: DeepPatient, network: Stack, layer: int, train: Dataset) -> None:
        self.head, self.network, self.layer, self.train = head, network, layer, train
        inputs = len(network.largest) if layer == 0 else network.hidden
        self.back = nn.Linear(network.hidden, inputs).to(network.largest.device)
        trained = [*self.back.parameters(), *network.layers[layer].parameters()]
        trained += [p for p in network.codes.parameters() if p.requires_grad and layer == 0]
        self.module = nn.ModuleList([network, self.back])
        self.optimiser = torch.optim.AdamW(trained, head.pretrain_rate, weight_decay=head.weight_decay)
        self.settings: Mapping[str, object] = {}

    def batches(self, epoch: int) -> Batches:
        """The epoch's samples."""
        return self.train.batches(epoch)

    def losses(self, batch: Samples, progress: float) -> Mapping[str, Tensor]:
        """Cross-entropy, summed over the layer's inputs."""
        del progress
        samples = Batch.of(batch, self.network.largest.device, self.head.max_visits)
        if self.layer == 0:
            clean = self.network.shares(samples)
            hidden = self.network.first(samples, self._noisy(clean))
        else:
            with torch.no_grad():
                clean = self.network.first(samples, self.network.shares(samples))
                for layer in list(self.network.layers)[1 : self.layer]:
                    clean = torch.sigmoid(layer(clean))
            hidden = torch.sigmoid(self.network.layers[self.layer](self._noisy(clean)))
        loss = functional.binary_cross_entropy_with_logits(self.back(hidden), clean, reduction="none")
        return {"loss": loss.sum(dim=1).mean()}

    def _noisy(self, clean: Tensor) -> Tensor:
        return clean * (torch.rand_like(clean) >= self.head.noise)


@dataclass(eq=False, kw_only=True)
class DeepPatient(VisitHead):
    """A stack of denoising autoencoders, each trained on the one below, then a classifier: Miotto et al. (2016).

    The vectors are learned from the training samples' histories without their labels, and kept as they are unless
    `tune_encoder`. Time and order do not count. Where we differ: the first layer's weights are code vectors times a
    matrix, so that it can start from an embedding; shares are logarithmic; the classifier is logistic, the paper's a
    random forest; age and static codes go to the classifier; values count as having been measured.

    Args:
        layers: autoencoders on each other.
        hidden_size: numbers in each.
        noise: share of a layer's inputs that is set to zero while it is trained.
        pretrain_epochs: passes for each layer.
        pretrain_rate: learning rate of these.
        tune_encoder: let the labels change the layers and code vectors too.

    The other arguments are those of `VisitHead`.
    """

    layers: int = 3
    hidden_size: int = 128
    noise: float = 0.05
    pretrain_epochs: int = 30
    pretrain_rate: float = 1e-2
    tune_encoder: bool = False
    max_visits: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "hidden_size", "pretrain_epochs"):
            if getattr(self, name) < 1:
                raise SchemaError(f"DeepPatient: {name}={getattr(self, name)}; expected at least 1.")
        if not 0 <= self.noise < 1 or not self.pretrain_rate > 0:
            raise SchemaError(
                f"DeepPatient: noise={self.noise}, pretrain_rate={self.pretrain_rate}; expected noise from 0 to below "
                "1, and a rate above 0."
            )

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        return Stack(codes, person, self.layers, self.hidden_size, outputs, self.dropout)

    def _pretrain(self, network: nn.Module, train: Dataset, progress: bool) -> None:
        stack = cast(Stack, network)
        largest = torch.zeros_like(stack.largest)
        for samples in train.in_order():
            batch = Batch.of(samples, largest.device, self.max_visits)
            largest = torch.maximum(largest, counts(batch, len(largest)).amax(dim=0))
        stack.largest.copy_(torch.log1p(largest.clamp(min=1)))
        for layer in range(self.layers):
            Trainer(
                epochs=self.pretrain_epochs,
                seed=self.seed + 1 + layer,
                clip_norm=self.clip_norm,
                progress=progress,
                description=f"DeepPatient, layer {layer + 1}",
            ).run(Denoising(self, stack, layer, train))
            stack.zero_grad(set_to_none=True)
        if not self.tune_encoder:
            stack.layers.requires_grad_(False)
            stack.codes.requires_grad_(False)

    def patient_vectors(self, cohort: Cohort, label: str | Task | None = None) -> Float32[np.ndarray, "n h"]:
        """The last layer for each sample, in the order of `predict_proba`.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: another kind of task than the one fitted.
        """
        state = self._fitted()
        network = state.network
        stack = cast(Stack, network.deep if isinstance(network, WideAndDeep) else network)
        rows = [np.zeros((0, self.hidden_size), dtype=np.float32)]
        with torch.no_grad():
            for samples in cohort.timelines(state.task_for(cohort, label), state.vocabulary, self.visit):
                for start in range(0, len(samples), self.batch_size):
                    part = samples.take(np.arange(start, min(start + self.batch_size, len(samples))))
                    rows.append(stack.encode(Batch.of(part, stack.largest.device, self.max_visits)).cpu().numpy())
        return np.concatenate(rows)
