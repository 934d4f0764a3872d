"""What every picture can do: show itself in a notebook, and be saved as .html, .png or .svg."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgraph.artefact import atomic_file
from medgraph.data.schema import NodeType
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as InteractiveFigure

__all__ = ["Picture", "colours", "plain"]

# Okabe & Ito (2008), then Tol's (2021) muted colours where more are needed: colour-blind readers can tell them apart.
_KNOWN = {
    "Disease": "#D55E00",
    "Compound": "#0072B2",
    "Gene": "#009E73",
    "Phenotype": "#E69F00",
    "Symptom": "#E69F00",
    "Anatomy": "#CC79A7",
    "Diagnosis": "#8A8A8A",
    "SideEffect": "#56B4E9",
    "Pathway": "#117733",
    "BiologicalProcess": "#44AA99",
    "CellularComponent": "#999933",
    "MolecularFunction": "#DDCC77",
    "PharmacologicClass": "#332288",
}
_OTHERS = ("#882255", "#AA4499", "#88CCEE", "#CC6677", "#661100", "#6699CC", "#888888")


def colours(node_types: Iterable[NodeType]) -> dict[NodeType, str]:
    """Which colour has each node type? The same type has the same colour in every picture."""
    unknown = sorted({t for t in node_types if t not in _KNOWN})
    return _KNOWN | {t: _OTHERS[i % len(_OTHERS)] for i, t in enumerate(unknown)}


def plain(text: str) -> str:
    """Text as matplotlib should draw it: a dollar sign is no formula."""
    return text.replace("$", r"\$")


class Picture(ABC):
    """Something that can be looked at."""

    @abstractmethod
    def figure(self) -> Figure:
        """As a matplotlib figure."""

    @abstractmethod
    def interactive(self) -> InteractiveFigure:
        """As a plotly figure: zoom, switch node types on and off, hover for names."""

    def save(self, path: str | Path) -> Path:
        """Write .html (interactive, self-contained), .png or .svg; returns the path.

        Raises:
            SchemaError: another ending.
        """
        path = Path(path)
        if path.suffix not in {".html", ".png", ".svg"}:
            raise SchemaError(f"{path.name}: a picture is saved as .html, .png or .svg.")
        with atomic_file(path) as temporary:
            if path.suffix == ".html":
                temporary.write_text(self.to_html(), encoding="utf-8")
            elif path.suffix == ".svg":
                temporary.write_text(self.to_svg(), encoding="utf-8")
            else:
                self.figure().savefig(temporary, format="png", dpi=150)
        return path

    def to_html(self) -> str:
        """The interactive picture as one page that needs no network."""
        return str(self.interactive().to_html(include_plotlyjs=True, full_html=True))

    def to_svg(self) -> str:
        """The still picture as SVG."""
        text = StringIO()
        self.figure().savefig(text, format="svg")
        return text.getvalue()

    def to_png(self) -> bytes:
        """The still picture as PNG."""
        buffer = BytesIO()
        self.figure().savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        interactive = self.interactive().to_plotly_json() | {"config": {}}
        return {"application/vnd.plotly.v1+json": interactive, "image/png": self.to_png()}
