"""Jars from a Maven repository on loopback: pinned hashes, mirrors, resumption, folders; never from the network."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from medgraph.errors import ChecksumError, LoaderError, StoreUnavailableError
from medgraph.server import jars
from medgraph.server.jars import VERSIONS, Jar, collect, jars_of, maven_mirrors

pytestmark = pytest.mark.network
VERSION = "5.26.30"
CONTENT = {f"org/example/part{i}/1.{i}/part{i}-1.{i}.jar": bytes([i]) * (10_000 + i) for i in range(20)}
JARS = [Jar(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in CONTENT.items()]
FIRST = JARS[0]


class Maven:
    """A repository of `content`; keeps what it was asked for."""

    def __init__(self, content: dict[str, bytes], cut: bool = False) -> None:
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted, start = self.path.removeprefix("/maven2/"), self.headers.get("Range")
                outer.asked.append((wanted, start))
                if wanted not in content:
                    self.send_error(404)
                    return
                data, begin = content[wanted], int(start[6:-1]) if start else 0
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - begin))
                self.end_headers()
                self.wfile.write(data[begin : len(data) // 2 if cut and not start else None])

            def log_message(self, *_: object) -> None: ...

        class Many(ThreadingHTTPServer):
            request_queue_size = 64  # as many as the threads that ask at once, or some wait a second to be let in

        self.http = Many(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/maven2"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a user's folder of the test's own."""
    monkeypatch.setenv("MEDGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("MEDGRAPH_MAVEN", raising=False)
    return tmp_path / "cache" / "neo4j" / VERSION


@pytest.fixture
def good() -> Iterator[Maven]:
    server = Maven(CONTENT)
    yield server
    server.close()


def test_every_jar_comes_once_and_only_once(good: Maven, cache: Path) -> None:
    found = collect(VERSION, mirrors=[good.url], jars=JARS)
    assert [path.read_bytes() for path in found] == list(CONTENT.values())
    assert [path.name for path in found] == [f"part{i}-1.{i}.jar" for i in range(20)]
    assert sorted(path for path, _ in good.asked) == sorted(CONTENT)
    assert collect(VERSION, mirrors=[good.url], jars=JARS) == found
    assert len(good.asked) == len(JARS)
    assert sorted(path.name for path in cache.iterdir()) == sorted([".lock", *(path.name for path in found)])


def test_a_jar_that_was_altered_in_the_cache_is_fetched_again(good: Maven, cache: Path) -> None:
    collect(VERSION, mirrors=[good.url], jars=JARS)
    (cache / FIRST.name).write_bytes(b"altered")
    collect(VERSION, mirrors=[good.url], jars=JARS)
    assert (cache / FIRST.name).read_bytes() == CONTENT[FIRST.path]
    assert [path for path, _ in good.asked[len(JARS) :]] == [FIRST.path]


def test_a_jar_of_another_hash_is_refused_and_not_kept(cache: Path) -> None:
    evil = Maven({**CONTENT, FIRST.path: b"evil"})
    try:
        with pytest.raises(ChecksumError, match=r"No mirror has the expected part0-1\.0\.jar"):
            collect(VERSION, mirrors=[evil.url], jars=JARS, retries=0)
    finally:
        evil.close()
    assert not (cache / FIRST.name).exists()
    assert not list(cache.glob("part0*.part"))


def test_the_next_mirror_is_asked_where_one_fails(good: Maven) -> None:
    poor = Maven({FIRST.path: CONTENT[FIRST.path]})
    try:
        found = collect(VERSION, mirrors=["http://127.0.0.1:9/closed", poor.url, good.url], jars=JARS, wait=0.0)
    finally:
        poor.close()
    assert len(found) == len(JARS)
    assert {path for path, _ in good.asked} == set(CONTENT) - {FIRST.path}


def test_a_cut_download_goes_on_where_it_ended(cache: Path) -> None:
    cutting = Maven(CONTENT, cut=True)
    try:
        found = collect(VERSION, mirrors=[cutting.url], jars=[FIRST], wait=0.0)
    finally:
        cutting.close()
    assert cutting.asked == [(FIRST.path, None), (FIRST.path, "bytes=5000-")]
    assert found[0].read_bytes() == CONTENT[FIRST.path]


def test_where_no_mirror_answers_the_jar_is_named() -> None:
    with pytest.raises(LoaderError, match=r"Cannot download part\d+-1\.\d+\.jar"):
        collect(VERSION, mirrors=["http://127.0.0.1:9/closed"], jars=JARS, retries=0)


def test_the_variable_names_the_mirrors(good: Maven, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(address.startswith("https://") for address in maven_mirrors())
    monkeypatch.setenv("MEDGRAPH_MAVEN", f" {good.url}/  http://127.0.0.1:9/second ")
    assert maven_mirrors() == [good.url, "http://127.0.0.1:9/second"]
    assert len(collect(VERSION, jars=JARS)) == len(JARS)


def test_what_maven_has_here_already_is_taken_if_it_is_the_same(good: Maven, tmp_path: Path) -> None:
    kept = tmp_path / "user" / ".m2" / "repository"
    for jar in JARS[:3]:
        (kept / jar.path).parent.mkdir(parents=True)
        (kept / jar.path).write_bytes(CONTENT[jar.path] if jar != FIRST else b"\1" * jar.size)
    collect(VERSION, mirrors=[good.url], jars=JARS)
    assert {path for path, _ in good.asked} == set(CONTENT) - {jar.path for jar in JARS[1:3]}


@pytest.mark.parametrize("layout", ["name", "path"])
def test_a_folder_of_jars_needs_no_network(layout: str, tmp_path: Path) -> None:
    for jar in JARS:
        file = tmp_path / "jars" / getattr(jar, layout)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CONTENT[jar.path])
    found = collect(VERSION, tmp_path / "jars", jars=JARS)
    assert found == [tmp_path / "jars" / getattr(jar, layout) for jar in JARS]
    found[0].write_bytes(b"altered")
    with pytest.raises(StoreUnavailableError, match=r"part0-1\.0\.jar is not the part0"):
        collect(VERSION, tmp_path / "jars", jars=JARS)
    found[0].unlink()
    with pytest.raises(StoreUnavailableError, match=r"lacks part0-1\.0\.jar, one of the 20 jars"):
        collect(VERSION, tmp_path / "jars", jars=JARS)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDGRAPH_CACHE", str(tmp_path / "file"))
    with pytest.raises(LoaderError, match="Set MEDGRAPH_CACHE"):
        collect(VERSION, jars=JARS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pinned_lists_are_whole(version: str) -> None:
    pinned = jars_of(version)
    assert len({jar.name for jar in pinned}) == len(pinned) > 200  # they stand side by side in one folder
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) and jar.size > 200 for jar in pinned)
    assert {f"neo4j-{version}.jar", f"neo4j-server-{version}.jar", f"neo4j-dbms-{version}.jar"} <= {
        j.name for j in pinned
    }
    for jar in pinned:  # group/artifact/version/artifact-version[-classifier].jar
        *_, artifact, number, name = jar.path.split("/")
        assert name.startswith(f"{artifact}-{number}")
        assert name.endswith(".jar")


def test_another_version_is_refused() -> None:
    with pytest.raises(StoreUnavailableError, match=r"no Neo4j '5\.26\.3' .* Nearest: 5\.26\.30"):
        jars.release("5.26.3")


def test_no_address_is_needed_where_every_jar_is_and_else_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGRAPH_CACHE", str(tmp_path))
    monkeypatch.delenv("MEDGRAPH_MAVEN", raising=False)
    monkeypatch.setitem(sys.modules, "jgo.constants", None)
    assert maven_mirrors() == []
    jar = Jar("a/b/1/b-1.jar", hashlib.sha256(b"b").hexdigest(), 1)
    with pytest.raises(StoreUnavailableError, match="MEDGRAPH_MAVEN"):
        collect("5.26.30", jars=[jar])
    kept = tmp_path / "neo4j" / "5.26.30" / jar.name
    kept.write_bytes(b"b")
    assert collect("5.26.30", jars=[jar]) == [kept]
