"""Predicted synergies: score, interval, and whether drugs and cell line were there in training."""

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

__all__ = ["SynergyPredictions"]


@dataclass(frozen=True, eq=False, repr=False)
class SynergyPredictions:
    """One row a pair in a cell line.

    Args:
        first: as asked.
        second: as asked.
        cell: as asked; "" where none was.
        value: predicted.
        score: what it is, as far as the source of the training data says it.
        low: lower end of the interval; None where valid was too small to say.
        high: upper end.
        level: share of such intervals that hold the measured score.
        std: spread of the members; None where there is one.
        first_seen: a drug of the same structure was trained on.
        second_seen: likewise.
        cell_seen: the cell line was trained on; else, unless its features were given, the answer is that of the mean of
            training's cell lines.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    cell: tuple[str, ...]
    value: Float64[np.ndarray, " n"]
    score: str
    low: Float64[np.ndarray, " n"] | None
    high: Float64[np.ndarray, " n"] | None
    level: float
    std: Float64[np.ndarray, " n"] | None
    first_seen: Bool[np.ndarray, " n"]
    second_seen: Bool[np.ndarray, " n"]
    cell_seen: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return int(self.value.size)

    @property
    def inferred(self) -> Bool[np.ndarray, " n"]:
        """Was a drug or the cell line new to the head?"""
        return np.asarray(~(self.first_seen & self.second_seen & self.cell_seen))

    def to_table(self) -> pa.Table:
        """As an Arrow table, one row a pair in a cell line."""
        columns: dict[str, object] = {name: pa.array(getattr(self, name)) for name in ("first", "second", "cell")}
        columns["value"] = self.value
        columns |= {name: getattr(self, name) for name in ("low", "high", "std") if getattr(self, name) is not None}
        columns |= {name: getattr(self, name) for name in ("first_seen", "second_seen", "cell_seen", "inferred")}
        return pa.table(columns)

    def to_pandas(self) -> pd.DataFrame:
        """As a data frame, one row a pair in a cell line."""
        frame: pd.DataFrame = self.to_table().to_pandas()
        return frame

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table("first", "second", "cell", "score", f"{self.level:.0%} interval", "new to the head")
        for i in range(min(len(self), 20)):
            interval = "" if self.low is None or self.high is None else f"{self.low[i]:.2f} to {self.high[i]:.2f}"
            flags = (self.first_seen[i], self.second_seen[i], self.cell_seen[i])
            new = ", ".join(w for w, seen in zip(("first", "second", "cell"), flags, strict=True) if not seen) or "-"
            names = (escape(one[:40]) or "-" for one in (self.first[i], self.second[i], self.cell[i]))
            table.add_row(*names, f"{self.value[i]:.2f}", interval, new)
        more = "" if len(self) <= 20 else ", the first 20"
        table.title = f"{len(self):,} combinations{more}: {escape(self.score)}"
        return table

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__
