"""What in a cohort gives an outcome away that no doctor could know? Counted before any model is fitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.data.cohort import Cohort
from medgraph.data.events import DAY, STATIC
from medgraph.data.record import CodeSet, Record
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import auroc
from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CohortLeakReport", "Gated", "Telling", "cohort_leaks"]

_PAIRS = 2000  # samples of a survival task that are compared pair by pair
_SHOWN = 5  # lines of one kind in print; to_dict() has all


class Telling(NamedTuple):
    """A single feature that predicts by itself: its AUROC or concordance, whichever way round, and how many have it."""

    feature: str
    score: float
    samples: int
    positive: float


class Gated(NamedTuple):
    """A code that is bound to the calendar: the share of subjects who have it first in its commonest year."""

    code: str
    year: int
    share: float
    subjects: int


class Bundled(NamedTuple):
    """A code that comes with the outcome: the share of its days that are the outcome's too."""

    code: str
    share: float
    days: int


@dataclass(frozen=True, repr=False)
class CohortLeakReport:
    """What could give the outcome away. Read it before believing a good figure.

    Args:
        task: what was asked.
        samples: how many there are.
        excluded: why samples were left out -> how many.
        telling: features that reach `limit` alone: a code's presence, a code's last value, or the shape of the record
            (its length, its events and visits, days since the last one, the calendar time of the prediction).
        gated_codes: codes whose first records fall into one year.
        gated_outcome: the outcome, where it is such a code.
        after_death: how many events lie after their subject's death. They are never seen: the dead have no sample.
        subjects_after_death: of how many subjects.
        codes_after_death: the commonest codes among them.
        same_day: codes that come on the outcome's day in most cases: a bundle that is recorded together.
        outcomes_same_day: samples whose outcome comes on the very day of the prediction.
        limit: from which score on a feature is named.
    """

    task: str
    samples: int
    excluded: dict[str, int]
    telling: tuple[Telling, ...]
    gated_codes: tuple[Gated, ...]
    gated_outcome: tuple[Gated, ...]
    after_death: int
    subjects_after_death: int
    codes_after_death: tuple[str, ...]
    same_day: tuple[Bundled, ...]
    outcomes_same_day: int
    limit: float

    @property
    def clean(self) -> bool:
        """Was nothing found?"""
        found = self.telling or self.gated_outcome or self.after_death or self.same_day or self.outcomes_same_day
        return not (found or self.gated_codes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        plain = asdict(self)
        for name in ("telling", "gated_codes", "gated_outcome", "same_day"):
            plain[name] = [item._asdict() for item in getattr(self, name)]
        return plain

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"What could give the outcome away, {self.samples:,} samples")
        table.add_column("Kind")
        table.add_column("What")
        table.add_column("Measured", justify="right")
        alone = [(i.feature, f"{i.score:.3f}; {i.samples:,} samples, {i.positive:.0%} positive") for i in self.telling]
        outcome, gated = (
            [(i.code, f"{i.share:.0%} of {i.subjects:,} first records in {i.year}") for i in items]
            for items in (self.gated_outcome, self.gated_codes)
        )
        bundled = [(i.code, f"{i.share:.0%} of {i.days:,} days") for i in self.same_day]
        for kind, rows in (
            ("alone predicts too well", alone),
            ("outcome bound to the calendar", outcome),
            ("code bound to the calendar", gated),
            ("recorded with the outcome", bundled),
        ):
            for what, measured in rows[:_SHOWN]:
                table.add_row(kind, escape(what), measured)
            if len(rows) > _SHOWN:
                table.add_row(kind, f"and {len(rows) - _SHOWN} more", "")
        if self.after_death:
            shown = escape(", ".join(self.codes_after_death))
            table.add_row(
                "after death", shown, f"{self.after_death:,} events of {self.subjects_after_death:,} subjects"
            )
        if self.outcomes_same_day:
            table.add_row("outcome on the day of prediction", "", f"{self.outcomes_same_day:,} samples")
        if self.clean:
            table.add_row("nothing found", "", "")
        notes = [f"{count:,} samples excluded: {reason}." for reason, count in self.excluded.items()]
        table.caption = escape("\n".join([f"Named from a score of {self.limit} on.", *notes]))
        table.caption_justify = "left"
        return table

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__


