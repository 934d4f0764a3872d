"""Samples as tensors: events, visits and samples in flat arrays, padded or packed where a layer asks for it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medgraph.data.events import spread
from medgraph.data.samples import Samples

__all__ = ["Batch", "age_features"]

_KNOTS = tuple(float(age) for age in range(0, 100, 10))  # years


@dataclass(frozen=True, eq=False)
class Batch:
    """n samples with v visits and t events; no subject id and no date is in it.

    Args:
        codes: rows of the vocabulary, by sample, visit and time.
        values: what came with the code, standardised by the vocabulary (training) mean and deviation; nan where none.
        code_days: from the event to the prediction time.
        code_visit: which visit each event belongs to.
        visit_days: from the visit's last event to the prediction time.
        visit_gaps: from the visit before it, 0 for a sample's first.
        visit_sample: which sample each visit belongs to.
        visits: how many visits each sample has, 0 or more.
        static_codes: codes without a time, such as sex.
        static_sample: which sample each of them belongs to.
        person: age at the prediction time, see `age_features`.
        label: (n,), (n, k) or (n, 2), as in `Samples`.
        width: visits that a padded rectangle has; at least the most that a sample has.
    """

    codes: Int[Tensor, " t"]
    values: Float[Tensor, " t"]
    code_days: Float[Tensor, " t"]
    code_visit: Int[Tensor, " t"]
    visit_days: Float[Tensor, " v"]
    visit_gaps: Float[Tensor, " v"]
    visit_sample: Int[Tensor, " v"]
    visits: Int[Tensor, " n"]
    static_codes: Int[Tensor, " s"]
    static_sample: Int[Tensor, " s"]
    person: Float[Tensor, "n a"]
    label: Float[Tensor, "n ..."]
    width: int

    def __len__(self) -> int:
        return int(self.visits.shape[0])

    @classmethod
    def of(
        cls,
        samples: Samples,
        device: torch.device | str = "cpu",
        max_visits: int | None = None,
        width: int | None = None,
    ) -> Batch:
        """The latest `max_visits` visits of each sample, padded to `width` visits (the most there are, if None)."""
        stop = samples.visit_offsets[1:]
        start = samples.visit_offsets[:-1] if max_visits is None else np.maximum(
            samples.visit_offsets[:-1], stop - max_visits
        )  # fmt: skip
        visits, offsets = spread(start, stop)
        events, code_offsets = spread(samples.code_offsets[visits], samples.code_offsets[visits + 1])
        counts = np.diff(offsets)
        days = samples.visit_days[visits].astype(np.float32)
        gaps = np.zeros_like(days)
        gaps[1:] = np.maximum(days[:-1] - days[1:], 0)
        gaps[offsets[:-1][counts > 0]] = 0
        codes, vocabulary = samples.codes[events], samples.vocabulary
        deviation = np.where(vocabulary.std > 0, vocabulary.std, 1.0)
        mean = np.nan_to_num(vocabulary.mean)
        values = (samples.values[events] - mean[codes]) / deviation[codes]

        def tensor(array: np.ndarray, kind: torch.dtype) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(array)).to(device=device, dtype=kind)

        whole, real = torch.int64, torch.float32
        return cls(
            tensor(codes, whole),
            tensor(values, real),
            tensor(samples.code_days[events], real),
            tensor(np.repeat(np.arange(visits.size), np.diff(code_offsets)), whole),
            tensor(days, real),
            tensor(gaps, real),
            tensor(np.repeat(np.arange(counts.size), counts), whole),
            tensor(counts, whole),
            tensor(samples.static_codes, whole),
            tensor(np.repeat(np.arange(counts.size), np.diff(samples.static_offsets)), whole),
            tensor(age_features(samples.age), real),
            tensor(samples.label, real),
            max(int(counts.max(initial=1)), 1, width or 0),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "width"}
        return Batch(**{name: tensor.to(device) for name, tensor in tensors.items()}, width=self.width)

    # Visits in a rectangle -------------------------------------------------------------------------------------------

    @cached_property
    def visit_place(self) -> Int[Tensor, " v"]:
        """Which visit of its sample each one is, from 0, the oldest."""
        first = torch.cumsum(self.visits, 0) - self.visits
        return torch.arange(self.visit_sample.shape[0], device=self.visits.device) - first[self.visit_sample]

    @cached_property
    def mask(self) -> Bool[Tensor, "n w"]:
        """Which places of the rectangle hold a visit; the oldest stands first, what is padded last."""
        return torch.arange(self.width, device=self.visits.device)[None, :] < self.visits[:, None]

    def pad(self, rows: Float[Tensor, "v ..."]) -> Float[Tensor, "n w ..."]:
        """Visits as a rectangle, zeros where there is none."""
        result = rows.new_zeros((len(self), self.width, *rows.shape[1:]))
        return result.index_put((self.visit_sample, self.visit_place), rows)

    def unpad(self, rectangle: Float[Tensor, "n w ..."]) -> Float[Tensor, "v ..."]:
        """The reverse of `pad`."""
        return rectangle[self.visit_sample, self.visit_place]

    # Sums ------------------------------------------------------------------------------------------------------------

    def per_visit(self, events: Float[Tensor, "t d"]) -> Float[Tensor, "v d"]:
        """The sum of each visit's events."""
        empty = events.new_zeros((self.visit_sample.shape[0], events.shape[1]))
        return empty.index_add(0, self.code_visit, events)

    def per_sample(self, visits: Float[Tensor, "v d"]) -> Float[Tensor, "n d"]:
        """The sum of each sample's visits; zeros for a sample without any."""
        return visits.new_zeros((len(self), visits.shape[1])).index_add(0, self.visit_sample, visits)


def age_features(age: np.ndarray) -> np.ndarray:
    """Ages as shares of the two nearest of ten knots (0, 10, ... 90 years), and a flag for an unknown age (n, 11).

    A linear layer on them is a piecewise linear function of age.
    """
    known = ~np.isnan(age)
    years = np.clip(np.where(known, age, 0), _KNOTS[0], _KNOTS[-1])
    shares = np.clip(1 - np.abs(years[:, None] - np.array(_KNOTS)) / 10, 0, 1) * known[:, None]
    return np.concatenate([shares, ~known[:, None]], axis=1).astype(np.float32)
