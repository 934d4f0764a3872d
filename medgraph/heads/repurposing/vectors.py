"""An embedding as a scorer: nodes with near vectors share links."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.repurposing.kernels import KroneckerRidge
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer
from medgraph.heads.repurposing.similarity import Cosines

__all__ = ["Encoder", "VectorSimilarity", "vectors_or_encoder"]


class Encoder(Protocol):
    """A graph in, an embedding out: `SkipGram`, `VGAE`, or yours."""

    @property
    def embedding_(self) -> Embedding:
        """The vectors, once fitted."""

    def fit(self, graph: KnowledgeGraph) -> Any:
        """Learn `embedding_`."""


def vectors_or_encoder(encoder: Embedding | Encoder) -> Embedding | Encoder:
    """The embedding that a fitted encoder has learned; anything else as it is."""
    if isinstance(encoder, Embedding):
        return encoder
    try:
        return encoder.embedding_
    except (AttributeError, NotFittedError):
        return encoder


@dataclass(frozen=True, eq=False)
class VectorSimilarity(LinkScorer):
    """Kronecker ridge over the cosines of vectors: a bilinear decoder of the embedding, fitted in closed form.

    Args:
        encoder: an embedding, or an encoder to fit on the graph less the relation, so that training links look to the
            decoder as new links will.
        ridge: lambda of `KroneckerRidge`.
        mixing: share of the cosines in the target side's kernel.
    """

    encoder: Embedding | Encoder
    ridge: float = 1.0
    mixing: float = 0.5

    @property
    def name(self) -> str:
        """The encoder's name."""
        if isinstance(self.encoder, Embedding):
            return str(self.encoder.metadata.get("encoder") or "Embedding")
        return type(self.encoder).__name__

    def fitted(self, graph: KnowledgeGraph) -> VectorSimilarity:
        """Itself if it holds an embedding; else a copy with its encoder, fitted on `graph`, replaced by the vectors."""
        if isinstance(self.encoder, Embedding):
            return self
        encoder = copy(self.encoder)
        encoder.fit(graph)
        return VectorSimilarity(encoder.embedding_, self.ridge, self.mixing)

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Compare sources with each other, and targets.

        Raises:
            SchemaError: the embedding has no vector for any of them.
        """
        embedding = self.fitted(task.graph).encoder
        assert isinstance(embedding, Embedding)
        kernels = []
        for node_type in (task.relation.source, task.relation.target):
            ids: Sequence[str] = task.graph.nodes[node_type].column("id").to_pylist()
            kernels.append(_cosines(embedding, ids, node_type))
        return KroneckerRidge(task, kernels[:1], kernels[1:], self.ridge, self.mixing)


def _cosines(embedding: Embedding, ids: Sequence[str], node_type: str) -> Cosines:
    found = [row for row, id_ in enumerate(ids) if id_ in embedding]
    if not found:
        raise SchemaError(f"{embedding!r} has no vector for any of {len(ids):,} {node_type} nodes: a wrong graph?")
    vectors: Float[np.ndarray, "n d"] = np.zeros((len(ids), embedding.vector_size))
    vectors[found] = embedding.vectors_of(ids[row] for row in found)
    vectors[found] -= vectors[found].mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Cosines(vectors / np.where(norms > 0, norms, 1))
