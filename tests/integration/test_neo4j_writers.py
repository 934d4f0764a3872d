"""Two who would write to one server: by threads, by processes, and by machines that are no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from people import NEW, OLD, assert_holds, people

from medgraph.data.graph import KnowledgeGraph
from medgraph.errors import MedgraphError, StoreUnavailableError
from medgraph.stores.neo4j import Neo4jStore, writing
from medgraph.stores.neo4j.lease import Lease

neo4j = pytest.importorskip("neo4j")
pytestmark = pytest.mark.neo4j


@contextmanager
def paused(patch: pytest.MonkeyPatch, mine: Neo4jStore, graph: KnowledgeGraph) -> Iterator[Callable[[], object]]:
    """A writer in a thread of its own that has staged its nodes and waits; call what is given to let it end."""
    staged, going, told = threading.Event(), threading.Event(), []
    stage = writing.Writer._stage_edges

    def wait(self: writing.Writer, *given: object) -> None:
        if self._connection is mine._connection:
            staged.set()
            assert going.wait(60)
        stage(self, *given)  # type: ignore[arg-type]

    def write() -> None:
        try:
            told.append(mine.write(graph))
        except MedgraphError as fault:
            told.append(fault)

    patch.setattr(writing.Writer, "_stage_edges", wait)
    thread = threading.Thread(target=write)
    thread.start()
    assert staged.wait(60)

    def end() -> object:
        going.set()
        thread.join(60)
        return told[0]

    try:
        yield end
    finally:
        end()


def test_a_second_writer_is_refused_and_told_who_writes(
    url: str, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Neo4jStore(url) as first, paused(monkeypatch, first, NEW) as end:
        with pytest.raises(StoreUnavailableError, match=rf"written by process {os.getpid()} on .*ends after 30 s"):
            store.write(people("THIRD", 5))
        assert store.read().fingerprint == OLD.fingerprint  # readers are not kept waiting
        assert end() is None
    assert_holds(store, NEW)


@pytest.mark.parametrize("silence", [29, 31])
def test_a_writer_of_another_machine_is_believed_dead_after_thirty_seconds(store: Neo4jStore, silence: int) -> None:
    store.execute(
        "MATCH (w:_Medgraph {name: 'writer'}) SET w.token = 'theirs', w.done = 7, w.holder = $holder, "
        "w.beat = timestamp() - $silence",
        holder=json.dumps({"process": 1, "host": "elsewhere", "machine": "another"}),
        silence=1000 * silence,
    )
    if silence > 30:
        store.write(NEW)
        assert_holds(store, NEW)
    else:
        with pytest.raises(StoreUnavailableError, match=r"by process 1 on elsewhere, last heard of (29|30) s ago"):
            store.write(NEW)
        store.execute("MATCH (w:_Medgraph {name: 'writer'}) REMOVE w.token, w.holder")
        assert_holds(store, OLD)


def test_a_writer_that_was_taken_for_dead_stops_and_harms_nothing(
    url: str, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Neo4jStore(url) as first, paused(monkeypatch, first, people("FIRST", 50)) as end:
        store.execute("MATCH (w:_Medgraph {name: 'writer'}) SET w.beat = timestamp() - 31000")
        store.write(NEW)
        told = end()
    assert isinstance(told, StoreUnavailableError)
    assert "another writer took over" in str(told)
    assert_holds(store, NEW)
    store.write(OLD)  # nobody is left to wait for
    assert_holds(store, OLD)


def test_a_lease_is_known_by_its_token_and_not_by_its_count(
    url: str, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Neo4jStore(url) as first, paused(monkeypatch, first, people("FIRST", 50)) as end:
        store.execute("MATCH (w:_Medgraph {name: 'writer'}) SET w.token = 'theirs'")  # as far as the first
        assert "another writer took over" in str(end())
    assert store.query("MATCH (:_Staged)-[r]->() RETURN count(r) AS n")["n"].to_pylist() == [0]
    store.execute("MATCH (w:_Medgraph {name: 'writer'}) REMOVE w.token")
    store.write(OLD)
    assert_holds(store, OLD)


def test_of_many_that_come_at_once_one_gets_in(url: str) -> None:
    stores = [Neo4jStore(url) for _ in range(4)]
    with stores[0], stores[1], stores[2], stores[3]:
        for _ in range(5):
            gate, inside, refused = threading.Barrier(4), [], []

            def come(one: Neo4jStore, gate: threading.Barrier, inside: list[int], refused: list[str]) -> None:
                gate.wait(30)
                try:
                    with Lease(one._connection).holding():
                        inside.append(1)
                        gate.wait(30)
                except StoreUnavailableError as fault:
                    refused.append(str(fault))
                    gate.wait(30)

            threads = [threading.Thread(target=come, args=(one, gate, inside, refused)) for one in stores]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert (len(inside), len(refused)) == (1, 3)


WRITE = """
import os, signal, sys
import pyarrow as pa
from medgraph.data.graph import KnowledgeGraph
from medgraph.stores.neo4j import Neo4jStore, writing
writing._NODES = 10
once, done = writing.Lease.once, []
def counted(self, *given, **named):
    found = once(self, *given, **named)
    done.append(found)
    if len(done) == 2:
        print("two batches", flush=True)
        if sys.argv[2] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.readline()
    return found
writing.Lease.once = counted
rows = {"id": [f"CHILD:{row}" for row in range(40)], "name": ["child"] * 40}
Neo4jStore(sys.argv[1]).write(KnowledgeGraph({"Person": pa.table(rows)}))
"""


def test_a_client_killed_in_mid_write(url: str, store: Neo4jStore) -> None:
    child = subprocess.run([sys.executable, "-c", WRITE, url, "die"], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, "two batches\n"), child.stderr
    assert store.query("MATCH (n:_Staged) RETURN count(n) AS n")["n"].to_pylist() == [20]
    assert store.read().fingerprint == OLD.fingerprint
    began = time.monotonic()
    store.write(NEW)  # at once: nobody waits for the dead
    assert time.monotonic() - began < 25
    assert_holds(store, NEW)


def test_two_processes(url: str, store: Neo4jStore) -> None:
    command = [sys.executable, "-c", WRITE, url, "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "two batches\n"
        with pytest.raises(StoreUnavailableError, match=f"is being written by process {child.pid} on"):
            store.write(NEW)
        assert store.read().fingerprint == OLD.fingerprint
        child.communicate("go on\n", timeout=60)
        assert child.returncode == 0
    assert store.read().nodes["Person"]["id"].to_pylist() == [f"CHILD:{row}" for row in range(40)]
