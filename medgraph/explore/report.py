"""One page that holds an answer: tables and pictures, readable without a server or a network."""

from __future__ import annotations

import html
from base64 import b64encode
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from medgraph.artefact import atomic_file
from medgraph.explore.picture import Picture

__all__ = ["HtmlReport"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #202124 }}
h1 {{ font-size: 1.6rem }} h2 {{ font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #dadce0 }}
pre {{ font: 13px/1.35 ui-monospace, monospace; overflow-x: auto }} img {{ max-width: 100% }}
footer {{ margin-top: 3rem; color: #5f6368; font-size: .85rem }}
</style></head><body><h1>{title}</h1>
{sections}
<footer>Predictions are candidates to be tested; nothing here is medical advice.</footer></body></html>
"""


class HtmlReport:
    """A page of titled sections; each holds something that rich can print, or a picture."""

    def __init__(self, title: str, *sections: tuple[str, RenderableType | Picture]) -> None:
        self.title, self.sections = title, sections

    def to_html(self) -> str:
        """The page. All text from data is escaped; pictures are embedded."""
        parts = []
        for title, content in self.sections:
            parts.append(f"<section><h2>{html.escape(title)}</h2>{_content(content, title)}</section>")
        return _PAGE.format(title=html.escape(self.title), sections="\n".join(parts))

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_text(self.to_html(), encoding="utf-8")
        return Path(path)


def _content(content: RenderableType | Picture, title: str) -> str:
    if isinstance(content, Picture):
        image = b64encode(content.to_png()).decode()
        return f'<img alt="{html.escape(title, quote=True)}" src="data:image/png;base64,{image}">'
    console = Console(record=True, width=150, file=StringIO(), force_jupyter=False)
    console.print(content)
    text = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
    return str(text)