def cohort_leaks(
    cohort: Cohort,
    label: str | Task,
    limit: float | None = None,
    min_samples: int = 20,
    gate: float = 0.6,
    bundle: float = 0.8,
) -> CohortLeakReport:
    """What gives the outcome away, feature by feature?

    Args:
        cohort: train, or a cohort that is not split: the held-out part is not looked at to choose features.
        label: a task with a yes-or-no or a survival outcome.
        limit: the AUROC (for survival: Harrell's concordance) from which a single feature is named; by default 0.8, or
            0.65 for survival, where a single measurement seldom gets that far.
        min_samples: codes that fewer samples (or subjects, or days) have are not judged.
        gate: the share of first records in one year from which a code is called bound to the calendar.
        bundle: the share of a code's days with the outcome from which it is called recorded together.

    Raises:
        SchemaError: another kind of outcome, or nothing can be learnt from the samples.
    """
    task = cohort.task(label)
    if task.kind not in {"binary", "survival"}:
        raise SchemaError(f"The report is for yes-or-no and survival outcomes; this task is {task.kind}.")
    if limit is None:
        limit = 0.8 if task.kind == "binary" else 0.65
    timelines = cohort.timelines(task)
    labels = timelines.labels()
    samples = timelines.all()
    judge = _Judge.of(samples)
    outcome = _outcome_codes(task)
    scan = _Scan(cohort, outcome)
    firsts = scan.gated(min_samples, gate)
    mine = set(np.array(cohort.shards.codes, dtype=object)[cohort.index.match(outcome)]) if outcome else set()
    return CohortLeakReport(
        repr(task),
        len(samples),
        dict(labels.excluded),
        tuple(sorted(_telling(samples, judge, limit, min_samples), key=lambda item: (-item.score, item.feature))),
        tuple(gated for gated in firsts if gated.code not in mine),
        tuple(gated for gated in firsts if gated.code in mine),
        sum(scan.dead.values()),
        scan.dead_subjects,
        tuple(code for code, _ in scan.dead.most_common(5)),
        scan.bundled(min_samples, bundle, mine),
        _same_day(cohort, task, outcome),
        limit,
    )


def _outcome_codes(task: Task) -> CodeSet:
    for name in ("codes", "admissions"):
        if given := getattr(task, name, ()):
            return tuple(given)
    events = getattr(task, "events", {})
    return tuple(code for codes in events.values() for code in codes)


@dataclass(frozen=True)
class _Judge:
    """How well does one number tell the outcome?"""

    positive: Bool[np.ndarray, " n"]
    chosen: Int64[np.ndarray, " m"]
    pairs: Int64[np.ndarray, "2 p"] | None

    @classmethod
    def of(cls, samples: Samples) -> _Judge:
        label = samples.label
        if label.ndim == 1:
            return cls(label == 1, np.arange(len(samples)), None)
        chosen = np.random.default_rng(0).permutation(len(samples))[:_PAIRS]
        days, event = label[chosen, 0], label[chosen, 1] > 0
        first, second = np.nonzero(event[:, None] & (days[:, None] < days[None, :]))  # one fails, one is still at risk
        return cls(label[:, 1] > 0, chosen, np.stack([first, second]))

    def score(self, values: Float[np.ndarray, " n"]) -> float:
        """AUROC or concordance, whichever way round the number points: 0.5 to 1."""
        if self.pairs is None:
            found = auroc(self.positive, values.astype(np.float64))
        else:
            ours = values[self.chosen]
            difference = ours[self.pairs[0]] - ours[self.pairs[1]]
            found = float(((difference > 0) + 0.5 * (difference == 0)).mean()) if difference.size else 0.5
        return max(found, 1 - found)


def _telling(samples: Samples, judge: _Judge, limit: float, min_samples: int) -> list[Telling]:
    found: list[Telling] = []

    def judged(feature: str, values: Float[np.ndarray, " n"], have: Bool[np.ndarray, " n"]) -> None:
        score = judge.score(values)
        if score >= limit:
            found.append(Telling(feature, score, int(have.sum()), float(judge.positive[have].mean())))

    everyone = np.ones(len(samples), dtype=bool)
    offsets = samples.event_offsets
    events = np.diff(offsets)
    some = events > 0
    first, last = np.zeros(len(samples)), np.zeros(len(samples))
    first[some], last[some] = samples.code_days[offsets[:-1][some]], samples.code_days[offsets[1:][some] - 1]
    for name, values in (
        ("length of the record", first),
        ("days since the last event", last),
        ("number of events", events),
        ("number of visits", np.diff(samples.visit_offsets)),
        ("calendar time of the prediction", samples.prediction_time.astype(np.int64)),
    ):
        judged(f"({name})", np.asarray(values, dtype=np.float64), everyone)
    counts = samples.counts().tocsc()
    having = np.diff(counts.indptr)
    rare = np.minimum(having, len(samples) - having) < min_samples
    latest = samples.last_values() if not np.isnan(samples.vocabulary.mean).all() else None
    for row, code in enumerate(samples.vocabulary.codes):
        have = np.zeros(len(samples), dtype=bool)
        have[counts.indices[counts.indptr[row] : counts.indptr[row + 1]]] = True
        if not rare[row]:
            judged(code, have.astype(np.float64), have)
        if latest is not None and (given := ~np.isnan(latest[:, row])).sum() >= min_samples:
            column = np.where(given, latest[:, row], np.median(latest[given, row]))
            if column.min() < column.max():
                judged(f"{code} (its last value)", column, given)
    return found


