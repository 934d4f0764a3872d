"""Whose are a token, a bit, a k-mer? Atoms and residues behind what a network reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_matrix, identity

from medgraph.data.smiles_atoms import atom_shares
from medgraph.data.tokens import Tokens
from medgraph.heads.interaction.features import Features
from medgraph.heads.interaction.token_features import TokenFeatures

__all__ = ["Occurrences", "Owners", "owners_of", "token_owners"]


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
        counted: the unit's number is how often it occurs; else it is there or not.
    """

    unit: np.ndarray
    members: csr_matrix
    counted: bool

    @classmethod
    def of(cls, units: int, unit: np.ndarray, members: csr_matrix, counted: bool) -> Occurrences:
        """Each occurrence has an equal share of its unit, each of its members an equal share of that."""
        times = np.bincount(unit, minlength=units)
        weights = 1 / (times[unit] * np.asarray(members.sum(axis=1)).ravel())
        which = csr_matrix((weights, (unit, np.arange(unit.size))), shape=(units, unit.size))
        return cls(which @ members, unit, members, counted)

    def left(self, kept: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " u"]:
        """The share of each unit's occurrences that are whole; of one that is there or not, whether any is."""
        units = self.shares.shape[0]
        whole = np.asarray(self.members @ (1 - kept)).ravel() < 0.5
        times = np.bincount(self.unit, minlength=units)
        intact = np.bincount(self.unit, weights=whole, minlength=units)
        if not self.counted:
            return np.where(times > 0, intact > 0, 1.0).astype(np.float64)
        return np.divide(intact, times, out=np.ones(units), where=times > 0)


def token_owners(tokens: Tokens, text: str, rows: int, smiles: bool) -> Owners:
    """Of each token, the mean of its letters' owners; of tokens beyond the text, nobody."""
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
    if shares.shape[0] < rows:
        shares = csr_matrix((shares.data, shares.indices, shares.indptr), shape=shares.shape)
        shares.resize(rows, shares.shape[1])
    return Owners(csr_matrix(shares))


def owners_of(features: Features, _place: int, text: str, whole: Any) -> Owners | None:
    """Whose each unit of this input is; None where it is nobody's."""
    if isinstance(features, TokenFeatures):
        return token_owners(features.tokens, text, whole.shape[0], smiles=features.tokens.symbols[0] in "(B")
    return None
