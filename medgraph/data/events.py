"""Events of patients in MEDS' terms: cleaned, sorted, and held as plain arrays for a block of whole subjects.

McDermott et al. (2025), MEDS: Building models and tools in a reproducible health AI ecosystem; schema 0.4.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int32, Int64

from medgraph.errors import MalformedInputError

__all__ = [
    "BIRTH",
    "DAY",
    "DEATH",
    "STATIC",
    "VITAL",
    "YEAR",
    "Events",
    "clean",
    "event_table",
    "moment",
    "search",
    "spread",
]

BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
VITAL = (BIRTH, DEATH, "OBSERVATION_PERIOD//*")  # what frames a history and is no part of it
STATIC = np.iinfo(np.int64).min  # the time of events that have none; sorts before every time
DAY = 86_400_000_000  # microseconds
YEAR = 365.25 * DAY
OLDEST = 130  # years; nobody has lived longer, so the date of birth is wrong
_VISITS = ("visit_id", "hadm_id", "visit_occurrence_id", "encounter_id")  # where data sets say which visit it was
_TYPES = {
    "subject_id": pa.int64(),
    "time": pa.timestamp("us"),
    "code": pa.string(),
    "numeric_value": pa.float32(),
    "visit_id": pa.int64(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """The events of some subjects, each whole, by subject and time; events without a time come first.

    Args:
        subject_id: of each subject.
        offsets: subject s has the events from `offsets[s]` to `offsets[s + 1]`.
        time: microseconds since 1970-01-01 UTC, or `STATIC`.
        code: rows of the cohort's code table.
        value: numeric values, nan where there is none.
        visit: the visit that the source put the event in, -1 where it put it in none.
    """

    subject_id: Int64[np.ndarray, " s"]
    offsets: Int64[np.ndarray, " s+1"]
    time: Int64[np.ndarray, " n"]
    code: Int32[np.ndarray, " n"]
    value: Float32[np.ndarray, " n"]
    visit: Int64[np.ndarray, " n"]

    def __repr__(self) -> str:
        return f"Events({self.num_subjects:,} subjects, {self.time.size:,} events)"

    @property
    def num_subjects(self) -> int:
        """How many subjects."""
        return int(self.subject_id.size)

    @property
    def subject(self) -> Int64[np.ndarray, " n"]:
        """For each event, which subject of this block."""
        return np.repeat(np.arange(self.num_subjects), np.diff(self.offsets))

    def take(self, subjects: Int64[np.ndarray, " m"]) -> Events:
        """These subjects of the block, in this order."""
        if subjects.size == self.num_subjects and np.array_equal(subjects, np.arange(subjects.size)):
            return self
        rows, offsets = spread(self.offsets[subjects], self.offsets[subjects + 1])
        return Events(
            self.subject_id[subjects], offsets, self.time[rows], self.code[rows], self.value[rows], self.visit[rows]
        )

    def first(self, wanted: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " s"]:
        """Each subject's first time among the wanted events; `STATIC` where there is none."""
        rows = np.flatnonzero(wanted & (self.time != STATIC))
        result = np.full(self.num_subjects, STATIC)
        subject = np.searchsorted(self.offsets, rows, side="right") - 1
        result[subject[::-1]] = self.time[rows[::-1]]  # the last write, which is the earliest event, stays
        return result


def moment(text: str) -> int:
    """An ISO date or time as microseconds since 1970-01-01 UTC; without a zone it is UTC. Raises ValueError."""
    given = datetime.fromisoformat(text)
    given = given if given.tzinfo is None else given.astimezone(UTC).replace(tzinfo=None)
    return int(np.datetime64(given, "us").astype(np.int64))


def spread(
    start: Int64[np.ndarray, " m"], stop: Int64[np.ndarray, " m"]
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " m+1"]]:
    """All numbers of the half-open ranges, one range after another, and where each range begins among them."""
    size = np.maximum(stop - start, 0)
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    rows = np.arange(offsets[-1], dtype=np.int64) + np.repeat(start - offsets[:-1], size)
    return rows, offsets


def search(
    times: Int64[np.ndarray, " n"],
    start: Int64[np.ndarray, " m"],
    stop: Int64[np.ndarray, " m"],
    wanted: Int64[np.ndarray, " m"],
    after: bool,
) -> Int64[np.ndarray, " m"]:
    """Where in each sorted range `times[start:stop]` does `wanted` belong: after equal times, or before them?

    One bisection for all ranges at once.
    """
    low, high = start.astype(np.int64).copy(), stop.astype(np.int64).copy()
    if not times.size:
        return low
    for _ in range(int(times.size).bit_length() + 1):
        middle = (low + high) >> 1
        at = times[np.minimum(middle, times.size - 1)]
        right = (at <= wanted) if after else (at < wanted)
        open_ = low < high
        low = np.where(open_ & right, middle + 1, low)
        high = np.where(open_ & ~right, middle, high)
    return low


