"""GRU-D (Che et al. 2018, doi:10.1038/s41598-018-24271-9): a GRU in which missing values fade to their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.measurements import Measurements, Outline, Series, presence
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.readout import Members, Readout, check_parts, gathered, start_linear
from medgraph.heads.risk.targets import HazardTarget, Target
from medgraph.heads.risk.tensors import Batch

__all__ = ["GRUD", "FadingGRU"]

_SLOW = 0.1  # rate of fading at the start, per mean gap between visits


class FadingGRU(nn.Module):
    """Inputs fade to the training mean, states to zero, by exp(-max(0, w Δ + b)); the gates see what is missing."""

    def __init__(
        self,
        codes: CodeVectors,
        person: Person,
        measurements: Measurements,
        outline: Outline | None,
        hidden: int,
        outputs: int,
        dropout: float,
        deep: bool = False,
    ) -> None:
        super().__init__()
        self.codes, self.person, self.measurements, self.hidden = codes, person, measurements, hidden
        variables = measurements.variables
        self.input_rate = nn.Parameter(torch.full((variables,), _SLOW))  # W of the paper's γx: a diagonal
        self.input_start = nn.Parameter(torch.zeros(variables))
        self.state_rate = nn.Linear(variables + 1, hidden)
        nn.init.uniform_(self.state_rate.weight, 0, _SLOW / (variables + 1))
        nn.init.zeros_(self.state_rate.bias)
        self.inputs = nn.Linear(2 * variables + codes.size, 3 * hidden)  # W, V and b of the paper
        self.states = nn.Linear(hidden, 2 * hidden, bias=False)  # U of z and r
        self.candidate = nn.Linear(hidden, hidden, bias=False)  # U of h~
        self.dropout = nn.Dropout(dropout)
        self.outline = outline
        plain = person.size + (0 if outline is None else outline.size + codes.size)
        self.readout = Readout(plain, hidden, hidden if deep else 0, outputs, dropout)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        logits: Tensor = self.readout(self.seen(batch, vectors))
        return logits

    def seen(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n s"]:
        """What the last layer sees: the person, the outline, the last visit's codes, and the state."""
        series = self.measurements(batch, presence(self.codes, batch, vectors))
        events = self.codes(batch.codes) if vectors is None else vectors
        visits = torch.tanh(batch.per_visit(self.dropout(events)))
        seen = [self.person(batch)]
        if self.outline is not None:
            is_last = batch.visit_place == batch.visits[batch.visit_sample] - 1
            seen += [self.outline(series), batch.per_sample(torch.where(is_last[:, None], visits, 0.0))]
        return torch.cat([*seen, self.dropout(self.read(batch, series, visits))], dim=1)

    def read(self, batch: Batch, series: Series, visits: Float[Tensor, "v d"]) -> Float[Tensor, "n h"]:
        """The state at the prediction time."""
        left = torch.exp(-torch.relu(self.input_rate * series.age + self.input_start))
        filled = series.last * (series.new + (1 - series.new) * left)
        known = self.inputs(torch.cat([filled, series.new, batch.pad(visits)], dim=2))
        kept = self.fade(series.age, series.gap)
        state = known.new_zeros((len(batch), self.hidden))
        for step in range(batch.width):
            after = self.step(known[:, step], kept[:, step] * state)
            state = torch.where(batch.mask[:, step, None], after, state)
        final: Tensor = state * self.fade(series.final_age, series.wait)
        return final

    def fade(self, age: Float[Tensor, "... d"], gap: Float[Tensor, "..."]) -> Float[Tensor, "... h"]:
        """γh: what is left of a state."""
        rate: Tensor = self.state_rate(torch.cat([age, gap[..., None]], dim=-1))
        return torch.exp(-torch.relu(rate))

    def step(self, known: Float[Tensor, "n g"], state: Float[Tensor, "n h"]) -> Float[Tensor, "n h"]:
        """Equations 11 to 14 of the paper, on a state that has faded."""
        z, r, candidate = known.chunk(3, dim=1)
        state_z, state_r = self.states(state).chunk(2, dim=1)
        z, r = torch.sigmoid(z + state_z), torch.sigmoid(r + state_r)
        return (1 - z) * state + z * torch.tanh(candidate + self.candidate(r * state))


@dataclass(eq=False, kw_only=True)
class GRUD(RiskHead):
    """A GRU on numeric values, which of them are missing, and how old the last ones are: GRU-D (Che et al. 2018).

    A missing value is the last one seen, faded towards the training mean; the state fades before each step. Where we
    differ: the sum of a step's code vectors is an input beside the values, so that what has no number counts too; the
    state's fading also looks at the time since the step before, and goes on to the prediction time; age and static
    codes join before the last layer. A step is a point in time unless `visit` says otherwise.

    With `outline`, the last layer sees what the series come to (`Outline`) and the last visit's codes beside the state:
    few samples are often better served by last values than by a recurrence. Training then starts from a linear model of
    them, fitted by itself, for survival a nearly proportional one. With `deep`, a hidden layer joins the last.

    Args:
        hidden_size: numbers in a state, and in the hidden layer.
        variables: numeric codes that are followed, the commonest.
        outline: see above; without it the state and the person alone go to the last layer.
        deep: see above.
        bent: let the outline's last values bend, see `Outline`.
        ridge: weight of the last layer's squared weights, see `Readout.penalty`.
        smoothness: of survival: how much weights are held from changing between neighbouring bins of time.
        members: networks whose logits are averaged; trained together, each with its own start and dropout.

    The other arguments are those of `RiskHead`.
    """

    hidden_size: int = 64
    variables: int = 64
    outline: bool = True
    deep: bool = False
    bent: bool = True
    ridge: float = 0.01
    smoothness: float = 1.0
    members: int = 1
    visit: Literal["visit", "day", "time"] = "time"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, ("hidden_size", "variables", "members"), ("ridge", "smoothness"))

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        measurements = Measurements(codes.slots.shape[0], self.variables)
        outline = Outline(self.variables, self.bent) if self.outline else None
        return Members.of(
            [
                FadingGRU(codes, person, measurements, outline, self.hidden_size, outputs, self.dropout, self.deep)
                for _ in range(self.members)
            ]
        )

    def _pretrain(self, network: nn.Module, train: Dataset, progress: bool) -> None:
        del progress
        _members(network)[0].measurements.learn(train, self.max_visits)

    def _start(self, network: nn.Module, target: Target, train: Dataset) -> None:
        first, *others = _members(network)
        first.readout.start(target.base(train.labels))
        if self.outline:
            x, label = gathered(first, first.seen, train, self.max_visits)
            start_linear([first.readout], x, lambda logits: self._penalised(first, target, logits, label))
        for other in others:
            other.readout.start_like(first.readout)

    def _loss(self, network: nn.Module, target: Target, batch: Batch) -> Tensor:
        losses = [self._penalised(m, target, m(batch), batch.label) for m in _members(network)]
        return torch.stack(losses).mean()

    def _penalised(self, member: FadingGRU, target: Target, logits: Tensor, label: Tensor) -> Tensor:
        bins = len(target.edges) if isinstance(target, HazardTarget) else 1
        return target.loss(logits, label) + member.readout.penalty(bins, self.ridge, self.smoothness)


def _members(network: nn.Module) -> list[FadingGRU]:
    return cast(list[FadingGRU], Members.within(network))
