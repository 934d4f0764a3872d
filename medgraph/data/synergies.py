"""Measured drug combinations: two drugs, a cell line, a score. A pair has no order, and one structure is one drug."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.data.synergy_splits import SynergySplit

__all__ = ["Synergies"]

_COLUMNS = ("Drug1_ID", "Drug1", "Drug2_ID", "Drug2", "Cell_Line_ID", "Y")


@dataclass(frozen=True, eq=False, repr=False)
class Synergies:
    """Scores of unordered drug pairs in cell lines; each pair and cell line stands here once.

    Args:
        drugs: one row a structure: `id` (the name that most rows use), `smiles` (standardised), `names` (all of them).
        cells: one row a cell line: `id`, and numeric columns where its features are known (gene expression, say).
        first: row of `drugs`; never above `second`, whichever came first.
        second: row of `drugs`.
        cell: row of `cells`.
        value: the score.
        score: which score, as far as the source says it.
        fold: of each row, where the source gives one.
        skipped: what was left out or merged, reason -> count.
        notes: what a reader of figures should know.
        provenance: where it came from.

    Raises:
        SchemaError: arrays of different lengths, a row that is not there, a score that is no number.
    """

    drugs: pa.Table
    cells: pa.Table
    first: Int64[np.ndarray, " n"]
    second: Int64[np.ndarray, " n"]
    cell: Int64[np.ndarray, " n"]
    value: Float64[np.ndarray, " n"]
    score: str = "synergy score as given"
    fold: Int64[np.ndarray, " n"] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: tuple[Provenance, ...] = ()

    def __post_init__(self) -> None:
        n = self.value.size
        for name, table in (("first", self.drugs), ("second", self.drugs), ("cell", self.cells)):
            rows = getattr(self, name)
            if rows.size != n or (n and not 0 <= rows.min() <= rows.max() < table.num_rows):
                raise SchemaError(f"{name}: expected {n:,} rows of a table of {table.num_rows:,}.")
        if self.fold is not None and self.fold.size != n:
            raise SchemaError(f"fold: {self.fold.size:,} numbers for {n:,} rows.")
        if not np.isfinite(self.value).all():
            raise SchemaError(f"{int((~np.isfinite(self.value)).sum()):,} scores are no numbers.")
        low, high = np.minimum(self.first, self.second), np.maximum(self.first, self.second)
        object.__setattr__(self, "first", low)
        object.__setattr__(self, "second", high)
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))

    @classmethod
    def of(
        cls,
        table: Any,
        *,
        features: Mapping[str, Sequence[float]] | None = None,
        score: str = "synergy score as given",
        standardiser: Standardiser | None = None,
        duplicates: Literal["mean", "median", "first", "refuse"] = "mean",
        self_pairs: Literal["drop", "keep"] = "drop",
        provenance: tuple[Provenance, ...] = (),
    ) -> Synergies:
        """Synergies from a table in TDC's columns `Drug1_ID, Drug1, Drug2_ID, Drug2, Cell_Line_ID, Y`, maybe `fold`.

        `Drug1` and `Drug2` are SMILES. Names with one structure after standardisation are one drug. Rows of one pair
        (in either order) and cell line are brought to one by `duplicates`, and stay in the fold of the first of them.

        Args:
            table: pandas or Arrow.
            features: cell line -> numbers, all of one length.
            score: what the column `Y` holds.
            standardiser: how structures are brought to one form; the default keeps the largest part of a salt.
            duplicates: what becomes of measurements of the same pair and cell line.
            self_pairs: a drug with itself is no combination.
            provenance: where the table came from.

        Raises:
            SchemaError: a column missing, nothing left, one id with two structures, features of unequal lengths, or
                duplicates where they are refused.
        """
        from medgraph.data.synergy_table import read_table

        read = read_table(_columns(table), standardiser or Standardiser(), duplicates, self_pairs)
        return cls(
            read.drugs, _cells(read.cells, features), read.first, read.second, read.cell, read.value, score, read.fold,
            read.skipped, read.notes, provenance,
        )  # fmt: skip

    # What is in it ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self.value.size)

    def __repr__(self) -> str:
        name = ", ".join(" ".join(filter(None, (p.name, p.version))) for p in self.provenance) or "unnamed"
        drugs = np.unique(np.concatenate([self.first, self.second])).size
        return (
            f"Synergies({name}: {len(self):,} measurements of {np.unique(self.pair).size:,} pairs of {drugs:,} drugs "
            f"in {np.unique(self.cell).size:,} cell lines, {self.score})"
        )

    @property
    def pair(self) -> Int64[np.ndarray, " n"]:
        """A number of each row's pair, the same in all parts: first x drugs + second."""
        return np.asarray(self.first * self.drugs.num_rows + self.second)

    @property
    def smiles(self) -> list[str]:
        """The structures, in the order of `drugs`."""
        return list(self.drugs["smiles"].to_pylist())

    @cached_property
    def features(self) -> Float64[np.ndarray, "c f"] | None:
        """What is known of the cell lines besides their names, in the order of `cells`; nan where it is not."""
        names = [name for name in self.cells.column_names if name != "id"]
        if not names:
            return None
        return np.stack([self.cells[n].to_numpy(zero_copy_only=False).astype(np.float64) for n in names], axis=1)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the contents."""
        digest = hashlib.sha256(self.score.encode())
        for texts in (self.drugs["id"], self.drugs["smiles"], self.cells["id"]):
            digest.update("\0".join(texts.to_pylist()).encode() + b"\1")
        if self.features is not None:
            digest.update(self.features.astype("<f8").tobytes())
        for array in (self.first, self.second, self.cell):
            digest.update(array.astype("<i8").tobytes())
        digest.update(self.value.astype("<f8").tobytes())
        return digest.hexdigest()

    def to_pandas(self) -> pd.DataFrame:
        """In TDC's columns; `Drug1` is the drug that stands first in `drugs`."""
        import pandas as pd

        ids, smiles, cells = (np.array(column.to_pylist(), dtype=object) for column in (
            self.drugs["id"], self.drugs["smiles"], self.cells["id"]
        ))  # fmt: skip
        values = (
            ids[self.first], smiles[self.first], ids[self.second], smiles[self.second], cells[self.cell], self.value
        )  # fmt: skip
        frame = pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))
        return frame if self.fold is None else frame.assign(fold=self.fold)

    # Parts ------------------------------------------------------------------------------------------------------------

    def take(self, rows: Int64[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> Synergies:
        """Some of the measurements; the tables of drugs and cells stay whole, so that row numbers of parts agree."""
        fold = None if self.fold is None else self.fold[rows]
        return replace(
            self, first=self.first[rows], second=self.second[rows], cell=self.cell[rows], value=self.value[rows],
            fold=fold,
        )  # fmt: skip

    def at_least(self, drug: int = 1, cell: int = 1) -> Synergies:
        """Without drugs and cell lines of fewer measurements than this, until all that are left have so many."""
        kept = np.arange(len(self))
        while kept.size:
            first, second = self.first[kept], self.second[kept]
            drugs = np.bincount(first, minlength=self.drugs.num_rows)
            drugs = drugs + np.bincount(second[first != second], minlength=self.drugs.num_rows)
            cells = np.bincount(self.cell[kept], minlength=self.cells.num_rows)
            enough = (drugs[first] >= drug) & (drugs[second] >= drug) & (cells[self.cell[kept]] >= cell)
            if enough.all():
                break
            kept = kept[enough]
        part = self.take(kept)
        if not (left := len(self) - len(part)):
            return part
        reason = f"measurements of drugs with fewer than {drug} or cell lines with fewer than {cell}"
        return replace(part, skipped={**self.skipped, reason: left})

    def split(
        self,
        by: Literal["pair", "drug", "cell", "given"] = "pair",
        fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        fold: int = 0,
    ) -> SynergySplit:
        """Train, valid and test, and what could leak between them; see `SynergySplit`.

        Args:
            by: hold out pairs (in all cell lines), drugs (with every pair they are in), cell lines, or the given fold.
            fractions: of pairs, drugs or cell lines.
            seed: of the draw.
            fold: which given fold is test; the next one is valid.

        Raises:
            SchemaError: fractions that do not add up to 1, a part without rows, no such fold.
        """
        from medgraph.data.synergy_splits import split_synergies

        return split_synergies(self, by, fractions, seed, fold)


def _columns(table: Any) -> dict[str, list[Any]]:
    """Its columns as lists; SchemaError for one that is missing."""
    is_arrow = isinstance(table, pa.Table)
    there = list(table.column_names if is_arrow else table.columns)
    if missing := [name for name in _COLUMNS if name not in there]:
        raise SchemaError(
            f"Synergies take the columns {', '.join(_COLUMNS)}; {', '.join(missing)} missing of the {len(there)} there "
            "are."
        )
    wanted = [*_COLUMNS, *(["fold"] if "fold" in there else [])]
    return {name: table[name].to_pylist() if is_arrow else table[name].tolist() for name in wanted}


def _cells(ids: Sequence[str], features: Mapping[str, Sequence[float]] | None) -> pa.Table:
    table = pa.table({"id": pa.array(ids, pa.string())})
    if features is None:
        return table
    lengths = Counter(len(features[name]) for name in ids if name in features)
    if len(lengths) != 1:
        found = ", ".join(map(str, sorted(lengths))) or "none for any of these cell lines"
        raise SchemaError(f"features: expected one length, got {found}.")
    width = next(iter(lengths))
    known = np.array([features.get(name, [np.nan] * width) for name in ids], dtype=np.float64)
    for number in range(width):
        table = table.append_column(f"feature_{number}", pa.array(known[:, number]))
    return table
