"""Files of drugs, of targets and of pairs of them, to be asked about: SMILES files, FASTA, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.data.smiles_files import SmilesFile
from medgraph.errors import LoaderError, MalformedInputError, nearest

__all__ = ["read_drugs", "read_fasta", "read_pairs", "read_targets"]

_FASTA = {".fasta", ".fa", ".faa", ".fas"}
_DRUG_IDS, _SMILES = ("drug_id", "drug", "id", "name"), ("smiles", "drug_smiles")
_TARGET_IDS, _SEQUENCES = ("target_id", "target", "id", "name"), ("sequence", "target_sequence", "seq")


def read_fasta(path: Path) -> tuple[list[str], list[str]]:
    """Ids (the first word after >) and sequences of a FASTA file, plain or compressed.

    Raises:
        LoaderError: no such file.
        MalformedInputError: letters before the first >, a sequence without letters, no sequence at all.
    """
    ids: list[str] = []
    parts: list[list[str]] = []
    try:
        with open_bytes(path) as stream:
            lines = bytes(stream.read()).decode("utf-8-sig").splitlines()
    except READ_FAULTS as fault:
        if isinstance(fault, LoaderError):
            raise
        raise MalformedInputError(f"cannot be read as text ({type(fault).__name__}).", path) from None
    for number, line in enumerate(lines, start=1):
        if line.startswith(">"):
            ids.append((line[1:].split() or [""])[0] or f"sequence {len(ids) + 1}")
            parts.append([])
        elif line.strip():
            if not parts:
                raise MalformedInputError("letters before the first line that begins with >.", path, number)
            parts[-1].append(line.strip())
    sequences = ["".join(part) for part in parts]
    if not sequences:
        raise MalformedInputError("holds no sequence; expected FASTA.", path)
    if "" in sequences:
        raise MalformedInputError(f"{ids[sequences.index('')]!r} has no letters.", path)
    return ids, sequences


def read_drugs(path: Path) -> tuple[list[str], list[str]]:
    """Ids and SMILES of a short file: all that `SmilesFile` reads. A bad row is refused, named with its number.

    Raises:
        LoaderError: no such file, or another ending.
        MalformedInputError: a row without SMILES, no row.
    """
    rows = list(SmilesFile(path).rows())
    for row in rows:
        if row.problem is not None:
            raise MalformedInputError(f"row {row.number}: {row.problem}.", path)
    if not rows:
        raise MalformedInputError("holds no molecule.", path)
    return [row.id for row in rows], [row.smiles for row in rows]


def read_targets(path: Path) -> tuple[list[str], list[str]]:
    """Ids and sequences of a FASTA file, or of a table with the columns `sequence` and perhaps `id`.

    Raises:
        LoaderError: no such file.
        MalformedInputError: no such column, an empty cell, or broken.
    """
    name = Path(path.stem) if path.suffix.lower() in {".gz", ".bz2", ".zst"} else path
    if name.suffix.lower() in _FASTA:
        return read_fasta(path)
    table = _table(path)
    column = _find(table, (*_SEQUENCES, "target"), path, "sequence")
    ids = next((name for name in _lower(table) if name in _TARGET_IDS and name != column), None)
    sequences = _cells(table, column, path)
    return ([str(i) for i in range(1, len(sequences) + 1)] if ids is None else _cells(table, ids, path)), sequences


def read_pairs(path: Path) -> dict[str, list[str]]:
    """The columns of a table of pairs: `smiles` or else `drug` (an id), `sequence` or else `target` (an id).

    The columns of Therapeutics Data Commons are read as what they are there: Drug a SMILES, Target a sequence.

    Raises:
        LoaderError: no such file.
        MalformedInputError: a side is missing, an empty cell, or broken.
    """
    table = _table(path)
    there = set(_lower(table))
    found = {}
    if {"drug", "target"} <= there and there & {"y", "drug_id", "target_id"}:
        return {"smiles": _cells(table, "drug", path), "sequence": _cells(table, "target", path)}
    for word, texts, ids in (("smiles", _SMILES, _DRUG_IDS[:2]), ("sequence", _SEQUENCES, _TARGET_IDS[:2])):
        column = _find(table, (*texts, *ids), path, f"{word} (or {ids[0]})")
        kind = word if column in texts else "drug" if word == "smiles" else "target"
        found[kind] = _cells(table, column, path)
    return found


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise LoaderError(f"{path}: there is no such file.")
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        name = Path(path.stem) if path.suffix.lower() in {".gz", ".bz2", ".zst"} else path
        if name.suffix.lower() not in {".csv", ".tsv"}:
            raise LoaderError(f"{path}: expected a name that ends in .csv, .tsv, .parquet, or .fasta for sequences.")
        mark = "\t" if name.suffix.lower() == ".tsv" else ","
        with open_bytes(path) as stream:
            columns = pacsv.read_csv(stream, parse_options=pacsv.ParseOptions(delimiter=mark)).column_names
        with open_bytes(path) as stream:
            return pacsv.read_csv(
                stream,
                parse_options=pacsv.ParseOptions(delimiter=mark),
                convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
            )
    except READ_FAULTS as fault:
        if isinstance(fault, LoaderError):
            raise
        raise MalformedInputError(f"cannot be read as a table: {str(fault).splitlines()[0]}", path) from None


def _lower(table: pa.Table) -> list[str]:
    return [name.strip().lower() for name in table.column_names]


def _find(table: pa.Table, wanted: Sequence[str], path: Path, what: str) -> str:
    there = _lower(table)
    for name in wanted:
        if name in there:
            return name
    shown = ", ".join(table.column_names[:20])
    raise MalformedInputError(f"no column {what} among {shown}.{nearest(wanted[0], table.column_names)}", path, 1)


def _cells(table: pa.Table, column: str, path: Path) -> list[str]:
    cells = table.column(_lower(table).index(column)).to_pylist()
    for row, cell in enumerate(cells, start=1):
        if cell is None or not str(cell).strip():
            raise MalformedInputError(f"row {row} has nothing there.", path, None, column)
    if not cells:
        raise MalformedInputError("holds no row.", path)
    return [str(cell).strip() for cell in cells]
