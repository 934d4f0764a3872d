"""The task of the next visit: which groups of codes does it bring? (Choi et al. 2016, Doctor AI.)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy.sparse import csr_array

from medgraph.data.events import DAY, STATIC, search, spread
from medgraph.data.labels import Kind
from medgraph.data.prediction_times import EVERY_VISIT, PredictionTimes
from medgraph.data.record import CodeSet, Record, check_codes, visit_starts
from medgraph.data.task import Rows, Task
from medgraph.errors import SchemaError

__all__ = ["NextVisit"]


@dataclass(frozen=True)
class NextVisit(Task):
    """Which groups of codes does the next visit bring?

    Args:
        targets: name of a group -> its codes, for instance a CCS category -> its ICD codes.
        new_only: a group counts only if the subject never had it before.
        within_days: the next visit must come within so many days; others are left out.
        at: when predictions are made.
        by: what a visit is, see `AfterVisit`.
    """

    kind: ClassVar[Kind] = "multilabel"
    targets: Mapping[str, CodeSet]
    new_only: bool = False
    within_days: float | None = None
    at: PredictionTimes = EVERY_VISIT
    by: Literal["visit", "day", "time"] = "visit"

    def __post_init__(self) -> None:
        if not self.targets:
            raise SchemaError("NextVisit: expected groups of codes, such as {'diabetes': ('ICD9CM:250*',)}.")
        targets = {name: check_codes(codes, f"group {name!r}") for name, codes in self.targets.items()}
        object.__setattr__(self, "targets", MappingProxyType(targets))

    @property
    def names(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(self.targets)

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        return self.at.times(record)

    def _outcome(
        self, record: Record, subject: Rows, time: Rows, counts: Counter[str]
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        record.index.match(tuple(code for codes in self.targets.values() for code in codes), must=True)
        events = record.events
        rows = np.flatnonzero(~record.vital & (events.time != STATIC))
        bounds = np.searchsorted(rows, events.offsets)
        opens = visit_starts(events.subject[rows], events.time[rows], events.visit[rows], self.by)
        begin = np.append(np.flatnonzero(opens), rows.size)  # of every visit, and the end of the last
        at = search(events.time[rows], bounds[subject], bounds[subject + 1], time, after=not self.strict)
        visit = np.searchsorted(begin, at)  # the first that begins at or after
        first, stop = begin[np.minimum(visit, begin.size - 1)], bounds[subject + 1]
        none = first >= stop
        counts["no later visit"] += int(none.sum())
        if self.within_days is not None and rows.size:
            when = events.time[rows[np.minimum(first, rows.size - 1)]]
            late = ~none & (when > time + round(self.within_days * DAY))
            counts[f"next visit more than {self.within_days:g} days later"] += int(late.sum())
            none |= late
        last = begin[np.minimum(visit + 1, begin.size - 1)]
        value = self._groups(record, rows, np.where(none, 0, first), np.where(none, 0, last))
        if self.new_only:
            seen = record.window(subject, time, None, self.strict)[1]
            value &= ~self._groups(record, np.arange(events.time.size), events.offsets[subject], seen)
        return value.astype(np.float32), ~none

    def _groups(
        self, record: Record, rows: Int64[np.ndarray, " n"], start: Rows, stop: Rows
    ) -> Bool[np.ndarray, "m k"]:
        """Which groups occur among `rows[start:stop]`, for each sample?"""
        masks = [record.index.match(codes) for codes in self.targets.values()]
        member = csr_array(np.stack(masks, axis=1).astype(np.int32))
        at, offsets = spread(start, stop)
        code = record.events.code[rows[at]]
        present = csr_array(
            (np.ones(at.size, dtype=np.int32), code, offsets), shape=(start.size, len(record.index.codes))
        )
        return np.asarray((present @ member).toarray() > 0)
