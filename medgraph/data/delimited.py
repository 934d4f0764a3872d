"""Tables from tab-separated text: streamed by Arrow, every fault with its file and line."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["LONGEST_FIELD", "READ_FAULTS", "TabSeparated", "open_bytes"]

LONGEST_FIELD = 1_000_000
_BLOCK = 16 << 20
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
READ_FAULTS = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)


def open_bytes(path: Path) -> pa.NativeFile:
    """The bytes of a file, decompressed where its suffix says so (.gz, .bz2, .zst). Raises LoaderError."""
    try:
        if not path.is_file():
            raise LoaderError(f"{path}: there is no such file.")
        with path.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise MalformedInputError("a Git LFS pointer, not the file itself. Run: git lfs pull", path)
        return pa.input_stream(str(path), compression=_COMPRESSIONS.get(path.suffix.lower()))
    except OSError as fault:
        raise LoaderError(f"{path}: cannot be opened: {fault}") from None


@dataclass(frozen=True)
class TabSeparated:
    """A file of tab-separated values with a header. Quotes are plain characters, so a row is a line.

    Args:
        path: the file, compressed if it ends in .gz, .bz2 or .zst.
        required: columns that must be there.
    """

    path: Path
    required: Sequence[str] = ()

    def columns(self) -> list[str]:
        """The names in the header.

        Raises:
            MalformedInputError: no header, a name twice, or a required column missing.
        """
        header = next(self._lines(), None)
        if header is None:
            raise MalformedInputError("the file is empty; expected a header.", self.path)
        names = header[1].split("\t")
        if all(name.startswith('"') and name.endswith('"') for name in names):
            raise MalformedInputError("the header is quoted; write the file without quotes.", self.path, header[0])
        for name in self.required:
            if name not in names:
                shown = [known[:60] for known in names[:40]]
                hint = nearest(name, shown)
                raise MalformedInputError(f"no column {name!r} among {shown}.{hint}", self.path, header[0])
        if twice := [name for name in names if names.count(name) > 1]:
            raise MalformedInputError("a column name stands twice in the header.", self.path, header[0], twice[0][:60])
        return names

    def batches(self, only: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows, every column (or `only` these) as strings, empty cells as null, in blocks of about 16 MiB.

        Raises:
            MalformedInputError: a row with too few or too many cells, text that is not UTF-8, a broken archive, a cell
                of more than a million characters.
        """
        names = self.columns()
        wanted = names if only is None else [name for name in names if name in set(only)]
        try:
            with open_bytes(self.path) as stream:
                reader = pacsv.open_csv(
                    stream,
                    pacsv.ReadOptions(block_size=_BLOCK),
                    pacsv.ParseOptions(delimiter="\t", quote_char=False),
                    pacsv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        strings_can_be_null=True,
                        null_values=[""],
                        include_columns=wanted,
                    ),
                )
                for batch in reader:
                    if any(_too_long(column) for column in batch.columns):
                        raise self._first_fault("a cell is too long.")
                    yield batch
        except READ_FAULTS as fault:
            raise self._first_fault(f"cannot be read: {str(fault)[:300]}") from None

    def table(self) -> pa.Table:
        """All its rows at once. Raises MalformedInputError as `batches`."""
        return pa.Table.from_batches(self.batches(), pa.schema([(name, pa.string()) for name in self.columns()]))

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError:
        """The error that names the line on which data row `row` (from 0) stands."""
        for number, (line, _) in enumerate(self._lines()):
            if number == row + 1:
                return MalformedInputError(problem, self.path, line, column)
        return MalformedInputError(problem, self.path, None, column)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Each line that is not empty, with its number from 1; slow, for the header and to place a fault."""
        number = 0
        try:
            with open_bytes(self.path) as stream:
                text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8-sig", "surrogateescape", newline=None)
                while line := text.readline(20 * LONGEST_FIELD):
                    number += 1
                    line = line.rstrip("\n")
                    if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
                        raise MalformedInputError("not UTF-8 text. Convert it with iconv -t UTF-8.", self.path, number)
                    if line:
                        yield number, line
        except READ_FAULTS as fault:
            problem = f"cannot be read past line {number}, a broken or truncated file? {str(fault)[:300]}"
            raise MalformedInputError(problem, self.path, number + 1) from None

    def _first_fault(self, otherwise: str) -> MalformedInputError:
        """What Arrow stumbled over, found again line by line."""
        width = 0
        try:
            for number, line in self._lines():
                cells = line.split("\t")
                width = width or len(cells)
                if len(cells) != width:
                    problem = f"{len(cells)} cells, expected {width}, separated by tabs."
                    return MalformedInputError(problem, self.path, number)
                if len(line) > LONGEST_FIELD and (longest := max(map(len, cells))) > LONGEST_FIELD:
                    problem = f"a cell of {longest:,} characters; at most {LONGEST_FIELD:,} are read."
                    return MalformedInputError(problem, self.path, number)
        except MalformedInputError as fault:
            return fault
        return MalformedInputError(otherwise, self.path)


def _too_long(column: pa.Array) -> bool:
    longest = pc.max(pc.binary_length(column)).as_py()
    return longest is not None and longest > LONGEST_FIELD
