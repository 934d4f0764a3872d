"""Drawings of explanations: colours by hand, sums in words, text escaped, one legend with a symmetric scale."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from medgraph.errors import SchemaError
from medgraph.explore.binding import binding
from medgraph.explore.molecule import Molecule, diverging, molecule_svg
from medgraph.heads.interaction.explanation import Explanation, Window

pytest.importorskip("rdkit")

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
ATOMS = np.array([0.0, -0.1, 0.4, 0, 0, 0, 0, 0, 0, 0, 0.1, 0, -0.2])
SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"
RESIDUES = np.zeros(22)
RESIDUES[[3, 4, 5, 15]] = 0.1, 0.2, 0.1, -0.3
WHY = Explanation(ASPIRIN, SEQUENCE, ATOMS, RESIDUES, 5.45, 5.0, "pKd", 0.15, drug="<b>A</b>", target="$T$")


def test_the_parts_add_up_and_windows_are_found_by_hand() -> None:
    assert WHY.residual == pytest.approx(0)
    assert Explanation(ASPIRIN, SEQUENCE, ATOMS, RESIDUES, 5.5, 5.0, "pKd").residual == pytest.approx(0.2)
    found = WHY.windows(3)
    assert found[0] == Window(4, 6, "AYI", pytest.approx(0.4))
    assert found[0].name == "A4-I6"
    assert (found[1].contribution, found[1].first <= 16 <= found[1].last) == (pytest.approx(-0.3), True)
    assert len(found) == 2  # what adds nothing is not named
    assert [len(w.residues) for w in WHY.windows(100)] == [22]
    with pytest.raises(SchemaError, match="width=0"):
        WHY.windows(0)
    table = WHY.to_pandas()
    assert table.loc[2].tolist() == ["atom", 2, "O", 0.4]
    assert table.iloc[-1].tolist() == ["residue", 22, "Q", 0.0]
    assert "pKd 5.450: 5.000 by nothing, +0.200 by atoms, +0.100 by residues, +0.150 by ids" in str(WHY)
    assert WHY.to_dict()["residual"] == pytest.approx(0)
    with pytest.raises(SchemaError, match="21 contributions for a sequence of 22"):
        Explanation(ASPIRIN, SEQUENCE, ATOMS, RESIDUES[1:], 5.5, 5.0, "pKd")


def test_colours_are_symmetric_and_white_at_zero() -> None:
    shades = diverging()
    assert shades(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01)
    assert shades(1.0)[:3] == pytest.approx((0xD5 / 255, 0x5E / 255, 0), abs=0.01)
    assert shades(0.0)[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255), abs=0.01)
    svg = Molecule(ASPIRIN, ATOMS).svg(400, 300)
    fills = {i: re.findall(r"fill:(#\w{6})", line) for i, line in _atoms(svg).items()}
    assert fills[2] == ["#D55E00"]  # the strongest has the full colour
    assert fills[3] == ["#FFFFFF"]
    red, green, blue = (int(fills[12][0][i : i + 2], 16) for i in (1, 3, 5))  # -0.2 of 0.4: half way to blue
    assert (red, green, blue) == pytest.approx((255 / 2, (255 + 0x72) / 2, (255 + 0xB2) / 2), abs=2)
    half = Molecule(ASPIRIN, ATOMS, limit=0.8).svg(400, 300)
    assert re.findall(r"fill:(#\w{6})", _atoms(half)[2]) != ["#D55E00"]


def _atoms(svg: str) -> dict[int, str]:
    """The highlighted circle of each atom."""
    found = {}
    for line in svg.splitlines():
        if line.startswith("<ellipse") and (number := re.search(r"class='atom-(\d+)'", line)):
            found[int(number[1])] = line
    return found


def test_an_svg_stands_alone_and_its_text_is_escaped() -> None:
    svg = molecule_svg(ASPIRIN, ATOMS, unit="<u>pKd</u>", title="<script>alert(1)</script>")
    ET.fromstring(svg)
    assert "<script" not in svg
    assert "<u>" not in svg
    assert "-0.4" in svg
    assert "+0.4" in svg
    assert "linearGradient" in svg


def test_files(tmp_path: Path) -> None:
    picture = binding(WHY, width=3)
    assert picture.title.startswith(
        "<b>A</b> and $T$: pKd 5.45\n= 5.00 by nothing +0.20 by 13 atoms +0.10 by 22 residues"
    )
    assert picture.save(tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    svg = picture.save(tmp_path / "b.svg").read_text(encoding="utf-8")
    ET.fromstring(svg)
    assert "class='atom-12'" in svg  # RDKit's own lines, not a photograph of them
    page = picture.save(tmp_path / "b.html").read_text(encoding="utf-8")
    ours = page[page.rindex("Plotly.newPlot") :]
    for text in (svg, ours):
        assert "<b>A</b>" not in text
    names = [text.get_text() for text in picture.figure().axes[1].texts]
    assert [name.splitlines()[0] for name in names] == ["A4-I6", names[1].splitlines()[0]]
    assert "-0.30" in names[1]


def test_the_interactive_picture_has_the_same_numbers() -> None:
    bonds, atoms, residues = binding(WHY).interactive().data
    assert list(atoms.marker.color) == ATOMS.tolist()
    assert (atoms.marker.cmin, atoms.marker.cmax) == (-0.4, 0.4)
    assert list(residues.y) == RESIDUES.tolist()
    assert list(bonds.x).count(None) == 13  # one a bond


def test_nothing_at_all_is_a_picture_too(tmp_path: Path) -> None:
    nothing = Explanation("C", "M", np.zeros(1), np.zeros(1), 5.0, 5.0, "pKd")
    for name in ("a.png", "a.svg", "a.html"):
        binding(nothing).save(tmp_path / name)


def test_refuses() -> None:
    with pytest.raises(SchemaError, match="13 atoms; there are 12 numbers"):
        molecule_svg(ASPIRIN, ATOMS[1:])
    with pytest.raises(SchemaError, match="RDKit cannot read"):
        molecule_svg("C(", ATOMS)
    with pytest.raises(SchemaError, match="width=0"):
        binding(WHY, width=0)
