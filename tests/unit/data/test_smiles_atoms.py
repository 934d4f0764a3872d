"""Letters and atoms of SMILES: by hand, and beside RDKit on written-out and random orders of atoms."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medgraph.data.smiles_atoms import atom_shares, atom_symbols
from medgraph.errors import SchemaError

Chem = pytest.importorskip("rdkit.Chem")

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "C[C@H](O)/C=C\\[N+](C)(C)C.[Cl-]",
    "C1CC2(C1)CC%12CCC%12C2Br",
    "[13CH4]",
    "O=C1c2ccccc2C(=O)N1C1CCC(=O)NC1=O",
    "FC(F)(F)C#N",
    "C=1CCCCC1",
    "c1cc[se]c1.[Na+].[nH]1cccc1.[Cu+2].[2H]C([2H])Cl.*C[13C@@H](N)[O-]",
    "CC(C)(C)[Si](C)(C)OC12CC3CC(CC(C3)C1)C2",
]


def test_by_hand() -> None:
    shares = atom_shares("CC(=O)C1CC1.[Na+]")
    letters = "CC(=O)C1CC1.[Na+]"
    owners = {i: np.flatnonzero(row).tolist() for i, row in enumerate(shares)}
    assert [owners[i] for i in range(len(letters))] == [
        *([0], [1], [1], [1, 2], [2], [1]),
        *([3], [3, 5], [4], [5], [3, 5], [5, 6]),
        *([6],) * 5,
    ]
    assert atom_shares("C=1CC1")[1:3].tolist() == [[0.5, 0.0, 0.5]] * 2  # the ring's bond with its number


@pytest.mark.parametrize("smiles", MOLECULES)
def test_beside_rdkit(smiles: str) -> None:
    whole = Chem.MolFromSmiles(smiles)
    for seed in range(20):
        written = Chem.MolToSmiles(whole, doRandom=True, canonical=False) if seed else smiles
        molecule = Chem.MolFromSmiles(written)
        shares = atom_shares(written)
        assert shares.shape == (len(written), molecule.GetNumAtoms())
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert atom_symbols(written) == tuple(atom.GetSymbol() for atom in molecule.GetAtoms())
        inside = 0
        for letter, row in zip(written, shares, strict=True):
            mine = np.flatnonzero(row).tolist()
            if letter in "[]":
                inside += 1 if letter == "[" else -1
            if len(mine) == 2:
                joined = molecule.GetBondBetweenAtoms(*mine)
                assert (joined is None) == (letter == ".")
                if letter in "=#" and joined is not None:
                    assert joined.GetBondTypeAsDouble() == {"=": 2.0, "#": 3.0}[letter]
            elif letter.isalpha() and not inside:
                assert molecule.GetAtomWithIdx(mine[0]).GetSymbol().upper().startswith(letter.upper()) or letter in "lr"
    assert not re.search(r"\s", smiles)


@pytest.mark.parametrize("smiles", ["", "C(", "C)", "C1CC", "=C", "C=", "C{C", "[Na"])
def test_refuses_what_is_no_smiles(smiles: str) -> None:
    with pytest.raises(SchemaError):
        atom_shares(smiles)
