"""What an evaluation found on one split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgraph.data.schema import EdgeType
from medgraph.errors import ArtefactError, FormatVersionError
from medgraph.evaluation.figures import FORMAT_VERSION, Figures, figures_table, map_figures, write_json
from medgraph.evaluation.flyers import FrequentFlyers
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report"]


@dataclass(frozen=True, repr=False)
class Report:
    """How well scores find the held-out links of one split, beside their baselines.

    Args:
        model: what the scores came from.
        edge_type: whose links.
        part: which links were judged.
        by: how the split was made.
        seed: the split's seed.
        links: how many links in train, valid and test.
        candidates: direction -> among how many nodes a true answer was searched, all of the type.
        mean_candidates: direction -> how many were left on average when all other known pairs were taken out.
        topn: length of the lists that recall and the frequent-flyer audit look at.
        n_bootstrap: how many samples the 95 % intervals rest on.
        resample: what was drawn: "link", "source" or "target".
        estimates: method -> direction -> metric -> value and interval; the model first, then the baselines.
        gains: baseline -> direction -> metric -> the model's value less the baseline's, paired.
        flyers: method -> frequent-flyer audit of the targets' lists of sources.
    """

    model: str
    edge_type: EdgeType
    part: str
    by: str
    seed: int
    links: tuple[int, int, int]
    candidates: Mapping[str, int]
    mean_candidates: Mapping[str, float]
    topn: int
    n_bootstrap: int
    resample: str
    estimates: Figures[Interval]
    gains: Figures[Interval]
    flyers: Mapping[str, FrequentFlyers]

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The model's figures: direction -> metric -> value."""
        return {d: {m: e.value for m, e in row.items()} for d, row in self.estimates[self.model].items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        plain: dict[str, Any] = {"format": "medgraph report", "format_version": FORMAT_VERSION}
        plain |= {field.name: getattr(self, field.name) for field in fields(self)}
        plain |= {"edge_type": list(self.edge_type), "links": list(self.links)}
        plain |= {
            "estimates": map_figures(self.estimates, Interval._asdict),
            "gains": map_figures(self.gains, Interval._asdict),
        }
        plain["flyers"] = {method: flyers.to_dict() for method, flyers in self.flyers.items()}
        return {**plain, "candidates": dict(self.candidates), "mean_candidates": dict(self.mean_candidates)}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read what `save` wrote.

        Raises:
            ArtefactError: no such file, or it is no report.
            FormatVersionError: written by a newer medgraph.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            if plain.pop("format") != "medgraph report":
                raise ValueError("another format")
            if (version := plain.pop("format_version")) > FORMAT_VERSION:
                raise FormatVersionError(f"{path} has format version {version}; this medgraph reads {FORMAT_VERSION}.")
            plain |= {"edge_type": EdgeType(*plain["edge_type"]), "links": tuple(plain["links"])}
            plain |= {key: map_figures(plain[key], lambda given: Interval(**given)) for key in ("estimates", "gains")}
            plain["flyers"] = {method: FrequentFlyers.from_dict(given) for method, given in plain["flyers"].items()}
            return cls(**plain)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ArtefactError(f"{path} is no evaluation report that can be read: {fault!r}.") from fault

    def __rich__(self) -> Table:
        title = f"{self.model}: {self.edge_type}, {self.part} links of a split by {self.by} (seed {self.seed})"
        table = figures_table(title, self.estimates, self.gains, self.edge_type, self.candidates)
        self._add_flyers(table)
        judged = self.links[("train", "valid", "test").index(self.part)]
        table.caption = (
            f"{judged} {self.part} links, {self.links[0]} in training. Candidates: all nodes of the type, less every "
            "other known pair; ties get their mean rank; AUROC and AUPRC are over all pairs not known. In brackets: "
            f"95 % bootstrap intervals, {self.n_bootstrap} samples by {self.resample}. "
            "Gain: the model less this baseline."
        )
        return table

    def _add_flyers(self, table: Table) -> None:
        from rich.markup import escape

        some = self.flyers[self.model]
        source, target = self.edge_type.source, self.edge_type.target
        table.add_row(
            f"[bold]Who fills the top {some.topn}\nof {some.lists:,} {target} lists?",
            "[bold]most frequent",
            "[bold]Gini",
            "[bold]effective",
            *[""] * 2,
            f"[bold]{source} named in most lists",
        )
        for method, flyers in self.flyers.items():
            first = flyers.top[0]
            named = f"{first.name[:24]} ({first.training_links} known)"
            share = f"in {first.share:.0%} of lists"
            table.add_row(escape(method), share, f"{flyers.gini:.3f}", f"{flyers.effective:.0f}", "", "", escape(named))

    def __str__(self) -> str:
        return as_text(self, width=124)

    __repr__ = __str__
