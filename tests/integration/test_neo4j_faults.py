"""What a server can do to a graph: go away, be killed, run out of disk or memory. Nothing is lost, nothing doubled."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.server import Neo4jServer
from medgraph.stores.neo4j import Neo4jStore, writing

neo4j = pytest.importorskip("neo4j")
pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

TREATS = EdgeType("Drug", "treats", "Disease")
LIMIT = 8 * 2**20  # bytes for one transaction of the server under test
Commit = Callable[..., None]


@pytest.fixture(scope="module")
def home(module_neo4j: Callable[..., Neo4jServer]) -> Neo4jServer:
    return module_neo4j(
        heap="384m",
        page_cache="32m",
        settings={"db.memory.transaction.max": str(LIMIT), "dbms.security.auth_lock_time": "1s"},
    )


@pytest.fixture
def server(home: Neo4jServer, monkeypatch: pytest.MonkeyPatch) -> Neo4jServer:
    """A server that runs, whatever the test before did to it."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")  # up sooner: nothing here runs long
    home.start()
    return home


@pytest.fixture
def store(server: Neo4jServer) -> Iterator[Neo4jStore]:
    """Holds the old graph; a server that does not answer is given up after a second."""
    with Neo4jStore(server.url, retry_seconds=60) as first:
        first.write(drugs("OLD", 40))
    with Neo4jStore(server.url, retry_seconds=1) as opened:
        yield opened


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_NODES", 25)
    monkeypatch.setattr(writing, "_EDGES", 25)
    monkeypatch.setattr(writing, "_REMOVED", 25)


def drugs(prefix: str, rows: int, width: int = 5, note: int = 5) -> KnowledgeGraph:
    """Twice as many edges as drugs, some of them parallel, so that a batch done twice would be seen."""
    rng = np.random.default_rng(rows)
    names = ["x" * width] * rows
    nodes = {
        "Drug": pa.table({"id": [f"{prefix}:{row}" for row in range(rows)], "name": names}),
        "Disease": pa.table({"id": [f"{prefix}.DISEASE:{row}" for row in range(10)], "name": ["disease"] * 10}),
    }
    ends = {"source": rng.integers(0, rows, 2 * rows), "target": rng.integers(0, 10, 2 * rows)}
    return KnowledgeGraph(
        nodes, {TREATS: pa.table({**ends, "weight": np.arange(2 * rows), "note": ["x" * note] * 2 * rows})}
    )


def assert_holds(url: str, graph: KnowledgeGraph, leftovers: bool = False) -> None:
    """The server has this graph, each node and edge once, and, unless there may be leftovers, nothing else."""
    with Neo4jStore(url, retry_seconds=60) as store:
        assert store.read().fingerprint == graph.fingerprint
        assert store.fingerprint == graph.fingerprint
        assert store.search("disease", node_type="Disease").num_rows == 10
        nodes = store.query("MATCH (n) WHERE NOT n:_Medgraph RETURN count(n) AS n")["n"].to_pylist()
        edges = store.query("MATCH ()-[r]->() RETURN count(r) AS n")["n"].to_pylist()
        if not leftovers:
            assert (nodes, edges) == ([graph.num_nodes], [graph.num_edges])


def at_commit(
    patch: pytest.MonkeyPatch, text: str, act: Callable[[], object], nth: int = 1, after: bool = False
) -> None:
    """Do something before (or after) the n-th commit of a transaction that has `text` in its statements."""
    run, commit, found = neo4j.Transaction.run, neo4j.Transaction.commit, []

    def noted(self: object, query: str, *given: object, **named: object) -> object:
        self.__dict__.setdefault("statements", []).append(query)
        return run(self, query, *given, **named)

    def committed(self: object) -> None:
        hit = text in "\n".join(self.__dict__.get("statements", []))
        found.extend([True] * hit)
        if hit and len(found) == nth and not after:
            act()
        commit(self)
        if hit and len(found) == nth and after:
            act()

    patch.setattr(neo4j.Transaction, "run", noted)
    patch.setattr(neo4j.Transaction, "commit", committed)


# Killed -----------------------------------------------------------------------------------------------------------

