"""Processes by number and beginning: launched, ended, killed, and never mistaken for another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medgraph.errors import StoreError
from medgraph.server import process
from medgraph.server.process import Process

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def until(condition: object, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_is_asked_ends(tmp_path: Path) -> None:
    found = Process.launch(["/bin/sleep", "60"], tmp_path / "console", os.environ)
    assert found.alive
    assert os.getsid(found.pid) != os.getsid(0)  # the end of our terminal is not its end
    assert found.end(10)
    assert not found.alive
    assert found.end(10)  # a second time there is nothing to do


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    console = tmp_path / "console"
    found = Process.launch([sys.executable, "-c", STUBBORN], console, os.environ)
    until(lambda: "up" in console.read_text())
    assert not found.end(0.2)
    assert not found.alive


def test_one_that_cannot_be_run_is_not_alive_and_tells_why(tmp_path: Path) -> None:
    found = Process.launch(["/no/such/program"], tmp_path / "console", os.environ)
    until(lambda: not found.alive)
    assert "/no/such/program" in (tmp_path / "console").read_text()


def test_a_number_that_was_given_to_another_is_never_killed(tmp_path: Path) -> None:
    other = subprocess.Popen(["/bin/sleep", "60"])
    try:
        ended = Process(other.pid, "some other time")
        assert not ended.alive
        assert ended.end(1)
        ended.kill()
        time.sleep(0.05)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert other.returncode == -signal.SIGKILL


def test_what_is_left_of_an_ended_child_is_not_alive() -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    seen = Process(child.pid, process._began(child.pid) or "")
    assert seen.alive
    child.kill()
    until(lambda: not seen.alive)  # nobody has waited for it: the system keeps its number
    child.wait()


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="no ps")
def test_where_there_is_no_proc_ps_tells() -> None:
    mine = process._began_elsewhere(os.getpid())
    assert mine is not None
    assert mine == process._began_elsewhere(os.getpid())
    assert str(time.gmtime().tm_year) in mine
    done = subprocess.Popen(["/bin/true"])
    done.wait()
    assert process._began_elsewhere(done.pid) is None


def test_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "running.json"
    assert Process.read(file) is None
    Process(12, "noon").write(file, bolt_port=7687)
    assert Process.read(file) == (Process(12, "noon"), {"bolt_port": 7687})
    for damaged in ("", "[]", "{}", '{"pid": "x", "began": 1}'):
        file.write_text(damaged)
        with pytest.raises(StoreError, match=r"running\.json cannot be read"):
            Process.read(file)
