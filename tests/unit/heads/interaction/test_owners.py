"""Whose bits, k-mers and tokens are: beside RDKit's own environments, and counted out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from medgraph.data.molecules import morgan
from medgraph.data.proteins import kmers
from medgraph.data.tokens import PROTEIN_TOKENS, SMILES_ATOMS, SMILES_TOKENS
from medgraph.heads.interaction.owners import Occurrences, kmer_owners, morgan_owners, token_owners

Chem = pytest.importorskip("rdkit.Chem")
IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"


def test_tokens_by_hand() -> None:
    owners = token_owners(SMILES_ATOMS, "CCl", 4, smiles=True)
    assert owners.shares.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]
    letters = token_owners(SMILES_TOKENS, "C=O", 3, smiles=True)
    assert letters.spread(np.array([1.0, 4.0, 2.0])).tolist() == [3.0, 4.0]
    assert letters.left(np.array([1.0, 0.0])).tolist() == [1.0, 0.5, 0.0]
    assert token_owners(SMILES_TOKENS, "CCO", 2, smiles=True).shares.shape == (2, 3)  # cut: the last is not read
    residues = token_owners(PROTEIN_TOKENS, "MKT", 3, smiles=False)
    assert residues.spread(np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("radius", [0, 2, 3])
def test_bits_have_the_environments_that_set_them(radius: int) -> None:
    bits = 512  # few, so that environments share bits
    molecule = Chem.MolFromSmiles(IMATINIB)
    owners = morgan_owners(IMATINIB, radius, bits, number="count")
    times = np.bincount(owners.unit, minlength=bits)
    np.testing.assert_array_equal(times, morgan([IMATINIB], radius, bits, counts=True).toarray()[0])
    on = times > 0
    np.testing.assert_allclose(np.asarray(owners.shares.sum(axis=1)).ravel(), on)
    distances = Chem.GetDistanceMatrix(molecule)
    for row in owners.members.toarray():
        inside = np.flatnonzero(row)
        assert distances[np.ix_(inside, inside)].max(initial=0) <= 2 * radius
    whole = np.ones(molecule.GetNumAtoms())
    np.testing.assert_array_equal(owners.left(whole), np.ones(bits))
    assert owners.left(0 * whole)[on].max() == 0


def test_a_bit_is_gone_when_every_environment_has_lost_an_atom() -> None:
    owners = morgan_owners("CCO", 0, 64, number="count")
    carbons, oxygen = (int(np.bincount(owners.unit).argmax()), int(owners.unit[-1]))
    assert sorted(np.bincount(owners.unit)[np.bincount(owners.unit) > 0].tolist()) in ([1, 1, 1], [1, 2])
    without_oxygen = owners.left(np.array([1.0, 1.0, 0.0]))
    assert without_oxygen[owners.unit[owners.members.toarray()[:, 2] > 0]].tolist() == [0.0]
    two = Occurrences.of(2, np.array([0, 0, 1]), csr_matrix(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])), "count")
    assert two.left(np.array([0.0, 1.0, 1.0])).tolist() == [0.5, 1.0]
    assert two.spread(np.array([4.0, 1.0])).tolist() == [1.0, 2.0, 2.0]
    there = Occurrences(two.shares, two.unit, two.members, "there")
    assert there.left(np.array([0.0, 1.0, 1.0])).tolist() == [1.0, 1.0]
    assert there.left(np.array([1.0, 0.0, 1.0])).tolist() == [0.0, 1.0]
    log = Occurrences(two.shares, two.unit, two.members, "log")
    assert log.left(np.array([0.0, 1.0, 1.0])).tolist() == pytest.approx([np.log(2) / np.log(3), 1.0])
    assert {carbons, oxygen} <= set(owners.unit.tolist())


def test_kmers_by_hand() -> None:
    sequence = "AAAKAAA"
    owners = kmer_owners(sequence, 3)
    times = np.bincount(owners.unit, minlength=21**3)
    np.testing.assert_array_equal(times, kmers([sequence], 3).toarray()[0])
    aaa = int(times.argmax())
    units = np.zeros(21**3)
    units[aaa] = 6.0  # two places, three residues each
    assert owners.spread(units).tolist() == [1, 1, 1, 0, 1, 1, 1]
    assert owners.left(np.array([0.0, 1, 1, 1, 1, 1, 1]))[aaa] == 0.5
    assert kmer_owners(sequence, 3, number="there").left(np.array([0.0, 1, 1, 1, 1, 1, 1]))[aaa] == 1.0
    chosen = kmer_owners(sequence, 3, columns=np.array([aaa, 0 if aaa else 1, 5]))
    assert chosen.shares.shape == (3, 7)
    assert kmer_owners("AC", 3).shares.nnz == 0
