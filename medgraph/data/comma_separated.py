"""Tables of patients, CSV or Parquet, streamed; a fault names the file and how many rows, never what is in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["PatientTable", "find_table"]

_BLOCK = 16 << 20
_ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".parquet")


def find_table(folder: Path, name: str, inside: Sequence[str] = ("",)) -> PatientTable | None:
    """The table called `name` (any case) in a folder or one of its subfolders `inside`; None where there is none.

    A table may be a CSV file, plain or compressed, a Parquet file, or a folder of Parquet files.

    Raises:
        LoaderError: there is no such folder, or it has several files for that table.
    """
    if not folder.is_dir():
        raise LoaderError(f"{folder}: there is no such folder.")
    wanted = {name.lower() + ending for ending in _ENDINGS}
    found = []
    for place in (folder / part for part in inside):
        if place.is_dir():
            found += [f for f in sorted(place.iterdir()) if f.name.lower() in wanted and f.is_file()]
            found += [f for f in sorted(place.iterdir()) if f.name.lower() == name.lower() and any(f.glob("*.parquet"))]
    if len(found) > 1:
        raise LoaderError(f"{folder} has several files for {name}: {', '.join(f.name for f in found)}. Keep one.")
    return PatientTable(found[0]) if found else None


@dataclass(frozen=True)
class PatientTable:
    """One table: CSV with a header and double quotes, or Parquet. Column names are lower-cased, cells are text.

    Args:
        path: the file, or a folder of Parquet files.
    """

    path: Path

    def columns(self) -> list[str]:
        """Its columns' names, lower-cased. Raises MalformedInputError where there is no readable header."""
        if self._files():
            return [name.lower() for name in self._parquet(self._files()[0]).schema_arrow.names]
        return self._header()

    def batches(self, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pa.Table]:
        """Its rows in blocks, with these columns as text; an optional column that is missing is all null.

        Raises:
            MalformedInputError: a required column is missing; rows with too few or too many cells, and how many; text
                that is not UTF-8; a broken archive.
        """
        there = self.columns()
        for name in required:
            if name not in there:
                near = nearest(name, there)  # not all of its header, which may be a row of a file that has none
                raise MalformedInputError(f"no column {name!r} among its {len(there)} columns.{near}", self.path)
        wanted = [name for name in (*required, *optional) if name in there]
        for batch in self._rows(wanted):
            columns = {}
            for name in (*required, *optional):
                column = batch[name] if name in wanted else pa.nulls(batch.num_rows, pa.string())
                columns[name] = column.cast(pa.string())
            yield pa.table(columns)

    def table(self, required: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
        """All its rows at once. Raises MalformedInputError as `batches`."""
        parts = list(self.batches(required, optional))
        schema = pa.schema([(name, pa.string()) for name in (*required, *optional)])
        return pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return sorted(self.path.glob("*.parquet"))
        return [self.path] if self.path.suffix.lower() == ".parquet" else []

    def _parquet(self, file: Path) -> pq.ParquetFile:
        try:
            opened = pq.ParquetFile(file)
            _ = opened.schema_arrow.names  # read only now, and not always text
            return opened
        except READ_FAULTS as fault:
            raise MalformedInputError(f"cannot be read as Parquet: {type(fault).__name__}.", file) from None

    def _rows(self, wanted: list[str]) -> Iterator[pa.Table]:
        if not self._files():
            yield from self._csv(wanted)
            return
        for file in self._files():
            opened = self._parquet(file)
            names = {name.lower(): name for name in opened.schema_arrow.names}
            if missing := [name for name in wanted if name not in names]:
                raise MalformedInputError(f"no column {missing[0]!r}, which its neighbours have.", file)
            try:
                for batch in opened.iter_batches(1 << 19, columns=[names[name] for name in wanted], use_threads=False):
                    table = pa.Table.from_batches([batch])
                    table.validate(full=True)  # Parquet does not see to it that text is UTF-8
                    yield table.rename_columns([name.lower() for name in table.column_names])
            except READ_FAULTS as fault:
                raise MalformedInputError(f"cannot be read as Parquet: {type(fault).__name__}.", file) from None

    def _header(self) -> list[str]:
        try:
            with open_bytes(self.path) as stream:
                head = bytes(stream.read(1 << 20)).partition(b"\n")[0].decode("utf-8-sig")
            names = next(csv.reader([head.rstrip("\r")]), [])
        except (*READ_FAULTS, csv.Error):
            raise MalformedInputError("has no readable header; expected CSV in UTF-8.", self.path) from None
        if not any(names):
            raise MalformedInputError("the file is empty; expected a header.", self.path)
        lower = [name.strip().lower() for name in names]
        if len(set(lower)) < len(lower):
            raise MalformedInputError("a column name stands twice in the header.", self.path, 1)
        return lower

    def _csv(self, wanted: list[str]) -> Iterator[pa.Table]:
        names = self._header()
        try:
            with open_bytes(self.path) as stream:
                reader = pacsv.open_csv(
                    stream,
                    pacsv.ReadOptions(block_size=_BLOCK, column_names=names, skip_rows=1, use_threads=False),
                    pacsv.ParseOptions(newlines_in_values=True),
                    pacsv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        strings_can_be_null=True,
                        null_values=[""],
                        include_columns=wanted,
                    ),
                )
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        except READ_FAULTS as fault:
            if "Empty CSV" in str(fault):
                return
            problem = f"cannot be read ({type(fault).__name__}): broken, truncated, or not CSV in UTF-8."
            if bad := self._uneven(len(names)):
                problem = f"{bad:,} rows have not the {len(names)} cells of the header."
            raise MalformedInputError(problem, self.path) from None

    def _uneven(self, width: int) -> int:
        """How many rows have another number of cells? Slow, for when Arrow has stumbled."""
        try:
            with open_bytes(self.path) as stream:
                text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8", "replace", newline="")
                return sum(bool(row) and len(row) != width for row in csv.reader(text))
        except (*READ_FAULTS, csv.Error):
            return 0
