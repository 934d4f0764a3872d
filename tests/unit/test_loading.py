"""Downloads against a real HTTP server on loopback, and loaders by name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from medgraph import loading
from medgraph.errors import ChecksumError, LoaderError
from medgraph.loading import Loader, cache_folder, fetch, list_loaders, load

pytestmark = pytest.mark.network

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers from `script`, one entry a request; the last entry stays. Keeps what it was asked."""

    def __init__(self, *script: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.script, self.requests = list(script), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.headers.get("Range"))
                answer = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                answer(self)

            def log_message(self, *_: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/data.bin"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(name="serve")
def running_servers() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*script: Callable[[BaseHTTPRequestHandler], None]) -> Server:
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def whole(request: BaseHTTPRequestHandler, content: bytes = CONTENT) -> None:
    """A server that knows Range."""
    start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
    if start >= len(content):
        status(416)(request)
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(content[start:])


def without_range(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT)


def cut(after: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Promises everything, sends `after` bytes, and hangs up."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[:after])

    return answer


def wrong(request: BaseHTTPRequestHandler) -> None:
    whole(request, b"something else")


def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: request.send_error(code)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_downloaded_once(serve, tmp_path: Path) -> None:
    server = serve(whole)
    path = fetch(server.url, SHA256, cache=tmp_path)
    assert path.read_bytes() == CONTENT
    assert fetch(server.url, SHA256, cache=tmp_path) == path
    assert server.requests == [None]
    assert files(tmp_path) == ["data.bin"]


def test_an_altered_file_in_the_cache_is_replaced(serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"altered")
    assert fetch(serve(whole).url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_a_cut_download_is_resumed_where_it_ended(serve, tmp_path: Path) -> None:
    server = serve(cut(300_000), whole)
    assert fetch(server.url, SHA256, cache=tmp_path, wait=0.01).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-"]
    assert files(tmp_path) == ["data.bin"]


def test_a_download_given_up_is_resumed_by_the_next_call(serve, tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="Try again to resume"):
        fetch(serve(cut(1000)).url, SHA256, cache=tmp_path, retries=0)
    assert (tmp_path / "data.bin.part").stat().st_size == 1000
    server = serve(whole)
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-"]


def test_a_server_without_range_sends_all_again(serve, tmp_path: Path) -> None:
    server = serve(cut(1000), without_range)
    assert fetch(server.url, SHA256, cache=tmp_path, wait=0.01).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000-"]


@pytest.mark.parametrize("begun", [CONTENT[:5] + b"?", CONTENT + b"?", b"?" * 10])
def test_a_beginning_from_another_file_is_thrown_away(serve, tmp_path: Path, begun: bytes) -> None:
    (tmp_path / "data.bin.part").write_bytes(begun)
    assert fetch(serve(whole).url, SHA256, cache=tmp_path, wait=0.01).read_bytes() == CONTENT
    assert files(tmp_path) == ["data.bin"]


def test_a_complete_part_is_recognised(serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(serve(whole).url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_a_failing_server_is_asked_again_with_growing_waits(serve, tmp_path: Path, monkeypatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(loading.time, "sleep", waits.append)
    server = serve(status(503), status(429), status(500), whole)
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0]


def test_mirrors_stand_in_for_each_other(serve, tmp_path: Path) -> None:
    gone, bad, good = serve(status(404)), serve(wrong), serve(whole)
    assert fetch([gone.url, bad.url, good.url], SHA256, cache=tmp_path).read_bytes() == CONTENT
    assert [len(server.requests) for server in (gone, bad, good)] == [1, 1, 1]


def test_a_missing_file_is_not_asked_for_again(serve, tmp_path: Path) -> None:
    server = serve(status(404))
    with pytest.raises(LoaderError, match=r"404.*pass path="):
        fetch(server.url, SHA256, cache=tmp_path)
    assert len(server.requests) == 1


def test_a_wrong_hash_leaves_no_file(serve, tmp_path: Path) -> None:
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ChecksumError, match=f"{found}, expected {SHA256}"):
        fetch(serve(wrong).url, SHA256, cache=tmp_path, wait=0.01)
    assert files(tmp_path) == []


def test_nobody_there(tmp_path: Path, serve) -> None:
    server = serve(whole)
    server.close()
    server.close = lambda: None
    with pytest.raises(LoaderError, match="Cannot download"):
        fetch(server.url, SHA256, cache=tmp_path, retries=1, wait=0.01, timeout=2)


def test_a_cache_that_cannot_be_written(serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LoaderError, match="MEDGRAPH_CACHE"):
        fetch(serve(whole).url, SHA256, cache=tmp_path / "file" / "below")


def test_only_web_addresses(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="http"):
        fetch("file:///etc/passwd", SHA256, cache=tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDGRAPH_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("MEDGRAPH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loading.sys, "platform", "linux")
    assert cache_folder() == tmp_path / "medgraph"


def offer(monkeypatch, **values: object) -> None:
    """Pretend that installed packages offer these loaders; a string is a module that cannot be imported."""
    found = []
    for name, value in values.items():
        entry_point = SimpleNamespace(name=name, value=value if isinstance(value, str) else f"other.package:{name}")
        entry_point.load = (
            EntryPoint(name, value, "medgraph.loaders").load if isinstance(value, str) else lambda v=value: v
        )
        found.append(entry_point)
    monkeypatch.setattr(loading, "entry_points", lambda group: found)


def test_our_loaders_are_found_by_entry_point() -> None:
    loaders = {loader.name: loader for loader in list_loaders()}
    assert {"hetionet", "kgx", "starter"} <= loaders.keys()
    for name in ("hetionet", "kgx", "starter"):
        assert loaders[name].url.startswith("http")
        assert loaders[name].licence
        assert "cannot be used" not in loaders[name].summary


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(LoaderError, match="Nearest: hetionet"):
        load("hetionett")


def test_an_unknown_option_is_refused_with_those_there_are(monkeypatch) -> None:
    offer(monkeypatch, mine=Loader("mine", "", "", "", lambda path=None, depth=1: (path, depth)))
    assert load("mine", "here", depth=2) == (Path("here"), 2)
    with pytest.raises(LoaderError, match=r"'dept'.*\(path=None, depth=1\)"):
        load("mine", dept=2)


def test_a_broken_loader_of_another_package_harms_no_other(monkeypatch) -> None:
    good = Loader("good", "fine", "", "", lambda path=None: "loaded")
    offer(monkeypatch, good=good, broken="no.such.module:LOADER", odd=lambda: None)
    listed = {loader.name: loader.summary for loader in list_loaders()}
    assert listed["good"] == "fine"
    assert "ModuleNotFoundError" in listed["broken"]
    assert "expected a medgraph Loader" in listed["odd"]
    assert load("good") == "loaded"
    with pytest.raises(LoaderError, match="ModuleNotFoundError"):
        load("broken")
