"""Measured affinities: which drug binds which target, how strongly, in which unit, and what is only a bound."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64

from medgraph.data.affinity_columns import number_column, text_column
from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.affinity_rows import COLUMNS, PairRows
from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.errors import MedgraphError, SchemaError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.data.affinity_splits import AffinitySplit, By

__all__ = ["Affinities"]

_Rows = Int64[np.ndarray, " k"]


@dataclass(frozen=True, eq=False, repr=False)
class Affinities:
    """Pairs of a drug and a target with what was measured of them.

    Args:
        drugs: one row a drug: `id`, `smiles` (standardised), `given` (as it came), and more columns, such as `flat`
            (without stereo) and `scaffold`. Two ids may have one structure; the leak report of a split says so.
        targets: one row a target: `id`, `sequence`, and more columns.
        drug: of each pair, the row of its drug.
        target: of each pair, the row of its target.
        value: of each pair, what was measured; finite.
        unit: "pKd", "pKi", "pIC50", "KIBA score", "bound" ...; p means -log10 of a concentration in mol/l.
        kind: "regression", or "binary" where values are 0 and 1.
        limit: what lies at or below it was not measured exactly: it means "at most this" (10 uM in Davis: pKd 5).
        at_most: the same pair by pair, where limits differ; in place of `limit`.
        folds: splits that came with the data, as rows: "train" -> one list a fold, "test" and perhaps "valid" -> one.
        skipped: what was left out or mended on the way here, reason -> count.
        notes: what else one should know of these data.
        provenance: where they are from.

    Raises:
        SchemaError: a missing column, rows that are not there, values that are not finite, or not 0 and 1.
    """

    drugs: pa.Table
    targets: pa.Table
    drug: Int64[np.ndarray, " n"]
    target: Int64[np.ndarray, " n"]
    value: Float64[np.ndarray, " n"]
    unit: str
    kind: Literal["regression", "binary"] = "regression"
    limit: float | None = None
    at_most: Bool[np.ndarray, " n"] | None = None
    folds: Mapping[str, tuple[_Rows, ...]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: tuple[Provenance, ...] = ()

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name, dtype in (("drug", np.int64), ("target", np.int64), ("value", np.float64)):
            set_(self, name, np.ascontiguousarray(getattr(self, name), dtype=dtype))
        if self.at_most is not None:
            set_(self, "at_most", np.ascontiguousarray(self.at_most, dtype=bool))
        folds = {name: tuple(np.asarray(r, dtype=np.int64) for r in rows) for name, rows in self.folds.items()}
        set_(self, "folds", MappingProxyType(folds))
        set_(self, "skipped", MappingProxyType(dict(self.skipped)))
        self._check()

    def _check(self) -> None:
        n = self.value.size
        if self.kind not in {"regression", "binary"}:
            raise SchemaError(f"kind is 'regression' or 'binary', not {self.kind!r}.")
        for what, table, rows, columns in (
            ("drug", self.drugs, self.drug, ("id", "smiles", "given")),
            ("target", self.targets, self.target, ("id", "sequence")),
        ):
            if missing := [name for name in columns if name not in table.column_names]:
                raise SchemaError(f"The table of {what}s has no column {missing[0]!r}; it has {table.column_names}.")
            if rows.size != n:
                raise SchemaError(f"There are {n:,} values and {rows.size:,} {what}s; expected one for each value.")
            if n and not 0 <= rows.min() <= rows.max() < table.num_rows:
                raise SchemaError(f"A {what} number is no row of the table of {what}s, which has {table.num_rows:,}.")
            ids = table["id"]
            if ids.null_count or pc.count_distinct(ids).as_py() < len(ids):
                raise SchemaError(f"The ids of {what}s must be given, and each stand once.")
        bad = ~np.isfinite(self.value) if self.kind == "regression" else ~np.isin(self.value, (0.0, 1.0))
        if bad.any():
            row = int(bad.argmax())
            expected = "a finite number" if self.kind == "regression" else "0 or 1"
            raise SchemaError(f"The value of pair {row} is {self.value[row]}; expected {expected}.")
        if self.at_most is not None and (self.at_most.size != n or self.limit is not None):
            raise SchemaError("Give limit=, or at_most= with one entry for each value; not both.")
        for name, lists in self.folds.items():
            for rows in lists:
                if rows.size and not 0 <= rows.min() <= rows.max() < n:
                    raise SchemaError(f"The given fold {name!r} names a row that is none of the {n:,} pairs.")

    @classmethod
    def of(
        cls,
        table: pd.DataFrame | pa.Table,
        unit: str,
        kind: Literal["regression", "binary"] = "regression",
        limit: float | None = None,
        standardiser: Standardiser | None = None,
        duplicates: Duplicates | None = None,
        on_error: Literal["skip", "raise"] = "skip",
        provenance: tuple[Provenance, ...] = (),
    ) -> Affinities:
        """Affinities from a table in the columns of Therapeutics Data Commons: Drug_ID, Drug, Target_ID, Target, Y.

        Without Drug_ID a drug is called by its standardised SMILES, without Target_ID a target by a hash of its
        sequence; so is a row that has none. Values are taken as they are: bring them to `unit` before.

        Args:
            table: Drug is a SMILES, Target a sequence, Y a number.
            unit: what Y is: "pKd", "KIBA score", "bound" ...
            kind: "binary" if Y is 0 or 1.
            limit: values at or below it mean "at most this".
            standardiser: how structures are brought to one form.
            duplicates: what becomes of a pair that was measured more than once.
            on_error: "skip": rows that cannot be used are left out and counted by reason; "raise": refused.
            provenance: where the table is from.

        Raises:
            SchemaError: a missing column; with on_error="raise" the first bad row, named with what is wrong.
        """
        names = list(map(str, table.column_names if isinstance(table, pa.Table) else table.columns))
        for name in ("Drug", "Target", "Y"):
            if names.count(name) != 1:
                wrong = f"the column {name!r} twice" if name in names else f"no column {name!r}"
                raise SchemaError(f"The table has {wrong}; it has {names[:40]}.{nearest(name, names)}")

        def fault(problem: str, row: int, column: str) -> MedgraphError:
            return SchemaError(f"Row {row}, column {column!r}: {problem}")

        rows = PairRows(standardiser or Standardiser(), kind, on_error, fault)
        ends = {name: text_column(table, name) if name in names else None for name in COLUMNS}
        value = number_column(table, "Y")
        at_most = None if limit is None else value <= limit
        rows.add(ends["Drug_ID"], ends["Drug"], ends["Target_ID"], ends["Target"], value, at_most)
        found, _ = rows.finish(duplicates or Duplicates())
        if limit is not None:
            found["at_most"] = None
        return cls(**found, unit=unit, kind=kind, limit=limit, provenance=provenance)

    def __len__(self) -> int:
        return int(self.value.size)

    def __repr__(self) -> str:
        name = ", ".join(" ".join(filter(None, (p.name, p.version))) for p in self.provenance) or "unnamed"
        drugs, targets = np.unique(self.drug).size, np.unique(self.target).size
        bounds = f", {int(self.censored.sum()):,} of them bounds" if self.censored.any() else ""
        return (
            f"Affinities({name}: {len(self):,} pairs of {drugs:,} drugs and {targets:,} targets, {self.unit}{bounds})"
        )

    # What there is ----------------------------------------------------------------------------------------------------

    @property
    def censored(self) -> Bool[np.ndarray, " n"]:
        """Which values mean "at most this"?"""
        if self.at_most is not None:
            return self.at_most
        return np.zeros(len(self), dtype=bool) if self.limit is None else self.value <= self.limit

    @cached_property
    def smiles(self) -> list[str]:
        """The standardised SMILES of the drugs, by row of `drugs`."""
        found: list[str] = self.drugs["smiles"].to_pylist()
        return found

    @cached_property
    def sequences(self) -> list[str]:
        """The sequences of the targets, by row of `targets`."""
        found: list[str] = self.targets["sequence"].to_pylist()
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs with their ids, structures, sequences and values, whatever their order."""
        digest = hashlib.sha256(f"medgraph affinities 1\n{self.unit}\n{self.kind}\n".encode())
        ranks = []
        for table, rows, names in (
            (self.drugs, self.drug, ("id", "smiles")),
            (self.targets, self.target, ("id", "sequence")),
        ):
            used = np.unique(rows)
            part = table.select(names).take(pa.array(used))
            order = pc.sort_indices(part["id"]).to_numpy()
            for name in names:
                for text in part[name].take(pa.array(order)).to_pylist():
                    digest.update(f"{len(text)}:{text}\n".encode())
            rank = np.empty(used.size, dtype=np.int64)
            rank[order] = np.arange(used.size)
            ranks.append(rank[np.searchsorted(used, rows)])
        order = np.lexsort((self.censored, self.value, ranks[1], ranks[0]))
        for column, kind in ((ranks[0], "<i8"), (ranks[1], "<i8"), (self.value, "<f8"), (self.censored, "u1")):
            digest.update(column[order].astype(kind).tobytes())
        return digest.hexdigest()

    def matrix(self) -> Float64[np.ndarray, "drugs targets"]:
        """The values as a table of drugs by targets; nan where nothing was measured.

        Raises:
            SchemaError: a pair stands more than once.
        """
        place = self.drug * self.targets.num_rows + self.target
        if np.unique(place).size < place.size:
            raise SchemaError("A pair of drug and target stands more than once, so there is no matrix of them.")
        result = np.full((self.drugs.num_rows, self.targets.num_rows), np.nan)
        result[self.drug, self.target] = self.value
        return result

    # Parts ------------------------------------------------------------------------------------------------------------

    def take(self, rows: Sequence[int] | _Rows | Bool[np.ndarray, " n"]) -> Affinities:
        """These pairs alone, in this order. The tables stay whole, so that row numbers of parts agree.

        Raises:
            SchemaError: a row that is not there.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == bool:
            if chosen.size != len(self):
                raise SchemaError(f"The mask has {chosen.size:,} entries for {len(self):,} pairs.")
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
            wrong = chosen[(chosen < 0) | (chosen >= len(self))][0]
            raise SchemaError(f"There is no row {wrong}; there are {len(self):,} pairs, from 0.")
        at_most = None if self.at_most is None else self.at_most[chosen]
        part = {name: getattr(self, name)[chosen] for name in ("drug", "target", "value")}
        return replace(self, **part, at_most=at_most, folds={})

    def split(
        self,
        by: By = "pair",
        fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        fold: int | None = 0,
        group: bool = True,
    ) -> AffinitySplit:
        """Train, valid and test, parted by pair, drug, target, both, scaffold or as given with the data.

        See `medgraph.data.affinity_splits.split_affinities`, which this calls.
        """
        from medgraph.data.affinity_splits import split_affinities

        return split_affinities(self, by, fractions, seed, fold, group)

    # Out --------------------------------------------------------------------------------------------------------------

    def to_pandas(self) -> pd.DataFrame:
        """The pairs in the columns of Therapeutics Data Commons: Drug_ID, Drug, Target_ID, Target, Y."""
        import pandas as pd

        columns = {
            "Drug_ID": self.drugs["id"].take(pa.array(self.drug)),
            "Drug": self.drugs["smiles"].take(pa.array(self.drug)),
            "Target_ID": self.targets["id"].take(pa.array(self.target)),
            "Target": self.targets["sequence"].take(pa.array(self.target)),
        }
        return pd.DataFrame({**{name: column.to_pandas() for name, column in columns.items()}, "Y": self.value})
