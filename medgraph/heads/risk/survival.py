"""Dynamic-DeepHit (Lee, Yoon & van der Schaar 2020, doi:10.1109/TBME.2019.2909027): which event, and when?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.labels import Kind
from medgraph.errors import SchemaError
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.lstm import DecayGRU
from medgraph.heads.risk.measurements import Measurements, Outline, Series, presence
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.readout import Members, Readout, check_parts, gathered, start_linear
from medgraph.heads.risk.targets import HazardTarget, Target
from medgraph.heads.risk.tensors import Batch

__all__ = ["DynamicDeepHit", "JointTarget", "Longitudinal", "ranking_loss"]


@dataclass(frozen=True)
class JointTarget(Target):
    """P(event k in bin b), one softmax over all events and bins and over none of them.

    The probabilities of all events until a bin's end, and of none until then, add up to 1.

    Args:
        edges: right ends of the bins, in days; the first begins at 0.
    """

    edges: tuple[float, ...] = ()

    @classmethod
    def of(cls, names: tuple[str, ...], labels: np.ndarray, bins: int) -> JointTarget:
        """The bins of `HazardTarget`; where events share times and leave fewer, the widest are halved.

        Raises:
            SchemaError: no event happens.
        """
        edges = [0.0, *HazardTarget.of(names, labels, bins).edges]
        while len(edges) <= bins:
            widest = int(np.argmax(np.diff(edges)))
            edges.insert(widest + 1, (edges[widest] + edges[widest + 1]) / 2)
        return cls("survival", names, tuple(edges[1:]))

    def base(self, labels: np.ndarray) -> Float[Tensor, " k"]:
        """Log P of each event and bin, and of none of them, from everyone's hazards."""
        hazards = HazardTarget(self.kind, self.names, self.edges)
        incidence = hazards.incidence(hazards.base(labels)[None])[0]
        each = torch.diff(incidence, dim=1, prepend=incidence.new_zeros((len(self.names), 1)))
        return torch.cat([each.flatten(), 1 - incidence[:, -1].sum()[None]]).log()

    @property
    def outputs(self) -> int:
        """One an event and bin, and one for none of them."""
        return len(self.edges) * len(self.names) + 1

    def loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
        """The mean of `log_loss`."""
        return self.log_loss(logits, label).mean()

    def log_loss(self, logits: Float[Tensor, "n k"], label: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """-log P(this event in this bin), or of being without any event when last seen (Lee 2020, equation 8)."""
        happened, own = self.bin(label)
        numbers = torch.arange(len(self.edges), device=logits.device)
        event = torch.arange(len(self.names), device=logits.device)
        mine = (label[:, 1, None] == event + 1)[:, :, None] & (own[:, None] == numbers)[:, None, :]
        later = (own[:, None] <= numbers)[:, None, :].expand_as(mine)
        possible = torch.where(happened[:, None, None], mine, later).flatten(1)
        possible = torch.cat([possible, ~happened[:, None]], dim=1)
        chances = functional.log_softmax(logits, dim=1)
        return -torch.logsumexp(chances.masked_fill(~possible, -torch.inf), dim=1)

    def bin(self, label: Float[Tensor, "n 2"]) -> tuple[Tensor, Tensor]:
        """Did an event happen within the bins, and in which; for the others, the first bin they did not see through."""
        days = label[:, 0].contiguous()
        edges = torch.tensor(self.edges, dtype=days.dtype, device=days.device)
        happened = (label[:, 1] > 0) & (days <= edges[-1])
        return happened, torch.where(
            happened, torch.searchsorted(edges, days), torch.searchsorted(edges, days, right=True)
        )

    def incidence(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n e b"]:
        """P(event e by the end of bin b)."""
        chances = torch.softmax(logits, dim=1)[:, :-1]
        return chances.reshape(len(logits), len(self.names), len(self.edges)).cumsum(dim=2)

    def survival(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n b"]:
        """P(no event by the end of bin b), added up from the end."""
        chances = torch.softmax(logits, dim=1)
        each = chances[:, :-1].reshape(len(logits), len(self.names), len(self.edges)).sum(dim=1)
        after = torch.cat([each[:, 1:], chances[:, -1:]], dim=1)
        return after.flip(1).cumsum(dim=1).flip(1)


def ranking_loss(
    target: JointTarget, incidence: Float[Tensor, "n e b"], label: Float[Tensor, "n 2"], sigma: float
) -> Float[Tensor, ""]:
    """exp(-(F(s | i) - F(s | j)) / σ), the mean over pairs in which i had an event at s and j was without any longer.

    F is the incidence of i's event (Lee 2020, equations 10 and 11); 0 where there is no such pair.
    """
    happened, own = target.bin(label)
    rows = torch.nonzero(happened)[:, 0]
    at = incidence[:, (label[rows, 1] - 1).long(), own[rows]].T  # (i, j): each j by i's event and time
    difference = at[torch.arange(len(rows), device=rows.device), rows][:, None] - at
    pairs = label[rows, 0][:, None] < label[None, :, 0]
    total = (torch.exp(-difference / sigma) * pairs).sum()
    return total / pairs.sum().clamp(min=1)


class Longitudinal(nn.Module):
    """A GRU over visits, attention on the earlier ones by the last, and one network for each event.

    Args:
        codes: their vectors.
        person: age and static codes.
        measurements: numeric values.
        outline: what they come to, for the events' networks; None for the paper's own.
        events: kinds of event.
        bins: of time.
        hidden: numbers in a state, and in the events' layers.
        dropout: share of numbers dropped.
    """

    def __init__(
        self,
        codes: CodeVectors,
        person: Person,
        measurements: Measurements,
        outline: Outline | None,
        events: int,
        bins: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.codes, self.person, self.measurements = codes, person, measurements
        seen = codes.size + 3 * measurements.variables + 1
        self.cell = DecayGRU(seen, hidden)
        self.attention = nn.Sequential(nn.Linear(hidden + seen, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.next_codes = nn.Linear(hidden, codes.slots.shape[0])
        self.next_values = nn.Linear(hidden, measurements.variables)
        self.dropout = nn.Dropout(dropout)
        self.outline = outline
        plain = person.size + seen + 1 + (0 if outline is None else outline.size)
        self.events = nn.ModuleList(
            Readout(plain, hidden, hidden, bins, dropout, linear=outline is not None) for _ in range(events)
        )
        self.none = Readout(plain, hidden, 0, 1, dropout)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        return self.read(batch, vectors)[0]

    def read(
        self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, ""]]:
        """Logits, and how badly each visit was foreseen from the one before: the paper's third loss."""
        shared, foreseen = self.seen(batch, vectors)
        return torch.cat([layers(shared) for layers in self.parts], dim=1), foreseen

    def seen(
        self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None
    ) -> tuple[Float[Tensor, "n s"], Float[Tensor, ""]]:
        """What the events' networks share, and the loss of foresight."""
        events = self.codes(batch.codes) if vectors is None else vectors
        series = self.measurements(batch, presence(self.codes, batch, vectors))
        numbers = torch.cat(
            [series.last, series.new, torch.log1p(series.age), torch.log1p(series.gap)[..., None]], dim=2
        )
        visits = torch.cat([torch.tanh(batch.per_visit(self.dropout(events))), batch.unpad(numbers)], dim=1)
        states = self.cell(visits, torch.ones_like(batch.visit_days), batch)
        is_last = batch.visit_place == batch.visits[batch.visit_sample] - 1
        last = batch.per_sample(torch.where(is_last[:, None], visits, 0.0))
        energies = batch.pad(self.attention(torch.cat([states, last[batch.visit_sample]], dim=1))[:, 0])
        earlier = batch.mask & ~batch.pad(is_last.float()).bool()
        weights = torch.softmax(energies.masked_fill(~earlier, torch.finfo(energies.dtype).min), dim=1) * earlier
        context = batch.per_sample(states * batch.unpad(weights)[:, None])
        wait = torch.log1p(series.wait)[:, None]
        known = [self.person(batch), last, wait] + ([] if self.outline is None else [self.outline(series)])
        shared = torch.cat([*known, self.dropout(context)], dim=1)
        return shared, self._foreseen(batch, states, series) if self.training else shared.new_zeros(())

    @property
    def parts(self) -> list[Readout]:
        """One an event, and one for none of them."""
        return [*cast(list[Readout], list(self.events)), self.none]

    def start(self, base: Float[Tensor, " k"]) -> None:
        """Let everyone have these logits."""
        sizes = [layers.output.out_features for layers in self.parts]
        for layers, logits in zip(self.parts, torch.split(base, sizes), strict=True):
            layers.start(logits)

    def penalty(self, ridge: float, smoothness: float) -> Float[Tensor, ""]:
        """The sum of `Readout.penalty`; who has a higher risk has the event earlier, so a trend over bins is free."""
        each = [layers.penalty(layers.output.out_features, ridge, smoothness, 2) for layers in self.parts]
        return torch.stack(each).sum()

    def _foreseen(self, batch: Batch, states: Float[Tensor, "v h"], series: Series) -> Float[Tensor, ""]:
        after = torch.nonzero(batch.visit_place > 0)[:, 0]
        if not len(after):
            return states.new_zeros(())
        codes = states.new_zeros((len(states), self.next_codes.out_features))
        codes[batch.code_visit, batch.codes] = 1
        before = states[after - 1]
        wrong: Tensor = functional.binary_cross_entropy_with_logits(self.next_codes(before), codes[after])
        measured, values = batch.unpad(series.new)[after], batch.unpad(series.last)[after]
        error = ((self.next_values(before) - values) ** 2 * measured).sum()
        both: Tensor = wrong + error / measured.sum().clamp(min=1)
        return both


@dataclass(eq=False, kw_only=True)
class DynamicDeepHit(RiskHead):
    """The joint distribution of competing events and their times from a whole history: Dynamic-DeepHit (Lee 2020).

    Trained by likelihood, by the order in which events came, and by foreseeing each visit from the one before. Where we
    differ: time starts at the prediction time, at which everyone is still without an event, so that the paper's
    condition on this holds by itself; one output stands for no event within the bins, which hold about equally many
    events each; the ranking loss is a mean over the pairs; time since the last visit, age and static codes join before
    the events' layers.

    Args:
        hidden_size: numbers in a state, and in the events' layers.
        variables: numeric codes that are followed, the commonest.
        outline: let the events' networks also see what the measurements come to (`Outline`), and give each a linear
            layer beside its hidden one, from which training starts; without it they are the paper's.
        bent: let the outline's last values bend, see `Outline`.
        ranking: weight of the ranking loss.
        sigma: how fast it falls with the difference of two risks.
        foresight: weight of foreseeing the next visit.
        ridge: weight of the last layers' squared weights, see `Readout.penalty`.
        smoothness: how much weights are held to a straight line over the bins of time.
        members: networks whose logits are averaged; trained together, each with its own start and dropout.

    The other arguments are those of `RiskHead`.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("survival",)
    _targets: ClassVar[tuple[type[Target], ...]] = (JointTarget,)

    hidden_size: int = 64
    variables: int = 64
    outline: bool = True
    bent: bool = True
    ranking: float = 0.1
    sigma: float = 0.1
    foresight: float = 0.1
    ridge: float = 0.01
    smoothness: float = 1.0
    members: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, ("hidden_size", "variables", "members"), ("ranking", "foresight", "ridge", "smoothness"))
        if not self.sigma > 0:
            raise SchemaError(f"DynamicDeepHit: sigma={self.sigma}; expected above 0.")

    def _target(self, kind: Kind, names: tuple[str, ...], labels: np.ndarray) -> Target:
        assert kind == "survival"
        return JointTarget.of(names, labels, self.bins)

    def _probabilities(self, target: Target, logits: Tensor) -> Tensor:
        return cast(JointTarget, target).incidence(logits)

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        measurements = Measurements(codes.slots.shape[0], self.variables)
        outline = Outline(self.variables, self.bent) if self.outline else None
        events = (outputs - 1) // self.bins
        return Members.of(
            [
                Longitudinal(codes, person, measurements, outline, events, self.bins, self.hidden_size, self.dropout)
                for _ in range(self.members)
            ]
        )

    def _pretrain(self, network: nn.Module, train: Dataset, progress: bool) -> None:
        del progress
        _members(network)[0].measurements.learn(train, self.max_visits)

    def _start(self, network: nn.Module, target: Target, train: Dataset) -> None:
        first, *others = _members(network)

        def loss(logits: Tensor) -> Tensor:
            return target.loss(logits, label) + first.penalty(self.ridge, self.smoothness)

        first.start(target.base(train.labels))
        if self.outline:
            x, label = gathered(first, lambda batch: first.seen(batch)[0], train, self.max_visits)
            start_linear(first.parts, x, loss)
        for other in others:
            for part, same in zip(other.parts, first.parts, strict=True):
                part.start_like(same)

    def _loss(self, network: nn.Module, target: Target, batch: Batch) -> Tensor:
        assert isinstance(target, JointTarget)
        losses = []
        for member in _members(network):
            logits, foreseen = member.read(batch)
            ranked = ranking_loss(target, target.incidence(logits), batch.label, self.sigma)
            loss = target.loss(logits, batch.label) + self.ranking * ranked + self.foresight * foreseen
            losses.append(loss + member.penalty(self.ridge, self.smoothness))
        return torch.stack(losses).mean()


def _members(network: nn.Module) -> list[Longitudinal]:
    return cast(list[Longitudinal], Members.within(network))
