"""Counted fragments against RDKit's own comparison of counted fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator as rd

from medgraph.data.fragments import FRAGMENTS, FragmentKind, counter, unary
from medgraph.data.molecules import tanimoto
from medgraph.errors import SchemaError

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CCCCCCCCCC", "CCCCC", "Oc1ccccc1", "Nc1ccccc1"]
THEIRS = {
    "circular": rd.GetMorganGenerator(radius=2, fpSize=4096),
    "pharmacophoric": rd.GetMorganGenerator(
        radius=2, fpSize=4096, atomInvariantsGenerator=rd.GetMorganFeatureAtomInvGen()
    ),
    "pairs": rd.GetAtomPairGenerator(fpSize=4096),
    "paths": rd.GetRDKitFPGenerator(maxPath=5, fpSize=4096),
}


@pytest.mark.parametrize("kind", FRAGMENTS)
def test_tanimoto_of_the_codes_is_that_of_the_counts(kind: FragmentKind) -> None:
    codes = unary([counter(kind, most=500)(text) for text in SMILES], 4096 * 500)
    prints = [THEIRS[kind].GetCountFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    expected = [[DataStructs.TanimotoSimilarity(a, b) for b in prints] for a in prints]
    np.testing.assert_allclose(tanimoto(codes, codes), expected, rtol=1e-6)


def test_by_hand() -> None:
    """Propane has two pairs of neighbours that are alike, and one of ends: a 2 and a 1."""
    assert np.bincount(counter("pairs")("CCC") % 16).tolist() == [2, 1]
    assert np.bincount(counter("pairs", most=1)("CCC") * 0).tolist() == [2]
    assert unary([np.array([0, 2]), np.array([], dtype=np.int64)], 4).toarray().tolist() == [[1, 0, 1, 0], [0] * 4]


def test_no_more_than_most_are_counted() -> None:
    assert counter("circular", most=3)("C" * 30).size < counter("circular", most=30)("C" * 30).size
    with pytest.raises(SchemaError, match="at least 1"):
        counter("pairs", most=0)


def test_a_broken_smiles_is_named() -> None:
    with pytest.raises(SchemaError, match="C1CC"):
        counter("pairs")("C1CC")
