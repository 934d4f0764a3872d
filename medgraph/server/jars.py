"""Neo4j Community as pinned jars: which files make a version, and how they get here without Maven."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from medgraph.artefact import atomic_file
from medgraph.errors import LoaderError, StoreUnavailableError, nearest
from medgraph.loading import cache_folder, fetch, sha256_of

__all__ = ["VERSIONS", "Jar", "Release", "collect", "maven_mirrors", "release"]

_AT_ONCE = 8


@dataclass(frozen=True)
class Release:
    """A version of Neo4j Community that medgraph starts.

    Args:
        version: as Neo4j numbers it.
        java: the oldest Java that runs it.
        entry: the class that starts the server.
    """

    version: str
    java: int
    entry: str


@dataclass(frozen=True)
class Jar:
    """One file of a release: its path in a Maven repository (group/artifact/version/file), its hash and its size."""

    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name, which is unique within a release."""
        return self.path.rpartition("/")[2]


VERSIONS = {
    known.version: known
    for known in (
        Release("5.26.30", 17, "org.neo4j.server.CommunityEntryPoint"),  # long-term support
        Release("2026.08.1", 21, "org.neo4j.server.Neo4jCommunity"),
    )
}


def release(version: str) -> Release:
    """The release of this number.

    Raises:
        StoreUnavailableError: medgraph has no list of its jars.
    """
    if version not in VERSIONS:
        raise StoreUnavailableError(
            f"There is no Neo4j {version!r} to start; there are {', '.join(VERSIONS)}.{nearest(version, VERSIONS)} "
            "Any other version can be run by Docker, or as a service, and used by its address."
        )
    return VERSIONS[version]


def jars_of(version: str) -> list[Jar]:
    """Every jar that makes up a release, from the list that medgraph carries."""
    with files("medgraph.server").joinpath(f"neo4j-{version}.tsv").open(encoding="utf-8") as file:
        return [Jar(row["path"], row["sha256"], int(row["bytes"])) for row in csv.DictReader(file, delimiter="\t")]


def maven_mirrors() -> list[str]:
    """Where Maven repositories are: $MEDGRAPH_MAVEN (addresses, spaces between), or Maven Central as jgo knows it."""
    if given := os.environ.get("MEDGRAPH_MAVEN", "").split():
        return [url.rstrip("/") for url in given]
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError:
        return []
    return [str(MAVEN_CENTRAL_URL).rstrip("/")]


def collect(
    version: str,
    path: str | Path | None = None,
    mirrors: Sequence[str] = (),
    jars: Sequence[Jar] | None = None,
    retries: int = 3,
    wait: float = 1.0,
) -> list[Path]:
    """The jars of a release on this machine, every one with its pinned SHA-256.

    A jar is taken from the cache, else from Maven's own repository on this machine (`~/.m2/repository`), else it is
    downloaded, several at a time; what is here already is not fetched again.

    Args:
        version: one of `VERSIONS`.
        path: a folder that holds the jars, side by side or laid out as a Maven repository; nothing is downloaded.
        mirrors: addresses of Maven repositories; `maven_mirrors()` by default.
        jars: another list than the release's own.
        retries: how many more rounds over the mirrors a jar gets.
        wait: seconds before the second round.

    Raises:
        StoreUnavailableError: a jar is missing from `path` or differs there, or no repository is known.
        ChecksumError: no mirror has a jar with the pinned hash.
        LoaderError: no mirror could be reached, or the cache cannot be written.
    """
    wanted = jars_of(release(version).version) if jars is None else list(jars)
    if path is not None:
        return _local(Path(path).expanduser(), wanted, version)
    folder = cache_folder() / "neo4j" / version
    addresses = list(mirrors) or maven_mirrors()

    def here(jar: Jar) -> Path:
        target = folder / jar.name
        if not target.exists() and (kept := _in_maven(jar)) is not None:
            with atomic_file(target) as part:
                shutil.copyfile(kept, part)
        if not addresses and not target.exists():
            raise StoreUnavailableError(
                f"Neo4j {version} is not on this machine yet, and nothing says where to download it: install medgraph "
                "with the extra neo4j-server, or set MEDGRAPH_MAVEN to the address of a Maven repository."
            )
        urls = [f"{address}/{jar.path}" for address in addresses]
        return fetch(urls, jar.sha256, jar.name, folder, retries, wait, progress=False)

    with _alone(folder), ThreadPoolExecutor(_AT_ONCE) as threads:
        waiting = [threads.submit(here, jar) for jar in wanted]
        try:
            return [each.result() for each in waiting]
        except BaseException:
            threads.shutdown(cancel_futures=True)  # the first failure says enough: ask for no more
            raise


def is_here(version: str) -> bool:
    """Can this version start without a download?"""
    folder = cache_folder() / "neo4j" / version
    return all((folder / jar.name).exists() or _in_maven(jar) is not None for jar in jars_of(version))


def _in_maven(jar: Jar) -> Path | None:
    """The jar in this machine's own Maven repository, where it is the right one."""
    kept = Path.home() / ".m2" / "repository" / jar.path
    return kept if kept.exists() and kept.stat().st_size == jar.size and sha256_of(kept) == jar.sha256 else None


def _local(folder: Path, jars: Sequence[Jar], version: str) -> list[Path]:
    found = []
    for jar in jars:
        choices = [place for place in (folder / jar.name, folder / jar.path) if place.exists()]
        if not choices:
            raise StoreUnavailableError(
                f"{folder} lacks {jar.name}, one of the {len(jars)} jars of Neo4j {version}. "
                "Give a folder that has them all, or no path= to download them."
            )
        if sha256_of(choices[0]) != jar.sha256:
            raise StoreUnavailableError(f"{choices[0]} is not the {jar.name} of Neo4j {version}: its SHA-256 differs.")
        found.append(choices[0])
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process fills a folder at a time; the others wait, then find it full."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as fault:
        raise LoaderError(f"Cannot write to {folder}: {fault}. Set MEDGRAPH_CACHE to another folder.") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
