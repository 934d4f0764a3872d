"""What a head's numbers mean: log-odds of labels, or hazards in discrete time; their losses and probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from medgraph.data.labels import Kind
from medgraph.errors import SchemaError

__all__ = ["HazardTarget", "LabelTarget", "Target"]


@dataclass(frozen=True)
class Target(ABC):
    """What a network's outputs are for. Its fields are plain JSON values: they are saved with the head.

    Args:
        kind: of the task.
        names: of the task's columns.
    """

    kind: Kind
    names: tuple[str, ...]

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the network gives for each sample."""

    @abstractmethod
    def loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
        """What training descends; classes may be weighted."""

    @abstractmethod
    def log_loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Minus the log probability of what happened: proper, unweighted; early stopping looks at it."""

    def to_dict(self) -> dict[str, Any]:
        """Class and fields."""
        return {"class": type(self).__name__, **asdict(self)}

    @staticmethod
    def from_dict(plain: Mapping[str, Any], known: tuple[type[Target], ...] = ()) -> Target:
        """The reverse of `to_dict`, for the targets here and those `known` besides."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k != "class"}
        targets: tuple[type[Target], ...] = (LabelTarget, HazardTarget, *known)
        for target in targets:
            if target.__name__ == plain["class"]:
                return target(**fields)
        raise SchemaError(f"{plain['class']!r} is no known target of a risk head.")


@dataclass(frozen=True)
class LabelTarget(Target):
    """One log-odds for each label: binary, or several at once (multi-label).

    A label's positives may count `weights` times in the loss. That multiplies the odds the network learns by the
    weight, so the log of it is taken off again: probabilities are those of the data (King & Zeng 2001).

    Args:
        weights: of each label's positives.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "multilabel")
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, kind: Kind, names: tuple[str, ...], labels: np.ndarray, balance: bool) -> LabelTarget:
        """For these training labels; `balance` gives a label's positives the weight of its negatives (100 at most)."""
        columns = labels.reshape(len(labels), -1)
        positive = columns.sum(axis=0)
        weights = np.clip((len(columns) - positive) / np.maximum(positive, 1), 1.0, 100.0)
        return cls(kind, names, tuple(float(w) for w in (weights if balance else np.ones_like(weights))))

    @property
    def outputs(self) -> int:
        """One a label."""
        return len(self.weights)

    def loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
        """Binary cross-entropy, the mean over samples and labels."""
        weights = logits.new_tensor(self.weights)
        return functional.binary_cross_entropy_with_logits(logits, label.reshape(logits.shape), pos_weight=weights)

    def log_loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """The mean over labels of each sample's cross-entropy."""
        wanted = label.reshape(logits.shape)
        each = functional.binary_cross_entropy_with_logits(self.log_odds(logits), wanted, reduction="none")
        return each.mean(dim=1)

    def log_odds(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Log-odds in the data's own proportions."""
        return logits - logits.new_tensor(self.weights).log()


@dataclass(frozen=True)
class HazardTarget(Target):
    """P(event k in bin b | none before), softmax over the events and none: survival in discrete time.

    With one event the logistic hazard of Brown (1975) and Gensheimer & Narasimhan (2019), with several competing ones
    that of Tutz & Schmid (2016). Who is censored in a bin counts as having come through the bins that are over.

    Args:
        edges: right ends of the bins, in days; the first begins at 0.
    """

    edges: tuple[float, ...] = ()

    @classmethod
    def of(cls, names: tuple[str, ...], labels: np.ndarray, bins: int) -> HazardTarget:
        """Bins that hold about equally many of the training events; the last ends at the last event.

        Raises:
            SchemaError: no event at all.
        """
        days = labels[labels[:, 1] > 0, 0].astype(np.float64)
        if not days.size:
            raise SchemaError("No event happens in the training data, only censoring: nothing can be learnt.")
        edges = np.unique(np.quantile(days, np.arange(1, bins + 1) / bins, method="inverted_cdf"))
        return cls("survival", names, tuple(float(edge) for edge in edges[edges > 0]))

    @property
    def outputs(self) -> int:
        """One a bin and event."""
        return len(self.edges) * len(self.names)

    def log_hazards(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n b e"]:
        """Log P(none), log P(event 1), ... in each bin, for who comes into it."""
        shaped = logits.reshape(len(logits), len(self.edges), len(self.names))
        return functional.log_softmax(functional.pad(shaped, (1, 0)), dim=2)

    def loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
        """The mean of `log_loss`."""
        return self.log_loss(logits, label).mean()

    def log_loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """-log P(came through the bins before, and had this event in this one)."""
        hazards = self.log_hazards(logits)
        days, event = label[:, 0].contiguous(), label[:, 1].long()
        edges = torch.tensor(self.edges, dtype=days.dtype, device=days.device)
        happened = (event > 0) & (days <= edges[-1])
        own = torch.where(
            happened, torch.searchsorted(edges, days), torch.searchsorted(edges, days, right=True)
        )  # an event lies in (edge before, edge]; censoring at an edge is after its bin
        before = torch.arange(edges.shape[0], device=days.device)[None, :] < own[:, None]
        through = (hazards[:, :, 0] * before).sum(dim=1)
        place = own.clamp(max=edges.shape[0] - 1)
        hit = hazards[torch.arange(len(days), device=days.device), place, event]
        return -(through + torch.where(happened, hit, torch.zeros_like(hit)))

    def incidence(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n e b"]:
        """P(event e by the end of bin b): the cumulative incidence, which competing events take from each other."""
        hazards = self.log_hazards(logits)
        survival = torch.cumsum(hazards[:, :, 0], dim=1)
        before = functional.pad(survival, (1, -1))  # log P(came into the bin)
        return torch.cumsum((hazards[:, :, 1:] + before[:, :, None]).exp(), dim=1).transpose(1, 2)
