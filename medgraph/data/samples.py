"""Patients as arrays, each cut off at its prediction time: visits of codes, ages, values, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Shaped
from scipy.sparse import csr_array

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.events import spread
from medgraph.errors import SchemaError

__all__ = ["Padded", "Samples"]


class Padded(NamedTuple):
    """Samples as rectangles; `codes` is -1 and `mask` false where there is nothing. The latest visits come last."""

    codes: Int32[np.ndarray, "n v c"]
    values: Float32[np.ndarray, "n v c"]
    visit_days: Float32[np.ndarray, "n v"]
    mask: Bool[np.ndarray, "n v"]


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Histories and labels of n samples, v visits and t coded events.

    Args:
        vocabulary: what `codes` and `static_codes` are numbers of.
        subject_id: of each sample.
        prediction_time: of each sample, datetime64[us].
        label: (n,), (n, k) or (n, 2), see `Labels`.
        age: years at the prediction time, nan where the birth is unknown.
        visit_offsets: sample i has the visits from `visit_offsets[i]` to `visit_offsets[i + 1]`, oldest first.
        code_offsets: visit j has the events from `code_offsets[j]` to `code_offsets[j + 1]`, oldest first.
        codes: of each event.
        values: of each event, nan where there is none.
        code_days: from the event to the prediction time, 0 or more.
        static_offsets: sample i has the codes without a time from `static_offsets[i]` to `static_offsets[i + 1]`.
        static_codes: such as sex.
        unknown: how many visible events of each sample have a code that is not in the vocabulary.
    """

    vocabulary: CodeVocabulary
    subject_id: Int64[np.ndarray, " n"]
    prediction_time: Shaped[np.ndarray, " n"]
    label: Float32[np.ndarray, "n ..."]
    age: Float32[np.ndarray, " n"]
    visit_offsets: Int64[np.ndarray, " n+1"]
    code_offsets: Int64[np.ndarray, " w"]
    codes: Int32[np.ndarray, " t"]
    values: Float32[np.ndarray, " t"]
    code_days: Float32[np.ndarray, " t"]
    static_offsets: Int64[np.ndarray, " n+1"]
    static_codes: Int32[np.ndarray, " s"]
    unknown: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return int(self.subject_id.size)

    def __repr__(self) -> str:
        return f"Samples({len(self):,} samples, {self.code_offsets.size - 1:,} visits, {self.codes.size:,} events)"

    @property
    def event_offsets(self) -> Int64[np.ndarray, " m"]:
        """Sample i has the events from `event_offsets[i]` to `event_offsets[i + 1]`."""
        return np.asarray(self.code_offsets[self.visit_offsets])

    @property
    def visit_days(self) -> Float32[np.ndarray, " v"]:
        """From each visit's last visible event to the prediction time."""
        return np.asarray(self.code_days[self.code_offsets[1:] - 1])

    def take(self, rows: Int64[np.ndarray, " m"]) -> Samples:
        """These samples, in this order."""
        visits, visit_offsets = spread(self.visit_offsets[rows], self.visit_offsets[rows + 1])
        events, code_offsets = spread(self.code_offsets[visits], self.code_offsets[visits + 1])
        static, static_offsets = spread(self.static_offsets[rows], self.static_offsets[rows + 1])
        return Samples(
            self.vocabulary,
            self.subject_id[rows],
            self.prediction_time[rows],
            self.label[rows],
            self.age[rows],
            visit_offsets,
            code_offsets,
            self.codes[events],
            self.values[events],
            self.code_days[events],
            static_offsets,
            self.static_codes[static],
            self.unknown[rows],
        )

    @classmethod
    def concat(cls, parts: Sequence[Samples]) -> Samples:
        """One after another; all of one vocabulary. Raises SchemaError where there is no part."""
        if not parts:
            raise SchemaError("There is no sample: the cohort holds no subject of this part.")
        if len(parts) == 1:
            return parts[0]
        joined: dict[str, np.ndarray] = {}
        for field_ in fields(cls)[1:]:
            arrays = [getattr(part, field_.name) for part in parts]
            if field_.name.endswith("_offsets"):
                sizes = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(array) for array in arrays)])
                joined[field_.name] = np.cumsum(sizes)
            else:
                joined[field_.name] = np.concatenate(arrays)
        return cls(parts[0].vocabulary, **joined)

    def counts(self) -> csr_array:
        """How often each sample has each code (n, codes); codes without a time count too."""
        n = len(self)
        sample = np.concatenate(
            [
                np.repeat(np.arange(n), np.diff(self.event_offsets)),
                np.repeat(np.arange(n), np.diff(self.static_offsets)),
            ]
        )
        code = np.concatenate([self.codes, self.static_codes])
        matrix = csr_array((np.ones(code.size), (sample, code)), shape=(n, len(self.vocabulary)))
        matrix.sum_duplicates()
        return matrix

    def last_values(self) -> Float64[np.ndarray, "n c"]:
        """The latest value of each code in each sample (last value carried forward), nan where there is none."""
        result = np.full((len(self), len(self.vocabulary)), np.nan)
        sample = np.repeat(np.arange(len(self)), np.diff(self.event_offsets))
        given = ~np.isnan(self.values)
        result[sample[given], self.codes[given]] = self.values[given]  # in order of time: the last one stays
        return result

    def padded(self, max_visits: int | None = None, max_codes: int | None = None) -> Padded:
        """As rectangles, as wide as the largest sample and visit, or cut to the latest visits and events.

        Raises:
            SchemaError: a limit below 1.
        """
        if any(limit is not None and limit < 1 for limit in (max_visits, max_codes)):
            raise SchemaError(f"Expected limits of at least 1, got {max_visits}, {max_codes}.")
        visits, codes = np.diff(self.visit_offsets), np.diff(self.code_offsets)
        width = min(int(visits.max(initial=1)), max_visits or int(visits.max(initial=1)))
        depth = min(int(codes.max(initial=1)), max_codes or int(codes.max(initial=1)))
        n = len(self)
        sample = np.repeat(np.arange(n), visits)
        column = np.arange(sample.size) - self.visit_offsets[1:][sample] + width  # the latest visit stands last
        shape = (n, width, depth)
        result = Padded(
            np.full(shape, -1, dtype=np.int32),
            np.full(shape, np.nan, dtype=np.float32),
            np.zeros(shape[:2], dtype=np.float32),
            np.zeros(shape[:2], dtype=bool),
        )
        kept = column >= 0
        result.visit_days[sample[kept], column[kept]] = self.visit_days[kept]
        result.mask[sample[kept], column[kept]] = True
        visit = np.repeat(np.arange(codes.size), codes)
        place = np.arange(visit.size) - np.maximum(self.code_offsets[:-1], self.code_offsets[1:] - depth)[visit]
        inside = kept[visit] & (place >= 0)
        at = sample[visit[inside]], column[visit[inside]], place[inside]
        result.codes[at] = self.codes[inside]
        result.values[at] = self.values[inside]
        return result
