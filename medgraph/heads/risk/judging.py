"""How good are risks? Areas, errors and calibration beside the baselines', by subgroup, and at a price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medgraph.data.cohort import Cohort
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.calibration import reliability
from medgraph.evaluation.resampled import auprc_of, auroc_of, estimate, macro_of, mean_of, recall_at_k, squared_errors
from medgraph.evaluation.resampling import Interval, Statistic
from medgraph.evaluation.survival import censored_squared_errors, concordance_of, incidence
from medgraph.heads.risk.baselines import Baseline, default_baselines
from medgraph.heads.risk.groups import age_bands, sexes
from medgraph.heads.risk.predictions import RiskPredictions
from medgraph.heads.risk.report import Decision, RiskReport, Subgroup

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["Costs", "decide", "judge", "statistics_of"]

_FEW = 10


@dataclass(frozen=True)
class Costs:
    """What an error costs.

    Args:
        missed: an outcome that no alarm foretold.
        false_alarm: an alarm without an outcome.

    Raises:
        SchemaError: a cost that is not above 0.
    """

    missed: float = 5.0
    false_alarm: float = 1.0

    def __post_init__(self) -> None:
        if not (self.missed > 0 and self.false_alarm > 0):
            raise SchemaError(f"Costs: expected numbers above 0, got {self.missed} and {self.false_alarm}.")

    @property
    def threshold(self) -> float:
        """Act above this probability: the expected cost of acting is then below that of not acting (Elkan 2001)."""
        return self.false_alarm / (self.false_alarm + self.missed)


def judge(
    head: RiskHead,
    cohort: Cohort,
    baselines: Sequence[Baseline] | None,
    train: Cohort | None,
    label: str | Task | None,
    costs: Costs | None,
    n_bootstrap: int,
) -> RiskReport:
    """See `RiskHead.evaluate`."""
    state = head._fitted()
    source = train if train is not None else state.cohort
    if source is not None and np.intersect1d(cohort.subjects, source.train.subjects).size:
        raise SchemaError(
            f"{np.intersect1d(cohort.subjects, source.train.subjects).size:,} of these {cohort.num_subjects:,} "
            "subjects were trained on. Evaluate on cohort.held_out."
        )
    if source is None and (baselines is None or baselines):
        raise NotFittedError("A loaded head has no training data for baselines: pass train=cohort, or baselines=().")
    task = state.task_for(cohort, label)
    found = head.predict_proba(cohort, task)
    samples = cohort.timelines(task, state.vocabulary, head.visit).all()
    risks = {type(head).__name__: found.probability}
    if source is not None and (baselines is None or baselines):
        parts = [source.train, source.tuning]
        fitting, tuning = (part.timelines(task, state.vocabulary, head.visit).all() for part in parts)
        for baseline in default_baselines(state.target, fitting) if baselines is None else baselines:
            risks[baseline.name] = baseline.fit(fitting, tuning, state.target, head.seed)(samples)
    excluded = cohort.labels(task).excluded
    counts = {f"samples excluded: {reason}": count for reason, count in excluded.items()}
    counts["samples without a known code"] = found.unseen
    counts["events whose code is unknown"] = int(samples.unknown.sum())
    return report_of(
        found, risks, samples, costs or Costs(), n_bootstrap, head.seed, cohort.part or "whole", state.question,
        counts, state.notes,
    )  # fmt: skip


def report_of(
    found: RiskPredictions,
    risks: Mapping[str, np.ndarray],
    samples: Samples,
    costs: Costs,
    n_bootstrap: int,
    seed: int,
    part: str,
    question: str,
    counts: Mapping[str, int],
    notes: tuple[str, ...],
) -> RiskReport:
    """The report on some methods' risks of the same samples; the first is the model."""
    model = next(iter(risks))
    subjects = found.subject_id
    methods = {name: statistics_of(found, risk) for name, risk in risks.items()}
    if not methods[model]:
        raise SchemaError(f"All {len(found):,} samples have the same outcome: there is nothing to tell apart.")

    def interval(statistic: Statistic, minus: Statistic | None = None) -> Interval:
        return estimate(statistic, len(found), n_bootstrap, seed, subjects, minus)

    estimates = {name: {m: interval(s) for m, s in row.items()} for name, row in methods.items()}
    gains = {
        name: {m: interval(methods[model][m], s) for m, s in row.items()}
        for name, row in methods.items()
        if name != model
    }
    truth, survival = found.label, found.kind == "survival"
    told = None if survival else reliability((truth == 1).ravel(), risks[model].astype(np.float64).ravel())
    decision = decide(truth == 1, risks[model], costs) if found.kind == "binary" else None
    groups = tuple(
        group
        for by, names in (("age", age_bands(samples)), ("sex", sexes(samples)))
        for name in sorted(set(names.tolist()))
        if (group := _subgroup(found, risks[model], by, name, names == name, costs, n_bootstrap, seed)) is not None
    )
    observed = float((truth[:, 1] > 0).mean() if survival else truth.mean())
    return RiskReport(
        model, found.kind, question, part, len(found), int(np.unique(subjects).size), observed, n_bootstrap,
        estimates, gains, groups, told, decision, dict(counts), notes,
    )  # fmt: skip


