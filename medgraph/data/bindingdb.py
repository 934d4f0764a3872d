"""BindingDB's tab-separated download: which columns say what, and which rows are of a single protein.

Liu et al. (2025), BindingDB in 2024, doi:10.1093/nar/gkae1075. Columns are named as from 2025 on
("BindingDB Target Chain Sequence 1") or as before ("BindingDB Target Chain Sequence").
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from medgraph.data.text_table import Block, TextTable
from medgraph.errors import MalformedInputError, SchemaError

__all__ = ["MEASURES", "is_bindingdb", "ready", "wanted"]

MEASURES = {"pKd": "Kd (nM)", "pKi": "Ki (nM)", "pIC50": "IC50 (nM)", "pEC50": "EC50 (nM)"}
_SEQUENCE = "BindingDB Target Chain Sequence"
_CHAINS = "Number of Protein Chains in Target (>1 implies a multichain complex)"
_UNIPROT = [f"UniProt ({part}) Primary ID of Target Chain" for part in ("SwissProt", "TrEMBL")]


def is_bindingdb(table: TextTable) -> bool:
    """Has it BindingDB's columns?"""
    return table.find("Ligand SMILES") is not None and any(table.find(name) for name in MEASURES.values())


def wanted(table: TextTable, unit: str) -> dict[str, str]:
    """The columns to read for values in `unit`.

    Raises:
        SchemaError: another unit than pKd, pKi, pIC50, pEC50.
        MalformedInputError: a column is missing.
    """
    if unit not in MEASURES:
        raise SchemaError(f"BindingDB has {', '.join(MEASURES)}, not {unit!r}.")
    sequence = table.require(f"{_SEQUENCE} 1", _SEQUENCE)
    columns = {"Drug": table.require("Ligand SMILES"), "Target": sequence, "Y": table.require(MEASURES[unit])}
    chains, second = table.find(_CHAINS), table.find(f"{_SEQUENCE} 2")
    if chains is None and second is None:
        raise MalformedInputError(f"no column {_CHAINS!r}, so targets of several chains cannot be told.", table.path)
    optional = {"Drug_ID": table.find("BindingDB MonomerID"), "chains": chains, "second": second}
    for number, name in enumerate(_UNIPROT):
        optional[f"uniprot{number}"] = table.find(f"{name} 1") or table.find(name)
    return columns | {name: there for name, there in optional.items() if there is not None}


def ready(block: Block) -> tuple[Block, Bool[np.ndarray, " n"]]:
    """The same with Target_ID (UniProt's), and which rows are of a target of several chains."""
    columns = dict(block.columns)
    empty = pa.nulls(block.row.size, pa.string())
    several = pc.greater(pc.fill_null(_integer(columns.pop("chains", empty)), 1), 1)
    second = pc.greater(pc.fill_null(pc.utf8_length(columns.pop("second", empty)), 0), 0)
    names = [columns.pop(f"uniprot{number}", empty) for number in range(len(_UNIPROT))]
    columns["Target_ID"] = pc.coalesce(*names)
    mask: Bool[np.ndarray, " n"] = pc.or_(several, second).to_numpy(zero_copy_only=False)
    return Block(columns, block.row), mask


def _integer(text: pa.Array) -> pa.Array:
    good = pc.match_substring_regex(text, r"^\d{1,9}$")
    return pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.int64())
