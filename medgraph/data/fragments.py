"""Molecules as counts of what they are made of, so coded that Tanimoto of the codes compares the counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from medgraph.data.chemistry import chem, read_molecule
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from jaxtyping import Int64
    from scipy.sparse import csr_matrix

__all__ = ["FRAGMENTS", "FragmentKind", "counter", "unary"]

FragmentKind: TypeAlias = Literal["circular", "pharmacophoric", "pairs", "paths"]
FRAGMENTS: tuple[FragmentKind, ...] = ("circular", "pharmacophoric", "pairs", "paths")


def counter(kind: FragmentKind, bits: int = 4096, most: int = 16) -> Callable[[str], Int64[np.ndarray, " k"]]:
    """What tells the fragments of a SMILES: a number for the first of a kind, another for the second, up to `most`.

    Kinds: "circular", neighbourhoods of atoms up to two bonds wide (ECFP4); "pharmacophoric", the same where atoms are
    told apart by what they do (donor, acceptor, aromatic, halogen, basic, acidic: FCFP4; both Rogers & Hahn 2010,
    doi:10.1021/ci100050t); "pairs" of atoms and the bonds between (Carhart et al. 1985, doi:10.1021/ci00046a002);
    "paths" and branched parts of up to five bonds (RDKit's own). Each is hashed to one of `bits`.

    Raises:
        MissingExtraError: no RDKit. The teller raises SchemaError for a SMILES that cannot be read.
        SchemaError: bits or most below 1.
    """
    if bits < 1 or most < 1:
        raise SchemaError(f"Expected at least 1 bit and at least 1 of a kind, got {bits} and {most}.")
    generator = _generator(kind, bits)

    def fragments(smiles: str) -> Int64[np.ndarray, " k"]:
        found = generator.GetCountFingerprint(read_molecule(smiles)).GetNonzeroElements()
        numbers = [np.arange(min(count, most)) + bit * most for bit, count in sorted(found.items())]
        return np.concatenate([np.zeros(0, dtype=np.int64), *numbers])

    return fragments


def unary(rows: Sequence[Int64[np.ndarray, " _"]], width: int) -> csr_matrix:
    """A row of 0 and 1 for each list of numbers, float32.

    With the numbers of `counter` a count n stands as n ones, so |A and B| sums the smaller counts and |A or B| the
    larger ones: Tanimoto is then the min-max kernel (Ralaivola et al. 2005, doi:10.1016/j.neunet.2005.07.009).
    """
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *(row.size for row in rows)])
    flat = np.concatenate([np.zeros(0, dtype=np.int64), *rows])
    return csr_matrix((np.ones(flat.size, dtype=np.float32), flat, ends), shape=(len(rows), width))


def _generator(kind: FragmentKind, bits: int) -> Any:
    chem()  # says what to install where RDKit is not
    from rdkit.Chem import rdFingerprintGenerator

    made: Any = rdFingerprintGenerator
    if kind == "circular":
        return made.GetMorganGenerator(radius=2, fpSize=bits)
    if kind == "pharmacophoric":
        told = made.GetMorganFeatureAtomInvGen()
        return made.GetMorganGenerator(radius=2, fpSize=bits, atomInvariantsGenerator=told)
    if kind == "pairs":
        return made.GetAtomPairGenerator(fpSize=bits)
    return made.GetRDKitFPGenerator(maxPath=5, fpSize=bits)
