"""Anyone's affinities: a table of SMILES, sequence and value, CSV, tab-separated or Parquet; or BindingDB's download.

The columns are those of Therapeutics Data Commons (Huang et al. 2021, arXiv:2102.09548): Drug_ID, Drug, Target_ID,
Target, Y.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from medgraph.data import bindingdb
from medgraph.data.affinities import Affinities
from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.affinity_rows import PairRows
from medgraph.data.affinity_units import concentration_of, factor_to, is_logarithm, negative_log, read_measures
from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.data.text_table import Block, TextTable
from medgraph.errors import LoaderError, SchemaError, nearest
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_NAMES = ("Drug_ID", "Drug", "Target_ID", "Target", "Y", "Unit", "Relation")
_NO_VALUE, _NOT_POSITIVE = "values that are missing or no number", "concentrations that are not positive"
_UNIT, _AT_LEAST = "units that are not known", "values of which only a lower bound is known"
_CHAINS, _UNMEASURED = "targets of several chains", "rows without this measure"


def load(
    path: Path | None = None,
    unit: str | None = None,
    kind: Literal["regression", "binary"] = "regression",
    concentration: str | None = None,
    columns: Mapping[str, str] | None = None,
    limit: float | None = None,
    standardiser: Standardiser | None = None,
    duplicates: Duplicates | None = None,
    on_error: Literal["skip", "raise"] = "skip",
) -> Affinities:
    """The affinities in a table with the columns Drug (SMILES), Target (sequence) and Y, among others in any order.

    Drug_ID and Target_ID are read where they are there; else a drug is called by its SMILES, a target by a hash of its
    sequence. With a column Unit (M, mM, uM, nM, pM, fM, -log10(M), or `unit` itself), rows may be in different
    units; with one called Relation, or a sign in Y (">10000"), values may be bounds: "at most" is kept and marked
    (`censored`), "at least" left out and counted.

    BindingDB's download is known by its columns: the measure is chosen by `unit`, targets are called by UniProt's ids
    (`<id>#2` is the second sequence under one), and those of several chains are left out and counted.

    Args:
        path: the file: .csv, .tsv, .tab, .txt (each also .gz, .bz2, .zst) or .parquet.
        unit: what the values are in: "pKd", "pKi", "pIC50", "KIBA score" ...; "bound" if `kind` is "binary".
        kind: "binary" if Y is 0 or 1.
        concentration: the unit in which Y is a concentration ("nM"), where no column Unit says so: it becomes
            -log10 of mol/l. Without, Y is taken as it is.
        columns: where names differ: "Drug" -> "smiles" ...
        limit: values at or below it mean "at most this".
        standardiser: how structures are brought to one form.
        duplicates: what becomes of a pair that was measured more than once.
        on_error: "skip": rows that cannot be used are left out and counted by reason; "raise": refused.

    Raises:
        LoaderError: no such file.
        SchemaError: no unit, or one that cannot be made of the others.
        MalformedInputError: a column is missing; the file is broken; with on_error="raise" the first bad row.
    """
    if path is None:
        raise LoaderError("Loader 'affinity_table' needs path=, a CSV, TSV or Parquet file.")
    unit = unit or ("bound" if kind == "binary" else None)
    if unit is None:
        raise SchemaError(
            "Name what the values are in: unit='pKd', 'pKi', 'pIC50', 'KIBA score' ..., or kind='binary'."
        )
    if concentration is not None and concentration_of(concentration) is None:
        raise SchemaError(f"{concentration!r} is no unit of concentration; expected M, mM, uM, nM, pM or fM.")
    table = TextTable(path, on_error)
    binding = bindingdb.is_bindingdb(table) and not columns
    wanted = bindingdb.wanted(table, unit) if binding else _columns(table, columns or {})
    scale = concentration if not binding else "nM"
    if scale and not is_logarithm(unit):
        raise SchemaError(f"Concentrations become a -log10, so unit is 'pKd' or the like, not {unit!r}.")
    rows = PairRows(standardiser or Standardiser(), kind, on_error, table.fault, "number" if binding else "exclude")
    reader = _Reader(rows, unit, scale, limit, on_error)
    for block in table.blocks(wanted):
        reader.add(block, binding)
    found, _ = rows.finish(duplicates or Duplicates())
    skipped = {**+table.skipped, **found.pop("skipped")}
    bounds = found.pop("at_most")
    by_limit = bounds is None or (limit is not None and bool((bounds == (found["value"] <= limit)).all()))
    return Affinities(
        **found,
        unit=unit,
        kind=kind,
        limit=limit if by_limit else None,
        at_most=None if by_limit else bounds,
        skipped=skipped,
        provenance=(
            Provenance("BindingDB" if binding else path.name.partition(".")[0], sha256=sha256_of(path)),
        ),
    )  # fmt: skip


def _columns(table: TextTable, renamed: Mapping[str, str]) -> dict[str, str]:
    for name in renamed:
        if name not in _NAMES:
            raise SchemaError(f"columns names {name!r}; there are {', '.join(_NAMES)}.{nearest(name, _NAMES)}")
    found = {name: table.require(renamed.get(name, name)) for name in ("Drug", "Target", "Y")}
    for name in ("Drug_ID", "Target_ID", "Unit", "Relation"):
        there = table.require(renamed[name]) if name in renamed else table.find(name)
        if there is not None:
            found[name] = there
    return found


class _Reader:
    """Brings blocks of the file to one unit, and hands them on."""

    def __init__(self, rows: PairRows, unit: str, scale: str | None, limit: float | None, on_error: str) -> None:
        self.rows, self.unit, self.scale, self.limit, self.on_error = rows, unit, scale, limit, on_error

    def add(self, block: Block, binding: bool) -> None:
        keep = np.ones(block.row.size, dtype=bool)
        if binding:
            block, several = bindingdb.ready(block)
            keep &= ~self._out(several, _CHAINS)
            empty = block.columns["Y"].is_null().to_numpy(zero_copy_only=False)
            keep &= ~self._out(empty & keep, _UNMEASURED)
        value, at_most, keep = self._values(block, keep)
        chosen = pa.array(np.flatnonzero(keep))
        ends = {name: column.take(chosen) for name, column in block.columns.items()}
        if self.limit is not None:
            at_most = at_most | (value <= self.limit)
        self.rows.add(
            ends.get("Drug_ID"), ends["Drug"], ends.get("Target_ID"), ends["Target"],
            value[keep], at_most[keep], block.row[keep],
        )  # fmt: skip

    def _values(
        self, block: Block, keep: Bool[np.ndarray, " n"]
    ) -> tuple[Float64[np.ndarray, " n"], Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Each row's value in the wanted unit, whether it is a bound, and whether the row is kept."""
        value, side = read_measures(block.columns["Y"], block.columns.get("Relation"))
        keep = keep & ~self._out(keep & ~np.isfinite(value), _NO_VALUE, block.row, "Y")
        factor = self._factors(block)
        keep &= ~self._out(keep & (factor < 0), _UNIT, block.row, "Unit")
        linear = factor > 0
        keep &= ~self._out(keep & linear & ~(value > 0), _NOT_POSITIVE, block.row, "Y")
        value = np.where(linear, negative_log(value, np.where(linear, factor, 1.0)), value)
        side = np.where(linear, -side, side)  # a higher concentration is a lower affinity
        keep &= ~self._out(keep & (side > 0), _AT_LEAST)
        return value, side < 0, keep

    def _factors(self, block: Block) -> Float64[np.ndarray, " n"]:
        """How many mol/l one unit is on each row; 0 where the value stays as it is, -1 where the unit is not known."""
        usual = 0.0 if self.scale is None else concentration_of(self.scale) or -1.0
        if "Unit" not in block.columns:
            return np.full(block.row.size, usual)
        encoded = block.columns["Unit"].dictionary_encode()
        known = [usual]
        for text in encoded.dictionary.to_pylist():
            factor = factor_to(self.unit, text) if text.strip() else usual
            known.append(-1.0 if factor is None else factor)
        number = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        factors: Float64[np.ndarray, " n"] = np.array(known)[number + 1]
        return factors

    def _out(
        self, bad: Bool[np.ndarray, " n"], reason: str, row: Int64[np.ndarray, " n"] | None = None, column: str = ""
    ) -> Bool[np.ndarray, " n"]:
        if row is not None and bad.any() and self.on_error == "raise":
            raise self.rows.fault(f"{reason}.", int(row[bad.argmax()]), column)
        self.rows.skipped[reason] += int(bad.sum())
        return bad


LOADER = Loader(
    name="affinity_table",
    summary="Anyone's drug-target pairs: SMILES, sequence, value in CSV, TSV or Parquet; BindingDB's TSV. Needs path=.",
    licence="the table's own (BindingDB: CC BY 3.0 and 4.0)",
    url="https://tdcommons.ai/multi_pred_tasks/dti",
    load=load,
)
