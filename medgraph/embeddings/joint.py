"""Walks over a graph and histories of patients as one corpus: codes, diseases, drugs and genes in one space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.corpus import Corpus, Reading, Stream, read_graph
from medgraph.embeddings.visits import VisitSequences
from medgraph.embeddings.walks import Walks
from medgraph.errors import SchemaError, nearest

__all__ = ["JointSequences"]


@dataclass(frozen=True, eq=False)
class JointSequences:
    """Walks over a graph and histories of a cohort, learned together: one vector for each node and each code.

    They meet in the codes that are nodes of the graph: `load("clinical_codes", into=graph)` makes codes nodes, joined
    to diseases and compounds by the edges it knows.

    Args:
        graph: the graph.
        visits: the histories.
        share: of the tokens of an epoch that come from the histories. The graph is walked once an epoch, and the
            histories are gone through as often as that takes, each time in another order.

    Raises:
        SchemaError: no code of the cohort is a node of the graph, or a share outside (0, 1).
    """

    graph: KnowledgeGraph
    visits: VisitSequences
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SchemaError(f"JointSequences(share={self.share}): expected more than 0 and less than 1.")

    def read(self, walks: Walks, seed: int, device: torch.device) -> Reading:
        """Both corpora, one vocabulary: the graph's nodes, then codes that are no node."""
        nodes, visits = read_graph(self.graph, walks, seed, device), self.visits.read(walks, seed, device)
        rest = [row for row, id_ in enumerate(visits.ids) if id_ not in self.graph]
        if len(rest) == len(visits.ids):
            example = visits.ids[0]
            raise SchemaError(
                f"None of the cohort's {len(rest):,} codes is a node of {self.graph}, so they would not share a "
                f"space.{nearest(example, self.graph.ids)} Join codes to it: load('clinical_codes', into=graph)."
            )
        ids, types, names = (
            a + tuple(b[row] for row in rest)
            for a, b in ((nodes.ids, visits.ids), (nodes.types, visits.types), (nodes.names, visits.names))
        )
        number = {id_: row for row, id_ in enumerate(ids)}
        token = torch.tensor([number[id_] for id_ in visits.ids])
        corpus = _JointCorpus(nodes.corpus, visits.corpus, token, len(ids), self.share)
        sources = [*nodes.origin["provenance"], *visits.origin["provenance"]]
        origin = {"fingerprint": nodes.origin["fingerprint"], "cohort": visits.origin["fingerprint"]}
        return Reading(corpus, ids, types, names, {**origin, "provenance": sources})


class _JointCorpus(Corpus):
    """Batches of one corpus and of another, evenly mixed."""

    def __init__(self, first: Corpus, second: Corpus, token: Tensor, num_tokens: int, share: float) -> None:
        self.first, self.second, self.num_tokens = first, second, num_tokens
        self._token = token
        own, other = first.counts(), second.counts()
        self._passes = share / (1 - share) * float(own.sum()) / float(other.sum())
        self._counts = torch.zeros(num_tokens, dtype=torch.int64)
        self._counts[: own.numel()] = own
        self._counts.index_add_(0, token, (other.double() * self._passes).ceil().long())

    def _split(self, batch_tokens: int) -> tuple[int, int]:
        return self.first.cut(batch_tokens), max(1, round(self.second.cut(batch_tokens) * self._passes))

    def cut(self, batch_tokens: int) -> int:
        """Batches of both."""
        return sum(self._split(batch_tokens))

    def largest(self, batch_tokens: int) -> int:
        """The larger of both."""
        return max(self.first.largest(batch_tokens), self.second.largest(batch_tokens))

    def batch(self, number: int, batch_tokens: int, device: torch.device, epoch: int = 0) -> Stream:
        """Evenly mixed: among the first n batches are n times the second corpus' share, rounded down."""
        one, two = self._split(batch_tokens)
        before = number * two // (one + two)
        if (number + 1) * two // (one + two) == before:
            return self.first.batch(number - before, batch_tokens, device, epoch)
        passed, place = divmod(epoch * two + before, self.second.cut(batch_tokens))
        stream = self.second.batch(place, batch_tokens, device, passed)
        return Stream(self._token.to(device)[stream.tokens], stream.sequences)

    def counts(self, device: torch.device | str = "cpu") -> Int64[Tensor, " tokens"]:  # noqa: ARG002 (counted before)
        """In an epoch, both together."""
        return self._counts
