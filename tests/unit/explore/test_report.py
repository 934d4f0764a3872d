"""The HTML report: one file, nothing fetched, nothing from data taken as markup."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from rich.markup import escape
from rich.table import Table

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.explore.neighbourhood import neighbourhood
from medgraph.explore.report import HtmlReport

HOSTILE = '"><script>alert(1)</script>'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def page() -> HtmlReport:
    table = Table("name", "figure")
    table.add_row(escape(f"[bold]{HOSTILE}"), "0.25")
    nodes = {"Disease": pa.table({"id": ["DOID:1", "DOID:2"], "name": [HOSTILE, "two"]})}
    edges = {EdgeType("Disease", "is_a", "Disease"): pa.table({"source": [0], "target": [1]})}
    around = neighbourhood(KnowledgeGraph(nodes, edges), "DOID:1")
    return HtmlReport(f"Which {HOSTILE}?", ("A table", table), (HOSTILE, around))


def test_text_from_data_is_shown_and_never_run(page: HtmlReport) -> None:
    read = Tags()
    read.feed(page.to_html())
    assert "script" not in {tag for tag, _ in read.opened}
    text = "".join(read.text)
    assert text.count(HOSTILE) == 4, "page title, its heading, the table's cell, the second section's heading"
    assert "[bold]" in text
    assert "0.25" in text


def test_pictures_are_inside_and_nothing_is_fetched(page: HtmlReport) -> None:
    read = Tags()
    read.feed(page.to_html())
    (image,) = [attributes for tag, attributes in read.opened if tag == "img"]
    assert image["alt"] == HOSTILE
    head, _, content = (image["src"] or "").partition(",")
    assert head == "data:image/png;base64"
    assert b64decode(content).startswith(b"\x89PNG")
    assert not re.search(r'(src|href)="(?!data:)', page.to_html())


def test_it_is_saved_whole(page: HtmlReport, tmp_path: Path) -> None:
    path = page.save(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == page.to_html()
    assert list(tmp_path.iterdir()) == [path]
