"""Drug combinations in the layout of the DrugComb subset: a table of pairs, cell lines and scores, and one of SMILES.

Zheng et al. (2021), DrugComb: update, doi:10.1093/nar/gkab438. The file has one column called "synergy" and does not
say which of the usual scores it is, so neither do we.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa

from medgraph.data.comma_separated import PatientTable
from medgraph.data.delimited import TabSeparated
from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.data.synergies import Synergies
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_PAIRS = ("Drug1", "Drug2", "cell", "synergy")


def load(
    path: Path | None = None,
    standardiser: Standardiser | None = None,
    duplicates: Literal["mean", "median", "first", "refuse"] = "mean",
    self_pairs: Literal["drop", "keep"] = "drop",
) -> Synergies:
    """The synergies in a folder with one .tsv (Drug1, Drug2, cell, synergy, maybe fold) and one *smiles*.csv.

    The second has the columns `drug_name` and `smiles`. Both may be compressed. A drug without a SMILES there, or with
    one that cannot be read, costs its rows, which are counted.

    Args:
        path: the folder.
        standardiser: how structures are brought to one form.
        duplicates: what becomes of measurements of one pair, in either order, in one cell line.
        self_pairs: what becomes of rows of a drug with itself.

    Raises:
        LoaderError: no such folder, or not one file of each kind.
        MalformedInputError: a file breaks its format; a name with two structures.
    """
    if path is None:
        raise LoaderError("Loader 'drugcomb' needs path=, the folder with the table of pairs and the table of SMILES.")
    pairs, structures = _only(path, "*.tsv*"), _only(path, "*smiles*.csv*")
    smiles = _smiles(structures)
    file = TabSeparated(pairs, _PAIRS)
    table = file.table()
    for name in _PAIRS[:2]:
        if table[name].null_count:
            raise file.fault("a row without a drug's name.", table[name].to_pylist().index(None), name)
    first, second = (table[name].to_pylist() for name in _PAIRS[:2])
    columns = {
        "Drug1_ID": first,
        "Drug1": pa.array([smiles.get(name) for name in first], pa.string()),
        "Drug2_ID": second,
        "Drug2": pa.array([smiles.get(name) for name in second], pa.string()),
        "Cell_Line_ID": table["cell"],
        "Y": table["synergy"],
    }
    if "fold" in table.column_names:
        try:
            columns["fold"] = table["fold"].cast(pa.int64())
        except pa.ArrowInvalid as fault:
            raise MalformedInputError(f"a fold that is no whole number: {fault}", pairs, None, "fold") from None
        if columns["fold"].null_count:
            raise file.fault("a row without a fold.", columns["fold"].to_pylist().index(None), "fold")
    hashes = " ".join(sha256_of(each) for each in (pairs, structures))
    source = Provenance("DrugComb subset", licence=LOADER.licence, url=LOADER.url, sha256=hashes)
    return Synergies.of(
        pa.table(columns), standardiser=standardiser, duplicates=duplicates, self_pairs=self_pairs, provenance=(source,)
    )


def _only(folder: Path, pattern: str) -> Path:
    """The one file of this kind."""
    if not folder.is_dir():
        raise LoaderError(f"{folder}: there is no such folder.")
    found = sorted(f for f in folder.glob(pattern) if f.is_file())
    if len(found) != 1:
        names = f": {', '.join(f.name for f in found)}" if found else ""
        raise LoaderError(f"{folder} has {len(found)} files {pattern}{names}; expected one.")
    return found[0]


def _smiles(path: Path) -> dict[str, str]:
    """Name -> SMILES; names without one are left out."""
    table = PatientTable(path).table(["drug_name", "smiles"])
    known: dict[str, str] = {}
    for row, (name, text) in enumerate(zip(table["drug_name"].to_pylist(), table["smiles"].to_pylist(), strict=True)):
        if name is None or text is None:
            continue
        if known.setdefault(name, text) != text:
            raise MalformedInputError(f"{name[:80]!r} has a second structure.", path, row + 2, "smiles")
    return known


LOADER = Loader(
    "drugcomb",
    "Synergy scores of drug pairs in cell lines: the DrugComb subset, or your own files in its layout",
    "research use; see the source",
    "https://drugcomb.org",
    load,
)
