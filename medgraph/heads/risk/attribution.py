"""What moved the risk: the share of each event in an output, by integrated gradients where a head has nothing exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.cohort import Cohort
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.wide import WideAndDeep

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.heads.risk.base import RiskHead

__all__ = ["Attribution", "Score", "attribute", "code_vectors_of", "integrated_gradients", "score_of", "shares_of"]

Score = Callable[[Tensor], Tensor]  # logits (n, k) -> (n,): the number that is explained


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """One row an event of one sample, oldest first.

    Args:
        output: of what.
        codes: of each event.
        days: from each event to the prediction time.
        visit: number of each event's visit, 0 the oldest that was looked at.
        contribution: what it adds to the logit.
        logit: of the sample, before calibration; of survival, the log-odds of the event within `within`.
        rest: the logit without any event: age, sex, intercept. `rest` and the contributions add up to the logit.
        probability: calibrated, for tasks that have one.
        within: days, of survival.
    """

    output: str
    codes: tuple[str, ...]
    days: Float[np.ndarray, " t"]
    visit: Shaped[np.ndarray, " t"]
    contribution: Float[np.ndarray, " t"]
    logit: float
    rest: float
    probability: float | None = None
    within: float | None = None

    def __repr__(self) -> str:
        return f"Attribution({self.output}, {len(self.codes)} events, logit {self.logit:.3f})"

    def to_pandas(self) -> pd.DataFrame:
        """One row an event."""
        import pandas as pd

        return pd.DataFrame(
            {"visit": self.visit, "days": self.days, "code": self.codes, "contribution": self.contribution}
        )


def code_vectors_of(network: nn.Module) -> CodeVectors:
    """The layer in which a head's codes are vectors."""
    return next(module for module in network.modules() if isinstance(module, CodeVectors))


def integrated_gradients(
    network: nn.Module, batch: Batch, score: int | Score, tolerance: float = 0.002, max_steps: int = 1024
) -> Tensor:
    """∫ ∂f(αx)/∂x dα · x, summed over each vector: Sundararajan, Taly & Yan (2017); the baseline is vectors of zeros.

    Midpoints of equal parts of [0, 1]: 32 of them, then twice as many as long as any sample's shares miss its score's
    difference from the baseline by more than `tolerance`.

    Args:
        network: of a head.
        batch: the samples.
        score: what is explained; a number is that output's logit.
        tolerance: largest error of a sample's sum.
        max_steps: where to stop all the same.
    """
    read: Score = (lambda logits: logits[:, score]) if isinstance(score, int) else score
    vectors = code_vectors_of(network)(batch.codes).detach()
    with torch.no_grad():
        wanted = read(network(batch)) - read(network(batch, torch.zeros_like(vectors)))
    steps = 32
    while True:
        total: Tensor = torch.zeros_like(vectors)
        for step in range(steps):
            scaled = (vectors * ((step + 0.5) / steps)).requires_grad_()
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                (gradient,) = torch.autograd.grad(read(network(batch, scaled)).sum(), scaled)
            total += gradient
        shares: Tensor = (total * vectors).sum(dim=1) / steps
        sums = torch.zeros_like(wanted).index_add(0, batch.visit_sample[batch.code_visit], shares)
        steps *= 2
        if steps > max_steps or bool(((sums - wanted).abs() <= tolerance).all()):
            return shares


def shares_of(head: RiskHead, network: nn.Module, batch: Batch, output: int) -> Tensor:
    """How much each event adds to an output (t,), by the head's own account; what a wide part adds is exact."""
    if not isinstance(network, WideAndDeep):
        return head._contributions(network, batch, output)
    return head._contributions(network.deep, batch, output) + network.wide.contributions(batch)[:, output]


def score_of(head: RiskHead, output: str | None, within: float | None) -> tuple[str, int, Score, float | None]:
    """Which number of a head is explained: its name and column, how logits give it, and the days of survival.

    Args:
        head: a fitted one.
        output: which label or event; the first by default.
        within: days, of survival; by default all that the head looks ahead.

    Raises:
        UnknownIdentifierError: no such output.
        SchemaError: days where there are none.
    """
    state = head._fitted()
    target = state.target
    if output is not None and output not in target.names:
        near = nearest(output, target.names)
        raise UnknownIdentifierError(f"{output!r} is no output: {', '.join(target.names[:5])}.{near}")
    column = 0 if output is None else target.names.index(output)
    name = state.label if target.kind == "binary" and state.label is not None else target.names[column]
    if target.kind != "survival":
        if within is not None:
            raise SchemaError(f"within={within} is for survival tasks; this is a {target.kind} one.")
        return name, column, lambda logits: logits[:, column], None
    edges = [0.0, *getattr(target, "edges", ())]
    days = edges[-1] if within is None else float(within)
    if not 0 < days <= edges[-1]:
        raise SchemaError(f"within={within}; the head looks from 0 to {edges[-1]:g} days ahead.")
    after = int(np.searchsorted(edges, days, side="left"))
    share = (days - edges[after - 1]) / (edges[after] - edges[after - 1])

    def log_odds(logits: Tensor) -> Tensor:
        curve = functional.pad(head._probabilities(target, logits)[:, column], (1, 0))
        risk = curve[:, after - 1] * (1 - share) + curve[:, after] * share
        return torch.logit(risk, eps=1e-7)

    return name, column, log_odds, days


def attribute(
    head: RiskHead,
    cohort: Cohort,
    subject_id: int,
    label: str | Task | None,
    output: str | None,
    within: float | None,
) -> Attribution:
    """See `RiskHead.explain`."""
    state = head._fitted()
    task = state.task_for(cohort, label)
    name, column, score, days = score_of(head, output, within)
    blocks = [block for block in cohort.only([subject_id]).timelines(task, state.vocabulary, head.visit) if len(block)]
    if not blocks:
        raise UnknownIdentifierError(
            f"The task draws no sample of such a subject from the {cohort.num_subjects:,} of this cohort."
        )
    samples = Samples.concat(blocks)
    sample = samples.take(np.array([int(np.argmax(samples.prediction_time))]))
    network = state.network.eval()
    batch = Batch.of(sample, next(network.parameters()).device, head.max_visits)
    contributions = (
        shares_of(head, network, batch, column) if days is None else integrated_gradients(network, batch, score)
    )
    with torch.no_grad():
        logit = float(score(network(batch))[0])
        rest = float(score(network(batch, torch.zeros_like(code_vectors_of(network)(batch.codes))))[0])
    if days is None:
        probability = float(head._outputs(network, state.target, sample, state.calibrator)[1][0, column])
    else:
        probability = 1 / (1 + math.exp(-logit))
    return Attribution(
        name,
        tuple(state.vocabulary.codes[i] for i in batch.codes.tolist()),
        batch.code_days.cpu().double().numpy(),
        batch.code_visit.cpu().numpy(),
        contributions.detach().cpu().double().numpy(),
        logit,
        rest,
        probability,
        days,
    )
