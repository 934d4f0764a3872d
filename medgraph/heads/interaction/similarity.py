"""How alike are two drugs, two targets? Similarities from structure and sequence, as kernels and for neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.proteins import kmer_cosine, kmers
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["KmerCosine", "Similarity", "Tanimoto", "blocks"]

_BLOCK = 1024


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