class _Scan:
    """One pass over raw events: first records by year, events after death, days that codes share with the outcome."""

    def __init__(self, cohort: Cohort, outcome: CodeSet) -> None:
        self.codes = cohort.shards.codes
        self.years: Counter[tuple[int, int]] = Counter()
        self.days = np.zeros(len(self.codes), dtype=np.int64)
        self.shared = np.zeros(len(self.codes), dtype=np.int64)
        self.dead: Counter[str] = Counter()
        self.dead_subjects = 0
        for record in cohort.records():
            self._look(record, outcome)

    def _look(self, record: Record, outcome: CodeSet) -> None:
        events = record.events
        rows = np.flatnonzero((events.time != STATIC) & ~record.vital)
        subject, time, code = events.subject[rows], events.time[rows], events.code[rows].astype(np.int64)
        order = np.lexsort((time, code, subject))
        first = np.ones(rows.size, dtype=bool)
        first[1:] = (np.diff(subject[order]) != 0) | (np.diff(code[order]) != 0)
        years = time[order][first].astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        pairs, sizes = np.unique(np.stack([code[order][first], years]), axis=1, return_counts=True)
        self.years.update({(int(c), int(y)): int(n) for (c, y), n in zip(pairs.T, sizes, strict=True)})
        death = record.deaths[subject]
        late = (death != STATIC) & (time > death)
        if late.any():
            self.dead_subjects += int(np.unique(subject[late]).size)
            self.dead.update({self.codes[int(c)]: int((code[late] == c).sum()) for c in np.unique(code[late])})
        if not outcome:
            return
        days = np.unique(np.stack([subject, time // DAY, code]), axis=1)
        key = days[0] * (1 << 40) + days[1]
        hit = record.mask(outcome) & (events.time != STATIC)
        of_outcome = np.unique(events.subject[hit] * (1 << 40) + events.time[hit] // DAY)
        together = np.isin(key, of_outcome)
        self.days += np.bincount(days[2], minlength=self.days.size)
        self.shared += np.bincount(days[2][together], minlength=self.days.size)

    def gated(self, min_subjects: int, gate: float) -> tuple[Gated, ...]:
        """Codes whose first records fall into one year, though the data go on for more than two."""
        every: Counter[int] = Counter()
        by_code: dict[int, Counter[int]] = {}
        for (code, year), count in self.years.items():
            every[year] += count
            by_code.setdefault(code, Counter())[year] = count
        total = sum(every.values())
        found = []
        for code, years in by_code.items():
            (year, most), size = years.most_common(1)[0], sum(years.values())
            if size >= min_subjects and most / size >= gate and every[year] / total <= gate / 2:
                found.append(Gated(self.codes[code], year, most / size, size))
        return tuple(sorted(found, key=lambda g: (-g.share * g.subjects, g.code)))

    def bundled(self, min_days: int, bundle: float, mine: set[str]) -> tuple[Bundled, ...]:
        """Codes that hardly come but on the outcome's days."""
        share = self.shared / np.maximum(self.days, 1)
        rows = np.flatnonzero((self.days >= min_days) & (share >= bundle))
        found = [Bundled(self.codes[r], float(share[r]), int(self.days[r])) for r in rows if self.codes[r] not in mine]
        return tuple(sorted(found, key=lambda b: (-b.share, b.code)))


def _same_day(cohort: Cohort, task: Task, outcome: CodeSet) -> int:
    """How many samples have their outcome later on the day of the prediction?"""
    if not outcome:
        return 0
    count = 0
    for record in cohort.records():
        labels = task.labels(record)
        order = np.argsort(record.events.subject_id, kind="stable")
        subject = order[np.searchsorted(record.events.subject_id[order], labels.subject_id)]
        time = labels.prediction_time
        after = record.next_of(record.mask(outcome), subject, time, task.strict)
        count += int(((after != STATIC) & (after // DAY == time // DAY)).sum())
    return count
