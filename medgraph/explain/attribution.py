"""Which codes move a head's risks, and which pairs of codes do more together than each alone? Over a whole cohort."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from medgraph.data.cohort import Cohort
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.evaluation.printing import as_text
from medgraph.heads.risk.attribution import Score, code_vectors_of, integrated_gradients, score_of, shares_of
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.wide import WideAndDeep

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["RiskFactors", "explain_risk"]

_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class RiskFactors:
    """Means over samples; no subject is in it, and no code that fewer than `min_samples` of them have.

    Args:
        output: of what.
        within: days, of survival.
        samples: how many were looked at.
        codes: `code`, `samples` that have it, `contribution` (its mean there, by integrated gradients or exact),
            `importance` (the mean of its size over all samples), `removal` (by how much the log-odds falls, on average,
            when the code is taken out of the histories that have it); the most important first.
        pairs: `code`, `other`, `samples` that have both, `interaction` (the mean of f - f without the one - f without
            the other + f without both, f the log-odds), `error` (standard error of that mean); the largest first.
    """

    output: str
    within: float | None
    samples: int
    codes: pd.DataFrame
    pairs: pd.DataFrame

    def __repr__(self) -> str:
        return f"RiskFactors({self.output}: {len(self.codes)} codes, {len(self.pairs)} pairs, {self.samples:,} samples)"

    def __str__(self) -> str:
        return as_text(self)

    def __rich__(self) -> RenderableType:
        horizon = "" if self.within is None else f" within {self.within:g} days"
        title = f"What moves {escape(self.output)}{horizon}: {self.samples:,} samples"
        codes = Table(title=title, title_justify="left")
        for name in ("code", "samples", "contribution", "importance", "removal"):
            codes.add_column(name, justify="left" if name == "code" else "right")
        for code, n, *numbers in self.codes.head(_SHOWN).itertuples(index=False):
            codes.add_row(escape(str(code)), f"{n:,}", *(f"{number:+.3f}" for number in numbers))
        pairs = Table(title="Together more or less than each alone", title_justify="left")
        for name in ("code", "other", "samples", "interaction", "error"):
            pairs.add_column(name, justify="left" if name in {"code", "other"} else "right")
        for code, other, n, value, error in self.pairs.head(_SHOWN).itertuples(index=False):
            pairs.add_row(escape(str(code)), escape(str(other)), f"{n:,}", f"{value:+.3f}", f"{error:.3f}")
        return Group(codes, pairs)


def explain_risk(
    head: RiskHead,
    cohort: Cohort,
    *,
    label: str | Task | None = None,
    output: str | None = None,
    within: float | None = None,
    max_samples: int = 1000,
    max_codes: int = 30,
    min_samples: int = 10,
    seed: int = 0,
) -> RiskFactors:
    """Which codes move the risks of these samples, and which pairs of them interact?

    What is taken out of a history is the code's vector (and the values that came with it); the visit stays.

    Args:
        head: a fitted one.
        cohort: whose histories, best held out.
        label: the task, if it is not the one fitted.
        output: which label or event of several; the first by default.
        within: how many days, of survival; by default all that the head looks ahead.
        max_samples: drawn at random where there are more.
        max_codes: pairs are formed of this many of the most important codes; those that a head weighs as pairs
            (`Wide`) are looked at besides.
        min_samples: a code or a pair that fewer samples have is not told.
        seed: of the draw.

    Raises:
        NotFittedError: before `fit`.
        SchemaError: no sample, or a limit below 1.
        UnknownIdentifierError: no such output.
    """
    if min(max_samples, max_codes, min_samples) < 1:
        raise SchemaError(
            f"max_samples={max_samples}, max_codes={max_codes}, min_samples={min_samples}; expected at least 1 of each."
        )
    state = head._fitted()
    name, column, score, days = score_of(head, output, within)
    blocks = [
        block for block in cohort.timelines(state.task_for(cohort, label), state.vocabulary, head.visit) if len(block)
    ]
    if not blocks:
        raise SchemaError(f"The task leaves no sample in {cohort!r}.")
    samples = Samples.concat(blocks)
    if len(samples) > max_samples:
        rows = np.random.default_rng(seed).choice(len(samples), max_samples, replace=False)
        samples = samples.take(np.sort(rows))
    asked = _Asked(head, samples, score, column if days is None else None)
    codes = asked.codes(min_samples)
    pairs = asked.pairs(codes["number"].to_list()[:max_codes], min_samples)
    names = np.array(state.vocabulary.codes, dtype=object)
    codes.insert(0, "code", names[codes.pop("number").to_numpy(dtype=np.int64)])
    for side in ("code", "other"):
        pairs[side] = names[pairs[side].to_numpy(dtype=np.int64)]
    return RiskFactors(name, days, len(samples), codes, pairs)


class _Asked:
    """The samples as batches, asked what they score with and without codes."""

    def __init__(self, head: RiskHead, samples: Samples, score: Score, column: int | None) -> None:
        self.head, self.score, self.column, self.samples = head, score, column, samples
        self.network = head._fitted().network.eval()
        self.layer = code_vectors_of(self.network)
        self.device = next(self.network.parameters()).device
        self.removed: dict[int, np.ndarray] = {}  # the score without a code, nan for samples that do not have it
        every = np.arange(len(samples))
        self.whole = self._scores(every, ())
        self.has: dict[int, np.ndarray] = {}

    def codes(self, min_samples: int) -> pd.DataFrame:
        """One row a code: number, samples, contribution, importance, removal."""
        total: dict[tuple[int, int], float] = {}
        for start, batch in self._batches(np.arange(len(self.samples))):
            if self.column is None:
                shares = integrated_gradients(self.network, batch, self.score)
            else:
                shares = shares_of(self.head, self.network, batch, self.column)
            owner = (batch.visit_sample[batch.code_visit] + start).tolist()
            for key, share in zip(zip(owner, batch.codes.tolist(), strict=True), shares.detach().tolist(), strict=True):
                total[key] = total.get(key, 0.0) + share
        by_code: dict[int, dict[int, float]] = {}
        for (sample, code), share in total.items():
            by_code.setdefault(code, {})[sample] = share
        rows = []
        for code, by_sample in by_code.items():
            if len(by_sample) < min_samples:
                continue
            having = np.array(sorted(by_sample))
            self.has[code] = having
            self.removed[code] = np.full(len(self.samples), np.nan)
            self.removed[code][having] = self._scores(having, (code,))
            values = np.array(list(by_sample.values()))
            fall = float((self.whole[having] - self.removed[code][having]).mean())
            rows.append((code, having.size, values.mean(), np.abs(values).sum() / len(self.samples), fall))
        table = pd.DataFrame(rows, columns=["number", "samples", "contribution", "importance", "removal"])
        return table.sort_values(["importance", "number"], ascending=[False, True], ignore_index=True)

    def pairs(self, codes: list[int], min_samples: int) -> pd.DataFrame:
        """One row a pair, of these codes and of those that the wide part weighs: code, other, samples, ..."""
        rows = []
        weighed = self.network.wide.weighed_pairs() if isinstance(self.network, WideAndDeep) else []
        known = [pair for pair in weighed if set(pair) <= self.has.keys() and not set(pair) <= set(codes)]
        for one, other in [*combinations(codes, 2), *known]:
            both = np.intersect1d(self.has[one], self.has[other])
            if both.size < max(min_samples, 2):
                continue
            without = self._scores(both, (one, other))
            each = self.whole[both] - self.removed[one][both] - self.removed[other][both] + without
            rows.append((one, other, both.size, each.mean(), each.std(ddof=1) / np.sqrt(both.size)))
        table = pd.DataFrame(rows, columns=["code", "other", "samples", "interaction", "error"])
        order = np.argsort(-table["interaction"].abs().to_numpy(dtype=np.float64), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def _batches(self, rows: np.ndarray) -> list[tuple[int, Batch]]:
        size = self.head.batch_size
        return [
            (start, Batch.of(self.samples.take(rows[start : start + size]), self.device, self.head.max_visits))
            for start in range(0, rows.size, size)
        ]

    def _scores(self, rows: np.ndarray, without: tuple[int, ...]) -> np.ndarray:
        found: list[Tensor] = []
        with torch.no_grad():
            for _, batch in self._batches(rows):
                vectors = self.layer(batch.codes)
                kept = ~torch.isin(batch.codes, torch.tensor(without, dtype=torch.int64, device=self.device))
                found.append(self.score(self.network(batch, vectors * kept[:, None])).cpu().double())
        return np.asarray(torch.cat(found).numpy())
