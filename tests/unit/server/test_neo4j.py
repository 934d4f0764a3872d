"""What is refused before any Java is run, and what is never told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from medgraph.errors import SchemaError, StoreUnavailableError
from medgraph.server import Neo4jServer
from medgraph.server.launcher import told_lines
from medgraph.server.process import Process

SECRET = "the-secret-word"


@pytest.fixture(autouse=True)
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes so far as to ask for a Java or a jar fails in a way of its own."""
    monkeypatch.setenv("MEDGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEDGRAPH_MAVEN", "http://127.0.0.1:9/closed")
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bolt_port": 0}, "from 1 to 65535, not 0"),
        ({"http_port": 65536}, "not 65536"),
        ({"bolt_port": 7474}, "both are 7474"),
        ({"heap": "lots"}, "such as 512m; not 'lots'"),
        ({"page_cache": "1g\nx=y"}, "amount of memory"),
        ({"settings": {"a b": "c"}}, "'a b' is no setting"),
        ({"settings": {"db.a": "1\ndbms.security.auth_enabled=false"}}, "one line of text"),
        ({"settings": {"server.bolt.listen_address": "0.0.0.0:7687"}}, r"listens on 127\.0\.0\.1"),
        ({"settings": {"server.default_listen_address": "0.0.0.0"}}, r"listens on 127\.0\.0\.1"),
        ({"settings": {"server.memory.heap.max_size": "9g"}}, "give heap"),
        ({"settings": {"server.jvm.additional": "-Dx"}}, "own scripts"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=told):
        Neo4jServer(tmp_path / "home", **options)
    assert not (tmp_path / "home").exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=f"Port {port} cannot be used .Address already in use"):
            Neo4jServer(tmp_path / "home", bolt_port=port).start()


def test_a_home_of_another_version_or_maker(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "version").write_text("2026.08.1\n")
    assert Neo4jServer(home).made_by == "2026.08.1"
    for ask in (lambda: Neo4jServer(home).start(), lambda: Neo4jServer(home).neo4j_admin("--version")):
        with pytest.raises(StoreUnavailableError, match=r"was made by Neo4j 2026\.08\.1, not 5\.26\.30"):
            ask()
    (tmp_path / "theirs" / "data").mkdir(parents=True)
    with pytest.raises(StoreUnavailableError, match="did not make"):
        Neo4jServer(tmp_path / "theirs").start()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="cannot be a server's home"):
        Neo4jServer(tmp_path / "file").start()


def test_an_unknown_version(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"no Neo4j '4\.4'"):
        Neo4jServer(tmp_path / "home", version="4.4").start()


def test_no_java(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="Java 17 or newer is needed"):
        Neo4jServer(tmp_path / "home", java=tmp_path / "none").start()


def test_another_server_in_the_home_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    other = Process.launch(["/bin/sleep", "60"], tmp_path / "console", os.environ)
    try:
        home.mkdir()
        other.write(home / "running.json", version="5.26.30", bolt_port=1111, http_port=2222)
        with pytest.raises(StoreUnavailableError, match=r"runs already Neo4j 5\.26\.30 on ports 1111 .* stop it first"):
            Neo4jServer(home).start()
        running = Neo4jServer(home).status()
        assert running is not None
        assert (running.url, running.pid) == ("neo4j://127.0.0.1:1111", other.pid)
    finally:
        assert Neo4jServer(home).kill()
    assert not other.alive


def test_no_server_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Neo4jServer(tmp_path / "home")
    assert server.status() is None
    assert not server.stop()
    assert not server.kill()
    assert server.password() == SECRET
    assert SECRET not in repr(server)
    monkeypatch.delenv("NEO4J_PASSWORD")
    with pytest.raises(StoreUnavailableError, match="set NEO4J_PASSWORD, or start"):
        server.password()


def test_the_end_of_what_was_printed() -> None:
    printed = "one\n\n" + "two\n  at java.base/x.y(Z.java:1)\n" + "three\n"
    assert told_lines(printed) == "one | two | three"
    assert told_lines("\n".join("abcdefg"), 3) == "a | b | ... | e | f | g"
    assert told_lines("WARNING: Using incubator modules: x\nwhy") == "why"
    assert told_lines(" \n") == "it printed nothing"
