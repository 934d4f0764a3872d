"""A progress bar for whatever takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]

PATIENCE = 2.0  # seconds


@contextmanager
def progress_bar(
    description: str, show: bool = True, console: Console | None = None
) -> Iterator[Callable[[float, Mapping[str, float]], None]]:
    """A function that takes the share done, in [0, 1], and figures to show; drawn on stderr if that is a terminal."""
    console = console or Console(stderr=True)
    if not (show and console.is_terminal):
        yield lambda _share, _figures: None
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"), console=console,
    )  # fmt: skip
    started = time.monotonic()
    task = bar.add_task(description, total=1.0, figures="")

    def update(share: float, figures: Mapping[str, float]) -> None:
        if not bar.live.is_started:
            if time.monotonic() - started < PATIENCE:
                return
            bar.start()
        bar.update(task, completed=share, figures="  ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    try:
        yield update
    finally:
        bar.stop()
