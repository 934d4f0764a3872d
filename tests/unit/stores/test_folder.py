"""A graph folder survives its writers: killed, failing, or two at once."""

from __future__ import annotations

import inspect
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import FormatVersionError, StoreError, StoreUnavailableError
from medgraph.stores import folder as folders
from medgraph.stores import open_store

STEPS = {
    "tables": "medgraph.stores.folder._sha256",
    "database": "medgraph.stores.ladybug_tables._property_names",
    "index": "medgraph.stores.search.NameIndex.save",
    "fsync": "medgraph.stores.folder._make_durable",
    "swap": "medgraph.artefact._fsync",
}

WRITER = """
import os, signal, sys, time
from importlib import import_module
import numpy as np, pyarrow as pa
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.stores import open_store

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def hold(*_, **__):
    print("holding", flush=True)
    time.sleep(600)

folder, size, step, act = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
store = open_store(folder)
if step:
    module, _, name = step.rpartition(".")
    outer, _, kind = module.rpartition(".")
    owner = getattr(import_module(outer), kind) if kind[0].isupper() else import_module(module)
    setattr(owner, name, {"die": die, "hold": hold}[act])
<<A_GRAPH>>
graph = a_graph(size)
print("ready", flush=True)
while True:
    store.write(graph)
"""


def a_graph(size: int) -> KnowledgeGraph:
    rng = np.random.default_rng(size)
    nodes = pa.table({"id": [f"NCBIGENE:{row}" for row in range(size)], "name": [f"gene {row}" for row in range(size)]})
    edges = pa.table({"source": rng.integers(0, size, 4 * size), "target": rng.integers(0, size, 4 * size)})
    return KnowledgeGraph({"Gene": nodes}, {EdgeType("Gene", "interacts", "Gene"): edges})


