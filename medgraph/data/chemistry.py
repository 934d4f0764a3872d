"""RDKit, when it is there, saying nothing but what it is asked."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from medgraph.errors import MissingExtraError, SchemaError

__all__ = ["chem", "complaint", "quiet", "read_molecule", "shortened"]


def chem() -> Any:
    """RDKit's module Chem. Raises MissingExtraError where RDKit is not installed."""
    try:
        from rdkit import Chem
    except ImportError:
        raise MissingExtraError("rdkit", "chem", "Reading chemical structures") from None
    return Chem


def quiet() -> AbstractContextManager[Any]:
    """Within, RDKit writes nothing to stderr. Raises MissingExtraError where RDKit is not installed."""
    chem()
    from rdkit import rdBase

    blocked: AbstractContextManager[Any] = rdBase.BlockLogs()
    return blocked


def complaint(smiles: str) -> str:
    """The first thing RDKit says of a SMILES that it cannot read, without its clock."""
    from rdkit import rdBase

    if not hasattr(rdBase, "CaptureErrorLog"):  # an older RDKit
        return "RDKit cannot read it."
    with rdBase.CaptureErrorLog() as log:
        chem().MolFromSmiles(smiles)
    lines = [line.partition("] ")[2] if line.startswith("[") else line for line in log.messages.splitlines()]
    first = next((line.strip() for line in lines if line.strip()), "it cannot read this.")
    return f"RDKit: {first[:200]}"


def read_molecule(smiles: str, row: int | None = None) -> Any:
    """RDKit's molecule. Raises SchemaError, with the row and what RDKit said."""
    where = "" if row is None else f"Row {row}: "
    if not smiles.strip():
        raise SchemaError(f"{where}there is no SMILES.")
    with quiet():
        molecule = chem().MolFromSmiles(smiles)
    if molecule is None:
        raise SchemaError(f"{where}{shortened(smiles)}: {complaint(smiles)}")
    return molecule


def shortened(smiles: str) -> str:
    """A SMILES as errors show it."""
    return repr(smiles if len(smiles) <= 80 else f"{smiles[:77]}...")
