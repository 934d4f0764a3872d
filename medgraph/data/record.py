"""A block of events as tasks read it: which codes are meant, what is visible at a time, when visits begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from medgraph.data.events import BIRTH, DAY, DEATH, STATIC, VITAL, Events, search
from medgraph.errors import SchemaError, nearest

__all__ = ["CodeIndex", "CodeSet", "Record", "check_codes", "visit_starts"]

CodeSet: TypeAlias = tuple[str, ...]


def check_codes(codes: Sequence[str], what: str) -> CodeSet:
    """A code set in its one form. Raises SchemaError where it is empty or no list of codes."""
    if isinstance(codes, str) or not codes or not all(isinstance(code, str) and code for code in codes):
        raise SchemaError(f"{what}: expected one or more codes such as ('ICD9CM:250*',), got {codes!r}.")
    return tuple(codes)


@dataclass(frozen=True, eq=False)
class CodeIndex:
    """The codes of a cohort, and which of them a code set means.

    Args:
        codes: all codes, in the order of the cohort's table.
    """

    codes: tuple[str, ...]
    _found: dict[CodeSet, Bool[np.ndarray, " c"]] = field(default_factory=dict, repr=False)

    def match(self, wanted: CodeSet, must: bool = False) -> Bool[np.ndarray, " c"]:
        """Which codes are in the set? A trailing `*` stands for any ending.

        Raises:
            SchemaError: `must` is set and there is none.
        """
        if wanted not in self._found:
            exact = {code for code in wanted if not code.endswith("*")}
            prefixes = tuple(code[:-1] for code in wanted if code.endswith("*"))
            mask = [code in exact or (bool(prefixes) and code.startswith(prefixes)) for code in self.codes]
            self._found[wanted] = np.array(mask, dtype=bool)
        found = self._found[wanted]
        if must and not found.any():
            shown = ", ".join(wanted[:3]) + (", ..." if len(wanted) > 3 else "")
            raise SchemaError(f"No event of this cohort has a code of {shown}.{nearest(wanted[0], self.codes)}")
        return found


@dataclass(frozen=True, eq=False)
class Record:
    """A block of events, and what its cohort knows besides.

    Args:
        events: the block.
        index: the cohort's codes.
        last: the time of the cohort's last event: data end there.
    """

    events: Events
    index: CodeIndex
    last: int

    def mask(self, wanted: CodeSet, must: bool = False) -> Bool[np.ndarray, " n"]:
        """Which events have a code of the set?"""
        return np.asarray(self.index.match(wanted, must)[self.events.code])

    @cached_property
    def timed(self) -> Int64[np.ndarray, " s"]:
        """Where each subject's events with a time begin."""
        start, stop = self.events.offsets[:-1], self.events.offsets[1:]
        return search(self.events.time, start, stop, np.full(start.size, STATIC), after=True)

    @cached_property
    def vital(self) -> Bool[np.ndarray, " n"]:
        """Births, deaths and the ends of observation, which are no part of a history."""
        return self.mask(VITAL)

    @cached_property
    def births(self) -> Int64[np.ndarray, " s"]:
        """When each subject was born, `STATIC` if unknown."""
        return self.events.first(self.mask((BIRTH,)))

    @cached_property
    def deaths(self) -> Int64[np.ndarray, " s"]:
        """When each subject died, `STATIC` if that is not recorded."""
        return self.events.first(self.mask((DEATH,)))

    @cached_property
    def ends(self) -> Int64[np.ndarray, " s"]:
        """The time of each subject's last event, `STATIC` where there is none."""
        stop = self.events.offsets[1:]
        last = self.events.time[np.maximum(stop - 1, 0)] if self.events.time.size else np.zeros(stop.size, np.int64)
        return np.where(stop > self.events.offsets[:-1], last, STATIC)

    def window(
        self,
        subject: Int64[np.ndarray, " m"],
        time: Int64[np.ndarray, " m"],
        observation_days: float | None,
        strict: bool,
    ) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        """Which events with a time may be seen at `time`: from the first number to before the second.

        Up to and including `time`, as MEDS means it; `strict`: before it.
        """
        start, stop = self.timed[subject], self.events.offsets[1:][subject]
        end = search(self.events.time, start, stop, time, after=not strict)
        if observation_days is not None:
            start = search(self.events.time, start, end, time - round(observation_days * DAY), after=False)
        return start, end

    def next_of(
        self,
        wanted: Bool[np.ndarray, " n"],
        subject: Int64[np.ndarray, " m"],
        time: Int64[np.ndarray, " m"],
        strict: bool,
    ) -> Int64[np.ndarray, " m"]:
        """When is the first wanted event after what can be seen at `time`? `STATIC` where there is none."""
        rows = np.flatnonzero(wanted & (self.events.time != STATIC))
        times = self.events.time[rows]
        bounds = np.searchsorted(rows, self.events.offsets)
        start, stop = bounds[subject], bounds[subject + 1]
        at = search(times, start, stop, time, after=not strict)
        result = np.full(subject.size, STATIC)
        found = at < stop
        result[found] = times[at[found]]
        return result


def visit_starts(
    group: Int64[np.ndarray, " n"], time: Int64[np.ndarray, " n"], visit: Int64[np.ndarray, " n"], by: str
) -> Bool[np.ndarray, " n"]:
    """Which events open a visit?

    Args:
        group: the subject or the sample that each event belongs to.
        time: of each event, sorted within its group.
        visit: which visit the source says, -1 for none.
        by: "visit": the source's own visits, and days for events outside them; "day": calendar days in UTC; "time":
            all events of one time.
    """
    opens = np.ones(time.size, dtype=bool)
    if by == "time":
        changed = np.diff(time) != 0
    else:
        changed = np.diff(time // DAY) != 0
        if by == "visit":
            inside = (visit[1:] >= 0) & (visit[:-1] >= 0)
            changed = np.where(inside, np.diff(visit) != 0, changed | ((visit[1:] >= 0) != (visit[:-1] >= 0)))
    opens[1:] = changed | (np.diff(group) != 0)
    return opens
