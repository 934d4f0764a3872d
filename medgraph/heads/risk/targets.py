"""What a head's numbers mean: log-odds of labels, or hazards in discrete time; their losses and probabilities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from medgraph.data.labels import Kind
from medgraph.errors import SchemaError

__all__ = ["HazardTarget", "LabelTarget", "Target"]


def rounded_up(numbers: Float[np.ndarray, " m"], digits: int) -> tuple[float, ...]:
    """Numbers above 0 to so many significant digits, never downwards; those that fall together stand once."""
    result = set()
    for number in numbers.tolist():
        places = digits - 1 - math.floor(math.log10(number))
        near = round(number, places)
        result.add(near if near >= number else round(near + 10.0**-places, places))
    return tuple(sorted(result))


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

    @abstractmethod
    def base(self, labels: np.ndarray) -> Float[Tensor, " k"]:
        """The logits that give everyone the risk of these training labels: where training may start."""

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

    def base(self, labels: np.ndarray) -> Float[Tensor, " k"]:
        """The logits of everyone's rates, half of one added to either class."""
        columns = labels.reshape(len(labels), -1)
        positive = torch.as_tensor(columns.sum(axis=0), dtype=torch.float32)
        return torch.log((positive + 0.5) / (len(columns) - positive + 0.5)) + torch.tensor(self.weights).log()

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
        """Bins that hold about equally many of the training events; the last ends with the last event, or soon after.

        Edges are rounded up to two significant digits, to three where bins would fall together: they are saved with the
        model, and must not tell anyone's own days.

        Raises:
            SchemaError: no event at all.
        """
        days = labels[labels[:, 1] > 0, 0].astype(np.float64)
        if not days.size:
            raise SchemaError("No event happens in the training data, only censoring: nothing can be learnt.")
        edges = np.unique(np.quantile(days, np.arange(1, bins + 1) / bins, method="inverted_cdf"))
        edges = edges[edges > 0]
        rounded = rounded_up(edges, 2)
        return cls("survival", names, rounded if len(rounded) == edges.size else rounded_up(edges, 3))

    def base(self, labels: np.ndarray) -> Float[Tensor, " k"]:
        """The logits of everyone's hazards: events beside those who came through each bin, half of one added to all."""
        own, event = self._own(torch.as_tensor(labels))
        bins, kinds = len(self.edges), len(self.names)
        events = torch.zeros(bins, kinds + 1).index_put(
            (own[event > 0], event[event > 0]), torch.ones(()), accumulate=True
        )
        through = (own[:, None] > torch.arange(bins)).sum(dim=0)
        return ((events[:, 1:] + 0.5) / (through[:, None] + 0.5)).log().flatten()

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
        own, event = self._own(label)
        bins = len(self.edges)
        before = torch.arange(bins, device=own.device)[None, :] < own[:, None]
        through = (hazards[:, :, 0] * before).sum(dim=1)
        hit = hazards[torch.arange(len(own), device=own.device), own.clamp(max=bins - 1), event]
        return -(through + torch.where(event > 0, hit, torch.zeros_like(hit)))

    def _own(self, label: Float[Tensor, "n 2"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """The bin of each event, or the first bin not seen through; which event, 0 for none within the bins."""
        days, event = label[:, 0].contiguous(), label[:, 1].long()
        edges = torch.tensor(self.edges, dtype=days.dtype, device=days.device)
        event = torch.where(days <= edges[-1], event, 0)
        # an event lies in (edge before, edge]; censoring at an edge is after its bin
        return torch.where(
            event > 0, torch.searchsorted(edges, days), torch.searchsorted(edges, days, right=True)
        ), event

    def incidence(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n e b"]:
        """P(event e by the end of bin b): the cumulative incidence, which competing events take from each other."""
        hazards = self.log_hazards(logits)
        survival = torch.cumsum(hazards[:, :, 0], dim=1)
        before = functional.pad(survival, (1, -1))  # log P(came into the bin)
        return torch.cumsum((hazards[:, :, 1:] + before[:, :, None]).exp(), dim=1).transpose(1, 2)
