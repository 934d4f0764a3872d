"""Numeric values as GRU-D and Dynamic-DeepHit read them: the last one seen, whether it is new, and how old it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.tensors import Batch

__all__ = ["Measurements", "Outline", "Series", "presence"]

_FARTHEST = 10.0  # standard deviations
_TREND_PRIOR = 1.0  # squared mean gaps that a trend is held towards 0 with
_KNOTS = (-1.5, -0.75, 0.0, 0.75, 1.5)  # standard deviations; never anyone's own value


class Series(NamedTuple):
    """n samples, w visits, d variables, oldest first; padded visits stand last and repeat what was there.

    Args:
        last: the latest value up to this visit, in training standard deviations from the training mean; 0 before any.
        new: 1 where it was measured in this visit.
        age: time since the measurement before this visit, or since the first visit where there is none.
        gap: time since the visit before.
        wait: time from the last visit to the prediction.
        final_age: age of the latest measurement at the prediction time.
    """

    last: Float[Tensor, "n w d"]
    new: Float[Tensor, "n w d"]
    age: Float[Tensor, "n w d"]
    gap: Float[Tensor, "n w"]
    wait: Float[Tensor, " n"]
    final_age: Float[Tensor, "n d"]


class Measurements(nn.Module):
    """Follows the codes that come with numbers, the commonest `variables` of them. Time in mean gaps between visits.

    Which codes these are, and the mean gap, is learned by `learn` from training data and saved with the weights. A
    value further than ten deviations from the mean counts as ten.

    Args:
        codes: of the vocabulary.
        variables: columns; those that no code needs stay empty.
    """

    column: Tensor
    used: Tensor
    unit: Tensor

    def __init__(self, codes: int, variables: int) -> None:
        super().__init__()
        self.variables = variables
        self.register_buffer("column", torch.full((codes,), -1, dtype=torch.int64))
        self.register_buffer("used", torch.zeros(variables))
        self.register_buffer("unit", torch.ones(()))

    def learn(self, train: Dataset, max_visits: int | None) -> None:
        """Choose the codes and measure the mean gap."""
        numeric = np.flatnonzero(~np.isnan(train.timelines.vocabulary.mean))[: self.variables]  # the commonest first
        self.column[torch.as_tensor(numeric, device=self.column.device)] = torch.arange(
            len(numeric), device=self.column.device
        )
        self.used[: len(numeric)] = 1
        total, gaps = 0.0, 0
        for samples in train.in_order():
            batch = Batch.of(samples, self.unit.device, max_visits)
            total += float(batch.visit_gaps.double().sum())
            gaps += int((batch.visit_place > 0).sum())
        if total > 0:
            self.unit.fill_(total / gaps)

    def forward(self, batch: Batch, present: Float[Tensor, " t"]) -> Series:
        """Each sample's series.

        Args:
            batch: events and visits.
            present: share of each event that is there: 1, but for attributions, which let events fade out.
        """
        rows = self._latest(batch)
        shape = (len(batch.visit_sample), self.variables)
        place = (batch.code_visit[rows], self.column[batch.codes[rows]])
        flat_new = present.new_zeros(shape).index_put(place, present[rows])
        value = batch.pad(present.new_zeros(shape).index_put(place, batch.values[rows].clamp(-_FARTHEST, _FARTHEST)))
        new = batch.pad(flat_new)
        gap = batch.pad(batch.visit_gaps / self.unit)
        since = new.new_zeros((len(batch), self.variables))  # age of the latest measurement just after a visit
        last = torch.zeros_like(since)
        lasts, ages = [], []
        for step in range(batch.width):
            age = since + gap[:, step, None] * self.used
            last = new[:, step] * value[:, step] + (1 - new[:, step]) * last
            since = (1 - new[:, step]) * age
            lasts.append(last)
            ages.append(age)
        is_last = batch.visit_place == batch.visits[batch.visit_sample] - 1
        wait = batch.per_sample(torch.where(is_last, batch.visit_days / self.unit, 0.0)[:, None])[:, 0]
        final_age = since + wait[:, None] * self.used
        return Series(torch.stack(lasts, 1), new, torch.stack(ages, 1), gap, wait, final_age)

    def _latest(self, batch: Batch) -> Int[Tensor, " m"]:
        """The events with a number that is followed, the latest of each code in each visit."""
        rows = torch.nonzero((self.column[batch.codes] >= 0) & ~batch.values.isnan())[:, 0]
        key = batch.code_visit[rows] * self.variables + self.column[batch.codes[rows]]
        order = torch.argsort(key, stable=True)
        key = key[order]
        ends = torch.ones_like(key, dtype=torch.bool)
        ends[:-1] = key[1:] != key[:-1]
        return rows[order[ends]]


class Outline(nn.Module):
    """What a series comes to at the prediction time: its last values, means, trends, and which were ever measured.

    A trend is the slope of a least-squares line, held towards 0. Two more numbers tell the time since the last and the
    first visit.

    Args:
        variables: columns of the series.
        bent: let each last value also come as max(0, value - knot) at five knots, so that a linear layer on them is a
            piecewise linear function.
    """

    def __init__(self, variables: int, bent: bool) -> None:
        super().__init__()
        self.bent = bent
        self.size = variables * (4 + (len(_KNOTS) if bent else 0)) + 2

    def forward(self, series: Series) -> Float[Tensor, "n f"]:
        """One row a sample."""
        last, new = series.last[:, -1], series.new  # padded visits repeat what was there
        count = new.sum(dim=1)
        weight = new / count.clamp(min=1)[:, None]
        since = torch.cumsum(series.gap, dim=1)[:, :, None]
        mean, middle = (weight * series.last).sum(dim=1), (weight * since).sum(dim=1)
        away = new * (since - middle[:, None])
        trend = (away * (series.last - mean[:, None])).sum(dim=1) / ((away * away).sum(dim=1) + _TREND_PRIOR)
        seen = count.clamp(max=1)
        parts = [last, mean, trend, seen]
        if self.bent:
            parts += [torch.relu(last - knot) * seen for knot in _KNOTS]
        wait = torch.stack([series.wait, series.wait + series.gap.sum(dim=1)], dim=1)
        return torch.cat([*parts, torch.log1p(wait)], dim=1)


def presence(codes: CodeVectors, batch: Batch, vectors: Float[Tensor, "t d"] | None) -> Float[Tensor, " t"]:
    """How much of each event is there: vectors · own / own · own, so 1 for its own vector and 0 for zeros.

    Attributions fade vectors out, and values fade with them: what is said of an event covers its value.
    """
    if vectors is None:
        return torch.ones(len(batch.codes), device=batch.codes.device)
    own = codes(batch.codes).detach()
    size = (own * own).sum(dim=1)
    return torch.where(size > 0, (vectors * own).sum(dim=1) / torch.where(size > 0, size, 1.0), 1.0)
