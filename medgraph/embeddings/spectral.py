"""X Xᵀ ≈ mean over relations of the cosine of neighbourhoods: vectors without training, for encoders to start at.

Two nodes of a type are alike where they share neighbours. Neighbours are weighed by rarity (log inverse degree), each
relation counts alike, and the mean of these kernels is factored by a randomised SVD (Halko, Martinsson & Tropp 2011,
arXiv:0909.4061). A node's squared length is the share of its type's relations in which it has any edge.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from scipy.sparse.linalg import LinearOperator

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.stores.access import RandomAccess, inverse

__all__ = ["spectral_vectors", "streamed_spectral_vectors"]

_EDGES = 1 << 20  # streamed at once

_POWERS, _SPARE = 4, 8  # of the randomised SVD: power iterations, and dimensions more than asked for


def spectral_vectors(graph: KnowledgeGraph, size: int, seed: int = 0) -> Float32[np.ndarray, "nodes size"]:
    """A vector for every node, by global index; zeros where a node has no edge, or its type fewer dimensions."""
    vectors = np.zeros((graph.num_nodes, size), dtype=np.float32)
    generator = np.random.default_rng(seed)
    for node_type in graph.node_types:
        relations = _neighbourhoods(graph, node_type)
        if relations:
            matrix = sp.hstack(relations, format="csr") / np.float32(len(relations) ** 0.5)
            factor = _left_factor(matrix, size, generator)
            start = graph.offsets[node_type]
            vectors[start : start + factor.shape[0], : factor.shape[1]] = factor
    return vectors


def _neighbourhoods(graph: KnowledgeGraph, node_type: NodeType) -> list[sp.csr_matrix]:
    """One matrix per relation and direction at this type: rows of unit length, rare neighbours weigh more."""
    found = []
    for edge_type in graph.edge_types:
        index = graph.edge_index(edge_type)
        if not index.size or node_type not in (edge_type.source, edge_type.target):
            continue
        shape = graph.nodes[edge_type.source].num_rows, graph.nodes[edge_type.target].num_rows
        matrix = sp.csr_matrix((np.ones(index.shape[1], np.float32), (index[0], index[1])), shape=shape)
        if edge_type in graph.symmetric:
            directions = [matrix + matrix.T]
        else:
            ends = (edge_type.source, matrix), (edge_type.target, matrix.T)
            directions = [direction for end, direction in ends if end == node_type]
        for direction in directions:
            degrees = np.asarray(direction.sum(axis=0)).ravel()
            weighed = direction @ sp.diags_array(np.log1p(direction.shape[0] / np.maximum(degrees, 1)))
            lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
            unit = sp.diags_array(np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)) @ weighed
            found.append(unit.tocsr().astype(np.float32))
    return found


def streamed_spectral_vectors(
    access: RandomAccess, node_type: NodeType, size: int, seed: int = 0
) -> Float32[np.ndarray, "rows size"]:
    """The same for one node type of a graph in a store, some edges at a time.

    Edges are read ten times; in memory are some vectors for each node. An edge that stands twice counts twice in the
    length of a row.
    """
    vectors = np.zeros((access.counts[node_type], size), dtype=np.float32)
    blocks = [_Rows(access, one) for one in access.relations if one.target == node_type and access.num_edges(one)]
    if blocks:
        ends = np.cumsum([0, *(block.weights.size for block in blocks)])
        scale = np.float32(len(blocks) ** -0.5)

        def times(x: Float32[np.ndarray, "columns k"]) -> Float32[np.ndarray, "rows k"]:
            x = x.reshape(int(ends[-1]), -1)
            parts = zip(blocks, ends[:-1], ends[1:], strict=True)
            result: Float32[np.ndarray, "rows k"] = scale * np.sum([b.times(x[i:j]) for b, i, j in parts], axis=0)
            return result

        def back(y: Float32[np.ndarray, "rows k"]) -> Float32[np.ndarray, "columns k"]:
            return scale * np.concatenate([block.back(y) for block in blocks])

        matrix = LinearOperator((len(vectors), int(ends[-1])), matvec=times, matmat=times, rmatmat=back)
        factor = _left_factor(matrix, size, np.random.default_rng(seed))
        vectors[:, : factor.shape[1]] = factor
    return vectors


class _Rows:
    """One of `_neighbourhoods`, never all in memory."""

    def __init__(self, access: RandomAccess, relation: EdgeType) -> None:
        self.access, self.relation = access, relation
        rows, back = access.counts[relation.target], inverse(relation)
        stored, turned = access.stored(relation)
        if turned or stored in access.schema.symmetric:
            back = stored
        degrees = np.diff(access.bounds(back))
        self.weights = np.log1p(rows / np.maximum(degrees, 1)).astype(np.float32)
        self.lengths = np.ones(rows, dtype=np.float32)
        for own, part in self.parts():
            part.data **= 2
            self.lengths[own] = np.sqrt(np.asarray(part.sum(axis=1)).ravel())
        self.lengths[self.lengths == 0] = 1

    def parts(self) -> Iterator[tuple[slice, sp.csr_matrix]]:
        bounds = self.access.bounds(self.relation)
        start, rows = 0, bounds.size - 1
        while start < rows:
            stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + _EDGES, side="right")) - 1)
            source = self.access.sources(self.relation, np.arange(bounds[start], bounds[stop]))
            pointers = np.asarray(bounds[start : stop + 1]) - bounds[start]
            part = sp.csr_matrix((self.weights[source], source, pointers), shape=(stop - start, self.weights.size))
            yield slice(start, stop), part
            start = stop

    def times(self, x: Float32[np.ndarray, "columns k"]) -> Float32[np.ndarray, "rows k"]:
        found = np.concatenate([part @ x for _, part in self.parts()])
        result: Float32[np.ndarray, "rows k"] = found / self.lengths[:, None]
        return result

    def back(self, y: Float32[np.ndarray, "rows k"]) -> Float32[np.ndarray, "columns k"]:
        result = np.zeros((self.weights.size, y.shape[1]), dtype=np.float32)
        for own, part in self.parts():
            result += part.T @ (y[own] / self.lengths[own, None])
        return result


def _left_factor(
    matrix: sp.csr_matrix | LinearOperator, size: int, generator: np.random.Generator
) -> Float32[np.ndarray, "rows rank"]:
    """U S of the truncated SVD; each column's sign is fixed by its largest entry."""
    rank = min(size + _SPARE, *matrix.shape)
    transposed = matrix.T.tocsr() if sp.issparse(matrix) else matrix.T
    basis = matrix @ generator.standard_normal((matrix.shape[1], rank), dtype=np.float32)
    for _ in range(_POWERS):
        basis = matrix @ (transposed @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    projected = transposed @ basis
    values, rotation = np.linalg.eigh(projected.T @ projected)
    order = np.argsort(-values)[:size]
    factor = (basis @ rotation[:, order]) * np.sqrt(np.maximum(values[order], 0))
    signs = np.sign(factor[np.abs(factor).argmax(axis=0), np.arange(factor.shape[1])])
    result: Float32[np.ndarray, "rows rank"] = (factor * np.where(signs == 0, 1, signs)).astype(np.float32)
    return result
