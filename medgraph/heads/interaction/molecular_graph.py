"""A molecule as its atoms and bonds, and a graph isomorphism network over them, in PyTorch Geometric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from medgraph.data.chemistry import read_molecule
from medgraph.errors import MissingExtraError
from medgraph.heads.interaction.features import Encoded, Entities, Features, Inputs, Saved

__all__ = ["MoleculeEncoder", "MoleculeFeatures"]

_ELEMENTS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se")
_BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
# choices of each property of an atom; the last one is for all others
_ATOM = (len(_ELEMENTS) + 1, 6, 5, 5, 2, 2)  # element, degree, charge, hydrogens, aromatic, in a ring
_BOND = (len(_BONDS) + 1, 2, 2)  # order, in a ring, conjugated


@dataclass(frozen=True, eq=False)
class _Molecules(Encoded):
    """Atoms and bonds of all molecules end to end."""

    atoms: Tensor
    bonds: Tensor
    ends: Tensor
    atom_offsets: Int64[np.ndarray, " m_plus_1"]
    bond_offsets: Int64[np.ndarray, " m_plus_1"]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.atom_offsets.size - 1

    def tensors(self, rows: Int64[np.ndarray, " k"], device: torch.device) -> Inputs:
        atom, sizes = _picked(self.atom_offsets, rows)
        bond, bonds = _picked(self.bond_offsets, rows)
        shift = torch.from_numpy(np.repeat(np.cumsum(sizes) - sizes, bonds))
        owner = torch.from_numpy(np.repeat(np.arange(rows.size), sizes))
        found = (self.atoms[atom], self.ends[:, bond] + shift, self.bonds[bond], owner, torch.zeros(rows.size))
        return tuple(tensor.to(device) for tensor in found)


def _picked(offsets: Int64[np.ndarray, " m"], rows: Int64[np.ndarray, " k"]) -> tuple[Tensor, Int64[np.ndarray, " k"]]:
    """The places of the parts of these rows, and how many each has."""
    sizes = np.diff(offsets)[rows]
    places = np.arange(sizes.sum()) + np.repeat(offsets[rows] - np.cumsum(sizes) + sizes, sizes)
    return torch.from_numpy(places), sizes


@dataclass(frozen=True)
class MoleculeFeatures(Features):
    """Each SMILES as a graph: element, degree, charge, hydrogens, aromaticity, ring; order, ring, conjugation."""

    def of(self, entities: Entities) -> Encoded:
        """Inputs: atoms (a, 6), ends of bonds (2, b), bonds (b, 3), the molecule of each atom (a,), zeros (k,).

        Raises:
            SchemaError: a SMILES that cannot be read; its row is named.
        """
        atoms: list[list[int]] = []
        bonds: list[list[int]] = []
        ends: list[tuple[int, int]] = []
        offsets: tuple[list[int], list[int]] = ([0], [0])
        for row, text in enumerate(entities.texts):
            molecule = read_molecule(text, row)
            atoms += [_atom(atom) for atom in molecule.GetAtoms()]
            for bond in molecule.GetBonds():
                a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
                ends += [(a, b), (b, a)]
                bonds += [_bond(bond)] * 2
            offsets[0].append(len(atoms))
            offsets[1].append(len(bonds))
        return _Molecules(
            torch.tensor(atoms, dtype=torch.int64).reshape(-1, len(_ATOM)),
            torch.tensor(bonds, dtype=torch.int64).reshape(-1, len(_BOND)),
            torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
            np.array(offsets[0], dtype=np.int64), np.array(offsets[1], dtype=np.int64),
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Five tensors."""
        return 5

    def saved(self) -> Saved:
        """Nothing is learnt."""
        return Saved()

    @classmethod
    def restore(cls, saved: Saved) -> MoleculeFeatures:
        """The same for all."""
        del saved
        return cls()


def _atom(atom: Any) -> list[int]:
    symbol = atom.GetSymbol()
    return [
        _ELEMENTS.index(symbol) if symbol in _ELEMENTS else len(_ELEMENTS),
        min(atom.GetDegree(), 5),
        min(max(atom.GetFormalCharge() + 2, 0), 4),
        min(atom.GetTotalNumHs(), 4),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    ]


def _bond(bond: Any) -> list[int]:
    order = str(bond.GetBondType())
    kind = _BONDS.index(order) if order in _BONDS else len(_BONDS)
    return [kind, int(bond.IsInRing()), int(bond.GetIsConjugated())]


class MoleculeEncoder(nn.Module):
    """h' = h + perceptron((1 + e) h + sum over bonded atoms relu(h_j + bond)); the molecule is mean and max of atoms.

    Graph isomorphism network (Xu et al. 2019, arXiv:1810.00826) with bonds (Hu et al. 2020, arXiv:1905.12265). Layers
    are normalised atom by atom, never over the batch.

    Args:
        width: of an atom's vector.
        layers: how many bonds far an atom sees.
        size: of what comes out.
        dropout: in each layer.

    Raises:
        MissingExtraError: PyTorch Geometric is not installed.
    """

    def __init__(self, width: int, layers: int, size: int, dropout: float) -> None:
        super().__init__()
        try:
            from torch_geometric.nn import GINEConv
        except ImportError:
            raise MissingExtraError("torch-geometric", "pyg", "A molecular graph encoder") from None
        self.atoms = nn.ModuleList(nn.Embedding(choices, width) for choices in _ATOM)
        self.bonds = nn.ModuleList(nn.Embedding(choices, width) for choices in _BOND)
        self.layers = nn.ModuleList(
            GINEConv(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)), train_eps=True)
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(2 * width, size)

    def forward(
        self,
        atoms: Int[Tensor, "a p"],
        ends: Int[Tensor, "2 b"],
        bonds: Int[Tensor, "b q"],
        owner: Int[Tensor, " a"],
        each: Float[Tensor, " k"],
    ) -> Float[Tensor, "k d"]:
        """One row a molecule."""
        h = sum(table(atoms[:, i]) for i, table in enumerate(self.atoms))
        bond = sum(table(bonds[:, i]) for i, table in enumerate(self.bonds))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = h + self.dropout(torch.relu(norm(layer(h, ends, bond))))
        assert isinstance(h, Tensor)
        index = owner[:, None].expand_as(h)
        zeros = h.new_zeros(each.numel(), h.shape[1])
        mean = zeros.scatter_reduce(0, index, h, "mean", include_self=False)
        largest = zeros.scatter_reduce(0, index, h, "amax", include_self=False)
        found: Tensor = self.out(torch.cat([mean, largest], dim=1))
        return found
