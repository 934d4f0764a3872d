"""Skip-gram with negative sampling: nodes that share walks, or codes that share histories, get similar vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.corpus import Corpus, Reading, SequenceCorpus, Source, read_graph
from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.skipgram_gensim import GensimBackend
from medgraph.embeddings.skipgram_torch import TorchBackend
from medgraph.embeddings.walks import UniformWalks, Walks
from medgraph.errors import NotFittedError, SchemaError
from medgraph.training import History, resolve_device

__all__ = ["Backend", "Fit", "GensimBackend", "SkipGram", "TorchBackend"]


@dataclass(frozen=True)
class Fit:
    """How one call of `fit` runs, as opposed to what it learns."""

    device: torch.device
    checkpoint: Path | str | None = None
    resume: bool = False
    progress: bool = True


@runtime_checkable
class Backend(Protocol):
    """What computes the vectors."""

    def train(
        self, model: SkipGram, corpus: Corpus, counts: Int64[Tensor, " tokens"], fit: Fit
    ) -> tuple[Tensor, Tensor, History]:
        """The input and output vectors of every token, and the history."""
        ...


@dataclass
class SkipGram:
    """max Σ log σ(u_context · v_centre) + Σ_{noise} log σ(-u_noise · v_centre) over the pairs within a window.

    Mikolov et al. 2013 (word2vec); on random walks Perozzi et al. 2014 (DeepWalk), Grover and Leskovec 2016 (node2vec).
    Names and meaning of the parameters are gensim's. Two defaults are not: `epochs` 3 (gensim 5) and `min_count` 1 (5),
    since every node has walks of its own. On a graph of some thousand nodes `alpha=0.1` learns as much in one epoch.

    Args:
        vector_size: length of a vector.
        window: largest distance between centre and context.
        min_count: ids that occur less often get no vector.
        negative: noise words per pair.
        ns_exponent: noise words are drawn in proportion to count ** ns_exponent.
        sample: the smaller, the more occurrences of frequent ids are left out; 0 leaves none out.
        alpha, min_alpha: the learning rate falls linearly from one to the other.
        epochs: passes over the walks or sequences.
        shrink_windows: draw each centre's window uniformly from 1 to `window`, so that near contexts weigh more.
        walks: how a graph is turned into sequences.
        backend: TorchBackend() or GensimBackend().
        device: "auto", "cpu", "cuda".
        seed: of walks, first vectors and noise.

    Attributes:
        embedding_: the input vectors.
        context_embedding_: the output vectors, of ids as contexts.
        summed_embedding_: the sum of both.
        history_: the mean loss per pair of each epoch (gensim's backend: its loss per token).

    Raises:
        SchemaError: a parameter out of range.
    """

    vector_size: int = 128
    window: int = 5
    min_count: int = 1
    negative: int = 5
    ns_exponent: float = 0.75
    sample: float = 1e-3
    alpha: float = 0.025
    min_alpha: float = 0.0001
    epochs: int = 3
    shrink_windows: bool = True
    walks: Walks = field(default_factory=UniformWalks)
    backend: Backend = field(default_factory=TorchBackend)
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("vector_size", "window", "negative", "epochs"):
            if getattr(self, name) < 1:
                raise SchemaError(f"SkipGram({name}={getattr(self, name)}): must be at least 1.")
        if not 0 <= self.min_alpha <= self.alpha or self.sample < 0:
            raise SchemaError(
                f"SkipGram(alpha={self.alpha}, min_alpha={self.min_alpha}, sample={self.sample}): "
                "expected 0 <= min_alpha <= alpha and sample >= 0."
            )

    def fit(
        self,
        data: KnowledgeGraph | Source | Iterable[Iterable[str]],
        checkpoint: Path | str | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> SkipGram:
        """Learn from walks over a graph, from patients' histories, from both, or from sequences of ids.

        Args:
            data: a graph; `VisitSequences(cohort)`; `JointSequences(graph, visits)`; or sequences of ids.
            checkpoint: file to save to after each epoch and at Ctrl-C.
            resume: go on from `checkpoint`; the result is, to the bit on a CPU, that of an uninterrupted run.
            progress: show a progress bar if it takes more than two seconds.

        Raises:
            SchemaError: nothing to learn from, or a checkpoint of other settings.
            TrainingInterrupted: Ctrl-C; the message says how to go on.
        """
        device = resolve_device(self.device)
        reading = self._read(data, device)
        counts = reading.corpus.counts(device)
        present = (counts >= max(self.min_count, 1)).numpy()
        if not present.any():
            raise SchemaError(
                f"No id occurs min_count={self.min_count} times (the most frequent: {int(counts.max())})."
            )
        vectors, contexts, self.history_ = self.backend.train(
            self, reading.corpus, counts, Fit(device, checkpoint, resume, progress)
        )
        metadata = self._metadata(reading.origin, int((~present).sum()))
        labels = reading.ids, reading.types, reading.names
        ids, types, names = (tuple(np.array(label, dtype=object)[present]) for label in labels)
        self._embeddings = tuple(
            Embedding(ids, types, names, table.cpu().numpy()[present], metadata=metadata)
            for table in (vectors, contexts)
        )
        return self

    @property
    def embedding_(self) -> Embedding:
        """The input vectors. Raises NotFittedError before `fit`."""
        return self._fitted()[0]

    @property
    def context_embedding_(self) -> Embedding:
        """The output vectors. Raises NotFittedError before `fit`."""
        return self._fitted()[1]

    @property
    def summed_embedding_(self) -> Embedding:
        """Input and output vectors added up: near are codes that share contexts, or are each other's context.

        Pennington et al. (2014, GloVe); Levy et al. (2015). Raises NotFittedError before `fit`.
        """
        own, other = self._fitted()
        return replace(own, vectors=own.vectors + other.vectors)

    def _fitted(self) -> tuple[Embedding, ...]:
        if not hasattr(self, "_embeddings"):
            raise NotFittedError("This SkipGram has no vectors yet: call fit(graph) first.")
        return self._embeddings

    def settings(self) -> dict[str, Any]:
        """The hyper-parameters as plain values."""
        return {
            f.name: value if isinstance(value := getattr(self, f.name), int | float | str) else repr(value)
            for f in fields(self)
            if f.name != "device"
        }

    def _read(self, data: KnowledgeGraph | Source | Iterable[Iterable[str]], device: torch.device) -> Reading:
        if isinstance(data, Source):
            return data.read(self.walks, self.seed, device)
        if isinstance(data, KnowledgeGraph):
            return read_graph(data, self.walks, self.seed, device)
        corpus = SequenceCorpus(data)
        return Reading(corpus, corpus.ids, ("",) * len(corpus.ids), corpus.ids, {})

    def _metadata(self, origin: dict[str, Any], skipped: int) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "encoder": "SkipGram",
            "parameters": self.settings(),
            "seed": self.seed,
            "metrics": {"loss": self.history_[-1]["loss"], "ids_below_min_count": skipped},
        }
        if origin:
            metadata["graph"] = origin
        return metadata
