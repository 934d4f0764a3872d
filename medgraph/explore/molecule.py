"""What does each atom add? A molecule drawn by RDKit, its atoms coloured."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from medgraph.errors import MissingExtraError, SchemaError

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

__all__ = ["DOWN", "UP", "Molecule", "diverging", "molecule_svg"]

UP, DOWN = "#D55E00", "#0072B2"  # Okabe & Ito (2008): colour-blind readers can tell them apart
_LEGEND = 46  # height of the legend


def diverging() -> LinearSegmentedColormap:
    """From what takes away, over white, to what adds."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("adds", [DOWN, "#ffffff", UP], 257)


@dataclass(frozen=True, eq=False)
class Molecule:
    """A molecule and a number for each atom.

    Args:
        smiles: in the order of `contribution`.
        contribution: of each atom.
        limit: the number that has the full colour; by default the largest there is.

    Raises:
        SchemaError: RDKit cannot read it, or it has another number of atoms.
        MissingExtraError: RDKit is not installed.
    """

    smiles: str
    contribution: Float[np.ndarray, " a"]
    limit: float | None = None

    def __post_init__(self) -> None:
        atoms = _read(self.smiles).GetNumAtoms()
        if atoms != self.contribution.size:
            raise SchemaError(f"{self.smiles[:80]!r} has {atoms} atoms; there are {self.contribution.size} numbers.")

    @property
    def scale(self) -> float:
        """What has the full colour, on both sides."""
        return self.limit or float(np.abs(self.contribution).max(initial=0.0)) or 1.0

    def svg(self, width: int, height: int) -> str:
        """As SVG, without a legend."""
        from rdkit.Chem.Draw import rdMolDraw2D

        text: str = self._drawn(rdMolDraw2D.MolDraw2DSVG(width, height))
        return text[text.index("<svg") :]

    def png(self, width: int, height: int) -> bytes:
        """As PNG, without a legend."""
        from rdkit.Chem.Draw import rdMolDraw2D

        drawn: bytes = self._drawn(rdMolDraw2D.MolDraw2DCairo(width, height))
        return drawn

    def plane(self) -> tuple[Float[np.ndarray, "a 2"], list[tuple[int, int]], list[str]]:
        """Where each atom is drawn, which are bound, and their elements."""
        from rdkit.Chem import rdDepictor

        molecule = _read(self.smiles)
        rdDepictor.Compute2DCoords(molecule)
        positions = np.asarray(molecule.GetConformer().GetPositions(), dtype=np.float64)[:, :2]
        bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
        return positions, bonds, [atom.GetSymbol() for atom in molecule.GetAtoms()]

    def _drawn(self, canvas: Any) -> Any:
        from rdkit.Chem.Draw import rdMolDraw2D

        molecule = rdMolDraw2D.PrepareMolForDrawing(_read(self.smiles), addChiralHs=False)
        shades = diverging()((self.contribution / self.scale).clip(-1, 1) / 2 + 0.5)[:, :3].tolist()
        ends = [(bond.GetIdx(), bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
        between = {i: tuple((a + b) / 2 for a, b in zip(shades[one], shades[two], strict=True)) for i, one, two in ends}
        options = canvas.drawOptions()
        options.useBWAtomPalette()
        options.padding, options.highlightRadius, options.highlightBondWidthMultiplier = 0.06, 0.42, 22
        canvas.DrawMolecule(
            molecule,
            highlightAtoms=list(range(len(shades))),
            highlightAtomColors={i: tuple(shade) for i, shade in enumerate(shades)},
            highlightBonds=list(between),
            highlightBondColors=between,
        )
        canvas.FinishDrawing()
        return canvas.GetDrawingText()


def molecule_svg(
    smiles: str,
    contribution: Float[np.ndarray, " a"],
    *,
    unit: str = "",
    title: str = "",
    limit: float | None = None,
    width: int = 520,
    height: int = 380,
) -> str:
    """A molecule with its atoms coloured by what they add, and a legend, as SVG.

    Args:
        smiles: of the molecule, its atoms in the order of `contribution`.
        contribution: of each atom.
        unit: of the contributions.
        title: to stand above it.
        limit: the number that has the full colour; by default the largest there is.
        width: in pixels.
        height: in pixels, without title and legend.

    Raises:
        SchemaError: RDKit cannot read it, or it has another number of atoms.
        MissingExtraError: RDKit is not installed.
    """
    drawing = Molecule(smiles, np.asarray(contribution, dtype=np.float64), limit)
    top, left, wide = 30 if title else 0, width // 2 - 100, 200
    bottom = top + height
    middle, words = bottom + 8, f'font-family="sans-serif" font-size="12" fill="#3c4043" y="{bottom + 38}"'
    stops = "".join(f'<stop offset="{at}" stop-color="{c}"/>' for at, c in ((0, DOWN), (0.5, "#ffffff"), (1, UP)))
    inside = drawing.svg(width, height).replace("<svg", f'<svg y="{top}"', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + _LEGEND}" '
        f'viewBox="0 0 {width} {bottom + _LEGEND}"><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="12" y="20" font-family="sans-serif" font-size="14" fill="#202124">{html.escape(title)}</text>'
        f"{inside}"
        f'<defs><linearGradient id="adds">{stops}</linearGradient></defs>'
        f'<rect x="{left}" y="{middle}" width="{wide}" height="12" fill="url(#adds)" stroke="#9aa0a6"/>'
        f'<text x="{left}" {words} text-anchor="middle">{-drawing.scale:+.2g}</text>'
        f'<text x="{left + wide // 2}" {words} text-anchor="middle">{html.escape(unit)}</text>'
        f'<text x="{left + wide}" {words} text-anchor="middle">{drawing.scale:+.2g}</text></svg>'
    )


def _read(smiles: str) -> Any:
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise MissingExtraError("rdkit", "chem", "Drawing molecules") from None
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise SchemaError(f"RDKit cannot read {smiles[:80]!r}.")
    return molecule
