"""Mini-batches of samples: held in memory while they are few, read anew from the cohort's files when they are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from medgraph.data.samples import Samples
from medgraph.data.timelines import Timelines
from medgraph.errors import SchemaError

__all__ = ["IN_MEMORY", "Batches", "Dataset"]

IN_MEMORY = 20_000_000  # events of all samples; about 400 MB


class Dataset:
    """The samples of one part of a cohort for one task, ready to be read in batches, epoch after epoch.

    Args:
        timelines: which samples.
        size: samples in a batch.
        seed: of their order.
        in_memory: how many events are held; where there are more, every epoch reads the files, in the background.

    Attributes:
        samples: all of them, or None if they are too many to be held.
        labels: of all of them.
        empty: samples without a known code.
        unknown: visible events whose code is not in the vocabulary.
        events: known ones, of all samples.
    """

    def __init__(self, timelines: Timelines, size: int, seed: int, in_memory: int = IN_MEMORY) -> None:
        self.timelines, self.size, self.seed = timelines, size, seed
        self.count = self.empty = self.unknown = 0
        labels: list[np.ndarray] = []
        blocks: list[Samples] | None = []
        held = 0
        for block in timelines:
            self.count += len(block)
            self.empty += int((np.diff(block.event_offsets) == 0).sum())
            self.unknown += int(block.unknown.sum())
            labels.append(block.label)
            held += block.codes.size
            if blocks is not None and held <= in_memory:
                blocks.append(block)
            else:
                blocks = None
        if not self.count:
            raise SchemaError(f"The task leaves no sample in {timelines.cohort!r}.")
        self.events = held
        self.labels = np.concatenate(labels)
        self.samples = None if blocks is None else Samples.concat(blocks)

    def __len__(self) -> int:
        return self.count

    def batches(self, epoch: int) -> Batches:
        """The epoch's batches, shuffled; the same for the same epoch."""
        return Batches(self, epoch)

    def in_order(self) -> Iterator[Samples]:
        """All samples in the order of the files, at most `size` at a time."""
        for block in self.timelines if self.samples is None else [self.samples]:
            for start in range(0, len(block), self.size):
                yield block.take(np.arange(start, min(start + self.size, len(block))))


class Batches(Sequence[Samples]):
    """One epoch. Batches that are asked for in rising order are read once; going back reads the epoch again."""

    def __init__(self, data: Dataset, epoch: int) -> None:
        self.data, self.epoch = data, epoch
        self._order = None
        if data.samples is not None:
            self._order = np.random.default_rng([data.seed, epoch]).permutation(len(data))
        self._stream: Iterator[Samples] | None = None
        self._next = 0

    def __len__(self) -> int:
        return (len(self.data) + self.data.size - 1) // self.data.size

    @overload
    def __getitem__(self, index: int) -> Samples: ...
    @overload
    def __getitem__(self, index: slice) -> list[Samples]: ...
    def __getitem__(self, index: int | slice) -> Samples | list[Samples]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._order is not None and self.data.samples is not None:
            return self.data.samples.take(self._order[index * self.data.size : (index + 1) * self.data.size])
        if self._stream is None or index < self._next:
            self._stream = self.data.timelines.batches(self.data.size, self.data.seed, self.epoch)
            self._next = 0
        for batch in self._stream:
            self._next += 1
            if self._next == index + 1:
                return batch
        raise SchemaError("The cohort's files changed while they were read: fewer samples than there were.")
