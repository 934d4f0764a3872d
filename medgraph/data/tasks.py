"""The tasks: does it happen, when, and how long? Each says its prediction times, outcome and horizon once.

All tasks, and all prediction times, can be imported from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32

from medgraph.data.events import DAY, DEATH, STATIC
from medgraph.data.given_labels import GivenLabels
from medgraph.data.labels import Kind
from medgraph.data.next_visit import NextVisit
from medgraph.data.prediction_times import EVERY_VISIT, AfterFirst, AfterVisit, AtDates, AtEvent, PredictionTimes
from medgraph.data.record import CodeSet, Record, check_codes
from medgraph.data.task import Censoring, Exclusions, Rows, Task, check_days
from medgraph.errors import SchemaError

__all__ = [
    "AfterFirst",
    "AfterVisit",
    "AtDates",
    "AtEvent",
    "Censoring",
    "CodeWithin",
    "Exclusions",
    "GivenLabels",
    "LengthOfStay",
    "Mortality",
    "NextVisit",
    "PredictionTimes",
    "Readmission",
    "Task",
    "TimeToEvent",
]

ADMISSIONS: CodeSet = ("HOSPITAL_ADMISSION*",)
DISCHARGES: CodeSet = ("HOSPITAL_DISCHARGE*",)


@dataclass(frozen=True)
class CodeWithin(Task):
    """Does any code of a set occur within so many days after the prediction time?

    Args:
        codes: the outcome; a trailing `*` stands for any ending.
        horizon_days: outcomes count from after the prediction time up to and including this many days later.
        at: when predictions are made.
    """

    kind: ClassVar[Kind] = "binary"
    codes: CodeSet
    horizon_days: float
    at: PredictionTimes

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", check_codes(self.codes, type(self).__name__))
        check_days(self.horizon_days, f"{type(self).__name__}, horizon_days")

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        return self.at.times(record)

    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        return self._within(record, self.codes, self.horizon_days, (subject, time), counts)


@dataclass(frozen=True)
class Mortality(CodeWithin):
    """Does the subject die within so many days after the prediction time?"""

    codes: CodeSet = field(default=(DEATH,), init=False)
    horizon_days: float = 365.0
    at: PredictionTimes = EVERY_VISIT


@dataclass(frozen=True)
class Readmission(Task):
    """Is the patient admitted again within so many days of a discharge? Deaths in hospital are left out.

    Args:
        days: the horizon. Published figures differ in it: 15, 30 and 90 are all in use.
        admissions: codes of admissions.
        discharges: codes of discharges; each is a prediction time.
    """

    kind: ClassVar[Kind] = "binary"
    days: float = 30.0
    admissions: CodeSet = ADMISSIONS
    discharges: CodeSet = DISCHARGES

    def __post_init__(self) -> None:
        for name in ("admissions", "discharges"):
            object.__setattr__(self, name, check_codes(getattr(self, name), name))
        check_days(self.days, "Readmission, days")

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        return AtEvent(self.discharges, "every").times(record)

    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        return self._within(record, self.admissions, self.days, (subject, time), counts)


@dataclass(frozen=True)
class LengthOfStay(Task):
    """How long is the stay: more than `days`, or, without `days`, how many days?

    Args:
        days: the threshold of a yes-or-no task; None asks for the number.
        after_hours: predictions are made this long after admission; stays that have ended by then are left out.
        admissions: codes of admissions.
        discharges: codes of discharges; the first after an admission ends its stay.
    """

    kind: ClassVar[Kind] = "real"
    days: float | None = None
    after_hours: float = 24.0
    admissions: CodeSet = ADMISSIONS
    discharges: CodeSet = DISCHARGES

    def __post_init__(self) -> None:
        for name in ("admissions", "discharges"):
            object.__setattr__(self, name, check_codes(getattr(self, name), name))
        if self.days is not None:
            check_days(self.days, "LengthOfStay, days")
            object.__setattr__(self, "kind", "binary")
        if not self.after_hours >= 0:
            raise SchemaError(f"LengthOfStay: expected after_hours of at least 0, got {self.after_hours}.")

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        subject, admitted = AtEvent(self.admissions, "every").times(record)
        return subject, admitted + round(self.after_hours * DAY / 24)

    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        admitted = time - round(self.after_hours * DAY / 24)
        out = record.next_of(record.mask(self.discharges, must=True), subject, admitted, strict=False)
        again = record.next_of(record.mask(self.admissions), subject, admitted, strict=False)
        lost = (out == STATIC) | ((again != STATIC) & (again < out))
        counts["no discharge recorded"] += int(lost.sum())
        over = ~lost & ((out < time) if self.strict else (out <= time))
        counts["discharged by the prediction time"] += int(over.sum())
        stay = np.where(lost, 0, out - admitted) / DAY
        value = stay if self.days is None else stay > self.days
        return value.astype(np.float32), ~lost & ~over


@dataclass(frozen=True)
class TimeToEvent(Task):
    """How many days from the prediction time until the first of some events, and which is it?

    Where none comes, the sample is censored: at the end of observation, at death, or at `horizon_days`.

    Args:
        events: name -> codes; several names compete, the earliest counts, of those at one time the first named.
        at: when predictions are made.
        horizon_days: times beyond are censored there.
    """

    kind: ClassVar[Kind] = "survival"
    events: Mapping[str, CodeSet]
    at: PredictionTimes
    horizon_days: float | None = None

    def __post_init__(self) -> None:
        if not self.events:
            raise SchemaError("TimeToEvent: expected events, such as {'death': ('MEDS_DEATH',)}.")
        events = {name: check_codes(codes, f"event {name!r}") for name, codes in self.events.items()}
        object.__setattr__(self, "events", MappingProxyType(events))
        if self.horizon_days is not None:
            check_days(self.horizon_days, "TimeToEvent, horizon_days")

    @property
    def names(self) -> tuple[str, ...]:
        """The events, numbered from 1."""
        return tuple(self.events)

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        return self.at.times(record)

    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        end = self.censoring.ends(record, subject)
        death = record.deaths[subject]
        end = np.where((death != STATIC) & (death >= time), np.minimum(death, end), end)
        if self.horizon_days is not None:
            end = np.minimum(end, time + round(self.horizon_days * DAY))
        which = np.zeros(subject.size, dtype=np.int64)
        for number, codes in enumerate(self.events.values(), 1):
            first = record.next_of(record.mask(codes, must=True), subject, time, self.strict)
            sooner = (first != STATIC) & ((first < end) | ((first == end) & (which == 0)))
            end, which = np.where(sooner, first, end), np.where(sooner, number, which)
        followed = end > time if not self.strict else end >= time
        counts["no follow-up after the prediction time"] += int((~followed).sum())
        return np.stack([(end - time) / DAY, which], axis=1).astype(np.float32), followed
