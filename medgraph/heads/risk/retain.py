"""RETAIN (Choi et al. 2016, arXiv:1608.05745): two attentions in reverse time, and what each code adds is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medgraph.errors import SchemaError
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.lstm import DecayGRU
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.visit_head import VisitHead

__all__ = ["RETAIN", "ReverseTimeAttention"]


class ReverseTimeAttention(nn.Module):
    """logit = W Σⱼ αⱼ βⱼ ⊙ vⱼ + b; α and β are read from the visits backwards, vⱼ is the sum of visit j's codes."""

    def __init__(
        self, codes: CodeVectors, person: Person, outputs: int, alpha_size: int, beta_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.codes, self.person = codes, person
        seen = codes.size + 1  # a visit and how long ago it was
        self.alpha_states, self.beta_states = DecayGRU(seen, alpha_size), DecayGRU(seen, beta_size)
        self.alpha, self.beta = nn.Linear(alpha_size, 1), nn.Linear(beta_size, codes.size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(codes.size, outputs)
        self.rest = nn.Linear(person.size, outputs, bias=False)

    def attention(self, batch: Batch, visits: Float[Tensor, "v d"]) -> tuple[Float[Tensor, " v"], Float[Tensor, "v d"]]:
        """α, which adds up to 1 over a sample's visits, and β."""
        seen = torch.cat([visits, torch.log1p(batch.visit_days)[:, None]], dim=1)
        turned = backwards(batch)
        whole = torch.ones_like(batch.visit_days)
        alpha_states = self.alpha_states(seen[turned], whole, batch)[turned]
        beta_states = self.beta_states(seen[turned], whole, batch)[turned]
        energies = batch.pad(self.alpha(alpha_states)[:, 0])
        energies = energies.masked_fill(~batch.mask, torch.finfo(energies.dtype).min)
        return batch.unpad(torch.softmax(energies, dim=1)), torch.tanh(self.beta(beta_states))

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        visits = batch.per_visit(self.dropout(self.codes(batch.codes) if vectors is None else vectors))
        alpha, beta = self.attention(batch, visits)
        context = self.dropout(batch.per_sample(alpha[:, None] * beta * visits))
        logits: Tensor = self.output(context) + self.rest(self.person(batch))
        return logits

    def contributions(self, batch: Batch) -> Float[Tensor, "t k"]:
        """α W (β ⊙ v) of each event (Choi 2016, equation 5): with `rest` and the bias they add up to the logits."""
        vectors = self.codes(batch.codes)
        alpha, beta = self.attention(batch, batch.per_visit(vectors))
        moved = (alpha[:, None] * beta)[batch.code_visit] * vectors
        added: Tensor = moved @ self.output.weight.T
        return added


def backwards(batch: Batch) -> Int[Tensor, " v"]:
    """Each sample's visits from the latest to the oldest; applied twice it is the order there was."""
    length = batch.visits[batch.visit_sample]
    number = torch.arange(len(batch.visit_sample), device=length.device)
    return number + length - 1 - 2 * batch.visit_place


@dataclass(eq=False, kw_only=True)
class RETAIN(VisitHead):
    """Visit attention α and code attention β by two GRUs in reverse time: RETAIN (Choi et al. 2016).

    What a code adds to a logit is α W (β ⊙ v), no approximation; `explain` gives it. Where we differ: both GRUs see
    how long before the prediction a visit was, as log(1 + days); age and static codes add to the logit beside the
    attention.

    Args:
        alpha_size: numbers in a state of the visit attention.
        beta_size: numbers in a state of the code attention.

    The other arguments are those of `VisitHead`.
    """

    alpha_size: int = 64
    beta_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha_size < 1 or self.beta_size < 1:
            raise SchemaError(
                f"RETAIN: alpha_size={self.alpha_size}, beta_size={self.beta_size}; expected at least 1 of each."
            )

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        return ReverseTimeAttention(codes, person, outputs, self.alpha_size, self.beta_size, self.dropout)

    def _contributions(self, network: nn.Module, batch: Batch, output: int) -> Tensor:
        return cast(ReverseTimeAttention, network).contributions(batch)[:, output]
