"""Records from a file of any tabular kind, streamed as Arrow batches, every fault with its file and row."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.parquet as pq

from medgraph.data.delimited import LONGEST_FIELD, READ_FAULTS, TabSeparated, open_bytes
from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["SUFFIXES", "JsonLines", "Parquet", "Records", "open_records", "united"]

_BLOCK = 16 << 20
_TEXT_LIST = pa.list_(pa.string())
_TEXT, _LINES, _PARQUET = (".tsv", ".txt", ".sif"), (".jsonl", ".ndjson"), (".parquet",)
SUFFIXES = (*(s + end for s in _TEXT + _LINES for end in ("", ".gz", ".bz2", ".zst")), *_PARQUET)


@runtime_checkable
class Records(Protocol):
    """A file of records."""

    @property
    def path(self) -> Path:
        """Where the records stand."""
        ...

    def batches(self, only: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its records in order, in blocks that fit in memory; columns are strings, lists of strings or numbers."""
        ...

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError:
        """The error that names the place of record `row` (from 0)."""
        ...


def open_records(path: Path, required: Sequence[str] = ()) -> Records:
    """The records of a file, by its suffix: tab-separated, JSON lines or Parquet. Raises LoaderError."""
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            if suffix in _PARQUET:
                return Parquet(path, required)
            return TabSeparated(path, required) if suffix.startswith(_TEXT) else JsonLines(path)
    raise LoaderError(f"{path}: expected a file that ends in one of {', '.join(SUFFIXES)}.")


