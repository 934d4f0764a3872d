"""Where events lie: tables in memory or Parquet files of any size, read in blocks of whole subjects."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64, UInt64

from medgraph.data.delimited import READ_FAULTS
from medgraph.data.events import BIRTH, STATIC, Events, clean, event_table
from medgraph.errors import MalformedInputError

__all__ = ["Shards", "background"]

_BLOCK = 1 << 20  # rows; a block holds whole subjects, so one very long subject makes a longer block
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Part:
    """One file or table.

    Args:
        subjects: whose events it holds, in the order in which they stand.
        whole: its subjects lie scattered, so it must be read at once.
        tidy: nothing in it needs cleaning.
    """

    source: Path | pa.Table
    where: str
    subjects: Int64[np.ndarray, " s"]
    whole: bool
    tidy: bool


@dataclass(frozen=True, eq=False)
class Shards:
    """All events of a cohort, by part; each subject stands in one part.

    Args:
        parts: the files or tables, looked through once.
        codes: every code there is, sorted.
        code_counts: how many events each code has.
        num_events: how many there are after cleaning.
        first: the earliest time in microseconds, `STATIC` where no event has one.
        last: the latest.
        fingerprint: SHA-256 over the set of events, the same whatever their order or parts.
        counts: what was cleaned, and how often.
    """

    parts: tuple[_Part, ...]
    codes: tuple[str, ...]
    code_counts: Int64[np.ndarray, " c"]
    num_events: int
    first: int
    last: int
    fingerprint: str
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, sources: Sequence[Path | pa.Table]) -> Shards:
        """Look through every source once.

        Raises:
            MalformedInputError: a file that cannot be read, that lacks a column, or shares a subject with another.
        """
        census = _Census()
        parts = tuple(census.part(source) for source in sources)
        _refuse_shared(parts)
        order = sorted(range(len(census.codes)), key=list(census.codes).__getitem__)
        return cls(
            parts,
            tuple(sorted(census.codes)),
            np.array([census.code_counts[row] for row in order], dtype=np.int64),
            census.num_events,
            census.first,
            census.last,
            census.fingerprint(),
            dict(census.counts),
        )

    @cached_property
    def subjects(self) -> Int64[np.ndarray, " s"]:
        """Every subject, sorted."""
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *(part.subjects for part in self.parts)]))

    @cached_property
    def _code_array(self) -> pa.Array:
        return pa.array(self.codes, pa.string())

    def blocks(
        self, only: Int64[np.ndarray, " m"] | None = None, order: Int64[np.ndarray, " p"] | None = None
    ) -> Iterator[Events]:
        """The events, in blocks of whole subjects that fit in memory.

        Args:
            only: sorted ids of the subjects that are wanted; parts without any are not read.
            order: in which order to read the parts.
        """
        birth = self.codes.index(BIRTH) if BIRTH in self.codes else -1
        for number in range(len(self.parts)) if order is None else order.tolist():
            part = self.parts[number]
            if only is not None and not _among(part.subjects, only).any():
                continue
            for table in _tables(part.source, part.where, part.whole, Counter()):
                codes = table["code"].combine_chunks().dictionary_encode()
                names = pc.index_in(codes.dictionary, self._code_array)
                if names.null_count:
                    raise MalformedInputError("the file has changed since it was first read.", part.where)
                events = _events(table, names.to_numpy().astype(np.int32)[codes.indices.to_numpy()], Counter())
                if only is not None:
                    events = events.take(np.flatnonzero(_among(events.subject_id, only)))
                if events.num_subjects:
                    yield events if part.tidy else clean(events, birth, Counter())


class _Census:
    """What a first look at all events finds out."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.code_counts: list[int] = []
        self.num_events = 0
        self.first, self.last = STATIC, STATIC
        self.counts: Counter[str] = Counter()
        self._hashes: list[int] = []
        self._sums = [0, 0]

    def part(self, source: Path | pa.Table) -> _Part:
        where = str(source) if isinstance(source, Path) else "the table of events"
        whole = _is_scattered(source, where)
        subjects, tidy = [np.zeros(0, dtype=np.int64)], True
        for table in _tables(source, where, whole, self.counts):
            before = Counter(self.counts)
            events = self._numbered(table)
            events = clean(events, self.codes.get(BIRTH, -1), self.counts)
            tidy &= before == self.counts
            self._add(events)
            subjects.append(events.subject_id)
        if whole:
            self.counts["files whose subjects lie scattered, sorted"] += 1
        return _Part(source, where, np.concatenate(subjects), whole, tidy)

    def _numbered(self, table: pa.Table) -> Events:
        codes = table["code"].combine_chunks().dictionary_encode()
        rows = []
        for code in codes.dictionary.to_pylist():
            if code not in self.codes:
                self.codes[code] = len(self.codes)
                self._hashes.append(int.from_bytes(hashlib.blake2b(code.encode(), digest_size=8).digest(), "little"))
                self.code_counts.append(0)
            rows.append(self.codes[code])
        return _events(table, np.array(rows, dtype=np.int32)[codes.indices.to_numpy()], self.counts)

    def _add(self, events: Events) -> None:
        for row, count in enumerate(np.bincount(events.code, minlength=1)):
            if count:
                self.code_counts[row] += int(count)
        self.num_events += events.time.size
        timed = events.time[events.time != STATIC]
        if timed.size:
            self.first = int(timed.min()) if self.first == STATIC else min(self.first, int(timed.min()))
            self.last = max(self.last, int(timed.max()))
        code = np.array(self._hashes, dtype=np.uint64)[events.code] if events.code.size else np.zeros(0, np.uint64)
        value = np.where(np.isnan(events.value), np.float32(np.nan), events.value).view(np.uint32).astype(np.uint64)
        columns = (np.repeat(events.subject_id, np.diff(events.offsets)), events.time, events.visit)
        for lane in range(2):
            state = _mix(code ^ np.uint64(lane))
            for column in (*(c.astype(np.int64).view(np.uint64) for c in columns), value):
                state = _mix(state ^ column)
            self._sums[lane] = (self._sums[lane] + int(state.sum(dtype=np.uint64))) % (1 << 64)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"medgraph events 1 {self.num_events} {self._sums}".encode()).hexdigest()


