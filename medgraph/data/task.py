"""What a task says besides its outcome: observation window, exclusions, censoring; and how samples are drawn by it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Int64

from medgraph.data.events import DAY, STATIC, YEAR, moment
from medgraph.data.labels import Kind, Labels
from medgraph.data.record import CodeSet, Record, check_codes
from medgraph.errors import SchemaError

__all__ = ["Censoring", "Exclusions", "Rows", "Task", "check_days"]

Rows = Int64[np.ndarray, " m"]


@dataclass(frozen=True, kw_only=True)
class Exclusions:
    """Which samples are left out, by what is known at the prediction time. The dead always are.

    Args:
        min_events: how many events (births aside) the observation window must hold.
        min_age: years, at the prediction time; whoever's age is unknown is left out too.
        max_age: years.
        without: none of these codes may have occurred yet (at any time before).
        having: one of these codes must have occurred.
    """

    min_events: int = 1
    min_age: float | None = None
    max_age: float | None = None
    without: CodeSet = ()
    having: CodeSet = ()

    def __post_init__(self) -> None:
        for name in ("without", "having"):
            if given := getattr(self, name):
                object.__setattr__(self, name, check_codes(given, name))


@dataclass(frozen=True, kw_only=True)
class Censoring:
    """Until when is a subject observed, and what of a sample whose horizon lies beyond?

    A sample is left out by how long it is observed and never by how it came out: to keep those whose outcome came early
    and drop the rest would let the length of the record tell the label.

    Args:
        end: "data": the last event of the cohort; "subject": the subject's own last event (for a subject who died, the
            horizon counts as observed); or an ISO date.
        incomplete: "exclude" and count such samples, or take them as "negative" where no outcome was seen.
    """

    end: str = "data"
    incomplete: str = "exclude"

    def __post_init__(self) -> None:
        if self.incomplete not in {"exclude", "negative"}:
            raise SchemaError(f"Censoring: expected incomplete 'exclude' or 'negative', got {self.incomplete!r}.")
        if self.end not in {"data", "subject"}:
            try:
                moment(self.end)
            except ValueError:
                raise SchemaError(f"Censoring: expected end 'data', 'subject' or a date, got {self.end!r}.") from None

    def ends(self, record: Record, subject: Rows) -> Rows:
        """When does observation of each sample's subject end?"""
        if self.end == "subject":
            return np.asarray(record.ends[subject])
        end = record.last if self.end == "data" else moment(self.end)
        return np.full(subject.size, end)


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A question about patients.

    Args:
        observation_days: how far back features may look; the whole past by default.
        strict: only events before the prediction time are seen; by default those at that very time too, as in MEDS.
        exclusions: which samples are left out.
        censoring: what is done where the data end before the horizon.
    """

    kind: ClassVar[Kind]
    observation_days: float | None = None
    strict: bool = False
    exclusions: Exclusions = Exclusions()
    censoring: Censoring = Censoring()

    def labels(self, record: Record) -> Labels:
        """The samples of a block. Raises SchemaError where the cohort has none of the codes that the task names."""
        subject, time = self._times(record)
        counts: Counter[str] = Counter()
        keep = self._allowed(record, subject, time, counts)
        subject, time = subject[keep], time[keep]
        value, told = self._outcome(record, subject, time, counts)
        rows = np.flatnonzero(told)
        ids = record.events.subject_id[subject[rows]]
        return Labels(self.kind, self.names, ids, time[rows], value[rows].astype(np.float32), dict(+counts))

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of the labels mean."""
        return (type(self).__name__,)

    @abstractmethod
    def _times(self, record: Record) -> tuple[Rows, Rows]: ...

    @abstractmethod
    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        """The outcomes, and which samples have one."""

    def _allowed(self, record: Record, subject: Rows, time: Rows, counts: Counter[str]) -> Bool[np.ndarray, " m"]:
        rule = self.exclusions
        keep = np.ones(subject.size, dtype=bool)

        def refuse(which: Bool[np.ndarray, " m"], reason: str) -> None:
            counts[reason] += int((keep & which).sum())
            np.logical_and(keep, ~which, out=keep)

        death = record.deaths[subject]
        refuse((death != STATIC) & ((death < time) if self.strict else (death <= time)), "dead at the prediction time")
        start, stop = record.window(subject, time, self.observation_days, self.strict)
        seen = np.concatenate([[0], np.cumsum(~record.vital)])
        events = seen[stop] - seen[start]
        if rule.min_events > 0:
            refuse(events == 0, "no event in the observation window")
            refuse(events < rule.min_events, f"fewer than {rule.min_events} events in the observation window")
        if rule.min_age is not None or rule.max_age is not None:
            birth = record.births[subject]
            refuse(birth == STATIC, "age unknown")
            age = np.where(birth == STATIC, 0, time - np.where(birth == STATIC, time, birth)) / YEAR
            low, high = rule.min_age, rule.max_age
            refuse((age < (-np.inf if low is None else low)) | (age > (np.inf if high is None else high)), "age")
        past = record.timed[subject]
        for codes, wanted in ((rule.without, False), (rule.having, True)):
            if codes:
                count = np.concatenate([[0], np.cumsum(record.mask(codes))])
                had = (count[stop] - count[past] > 0) | (count[past] - count[record.events.offsets[subject]] > 0)
                refuse(had != wanted, "a code that may not have occurred" if not wanted else "no code that must occur")
        return keep

    def _within(
        self, record: Record, codes: CodeSet, days: float, samples: tuple[Rows, Rows], counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
        """Does one of the codes occur from after what is seen up to so many days after the prediction time?"""
        subject, time = samples
        until = time + round(days * DAY)
        first = record.next_of(record.mask(codes, must=True), subject, time, self.strict)
        hit = (first != STATIC) & (first <= until)
        return hit.astype(np.float32), self._observed(record, subject, until, counts)

    def _observed(self, record: Record, subject: Rows, until: Rows, counts: Counter[str]) -> Bool[np.ndarray, " m"]:
        """Which samples are observed up to `until`?"""
        observed = until <= self.censoring.ends(record, subject)
        if self.censoring.end == "subject":
            death = record.deaths[subject]
            observed |= (death != STATIC) & (death <= until)
        if self.censoring.incomplete == "negative":
            return np.ones(subject.size, dtype=bool)
        where = "the subject's record" if self.censoring.end == "subject" else "data"
        counts[f"horizon past the end of {where}"] += int((~observed).sum())
        return observed


def check_days(days: float, what: str) -> None:
    """Raises SchemaError where `days` is no number above 0."""
    if not (np.isfinite(days) and days > 0):
        raise SchemaError(f"{what}: expected a number of days above 0, got {days!r}.")
