"""What an evaluation of a risk head found, beside its baselines; no subject is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medgraph.evaluation.calibration import Reliability
from medgraph.evaluation.figures import write_json
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Decision", "RiskReport", "Subgroup"]

FORMAT_VERSION = 1


class Subgroup(NamedTuple):
    """The model among some of the subjects.

    Args:
        by: "age" or "sex".
        name: which band or sex.
        samples: how many.
        subjects: how many.
        observed: share with the outcome (survival: of the first event, within the horizon that is judged).
        predicted: mean probability of it.
        discrimination: AUROC (survival: concordance); None with fewer than 10 of either outcome.
        alarms: share above the threshold; None where there is none.
        found: share of the outcomes that are above it.
    """

    by: str
    name: str
    samples: int
    subjects: int
    observed: float
    predicted: float
    discrimination: Interval | None
    alarms: float | None
    found: float | None


class Decision(NamedTuple):
    """What acting above the threshold would bring: the threshold is false alarm / (false alarm + missed) (Elkan 2001).

    Args:
        missed: cost of a missed outcome.
        false_alarm: cost of a false alarm.
        threshold: act above this probability.
        alarms: share of samples above it.
        sensitivity: share of outcomes above it.
        specificity: share of the others not above it.
        precision: share of the alarms that are right.
        cost: mean cost of a sample.
        cost_none: of never acting.
        cost_all: of always acting.
    """

    missed: float
    false_alarm: float
    threshold: float
    alarms: float
    sensitivity: float
    specificity: float
    precision: float
    cost: float
    cost_none: float
    cost_all: float


@dataclass(frozen=True, repr=False)
class RiskReport:
    """How good the risks are that a head gave to subjects it was not trained on.

    Args:
        model: the head.
        kind: of task.
        question: the task in words.
        part: which part of the cohort.
        samples: how many.
        subjects: how many.
        observed: share of samples with the outcome (of labels: the mean; survival: with any event).
        n_bootstrap: how many samples, drawn by subject, the 95 % intervals rest on.
        estimates: method -> metric -> value and interval; the head first, then its baselines.
        gains: baseline -> metric -> the head's value less the baseline's, paired.
        subgroups: by age and sex; groups of fewer than 10 subjects are left out.
        reliability: predicted beside observed; None for survival.
        decision: at the costs asked for; binary tasks only.
        counts: what was left out or lacked something -> how many.
        notes: what a reader should know.
    """

    model: str
    kind: str
    question: str
    part: str
    samples: int
    subjects: int
    observed: float
    n_bootstrap: int
    estimates: Mapping[str, Mapping[str, Interval]]
    gains: Mapping[str, Mapping[str, Interval]]
    subgroups: tuple[Subgroup, ...]
    reliability: Reliability | None
    decision: Decision | None
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The head's figures."""
        return {name: interval.value for name, interval in self.estimates[self.model].items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; a figure that cannot be told is null."""
        plain = asdict(self)
        plain |= {
            "estimates": _intervals(self.estimates),
            "gains": _intervals(self.gains),
            "subgroups": [
                {**g._asdict(), "discrimination": _interval(g.discrimination)} for g in self.subgroups
            ],
            "reliability": None if self.reliability is None else self.reliability.to_dict(),
            "decision": None if self.decision is None else {k: _number(v) for k, v in self.decision._asdict().items()},
        }  # fmt: skip
        return {"format": "medgraph risk report", "format_version": FORMAT_VERSION, **plain}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(f"{self.model}: {self.kind} task on the {self.part} part"), caption_justify="left")
        names = list(self.estimates[self.model])
        table.add_column("method")
        for number, name in enumerate(names):
            table.add_column(name, justify="right", no_wrap=number > 0)
        table.add_column(f"gain in {names[0]}", justify="right")
        for method, row in self.estimates.items():
            gain = self.gains[method][names[0]] if method in self.gains else None
            told = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if gain else ""
            table.add_row(escape(method), str(row[names[0]]), *(f"{row[m].value:.3f}" for m in names[1:]), told)
        if self.subgroups:
            table.add_section()
            for group in self.subgroups:
                figure = "" if group.discrimination is None else str(group.discrimination)
                table.add_row(
                    escape(f"{group.by} {group.name} ({group.subjects:,})"), figure,
                    f"{group.observed:.1%} seen", f"{group.predicted:.1%} told", *[""] * (len(names) - 2),
                )  # fmt: skip
        table.caption = self._caption()
        return table

    def _caption(self) -> str:
        lines = [
            f"{self.samples:,} samples of {self.subjects:,} subjects, {self.observed:.1%} with the outcome. In "
            f"brackets: 95 % bootstrap intervals, {self.n_bootstrap} samples by subject. Gain: the model less this "
            "baseline, paired."
        ]
        if (d := self.decision) is not None:
            lines.append(
                f"At costs of {d.missed:g} (missed) and {d.false_alarm:g} (false alarm): act above {d.threshold:.3f}; "
                f"{d.alarms:.1%} alarms, sensitivity {d.sensitivity:.1%}, specificity {d.specificity:.1%}, precision "
                f"{d.precision:.1%}; mean cost {d.cost:.3f}, never acting {d.cost_none:.3f}, always {d.cost_all:.3f}."
            )
        lines += [f"{count:,} {reason}." for reason, count in self.counts.items() if count]
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        return as_text(self, width=124)

    __repr__ = __str__


def _number(value: float) -> float | None:
    return None if value != value else float(value)  # noqa: PLR0124 (nan has no place in JSON)


def _interval(given: Interval | None) -> dict[str, float | None] | None:
    return None if given is None else {name: _number(value) for name, value in given._asdict().items()}


def _intervals(figures: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, Any]]:
    return {method: {name: _interval(i) for name, i in row.items()} for method, row in figures.items()}
