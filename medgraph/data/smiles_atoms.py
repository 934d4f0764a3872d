"""Which atoms does each letter of a SMILES speak of?"""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Float

from medgraph.errors import SchemaError

__all__ = ["atom_shares", "atom_symbols"]

_PARTS = re.compile(
    r"(?P<atom>\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*])"
    r"|(?P<ring>%\(\d+\)|%\d\d|\d)"
    r"|(?P<bond><-|->|[-=#:$/\\~])"
    r"|(?P<open>\()|(?P<close>\))|(?P<dot>\.)"
)


def atom_shares(smiles: str) -> Float[np.ndarray, "letters atoms"]:
    """The share of each letter that each atom has, in the order in which atoms are written; every row sums to 1.

    A letter of an atom, brackets and all that stands in them, is that atom's. A bond's sign and a ring's number belong
    half to each of the two atoms that they join, a branch's brackets to the atom from which it branches, and the dot
    between two parts half to the atom before and half to the one after. The order is RDKit's as long as no hydrogen
    is written as an atom of its own.

    >>> atom_shares("C=O").tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]

    Raises:
        SchemaError: it cannot be read as SMILES.
    """
    owners: list[tuple[int, ...]] = [()] * len(smiles)
    atoms, previous, place = 0, -1, 0
    branches: list[int] = []
    waiting: list[int] = []  # letters of a bond whose second atom has not come yet
    rings: dict[str, tuple[int, list[int]]] = {}
    while place < len(smiles):
        found = _PARTS.match(smiles, place)
        if found is None:
            raise SchemaError(f"{smiles[:80]!r}: letter {place + 1}, {smiles[place]!r}, cannot be read as SMILES.")
        letters, kind = list(range(*found.span())), found.lastgroup
        if kind != "atom" and previous < 0:
            raise SchemaError(f"{smiles[:80]!r}: letter {place + 1}, {smiles[place]!r}, stands before any atom.")
        if kind == "atom":
            for letter in letters:
                owners[letter] = (atoms,)
            for letter in waiting:
                owners[letter] = (previous, atoms)
            previous, atoms, waiting = atoms, atoms + 1, []
        elif kind in {"bond", "dot"}:
            waiting += letters
        elif kind == "ring":
            number = found[0].strip("%()").lstrip("0") or "0"
            if number in rings:
                first, there = rings.pop(number)
                for letter in (*there, *waiting, *letters):
                    owners[letter] = (first, previous)
            else:
                rings[number] = previous, [*waiting, *letters]
            waiting = []
        elif kind == "open":
            branches.append(previous)
            owners[place] = (previous,)
        else:
            if not branches:
                raise SchemaError(f"{smiles[:80]!r}: letter {place + 1} closes a branch that was not opened.")
            previous = branches.pop()
            owners[place] = (previous,)
        place = found.end()
    if waiting or rings or branches or not atoms:
        raise SchemaError(f"{smiles[:80]!r} ends within a bond, a ring or a branch, or has no atom.")
    shares = np.zeros((len(smiles), atoms))
    for letter, mine in enumerate(owners):
        shares[letter, list(mine)] = 1 / len(mine)
    return shares


def atom_symbols(smiles: str) -> tuple[str, ...]:
    """The element of each atom, in the order in which they are written: "Cl", "N"; "*" for none.

    >>> atom_symbols("c1cc[nH]c1Cl")
    ('C', 'C', 'C', 'N', 'C', 'Cl')
    """
    found = (match["atom"] for match in _PARTS.finditer(smiles) if match.lastgroup == "atom")
    return tuple(atom.capitalize() if atom[0] != "[" else _element(atom) for atom in found)


def _element(bracket: str) -> str:
    """[13C@@H2-] -> C: what comes after the isotope, two letters if those are an element's."""
    name = bracket[1:-1].lstrip("0123456789")
    two = name[:2]
    if two[:1].isupper() and two[1:].islower():
        return two
    return "*" if name[:1] == "*" else two.capitalize() if two in {"se", "as", "te", "si"} else name[:1].upper()
