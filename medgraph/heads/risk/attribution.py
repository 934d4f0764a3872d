"""What moved the risk: the share of each event in an output, by integrated gradients where a head has nothing exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from medgraph.data.cohort import Cohort
from medgraph.data.task import Task
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.tensors import Batch

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.heads.risk.base import RiskHead

__all__ = ["Attribution", "attribute", "integrated_gradients"]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """One row an event of one sample, oldest first.

    Args:
        output: of what.
        codes: of each event.
        days: from each event to the prediction time.
        visit: number of each event's visit, 0 the oldest that was looked at.
        contribution: what it adds to the logit.
        logit: of the sample, before calibration.
        rest: the logit without any event: age, sex, intercept. `rest` and the contributions add up to the logit.
        probability: calibrated, for tasks that have one.
    """

    output: str
    codes: tuple[str, ...]
    days: Float[np.ndarray, " t"]
    visit: Shaped[np.ndarray, " t"]
    contribution: Float[np.ndarray, " t"]
    logit: float
    rest: float
    probability: float | None = None

    def __repr__(self) -> str:
        return f"Attribution({self.output}, {len(self.codes)} events, logit {self.logit:.3f})"

    def to_pandas(self) -> pd.DataFrame:
        """One row an event."""
        import pandas as pd

        return pd.DataFrame(
            {"visit": self.visit, "days": self.days, "code": self.codes, "contribution": self.contribution}
        )


def integrated_gradients(network: nn.Module, batch: Batch, output: int, steps: int = 64) -> Tensor:
    """∫ ∂f(αx)/∂x dα · x, summed over each vector: Sundararajan, Taly & Yan (2017); the baseline is vectors of zeros.

    Midpoints of `steps` equal parts of [0, 1].
    """
    codes = next(module for module in network.modules() if isinstance(module, CodeVectors))
    vectors = codes(batch.codes).detach()
    total: Tensor = torch.zeros_like(vectors)
    for step in range(steps):
        scaled = (vectors * ((step + 0.5) / steps)).requires_grad_()
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            value = network(batch, scaled)[:, output].sum()
            (gradient,) = torch.autograd.grad(value, scaled)
        total += gradient
    shares: Tensor = (total * vectors).sum(dim=1) / steps
    return shares


def attribute(
    head: RiskHead, cohort: Cohort, subject_id: int, label: str | Task | None, output: str | None
) -> Attribution:
    """See `RiskHead.explain`."""
    state = head._fitted()
    task = state.task_for(cohort, label)
    mine = cohort.only([subject_id])
    if not mine.num_subjects:
        raise UnknownIdentifierError(f"There is no such subject among the {cohort.num_subjects:,} of this cohort.")
    samples = mine.timelines(task, state.vocabulary, head.visit).all()
    sample = samples.take(np.array([int(np.argmax(samples.prediction_time))]))
    names = state.target.names
    if output is not None and output not in names:
        raise UnknownIdentifierError(f"{output!r} is no output: {', '.join(names[:5])}.{nearest(output, names)}")
    if state.target.kind == "survival":
        raise SchemaError("Contributions are to a logit; a survival head has one for each bin of time.")
    column = names.index(output) if output is not None else 0
    device = next(state.network.parameters()).device
    batch = Batch.of(sample, device, head.max_visits)
    contributions = head._contributions(state.network.eval(), batch, column).detach()
    with torch.no_grad():
        logit = float(state.network(batch)[0, column])
        codes = next(m for m in state.network.modules() if isinstance(m, CodeVectors))
        rest = float(state.network(batch, torch.zeros_like(codes(batch.codes)))[0, column])
    _, risk = head._outputs(state.network, state.target, sample, state.calibrator)
    return Attribution(
        names[column],
        tuple(state.vocabulary.codes[i] for i in batch.codes.tolist()),
        batch.code_days.cpu().double().numpy(),
        batch.code_visit.cpu().numpy(),
        contributions.cpu().double().numpy(),
        logit,
        rest,
        float(risk[0, column]),
    )
