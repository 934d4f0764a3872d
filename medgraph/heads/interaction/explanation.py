"""What each atom and each residue adds to a predicted interaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError
from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

__all__ = ["Explanation", "Window"]

_SHOWN = 5


class Window(NamedTuple):
    """A run of residues.

    Args:
        first: number of its first residue, from 1.
        last: number of its last.
        residues: its letters.
        contribution: of all of them together.
    """

    first: int
    last: int
    residues: str
    contribution: float

    @property
    def name(self) -> str:
        """Its ends, such as "T315-M318"."""
        return f"{self.residues[0]}{self.first}-{self.residues[-1]}{self.last}"


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """value = baseline + atoms + residues + other + residual, sums over what each adds.

    Args:
        smiles: of the drug, standardised.
        sequence: of the target.
        atoms: what each atom adds, in the order in which they are written, which is RDKit's.
        residues: what each residue adds.
        value: predicted, before calibration.
        baseline: what the head says of nothing and nothing: no atom, no residue, unknown ids, mean vectors.
        unit: of all of these; of a binary head, log-odds.
        other: what ids and graph vectors add, which are neither atom nor residue.
        unseen_letters: of the SMILES, beyond the head's longest; they add nothing.
        unseen_residues: beyond the head's longest.
        drug: its id, or "".
        target: its id, or "".
    """

    smiles: str
    sequence: str
    atoms: Float64[np.ndarray, " a"]
    residues: Float64[np.ndarray, " r"]
    value: float
    baseline: float
    unit: str
    other: float = 0.0
    unseen_letters: int = 0
    unseen_residues: int = 0
    drug: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        if self.residues.size != len(self.sequence):
            raise SchemaError(f"{self.residues.size} contributions for a sequence of {len(self.sequence)} residues.")

    def __repr__(self) -> str:
        return f"Explanation({self.atoms.size} atoms, {self.residues.size} residues, {self.unit} {self.value:.3f})"

    def __str__(self) -> str:
        return as_text(self)

    @property
    def residual(self) -> float:
        """What the parts miss of value - baseline: the error of the integration."""
        return float(self.value - self.baseline - self.atoms.sum() - self.residues.sum() - self.other)

    def windows(self, width: int = 9, topn: int = _SHOWN) -> tuple[Window, ...]:
        """The runs of `width` residues that together add or take away most, none overlapping another.

        Raises:
            SchemaError: a width below 1.
        """
        if width < 1:
            raise SchemaError(f"width={width}; expected at least 1.")
        width = min(width, len(self.sequence))
        sums = np.convolve(self.residues, np.ones(width), "valid")
        free = np.ones(sums.size, dtype=bool)
        found: list[Window] = []
        for start in np.argsort(-np.abs(sums), kind="stable").tolist():
            if len(found) == topn or sums[start] == 0:
                break
            if free[start]:
                free[max(0, start - width + 1) : start + width] = False
                letters = self.sequence[start : start + width]
                found.append(Window(start + 1, start + width, letters, float(sums[start])))
        return tuple(found)

    def to_pandas(self) -> pd.DataFrame:
        """One row an atom or residue: part, number (atoms from 0, residues from 1), symbol, contribution."""
        import pandas as pd

        from medgraph.data.smiles_atoms import atom_symbols

        atoms, residues = self.atoms.size, self.residues.size
        return pd.DataFrame(
            {
                "part": ["atom"] * atoms + ["residue"] * residues,
                "number": [*range(atoms), *range(1, residues + 1)],
                "symbol": [*atom_symbols(self.smiles), *self.sequence],
                "contribution": np.concatenate([self.atoms, self.residues]),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **{name: getattr(self, name) for name in ("drug", "target", "smiles", "sequence", "unit")},
            **{name: getattr(self, name) for name in ("value", "baseline", "other", "residual")},
            **{name: getattr(self, name) for name in ("unseen_letters", "unseen_residues")},
            "atoms": self.atoms.tolist(),
            "residues": self.residues.tolist(),
        }

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        from medgraph.data.smiles_atoms import atom_symbols

        parts = (
            f"{self.baseline:.3f} by nothing, {self.atoms.sum():+.3f} by atoms, {self.residues.sum():+.3f} by residues"
        )
        other = f", {self.other:+.3f} by ids and graph vectors" if self.other else ""
        table = Table()
        for name in ("atom", "adds", "residues", "add"):
            table.add_column(name, justify="right" if name.startswith("add") else "left")
        symbols = atom_symbols(self.smiles)
        order = np.argsort(-np.abs(self.atoms), kind="stable")[:_SHOWN].tolist()
        atoms = [(f"{symbols[i]} {i}", f"{self.atoms[i]:+.3f}") for i in order]
        windows = [(w.name, f"{w.contribution:+.3f}") for w in self.windows()]
        for i in range(max(len(atoms), len(windows))):
            table.add_row(*(atoms[i] if i < len(atoms) else ("", "")), *(windows[i] if i < len(windows) else ("", "")))
        return Group(f"{self.unit} {self.value:.3f}: {parts}{other}", table)