def _mix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Splitmix64's finaliser (Steele et al. 2014): each bit of the result hangs on every bit given."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)


def _among(ids: Int64[np.ndarray, " n"], wanted: Int64[np.ndarray, " m"]) -> np.ndarray:
    """Which ids are in the sorted `wanted`?"""
    if not wanted.size:
        return np.zeros(ids.size, dtype=bool)
    at = np.minimum(np.searchsorted(wanted, ids), wanted.size - 1)
    return np.asarray(wanted[at] == ids)


def _events(table: pa.Table, code: np.ndarray, counts: Counter[str]) -> Events:
    """The block as arrays; its subjects are contiguous."""
    subject = table["subject_id"].to_numpy()
    starts = np.flatnonzero(np.diff(subject, prepend=subject[:1] - 1 if subject.size else 0))
    time = pc.fill_null(table["time"].cast(pa.int64()), STATIC).to_numpy()
    value = pc.fill_null(table["numeric_value"], float("nan")).to_numpy().astype(np.float32)
    infinite = np.isinf(value)
    if infinite.any():
        counts["values that are not finite, taken as missing"] += int(infinite.sum())
        value = np.where(infinite, np.float32(np.nan), value)
    visit = pc.fill_null(table["visit_id"], -1).to_numpy()
    offsets = np.concatenate([starts, [subject.size]]).astype(np.int64)
    return Events(subject[starts].astype(np.int64), offsets, time, code, value, visit)


