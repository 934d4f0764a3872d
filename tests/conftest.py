"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from medgraph.errors import StoreUnavailableError
from medgraph.server import Neo4jServer
from medgraph.server.jars import VERSIONS, is_here
from medgraph.server.java import find_java

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "heap": "512m",
    "page_cache": "64m",
    "java_options": ["-XX:TieredStopAtLevel=1"],
}  # the last: up in 2/3 the time


def absent(reason: str) -> None:
    """Skip, except in CI, where nothing may be absent."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever talks to a Neo4j server is marked so."""
    for item in items:
        if {"neo4j_url", "own_neo4j", "module_neo4j"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("neo4j")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets that stands beside the project; skipped where it is absent, except in CI."""
    folder = Path(os.environ.get("MEDGRAPH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "INDEX.md").exists():
        absent(f"no shared data at {folder}; set MEDGRAPH_SHARED_DATA")
    return folder


def why_no_neo4j() -> str | None:
    """What keeps the tests from starting a server, if anything does?"""
    version = Neo4jServer.version
    try:
        find_java(VERSIONS[version].java)
    except StoreUnavailableError as fault:
        return str(fault)
    if os.environ.get("MEDGRAPH_TEST_NEO4J") != "1" and not is_here(version):
        return f"Neo4j {version} is not in the cache: set MEDGRAPH_TEST_NEO4J=1 to download it, or NEO4J_URI to use one"
    return None


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture(scope="session")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Neo4j server for all tests, at $NEO4J_URI or started here; user and password stand in the environment.

    Tests share it: each leaves its database empty, or begins by emptying it.
    """
    if url := os.environ.get("NEO4J_URI"):
        yield url
        return
    if reason := why_no_neo4j():
        absent(reason)
    bolt_port, http_port = free_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO4J_USERNAME", "neo4j")
        patch.setenv("NEO4J_PASSWORD", secrets.token_urlsafe(12).replace("-", "_"))
        server = Neo4jServer(tmp_path_factory.mktemp("neo4j"), bolt_port=bolt_port, http_port=http_port, **SMALL)  # type: ignore[arg-type]
        with server.start() as running:
            patch.setenv("NEO4J_URI", running.url)
            yield running.url


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., Neo4jServer]]:
    """What makes servers in this folder; user and password stand in the environment, and all are killed at the end."""
    if reason := why_no_neo4j():
        absent(reason)
    made: list[Neo4jServer] = []

    def make(settings: Mapping[str, str] | None = None, **options: object) -> Neo4jServer:
        bolt_port, http_port = free_ports()
        ports = {"bolt_port": bolt_port, "http_port": http_port}
        home = folder / f"neo4j-{len(made)}"
        made.append(Neo4jServer(home, settings=settings or {}, **{**SMALL, **ports, **options}))  # type: ignore[arg-type]
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO4J_USERNAME", "neo4j")
        if not os.environ.get("NEO4J_PASSWORD"):
            patch.setenv("NEO4J_PASSWORD", "only-for-this-test")
        try:
            yield make
        finally:
            for server in made:
                server.kill()


@pytest.fixture(scope="module")
def emptied_neo4j(neo4j_url: str) -> Iterator[str]:
    """The shared server, empty before and after a file of tests."""
    from medgraph.stores import open_store

    with open_store(neo4j_url) as store:
        store.execute("MATCH (n) DETACH DELETE n")
        yield neo4j_url
        store.execute("MATCH (n) DETACH DELETE n")


@pytest.fixture
def own_neo4j(tmp_path: Path) -> Iterator[Callable[..., Neo4jServer]]:
    """Makes servers that a test has for itself, to be killed and starved: `own_neo4j(heap=..., settings=...)`.

    They are not started yet: `server.start()`. The password is in the environment; all are killed at the end.
    """
    with servers(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def module_neo4j(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Neo4jServer]]:
    """The same for all tests of a file together."""
    with servers(tmp_path_factory.mktemp("servers")) as make:
        yield make
