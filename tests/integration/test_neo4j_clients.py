"""What clients, networks and neighbours can do to a graph on a server; and what no error may tell."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from people import NEW, OLD, assert_holds, closed_port

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores.neo4j import Neo4jStore, connection, writing

neo4j = pytest.importorskip("neo4j")
pytestmark = pytest.mark.neo4j

# Nobody there, or not what is wanted --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["neo4j", "bolt", "neo4j+s", "bolt+ssc"])
def test_nobody_answers(scheme: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"does not answer.*Is the server running"):
        Neo4jStore(f"{scheme}://127.0.0.1:{closed_port()}")
    assert time.monotonic() - began < 5


def test_somebody_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            Neo4jStore(f"bolt://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("scheme", ["neo4j+s", "neo4j+ssc", "bolt+s", "bolt+ssc"])
def test_a_server_without_encryption(url: str, scheme: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"If it has no TLS, the address begins with neo4j://"):
        Neo4jStore(url.replace("neo4j://", f"{scheme}://"))


def test_a_database_that_is_not_there(url: str) -> None:
    with pytest.raises(StoreError, match=r"no such database\. Community Edition has one, 'neo4j'"):
        Neo4jStore(f"{url}/another")
    Neo4jStore(f"{url}/neo4j").close()


def test_a_server_that_is_too_old(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Neo4jStore(url) as store:
        version = store.server.version
    monkeypatch.setattr(connection, "OLDEST", (9999, 1))
    with pytest.raises(StoreError, match=rf"is Neo4j {version}; medgraph needs 9999.1 or later"):
        Neo4jStore(url)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: ("neo4j", ""), "wants a user and password, and none were given: set NEO4J_USERNAME"),
        (lambda: ("nobody", "hunter2"), "refuses the user or password"),
        (lambda: "hunter2", "two strings, but something else"),
        (lambda: ("neo4j", None), "two strings, but something else"),
        (lambda: {}["hunter2"], "two strings, but KeyError"),
    ],
    ids=["none", "wrong", "no pair", "no string", "fails"],
)
def test_credentials_that_do_not_serve(url: str, given: Callable[[], tuple[str, str]], message: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=message) as caught:
        Neo4jStore(url, credentials=given)
    assert time.monotonic() - began < 5
    assert "hunter2" not in str(caught.value)


# The way there is cut -----------------------------------------------------------------------------------------------


class Proxy:
    """A way to the server that can be cut.

    Args:
        target: the server's port.
        bytes_back: how many bytes a connection may carry back before it is cut; None for any number.
        cuts: how many connections are cut.
    """

    def __init__(self, target: int, bytes_back: int | None = None, cuts: int = 0) -> None:
        self.target, self.bytes_back, self.cuts = target, bytes_back, cuts
        self.deaf = 0  # so many of the next answers are not handed on, and their connection is cut
        self.was_cut = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"bolt://127.0.0.1:{self._listening.getsockname()[1]}"  # neo4j:// would be told the way past us
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listening.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        carried = 0
        with source, target:
            try:
                while data := source.recv(2**14):
                    carried += len(data)
                    too_far = self.bytes_back is not None and carried > self.bytes_back and self.was_cut < self.cuts
                    if back and (self.deaf or too_far):
                        self.deaf = max(self.deaf - 1, 0)
                        self.was_cut += 1
                        source.shutdown(socket.SHUT_RDWR)
                        target.shutdown(socket.SHUT_RDWR)
                        return
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()


@contextmanager
def proxied(url: str, **options: int) -> Iterator[Proxy]:
    proxy = Proxy(int(url.rpartition(":")[2]), **options)
    try:
        yield proxy
    finally:
        proxy.close()


def test_cut_once_in_mid_read(url: str) -> None:
    with proxied(url, bytes_back=3_000, cuts=1) as proxy, Neo4jStore(proxy.url) as store:
        assert store.read().fingerprint == OLD.fingerprint
        assert proxy.was_cut == 1


def test_cut_always_in_mid_read(url: str) -> None:
    with proxied(url) as proxy, Neo4jStore(proxy.url, retry_seconds=1) as store:
        proxy.bytes_back, proxy.cuts = 200, 10**6
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            store.read()
        assert time.monotonic() - began < 10
        assert proxy.was_cut > 1


@pytest.mark.parametrize("text", ["CREATE (n:_Staged)", "]->(b)", "SET n:_Retired", "SET w.token = $token", "DELETE n"])
def test_a_commit_whose_answer_is_lost(url: str, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The server has committed, and the client cannot know: what it does then must not count twice."""
    monkeypatch.setattr(writing, "_NODES", 50)
    monkeypatch.setattr(writing, "_EDGES", 100)
    run, commit, found = neo4j.Transaction.run, neo4j.Transaction.commit, []
    with proxied(url) as proxy, Neo4jStore(proxy.url) as other, monkeypatch.context() as patch:

        def noted(self: object, query: str, *given: object, **named: object) -> object:
            self.__dict__["hit"] = self.__dict__.get("hit") or text in query
            return run(self, query, *given, **named)

        def committed(self: object) -> None:
            if self.__dict__.get("hit") and not found:
                found.append(True)
                proxy.deaf = 1
            commit(self)

        patch.setattr(neo4j.Transaction, "run", noted)
        patch.setattr(neo4j.Transaction, "commit", committed)
        other.write(NEW)
        assert proxy.was_cut == 1
    assert_holds(store, NEW)


def test_a_statement_of_ones_own_is_not_repeated_after_a_lost_answer(
    url: str, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = neo4j.Transaction.commit
    with proxied(url) as proxy, Neo4jStore(proxy.url) as other:

        def committed(self: object) -> None:
            proxy.deaf = 1
            commit(self)

        monkeypatch.setattr(neo4j.Transaction, "commit", committed)
        with pytest.raises(StoreUnavailableError, match="could say whether this was done; look before"):
            other.execute("CREATE (:Visit {id: 'VISIT:1'})")
        monkeypatch.undo()
    assert store.query("MATCH (n:Visit) RETURN count(n) AS n")["n"].to_pylist() == [1]
