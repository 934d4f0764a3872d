"""The timeline's numbers by hand, its text escaped, no date and no subject in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import medgraph as mg
from medgraph.errors import SchemaError
from medgraph.heads.risk.attribution import Attribution

WHY = Attribution(
    "death",
    ("A", "B", "A", "<b>C</b>", "$D$"),
    np.array([400.0, 400.0, 90.5, 90.5, 2.0]),
    np.array([3, 3, 4, 4, 5]),
    np.array([0.5, -0.25, 1.0, -0.125, 0.0625]),
    logit=-0.8125,
    rest=-2.0,
    probability=0.3074,
    within=365.0,
)


def test_levels_and_rows_by_hand() -> None:
    picture = mg.timeline(WHY, names={"A": "Heart failure"}, max_codes=2)
    days, levels = picture.steps()
    assert days.tolist() == [400.0, 90.5, 2.0]
    assert levels.tolist() == [-2.0, -1.75, -0.875, -0.8125]
    assert levels[-1] == WHY.logit
    rows = picture.rows()
    assert [(row.name, row.total) for row in rows] == [("Heart failure", 1.5), ("B", -0.25), ("2 other codes", -0.0625)]
    assert rows[0].days.tolist() == [400.0, 90.5]
    assert picture.title == (
        "death: 30.7% within 365 days\nlog-odds -0.81 = -2.00 without any event + 1.19 by 5 events"
    )
    assert [row.name for row in mg.timeline(WHY, max_codes=3).rows()][-1] == "$D$"  # one code is not "other codes"


def test_files_are_pictures_without_dates_and_with_text_escaped(tmp_path: Path) -> None:
    names = {"A": "<script>alert(1)</script>"}
    picture = mg.timeline(WHY, names=names)
    assert picture.save(tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    svg = picture.save(tmp_path / "t.svg").read_text(encoding="utf-8")
    ET.fromstring(svg)
    page = picture.save(tmp_path / "t.html").read_text(encoding="utf-8")
    ours = page[page.rindex("Plotly.newPlot") :]
    for text in (svg, ours):
        assert "<script>alert" not in text
        assert "<b>C</b>" not in text
    assert r"\u0026lt;script\u0026gt;alert" in ours or "&lt;script&gt;alert" in ours
    assert "days before the prediction time" in ours
    assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d", ours)
    figure = picture.figure()
    lowest = figure.axes[1]
    assert lowest.get_xlabel() == "days before the prediction time"
    assert lowest.get_xlim()[0] > lowest.get_xlim()[1]  # time runs to the right
    marks = figure.axes[1].collections[0]
    assert marks.get_offsets()[:, 0].tolist() == [400.0, 90.5]


def test_the_interactive_picture_has_the_same_numbers() -> None:
    figure = mg.timeline(WHY).interactive()
    line, *codes, bars = figure.data
    assert list(line.y) == [-2.0, -1.75, -0.875, -0.8125, -0.8125]
    assert list(codes[0].customdata) == [0.5, 1.0]
    assert list(bars.x) == [1.5, -0.25, -0.125, 0.0625]


def test_nothing_known_is_a_picture_too(tmp_path: Path) -> None:
    nothing = Attribution("death", (), np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0), -2.0, -2.0, 0.12)
    picture = mg.timeline(nothing)
    assert picture.title.endswith("by 0 events")
    picture.save(tmp_path / "t.png")
    picture.save(tmp_path / "t.html")
    with pytest.raises(SchemaError, match="max_codes=0"):
        mg.timeline(WHY, max_codes=0)
