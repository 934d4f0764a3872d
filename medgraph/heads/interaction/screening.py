"""What came of a screen: the best molecules of a file, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.markup import escape

from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

__all__ = ["Screening"]

_SHOWN = 20


@dataclass(frozen=True, eq=False, repr=False)
class Screening:
    """The best of a file.

    Args:
        target: id, or the head of its sequence.
        unit: of the values.
        hits: rank, row (in the file, from 1, without a header), id, smiles (standardised), value, low, high, std,
            drug_seen; best first, of equals the one that comes first in the file. Each molecule stands once.
        counts: rows, scored, refused, duplicates (rows whose molecule was there before).
        folder: where hits.csv, refused.csv (row, id, smiles, problem) and screen.json are.
        seconds: of work, over all runs.
    """

    target: str
    unit: str
    hits: pa.Table
    counts: Mapping[str, int]
    folder: Path
    seconds: float

    def __len__(self) -> int:
        return int(self.hits.num_rows)

    def __repr__(self) -> str:
        return f"Screening({self.counts['rows']:,} rows against {self.target}: {len(self):,} hits)"

    def __str__(self) -> str:
        return as_text(self)

    def to_pandas(self) -> pd.DataFrame:
        """The hits, best first."""
        frame: pd.DataFrame = self.hits.to_pandas()
        return frame

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        found = {name: getattr(self, name) for name in ("target", "unit", "seconds")}
        return {**found, "folder": str(self.folder), "counts": dict(self.counts), "hits": self.hits.to_pylist()}

    def __rich__(self) -> RenderableType:
        from rich.table import Table

        counts = ", ".join(f"{number:,} {name}" for name, number in self.counts.items())
        table = Table(title=f"{escape(self.target)}: {counts}; {self.counts['rows'] / self.seconds:,.0f} rows/s")
        table.title_justify = "left"
        for name, right in (("rank", True), ("row", True), ("id", False), (self.unit, True), ("interval", True)):
            table.add_column(escape(name), justify="right" if right else "left")
        table.add_column("smiles", overflow="ellipsis", no_wrap=True)
        for hit in self.hits.slice(0, _SHOWN).to_pylist():
            interval = "" if hit.get("low") is None else f"{hit['low']:.2f} to {hit['high']:.2f}"
            figures = f"{hit['rank']:,}", f"{hit['row']:,}", escape(hit["id"]), f"{hit['value']:.3f}", interval
            table.add_row(*figures, escape(hit["smiles"]))
        return table
