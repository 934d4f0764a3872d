"""Proteins as numbers: sequences checked, k-mers, similarities, and which sequences are almost the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["AMINO_ACIDS", "LONGEST", "check_sequence", "kmer_cosine", "kmers", "near_identical"]

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
LONGEST = 1_000_000  # titin, the longest known human protein, has about 35,000
_OTHERS = "UOXBZJ"  # selenocysteine, pyrrolysine, any, N or D, Q or E, L or I
_SPACE = re.compile(r"\s+")
_WRONG = re.compile(f"[^{AMINO_ACIDS}{_OTHERS}]")
_CODE = np.full(256, len(AMINO_ACIDS), dtype=np.int64)
_CODE[np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)] = np.arange(len(AMINO_ACIDS))


def check_sequence(text: str) -> str:
    """The sequence in one form: upper case, without white space and without a final * (stop).

    The letters are IUPAC's: the 20 amino acids, U selenocysteine, O pyrrolysine, X any, B N or D, Z Q or E, J L or I.

    Raises:
        SchemaError: nothing there, a letter that is none of these (named with its place, from 1), more than a million
            letters.
    """
    sequence = _SPACE.sub("", text).upper().removesuffix("*")
    if not sequence:
        raise SchemaError("The sequence is empty.")
    if len(sequence) > LONGEST:
        raise SchemaError(f"The sequence has {len(sequence):,} letters; at most {LONGEST:,} are read.")
    if wrong := _WRONG.search(sequence):
        what = "a gap; give the sequence without its alignment" if wrong[0] in "-." else "no amino acid"
        raise SchemaError(f"Letter {wrong.start() + 1} of the sequence, {wrong[0]!r}, is {what}.")
    return sequence


def kmers(sequences: Sequence[str], k: int = 3, counts: bool = True) -> csr_matrix:
    """How often does each run of k letters occur in each sequence? (m, 21**k), float32; or whether (0/1).

    Letters that are none of the 20 amino acids are one 21st. A sequence shorter than k has an empty row.

    Raises:
        SchemaError: k is not 1 to 6.
    """
    from scipy.sparse import csr_matrix

    if not 1 <= k <= 6:
        raise SchemaError(f"k must be 1 to 6, not {k}.")
    letters = len(AMINO_ACIDS) + 1
    columns, values, ends = [], [], [0]
    for sequence in sequences:
        code = _CODE[np.frombuffer(sequence.upper().encode("latin-1", "replace"), dtype=np.uint8)]
        length = max(code.size - k + 1, 0)
        number = np.zeros(length, dtype=np.int64)
        for place in range(k):
            number = number * letters + code[place : place + length]
        found, count = np.unique(number, return_counts=True)
        columns.append(found)
        values.append(count)
        ends.append(ends[-1] + found.size)
    flat = np.concatenate([np.zeros(0, dtype=np.int64), *columns])
    data = np.concatenate([np.zeros(0, dtype=np.int64), *values]) if counts else np.ones(flat.size)
    return csr_matrix((data.astype(np.float32), flat, np.array(ends)), shape=(len(sequences), letters**k))


def kmer_cosine(a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
    """A . b / (|a| |b|) for each row of a with each row of b; 0 where one is empty.

    Raises:
        SchemaError: k-mers of different k.
    """
    if a.shape[1] != b.shape[1]:
        raise SchemaError(f"The k-mers have {a.shape[1]} and {b.shape[1]} columns; expected the same k.")
    first, second = a.astype(np.float64), b.astype(np.float64)
    lengths = [np.sqrt(np.asarray(m.multiply(m).sum(axis=1)).ravel()) for m in (first, second)]
    result = np.empty((a.shape[0], b.shape[0]), dtype=np.float64)
    other = second.T.tocsr()
    for start in range(0, a.shape[0], 1024):
        rows = slice(start, start + 1024)
        product = (first[rows] @ other).toarray()
        norm = lengths[0][rows, None] * lengths[1][None, :]
        result[rows] = np.divide(product, norm, out=np.zeros_like(product), where=norm > 0)
    return result


def near_identical(sequences: Sequence[str], least: float = 0.9, k: int = 5) -> Int64[np.ndarray, " m"]:
    """Which sequences are almost the same? The number of each one's group, from 0 in order of first appearance.

    Two sequences are joined if their identity is at least `least`, over the shorter of the two, estimated without
    alignment as (shared k-mers / k-mers of the one that has fewer)^(1/k): a change of one letter undoes k k-mers. It is
    the estimate of Mash (Ondov et al. 2016, doi:10.1186/s13059-016-0997-x) for containment. So a domain is joined with
    the protein that it was cut from. Groups are what is joined, directly or through others.

    Raises:
        SchemaError: `least` is not above 0 and at most 1.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not 0 < least <= 1:
        raise SchemaError(f"least must be above 0 and at most 1, not {least}.")
    distinct: dict[str, int] = {}
    which = np.array([distinct.setdefault(sequence, len(distinct)) for sequence in sequences], dtype=np.int64)
    if least == 1 or len(distinct) < 2:
        return which
    sets = kmers(list(distinct), k, counts=False)
    sizes = np.diff(sets.indptr)
    other = sets.T.tocsr()
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(distinct), 512):
        shared = (sets[start : start + 512] @ other).tocoo()
        one, two = shared.row + start, shared.col
        near = shared.data >= least**k * np.minimum(sizes[one], sizes[two]) - 1e-6
        keep = near & (one < two)
        ends.append((one[keep], two[keep]))
    rows, columns = (np.concatenate(part) for part in zip(*ends, strict=True))
    joined = coo_matrix((np.ones(rows.size), (rows, columns)), shape=(len(distinct), len(distinct)))
    group: Int64[np.ndarray, " m"] = connected_components(joined, directed=False)[1].astype(np.int64)[which]
    _, first, place = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place].astype(np.int64)
