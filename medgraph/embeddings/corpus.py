"""What a skip-gram reads: sequences of ids as numbers, in batches that can be asked for in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.walks import ENDED, Walks, WalkSampler
from medgraph.errors import SchemaError

__all__ = ["Corpus", "Reading", "SequenceCorpus", "Source", "Stream", "WalkCorpus", "cut_at", "read_graph"]


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
    """Sequences of numbers below `num_tokens`; a pass is the same whenever it is read, and may differ by epoch."""

    num_tokens: int

    def cut(self, batch_tokens: int) -> int:
        """Into how many batches of about that many tokens is the corpus cut?"""
        ...

    def largest(self, batch_tokens: int) -> int:
        """How many tokens can a batch have?"""
        ...

    def batch(self, number: int, batch_tokens: int, device: torch.device, epoch: int = 0) -> Stream:
        """One batch."""
        ...

    def passage(self, epoch: int = 0) -> Iterator[list[int]]:
        """The sequences of one epoch, one after the other."""
        size = 1 << 16
        for number in range(self.cut(size)):
            stream = self.batch(number, size, torch.device("cpu"), epoch)
            ends = torch.unique_consecutive(stream.sequences, return_counts=True)[1].cumsum(0).tolist()
            yield from (stream.tokens[first:last].tolist() for first, last in pairwise([0, *ends]))

    def __iter__(self) -> Iterator[list[int]]:
        return self.passage()

    def counts(self, device: torch.device | str = "cpu") -> Int64[Tensor, " tokens"]:
        """How often does each token occur in a pass?"""
        counts = torch.zeros(self.num_tokens, dtype=torch.int64, device=device)
        size = 4_000_000
        for number in range(self.cut(size)):
            counts += torch.bincount(self.batch(number, size, counts.device).tokens, minlength=self.num_tokens)
        return counts.cpu()


@dataclass(frozen=True, eq=False)
class Reading:
    """A corpus and what its tokens are.

    Args:
        corpus: the sequences.
        ids: of each token.
        types: node types, "" where there are none.
        names: of each token.
        origin: where it came from, as plain values: `fingerprint`, `provenance`. No subject and no date.
    """

    corpus: Corpus
    ids: tuple[str, ...]
    types: tuple[str, ...]
    names: tuple[str, ...]
    origin: dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """What a skip-gram can read besides graphs and plain sequences."""

    def read(self, walks: Walks, seed: int, device: torch.device) -> Reading:
        """Its corpus: graphs in it are walked by `walks`, and what is drawn at random follows from `seed`."""
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

    def batch(self, number: int, batch_tokens: int, device: torch.device, epoch: int = 0) -> Stream:  # noqa: ARG002
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

    def passage(self, epoch: int = 0) -> Iterator[list[int]]:  # noqa: ARG002
        """Each walk."""
        for walk in self.sampler:
            yield walk.tolist()


def read_graph(graph: KnowledgeGraph, walks: Walks, seed: int, device: torch.device) -> Reading:
    """Walks over a graph. Raises SchemaError where it has no edges."""
    if not graph.num_edges:
        raise SchemaError(f"{graph} has no edges to walk over.")
    origin = {"fingerprint": graph.fingerprint, "provenance": [vars(source) for source in graph.provenance]}
    return Reading(WalkCorpus(walks.on(graph, seed, device)), graph.ids, graph.types, graph.names, origin)


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
            self._cut_at = batch_tokens, cut_at(self._ends, batch_tokens)
        return self._cut_at[1]

    def cut(self, batch_tokens: int) -> int:
        """Batches of whole sequences where they fit."""
        return len(self._cuts(batch_tokens)) - 1

    def largest(self, batch_tokens: int) -> int:
        """A sequence that is longer is cut."""
        return batch_tokens

    def batch(self, number: int, batch_tokens: int, device: torch.device, epoch: int = 0) -> Stream:  # noqa: ARG002
        """The sequences of one batch."""
        first, last = self._cuts(batch_tokens)[number : number + 2]
        return Stream(self._flat[first:last].to(device), self._sequences[first:last].to(device))

    def passage(self, epoch: int = 0) -> Iterator[list[int]]:  # noqa: ARG002
        """Each sequence."""
        first = 0
        for last in self._ends.tolist():
            yield self._flat[first:last].tolist()
            first = last


def cut_at(ends: Int64[np.ndarray, " sequences"], batch_tokens: int) -> list[int]:
    """Where batches of whole sequences begin, and the last one ends; a sequence longer than a batch is cut."""
    cuts, total = [0], int(ends[-1])
    while cuts[-1] < total:
        limit = cuts[-1] + batch_tokens
        whole = int(np.searchsorted(ends, limit, side="right"))
        end = int(ends[whole - 1]) if whole else 0
        cuts.append(end if end > cuts[-1] else min(limit, total))
    return cuts
