"""Molecules as numbers: one SMILES a structure by stated rules, fingerprints, similarities, scaffolds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.data.chemistry import chem, complaint, quiet, read_molecule, shortened
from medgraph.data.salts import neutral, parent
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Standardised", "Standardiser", "inchikey", "morgan", "scaffold", "tanimoto"]

UNREADABLE, MIXTURE, DUMMY, EMPTY = (
    "SMILES that RDKit cannot read",
    "mixtures of molecules",
    "structures with a dummy atom",
    "empty SMILES",
)


class Structure(NamedTuple):
    """One molecule, standardised: its SMILES, the same without stereo, and its scaffold; or what is wrong with it."""

    canonical: str | None
    flat: str | None
    scaffold: str | None
    kind: str | None
    problem: str | None


@dataclass(frozen=True)
class Standardised:
    """Many SMILES, standardised row by row.

    Args:
        canonical: the SMILES; None where the row has a problem.
        flat: the same without stereo.
        scaffold: Bemis-Murcko scaffolds of `flat`; "" for molecules without a ring.
        kind: what sort of problem the row has, if any.
        problem: the problem in full, with what RDKit said.
        counts: sort of problem, or of mending -> rows.
    """

    canonical: list[str | None]
    flat: list[str | None]
    scaffold: list[str | None]
    kind: list[str | None]
    problem: list[str | None]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Standardiser:
    """One structure, one SMILES: RDKit's canonical form after these rules, in this order.

    1. What stands after white space (a name, CXSMILES) is dropped, and so are atom map numbers. Isotopes stay.
    2. Salts. What has no carbon at all, such as a lone ion or cisplatin, stays whole. Else fragments without carbon go,
       and some fifty acids, bases and solvents that salts and solvates are made of, unless nothing else is left. Of the
       rest the fragment with the most heavy atoms is kept (of equals, the one whose SMILES comes first); but if
       another, different one has more than half as many, this is a mixture, which is no molecule.
    3. Charges. Acids and bases are made neutral by adding or taking hydrogen; what cannot be, such as a quaternary
       nitrogen, keeps its charge. Tautomers stay as they are drawn.

    Args:
        salts: "largest": rule 2; "keep": all fragments stay; "refuse": several fragments are a problem.
        stereo: keep what is drawn of it; without, all stereo-isomers are one.
        charges: "neutral": rule 3; "keep".

    Raises:
        SchemaError: another word for salts or charges.
    """

    salts: Literal["largest", "keep", "refuse"] = "largest"
    stereo: bool = True
    charges: Literal["neutral", "keep"] = "neutral"

    def __post_init__(self) -> None:
        if self.salts not in {"largest", "keep", "refuse"}:
            raise SchemaError(f"salts is 'largest', 'keep' or 'refuse', not {self.salts!r}.")
        if self.charges not in {"neutral", "keep"}:
            raise SchemaError(f"charges is 'neutral' or 'keep', not {self.charges!r}.")

    def canonical(self, smiles: str) -> str:
        """The SMILES of this structure. Raises SchemaError, with what RDKit said."""
        canonical, problem = self.attempt(smiles)
        if canonical is None:
            raise SchemaError(f"{shortened(smiles)}: {problem}")
        return canonical

    def attempt(self, smiles: str) -> tuple[str | None, str | None]:
        """The SMILES of this structure, or what is wrong with it: quicker than `structure`, for long files."""
        with quiet():
            molecule, bad = self._standard(smiles)
            if bad:
                return None, bad.problem
            try:
                if not self.stereo:
                    chem().RemoveStereochemistry(molecule)
                return chem().MolToSmiles(molecule), None
            except (ValueError, RuntimeError) as fault:
                return None, f"RDKit: {str(fault)[:200]}"

    def table(self, smiles: Sequence[str | None]) -> Standardised:
        """Row by row; a row that cannot be read has its problem there, and stops nothing. Each SMILES is read once."""
        known: dict[str, Structure] = {}
        rows = []
        for given in smiles:
            text = given or ""
            if text not in known:
                known[text] = self.structure(text)
            rows.append(known[text])
        counts = Counter(row.kind for row in rows if row.kind)
        return Standardised(
            [row.canonical for row in rows],
            [row.flat for row in rows],
            [row.scaffold for row in rows],
            [row.kind for row in rows],
            [row.problem for row in rows],
            MappingProxyType(dict(counts)),
        )

    def structure(self, smiles: str) -> Structure:
        """This molecule, or what is wrong with it."""
        with quiet():
            molecule, bad = self._standard(smiles)
            if bad:
                return bad
            try:
                canonical = chem().MolToSmiles(molecule, isomericSmiles=True)
                chem().RemoveStereochemistry(molecule)
                flat = chem().MolToSmiles(molecule)
                return Structure(canonical if self.stereo else flat, flat, _scaffold(molecule), None, None)
            except (ValueError, RuntimeError) as fault:
                return _bad(UNREADABLE, f"RDKit: {str(fault)[:200]}")

    def _standard(self, smiles: str) -> tuple[Any, Structure | None]:
        words = smiles.split(maxsplit=1)
        if not words:
            return None, _bad(EMPTY, "there is no SMILES.")
        molecule = chem().MolFromSmiles(words[0])
        if molecule is None:
            return None, _bad(UNREADABLE, complaint(words[0]))
        try:
            return self._rules(molecule, words[0])
        except (ValueError, RuntimeError) as fault:
            return None, _bad(UNREADABLE, f"RDKit: {str(fault)[:200]}")

    def _rules(self, molecule: Any, text: str) -> tuple[Any, Structure | None]:
        """The molecule after the rules, or what is wrong with it; atoms are looked at only where the text says why."""
        if "*" in text or "#0" in text or ":" in text:
            for atom in molecule.GetAtoms():
                if atom.GetAtomicNum() == 0:
                    return None, _bad(DUMMY, "it has a dummy atom (*), which stands for no element.")
                atom.SetAtomMapNum(0)
        if self.salts != "keep":
            fragments = chem().GetMolFrags(molecule, asMols=True) if "." in text else (molecule,)
            if len(fragments) > 1 and self.salts == "refuse":
                return None, _bad(MIXTURE, f"it has {len(fragments)} fragments, and salts='refuse'.")
            if len(fragments) > 1:
                molecule, mixture = parent(molecule, fragments)
                if mixture:
                    return None, _bad(MIXTURE, mixture)
        if self.charges == "neutral" and ("+" in text or "-" in text):
            molecule = neutral(molecule)
        return molecule, None


def morgan(
    smiles: Sequence[str], radius: int = 2, bits: int = 2048, counts: bool = False, chirality: bool = False
) -> csr_matrix:
    """Which circular neighbourhoods of atoms does each molecule have? (m, bits), float32: 0/1, or how many.

    Rogers and Hahn (2010), Extended-connectivity fingerprints, doi:10.1021/ci100050t. A radius of 2 is their ECFP4.

    Raises:
        SchemaError: a SMILES that cannot be read, with its row and what RDKit said; a parameter out of range.
    """
    from scipy.sparse import csr_matrix

    if radius < 0 or bits < 1:
        raise SchemaError(f"Expected a radius of at least 0 and at least 1 bit, got {radius} and {bits}.")
    chem()  # says what to install where RDKit is not
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits, includeChirality=chirality)
    columns, values, ends = [], [], [0]
    for row, text in enumerate(smiles):
        found = generator.GetCountFingerprint(read_molecule(text, row)).GetNonzeroElements()
        columns.append(np.fromiter(found.keys(), dtype=np.int32, count=len(found)))
        values.append(np.fromiter(found.values(), dtype=np.float32, count=len(found)))
        ends.append(ends[-1] + len(found))
    flat = np.concatenate([np.zeros(0, dtype=np.int32), *columns])
    data = np.concatenate([np.zeros(0, dtype=np.float32), *values]) if counts else np.ones(flat.size, dtype=np.float32)
    matrix = csr_matrix((data, flat, np.array(ends)), shape=(len(smiles), bits))
    matrix.sort_indices()
    return matrix


def tanimoto(a: csr_matrix, b: csr_matrix) -> Float64[np.ndarray, "m n"]:
    """|A and B| / |A or B| of the bits that are set; 0 where neither has one. Counts are taken as 0/1.

    Raises:
        SchemaError: fingerprints of different length.
    """
    if a.shape[1] != b.shape[1]:
        raise SchemaError(f"The fingerprints have {a.shape[1]} and {b.shape[1]} bits; expected the same.")
    first, second = a.astype(bool).astype(np.float32), b.astype(bool).astype(np.float32)
    sizes = np.asarray(first.sum(axis=1)).ravel(), np.asarray(second.sum(axis=1)).ravel()
    result = np.empty((a.shape[0], b.shape[0]), dtype=np.float64)
    other = second.T.tocsr()
    for start in range(0, a.shape[0], 1024):  # so that the sparse product is never held whole
        rows = slice(start, start + 1024)
        both = (first[rows] @ other).toarray().astype(np.float64)
        either = sizes[0][rows, None] + sizes[1][None, :] - both
        result[rows] = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return result


def scaffold(smiles: str) -> str:
    """The rings of a molecule and what links them, without stereo; "" where there is no ring.

    Bemis and Murcko (1996), doi:10.1021/jm9602928, as RDKit reads them: what is doubly bound to a ring stays.

    Raises:
        SchemaError: a SMILES that cannot be read, with what RDKit said.
    """
    molecule = read_molecule(smiles)
    chem().RemoveStereochemistry(molecule)
    return _scaffold(molecule)


def inchikey(smiles: str) -> str:
    """The InChIKey of this structure as it is drawn: 27 characters, the first 14 of which know no stereo.

    Raises:
        SchemaError: a SMILES that cannot be read, or has no InChI.
    """
    molecule = read_molecule(smiles)
    with quiet():
        key: str = chem().MolToInchiKey(molecule)
    if not key:
        raise SchemaError(f"RDKit makes no InChI of {shortened(smiles)}.")
    return key


def _scaffold(molecule: Any) -> str:
    from rdkit.Chem.Scaffolds import MurckoScaffold

    if not molecule.GetRingInfo().NumRings():
        return ""
    rings: Any = MurckoScaffold
    text: str = chem().MolToSmiles(rings.GetScaffoldForMol(molecule))
    return text


def _bad(kind: str, problem: str) -> Structure:
    return Structure(None, None, None, kind, problem)
