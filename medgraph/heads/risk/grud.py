"""GRU-D (Che et al. 2018, doi:10.1038/s41598-018-24271-9): a GRU in which missing values fade to their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.errors import SchemaError
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.measurements import Measurements, presence
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch

__all__ = ["GRUD", "FadingGRU"]

_SLOW = 0.1  # rate of fading at the start, per mean gap between visits


class FadingGRU(nn.Module):
    """Inputs fade to the training mean, states to zero, by exp(-max(0, w Δ + b)); the gates see what is missing."""

    def __init__(
        self, codes: CodeVectors, person: Person, measurements: Measurements, hidden: int, outputs: int, dropout: float
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
        self.output = nn.Linear(hidden + person.size, outputs)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        state = self.dropout(self.read(batch, vectors))
        logits: Tensor = self.output(torch.cat([state, self.person(batch)], dim=1))
        return logits

    def read(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n h"]:
        """The state at the prediction time."""
        series = self.measurements(batch, presence(self.codes, batch, vectors))
        events = self.codes(batch.codes) if vectors is None else vectors
        visits = batch.pad(torch.tanh(batch.per_visit(self.dropout(events))))
        left = torch.exp(-torch.relu(self.input_rate * series.age + self.input_start))
        filled = series.last * (series.new + (1 - series.new) * left)
        known = self.inputs(torch.cat([filled, series.new, visits], dim=2))
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

    Args:
        hidden_size: numbers in a state.
        variables: numeric codes that are followed, the commonest.

    The other arguments are those of `RiskHead`.
    """

    hidden_size: int = 64
    variables: int = 64
    visit: Literal["visit", "day", "time"] = "time"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size < 1 or self.variables < 1:
            raise SchemaError(
                f"GRUD: hidden_size={self.hidden_size}, variables={self.variables}; expected at least 1 of each."
            )

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        measurements = Measurements(codes.slots.shape[0], self.variables)
        return FadingGRU(codes, person, measurements, self.hidden_size, outputs, self.dropout)

    def _pretrain(self, network: nn.Module, train: Dataset, progress: bool) -> None:
        del progress
        cast(FadingGRU, network).measurements.learn(train, self.max_visits)
