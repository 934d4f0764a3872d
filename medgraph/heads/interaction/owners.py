"""Whose are a token, a bit, a k-mer? Atoms and residues behind what a network reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_matrix, identity

from medgraph.data.chemistry import read_molecule
from medgraph.data.proteins import kmers
from medgraph.data.smiles_atoms import atom_shares
from medgraph.data.tokens import Tokens

__all__ = [
    "Number",
    "Occurrences",
    "Owners",
    "atom_owners",
    "bond_owners",
    "kmer_owners",
    "morgan_owners",
    "token_owners",
]

Number: TypeAlias = Literal["there", "count", "log"]


@dataclass(frozen=True, eq=False)
class Owners:
    """Units (tokens, bits, k-mers) and the atoms or residues that they speak of.

    Args:
        shares: (units, n), each row sums to 1, or to 0 for a unit that is nobody's, such as padding.
    """

    shares: csr_matrix

    def spread(self, units: Float64[np.ndarray, " u"]) -> Float64[np.ndarray, " n"]:
        """What each atom or residue has of these."""
        return np.asarray(self.shares.T @ units)

    def left(self, kept: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " u"]:
        """How much of each unit is left when only these atoms or residues are: what its owners' shares add up to."""
        return np.asarray(1 - self.shares @ (1 - kept))


@dataclass(frozen=True, eq=False)
class Occurrences(Owners):
    """Units that occur at several places, each made of several atoms or residues; one without all of them is gone.

    Args:
        unit: of each occurrence.
        members: (occurrences, n), 1 where it is made of that atom or residue.
        number: the unit's number says that it is "there" or not, how often ("count"), or log(1 + how often) ("log").
    """

    unit: np.ndarray
    members: csr_matrix
    number: Number

    @classmethod
    def of(cls, units: int, unit: np.ndarray, members: csr_matrix, number: Number) -> Occurrences:
        """Each occurrence has an equal share of its unit, each of its members an equal share of that."""
        times = np.bincount(unit, minlength=units)
        weights = 1 / (times[unit] * np.asarray(members.sum(axis=1)).ravel())
        which = csr_matrix((weights, (unit, np.arange(unit.size))), shape=(units, unit.size))
        return cls(which @ members, unit, members, number)

    def left(self, kept: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " u"]:
        """What is left of each unit's number when only the occurrences count that are whole."""
        units = self.shares.shape[0]
        whole = np.asarray(self.members @ (1 - kept)).ravel() < 0.5
        times, intact = (np.bincount(self.unit, weights, units).astype(np.float64) for weights in (None, whole))
        if self.number == "log":
            times, intact = np.log1p(times), np.log1p(intact)
        elif self.number == "there":
            times, intact = np.minimum(times, 1), np.minimum(intact, 1)
        return np.divide(intact, times, out=np.ones(units), where=times > 0)


def token_owners(tokens: Tokens, text: str, rows: int, smiles: bool) -> Owners:
    """Of each of so many tokens, the mean of its letters' owners; of padding behind the text, nobody."""
    letters = csr_matrix(atom_shares(text)) if smiles else identity(len(text), format="csr")
    if tokens.pattern is None:
        spans = csr_matrix(identity(len(text), format="csr"))
    else:
        found = [match.span() for match in tokens._finder.finditer(text)]
        sizes = [end - start for start, end in found]
        columns = [letter for start, end in found for letter in range(start, end)]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        spans = csr_matrix((np.repeat(1 / np.array(sizes), sizes), columns, ends), shape=(len(found), len(text)))
    shares = (spans @ letters)[:rows]
    shares = csr_matrix(shares)
    shares.resize(rows, shares.shape[1])
    return Owners(shares)


def atom_owners(atoms: int) -> Owners:
    """Of each atom, itself."""
    return Owners(csr_matrix(identity(atoms, format="csr")))


def bond_owners(ends: Int64[np.ndarray, "2 b"], atoms: int) -> Owners:
    """Of each bond, half each of its two atoms."""
    rows = np.tile(np.arange(ends.shape[1]), 2)
    return Owners(csr_matrix((np.full(rows.size, 0.5), (rows, ends.ravel())), shape=(ends.shape[1], atoms)))


def morgan_owners(
    smiles: str,
    radius: int,
    bits: int,
    chirality: bool = False,
    number: Number = "there",
    columns: Int64[np.ndarray, " c"] | None = None,
) -> Occurrences:
    """Of each bit of `morgan`, the atoms of the environments that set it.

    Args:
        smiles: of the molecule.
        radius: of the fingerprint.
        bits: that it is folded to.
        chirality: is stereo looked at?
        number: what the bits' numbers say.
        columns: which of the bits there are, in order; all by default.
    """
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    molecule = read_molecule(smiles)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits, includeChirality=chirality)
    more = rdFingerprintGenerator.AdditionalOutput()
    more.AllocateBitInfoMap()
    generator.GetCountFingerprint(molecule, additionalOutput=more)
    unit: list[int] = []
    members: list[list[int]] = []
    for bit, places in more.GetBitInfoMap().items():
        for atom, reach in places:
            bonds = [molecule.GetBondWithIdx(i) for i in Chem.FindAtomEnvironmentOfRadiusN(molecule, reach, atom)]
            unit.append(bit)
            members.append(sorted({atom, *(b.GetBeginAtomIdx() for b in bonds), *(b.GetEndAtomIdx() for b in bonds)}))
    return _occurrences(unit, members, molecule.GetNumAtoms(), bits, number, columns)


def kmer_owners(
    sequence: str, k: int, number: Number = "count", columns: Int64[np.ndarray, " c"] | None = None
) -> Occurrences:
    """Of each k-mer of `kmers`, the residues where it occurs. The arguments are those of `morgan_owners`."""
    runs = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    table = kmers(runs, k)  # one run a row: its only column is its number
    unit = table.indices.astype(np.int64).tolist()
    members = [list(range(i, i + k)) for i in range(len(runs))]
    return _occurrences(unit, members, len(sequence), table.shape[1], number, columns)


def _occurrences(
    unit: list[int],
    members: list[list[int]],
    n: int,
    units: int,
    number: Number,
    columns: Int64[np.ndarray, " c"] | None,
) -> Occurrences:
    if columns is not None:
        place = {column: i for i, column in enumerate(columns.tolist())}
        there = [i for i, each in enumerate(unit) if each in place]
        unit, members, units = [place[unit[i]] for i in there], [members[i] for i in there], len(place)
    ends = np.concatenate([[0], np.cumsum([len(each) for each in members])]).astype(np.int64)
    flat = [one for each in members for one in each]
    table = csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(members), n))
    return Occurrences.of(units, np.array(unit, dtype=np.int64), table, number)
