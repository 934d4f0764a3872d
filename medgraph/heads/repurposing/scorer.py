"""What every link scorer does: from training links alone, a score for every pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.data.graph import EdgeIndex, KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError

__all__ = ["LinkScorer", "LinkTask", "PreparedScorer", "Scores", "cross_fit", "log_like", "scored"]

Scores = Float[np.ndarray, "s t"]
MAX_PAIRS = 60_000_000


@dataclass(frozen=True, eq=False)
class LinkTask:
    """One relation to predict, and the graph to predict it from.

    Args:
        graph: the rest of the graph: it holds no edge of `relation`, so nothing computed from it has seen an answer.
        relation: what to predict.
        seed: of whatever a scorer draws.

    Raises:
        SchemaError: `graph` still has edges of `relation`, or there are too many pairs to score them all.
    """

    graph: KnowledgeGraph
    relation: EdgeType
    seed: int = 0

    def __post_init__(self) -> None:
        if self.graph.edges[self.graph.schema.require(self.relation)].num_rows:
            raise SchemaError(f"The graph still holds {self.relation} edges; pass graph.without({{relation: None}}).")
        if self.shape[0] * self.shape[1] > MAX_PAIRS:
            raise SchemaError(
                f"{self.relation} has {self.shape[0]:,} x {self.shape[1]:,} pairs, more than {MAX_PAIRS:,} that are "
                "scored at once. Take the part you ask about with graph.subgraph(nodes=...)."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """How many nodes could be a source, and how many a target?"""
        return self.graph.nodes[self.relation.source].num_rows, self.graph.nodes[self.relation.target].num_rows

    @property
    def symmetric(self) -> bool:
        """Is (a, b) the same link as (b, a)?"""
        return self.relation in self.graph.symmetric

    def matrix(self, links: EdgeIndex) -> Scores:
        """The links as a 0/1 matrix; a symmetric link both ways."""
        matrix = np.zeros(self.shape)
        matrix[links[0], links[1]] = 1
        if self.symmetric:
            matrix[links[1], links[0]] = 1
        return matrix

    def unlinked(self, links: EdgeIndex) -> Bool[np.ndarray, "s t"]:
        """Which pairs are not among the links? A node and itself are no pair, unless some node is linked to itself."""
        free: Bool[np.ndarray, "s t"] = self.matrix(links) == 0
        if self.relation.source == self.relation.target and not (links[0] == links[1]).any():
            np.fill_diagonal(free, False)
        return free


@runtime_checkable
class PreparedScorer(Protocol):
    """A scorer that has seen the rest of the graph, and now learns from links alone."""

    def score(self, links: EdgeIndex) -> Scores:
        """The score of every pair, learned from these links and no others; higher = more likely.

        On a scale like that of log-odds, so that scores of several scorers can be added.
        """
        ...


class LinkScorer(ABC):
    """A way to score links. Frozen: what it computes on a task is in what `prepare` returns."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return type(self).__name__

    @abstractmethod
    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Do all work that does not depend on the links: it is shared by every fold."""


def scored(prepared: PreparedScorer, task: LinkTask, links: EdgeIndex) -> Scores:
    """`prepared.score(links)`; for a symmetric relation the mean of (a, b) and (b, a), which are one link."""
    scores = prepared.score(links)
    return np.asarray((scores + scores.T) / 2) if task.symmetric else scores


def cross_fit(
    prepared: PreparedScorer, task: LinkTask, links: EdgeIndex, folds: int
) -> tuple[list[Scores], Int64[np.ndarray, "s t"]]:
    """Scores of every pair by a model that has not seen it: one matrix per fold, and each pair's fold.

    Among nodes of one type a pair has one fold both ways, as it has one part of a split. So a training link is scored
    as a new link would be, whatever the scorer does with its links, and what is learned on top of the scores learns
    from honest ones.
    """
    generator = np.random.default_rng([task.seed, folds])
    fold_of = generator.integers(folds, size=task.shape)
    among_one_type = task.relation.source == task.relation.target
    pair = np.arange(links.shape[1])
    if among_one_type:
        low, high = np.sort(links, axis=0)
        pair = np.unique(low * task.shape[0] + high, return_inverse=True)[1]
    pairs = int(pair.max(initial=-1)) + 1
    place = np.empty(pairs, dtype=np.int64)
    place[generator.permutation(pairs)] = np.arange(pairs) % folds
    place = place[pair]
    if among_one_type:
        fold_of = np.minimum(fold_of, fold_of.T)
        fold_of[links[1], links[0]] = place
    fold_of[links[0], links[1]] = place
    return [scored(prepared, task, links[:, place != fold]) for fold in range(folds)], fold_of


def log_like(scores: Scores) -> Scores:
    """asinh(5 x / sd): a regression's fitted values, most of them near 0, on a scale like that of log-odds."""
    return np.asarray(np.arcsinh(5 * scores / (scores.std() or 1.0)))
