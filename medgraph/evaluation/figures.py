"""Figures by method, direction and metric: how they are nested, printed and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from medgraph.artefact import atomic_file
from medgraph.data.schema import EdgeType
from medgraph.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BACKWARD", "FORWARD", "PAIRS", "Figures", "Spread", "figures_table", "map_figures", "write_json"]

FORWARD, BACKWARD, PAIRS = "source -> target", "target -> source", "pairs"
FORMAT_VERSION = 1
_T = TypeVar("_T")
Figures: TypeAlias = Mapping[str, Mapping[str, Mapping[str, _T]]]  # method -> direction -> metric -> figure


class Spread(NamedTuple):
    """Mean and standard deviation (n - 1) over splits."""

    mean: float
    sd: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.sd:.3f}"


def figures_table(
    title: str,
    estimates: Figures[Interval] | Figures[Spread],
    gains: Figures[Interval],
    edge_type: EdgeType,
    candidates: Mapping[str, int],
) -> Table:
    """One table: a section for each direction, a row for each method, the headline metric with its interval."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), show_header=False, caption_justify="left")
    source, target = edge_type.source, edge_type.target
    named = {
        FORWARD: f"{source} -> {target}\n({candidates[FORWARD]:,} candidates)",
        BACKWARD: f"{target} -> {source}\n({candidates.get(BACKWARD, 0):,} candidates)",
        PAIRS: f"all pairs\n({candidates[PAIRS]:,})",
    }
    directions = next(iter(estimates.values()))
    for number in range(7):  # on a narrow terminal the intervals fold; names and plain figures stay whole
        outer, folds = number in (0, 6), number in (0, 1, 6)
        table.add_column(justify="left" if outer else "right", no_wrap=not folds, min_width=14 if number == 0 else 7)
    for direction, figures in directions.items():
        names = list(figures)
        header = [named[direction], *names, *[""] * (5 - len(names)), f"gain in {names[0]}"]
        table.add_row(*[f"[bold]{text}" for text in header])
        for method, rows in estimates.items():
            values = [str(rows[direction][names[0]]), *(f"{rows[direction][m][0]:.3f}" for m in names[1:])]
            gain = gains[method][direction][names[0]] if method in gains else None
            shown = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if gain else ""
            table.add_row(escape(method), *values, *[""] * (5 - len(values)), shown)
        table.add_section()
    return table


def map_figures(figures: Figures[Any], make: Callable[[Any], _T]) -> dict[str, dict[str, dict[str, _T]]]:
    """The same nesting with `make` of each figure."""
    return {
        a: {d: {m: make(value) for m, value in row.items()} for d, row in rows.items()} for a, rows in figures.items()
    }


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write `content`, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return Path(path)
