"""How alike are two drugs, two targets? Similarities from structure and sequence, as kernels and for neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.data.alignment import Alignments
from medgraph.data.fragments import FRAGMENTS, counter, unary
from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.proteins import kmer_cosine, kmers
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["CountedFragments", "KmerCosine", "LocalAlignment", "Similarity", "Tanimoto", "blocks"]

_BLOCK = 1024
_KEPT = 10_000  # molecules whose fragments are remembered: some 130 MB


class Similarity(ABC):
    """Between texts: 1 for the same, 0 for nothing in common. To add one: subclass it."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """One row a text: what `between` compares."""

    @abstractmethod
    def between(self, a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
        """Of each row of `a` with each row of `b`."""


@dataclass(frozen=True)
class Tanimoto(Similarity):
    """|A and B| / |A or B| of Morgan fingerprints (Rogers & Hahn 2010), of SMILES.

    Args:
        radius: in bonds.
        bits: length of the fingerprint.
    """

    radius: int = 2
    bits: int = 2048

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """The fingerprints. Raises SchemaError for a SMILES that cannot be read."""
        return morgan(texts, self.radius, self.bits)

    def between(self, a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
        """See `Similarity`."""
        return tanimoto(a, b)


@dataclass(frozen=True)
class CountedFragments(Similarity):
    """The mean over four kinds of fragments of sum min(a, b) / sum max(a, b), of how often each occurs; of SMILES.

    See `medgraph.data.fragments.counter`. It tells apart what differs in the number of rings or the length of a chain,
    and joins what differs in an atom that does the same.

    Args:
        bits: that fragments of a kind are hashed to.
        most: of one fragment that are counted.
    """

    bits: int = 4096
    most: int = 16

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """The counts, the four kinds side by side. Raises SchemaError for a SMILES that cannot be read."""
        return unary([self._numbers(text) for text in texts], len(FRAGMENTS) * self.bits * self.most)

    def between(self, a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
        """See `Similarity`."""
        width = self.bits * self.most
        parts = [slice(start, start + width) for start in range(0, len(FRAGMENTS) * width, width)]
        return np.asarray(sum(tanimoto(a[:, part], b[:, part]) for part in parts) / len(parts))

    @cached_property
    def _numbers(self) -> Callable[[str], Int64[np.ndarray, " k"]]:
        counters = [counter(kind, self.bits, self.most) for kind in FRAGMENTS]
        width = self.bits * self.most

        @lru_cache(maxsize=_KEPT)
        def numbers(smiles: str) -> Int64[np.ndarray, " k"]:
            return np.concatenate([count(smiles) + place * width for place, count in enumerate(counters)])

        return numbers


@dataclass(frozen=True)
class LocalAlignment(Similarity):
    """The score of the best local alignment over the geometric mean of those of each with itself, of sequences.

    It finds what k-mers no longer see: domains that share their fold and few runs of letters. One object remembers the
    scores that it has found, so give the same one to all that compare the same proteins.
    """

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """Their letters."""
        from scipy.sparse import csr_matrix

        letters = [np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8) for text in texts]
        ends = np.cumsum([0, *(row.size for row in letters)])
        places = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(row.size) for row in letters)])
        flat = np.concatenate([np.zeros(0, dtype=np.uint8), *letters])
        return csr_matrix((flat, places, ends), shape=(len(texts), max([1, *(row.size for row in letters)])))

    def between(self, a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
        """See `Similarity`."""
        first, second = (
            [m.data[m.indptr[row] : m.indptr[row + 1]].tobytes().decode("latin-1") for row in range(m.shape[0])]
            for m in (a, b)
        )
        return self._alignments.likeness(first, second)

    @cached_property
    def _alignments(self) -> Alignments:
        return Alignments()


@dataclass(frozen=True)
class KmerCosine(Similarity):
    """The normalised spectrum kernel (Leslie et al. 2002): the cosine of the counts of runs of k letters.

    Args:
        k: length of a run.
    """

    k: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 6:
            raise SchemaError(f"KmerCosine: k must be 1 to 6, not {self.k}.")

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """The counts."""
        return kmers(texts, self.k)

    def between(self, a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
        """See `Similarity`."""
        return kmer_cosine(a, b)


def blocks(drug: Int64[np.ndarray, " n"]) -> Iterator[Int64[np.ndarray, " k"]]:
    """Pairs of a thousand drugs at a time: a table of all drugs by all targets need never be held whole."""
    order = np.argsort(drug, kind="stable")
    number = np.cumsum(np.append(0, np.diff(drug[order]) != 0)) if drug.size else drug
    for start in range(0, int(number.max(initial=-1)) + 1, _BLOCK):
        first, last = np.searchsorted(number, (start, start + _BLOCK))
        yield order[first:last]
