"""A cohort's samples for a task, streamed: visits up to the prediction time as arrays, never beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int64

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.events import DAY, STATIC, YEAR, spread
from medgraph.data.labels import Labels
from medgraph.data.record import Record, visit_starts
from medgraph.data.samples import Samples
from medgraph.data.shards import background
from medgraph.data.task import Task
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from medgraph.data.cohort import Cohort

__all__ = ["Timelines", "fit_vocabulary"]


@dataclass(frozen=True, eq=False, repr=False)
class Timelines:
    """The samples of one cohort for one task. Iterating reads the events anew, a block at a time, in the background.

    Args:
        cohort: whose.
        task: what is predicted, when.
        vocabulary: which codes count.
        visit: what a visit is: the source's own ("visit"), a "day", a "time".
        prefetch: how many blocks are made ready ahead; 0 reads in this thread.
    """

    cohort: Cohort
    task: Task
    vocabulary: CodeVocabulary
    visit: Literal["visit", "day", "time"] = "visit"
    prefetch: int = 1

    def __post_init__(self) -> None:
        if self.visit not in {"visit", "day", "time"}:
            raise SchemaError(f"Expected visit 'visit', 'day' or 'time', got {self.visit!r}.")

    def __repr__(self) -> str:
        return f"Timelines({self.task!r} on {self.cohort!r}, {len(self.vocabulary):,} codes)"

    def __iter__(self) -> Iterator[Samples]:
        """Blocks of samples, in the order of the files. A block without any sample is passed over."""
        return background(self._blocks(None), self.prefetch)

    def all(self) -> Samples:
        """All samples at once."""
        return Samples.concat(list(self))

    def histories(self) -> Iterator[Samples]:
        """Blocks in which each subject stands once, up to the last of its prediction times, however far back.

        What concept embeddings may learn from: every event that some sample may see, and none twice.
        """
        return background(self._blocks(None, last_only=True), self.prefetch)

    def labels(self) -> Labels:
        """The labels alone, and what was excluded: one pass over the events."""
        return self.cohort.labels(self.task)

    def batches(self, size: int, seed: int = 0, epoch: int = 0) -> Iterator[Samples]:
        """All samples once, in shuffled batches of `size` (the last may be smaller); the same for one seed and epoch.

        Files are read in shuffled order, and samples shuffled within each block: as MEDS' files hold subjects at
        random, so are the batches, at the cost of one block's memory.
        """
        if size < 1:
            raise SchemaError(f"A batch holds at least one sample, got {size}.")
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self.cohort.shards.parts))
        rest: Samples | None = None
        for block in background(self._blocks(order), self.prefetch):
            shuffled = rng.permutation(len(block))
            joined = block.take(shuffled) if rest is None else Samples.concat([rest, block.take(shuffled)])
            full = len(joined) // size * size
            for start in range(0, full, size):
                yield joined.take(np.arange(start, start + size))
            rest = joined.take(np.arange(full, len(joined))) if full < len(joined) else None
        if rest is not None:
            yield rest

    def _blocks(self, order: Int64[np.ndarray, " p"] | None, last_only: bool = False) -> Iterator[Samples]:
        lookup = self.vocabulary.lookup(self.cohort.shards.codes)
        for record in self.cohort.records(order):
            labels = self.task.labels(record)
            if last_only and len(labels):
                labels = labels.take(np.flatnonzero(np.diff(labels.subject_id, append=labels.subject_id[-1] + 1)))
            if len(labels):
                yield self._samples(record, labels, lookup, None if last_only else self.task.observation_days)

    def _samples(
        self, record: Record, labels: Labels, lookup: Int64[np.ndarray, " c"], observation_days: float | None
    ) -> Samples:
        events = record.events
        subject = _places(events.subject_id, labels.subject_id)
        time = labels.prediction_time
        start, stop = record.window(subject, time, observation_days, self.task.strict)
        number = lookup[events.code]
        known = np.flatnonzero(number >= 0)
        rows, offsets = spread(np.searchsorted(known, start), np.searchsorted(known, stop))
        rows = known[rows]
        static, static_offsets = spread(
            np.searchsorted(known, events.offsets[subject]), np.searchsorted(known, record.timed[subject])
        )
        size = np.diff(offsets)
        sample = np.repeat(np.arange(size.size), size)
        opens = visit_starts(sample, events.time[rows], events.visit[rows], self.visit)
        visits = np.concatenate([[0], np.cumsum(opens)])[offsets]
        strange = np.concatenate([[0], np.cumsum((number < 0) & ~record.vital)])
        birth = record.births[subject]
        age = np.where(birth == STATIC, np.nan, (time - np.where(birth == STATIC, time, birth)) / YEAR)
        return Samples(
            self.vocabulary,
            labels.subject_id,
            labels.times,
            labels.value,
            age.astype(np.float32),
            visits.astype(np.int64),
            np.append(np.flatnonzero(opens), rows.size).astype(np.int64),
            number[rows].astype(np.int32),
            events.value[rows],
            ((time[sample] - events.time[rows]) / DAY).astype(np.float32),
            static_offsets,
            number[known[static]].astype(np.int32),
            strange[stop] - strange[start],
        )


def _places(ids: Int64[np.ndarray, " s"], wanted: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Where each wanted id stands among `ids`, which hold all of them."""
    order = np.argsort(ids, kind="stable")
    return order[np.searchsorted(ids[order], wanted)]


