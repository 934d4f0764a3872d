"""DeepDTA's layout of Davis and KIBA: ids with SMILES, ids with sequences, a matrix of values, folds of its cells.

Öztürk et al. (2018), DeepDTA: deep drug-target binding affinity prediction, doi:10.1093/bioinformatics/bty593.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from medgraph.data.affinity_rows import drug_table, target_table
from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.data.molecules import Standardiser
from medgraph.data.proteins import check_sequence
from medgraph.errors import LoaderError, MalformedInputError, SchemaError

__all__ = ["DeepDTAFolder"]

_ENDINGS = ("", ".gz", ".bz2", ".zst")


@dataclass(frozen=True)
class DeepDTAFolder:
    """A folder with `ligands_iso.txt`, `proteins.txt`, `Y.tsv` and, perhaps in `folds/`, the two files of folds.

    Args:
        path: the folder; each file may also end in .gz, .bz2 or .zst.
        matrices: what the matrix may be called besides `Y.tsv`, `Y.csv` and `Y.txt`.

    Raises:
        LoaderError: there is no such folder.
    """

    path: Path
    matrices: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise LoaderError(f"{self.path}: there is no such folder.")

    def file(self, *names: str) -> Path | None:
        """The first of these that is there, in the folder or its `folds`, compressed or not."""
        for name in names:
            for place in (self.path, self.path / "folds"):
                for ending in _ENDINGS:
                    if (found := place / (name + ending)).is_file():
                        return found
        return None

    def drugs(self, name: str, standardiser: Standardiser) -> tuple[pa.Table, Path]:
        """The table of drugs in the order of the matrix's rows. Raises MalformedInputError, naming the id."""
        path, given = self._ids(name)
        found = standardiser.table(list(given.values()))
        for drug, text, problem in zip(given, given.values(), found.problem, strict=True):
            if problem is not None:
                raise MalformedInputError(f"drug {drug!r}, {text[:80]!r}: {problem}", path)
        return drug_table(list(given), list(given.values()), found), path

    def targets(self) -> tuple[pa.Table, Path]:
        """The table of targets in the order of the matrix's columns. Raises MalformedInputError, naming the id."""
        path, given = self._ids("proteins")
        sequences = []
        for target, text in given.items():
            try:
                sequences.append(check_sequence(text))
            except SchemaError as fault:
                raise MalformedInputError(f"target {target!r}: {fault}", path) from None
        return target_table(list(given), sequences), path

    def matrix(self, drugs: int, targets: int) -> tuple[Float64[np.ndarray, "drugs targets"], Path]:
        """The values; nan where nothing was measured.

        Raises:
            LoaderError: only the pickled form is there.
            MalformedInputError: a row of another length, or what is no number, with line and column.
        """
        names = [*(f"Y{ending}" for ending in (".tsv", ".csv", ".txt")), *self.matrices]
        path = self.file(*names)
        if path is None:
            if pickled := self.file("Y"):
                raise LoaderError(
                    f"{pickled} is a Python pickle, which can run any code when it is read, so it is not. Write it as "
                    "text where you trust it, with NumPy: np.savetxt('Y.tsv', matrix, delimiter='\\t', fmt='%.17g')."
                )
            raise LoaderError(f"{self.path} has no matrix of values; expected one of {', '.join(names)}.")
        lines = [line for line in _text(path).splitlines() if line.strip()]
        if len(lines) != drugs:
            raise MalformedInputError(f"{len(lines):,} rows, expected one for each of {drugs:,} drugs.", path)
        result = np.empty((drugs, targets))
        for row, line in enumerate(lines):
            cells = line.split("\t") if "\t" in line else line.replace(",", " ").split()
            if len(cells) != targets:
                problem = f"{len(cells):,} cells, expected one for each of {targets:,} targets."
                raise MalformedInputError(problem, path, row + 1)
            try:
                result[row] = np.array(cells, dtype=np.float64)
            except ValueError:
                column = next(i for i, cell in enumerate(cells) if not _is_number(cell))
                problem = f"{cells[column][:40]!r} is no number; expected one, or nan where nothing was measured."
                raise MalformedInputError(problem, path, row + 1, f"{column + 1}") from None
        return result, path

    def folds(self, measured: int) -> tuple[dict[str, tuple[Int64[np.ndarray, " k"], ...]], list[Path]]:
        """The given folds, as row-major places among the measured cells: "train" -> lists, "test" -> one list.

        Raises:
            MalformedInputError: no lists of numbers, a place that is not there, or one in two lists.
        """
        paths = [self.file(f"{name}_fold_setting1.txt") for name in ("train", "test")]
        if paths[0] is None or paths[1] is None:
            return {}, []
        lists = [_numbers(_json(path), path) for path in paths if path is not None]
        train, test = lists
        every = np.concatenate([*train, *test])
        if every.size and not 0 <= every.min() <= every.max() < measured:
            raise MalformedInputError(f"a place outside the {measured:,} measured cells.", paths[0])
        if np.unique(every).size < every.size:
            raise MalformedInputError("a cell stands in two folds, or in train and test.", paths[0])
        return {"train": tuple(train), "test": (np.concatenate(test),)}, [path for path in paths if path]

    def _ids(self, name: str) -> tuple[Path, dict[str, str]]:
        path = self.file(f"{name}.txt")
        if path is None:
            raise LoaderError(f"{self.path} has no {name}.txt (nor {name}.txt.gz).")
        found = _json(path, twice=True)
        if not isinstance(found, dict) or not found or not all(isinstance(text, str) for text in found.values()):
            raise MalformedInputError("expected one JSON object of ids with their texts.", path)
        return path, found


def _text(path: Path) -> str:
    try:
        with open_bytes(path) as stream:
            return io.BytesIO(stream.read()).getvalue().decode("utf-8-sig")
    except READ_FAULTS as fault:
        raise MalformedInputError(f"cannot be read, a broken or truncated file? {str(fault)[:200]}", path) from None


def _json(path: Path, twice: bool = False) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        found = dict(pairs)
        if twice and len(found) < len(pairs):
            names = [name for name, _ in pairs]
            again = next(name for name in found if names.count(name) > 1)
            raise MalformedInputError(f"the id {again[:60]!r} stands twice.", path)
        return found

    try:
        return json.loads(_text(path), object_pairs_hook=unique)
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, MalformedInputError):
            raise
        raise MalformedInputError(f"no JSON: {str(fault)[:200]}", path) from None


def _numbers(found: Any, path: Path) -> list[Int64[np.ndarray, " k"]]:
    lists = found if isinstance(found, list) and found and all(isinstance(part, list) for part in found) else [found]
    for part in lists:
        if not isinstance(part, list) or not all(type(place) is int and -(2**62) < place < 2**62 for place in part):
            raise MalformedInputError("expected a list of numbers, or several.", path)
    return [np.array(part, dtype=np.int64) for part in lists]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
