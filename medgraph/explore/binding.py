"""What makes this drug bind this target? The molecule's atoms coloured, and the residues along the sequence."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from typing import TYPE_CHECKING

import numpy as np

from medgraph.errors import SchemaError
from medgraph.explore.molecule import DOWN, UP, Molecule, diverging
from medgraph.explore.picture import Picture, plain
from medgraph.heads.interaction.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as InteractiveFigure

__all__ = ["Binding", "binding"]

_GREY = "#5f6368"
_SIZE = (11.0, 7.2)  # inches
_MOLECULE = (1320, 620)  # pixels


@dataclass(frozen=True, eq=False, repr=False)
class Binding(Picture):
    """Above: the molecule. Below: what each residue adds, along the sequence, the strongest windows named.

    Args:
        explanation: what each atom and residue adds.
        drug: what to call it; else its id.
        target: what to call it; else its id.
        width: residues in a window.
        windows: how many are named.
    """

    explanation: Explanation
    drug: str = ""
    target: str = ""
    width: int = 9
    windows: int = 5
    _molecule: Molecule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.width < 1 or self.windows < 0:
            raise SchemaError(f"width={self.width}, windows={self.windows}; expected at least 1 and at least 0.")
        object.__setattr__(self, "_molecule", Molecule(self.explanation.smiles, self.explanation.atoms))

    def __repr__(self) -> str:
        return f"Binding({self._names[0]} and {self._names[1]}: {self.explanation!r})"

    @property
    def _names(self) -> tuple[str, str]:
        why = self.explanation
        return self.drug or why.drug or "drug", self.target or why.target or "target"

    @property
    def title(self) -> str:
        """The value in words."""
        why = self.explanation
        other = f" {why.other:+.2f} by ids and graph vectors" if why.other else ""
        return (
            f"{self._names[0]} and {self._names[1]}: {why.unit} {why.value:.2f}\n"
            f"= {why.baseline:.2f} by nothing {why.atoms.sum():+.2f} by {why.atoms.size} atoms "
            f"{why.residues.sum():+.2f} by {why.residues.size:,} residues{other}"
        )

    def figure(self) -> Figure:
        """As a matplotlib figure."""
        from matplotlib.image import imread

        figure, above = self._frame()
        above.imshow(imread(BytesIO(self._molecule.png(*_MOLECULE)), format="png"), aspect="equal")
        return figure

    def to_svg(self) -> str:
        """As SVG, the molecule drawn by RDKit."""
        figure, above = self._frame()
        above.set_aspect(_MOLECULE[1] / _MOLECULE[0])  # of axes from 0 to 1
        text = StringIO()
        figure.savefig(text, format="svg")
        box = above.get_position()
        wide, high = (72 * inches for inches in _SIZE)
        place = (box.x0 * wide, (1 - box.y1) * high, box.width * wide, box.height * high)
        attributes = " ".join(
            f'{name}="{at:.1f}"' for name, at in zip(("x", "y", "width", "height"), place, strict=True)
        )
        width, height = _MOLECULE[0] // 2, _MOLECULE[1] // 2
        drawn = self._molecule.svg(width, height)
        inside = drawn[drawn.index(">") + 1 :]
        drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {attributes} viewBox="0 0 {width} {height}">{inside}'
        head, end, tail = text.getvalue().rpartition("</svg>")
        return head + drawn + end + tail

    def interactive(self) -> InteractiveFigure:
        """As a plotly figure: hover for atoms and residues."""
        from plotly.subplots import make_subplots

        why = self.explanation
        positions, bonds, symbols = self._molecule.plane()
        figure = make_subplots(2, 1, row_heights=[0.62, 0.38], vertical_spacing=0.08)
        lines = [[at for i, j in bonds for at in (*positions[[i, j], axis], None)] for axis in (0, 1)]
        figure.add_scatter(
            x=lines[0],
            y=lines[1],
            mode="lines",
            line={"color": _GREY, "width": 2},
            hoverinfo="skip",
            row=1,
            col=1,
        )
        scale = self._molecule.scale
        figure.add_scatter(
            x=positions[:, 0],
            y=positions[:, 1],
            mode="markers+text",
            text=["" if symbol == "C" else symbol for symbol in symbols],
            customdata=[[i, symbol, value] for i, (symbol, value) in enumerate(zip(symbols, why.atoms, strict=True))],
            hovertemplate="%{customdata[1]} %{customdata[0]}: %{customdata[2]:+.3f}<extra></extra>",
            marker={
                "size": 22,
                "color": why.atoms,
                "cmin": -scale,
                "cmax": scale,
                "colorscale": [[0, DOWN], [0.5, "#ffffff"], [1, UP]],
                "line": {"color": "#bdc1c6", "width": 1},
                "colorbar": {"title": html.escape(f"adds to {why.unit}"), "len": 0.55, "y": 0.72},
            },
            row=1,
            col=1,
        )
        figure.add_bar(
            x=np.arange(1, why.residues.size + 1),
            y=why.residues,
            marker={"color": [UP if value >= 0 else DOWN for value in why.residues], "line": {"width": 0}},
            customdata=list(why.sequence),
            hovertemplate="%{customdata}%{x}: %{y:+.4f}<extra></extra>",
            row=2,
            col=1,
        )
        figure.update_xaxes(visible=False, row=1, col=1)
        figure.update_yaxes(visible=False, scaleanchor="x", row=1, col=1)
        figure.update_xaxes(title=f"residue of {html.escape(self._names[1])}", row=2, col=1)
        figure.update_yaxes(title=html.escape(f"adds to {why.unit}"), row=2, col=1)
        figure.update_layout(
            template="plotly_white",
            title={"text": html.escape(self.title).replace("\n", "<br>"), "font": {"size": 15}},
            showlegend=False,
            bargap=0,
            width=1100,
            height=720,
        )
        return figure

    def _frame(self) -> tuple[Figure, Axes]:
        """All but the molecule, and where it belongs."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure as New

        why, scale = self.explanation, self._molecule.scale
        figure = New(figsize=_SIZE, layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=[2.0, 1.0])
        above, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
        figure.suptitle(plain(self.title), fontsize=11, x=0.01, ha="left")
        above.set_axis_off()
        bar = figure.colorbar(
            ScalarMappable(Normalize(-scale, scale), diverging()), ax=above, shrink=0.55, aspect=16, pad=0.01
        )
        bar.set_label(plain(f"an atom adds to {why.unit}"), fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
        self._strip(below)
        return figure, above

    def _strip(self, axes: Axes) -> None:
        why = self.explanation
        number = np.arange(1, why.residues.size + 1)
        for sign, colour in ((1, UP), (-1, DOWN)):
            heights = np.where(sign * why.residues > 0, why.residues, 0.0)
            axes.fill_between(number, heights, step="mid", color=colour, lw=0.6)
        axes.axhline(0, color=_GREY, lw=0.6)
        low, high = min(0.0, float(why.residues.min(initial=0.0))), max(0.0, float(why.residues.max(initial=0.0)))
        room = (high - low) or 1.0
        found = sorted(why.windows(self.width, self.windows))
        last = -np.inf
        level = 0
        for window in found:
            middle = (window.first + window.last) / 2
            level = (level + 1) % 3 if middle - last < 0.09 * number.size else 0  # neighbours' names at other heights
            last = middle
            colour = UP if window.contribution >= 0 else DOWN
            side = "left" if middle < 0.04 * number.size else "right" if middle > 0.96 * number.size else "center"
            axes.axvspan(window.first - 0.5, window.last + 0.5, color=colour, alpha=0.13, lw=0)
            axes.annotate(
                f"{plain(window.name)}\n{window.contribution:+.2f}",
                (middle, high),
                (middle, high + (0.08 + 0.24 * level) * room),
                ha=side,
                va="bottom",
                fontsize=7,
                color=colour,
            )
        axes.set_ylim(low - 0.06 * room, high + 0.9 * room)
        axes.set_xlim(0, number.size + 1)
        axes.set_xlabel(plain(f"residue of {self._names[1]}"))
        axes.set_ylabel(plain(f"adds to {why.unit}"))
        axes.spines[["top", "right"]].set_visible(False)


def binding(explanation: Explanation, drug: str = "", target: str = "", width: int = 9, windows: int = 5) -> Binding:
    """What makes this drug bind this target?

    Args:
        explanation: of `explain` of an interaction head.
        drug: what to call it; else its id.
        target: what to call it; else its id.
        width: residues in a window.
        windows: how many are named.

    Raises:
        SchemaError: a width below 1, or a molecule that RDKit does not read as the explanation does.
        MissingExtraError: RDKit is not installed.
    """
    return Binding(explanation, drug, target, width, windows)