def fit_vocabulary(
    cohort: Cohort, task: Task, min_count: int = 1, roll_up: Mapping[str, str] | None = None
) -> CodeVocabulary:
    """Which codes can be seen by the samples of a task, how often, and with which values? One pass over the events.

    An event counts once if any sample of its subject may see it. What no sample may see, counts for nothing.

    Raises:
        SchemaError: no sample is left, or all have the same outcome, or no code is seen often enough.
    """
    if min_count < 1:
        raise SchemaError(f"Expected min_count of at least 1, got {min_count}.")
    roll_up = dict(roll_up or {})
    index: dict[str, int] = {}
    group = np.array([index.setdefault(roll_up.get(code, code), len(index)) for code in cohort.shards.codes], np.int64)
    counts, had = np.zeros(len(index), dtype=np.int64), np.zeros(len(index), dtype=np.int64)
    valued, mean, spread_ = (np.zeros(len(index)) for _ in range(3))  # how many, their mean, squares around it
    parts: list[Labels] = []
    for record in cohort.records():
        labels = task.labels(record)
        parts.append(labels)
        events = record.events
        subject = _places(events.subject_id, labels.subject_id)
        start, stop = record.window(subject, labels.prediction_time, task.observation_days, task.strict)
        steps = np.zeros(events.time.size + 1, dtype=np.int64)
        for begin, end in ((start, stop), (events.offsets[subject], record.timed[subject])):
            np.add.at(steps, begin, 1)
            np.add.at(steps, end, -1)
        seen = np.flatnonzero((np.cumsum(steps[:-1]) > 0) & ~record.vital)
        code = group[events.code[seen]]
        counts += np.bincount(code, minlength=len(index))
        pairs = np.unique(events.subject[seen] * len(index) + code)
        had += np.bincount(pairs % max(len(index), 1), minlength=len(index))
        value = events.value[seen].astype(np.float64)
        given = ~np.isnan(value)
        code, value = code[given], value[given]
        more = np.bincount(code, minlength=len(index))
        here = np.bincount(code, value, minlength=len(index)) / np.maximum(more, 1)
        step, both = here - mean, np.maximum(valued + more, 1)  # Chan et al. (1979): two means and variances made one
        spread_ += np.bincount(code, (value - here[code]) ** 2, minlength=len(index)) + step**2 * valued * more / both
        mean += step * more / both
        valued += more
    Labels.concat(parts).check()
    names = list(index)
    kept = sorted((row for row in range(len(names)) if counts[row] >= min_count), key=lambda r: (-counts[r], names[r]))
    if not kept:
        raise SchemaError(f"No code is seen {min_count:,} times or more before the prediction times.")
    none = valued == 0
    mean[none] = spread_[none] = np.nan
    std = np.sqrt(spread_ / np.maximum(valued, 1))
    return CodeVocabulary(tuple(names[row] for row in kept), counts[kept], had[kept], mean[kept], std[kept], roll_up)
