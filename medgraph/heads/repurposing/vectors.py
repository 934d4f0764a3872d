"""An embedding as scorers: three decoders fitted on its vectors, each good at what the others miss."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from medgraph.data.graph import EdgeIndex, KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.decoders import Bilinear
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.repurposing.baselines import Nearest
from medgraph.heads.repurposing.kernels import KroneckerRidge
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores, log_like
from medgraph.heads.repurposing.similarity import Cosines

__all__ = [
    "Encoder",
    "TrainedDecoder",
    "TypedDecoder",
    "VectorKernel",
    "VectorNeighbour",
    "VectorRidge",
    "VectorScorer",
    "vectors_of",
]


@runtime_checkable
class Fitted(Protocol):
    """What has learned an embedding."""

    @property
    def embedding_(self) -> Embedding:
        """The vectors."""


@runtime_checkable
class Encoder(Protocol):
    """A graph in, an embedding out: `SkipGram`, `VGAE`, or yours."""

    def fit(self, graph: KnowledgeGraph) -> Fitted:
        """Learn; returns what has `embedding_`, which is the encoder itself."""


def vectors_of(encoder: Embedding | Encoder, graph: KnowledgeGraph) -> Embedding:
    """The embedding itself, a fitted encoder's, or the one that a copy of an unfitted encoder learns from `graph`."""
    if isinstance(encoder, Embedding):
        return encoder
    try:
        learned: Embedding = encoder.embedding_  # type: ignore[attr-defined]  # there once it is fitted
    except (AttributeError, NotFittedError):
        learned = copy(encoder).fit(graph).embedding_
    return learned


@dataclass(frozen=True, eq=False)
class VectorScorer(LinkScorer):
    """A decoder of given vectors.

    Args:
        embedding: the vectors; those that have not seen the links to learn from are the best to learn on.
    """

    embedding: Embedding

    def vectors(self, task: LinkTask) -> tuple[Float[np.ndarray, "s d"], Float[np.ndarray, "t d"]]:
        """One row per source, and per target; zeros where the embedding has none.

        Raises:
            SchemaError: the embedding has no vector for any source, or for any target.
        """
        ends = []
        for node_type in (task.relation.source, task.relation.target):
            ids = task.graph.nodes[node_type].column("id").to_pylist()
            found = [row for row, id_ in enumerate(ids) if id_ in self.embedding]
            if not found:
                raise SchemaError(f"{self.embedding!r} has no vector for any of {len(ids):,} {node_type} nodes.")
            rows: Float[np.ndarray, "n d"] = np.zeros((len(ids), self.embedding.vector_size))
            rows[found] = self.embedding.vectors_of(ids[row] for row in found)
            ends.append(rows)
        return ends[0], ends[1]

    def cosines(self, task: LinkTask) -> tuple[Cosines, Cosines]:
        """Cosines of the vectors less their mean, of the sources and of the targets."""
        sides = []
        for rows in self.vectors(task):
            known = np.asarray(rows.any(axis=1))
            centred = np.where(known[:, None], rows - rows[known].mean(axis=0), 0.0)
            norms = np.linalg.norm(centred, axis=1, keepdims=True)
            sides.append(Cosines(centred / np.where(norms > 0, norms, 1)))
        return sides[0], sides[1]


@dataclass(frozen=True, eq=False)
class VectorRidge(VectorScorer):
    """log_like(x_s' M x_t), M fitted to the links in closed form (`Bilinear.ridge`).

    Vectors keep their lengths: what little is known of a node makes its vector short, and its scores small.

    Args:
        embedding: see `VectorScorer`.
        ridge: penalty on M, in units in which the longest vector of either end has length 1.
    """

    ridge: float = 0.3

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Look the vectors up. Raises SchemaError."""
        return _Ridge(task, *self.vectors(task), self.ridge)


@dataclass(frozen=True, eq=False)
class _Ridge:
    task: LinkTask
    sources: Float[np.ndarray, "s d"]
    targets: Float[np.ndarray, "t d"]
    ridge: float

    def score(self, links: EdgeIndex) -> Scores:
        left, right = torch.from_numpy(self.sources), torch.from_numpy(self.targets)
        relation = Bilinear().ridge(left, right, torch.from_numpy(self.task.matrix(links)), self.ridge)
        return log_like((left @ relation @ right.T).numpy())


@dataclass(frozen=True, eq=False)
class VectorKernel(VectorScorer):
    """`KroneckerRidge` over k(x, y) = exp(sharpness (cos(x, y) - 1)) of the centred vectors.

    Args:
        embedding: see `VectorScorer`.
        sharpness: how fast the kernel falls with the angle.
        ridge: lambda of `KroneckerRidge`.
    """

    sharpness: float = 1.0
    ridge: float = 0.1

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Look the vectors up. Raises SchemaError."""
        sources, targets = (replace(side, sharpness=self.sharpness) for side in self.cosines(task))
        return KroneckerRidge(task, [sources], [targets], self.ridge, mixing=1.0)


@dataclass(frozen=True, eq=False)
class VectorNeighbour(VectorScorer):
    """The score of `NearestNeighbour`, with the cosines of the vectors."""

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Look the vectors up. Raises SchemaError."""
        return Nearest(task, *self.cosines(task))


@runtime_checkable
class TypedDecoder(Protocol):
    """What scores every pair of an edge type by a decoder of its own, such as a `VGAE` fitted with those edges."""

    def score_all(self, edge_type: EdgeType) -> Float[np.ndarray, "s t"]:
        """Log-odds of every pair."""


@dataclass(frozen=True, eq=False)
class TrainedDecoder(LinkScorer):
    """The scores of an encoder's own decoder, which was trained with the links and is not fitted again.

    Args:
        model: the fitted encoder.
    """

    model: TypedDecoder

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Score every pair once."""
        return _Given(np.asarray(self.model.score_all(task.relation), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class _Given:
    scores: Scores

    def score(self, links: EdgeIndex) -> Scores:
        del links  # the decoder has seen them
        return self.scores