def statistics_of(found: RiskPredictions, risk: np.ndarray) -> dict[str, Statistic]:
    """The figures of a kind of task, each as a function of how often a sample was drawn; none if nothing varies."""
    if found.kind == "binary":
        truth, p = found.label == 1, risk.astype(np.float64)
        if truth.all() or not truth.any():
            return {}
        errors = mean_of(squared_errors(truth, p))
        return {"AUROC": auroc_of(truth, p), "AUPRC": auprc_of(truth, p), "Brier": errors, "log loss": _loss(truth, p)}
    if found.kind == "multilabel":
        truth, p = found.label == 1, risk.astype(np.float64)
        varied = [i for i in range(truth.shape[1]) if 0 < truth[:, i].sum() < len(truth)]
        if not varied:
            return {}
        recalls = {f"recall@{k}": mean_of(recall_at_k(truth, p, k)) for k in (10, 5, 20) if k < truth.shape[1]}
        return {
            **recalls,
            "macro AUROC": macro_of([auroc_of(truth[:, i], p[:, i]) for i in varied]),
            "macro AUPRC": macro_of([auprc_of(truth[:, i], p[:, i]) for i in varied]),
            "Brier": mean_of(squared_errors(truth, p).mean(axis=1)),
        }
    days, which = found.label[:, 0].astype(np.float64), found.label[:, 1]
    horizon = _horizon(found)
    place = int(np.searchsorted(np.array(found.days), horizon))
    figures: dict[str, Statistic] = {}
    for number, name in enumerate(found.names, 1):
        mine, at = which == number, risk[:, number - 1, place].astype(np.float64)
        if mine.any():
            # Bins hold about equally many events, so that this is the mean risk over the times of events: an order for
            # the whole follow-up (the mortality of Ishwaran 2008 is one), where one day's risk is an order by that day
            figures[f"C {name}"] = concordance_of(days, mine, risk[:, number - 1].mean(axis=1, dtype=np.float64))
            squares = censored_squared_errors(days, mine, which == 0, np.clip(at, 0, 1), horizon)
            figures[f"Brier {name}, {horizon:.0f} d"] = mean_of(squares)
    return figures


def decide(truth: np.ndarray, p: np.ndarray, costs: Costs) -> Decision:
    """What acting above the threshold brings on these samples."""
    alarm = p > costs.threshold
    hit, missed = int((alarm & truth).sum()), int((~alarm & truth).sum())
    false, right = int((alarm & ~truth).sum()), int((~alarm & ~truth).sum())

    def share(part: int, rest: int) -> float:
        return part / (part + rest) if part + rest else float("nan")

    return Decision(
        costs.missed, costs.false_alarm, costs.threshold, float(alarm.mean()), share(hit, missed), share(right, false),
        share(hit, false), (missed * costs.missed + false * costs.false_alarm) / truth.size,
        float(truth.mean()) * costs.missed, float((~truth).mean()) * costs.false_alarm,
    )  # fmt: skip


def _subgroup(
    found: RiskPredictions,
    risk: np.ndarray,
    by: str,
    name: str,
    mine: np.ndarray,
    costs: Costs,
    n_bootstrap: int,
    seed: int,
) -> Subgroup | None:
    who = found.subject_id[mine]
    subjects = int(np.unique(who).size)
    if subjects < _FEW or found.kind == "multilabel":
        return None
    alarms = caught = None
    if found.kind == "survival":
        horizon = _horizon(found)
        place = int(np.searchsorted(np.array(found.days), horizon))
        days, truth = found.label[mine, 0].astype(np.float64), found.label[mine, 1] == 1
        observed = incidence(days, truth, found.label[mine, 1] == 0, horizon)
        p = risk[mine, 0, place].astype(np.float64)
        statistic = concordance_of(days, truth, p) if truth.sum() >= _FEW else None
    else:
        truth, p = found.label[mine] == 1, risk[mine].astype(np.float64)
        observed = float(truth.mean())
        statistic = auroc_of(truth, p) if min(truth.sum(), (~truth).sum()) >= _FEW else None
        decision = decide(truth, p, costs)
        alarms, caught = decision.alarms, decision.sensitivity if truth.any() else None
    told = None if statistic is None else estimate(statistic, len(who), n_bootstrap, seed, who)
    return Subgroup(by, name, len(who), subjects, observed, float(p.mean()), told, alarms, caught)


def _horizon(found: RiskPredictions) -> float:
    """The horizon nearest to the median time of the events that are judged."""
    days = found.label[found.label[:, 1] > 0, 0]
    middle = float(np.median(days)) if days.size else found.days[-1]
    return min(found.days, key=lambda day: abs(day - middle))


def _loss(truth: np.ndarray, p: np.ndarray) -> Statistic:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return mean_of(-np.where(truth, np.log(inside), np.log1p(-inside)))
