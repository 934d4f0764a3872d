"""When a prediction is made: at an event, at dates, some days after the first event, after each visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from medgraph.data.events import DAY, STATIC, moment
from medgraph.data.record import CodeSet, Record, check_codes, visit_starts
from medgraph.errors import SchemaError

__all__ = ["EVERY_VISIT", "AfterFirst", "AfterVisit", "AtDates", "AtEvent", "PredictionTimes"]

_Times = tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]


@runtime_checkable
class PredictionTimes(Protocol):
    """A rule that says when predictions are made."""

    def times(self, record: Record) -> _Times:
        """Subjects of the block and times, sorted by both."""
        ...


@dataclass(frozen=True)
class AtEvent:
    """At an event with one of these codes: the first such of each subject, or every one.

    Args:
        codes: the code set.
        which: "first" or "every". There is no "last": that it is the last is known only later.
        delay_days: how long after the event; may not be negative.
    """

    codes: CodeSet
    which: Literal["first", "every"] = "first"
    delay_days: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", check_codes(self.codes, "AtEvent"))
        if self.which not in {"first", "every"} or not self.delay_days >= 0:
            raise SchemaError(
                f"AtEvent: expected which='first' or 'every', delay_days >= 0; got {self.which!r}, {self.delay_days}."
            )

    def times(self, record: Record) -> _Times:
        """Those events' times, each once."""
        events = record.events
        wanted = record.mask(self.codes, must=True)
        if self.which == "first":
            first = events.first(wanted)
            subject = np.flatnonzero(first != STATIC)
            return subject, first[subject] + round(self.delay_days * DAY)
        rows = np.flatnonzero(wanted & (events.time != STATIC))
        subject, time = events.subject[rows], events.time[rows]
        once = np.ones(rows.size, dtype=bool)
        once[1:] = (np.diff(subject) != 0) | (np.diff(time) != 0)
        return subject[once], time[once] + round(self.delay_days * DAY)


@dataclass(frozen=True)
class AtDates:
    """At fixed dates (landmarks), for every subject.

    Args:
        dates: ISO dates or times in UTC.
    """

    dates: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", tuple(self.dates))
        try:
            for date in self.dates:
                moment(date)
        except (ValueError, TypeError):
            raise SchemaError(f"AtDates: expected ISO dates such as 2014-01-01, got {self.dates!r}.") from None
        if not self.dates:
            raise SchemaError("AtDates: expected one or more dates.")

    @classmethod
    def yearly(cls, first: int, last: int) -> AtDates:
        """The first day of every year from `first` to `last`."""
        return cls(tuple(f"{year:04d}-01-01" for year in range(first, last + 1)))

    def times(self, record: Record) -> _Times:
        """Every subject at every date."""
        dates = np.unique([moment(date) for date in self.dates])
        subjects = np.arange(record.events.num_subjects)
        return np.repeat(subjects, dates.size), np.tile(dates, subjects.size)


@dataclass(frozen=True)
class AfterFirst:
    """Some days after each subject's first event that is no birth.

    Args:
        days: one prediction at each of these.
    """

    days: tuple[float, ...] = (365.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "days", tuple(float(day) for day in self.days))
        if not self.days or not all(day >= 0 for day in self.days):
            raise SchemaError(f"AfterFirst: expected days of at least 0, got {self.days!r}.")

    def times(self, record: Record) -> _Times:
        """Every subject with a history, at each of the days."""
        first = record.events.first(~record.vital)
        subject = np.flatnonzero(first != STATIC)
        days = np.unique([round(day * DAY) for day in self.days])
        return np.repeat(subject, days.size), (first[subject][:, None] + days).ravel()


@dataclass(frozen=True)
class AfterVisit:
    """At the last event of each visit.

    Args:
        min_visits: how many visits a subject must have had by then.
        by: what a visit is: the source's own ("visit"), a "day", or a "time".
    """

    min_visits: int = 1
    by: Literal["visit", "day", "time"] = "visit"

    def __post_init__(self) -> None:
        if self.min_visits < 1 or self.by not in {"visit", "day", "time"}:
            raise SchemaError(f"AfterVisit: got min_visits={self.min_visits}, by={self.by!r}.")

    def times(self, record: Record) -> _Times:
        """Every subject at the end of every visit but those too early."""
        events = record.events
        rows = np.flatnonzero(~record.vital & (events.time != STATIC))
        subject, time = events.subject[rows], events.time[rows]
        opens = visit_starts(subject, time, events.visit[rows], self.by)
        closes = np.append(opens[1:], True)[: rows.size]
        of, at = subject[closes], time[closes]
        first_of = np.searchsorted(of, of, side="left")
        rank = np.arange(of.size) - first_of + 1
        keep = rank >= self.min_visits
        keep[:-1] &= ~((np.diff(of) == 0) & (np.diff(at) == 0))[: max(keep.size - 1, 0)]
        return of[keep], at[keep]


EVERY_VISIT = AfterVisit()
