"""Events gathered from a source's tables: in memory, or, for what does not fit there, by way of a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medgraph.data.cohort import Cohort
from medgraph.data.events import STATIC
from medgraph.data.graph import Provenance
from medgraph.errors import LoaderError, MalformedInputError

__all__ = ["EventCollector", "end_of_day", "numbers", "times"]

_TIME = r"^\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)?$"
_ZONE = r"(?:Z|UTC|[+-]\d\d:?\d\d)$"
_DATE = 10  # characters of YYYY-MM-DD
_PARTS = 64
_SCHEMA = pa.schema(
    [
        ("subject_id", pa.int64()),
        ("time", pa.timestamp("us")),
        ("code", pa.string()),
        ("numeric_value", pa.float32()),
        ("visit_id", pa.int64()),
    ]
)


def times(text: pa.Array, where: Path, column: str, counts: Counter[str]) -> tuple[pa.Array, pa.Array]:
    """Times as UTC timestamps, and which of them are days without an hour. Empty cells are null.

    A time with a zone is brought to UTC, and counted.

    Raises:
        MalformedInputError: cells that are no ISO 8601 date or time, and how many.
    """
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    readable = pc.match_substring_regex(text, _TIME)
    if bad := pc.sum(pc.invert(readable)).as_py():
        problem = f"{bad:,} cells are no date or time as in 2014-05-31 or 2014-05-31 23:59:00."
        raise MalformedInputError(problem, where, column=column)
    dates = pc.less_equal(pc.utf8_length(text), _DATE)
    zoned = pc.fill_null(pc.and_(pc.match_substring_regex(text, _ZONE), pc.invert(dates)), False)
    none = pa.scalar(None, pa.string())
    try:
        plain = pc.if_else(zoned, none, text).cast(pa.timestamp("ns" if _fractions(text) else "us"))
        result = plain.cast(pa.timestamp("us"), safe=False)
        if count := pc.sum(zoned).as_py():
            utc = pc.replace_substring_regex(pc.if_else(zoned, text, none), r"\s*(?:UTC)$", "Z")
            aware = utc.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
            result = pc.coalesce(result, aware)
            counts["times with a zone, read as UTC"] += count
    except pa.ArrowException:
        raise MalformedInputError("holds dates that do not exist.", where, column=column) from None
    return result, pc.fill_null(dates, False)


def _fractions(text: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, r"\.\d{7,}")).as_py())


def end_of_day(time: pa.Array) -> pa.Array:
    """The last microsecond of each day: when something dated by day alone has happened for certain."""
    day = pc.floor_temporal(time, unit="day").cast(pa.int64())
    return pc.add(day, 86_400_000_000 - 1).cast(pa.timestamp("us"))


def numbers(text: pa.Array, where: Path, column: str) -> pa.Array:
    """Integers. Raises MalformedInputError, with how many cells are none."""
    text = pc.utf8_trim_whitespace(text)
    text = pc.replace_substring_regex(text, r"\.0+$", "")  # pandas writes integers so where some are missing
    good = pc.match_substring_regex(text, r"^-?\d{1,18}$")
    if bad := pc.sum(pc.invert(pc.fill_null(good, True))).as_py():
        raise MalformedInputError(f"{bad:,} cells are no whole number.", where, column=column)
    return text.cast(pa.int64())


class EventCollector:
    """Takes events in any order and makes a cohort of them.

    Args:
        to: a MEDS folder to write. Events then pass through a temporary folder beside it, and only one of 64 parts is
            in memory at a time; without it all are.
    """

    def __init__(self, to: str | Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._descriptions: dict[str, str] = {}
        self._to = None if to is None else Path(to).expanduser()
        self._tables: list[pa.Table] = []
        self._spill: Path | None = None
        self._writers: dict[int, pq.ParquetWriter] = {}

    def __enter__(self) -> EventCollector:
        if self._to is not None:
            if self._to.exists() and (not self._to.is_dir() or any(self._to.iterdir())):
                raise LoaderError(f"{self._to} is there already; choose another folder for to=.")
            self._to.parent.mkdir(parents=True, exist_ok=True)
            self._spill = Path(tempfile.mkdtemp(prefix=f".{self._to.name}.", suffix=".part", dir=self._to.parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()
        if self._spill is not None:
            shutil.rmtree(self._spill, ignore_errors=True)

    def add(
        self,
        subject: pa.Array,
        time: pa.Array | None,
        code: pa.Array | str,
        what: str,
        value: pa.Array | None = None,
        visit: pa.Array | None = None,
    ) -> None:
        """Some events. Those without a subject, a code, or (where `time` is given) a time are left out and counted.

        Args:
            subject: int64.
            time: timestamps; None for events that have none.
            code: text, or the one code of them all.
            what: what such events are called when they are counted.
            value: numbers.
            visit: int64, the visit they belong to.
        """
        rows = len(subject)
        code = pa.array([code] * rows, pa.string()) if isinstance(code, str) else code
        keep = pc.and_(pc.is_valid(subject), pc.is_valid(code))
        if lost := rows - (pc.sum(keep).as_py() or 0):
            self.counts[f"{what} without a known subject or code, left out"] += lost
        if time is not None:
            timed = pc.is_valid(time)
            if lost := pc.sum(pc.and_(keep, pc.invert(timed))).as_py():
                self.counts[f"{what} without a time, left out"] += lost
            keep = pc.and_(keep, timed)
        arrays = [
            subject,
            pa.nulls(rows, pa.timestamp("us")) if time is None else time,
            code,
            pa.nulls(rows, pa.float32()) if value is None else value.cast(pa.float32(), safe=False),
            pa.nulls(rows, pa.int64()) if visit is None else visit,
        ]
        table = pa.table([_whole(array) for array in arrays], schema=_SCHEMA).filter(keep)
        if not table.num_rows:
            return
        if self._spill is None:
            self._tables.append(table)
            return
        part = (table["subject_id"].to_numpy() * 0x9E3779B1 >> 16) % _PARTS
        order = np.argsort(part, kind="stable")
        cuts = np.flatnonzero(np.diff(part[order], prepend=-1))
        for start, stop in zip(cuts, [*cuts[1:], order.size], strict=True):
            number = int(part[order[start]])
            if number not in self._writers:
                self._writers[number] = pq.ParquetWriter(self._spill / f"{number}.parquet", _SCHEMA, compression="lz4")
            self._writers[number].write_table(table.take(pa.array(order[start:stop])))

    def describe(self, codes: pa.Array, names: pa.Array) -> None:
        """What codes mean, in words; the first word on a code stays."""
        known = pa.table({"code": _whole(codes), "name": _whole(names)}).group_by("code").aggregate([("name", "min")])
        for code, name in zip(known["code"].to_pylist(), known["name_min"].to_pylist(), strict=True):
            if code is not None and name:
                self._descriptions.setdefault(code, name)

    def cohort(self, provenance: Provenance, parents: Mapping[str, list[str]] | None = None) -> Cohort:
        """The cohort of all events added."""
        codes = sorted(self._descriptions.keys() | (parents or {}).keys())
        descriptions = pa.table(
            {
                "code": pa.array(codes, pa.string()),
                "description": pa.array([self._descriptions.get(code) for code in codes], pa.string()),
                "parent_codes": pa.array([(parents or {}).get(code) for code in codes], pa.list_(pa.string())),
            }
        )
        counts = dict(+self.counts)
        if self._spill is None:
            events = pa.concat_tables(self._tables) if self._tables else _SCHEMA.empty_table()
            events = events.take(_order(events))
            return Cohort.of(events, descriptions, provenance=(provenance,), skipped=counts)
        assert self._to is not None
        for writer in self._writers.values():
            writer.close()
        files = [self._spill / f"{number}.parquet" for number in sorted(self._writers)]
        self._writers.clear()
        for file in files:  # one part at a time is sorted in memory
            table = pq.read_table(file)
            pq.write_table(table.take(_order(table)), file, compression="lz4")
        spilled = Cohort.of(files, descriptions, provenance=(provenance,), skipped=counts)
        spilled.to_meds(self._to)
        written = sorted((self._to / "data").rglob("*.parquet"))
        return Cohort.of(written, descriptions, provenance=(provenance,), skipped=spilled.skipped)


def _order(table: pa.Table) -> pa.Array:
    """Rows by subject and time; those without a time first."""
    time = pc.fill_null(table["time"].cast(pa.int64()), STATIC).to_numpy()
    return pa.array(np.lexsort((time, table["subject_id"].to_numpy())))


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
