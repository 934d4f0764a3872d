"""Which drugs are one molecule, or have one scaffold; which targets are one sequence, or almost?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from medgraph.data.molecules import Standardiser
from medgraph.data.proteins import near_identical

__all__ = ["molecule_groups", "near_groups", "scaffold_groups", "sequence_groups", "stereo_groups"]


def molecule_groups(drugs: pa.Table) -> Int64[np.ndarray, " m"]:
    """A number for each standardised structure."""
    return _numbered(drugs["smiles"].to_pylist())


def stereo_groups(drugs: pa.Table) -> Int64[np.ndarray, " m"]:
    """A number for each structure without stereo."""
    return _numbered(_column(drugs, "flat"))


def scaffold_groups(drugs: pa.Table) -> Int64[np.ndarray, " m"]:
    """A number for each Bemis-Murcko scaffold; a molecule without a ring has that of its structure without stereo."""
    pairs = zip(_column(drugs, "scaffold"), _column(drugs, "flat"), strict=True)
    return _numbered([ring or f"acyclic {flat}" for ring, flat in pairs])


def sequence_groups(targets: pa.Table) -> Int64[np.ndarray, " m"]:
    """A number for each sequence."""
    return _numbered(targets["sequence"].to_pylist())


def near_groups(targets: pa.Table) -> Int64[np.ndarray, " m"]:
    """A number for each group of sequences that are at least 90 % identical."""
    return near_identical(targets["sequence"].to_pylist())


def _column(drugs: pa.Table, name: str) -> Sequence[str]:
    """`flat` or `scaffold`, made here where the table came without."""
    if name in drugs.column_names:
        given: list[str] = drugs[name].to_pylist()
        return given
    found = Standardiser(salts="keep", charges="keep").table(drugs["smiles"].to_pylist())
    return [text or "" for text in (found.flat if name == "flat" else found.scaffold)]


def _numbered(texts: Sequence[str]) -> Int64[np.ndarray, " m"]:
    """A number for each distinct text, from 0 in order of appearance."""
    indices = pa.array(texts, pa.string()).dictionary_encode().indices
    numbers: Int64[np.ndarray, " m"] = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
