"""How alike are the nodes of one type? Cosines of their neighbours or of their vectors, computed where asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int64
from scipy.sparse import csr_array, hstack

from medgraph.data.schema import EdgeType
from medgraph.heads.repurposing.scorer import LinkTask, Scores

__all__ = ["Cosines", "best_similarity", "neighbour_cosines"]

KEEP = 3000  # a full matrix of at most this many nodes is kept


@dataclass(frozen=True, eq=False)
class Cosines:
    """max(cos(a, b), 0) of n rows of unit length, sparse or dense; 0 of a node with itself.

    Args:
        unit: the rows.
        sharpness: g of exp(g (cos - 1)) in place of the cosine: never 0, so that far nodes still speak a little.
    """

    unit: csr_array | Float[np.ndarray, "n d"]
    sharpness: float | None = None

    def __len__(self) -> int:
        return int(self.unit.shape[0])

    @property
    def empty(self) -> bool:
        """Are all rows zero?"""
        return not (self.unit.nnz if isinstance(self.unit, csr_array) else self.unit.any())

    @cached_property
    def _whole(self) -> Float[np.ndarray, "n n"]:
        return self._block(np.arange(len(self)))

    def _block(self, columns: Int64[np.ndarray, " k"]) -> Float[np.ndarray, "n k"]:
        product = self.unit @ self.unit[columns].T
        block = np.asarray(product.todense() if isinstance(product, csr_array) else product)
        block = np.maximum(block, 0) if self.sharpness is None else np.exp(self.sharpness * (block - 1))
        block[columns, np.arange(columns.size)] = 0
        return block

    def to(self, columns: Int64[np.ndarray, " k"]) -> Float[np.ndarray, "n k"]:
        """The cosines of all nodes with some of them."""
        return self._whole[:, columns] if len(self) <= KEEP else self._block(columns)


def neighbour_cosines(task: LinkTask, side: int, edge_types: Iterable[EdgeType] | None = None) -> Cosines:
    """Cosine of two nodes' neighbour sets, each neighbour weighted by log(1 + n / how many nodes have it).

    Args:
        task: its graph is looked at.
        side: 0 for the relation's sources, 1 for its targets.
        edge_types: which edges to follow; by default all but those between the relation's own two node types.
    """
    graph, node_type = task.graph, (task.relation.source, task.relation.target)[side]
    n = graph.nodes[node_type].num_rows
    blocks = []
    for edge_type in graph.edge_types if edge_types is None else edge_types:
        if edge_types is None and {edge_type.source, edge_type.target} == {task.relation.source, task.relation.target}:
            continue
        source, target = graph.edge_index(edge_type)
        ends = [(source, target, edge_type.target)] if edge_type.source == node_type else []
        if edge_type.target == node_type and (edge_type.source != node_type or edge_type in graph.symmetric):
            ends.append((target, source, edge_type.source))
        for own, other, other_type in ends:
            width = graph.nodes[other_type].num_rows
            blocks.append(csr_array((np.ones(own.size), (own, other)), shape=(n, width)))
    if not blocks:
        return Cosines(csr_array((n, 1)))
    incidence = hstack(blocks, format="csr")
    incidence.data[:] = 1
    frequency = np.asarray(incidence.sum(axis=0)).ravel()
    weighted = incidence.multiply(np.log1p(n / np.maximum(frequency, 1))).tocsr()
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return Cosines(weighted.multiply(1 / np.where(norms > 0, norms, 1)[:, None]).tocsr())


def best_similarity(cosines: Cosines, matrix: Scores) -> Scores:
    """For each row r and column c of the 0/1 `matrix`: the largest similarity of r to another row that has c."""
    best = np.zeros(matrix.shape)
    rows = np.flatnonzero(matrix.any(axis=1))
    if rows.size:
        similarity = cosines.to(rows)
        for column in np.flatnonzero(matrix.any(axis=0)):
            best[:, column] = similarity[:, matrix[rows, column] > 0].max(axis=1)
    return best


def mixed(kernels: Sequence[Cosines], weights: Float[np.ndarray, " k"], columns: Int64[np.ndarray, " m"]) -> Scores:
    """The weighted sum of kernels against some columns, with ones on the diagonal."""
    total = np.zeros((len(kernels[0]), columns.size))
    for weight, kernel in zip(weights, kernels, strict=True):
        if weight:
            total += weight * kernel.to(columns)
    total[columns, np.arange(columns.size)] = 1.0
    return total
