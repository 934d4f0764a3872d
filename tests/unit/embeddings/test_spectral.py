"""Spectral vectors against the kernel they factor, computed the dense way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.spectral import spectral_vectors

HAS, LIKE = EdgeType("A", "has", "B"), EdgeType("A", "like", "A")


def _graph() -> KnowledgeGraph:
    rng = np.random.default_rng(0)
    nodes = {
        n: pa.table({"id": [f"{n}:{i}" for i in range(k)], "name": [""] * k})
        for n, k in (("A", 12), ("B", 9), ("C", 2))
    }
    has = np.argwhere(rng.random((11, 9)) < 0.3)
    like = np.argwhere(np.triu(rng.random((11, 11)) < 0.2, 1))
    edges = {t: pa.table({"source": p[:, 0], "target": p[:, 1]}) for t, p in ((HAS, has), (LIKE, like))}
    return KnowledgeGraph(nodes, edges, frozenset({LIKE}))


def test_inner_products_are_the_mean_kernel() -> None:
    graph = _graph()
    has, like = np.zeros((12, 9)), np.zeros((12, 12))
    has[tuple(graph.edge_index(HAS))] = 1
    like[tuple(graph.edge_index(LIKE))] = 1
    kernels = []
    for matrix in (has, like + like.T):
        weighed = matrix * np.log1p(12 / np.maximum(matrix.sum(0), 1))
        unit = weighed / np.maximum(np.linalg.norm(weighed, axis=1, keepdims=True), 1e-12)
        kernels.append(unit @ unit.T)
    vectors = spectral_vectors(graph, 12)
    assert vectors.shape == (23, 12)
    np.testing.assert_allclose(vectors[:12] @ vectors[:12].T, np.mean(kernels, axis=0), atol=1e-5)
    assert not vectors[11].any()  # no edge
    assert not vectors[21:].any()  # a type without edges


def test_a_truncation_is_the_best_one() -> None:
    graph = _graph()
    whole, part = spectral_vectors(graph, 12)[:12], spectral_vectors(graph, 4)[:12]
    values = np.linalg.eigvalsh(whole @ whole.T)
    error = np.linalg.norm(whole @ whole.T - part @ part.T)
    assert np.isclose(error, np.linalg.norm(values[:-4]), rtol=1e-3)