@contextmanager
def a_writer(folder: Path, size: int, step: str = "", act: str = "die") -> Iterator[subprocess.Popen[str]]:
    """A process that writes over and over, about to begin; at `step` it dies or holds; killed with -9 on leaving."""
    code = WRITER.replace("<<A_GRAPH>>", inspect.getsource(a_graph))
    command = [sys.executable, "-c", code, str(folder), str(size), step, act]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def assert_whole(folder: Path, *graphs: KnowledgeGraph) -> None:
    """The folder holds one of `graphs`, the same to `read`, `query` and `search`."""
    with open_store(folder, read_only=True) as store:
        read = store.read()
        assert read.fingerprint in [graph.fingerprint for graph in graphs]
        assert store.query("MATCH (n) RETURN count(*) AS n")["n"].to_pylist() == [read.num_nodes]
        assert store.query("MATCH ()-[r]->() RETURN count(*) AS n")["n"].to_pylist() == [read.num_edges]
        assert store.search(read.ids[-1], topn=1)["id"].to_pylist() == [read.ids[-1]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step_of_a_write(tmp_path: Path, step: str) -> None:
    old = a_graph(50)
    with open_store(tmp_path) as store:
        store.write(old)
    with a_writer(tmp_path, 60, STEPS[step]) as process:
        process.wait(timeout=60)
    assert names(tmp_path) != ["graph-000001", "lock", "manifest.json"]
    assert_whole(tmp_path, old)
    with open_store(tmp_path) as store:
        store.write(a_graph(70))
    assert_whole(tmp_path, a_graph(70))
    assert names(tmp_path) == ["graph-000002", "lock", "manifest.json"]


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    old, new = a_graph(50), a_graph(20_000)
    rng = random.Random(0)
    with open_store(tmp_path) as store:
        store.write(old)
        for _ in range(3):
            with a_writer(tmp_path, 20_000):
                time.sleep(rng.uniform(0.0, 0.8))
            assert_whole(tmp_path, old, new)
        store.write(old)
    assert_whole(tmp_path, old)
    assert len(names(tmp_path)) == 3


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = a_graph(50)
    with open_store(tmp_path) as store:
        store.write(old)
        before = names(tmp_path)

        def full(_: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folders, "_make_durable", full)
        with pytest.raises(StoreError, match="No space left"):
            store.write(a_graph(60))
        assert names(tmp_path) == before
        assert store.read().fingerprint == old.fingerprint
        monkeypatch.undo()
        store.write(a_graph(60))
    assert_whole(tmp_path, a_graph(60))


def test_the_second_of_two_writers_is_refused(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(50))
        with folders.new_snapshot(tmp_path) as (path, content):
            with pytest.raises(StoreUnavailableError, match=rf"being written by process {os.getpid()} on .* since 20"):
                store.write(a_graph(60))
            assert store.read().fingerprint == a_graph(50).fingerprint
            content.update(folders.write_graph(path, a_graph(70)))
        with open_store(tmp_path) as late:
            assert late.read().fingerprint == a_graph(70).fingerprint
        store.write(a_graph(60))
    assert_whole(tmp_path, a_graph(60))


def test_the_lock_of_a_dead_writer_is_free(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(50))
        with a_writer(tmp_path, 60, STEPS["fsync"], act="hold") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            with pytest.raises(StoreUnavailableError, match=f"being written by process {process.pid} on"):
                store.write(a_graph(70))
            assert_whole(tmp_path, a_graph(50))
        store.write(a_graph(70))
    assert_whole(tmp_path, a_graph(70))


def test_readers_while_one_writes(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(50))
    with a_writer(tmp_path, 60) as process, open_store(tmp_path, read_only=True) as held:
        size = held.read().num_nodes
        for _ in range(10):
            assert_whole(tmp_path, a_graph(50), a_graph(60))
            assert held.query("MATCH (n) RETURN count(*) AS n")["n"].to_pylist() == [size]
        assert process.poll() is None


def test_a_held_snapshot_goes_when_its_reader_has_gone(tmp_path: Path) -> None:
    with open_store(tmp_path) as writer:
        writer.write(a_graph(50))
        reader = open_store(tmp_path, read_only=True)
        writer.write(a_graph(60))
        assert names(tmp_path) == ["graph-000001", "graph-000002", "lock", "manifest.json"]
        reader.close()
        writer.write(a_graph(70))
        assert names(tmp_path) == ["graph-000003", "lock", "manifest.json"]


# What is no store ---------------------------------------------------------------------------------------------------


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(StoreError, match=r"no graph store: it has no manifest.json, but 'thesis.docx'"):
        open_store(tmp_path)
    assert names(tmp_path) == ["thesis.docx"]


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "graph").touch()
    with pytest.raises(StoreError, match="is a file"):
        open_store(tmp_path / "graph")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"format": "medgraph artefact"}',
        "no json",
        "\udcff",
        '{"format": "medgraph graph"}',
        '{"format": "medgraph graph", "format_version": "1"}',
    ],
)
def test_a_manifest_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(StoreError, match=r"manifest.json"):
        open_store(tmp_path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(50))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99, "medgraph": "9.0"}))
    with pytest.raises(FormatVersionError, match=r"graph format 99, written by medgraph 9.0.*Upgrade"):
        open_store(tmp_path)


@pytest.mark.parametrize("change", [{"nodes": None}, {"edges": [{}]}, {"nodes": {"../x": {}}}, {"snapshot": "graph-9"}])
def test_a_damaged_manifest(tmp_path: Path, change: dict[str, object]) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(5))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(StoreError, match=r"was damaged"):
        open_store(tmp_path)


def test_altered_and_missing_files_are_noticed(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(a_graph(50))
        table = tmp_path / "graph-000001" / "nodes" / "Gene.parquet"
        table.write_bytes(table.read_bytes()[:-1] + b"x")
        with pytest.raises(StoreError, match=r"Gene.parquet was altered"):
            store.read()
        table.unlink()
        with pytest.raises(StoreError, match=r"Gene.parquet cannot be read: No such file"):
            store.read()
    (tmp_path / "graph-000001" / "lock").unlink()
    with pytest.raises(StoreError, match="graph-000001, which is not there"):
        open_store(tmp_path)
