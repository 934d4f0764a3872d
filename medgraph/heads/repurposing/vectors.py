"""An embedding as a scorer: a bilinear decoder fitted on its vectors."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float

from medgraph.data.graph import EdgeIndex, KnowledgeGraph
from medgraph.embeddings.decoders import Bilinear
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores

__all__ = ["Encoder", "VectorRidge", "vectors_or_encoder"]


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
class VectorRidge(LinkScorer):
    """score(s, t) = x_s' M x_t, M fitted to the links in closed form (`Bilinear.ridge`): an embedding's best decoder.

    Vectors keep their lengths: what little is known of a node makes its vector short, and its scores small.

    Args:
        encoder: an embedding, or an encoder to fit on the graph less the relation, so that training links look to the
            decoder as new links will.
        ridge: penalty on M, in units in which the longest vector of either end has length 1.
    """

    encoder: Embedding | Encoder
    ridge: float = 0.3

    @property
    def name(self) -> str:
        """The encoder's name."""
        if isinstance(self.encoder, Embedding):
            return str(self.encoder.metadata.get("encoder") or "Embedding")
        return type(self.encoder).__name__

    def fitted(self, graph: KnowledgeGraph) -> VectorRidge:
        """Itself if it holds an embedding; else a copy with its encoder, fitted on `graph`, replaced by the vectors."""
        if isinstance(self.encoder, Embedding):
            return self
        encoder = copy(self.encoder)
        encoder.fit(graph)
        return VectorRidge(encoder.embedding_, self.ridge)

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Look the vectors up.

        Raises:
            SchemaError: the embedding has no vector for any source, or for any target.
        """
        embedding = self.fitted(task.graph).encoder
        assert isinstance(embedding, Embedding)
        ends = [
            _vectors(embedding, task.graph, node_type) for node_type in (task.relation.source, task.relation.target)
        ]
        return _Ridge(task, ends[0], ends[1], self.ridge)


def _vectors(embedding: Embedding, graph: KnowledgeGraph, node_type: str) -> Float[np.ndarray, "n d"]:
    """One row per node of the type; zeros where the embedding has none."""
    ids = graph.nodes[node_type].column("id").to_pylist()
    found = [row for row, id_ in enumerate(ids) if id_ in embedding]
    if not found:
        raise SchemaError(f"{embedding!r} has no vector for any of {len(ids):,} {node_type} nodes: a wrong graph?")
    vectors: Float[np.ndarray, "n d"] = np.zeros((len(ids), embedding.vector_size))
    vectors[found] = embedding.vectors_of(ids[row] for row in found)
    return vectors


@dataclass(frozen=True, eq=False)
class _Ridge:
    task: LinkTask
    sources: Float[np.ndarray, "s d"]
    targets: Float[np.ndarray, "t d"]
    ridge: float

    def score(self, links: EdgeIndex) -> Scores:
        left, right = torch.from_numpy(self.sources), torch.from_numpy(self.targets)
        relation = Bilinear().ridge(left, right, torch.from_numpy(self.task.matrix(links)), self.ridge)
        return np.asarray((left @ relation @ right.T).numpy())
