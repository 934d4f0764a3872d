"""What any model must beat: degrees, the nearest neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack

from medgraph.data.graph import EdgeIndex
from medgraph.data.schema import EdgeType
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores

__all__ = ["DegreePrior", "NearestNeighbour", "best_similarity", "neighbour_cosine"]


@dataclass(frozen=True)
class DegreePrior(LinkScorer):
    """score(s, t) = (degree(s) + 1) (degree(t) + 1), both among the training links."""

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Nothing but the task is needed."""
        return _Degrees(task)


@dataclass(frozen=True, eq=False)
class _Degrees:
    task: LinkTask

    def score(self, links: EdgeIndex) -> Scores:
        matrix = self.task.matrix(links)
        return np.outer(matrix.sum(axis=1) + 1, matrix.sum(axis=0) + 1)


@dataclass(frozen=True)
class NearestNeighbour(LinkScorer):
    """score(s, t) = max cos(s, s') over the other sources s' of t + max cos(t, t') over the other targets t' of s.

    The cosine is that of the two nodes' neighbour sets over all other edge types, each neighbour weighted by its
    inverse frequency.
    """

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Compare all sources with each other, and all targets."""
        return _Nearest(task, neighbour_cosine(task, 0), neighbour_cosine(task, 1))


@dataclass(frozen=True, eq=False)
class _Nearest:
    task: LinkTask
    sources: Scores
    targets: Scores

    def score(self, links: EdgeIndex) -> Scores:
        matrix = self.task.matrix(links)
        return np.asarray(best_similarity(self.sources, matrix) + best_similarity(self.targets, matrix.T).T)


def best_similarity(similarity: Scores, matrix: Scores) -> Scores:
    """For each row r and column c: the largest similarity of r to another row that has c; 0 where none has."""
    best = np.zeros(matrix.shape)
    for column in np.flatnonzero(matrix.any(axis=0)):
        best[:, column] = similarity[:, matrix[:, column] > 0].max(axis=1)
    return best


def neighbour_cosine(task: LinkTask, side: int, edge_types: tuple[EdgeType, ...] | None = None) -> Scores:
    """(n, n): cosine of two nodes' neighbours, weighted by log inverse frequency; 0 of a node with itself.

    Args:
        task: its graph is looked at.
        side: 0 for the relation's sources, 1 for its targets.
        edge_types: which edges to follow; all but those between the relation's two node types by default.
    """
    graph, node_type = task.graph, (task.relation.source, task.relation.target)[side]
    n = graph.nodes[node_type].num_rows
    blocks = []
    for edge_type in graph.edge_types if edge_types is None else edge_types:
        if edge_types is None and {edge_type.source, edge_type.target} == {*task.relation[::2]}:
            continue
        source, target = graph.edge_index(edge_type)
        ends = [(source, target, edge_type.target)] if edge_type.source == node_type else []
        if edge_type.target == node_type and (edge_type.source != node_type or edge_type in graph.symmetric):
            ends.append((target, source, edge_type.source))
        for own, other, other_type in ends:
            width = graph.nodes[other_type].num_rows
            blocks.append(csr_array((np.ones(own.size), (own, other)), shape=(n, width)))
    if not blocks:
        return np.zeros((n, n))
    incidence = hstack(blocks, format="csr")
    incidence.data[:] = 1
    frequency = np.asarray(incidence.sum(axis=0)).ravel()
    weighted = incidence.multiply(np.log1p(n / np.maximum(frequency, 1))).tocsr()
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    scaled = weighted.multiply(1 / np.where(norms > 0, norms, 1)[:, None]).tocsr()
    cosine = np.asarray((scaled @ scaled.T).todense())
    np.fill_diagonal(cosine, 0)
    return cosine
