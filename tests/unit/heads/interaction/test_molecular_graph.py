"""A molecule as a graph: atoms and bonds counted, the order of atoms and the company do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medgraph.errors import SchemaError
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.molecular_graph import MoleculeEncoder, MoleculeFeatures

pytest.importorskip("torch_geometric")
CPU = torch.device("cpu")


def entities(*smiles: str) -> Entities:
    return Entities(("",) * len(smiles), smiles)


def encoded(*smiles: str) -> torch.Tensor:
    torch.manual_seed(0)
    encoder = MoleculeEncoder(16, 3, 8, 0.0).double().eval()
    inputs = MoleculeFeatures().of(entities(*smiles)).tensors(np.arange(len(smiles)), CPU)
    with torch.no_grad():
        found: torch.Tensor = encoder(*inputs)
    return found


def test_atoms_bonds_and_owners() -> None:
    atoms, ends, bonds, owner, each = (
        MoleculeFeatures().of(entities("CCO", "C", "c1ccccc1")).tensors(np.array([2, 0, 1]), CPU)
    )
    assert owner.tolist() == [0] * 6 + [1] * 3 + [2]
    assert ends.shape == (2, 12 + 4)
    assert bonds[:12, 0].tolist() == [3] * 12  # aromatic
    assert atoms[:6, 4].tolist() == [1] * 6
    assert ends[:, 12:].min() == 6  # the second molecule's atoms come after the first's
    assert each.shape == (3,)


def test_neither_the_order_of_atoms_nor_company_matters() -> None:
    one, other = encoded("OCC(N)c1ccccc1Cl"), encoded("Clc1ccccc1C(N)CO")
    torch.testing.assert_close(one, other)
    together = encoded("CCO", "OCC(N)c1ccccc1Cl", "[Na+].[Cl-]")
    torch.testing.assert_close(together[1:2], one)
    assert not torch.allclose(encoded("CCO"), encoded("CCN"))


def test_says_which_row_it_cannot_read() -> None:
    with pytest.raises(SchemaError, match="Row 1"):
        MoleculeFeatures().of(entities("CCO", "C(("))
