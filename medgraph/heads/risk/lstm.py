"""DeepCare (Pham et al. 2016, arXiv:1602.00357): an LSTM over visits whose memory fades with the time between them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.errors import SchemaError
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.visit_head import VisitHead

__all__ = ["DecayGRU", "DecayLSTM", "Recurrent", "VisitGRU", "VisitLSTM", "decay", "recency_pool"]

_MONTH = 30.4375  # days
_RANGES = (12.0, 24.0, float("inf"))  # months that pooling looks back over


def decay(gaps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """1 / log(e + Δ): how much of the memory is left after Δ months (Pham 2016, section 3.2.4)."""
    return torch.log(torch.e + gaps / _MONTH).reciprocal()


def recency_pool(states: Float[Tensor, "v h"], batch: Batch) -> Float[Tensor, "n m"]:
    """Means of the states of the last 12 months, the last 24 and all, weighted by 1 / (1 + log(1 + Δ)), side by side.

    Δ is the months from a visit to the prediction time (Pham 2016, equation 15); zeros for a range without a visit.
    """
    months = batch.visit_days / _MONTH
    weights = 1 / (1 + torch.log1p(months))
    parts = []
    for limit in _RANGES:
        mine = torch.where(months <= limit, weights, torch.zeros_like(weights))[:, None]
        total = batch.per_sample(mine)
        parts.append(batch.per_sample(states * mine) / torch.where(total > 0, total, torch.ones_like(total)))
    return torch.cat(parts, dim=1)


class _Cell(nn.Module):
    """A recurrence over packed visits: step t takes only the samples that have a t-th visit."""

    gates: int

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.inputs = nn.Linear(size, self.gates * hidden)
        self.states = nn.Linear(hidden, self.gates * hidden)

    @abstractmethod
    def step(self, x: Tensor, state: tuple[Tensor, ...], left: Tensor) -> tuple[Tensor, ...]: ...

    def start(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (rows,)

    def forward(self, visits: Float[Tensor, "v d"], left: Float[Tensor, " v"], batch: Batch) -> Float[Tensor, "v h"]:
        """The state after each visit.

        Args:
            visits: what each visit brings.
            left: share of the memory that is left when it comes.
            batch: which visits follow each other.
        """
        x = self.inputs(visits)
        order = torch.argsort(batch.visits, descending=True, stable=True)  # longest first: the active stand in front
        lengths = batch.visits[order]
        first = (torch.cumsum(batch.visits, 0) - batch.visits)[order]
        steps = int(lengths[0]) if len(lengths) else 0
        active = (lengths[:, None] > torch.arange(steps, device=x.device)).sum(dim=0).tolist()
        state = self.start(x.new_zeros((len(lengths), self.hidden)))
        found, places = [x.new_zeros((0, self.hidden))], [first[:0]]
        for number in range(steps):
            rows = first[: active[number]] + number
            state = self.step(x[rows], tuple(s[: active[number]] for s in state), left[rows][:, None])
            found.append(state[0])
            places.append(rows)
        states: Tensor = x.new_zeros((x.shape[0], self.hidden))
        return states.index_copy(0, torch.cat(places), torch.cat(found))


class DecayLSTM(_Cell):
    """i, f, g, o as in `torch.nn.LSTM`; the forget gate is f · left."""

    gates = 4

    def start(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Hidden state and memory."""
        return rows, rows

    def step(self, x: Tensor, state: tuple[Tensor, ...], left: Tensor) -> tuple[Tensor, ...]:
        """One visit of each active sample."""
        hidden, memory = state
        i, f, g, o = (x + self.states(hidden)).chunk(4, dim=1)
        memory = torch.sigmoid(f) * left * memory + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(memory), memory


class DecayGRU(_Cell):
    """r, z, n as in `torch.nn.GRU`, on a hidden state that has faded to h · left."""

    gates = 3

    def step(self, x: Tensor, state: tuple[Tensor, ...], left: Tensor) -> tuple[Tensor, ...]:
        """One visit of each active sample."""
        hidden = state[0] * left
        xr, xz, xn = x.chunk(3, dim=1)
        hr, hz, hn = self.states(hidden).chunk(3, dim=1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        return ((1 - z) * torch.tanh(xn + r * hn) + z * hidden,)


class Recurrent(nn.Module):
    """Codes summed by visit, a recurrence that fades with time, recency pooling, one linear layer."""

    def __init__(
        self, codes: CodeVectors, person: Person, cell: _Cell, outputs: int, fade: bool, dropout: float
    ) -> None:
        super().__init__()
        self.codes, self.person, self.cell, self.fade = codes, person, cell, fade
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(len(_RANGES) * cell.hidden + person.size, outputs)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        events = self.codes(batch.codes) if vectors is None else vectors
        visits = torch.tanh(batch.per_visit(self.dropout(events)))
        left = decay(batch.visit_gaps) if self.fade else torch.ones_like(batch.visit_gaps)
        pooled = self.dropout(recency_pool(self.cell(visits, left, batch), batch))
        logits: Tensor = self.output(torch.cat([pooled, self.person(batch)], dim=1))
        return logits


@dataclass(eq=False, kw_only=True)
class _RecurrentHead(VisitHead):
    hidden_size: int = 64
    fade: bool = True
    _cell: ClassVar[type[_Cell]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size < 1:
            raise SchemaError(f"{type(self).__name__}: hidden_size={self.hidden_size}; expected at least 1.")

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        return Recurrent(codes, person, self._cell(codes.size, self.hidden_size), outputs, self.fade, self.dropout)


@dataclass(eq=False, kw_only=True)
class VisitLSTM(_RecurrentHead):
    """An LSTM over visits with time gaps: DeepCare (Pham et al. 2016).

    The forget gate is multiplied by 1 / log(e + months since the visit before), and the states are pooled over the last
    12 and 24 months and over all, recent visits weighing more. Where we differ: a visit is the tanh of the sum of its
    codes' vectors, diagnoses and procedures alike, since MEDS does not tell them apart; no gate looks at the manner of
    admission; age and static codes join before the last layer, which is linear.

    Args:
        hidden_size: numbers in a state.
        fade: let memory fade with time; False is a plain LSTM.

    The other arguments are those of `VisitHead`.
    """

    _cell: ClassVar[type[_Cell]] = DecayLSTM


@dataclass(eq=False, kw_only=True)
class VisitGRU(_RecurrentHead):
    """A GRU over visits with time gaps: `VisitLSTM` with the gates of Cho et al. (2014).

    DeepCare has no GRU: here the whole hidden state fades by 1 / log(e + months), before the gates look at it.

    Args:
        hidden_size: numbers in a state.
        fade: let the state fade with time; False is a plain GRU.

    The other arguments are those of `VisitHead`.
    """

    _cell: ClassVar[type[_Cell]] = DecayGRU
