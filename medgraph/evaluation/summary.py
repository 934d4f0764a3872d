"""Does it hold over several splits? Means, spreads and paired gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.evaluation.figures import FORMAT_VERSION, Figures, Spread, figures_table, map_figures, write_json
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.report import Report
from medgraph.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Summary", "combine"]

_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class Summary:
    """Several reports of one model and its baselines: mean and spread over splits, and paired gains.

    Args:
        model: what the scores came from.
        edge_type: whose links.
        part: which links were judged.
        by: how the splits were made.
        seeds: the splits' seeds.
        candidates: direction -> among how many nodes a true answer was searched.
        estimates: method -> direction -> metric -> mean and standard deviation over splits.
        gains: baseline -> direction -> metric -> mean paired gain with its 95 % interval.
    """

    model: str
    edge_type: EdgeType
    part: str
    by: str
    seeds: tuple[int, ...]
    candidates: Mapping[str, int]
    estimates: Figures[Spread]
    gains: Figures[Interval]

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The model's means: direction -> metric -> value."""
        return {d: {m: e.mean for m, e in row.items()} for d, row in self.estimates[self.model].items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        plain: dict[str, Any] = {"format": "medgraph summary", "format_version": FORMAT_VERSION}
        plain |= {field.name: getattr(self, field.name) for field in fields(self)}
        plain |= {"edge_type": list(self.edge_type), "seeds": list(self.seeds), "candidates": dict(self.candidates)}
        return plain | {
            "estimates": map_figures(self.estimates, Spread._asdict),
            "gains": map_figures(self.gains, Interval._asdict),
        }

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    def __rich__(self) -> Table:
        title = f"{self.model}: {self.edge_type}, {self.part} links, {len(self.seeds)} splits by {self.by}"
        table = figures_table(title, self.estimates, self.gains, self.edge_type, self.candidates)
        table.caption = (
            f"Mean ± standard deviation over the splits with seeds {', '.join(map(str, self.seeds))}. Gain: the model "
            "less this baseline on the same split, with a 95 % interval (t, corrected for shared training links, "
            "Nadeau & Bengio 2003)."
        )
        return table

    def __str__(self) -> str:
        return as_text(self, width=124)

    __repr__ = __str__


def combine(reports: Sequence[Report]) -> Summary:
    """Does the gain hold over splits? Means, spreads and paired differences of reports on the same question.

    The splits of one graph share training links, so the variance of a mean difference over k splits is taken as
    (1/k + judged links / training links) x its sample variance (Nadeau & Bengio 2003, "Inference for the
    generalization error").

    Raises:
        SchemaError: fewer than two reports, or reports on different questions or methods.
    """
    if len(reports) < 2:
        raise SchemaError(f"{len(reports)} reports; a spread needs at least two splits.")
    first = reports[0]
    for other in reports[1:]:
        for what in ("model", "edge_type", "part", "by", "candidates", "topn"):
            if getattr(other, what) != getattr(first, what):
                raise SchemaError(
                    f"Reports on different questions: {what} is {getattr(first, what)!r} in one and "
                    f"{getattr(other, what)!r} in another."
                )
        if other.estimates.keys() != first.estimates.keys():
            raise SchemaError(f"Reports with different methods: {list(first.estimates)} and {list(other.estimates)}.")
    from scipy.stats import t

    judged = ("train", "valid", "test").index(first.part)
    ratio = float(np.mean([report.links[judged] / report.links[0] for report in reports]))
    half = float(t.ppf(0.975, len(reports) - 1)) * np.sqrt(1 / len(reports) + ratio)

    def over(figures: Callable[[Report], Figures[Interval]], method: str, direction: str, metric: str) -> list[float]:
        return [figures(report)[method][direction][metric].value for report in reports]

    def spread(values: list[float]) -> Spread:
        return Spread(float(np.mean(values)), float(np.std(values, ddof=1)))

    def gain(values: list[float]) -> Interval:
        mean, sd = spread(values)
        return Interval(mean, mean - half * sd, mean + half * sd)

    def each(figures: Callable[[Report], Figures[Interval]], make: Callable[[list[float]], _T]) -> Figures[_T]:
        return {
            method: {d: {m: make(over(figures, method, d, m)) for m in row} for d, row in rows.items()}
            for method, rows in figures(first).items()
        }

    return Summary(
        first.model,
        first.edge_type,
        first.part,
        first.by,
        tuple(report.seed for report in reports),
        first.candidates,
        each(lambda report: report.estimates, spread),
        each(lambda report: report.gains, gain),
    )
