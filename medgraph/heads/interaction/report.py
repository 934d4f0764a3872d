"""What an evaluation of an interaction head found, beside its baselines, on what is known and what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medgraph.errors import ArtefactError, FormatVersionError
from medgraph.evaluation.figures import write_json
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.resampling import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["InteractionReport", "Part"]

FORMAT, FORMAT_VERSION = "medgraph interaction report", 1
ACTIVE = "active "  # begins the name of a figure that is taken on actives alone
_PLAIN = ("r2m", "AUPRC", "EF 1%", "active MSE", "active CI")


class Part(NamedTuple):
    """Some of the pairs that were judged.

    Args:
        name: which: "all pairs", or whether drug and target were seen in training.
        pairs: how many.
        drugs: of how many drugs.
        targets: and targets.
        actives: how many pairs are above the threshold.
        resample: what the bootstrap draws: "pair", "drug" or "target".
        estimates: method -> metric -> value and interval; the head first, then its baselines.
        gains: baseline -> metric -> the head's value less the baseline's, paired; below 0 is a gain in an error.
    """

    name: str
    pairs: int
    drugs: int
    targets: int
    actives: int
    resample: str
    estimates: Mapping[str, Mapping[str, Interval]]
    gains: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True, repr=False)
class InteractionReport:
    """How near predicted interactions are to affinities that were not trained on.

    Args:
        model: the head.
        kind: "regression" or "binary".
        unit: of the values.
        active: pairs with a value above this are actives; None where nobody said.
        n_bootstrap: how many samples the 95 % intervals rest on.
        parts: all pairs first, then by what was seen in training, where there is more than one such part.
        notes: what a reader should know.
    """

    model: str
    kind: str
    unit: str
    active: float | None
    n_bootstrap: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """The head's figures on all pairs."""
        return {name: interval.value for name, interval in self.parts[0].estimates[self.model].items()}

    def part(self, name: str) -> Part:
        """The part of that name. Raises KeyError."""
        return {part.name: part for part in self.parts}[name]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; a figure that cannot be told is null."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["parts"] = [
            {**part._asdict(), "estimates": _plain(part.estimates), "gains": _plain(part.gains)} for part in self.parts
        ]
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **plain, "notes": list(self.notes)}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> InteractionReport:
        """Read what `save` wrote.

        Raises:
            ArtefactError: no such file, or it is no report of interactions.
            FormatVersionError: written by a newer medgraph.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            if plain.pop("format") != FORMAT:
                raise ValueError("another format")
            if (version := plain.pop("format_version")) > FORMAT_VERSION:
                raise FormatVersionError(f"{path} has format version {version}; this medgraph reads {FORMAT_VERSION}.")
            parts = tuple(
                Part(**{**part, "estimates": _read(part["estimates"]), "gains": _read(part["gains"])})
                for part in plain.pop("parts")
            )
            return cls(**{**plain, "parts": parts, "notes": tuple(plain["notes"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ArtefactError(f"{path} is no report of interactions that can be read: {fault!r}.") from fault

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        names = list(self.parts[0].estimates[self.model])
        heads, plain = names[:2], [name for name in _PLAIN if name in names[2:]]
        table = Table(title=escape(f"{self.model}: {self.unit}"), caption_justify="left")
        table.add_column("method", min_width=10)
        for name in [*heads, *plain]:
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
        for name in heads:
            table.add_column(f"gain in {name}", justify="right", no_wrap=True)
        for part in self.parts:
            size = f"{part.name}: {part.pairs:,}"
            table.add_section()
            if len(self.parts) > 1:
                table.add_row(f"[bold]{escape(size)}")
            for method, row in part.estimates.items():
                told = [str(row[name]).replace(" ", "\n", 1) for name in heads]
                told += [f"{row[name].value:.3f}" if name in row else "" for name in plain]
                if method in part.gains:
                    told += [_gain(part.gains[method][name]) for name in heads]
                table.add_row(escape(method), *told)
        table.caption = self._caption()
        return table

    def _caption(self) -> str:
        first = self.parts[0]
        drawn = ", ".join(dict.fromkeys(part.resample for part in self.parts))
        lines = [
            f"{first.pairs:,} pairs of {first.drugs:,} drugs and {first.targets:,} targets. In brackets: 95 % "
            f"bootstrap intervals, {self.n_bootstrap} samples by {drawn}. "
            "Gain: the model less this baseline, paired; of an error, below 0 is better."
        ]
        if self.active is not None and self.kind == "regression":
            lines.append(f"Actives: {first.actives:,} pairs above {self.active:g}; AUPRC and EF find them among all.")
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        return as_text(self, width=132)

    __repr__ = __str__


def _gain(gain: Interval) -> str:
    return f"{gain.value:+.3f}\n[{gain.low:+.3f}, {gain.high:+.3f}]"


def _plain(figures: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, list[float | None]]]:
    return {
        method: {name: [None if v != v else float(v) for v in interval] for name, interval in row.items()}  # noqa: PLR0124
        for method, row in figures.items()
    }


def _read(figures: Mapping[str, Mapping[str, list[float | None]]]) -> dict[str, dict[str, Interval]]:
    return {
        method: {name: Interval(*(float("nan") if v is None else v for v in told)) for name, told in row.items()}
        for method, row in figures.items()
    }
