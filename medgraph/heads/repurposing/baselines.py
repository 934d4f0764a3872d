"""What any model must beat: degrees, the nearest neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgraph.data.graph import EdgeIndex
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores
from medgraph.heads.repurposing.similarity import Cosines, best_similarity, neighbour_cosines

__all__ = ["DegreePrior", "Nearest", "NearestNeighbour"]


@dataclass(frozen=True)
class DegreePrior(LinkScorer):
    """score(s, t) = log (degree(s) + 1) + log (degree(t) + 1), both among the training links."""

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Nothing but the task is needed."""
        return _Degrees(task)


@dataclass(frozen=True, eq=False)
class _Degrees:
    task: LinkTask

    def score(self, links: EdgeIndex) -> Scores:
        matrix = self.task.matrix(links)
        return np.asarray(np.log1p(matrix.sum(axis=1))[:, None] + np.log1p(matrix.sum(axis=0))[None, :])


@dataclass(frozen=True)
class NearestNeighbour(LinkScorer):
    """score(s, t) = max cos(s, s') over the other sources s' of t + max cos(t, t') over the other targets t' of s.

    The cosine is that of the two nodes' neighbour sets over all other edge types, each neighbour weighted by its
    inverse frequency.
    """

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Weigh the neighbours of all sources, and of all targets."""
        return Nearest(task, neighbour_cosines(task, 0), neighbour_cosines(task, 1))


@dataclass(frozen=True, eq=False)
class Nearest(PreparedScorer):
    """The most similar other source of the target, plus the most similar other target of the source."""

    task: LinkTask
    sources: Cosines
    targets: Cosines

    def score(self, links: EdgeIndex) -> Scores:
        """See `NearestNeighbour`."""
        matrix = self.task.matrix(links)
        return np.asarray(best_similarity(self.sources, matrix) + best_similarity(self.targets, matrix.T).T)
