"""PMI(i, j) = log p(i, j) / p(i) p(j): counted co-occurrence of codes, what a skip-gram factors without counting.

Levy and Goldberg (2014), Neural word embedding as implicit matrix factorization; Levy, Goldberg and Dagan (2015),
Improving distributional similarity, for the shift and the smoothing of contexts. Beam et al. (2020, cui2vec) factor the
same matrix of patients' codes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import svds

from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.visits import VisitSequences
from medgraph.errors import NotFittedError, SchemaError

__all__ = ["PPMI", "cooccurrence", "ppmi"]


def cooccurrence(sequences: VisitSequences) -> csr_array:
    """In how many contexts do two codes stand together? (codes, codes), symmetric, zero on the diagonal.

    A context is a visit, or with `context="subject"` a whole history; each counts a pair once, however often it was
    recorded. Exact; in memory are the pairs that occur and one block of events.

    Raises:
        SchemaError: `context="visits"`, which has no bounds to count within.
    """
    if sequences.context == "visits":
        raise SchemaError("Pairs are counted within bounds: use VisitSequences(context='visit') or 'subject'.")
    size = len(sequences.codes)
    total = csr_array((size, size), dtype=np.int64)
    for block in sequences.blocks():
        bag = np.unique(np.stack([block.visit, block.codes]), axis=1)
        row = np.cumsum(np.diff(bag[0], prepend=bag[0, 0]) != 0)
        there = csr_array((np.ones(row.size, dtype=np.int64), (row, bag[1])), shape=(int(row[-1]) + 1, size))
        total = total + there.T @ there
    result = coo_array(total)
    apart = result.row != result.col
    return csr_array((result.data[apart], (result.row[apart], result.col[apart])), shape=(size, size))


def ppmi(counts: csr_array, shift: float = 1.0, smoothing: float = 1.0) -> csr_array:
    """max(0, log( #(i, j) · Σ / (#(i) #(j)) ) - log k): positive pointwise mutual information, sparse and exact.

    Args:
        counts: co-occurrences, (codes, codes).
        shift: k, the number of negative samples of the skip-gram that this stands for; 1 shifts nothing.
        smoothing: contexts are as likely as their count to this power; .75 keeps rare ones from standing out.

    Raises:
        SchemaError: a shift below 1, a smoothing outside (0, 1].
    """
    if shift < 1 or not 0 < smoothing <= 1:
        raise SchemaError(f"ppmi(shift={shift}, smoothing={smoothing}): expected shift >= 1 and 0 < smoothing <= 1.")
    pairs = coo_array(counts)
    rows = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    columns = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() ** smoothing
    value = np.log(pairs.data * columns.sum() / (rows[pairs.row] * columns[pairs.col])) - np.log(shift)
    kept = value > 0
    return csr_array((value[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape)


@dataclass
class PPMI:
    """Codes that share contexts more often than chance says, as counts and as the vectors that best stand for them.

    The baseline of `SkipGram` on histories; exact and without a seed.

    Args:
        vector_size: of the factors U S^power of the truncated singular value decomposition U S Vᵀ.
        shift, smoothing: see `ppmi`.
        power: of the singular values; 1 keeps the cosines of the rows of the matrix, .5 is Levy et al.'s advice.

    Attributes:
        ids: codes that occur, the commonest first.
        matrix_: the sparse PPMI matrix over `ids`.
        embedding_: the factors.
    """

    vector_size: int = 128
    shift: float = 1.0
    smoothing: float = 1.0
    power: float = 0.5

    def __post_init__(self) -> None:
        if self.vector_size < 1:
            raise SchemaError(f"PPMI(vector_size={self.vector_size}): must be at least 1.")

    def fit(self, sequences: VisitSequences) -> PPMI:
        """Count and factor. Raises SchemaError where no two codes ever stand together."""
        counts = cooccurrence(sequences)
        often = np.asarray(counts.sum(axis=1)).ravel()
        names = sequences.codes
        kept = sorted(np.flatnonzero(often).tolist(), key=lambda row: (-often[row], names[row]))
        if not kept:
            raise SchemaError(f"In {sequences.cohort} no two codes stand together in one context.")
        self.ids = tuple(names[row] for row in kept)
        self.matrix_ = ppmi(csr_array(counts[kept][:, kept]), self.shift, self.smoothing)
        parameters = {f.name: getattr(self, f.name) for f in fields(self)} | {"context": sequences.context}
        self._embedding = Embedding(
            self.ids,
            ("",) * len(self.ids),
            sequences.names(self.ids),
            self._factors().astype(np.float32),
            metadata={"encoder": "PPMI", "parameters": parameters, "graph": sequences.origin()},
        )
        return self

    @property
    def embedding_(self) -> Embedding:
        """The factors. Raises NotFittedError before `fit`."""
        if not hasattr(self, "_embedding"):
            raise NotFittedError("This PPMI has counted nothing yet: call fit(VisitSequences(cohort)) first.")
        return self._embedding

    def _factors(self) -> Float64[np.ndarray, "n d"]:
        n = len(self.ids)
        result = np.zeros((n, self.vector_size))
        if not self.matrix_.nnz:
            return result
        if self.vector_size < n - 1:
            start = np.random.default_rng(0).standard_normal(n)  # the answer does not depend on it
            left, values, _ = svds(self.matrix_, k=self.vector_size, v0=start, solver="arpack")
        else:
            left, values, _ = np.linalg.svd(self.matrix_.toarray())
        order = np.argsort(-values, kind="stable")[: self.vector_size]
        factors: Any = left[:, order] * values[order] ** self.power
        signs = np.sign(factors[np.abs(factors).argmax(axis=0), np.arange(factors.shape[1])])
        result[:, : factors.shape[1]] = factors * np.where(signs == 0, 1, signs)
        return result
