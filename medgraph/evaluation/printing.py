"""Results as text: rich tables for people."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["as_text"]


def as_text(renderable: RenderableType, width: int = 110) -> str:
    """What rich would print, as plain text."""
    from rich.console import Console

    console = Console(file=StringIO(), width=width, color_system=None, highlight=False, force_jupyter=False)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