def event_table(table: pa.Table, where: str, counts: Counter[str]) -> pa.Table:
    """`table` with MEDS' columns and types only.

    Which visit an event belongs to is read from `visit_id`, `hadm_id`, `visit_occurrence_id` or `encounter_id`, where
    that holds integers. Times with a zone are brought to UTC. Rows without a subject or a code cannot be placed
    and are refused.

    Raises:
        MalformedInputError: a missing column, or one that cannot be read as its type.
    """
    for name in ("subject_id", "time", "code"):
        if name not in table.column_names:
            raise MalformedInputError(f"no column {name!r}; MEDS events have subject_id, time, code.", where)
    visits = next((name for name in _VISITS if name in table.column_names), "")
    if visits and not pa.types.is_integer(table.schema.field(visits).type):
        visits = ""
    if visits:
        table = table.rename_columns(["visit_id" if name == visits else name for name in table.column_names])
    elif "visit_id" in table.column_names:
        table = table.drop_columns(["visit_id"])
    for name in sorted(set(table.column_names) - set(_TYPES)):
        if filled := table.num_rows - table[name].null_count:
            counts[f"values of column {name!r} not read"] += filled
    columns = {}
    for name, wanted in _TYPES.items():
        if name not in table.column_names:
            columns[name] = pa.nulls(table.num_rows, wanted)
            continue
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            counts["times with a zone, read as UTC"] += len(column) - column.null_count
        if name == "code" and pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        try:
            if name == "time" and pa.types.is_timestamp(column.type) and column.type.unit == "ns":
                columns[name] = pc.cast(column, pa.timestamp("us"), safe=False)
            elif name == "numeric_value":
                columns[name] = pc.cast(column, wanted, safe=False)
            else:
                columns[name] = pc.cast(column, wanted)
                columns[name].validate(full=name == "code")  # Parquet does not see to it that text is UTF-8
        except pa.ArrowException:
            problem = f"holds {column.type}, which does not read as {wanted}."
            raise MalformedInputError(problem, where, column=name) from None
    for name in ("subject_id", "code"):
        if missing := columns[name].null_count:
            raise MalformedInputError(f"{missing:,} rows have no {name}.", where, column=name)
    if blank := pc.sum(pc.equal(columns["code"], "")).as_py():
        raise MalformedInputError(f"{blank:,} rows have an empty code.", where, column="code")
    return pa.table(columns)


def clean(events: Events, birth: int, counts: Counter[str]) -> Events:
    """Sorted by time within each subject, without what cannot be: twins, and what is dated before birth.

    Args:
        events: subjects contiguous, their events in any order.
        birth: the row of MEDS_BIRTH in the code table, -1 where there is none.
        counts: what was done, added to.
    """
    subject = events.subject
    same = np.diff(subject) == 0
    backwards = int(
        (
            same & (events.time[1:] < events.time[:-1])  # a difference to STATIC would overflow
        ).sum()
    )
    order = np.lexsort((events.code, events.time, subject))
    if backwards:
        counts["events out of order, sorted"] += backwards
    time, code, value, visit = (a[order] for a in (events.time, events.code, events.value, events.visit))
    subject = subject[order]
    bits = value.view(np.int32)
    # twins may stand apart among events of one time and code: sort those by value and visit too
    tied = np.zeros(time.size, dtype=bool)
    equal = (np.diff(subject) == 0) & (np.diff(time) == 0) & (np.diff(code) == 0)
    tied[1:] |= equal
    tied[:-1] |= equal
    rows = np.flatnonzero(tied)
    if rows.size:
        inner = rows[np.lexsort((visit[rows], bits[rows], code[rows], time[rows], subject[rows]))]
        value[rows], visit[rows] = value[inner], visit[inner]
        bits = value.view(np.int32)
    twin = np.zeros(time.size, dtype=bool)
    twin[1:] = equal & (np.diff(bits) == 0) & (np.diff(visit) == 0)
    drop = twin
    if twin.any():
        counts["duplicate events left out"] += int(twin.sum())
    if birth >= 0:
        born = Events(events.subject_id, events.offsets, time, code, value, visit).first(code == birth)
        known = born != STATIC
        last = time[np.maximum(events.offsets[1:] - 1, 0)] if time.size else np.zeros(0, dtype=np.int64)
        impossible = known & ((last - np.where(known, born, 0)) > OLDEST * YEAR)
        if impossible.any():
            counts[f"births more than {OLDEST} years before an event, taken as unknown"] += int(impossible.sum())
            drop = drop | (impossible[subject] & (code == birth))
            known &= ~impossible
        day = np.where(known, born, STATIC) // DAY  # an event on the day of birth may carry an earlier hour
        early = known[subject] & (time != STATIC) & (time // DAY < day[subject])
        if early.any():
            counts["events before birth left out"] += int(early.sum())
            drop = drop | early
    keep = ~drop
    size = np.bincount(subject[keep], minlength=events.num_subjects)
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    return Events(events.subject_id, offsets, time[keep], code[keep], value[keep], visit[keep])
