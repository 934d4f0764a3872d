"""Predicted interactions: value, interval, and whether drug and target were there in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["Interactions"]


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """One row a pair.

    Args:
        drugs: ids, "" where none was given.
        targets: ids, "" where none was given.
        value: predicted; of a binary head, the calibrated probability.
        unit: of value.
        low: lower end of the interval; None for a binary head, or one whose valid part was too small to say.
        high: upper end.
        level: share of such intervals that hold the measured value.
        std: standard deviation, of an ensemble or of a loss that has one.
        drug_seen: the same molecule was trained on.
        target_seen: the same sequence was trained on.
    """

    drugs: tuple[str, ...]
    targets: tuple[str, ...]
    value: Float64[np.ndarray, " n"]
    unit: str
    low: Float64[np.ndarray, " n"] | None
    high: Float64[np.ndarray, " n"] | None
    level: float
    std: Float64[np.ndarray, " n"] | None
    drug_seen: Bool[np.ndarray, " n"]
    target_seen: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return int(self.value.size)

    def to_table(self) -> pa.Table:
        """As an Arrow table, one row a pair."""
        columns: dict[str, object] = {"drug": pa.array(self.drugs), "target": pa.array(self.targets)}
        columns |= {"value": self.value, "unit": pa.array([self.unit] * len(self), pa.string())}
        columns |= {name: getattr(self, name) for name in ("low", "high", "std") if getattr(self, name) is not None}
        return pa.table({**columns, "drug_seen": self.drug_seen, "target_seen": self.target_seen})

    def to_pandas(self) -> pd.DataFrame:
        """As a data frame, one row a pair."""
        found: pd.DataFrame = self.to_table().to_pandas()
        return found

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table("drug", "target", self.unit, f"{self.level:.0%} interval", "drug seen", "target seen")
        for i in range(min(len(self), 20)):
            interval = "" if self.low is None or self.high is None else f"{self.low[i]:.3f} to {self.high[i]:.3f}"
            seen = ["yes" if flag[i] else "no" for flag in (self.drug_seen, self.target_seen)]
            table.add_row(self.drugs[i] or "-", self.targets[i] or "-", f"{self.value[i]:.3f}", interval, *seen)
        table.title = f"{len(self):,} interactions" + ("" if len(self) <= 20 else ", the first 20")
        return table

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__
