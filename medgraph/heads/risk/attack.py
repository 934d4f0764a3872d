"""How much does a fitted head tell about who was trained on?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from medgraph.data.cohort import Cohort
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.evaluation.membership import MembershipReport, membership_inference
from medgraph.heads.risk.tensors import Batch

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["attack", "log_losses"]


def attack(head: RiskHead, cohort: Cohort, label: str | Task | None, n_bootstrap: int) -> MembershipReport:
    """See `RiskHead.membership`."""
    if cohort.part is not None:
        raise SchemaError(f"membership() takes the whole split cohort, and this is its {cohort.part} part.")
    member, other = (log_losses(head, part, label) for part in (cohort.train, cohort.held_out))
    return membership_inference(member[0], other[0], member[1], other[1], n_bootstrap=n_bootstrap, seed=head.seed)


def log_losses(head: RiskHead, cohort: Cohort, label: str | Task | None) -> tuple[np.ndarray, np.ndarray]:
    """Each sample's log loss before calibration, and whose it is."""
    state = head._fitted()
    state.network.eval()
    device = next(state.network.parameters()).device
    losses, subjects = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for samples in cohort.timelines(state.task_for(cohort, label), state.vocabulary, head.visit):
        for start in range(0, len(samples), head.batch_size):
            part = samples.take(np.arange(start, min(start + head.batch_size, len(samples))))
            batch = Batch.of(part, device, head.max_visits)
            with torch.no_grad():
                losses.append(state.target.log_loss(state.network(batch), batch.label).cpu().double().numpy())
            subjects.append(part.subject_id)
    return np.concatenate(losses), np.concatenate(subjects)