NODES, EDGES, SWAP, CLEANING = "CREATE (n:_Staged)", "]->(b)", "SET n:_Retired", "(n:_Retired) WITH n LIMIT"


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("text", "nth", "after", "survives"),
    [(NODES, 2, False, "OLD"), (CLEANING, 2, False, "NEW")],
    ids=["nodes half staged", "swapped, cleaning"],
)
def test_killed_in_mid_write(
    store: Neo4jStore,
    server: Neo4jServer,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    nth: int,
    after: bool,
    survives: str,
) -> None:
    new = drugs("NEW", 90)
    with monkeypatch.context() as patch:
        at_commit(patch, text, server.kill, nth, after)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            store.write(new)
        assert time.monotonic() - began < 30
    with pytest.raises(StoreUnavailableError, match=r"does not answer.*Is the server running"):
        store.fingerprint  # noqa: B018
    server.start()
    assert_holds(server.url, new if survives == "NEW" else drugs("OLD", 40), leftovers=True)
    store.write(new)  # by the process that was writing: its own lease is no hindrance
    assert_holds(server.url, new)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(("text", "nth"), [(EDGES, 3), (SWAP, 1)], ids=["edges half staged", "swapping"])
def test_killed_and_restarted_while_the_writer_tries_again(
    store: Neo4jStore, server: Neo4jServer, monkeypatch: pytest.MonkeyPatch, text: str, nth: int
) -> None:
    new = drugs("NEW", 90)
    restarted = threading.Thread(target=server.start)

    def kill() -> None:
        server.kill()
        restarted.start()

    with Neo4jStore(server.url, retry_seconds=240) as patient, monkeypatch.context() as patch:
        at_commit(patch, text, kill, nth)
        patient.write(new)
    restarted.join()
    assert_holds(server.url, new)


# Disk -------------------------------------------------------------------------------------------------------------


def test_full_disk(store: Neo4jStore, server: Neo4jServer) -> None:
    """No file of the server may grow: what a write gets then is what a full disk gives it, an IOException."""
    if sys.platform != "linux":
        pytest.skip("limits of a running process can be set on Linux only")
    running = server.status()
    assert running is not None
    largest = max(file.stat().st_size for file in Path(server.home).rglob("*") if file.is_file())
    before = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (largest + 2**16, before[1]))
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"disk may be full.*start it again"):
            store.write(drugs("NEW", 3000, width=2000))
        assert time.monotonic() - began < 60
        with pytest.raises(StoreUnavailableError, match="start it again"):
            store.fingerprint  # noqa: B018
    finally:
        server.stop(patience=5)  # a database that could not write does not always end by itself
    server.start()
    assert_holds(server.url, drugs("OLD", 40), leftovers=True)
    store.write(drugs("NEW", 50))
    assert_holds(server.url, drugs("NEW", 50))


# Memory -----------------------------------------------------------------------------------------------------------


def test_batches_shrink_until_they_fit(store: Neo4jStore, server: Neo4jServer, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = drugs("NEW", 1000, note=6000)
    sizes: list[int] = []
    once = writing.Lease.once

    def noted(self: writing.Lease, cypher: str, /, **parameters: list[object]) -> int | None:
        sizes.append(len(parameters["rows"]))
        return once(self, cypher, **parameters)

    monkeypatch.setattr(writing.Lease, "once", noted)
    assert graph.edges[TREATS].nbytes > LIMIT
    store.write(graph)
    assert sizes[2] > 800  # nodes of two types, then the edges by their source: all in one batch
    assert 1 < max(sizes[3:]) < 300
    monkeypatch.undo()
    assert_holds(server.url, graph)


@pytest.mark.parametrize(("rows", "width", "note"), [(3, 5, LIMIT), (4000, 4000, 5)], ids=["one row", "the swap"])
def test_what_cannot_be_cut_smaller_is_refused(
    store: Neo4jStore, server: Neo4jServer, rows: int, width: int, note: int
) -> None:
    with pytest.raises(StoreError, match=r"too little memory for one transaction.*db\.memory\.transaction\.max"):
        store.write(drugs("NEW", rows, width, note))
    assert_holds(server.url, drugs("OLD", 40), leftovers=True)
    store.write(drugs("OLD", 40))  # the same graph: nothing to write, but the rest of the other goes
    assert_holds(server.url, drugs("OLD", 40))


# Refused ----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_and_too_many_of_them(server: Neo4jServer) -> None:
    def knock() -> None:
        Neo4jStore(server.url, credentials=lambda: ("neo4j", "no-such-password")).close()

    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"refuses the user or password \(Unauthorized\).*NEO4J_PASSWORD"):
        knock()
    for _ in range(4):
        with pytest.raises(StoreUnavailableError, match="password"):
            knock()
    with pytest.raises(StoreUnavailableError, match="refused the user and password too often: wait"):
        knock()
    assert time.monotonic() - began < 20  # none of it is tried again
    time.sleep(1.5)
    Neo4jStore(server.url).close()
