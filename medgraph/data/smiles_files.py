"""Files of SMILES (.smi, CSV, TSV, Parquet), however long: read row by row, a bad row told and not fatal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["SmilesFile", "SmilesRow"]

LONGEST_LINE = 100_000
_TOO_LONG = f"a line of more than {LONGEST_LINE:,} letters"
_SMILES = ("smiles", "canonical_smiles", "isomeric_smiles", "drug", "structure", "molecule")
_ID = ("id", "drug_id", "compound_id", "molecule_id", "molecule_chembl_id", "chembl_id", "zinc_id", "cid", "name")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PLAIN = {".smi", ".smiles", ".ism", ".txt"}
_COMPRESSED = {".gz", ".bz2", ".zst"}


class SmilesRow(NamedTuple):
    """One row of a file.

    Args:
        number: among its rows, from 1; a header is none.
        id: as it stands there; the number where there is none.
        smiles: as it stands there.
        problem: why it cannot be used, if it is known already.
    """

    number: int
    id: str
    smiles: str
    problem: str | None = None


@dataclass(frozen=True)
class SmilesFile:
    """SMILES and their ids in a file, plain or compressed (.gz, .bz2, .zst), read in constant memory.

    .smi, .smiles, .ism and .txt have a SMILES and, after a blank, its id on each line (a first line that starts with
    the word `smiles` is a header); .csv and .tsv have a header; .parquet has columns.

    Args:
        path: the file.
        smiles: the column of SMILES; found by its name where it is not given.
        id: the column of ids; found by its name, or the rows are numbered.
    """

    path: Path
    smiles: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self._kind() not in {*_PLAIN, *_DELIMITERS, ".parquet"}:
            known = ", ".join(sorted({*_PLAIN, *_DELIMITERS}))
            raise LoaderError(f"{self.path}: a file of SMILES ends in {known} (.gz, .bz2, .zst after it) or .parquet.")
        if self._kind() in _PLAIN and (self.smiles or self.id):
            raise LoaderError(f"{self.path}: {self._kind()} has no columns to choose from; the SMILES stands first.")

    def rows(self, start: int = 0) -> Iterator[SmilesRow]:
        """Its rows, without the first `start` of them.

        Raises:
            LoaderError: there is no such file.
            MalformedInputError: no column of SMILES, a broken archive, or not Parquet.
        """
        if self._kind() == ".parquet":
            return self._parquet(start)
        return islice(self._plain() if self._kind() in _PLAIN else self._delimited(), start, None)

    def blocks(self, size: int, start: int = 0) -> Iterator[list[SmilesRow]]:
        """Its rows, `size` at a time."""
        rows = self.rows(start)
        while block := list(islice(rows, size)):
            yield block

    def _kind(self) -> str:
        name = Path(self.path.stem) if self.path.suffix.lower() in _COMPRESSED else self.path
        return name.suffix.lower()

    def _lines(self) -> Iterator[tuple[str, bool]]:
        """Each line, and whether it was cut because it is longer than any molecule."""
        number = 0
        try:
            with open_bytes(self.path) as stream:
                text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8-sig", "replace", newline="")
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    cut = len(line) == LONGEST_LINE and not line.endswith("\n")
                    rest = line
                    while cut and rest and not rest.endswith("\n"):
                        rest = text.readline(LONGEST_LINE)
                    yield line, cut
        except READ_FAULTS as fault:
            if isinstance(fault, LoaderError):
                raise
            problem = f"cannot be read on: a broken archive ({type(fault).__name__})."
            raise MalformedInputError(problem, self.path, number + 1) from None

    def _plain(self) -> Iterator[SmilesRow]:
        number = 0
        for place, (line, cut) in enumerate(self._lines()):
            smiles, _, id_ = line.strip().replace("\t", " ").partition(" ")
            if place == 0 and smiles.lower() == "smiles":
                continue
            number += 1
            yield _row(number, id_.strip(), smiles, _TOO_LONG if cut else None)

    def _delimited(self) -> Iterator[SmilesRow]:
        long = [False]

        def lines() -> Iterator[str]:
            for line, long[0] in self._lines():
                yield "\n" if long[0] else line  # cut inside quotes, it would take the next rows with it

        reader = csv.reader(lines(), delimiter=_DELIMITERS[self._kind()])
        try:
            header = next(reader, None)
        except csv.Error as fault:
            raise MalformedInputError(f"has no readable header: {fault}.", self.path, 1) from None
        if header is None:
            raise MalformedInputError("the file is empty; expected a header.", self.path)
        smiles, id_ = self._columns(header)
        width, number = max(smiles, -1 if id_ is None else id_) + 1, 0
        while True:
            before = reader.line_num
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as fault:
                number += 1
                yield SmilesRow(number, str(number), "", f"lines {before + 1} to {reader.line_num}: {fault}")
                continue
            number += 1
            if long[0]:
                yield SmilesRow(number, str(number), "", _TOO_LONG)
                continue
            if cells and len(cells) < width:
                yield SmilesRow(number, str(number), "", f"{len(cells)} cells; expected at least {width}")
                continue
            yield _row(number, "" if id_ is None or not cells else cells[id_], cells[smiles] if cells else "")

    def _parquet(self, start: int) -> Iterator[SmilesRow]:
        if not self.path.is_file():
            raise LoaderError(f"{self.path}: there is no such file.")
        try:
            with pq.ParquetFile(self.path) as opened:
                names = opened.schema_arrow.names
                smiles, id_ = self._columns(names)
                columns = [names[smiles]] if id_ is None else [names[smiles], names[id_]]
                groups, number = list(range(opened.num_row_groups)), 0
                while groups and number + (rows := opened.metadata.row_group(groups[0]).num_rows) <= start:
                    number += rows
                    groups.pop(0)
                for batch in opened.iter_batches(1 << 14, groups, columns, use_threads=False):
                    texts = batch[columns[0]].to_pylist()
                    ids = [None] * len(texts) if id_ is None else batch[columns[1]].to_pylist()
                    for text, given in zip(texts, ids, strict=True):
                        number += 1
                        if number > start:
                            yield _row(number, "" if given is None else str(given), "" if text is None else str(text))
        except READ_FAULTS as fault:
            problem = f"cannot be read as Parquet: {type(fault).__name__}."
            raise MalformedInputError(problem, self.path) from None

    def _columns(self, names: Sequence[str]) -> tuple[int, int | None]:
        """Where the SMILES and, if anywhere, the ids stand."""
        lower = [name.strip().lower() for name in names]
        places = []
        for given, usual, what in ((self.smiles, _SMILES, "smiles"), (self.id, _ID, "id")):
            wanted = usual if given is None else (given.lower(),)
            place = next((lower.index(name) for name in wanted if name in lower), None)
            if place is None and (given is not None or what == "smiles"):
                shown = ", ".join(name[:40] for name in names[:20])
                near = "" if given is None else nearest(given, names)
                asked = f"no column {given!r}" if given is not None else f"no column of SMILES ({', '.join(_SMILES)})"
                raise MalformedInputError(f"{asked} among {shown}; name it with {what}=.{near}", self.path, 1)
            places.append(place)
        assert places[0] is not None
        return places[0], places[1]


def _row(number: int, id_: str, smiles: str, problem: str | None = None) -> SmilesRow:
    smiles = smiles.strip()
    if not smiles and problem is None:
        problem = "no SMILES"
    return SmilesRow(number, id_.strip() or str(number), smiles, problem)
