"""What a skip-gram reads: sequences of ids as numbers, in batches that can be asked for in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.embeddings.walks import ENDED, WalkSampler
from medgraph.errors import SchemaError

__all__ = ["Corpus", "SequenceCorpus", "Stream", "WalkCorpus"]


@dataclass(frozen=True, eq=False)
class Stream:
    """Sequences laid end to end.

    Args:
        tokens: token numbers.
        sequences: to which sequence each token belongs; neighbours of one sequence stand together.
    """

    tokens: Int64[Tensor, " tokens"]
    sequences: Int64[Tensor, " tokens"]


@runtime_checkable
class Corpus(Protocol):
    """Sequences of numbers below `num_tokens`, each read the same at every pass."""

    num_tokens: int

    def cut(self, batch_tokens: int) -> int:
        """Into how many batches of about that many tokens is the corpus cut?"""
        ...

    def largest(self, batch_tokens: int) -> int:
        """How many tokens can a batch have?"""
        ...

    def batch(self, number: int, batch_tokens: int, device: torch.device) -> Stream:
        """One batch."""
        ...

    def __iter__(self) -> Iterator[list[int]]:
        """The sequences, one after the other."""
        ...


class WalkCorpus(Corpus):
    """Random walks, sampled again at every pass rather than kept."""

    AHEAD = 16_384  # walks sampled at a time: a step costs less in large batches

    def __init__(self, sampler: WalkSampler) -> None:
        self.sampler = sampler
        self.num_tokens = sampler.adjacency.num_nodes
        self._ahead: tuple[int, Tensor] = (0, torch.empty(0))

    def _per_batch(self, batch_tokens: int) -> int:
        return max(1, batch_tokens // self.sampler.walks.length)

    def cut(self, batch_tokens: int) -> int:
        """Batches of whole walks."""
        return -(-len(self.sampler) // self._per_batch(batch_tokens))

    def largest(self, batch_tokens: int) -> int:
        """Full-length walks; one at least."""
        return self._per_batch(batch_tokens) * self.sampler.walks.length

    def batch(self, number: int, batch_tokens: int, device: torch.device) -> Stream:
        """The walks of one batch."""
        size = self._per_batch(batch_tokens)
        first, last = number * size, min((number + 1) * size, len(self.sampler))
        start, walks = self._ahead
        if not start <= first < last <= start + walks.shape[0]:
            start, walks = first, self.sampler.sample(first, first + max(size, self.AHEAD))
            self._ahead = start, walks
        walks = walks[first - start : last - start].to(device)
        sequences = torch.arange(walks.shape[0], device=device)[:, None].expand_as(walks)
        there = walks != ENDED
        return Stream(walks[there], sequences[there])

    def __iter__(self) -> Iterator[list[int]]:
        for walk in self.sampler:
            yield walk.tolist()


class SequenceCorpus(Corpus):
    """Sequences of ids, such as the codes of patients in order; `ids[number]` is a token's id.

    Raises:
        SchemaError: a string where a sequence of ids was expected, or nothing to learn from.
    """

    def __init__(self, sequences: Iterable[Iterable[str]]) -> None:
        numbers: dict[str, int] = {}
        flat: list[int] = []
        lengths = []
        for row, sequence in enumerate(sequences):
            if isinstance(sequence, str):
                raise SchemaError(f"Sequence {row} is the string {sequence[:40]!r}; expected a list of ids.")
            before = len(flat)
            flat.extend(numbers.setdefault(id_, len(numbers)) for id_ in sequence)
            lengths.append(len(flat) - before)
        if not flat:
            raise SchemaError("There is no id in these sequences.")
        self.ids, self.num_tokens = tuple(map(str, numbers)), len(numbers)
        self._flat = torch.tensor(flat)
        self._ends = np.cumsum(lengths)
        self._cut_at: tuple[int, list[int]] = (0, [])
        self._sequences = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))

    def _cuts(self, batch_tokens: int) -> list[int]:
        """Batches end where a sequence ends; a sequence longer than a batch is cut."""
        if self._cut_at[0] != batch_tokens:
            cuts = [0]
            while cuts[-1] < len(self._flat):
                limit = cuts[-1] + batch_tokens
                whole = int(np.searchsorted(self._ends, limit, side="right"))
                end = int(self._ends[whole - 1]) if whole else 0
                cuts.append(end if end > cuts[-1] else min(limit, len(self._flat)))
            self._cut_at = batch_tokens, cuts
        return self._cut_at[1]

    def cut(self, batch_tokens: int) -> int:
        """Batches of whole sequences where they fit."""
        return len(self._cuts(batch_tokens)) - 1

    def largest(self, batch_tokens: int) -> int:
        """A sequence that is longer is cut."""
        return batch_tokens

    def batch(self, number: int, batch_tokens: int, device: torch.device) -> Stream:
        """The sequences of one batch."""
        first, last = self._cuts(batch_tokens)[number : number + 2]
        return Stream(self._flat[first:last].to(device), self._sequences[first:last].to(device))

    def __iter__(self) -> Iterator[list[int]]:
        first = 0
        for last in self._ends.tolist():
            yield self._flat[first:last].tolist()
            first = last
