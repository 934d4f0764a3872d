"""A trained thing is a folder: whole or not at all, checked, never pickled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.artefact import (
    Artefact,
    atomic_file,
    atomic_folder,
    bullets,
    learned_from,
    read_artefact,
    settings,
    write_artefact,
)
from medgraph.errors import ArtefactError, FormatVersionError

SAMPLE = Artefact(
    kind="Sample",
    parameters={"vector_size": 2, "name": "Ménière"},
    tensors={"vectors": {"vectors": np.arange(6, dtype=np.float32).reshape(3, 2)}},
    tables={"nodes": pa.table({"id": ["DOID:1", "DOID:2", "DOID:3"]})},
    seed=7,
    card="# Sample\n",
)


def test_reads_what_was_written(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", SAMPLE)
    back = read_artefact(tmp_path / "a", "Sample")
    assert back.parameters == SAMPLE.parameters
    assert back.seed == 7
    assert back.card == SAMPLE.card
    assert back.tables["nodes"].equals(SAMPLE.tables["nodes"])
    np.testing.assert_array_equal(back.tensors["vectors"]["vectors"], SAMPLE.tensors["vectors"]["vectors"])
    assert [p.name for p in tmp_path.iterdir()] == ["a"], "nothing is left beside it"


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", SAMPLE)
    write_artefact(tmp_path / "a", Artefact(kind="Sample", seed=8))
    assert read_artefact(tmp_path / "a", "Sample").seed == 8
    assert not (tmp_path / "a" / "vectors.safetensors").exists()


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda f: (f / "vectors.safetensors").unlink(), ArtefactError, "lacks vectors.safetensors"),
        (lambda f: (f / "nodes.parquet").write_bytes(b"x"), ArtefactError, "sha256 differs"),
        (lambda f: (f / "manifest.json").unlink(), ArtefactError, "no medgraph artefact"),
        (lambda f: (f / "manifest.json").write_text("{"), ArtefactError, "not readable JSON"),
        (lambda f: (f / "manifest.json").write_text("[]"), ArtefactError, "does not describe"),
        (lambda f: _edit(f, format_version=99), FormatVersionError, "format version 99"),
        (lambda f: _edit(f, format_version="one"), ArtefactError, "no known format version"),
        (lambda f: _edit(f, kind="Other"), ArtefactError, "holds a Other, not a Sample"),
        (lambda f: _edit(f, sha256={"../x": "0"}), ArtefactError, "lacks ../x"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage, error, says) -> None:
    folder = tmp_path / "a"
    write_artefact(folder, SAMPLE)
    damage(folder)
    with pytest.raises(error, match=says):
        read_artefact(folder, "Sample")


def _edit(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_refuses_what_json_cannot_hold_and_leaves_nothing(tmp_path: Path) -> None:
    for value in (object(), float("nan")):
        with pytest.raises(ArtefactError, match="JSON values only"):
            write_artefact(tmp_path / "a", Artefact(kind="Sample", parameters={"x": value}))
    assert list(tmp_path.iterdir()) == []


def test_never_replaces_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtefactError, match="not an artefact"):
        write_artefact(tmp_path / "mine", SAMPLE)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_swap_cut_between_its_renames_is_finished_on_reading(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", SAMPLE)
    (tmp_path / "a").rename(tmp_path / ".a.previous")
    assert read_artefact(tmp_path / "a", "Sample").seed == 7


def test_a_failing_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "f"):
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as temporary:
        temporary.write_text("x")
    write_artefact(tmp_path / "a", SAMPLE)
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "folder").stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_killed_in_mid_write_keeps_the_old_artefact(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", SAMPLE)
    script = (
        "import sys, time, medgraph.artefact as m\n"
        "with m.atomic_folder(sys.argv[1]) as t:\n"
        "    (t / 'manifest.json').write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout as output:
        assert output.readline() == "writing\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert read_artefact(tmp_path / "a", "Sample").seed == 7


def test_a_card_lists_what_is_recorded() -> None:
    named = {"name": "Hetionet", "version": "1.0", "licence": "CC0"}
    unversioned = {"name": "A table", "version": "", "licence": ""}
    assert learned_from("graph", {"provenance": [named, unversioned], "fingerprint": "ab12"}).splitlines() == [
        "## Learned from", "- Hetionet 1.0, CC0", "- A table", "- graph fingerprint: ab12",
    ]  # fmt: skip
    assert learned_from("graph", {}).splitlines()[1:] == ["- not recorded", "- graph fingerprint: not recorded"]
    assert bullets(["one", "two"]) == "- one\n- two"
    assert bullets([]) == "- none"
    assert settings({"epochs": 3, "window": None}) == "- `epochs`: 3\n- `window`: None"
