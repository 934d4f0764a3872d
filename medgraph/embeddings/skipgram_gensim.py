"""The gensim backend of skip-gram: the reference implementation, on CPU threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.embeddings.corpus import Corpus
from medgraph.errors import SchemaError
from medgraph.training import History
from medgraph.training.progress import progress_bar

if TYPE_CHECKING:
    from medgraph.embeddings.skipgram import Fit, SkipGram

__all__ = ["GensimBackend"]


class _Passes:
    """The corpus, each time it is gone through as of the next epoch."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self._epoch = corpus, 0

    def __iter__(self) -> Iterator[list[int]]:
        self._epoch += 1
        return self._corpus.passage(self._epoch - 1)


@dataclass(frozen=True)
class GensimBackend:
    """Skip-gram by gensim's Word2Vec (Řehůřek and Sojka 2010); reproducible with one worker only.

    Args:
        workers: threads.
    """

    workers: int = 2

    def train(
        self, model: SkipGram, corpus: Corpus, counts: Int64[Tensor, " tokens"], fit: Fit
    ) -> tuple[Tensor, Tensor, History]:
        """The input and output vectors of every token, and the history.

        Raises:
            SchemaError: a checkpoint was asked for, which gensim cannot resume.
        """
        if fit.checkpoint is not None:
            raise SchemaError("GensimBackend cannot save and resume a training. Use backend=TorchBackend().")
        from gensim.models import Word2Vec
        from gensim.models.callbacks import CallbackAny2Vec

        history = History()
        with progress_bar("skip-gram (gensim)", fit.progress) as bar:

            class Watch(CallbackAny2Vec):  # type: ignore[misc]
                """Gensim's running sum of losses, cut into epochs."""

                total = 0.0

                def on_epoch_end(self, word2vec: Any) -> None:
                    total = word2vec.get_latest_training_loss()
                    history.append({"epoch": float(len(history)), "loss": (total - self.total) / int(counts.sum())})
                    self.total = total
                    bar(len(history) / model.epochs, history[-1])

            word2vec = Word2Vec(
                vector_size=model.vector_size, window=model.window, min_count=model.min_count, negative=model.negative,
                ns_exponent=model.ns_exponent, sample=model.sample, alpha=model.alpha, min_alpha=model.min_alpha,
                epochs=model.epochs, shrink_windows=model.shrink_windows, seed=model.seed, workers=self.workers, sg=1,
            )  # fmt: skip
            present = {token: count for token, count in enumerate(counts.tolist()) if count}
            word2vec.build_vocab_from_freq(present)
            word2vec.train(
                _Passes(corpus), total_words=int(counts.sum()), epochs=model.epochs, compute_loss=True,
                callbacks=[Watch()],
            )  # fmt: skip
        tables = np.zeros((2, corpus.num_tokens, model.vector_size), dtype=np.float32)
        tables[:, word2vec.wv.index_to_key] = word2vec.wv.vectors, word2vec.syn1neg
        vectors, contexts = torch.from_numpy(tables)
        return vectors, contexts, history
