"""Vectors of codes inside a head: learned from nothing, started from an embedding, or kept as they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.embeddings.back_off import nearest_of
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError

__all__ = ["CodeMatch", "CodeVectors", "match_codes"]

_SPREAD = 0.1  # standard deviation of a vector's numbers at the start


@dataclass(frozen=True, eq=False)
class CodeMatch:
    """Which of the vocabulary's codes has a vector?

    Args:
        vectors: (codes, d), zero where there is none.
        found: 1 where the embedding has the code, 2 where an ancestor's vector stands in (inferred), 0 where none.
        share: of the training events, how many have a code with a vector.
    """

    vectors: Float32[np.ndarray, "c d"]
    found: Int[np.ndarray, " c"]
    share: float

    def counts(self) -> dict[str, int]:
        """How many codes of each sort."""
        return {name: int((self.found == i).sum()) for i, name in enumerate(("missing", "exact", "inferred"))}


def match_codes(
    vocabulary: CodeVocabulary,
    embedding: Embedding,
    parents: Mapping[str, Sequence[str]] | None = None,
    min_match: float = 0.5,
) -> CodeMatch:
    """Look the codes up by id; one that is missing takes the mean vector of its nearest ancestors that are there.

    Args:
        vocabulary: the codes.
        embedding: vectors by id.
        parents: code -> its parents, as a cohort's table of codes has them.
        min_match: share of the training events whose codes must have a vector, exact or inferred.

    Raises:
        SchemaError: fewer have one.
    """
    vectors = np.zeros((len(vocabulary), embedding.vector_size), dtype=np.float32)
    found = np.zeros(len(vocabulary), dtype=np.int64)
    for row, code in enumerate(vocabulary.codes):
        if code in embedding:
            vectors[row], found[row] = embedding[code], 1
        elif near := nearest_of(code, parents or {}, embedding):
            vectors[row], found[row] = embedding.vectors_of(near).mean(axis=0), 2
    total = max(int(vocabulary.counts.sum()), 1)
    share = float(vocabulary.counts[found > 0].sum() / total)
    if share < min_match:
        missing = [code for code, hit in zip(vocabulary.codes, found, strict=True) if not hit][:3]
        raise SchemaError(
            f"Only {int((found > 0).sum()):,} of {len(vocabulary):,} codes ({share:.1%} of the training events) have a "
            f"vector in {embedding!r}; min_match asks for {min_match:.0%}. Without one: {', '.join(missing)}. The "
            f"embedding's ids look like {', '.join(embedding.ids[:3])}. Bring the codes to the same form, or use "
            "embedding=None."
        )
    return CodeMatch(vectors, found, share)


class CodeVectors(nn.Module):
    """code -> vector: a given one that stays as it is, or a learned one (which may have started from a given one).

    Args:
        size: d.
        given: (codes, d) vectors that stay; None where all are learned.
        slots: (codes,) row of the learned vectors, 0 for codes that have none.
        learned: how many learned vectors.
    """

    given: Tensor | None
    slots: Tensor

    def __init__(
        self, size: int, slots: Int[Tensor, " c"], learned: int, given: Float[Tensor, "c d"] | None = None
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("slots", slots)
        self.register_buffer("given", given)
        self.learned = nn.Parameter(torch.randn(learned + 1, size) * _SPREAD)
        with torch.no_grad():
            self.learned[0].zero_()

    def forward(self, codes: Int[Tensor, " t"]) -> Float[Tensor, "t d"]:
        """The vectors of these rows of the vocabulary."""
        vectors = functional.embedding(self.slots[codes], self.learned, padding_idx=0)
        return vectors if self.given is None else vectors + functional.embedding(codes, self.given)

    @classmethod
    def fresh(cls, codes: int, size: int) -> CodeVectors:
        """One learned vector for each code, random at the start."""
        return cls(size, torch.arange(1, codes + 1), codes)

    @classmethod
    def started(cls, match: CodeMatch, fine_tune: bool) -> CodeVectors:
        """From an embedding's vectors; codes without one are learned from nothing either way.

        Given vectors are scaled, all by one factor, to the spread that fresh ones have.
        """
        hit = torch.as_tensor(match.found > 0)
        deviation = float(match.vectors[match.found > 0].std()) or 1.0
        vectors = torch.as_tensor(match.vectors) * (_SPREAD / deviation)
        codes, size = vectors.shape
        if fine_tune:
            layer = cls.fresh(codes, size)
            with torch.no_grad():
                layer.learned[1:][hit] = vectors[hit]
            return layer
        slots = torch.zeros(codes, dtype=torch.int64)
        slots[~hit] = torch.arange(1, int((~hit).sum()) + 1)
        return cls(size, slots, int((~hit).sum()), vectors)
