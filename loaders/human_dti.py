"""Human: drug-target pairs that bind, and as many reliable ones that do not.

Liu et al. (2015), Improving compound-protein interaction prediction by building up highly credible negative samples,
doi:10.1093/bioinformatics/btv256; parted 7:1:2 as by DrugBAN (Bai et al. 2023, doi:10.1038/s42256-022-00605-1).
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.affinity_rows import PairRows
from medgraph.data.affinity_units import read_numbers
from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.data.text_table import TextTable
from medgraph.errors import LoaderError, MedgraphError
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_FILES = {"test": "test", "valid": "val", "train": "train"}  # a pair in several files stays in the first of these


def load(path: Path | None = None, standardiser: Standardiser | None = None) -> Affinities:
    """The pairs, 1 if they bind and 0 if not, with the three files as given folds.

    Drugs have no ids there: each is called by its standardised SMILES, each target by a hash of its sequence. A pair
    that stands in two files once structures are in one form stays in test, else in valid, and is counted in `skipped`.

    Args:
        path: the folder of `train.csv`, `val.csv` and `test.csv`, each perhaps with .gz, .bz2 or .zst behind.
        standardiser: how structures are brought to one form; by default all fragments stay, so that no pair of the
            benchmark is left out as a mixture.

    Raises:
        LoaderError: no such folder or files.
        MalformedInputError: a file breaks its format, or a row cannot be used; named with file and line.
    """
    if path is None or not path.is_dir():
        raise LoaderError(
            "Loader 'human_dti' needs path=, the folder of train.csv, val.csv and test.csv with the columns SMILES, "
            "Protein and Y, such as the Human set of github.com/peizhenbai/DrugBAN."
        )
    tables: list[TextTable] = []
    starts: list[int] = []
    total = 0

    def fault(problem: str, row: int, column: str) -> MedgraphError:
        number = bisect_right(starts, row) - 1
        names = {"Drug": "SMILES", "Target": "Protein"}
        return tables[number].fault(problem, row - starts[number], names.get(column, column))

    rows = PairRows(standardiser or Standardiser(salts="keep"), "binary", "raise", fault)
    for name in _FILES.values():
        file = next((f for end in ("", ".gz", ".bz2", ".zst") if (f := path / f"{name}.csv{end}").is_file()), None)
        if file is None:
            raise LoaderError(f"{path} has no {name}.csv (nor {name}.csv.gz).")
        table = TextTable(file, "raise")
        tables.append(table)
        starts.append(total)
        wanted = {"Drug": table.require("SMILES"), "Target": table.require("Protein"), "Y": table.require("Y")}
        for block in table.blocks(wanted):
            row = starts[-1] + block.row
            drug, target, value = (block.columns[column] for column in ("Drug", "Target", "Y"))
            rows.add(None, drug, None, target, read_numbers(value), row=row)
            total = int(row[-1]) + 1 if row.size else total
    found, row = rows.finish(Duplicates("first"))
    part_of = np.searchsorted(starts, row, side="right") - 1
    folds = {part: (np.flatnonzero(part_of == number),) for number, part in enumerate(_FILES)}
    hashes = " ".join(sha256_of(table.path) for table in tables)
    return Affinities(
        **found,
        unit="bound",
        kind="binary",
        folds=folds,
        provenance=(Provenance("Human", "2015", LOADER.licence, LOADER.url, hashes),),
    )


LOADER = Loader(
    name="human_dti",
    summary="5,997 human drug-target pairs that bind or do not, in train, valid and test. Needs path=.",
    licence="MIT",
    url="https://github.com/peizhenbai/DrugBAN",
    load=load,
)
