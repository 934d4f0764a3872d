"""Loaders by name, and the downloads they need."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from medgraph.errors import ChecksumError, LoaderError, nearest

__all__ = ["Loader", "cache_folder", "fetch", "list_loaders", "load", "sha256_of"]

_GROUP = "medgraph.loaders"
_CHUNK = 1 << 18
_GIVE_UP = {400, 401, 403, 404, 405, 410, 451}  # asking this server again will not help


@dataclass(frozen=True)
class Loader:
    """One source of data.

    Args:
        name: what `load` calls it.
        summary: what it holds, in one line.
        licence: the terms of the data.
        url: where the source is described.
        load: `load(path, **options)`, which returns a KnowledgeGraph or another of medgraph's data types.
    """

    name: str
    summary: str
    licence: str
    url: str
    load: Callable[..., Any]


def load(name: str, path: str | Path | None = None, **options: Any) -> Any:
    """The data of the source called `name`: `load("starter")`, `load("hetionet", path="downloads/")`.

    Args:
        name: one of `list_loaders()`.
        path: the source's file or folder where it is here already; without it the source is downloaded.
        options: what this loader takes besides.

    Raises:
        LoaderError: no loader of this name, or it does not take these options, or the source cannot be read.
    """
    found = _entry_points()
    if name not in found:
        raise LoaderError(f"There is no loader {name!r}; there are {', '.join(found)}.{nearest(name, found)}")
    loader = _loader(found[name])
    where = None if path is None else Path(path).expanduser()
    try:
        inspect.signature(loader.load).bind(where, **options)
    except TypeError as fault:
        raise LoaderError(f"Loader {name!r}: {fault}. It is called as load{inspect.signature(loader.load)}.") from None
    return loader.load(where, **options)


def list_loaders() -> list[Loader]:
    """Which sources can be loaded, by name? One that cannot be imported says so in its summary."""
    return [_loader(entry_point) for entry_point in _entry_points().values()]


def _entry_points() -> dict[str, EntryPoint]:
    """Loaders by name; where two packages offer one name, medgraph's own comes first."""
    offered = sorted(entry_points(group=_GROUP), key=lambda e: (e.name, not e.value.startswith(_GROUP), e.value))
    found: dict[str, EntryPoint] = {}
    for entry_point in offered:
        found.setdefault(entry_point.name, entry_point)
    return found


def _loader(entry_point: EntryPoint) -> Loader:
    try:
        loader = entry_point.load()
        if not isinstance(loader, Loader):
            raise TypeError(f"{entry_point.value} is a {type(loader).__name__}, expected a medgraph Loader")
    except Exception as fault:  # another package's code: whatever is wrong with it must not stop the others
        problem = f"Loader {entry_point.name!r} ({entry_point.value}) cannot be used: {type(fault).__name__}: {fault}"

        def refuse(path: Path | None = None, **options: Any) -> Any:  # noqa: ARG001
            raise LoaderError(problem)

        return Loader(entry_point.name, problem, "", "", refuse)
    return loader


def cache_folder() -> Path:
    """Where downloads are kept: $MEDGRAPH_CACHE, or the platform's folder for caches."""
    if given := os.environ.get("MEDGRAPH_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "medgraph"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "medgraph" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medgraph"


def fetch(
    urls: str | Sequence[str],
    sha256: str,
    filename: str | None = None,
    cache: str | Path | None = None,
    retries: int = 4,
    wait: float = 1.0,
    timeout: float = 30.0,
    progress: bool = True,
) -> Path:
    """The file with this SHA-256, from the cache or from the first mirror that has it.

    A cut download is kept as `<file>.part` and resumed. A server that fails is asked again after `wait`, 2 `wait`,
    4 `wait` ... seconds, the mirrors in turn.

    Args:
        urls: one address, or mirrors in order of preference.
        sha256: the hash of the whole file, in hexadecimal.
        filename: what to call it; by default the last part of the first address.
        cache: folder to keep it in; `cache_folder()` by default.
        retries: how many more rounds over the mirrors after the first.
        wait: seconds before the second round.
        timeout: seconds that a server may stay silent.
        progress: draw a bar on a terminal.

    Raises:
        ChecksumError: no mirror has a file with this hash; nothing is left behind.
        LoaderError: no mirror could be reached, or the cache cannot be written.
    """
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    for url in mirrors:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise LoaderError(f"{url!r} is no http or https address.")
    folder = cache_folder() if cache is None else Path(cache).expanduser()
    target = folder / (filename or Path(urllib.parse.urlsplit(mirrors[0]).path).name)
    part = target.with_name(target.name + ".part")
    problems: dict[str, str] = {}
    wrong_hash = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists() and sha256_of(target) == sha256:
            return target
        alive = list(mirrors)
        for round_ in range(retries + 1):
            if not alive:
                break
            if round_:
                time.sleep(wait * 2 ** (round_ - 1))
            for url in list(alive):
                try:
                    resumed = _download(url, part, timeout, progress)
                except (OSError, HTTPException) as fault:
                    problems[url] = str(fault) or type(fault).__name__
                    if isinstance(fault, urllib.error.HTTPError) and fault.code in _GIVE_UP:
                        alive.remove(url)
                    continue
                found = sha256_of(part)
                if found == sha256:
                    part.replace(target)
                    return target
                part.unlink()
                wrong_hash = True
                problems[url] = f"its SHA-256 is {found}, expected {sha256}"
                if not resumed:  # the beginning may have come from another mirror: one more try from the start
                    alive.remove(url)
    except OSError as fault:
        raise LoaderError(
            f"Cannot write to the cache {folder}: {fault}. Set MEDGRAPH_CACHE to another folder."
        ) from None
    told = "; ".join(f"{url}: {problem}" for url, problem in problems.items())
    advice = f"Download {target.name} yourself and pass path=."
    if wrong_hash:
        part.unlink(missing_ok=True)
        raise ChecksumError(f"No mirror has the expected {target.name}. {told}. {advice}")
    raise LoaderError(f"Cannot download {target.name}. {told}. Try again to resume, or: {advice}")


def _download(url: str, part: Path, timeout: float, progress: bool) -> bool:
    """Append to `part` what is missing of it; was there anything to begin with, and did the server go on from there?

    Raises:
        OSError, HTTPException: the connection failed or was cut.
    """
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "medgraph", "Accept-Encoding": "identity"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as fault:
        if fault.code == 416 and have:  # nothing is missing, or what we have is not of this file: the hash will tell
            return True
        raise
    continued: bool = response.status == 206
    with response, part.open("ab" if continued else "wb") as file:
        length = response.headers.get("Content-Length")
        expected = None if length is None else file.tell() + int(length)
        with _progress(part.stem, expected, progress) as advance:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                advance(file.tell())
        if expected is not None and file.tell() < expected:
            raise ConnectionError(f"cut off after {file.tell():,} of {expected:,} bytes")
        return continued


@contextmanager
def _progress(name: str, total: int | None, wanted: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not wanted or not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
