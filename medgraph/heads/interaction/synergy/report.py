"""How good are predicted synergies? Errors, correlations and areas beside plain models', intervals beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from medgraph.data.synergies import Synergies
from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.agreement import (
    mean_squared_error_of,
    pearson_of,
    root_mean_squared_error_of,
    spearman_of,
)
from medgraph.evaluation.figures import write_json
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.resampled import auprc_of, auroc_of, estimate_beside
from medgraph.evaluation.resampling import Interval, Statistic
from medgraph.heads.interaction.synergy.baselines import SynergyBaseline, synergy_baselines

if TYPE_CHECKING:
    from rich.table import Table

    from medgraph.heads.interaction.synergy.head import DeepSynergy

__all__ = ["SynergyReport", "judge_synergy", "synergy_statistics"]

FORMAT_VERSION = 1
_NEW_CELL = ", a new cell line"


@dataclass(frozen=True, repr=False)
class SynergyReport:
    """How good the scores are that a head gave to combinations it was not trained on.

    Args:
        model: the head.
        score: what is predicted.
        rows: how many.
        pairs: of how many pairs.
        threshold: a score of at least this counts as synergy.
        synergistic: share of the rows that do.
        resample: what the bootstrap draws: whole pairs, or cell lines where all of them are new.
        n_bootstrap: how many samples the 95 % intervals rest on.
        estimates: method -> metric -> value and interval; the head first, then its baselines.
        gains: baseline -> metric -> the head's value less the baseline's, paired.
        seen: what of the rows training has seen -> rows -> method -> mean squared error of these.
        notes: what a reader should know.
    """

    model: str
    score: str
    rows: int
    pairs: int
    threshold: float
    synergistic: float
    resample: str
    n_bootstrap: int
    estimates: Mapping[str, Mapping[str, Interval]]
    gains: Mapping[str, Mapping[str, Interval]]
    seen: Mapping[str, tuple[int, Mapping[str, Interval]]]
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """The head's figures."""
        return {name: interval.value for name, interval in self.estimates[self.model].items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; a figure that cannot be told is null."""
        plain = asdict(self) | {"estimates": _plain(self.estimates), "gains": _plain(self.gains)}
        plain["seen"] = {name: {"rows": rows, "MSE": _plain({"": row})[""]} for name, (rows, row) in self.seen.items()}
        return {"format": "medgraph synergy report", "format_version": FORMAT_VERSION, **plain}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(f"{self.model}: {self.score}"), caption_justify="left")
        names = list(self.estimates[self.model])
        table.add_column("method")
        for number, name in enumerate(names):
            table.add_column(name, justify="right", no_wrap=number > 0)
        table.add_column(f"gain in {names[0]}", justify="right")
        for method, row in self.estimates.items():
            gain = self.gains[method][names[0]] if method in self.gains else None
            told = f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]" if gain else ""
            first = row[names[0]]
            shown = f"{first.value:.2f} [{first.low:.2f}, {first.high:.2f}]"
            table.add_row(escape(method), shown, *(f"{row[m].value:.3f}" for m in names[1:]), told)
        lines = [
            f"{self.rows:,} rows of {self.pairs:,} pairs; {self.synergistic:.1%} score at least {self.threshold:g}, "
            f"which AUROC and AUPRC are about. In brackets: 95 % bootstrap intervals, {self.n_bootstrap} samples by "
            f"{self.resample}. Gain: the model less this baseline, paired; below nought is better in MSE."
        ]
        for name, (rows, row) in self.seen.items():
            told = ", ".join(f"{method} {interval.value:.2f}" for method, interval in row.items())
            lines.append(f"MSE of the {rows:,} rows with {name}: {told}.")
        table.caption = escape("\n".join([*lines, *self.notes]))
        return table

    def __str__(self) -> str:
        return as_text(self, width=124)

    __repr__ = __str__


def synergy_statistics(
    measured: Float64[np.ndarray, " n"], predicted: Float64[np.ndarray, " n"], threshold: float
) -> dict[str, Statistic]:
    """Each figure as a function of how often a row was drawn; areas are left out where all rows are of one kind."""
    found = {
        "MSE": mean_squared_error_of(measured, predicted),
        "RMSE": root_mean_squared_error_of(measured, predicted),
        "Pearson": pearson_of(measured, predicted),
        "Spearman": spearman_of(measured, predicted),
    }
    if 0 < (high := measured >= threshold).sum() < high.size:
        found |= {"AUROC": auroc_of(high, predicted), "AUPRC": auprc_of(high, predicted)}
    return found


def judge_synergy(
    head: DeepSynergy,
    test: Synergies,
    baselines: Sequence[SynergyBaseline] | None,
    train: tuple[Synergies, Synergies] | None,
    threshold: float,
    n_bootstrap: int,
) -> SynergyReport:
    """See `DeepSynergy.evaluate`."""
    state = head._fitted()
    if not len(test):
        raise SchemaError("There are no rows to judge by.")
    if train is None and state.train is not None and state.valid is not None:
        train = state.train, state.valid
    if train is None and (baselines is None or baselines):
        raise NotFittedError("A loaded head has no training data for baselines: pass train=, or baselines=().")
    model = type(head).__name__
    predicted = {model: head.scores(test)}
    if train is not None:
        _check(train[0], test)
        for baseline in synergy_baselines(head.seed) if baselines is None else baselines:
            predicted[baseline.name] = baseline.fit(*train).scores(test)
    methods = {name: synergy_statistics(test.value, found, threshold) for name, found in predicted.items()}
    parts = _parts(head, test)
    by = "cell line" if parts and all(name.endswith(_NEW_CELL) for name in parts) else "pair"
    clusters = test.cell if by == "cell line" else test.pair
    estimates, gains = estimate_beside(methods, len(test), n_bootstrap, head.seed, clusters)
    seen: dict[str, tuple[int, Mapping[str, Interval]]] = {}
    for name, rows in parts.items() if len(parts) > 1 else ():
        errors = {m: {"MSE": mean_squared_error_of(test.value[rows], p[rows])} for m, p in predicted.items()}
        found, _ = estimate_beside(errors, rows.size, n_bootstrap, head.seed, clusters[rows])
        seen[name] = (int(rows.size), {method: row["MSE"] for method, row in found.items()})
    return SynergyReport(
        model, test.score, len(test), int(np.unique(test.pair).size), threshold,
        float((test.value >= threshold).mean()), by, n_bootstrap, estimates, gains, seen, state.notes,
    )  # fmt: skip


def _parts(head: DeepSynergy, test: Synergies) -> dict[str, np.ndarray]:
    """Rows by how much of them training has seen."""
    found = head.predict(test)
    new = (~found.first_seen).astype(int) + ~found.second_seen
    names = ("both drugs known", "one new drug", "two new drugs")
    groups = {
        name + ("" if known else _NEW_CELL): np.flatnonzero((new == count) & (found.cell_seen == known))
        for count, name in enumerate(names)
        for known in (True, False)
    }
    return {name: rows for name, rows in groups.items() if rows.size}


def _check(train: Synergies, test: Synergies) -> None:
    if not train.drugs.equals(test.drugs) or not train.cells.equals(test.cells):
        raise SchemaError("train and test are not parts of one data set.")
    same = np.isin(*(part.pair * part.cells.num_rows + part.cell for part in (test, train)))
    if same.any():
        raise SchemaError(f"{int(same.sum()):,} of {len(test):,} rows were trained on. Judge by the test of a split.")


def _plain(figures: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        method: {
            name: {end: None if np.isnan(value) else float(value) for end, value in interval._asdict().items()}
            for name, interval in row.items()
        }
        for method, row in figures.items()
    }