@dataclass(frozen=True)
class JsonLines:
    """A file with one JSON object a line. An object without some key has null there.

    Args:
        path: the file, compressed if it ends in .gz, .bz2 or .zst.
    """

    path: Path

    def batches(self, only: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its objects in blocks of about 16 MiB; a key's type may differ between blocks. Nested objects become JSON.

        Raises:
            MalformedInputError: a line that is no JSON object or not UTF-8, a value of more than a million characters,
                a broken archive.
        """
        first_line = 1
        for block in self._blocks():
            batch = _parse_fast(block)
            if batch is None:
                batch = self._parse_slow(block, first_line)
            first_line += block.count(b"\n")
            if only is not None:
                batch = batch.select([name for name in batch.schema.names if name in set(only)])
            yield batch

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError:
        """The error that names the line on which object `row` (from 0) stands."""
        line = 0
        for block in self._blocks():
            for text in block.split(b"\n")[:-1]:
                line += 1
                row -= bool(text.strip())
                if row < 0:
                    return MalformedInputError(problem, self.path, line, column)
        return MalformedInputError(problem, self.path, None, column)

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, each with its end."""
        rest, line = b"", 1
        try:
            with open_bytes(self.path) as stream:
                start = True
                while data := stream.read(_BLOCK):
                    data = data.removeprefix(b"\xef\xbb\xbf") if start else data
                    start = False
                    whole, end, tail = data.rpartition(b"\n")
                    if end:
                        yield rest + whole + end
                        line += whole.count(b"\n") + 1
                        rest = tail
                    else:
                        rest += tail
                        if len(rest) > 20 * LONGEST_FIELD:
                            problem = f"a line of more than {20 * LONGEST_FIELD:,} bytes; is this JSON lines?"
                            raise MalformedInputError(problem, self.path, line)
        except READ_FAULTS as fault:
            problem = f"cannot be read past line {line}, a broken or truncated file? {str(fault)[:300]}"
            raise MalformedInputError(problem, self.path, line) from None
        if rest:
            yield rest + b"\n"

    def _parse_slow(self, block: bytes, line: int) -> pa.RecordBatch:
        """As Arrow would, but values of mixed types are united, and a fault has its line."""
        rows = []
        for number, text in enumerate(block.split(b"\n")[:-1], line):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except UnicodeDecodeError:
                raise MalformedInputError(
                    "not UTF-8 text. Convert it with iconv -t UTF-8.", self.path, number
                ) from None
            except (ValueError, RecursionError) as fault:
                raise MalformedInputError(f"no JSON: {str(fault)[:200]}", self.path, number) from None
            if not isinstance(row, dict):
                raise MalformedInputError(f"expected a JSON object, not {str(row)[:60]}", self.path, number)
            for key, value in row.items():
                try:
                    longest = max((len(str(part).encode()) for part in _parts(value)), default=0)
                except UnicodeEncodeError:
                    problem = "text with half a surrogate pair, which is no Unicode."
                    raise MalformedInputError(problem, self.path, number, key[:60]) from None
                if longest > LONGEST_FIELD:
                    problem = f"a value of {longest:,} bytes; at most {LONGEST_FIELD:,} are read."
                    raise MalformedInputError(problem, self.path, number, key[:60])
            rows.append(row)
        keys = dict.fromkeys(key for row in rows for key in row)
        try:
            return pa.RecordBatch.from_pydict({key: united([row.get(key) for row in rows]) for key in keys})
        except UnicodeEncodeError:
            raise MalformedInputError(
                "a key with half a surrogate pair, which is no Unicode.", self.path, line
            ) from None


@dataclass(frozen=True)
class Parquet:
    """A Parquet file.

    Args:
        path: the file.
        required: columns that must be there.
    """

    path: Path
    required: Sequence[str] = ()

    def batches(self, only: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows. Raises MalformedInputError: no Parquet file, a broken one, or a required column missing."""
        if not self.path.is_file():
            raise LoaderError(f"{self.path}: there is no such file.")
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                names = file.schema_arrow.names
                for name in self.required:
                    if name not in names:
                        hint = nearest(name, names)
                        raise MalformedInputError(f"no column {name!r} among {names[:40]}.{hint}", self.path)
                if len(set(names)) < len(names):
                    raise MalformedInputError(f"a column name stands twice: {names[:40]}.", self.path)
                wanted = None if only is None else [name for name in names if name in set(only)]
                for batch in file.iter_batches(columns=wanted):
                    batch.validate(full=True)
                    yield batch
        except READ_FAULTS as fault:
            raise MalformedInputError(f"cannot be read as Parquet: {str(fault)[:300]}", self.path) from None

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError:
        """The error that names row `row` (from 0)."""
        error = MalformedInputError(f"row {row + 1}: {problem}", self.path, None, column)
        error.row = row + 1
        return error


def _parse_fast(block: bytes) -> pa.RecordBatch | None:
    """Arrow's reading of a block of lines; None where that is not exactly what `_parse_slow` would give."""
    options = pajson.ReadOptions(use_threads=False, block_size=len(block) + 1)
    try:
        table = pajson.read_json(io.BytesIO(block), options)
        times = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
        if times:  # text that looks like a date stays text
            schema = pa.schema([(name, pa.string()) for name in times])
            table = pajson.read_json(io.BytesIO(block), options, pajson.ParseOptions(explicit_schema=schema))
        table.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if table.num_rows != block.count(b"\n"):  # a blank line, or two objects on one
        return None
    for column in table.columns:
        kind = column.type
        if pa.types.is_list(kind):
            plain = kind.value_type in {pa.string(), pa.null()}
            lengths = pc.binary_length(pc.list_flatten(column)) if kind.value_type == pa.string() else None
        elif pa.types.is_string(kind):
            plain, lengths = True, pc.binary_length(column)
        else:
            plain, lengths = kind in {pa.null(), pa.bool_(), pa.int64(), pa.float64()}, None
        if not plain or (lengths is not None and (pc.max(lengths).as_py() or 0) > LONGEST_FIELD):
            return None
    batches = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 else None


def _parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def united(values: list[Any]) -> pa.Array:
    """One column for values of any JSON types: list of string, then string, float, integer, boolean."""
    kinds = {type(value) for value in values if value is not None}
    if list in kinds:
        return pa.array([None if v is None else [_text(part) for part in _parts(v)] for v in values], _TEXT_LIST)
    if kinds <= {bool}:
        return pa.array(values, pa.bool_() if kinds else pa.null())
    if kinds == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float} and all(v is None or abs(v) < 2**53 or isinstance(v, float) for v in values):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([_text(value) for value in values], pa.string())
