"""Tables as people keep them, CSV, tab-separated or Parquet: streamed, a broken row counted or named."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from jaxtyping import Int64

from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["Block", "TextTable"]

_BLOCK = 4 << 20
_COMPRESSED = re.compile(r"\.(gz|bz2|zst)$")
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
_UNEVEN, _NOT_UTF8 = "rows with too few or too many cells", "characters that are not UTF-8"


class Block(NamedTuple):
    """Some rows.

    Args:
        columns: name -> cells as text; null where there is nothing.
        row: the number of each row, from 0.
    """

    columns: dict[str, pa.Array]
    row: Int64[np.ndarray, " n"]


@dataclass(eq=False)
class TextTable:
    """A table with a header. In .csv, cells may stand in double quotes; in .tsv, .tab and .txt quotes are characters.

    Names of columns are matched whatever their case and white space. Of columns of one name the first counts.

    Args:
        path: the file: .csv, .tsv, .tab or .txt, perhaps with .gz, .bz2 or .zst behind, or .parquet.
        on_error: what becomes of rows with too few or too many cells, and of what is no UTF-8 (it becomes U+FFFD):
            "skip", counted in `skipped`, or "raise".
        skipped: reason -> rows.

    Raises:
        LoaderError: another ending, or no such file.
    """

    path: Path
    on_error: Literal["skip", "raise"] = "skip"
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._ending = Path(_COMPRESSED.sub("", self.path.name.lower())).suffix
        if self._ending not in {*_SUFFIXES, ".parquet"}:
            raise LoaderError(f"{self.path}: expected a file that ends in {', '.join(_SUFFIXES)} or .parquet.")
        if not self.path.is_file():
            raise LoaderError(f"{self.path}: there is no such file.")

    @property
    def names(self) -> list[str]:
        """The header."""
        try:
            if self._ending == ".parquet":
                with pq.ParquetFile(self.path) as file:
                    return list(file.schema_arrow.names)
            with open_bytes(self.path) as stream:
                head = bytes(stream.read(1 << 20)).partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
            names = next(csv.reader([head]), []) if self._ending == ".csv" else head.split("\t")
        except (*READ_FAULTS, csv.Error) as fault:
            raise MalformedInputError(f"has no readable header: {str(fault)[:200]}", self.path) from None
        if not any(names):
            raise MalformedInputError("the file is empty; expected a header.", self.path)
        return names

    def find(self, name: str) -> str | None:
        """What the header calls this column, if it has it."""
        return next((there for there in self.names if _plain(there) == _plain(name)), None)

    def require(self, *names: str) -> str:
        """What the header calls the first of these that it has. Raises MalformedInputError."""
        for name in names:
            if (found := self.find(name)) is not None:
                return found
        shown = [name[:60] for name in self.names[:40]]
        raise MalformedInputError(f"no column {names[0]!r} among {shown}.{nearest(names[0], shown)}", self.path)

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """The rows in blocks that fit in memory, with these columns: name to give -> name in the header.

        Raises:
            MalformedInputError: no UTF-8, a broken archive or Parquet file; a row with another number of cells, if
                those are not skipped.
        """
        try:
            yield from self._parquet(columns) if self._ending == ".parquet" else self._text(columns)
        except READ_FAULTS as fault:
            raise MalformedInputError(f"cannot be read: {str(fault)[:300]}", self.path) from None

    def fault(self, problem: str, row: int, column: str) -> MalformedInputError:
        """The error that names row `row` (from 0); a text file's line is that if no cell goes over several."""
        return MalformedInputError(problem, self.path, row + 2, column)

    def _parquet(self, columns: Mapping[str, str]) -> Iterator[Block]:
        start = 0
        names = self.names
        if twice := [name for name in columns.values() if names.count(name) > 1]:
            raise MalformedInputError("a column name stands twice.", self.path, None, twice[0][:60])
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(1 << 17, columns=list(dict.fromkeys(columns.values())), use_threads=False):
                batch.validate(full=True)
                found = {name: _as_text(batch.column(there)) for name, there in columns.items()}
                yield Block(found, start + np.arange(batch.num_rows))
                start += batch.num_rows

    def _text(self, columns: Mapping[str, str]) -> Iterator[Block]:
        names = self.names
        unique = [name if name not in names[:i] else f"{name}\0{i}" for i, name in enumerate(names)]
        uneven: list[int] = []

        def pass_over(row: Any) -> str:
            uneven.append(row.number - 2)
            return "skip" if self.on_error == "skip" else "error"

        quoted = self._ending == ".csv"
        with open_bytes(self.path) as stream:
            source = _Utf8(stream, strict=self.on_error == "raise")
            try:
                reader = pacsv.open_csv(
                    source,
                    pacsv.ReadOptions(block_size=_BLOCK, column_names=unique, skip_rows=1, use_threads=False),
                    pacsv.ParseOptions(
                        delimiter=_SUFFIXES[self._ending],
                        quote_char='"' if quoted else False,
                        newlines_in_values=quoted,
                        invalid_row_handler=pass_over,
                    ),
                    pacsv.ConvertOptions(
                        column_types=dict.fromkeys(columns.values(), pa.string()),
                        strings_can_be_null=True,
                        null_values=[""],
                        include_columns=list(dict.fromkeys(columns.values())),
                    ),
                )
                start = 0
                for batch in reader:
                    before = np.array(uneven, dtype=np.int64) - np.arange(len(uneven))
                    valid = start + np.arange(batch.num_rows)
                    row = valid + np.searchsorted(before, valid, side="right")
                    yield Block({name: batch.column(there) for name, there in columns.items()}, row)
                    start += batch.num_rows
            except READ_FAULTS as fault:
                if uneven and self.on_error == "raise":
                    problem = f"a row that has not the {len(names):,} cells of the header."
                    raise MalformedInputError(problem, self.path, uneven[0] + 2) from None
                if "Empty CSV" not in str(fault):
                    raise
            finally:
                self.skipped[_UNEVEN] += len(uneven)
                self.skipped[_NOT_UTF8] += source.replaced


class _Utf8(io.RawIOBase):
    """A stream in which what is no UTF-8 has become U+FFFD; Arrow cannot pass over a row that holds such."""

    def __init__(self, stream: pa.NativeFile, strict: bool) -> None:
        super().__init__()
        self.stream, self.replaced = stream, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict" if strict else "replace")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while data := bytes(self.stream.read(size if size >= 0 else None)):
            if data.isascii() and not self._decoder.getstate()[0]:
                return data
            if text := self._decoder.decode(data):
                return self._encoded(text)
        return self._encoded(self._decoder.decode(b"", final=True))

    def _encoded(self, text: str) -> bytes:
        self.replaced += text.count("\ufffd")
        return text.encode()


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def _as_text(column: pa.Array) -> pa.Array:
    """A column as text; numbers so that they are the same when read back."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string())