def _batches(source: Path | pa.Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    if isinstance(source, pa.Table):
        table = source if columns is None else source.select(columns)
        for start in range(0, table.num_rows, _BLOCK):
            yield table.slice(start, _BLOCK)
        return
    try:
        with pq.ParquetFile(source) as file:
            wanted = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_BLOCK // 4, columns=wanted, use_threads=False):
                yield pa.Table.from_batches([batch])
    except READ_FAULTS as fault:
        raise MalformedInputError(f"cannot be read as Parquet: {type(fault).__name__}.", source) from None


def _is_scattered(source: Path | pa.Table, where: str) -> bool:
    """Does any subject stand in more than one run of rows?"""
    ids = [np.zeros(0, dtype=np.int64)]
    for batch in _batches(source, ["subject_id"] if isinstance(source, Path) else None):
        if "subject_id" not in batch.column_names:
            raise MalformedInputError("no column 'subject_id'; MEDS events have subject_id, time, code.", where)
        column = batch["subject_id"]
        if column.null_count:
            raise MalformedInputError(f"{column.null_count:,} rows have no subject_id.", where, column="subject_id")
        try:
            ids.append(column.cast(pa.int64()).to_numpy())
        except pa.ArrowException:
            problem = f"holds {column.type}, which does not read as int64."
            raise MalformedInputError(problem, where, column="subject_id") from None
        runs = np.flatnonzero(np.diff(ids[-1], prepend=ids[-1][:1] - 1 if ids[-1].size else 0))
        ids[-1] = ids[-1][runs]
    joined = np.concatenate(ids)
    joined = joined[np.diff(joined, prepend=joined[:1] - 1 if joined.size else 0) != 0]  # runs go on over batches
    return bool(np.unique(joined).size < joined.size)


def _tables(source: Path | pa.Table, where: str, whole: bool, counts: Counter[str]) -> Iterator[pa.Table]:
    """The events in MEDS' types, in tables of whole, contiguous subjects."""
    if whole:
        table = pa.concat_tables([event_table(batch, where, counts) for batch in _batches(source)])
        order = np.argsort(table["subject_id"].to_numpy(), kind="stable")
        yield table.take(pa.array(order))
        return
    waiting: list[pa.Table] = []
    rows = 0
    for batch in _batches(source):
        waiting.append(event_table(batch, where, counts))
        rows += batch.num_rows
        if rows < _BLOCK:
            continue
        table = pa.concat_tables(waiting)
        subject = table["subject_id"].to_numpy()
        cut = int(np.flatnonzero(np.diff(subject, prepend=subject[0] - 1))[-1])  # the last subject may go on
        if cut:
            yield table.slice(0, cut)
        waiting, rows = [table.slice(cut)], table.num_rows - cut
    if rows:
        yield pa.concat_tables(waiting)


def _refuse_shared(parts: Sequence[_Part]) -> None:
    """MEDS: the data of one subject stand in one file."""
    everyone = np.concatenate([np.zeros(0, dtype=np.int64), *(part.subjects for part in parts)])
    if np.unique(everyone).size == everyone.size:
        return
    for number, part in enumerate(parts):
        for other in parts[:number]:
            if shared := np.intersect1d(part.subjects, other.subjects).size:
                problem = f"{shared:,} of its subjects stand in {other.where} too; MEDS keeps a subject in one file."
                raise MalformedInputError(problem, part.where)


def background(items: Iterator[_Item], depth: int = 1) -> Iterator[_Item]:
    """The same items, made ready by a thread while the last one is worked on; at most `depth` wait."""
    if depth < 1:
        yield from items
        return
    line: queue.Queue[tuple[str, _Item | BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, item: _Item | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                line.put((kind, item), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as fault:  # the reader of the line raises it
            put("fault", fault)

    thread = threading.Thread(target=work, name="medgraph-reader", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = line.get()
            if kind == "end":
                return
            if kind == "fault":
                assert isinstance(item, BaseException)
                raise item
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
