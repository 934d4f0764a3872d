"""`medgraph neo4j`: what is told of a server, without starting one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medgraph import cli
from medgraph.errors import SchemaError
from medgraph.server import Neo4jServer, Running
from medgraph.server.process import Process

SECRET = "the-secret-word"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where anything can be started: a sleeping process is."""

    def start(self: Neo4jServer, timeout: float = 0.0) -> Running:
        self.home.mkdir(exist_ok=True)
        self.password_file.write_text(SECRET)
        process = Process.launch(["/bin/sleep", "60"], self.console, os.environ)
        process.write(self._record, version=self.version, bolt_port=self.bolt_port, http_port=self.http_port)
        (self.home / "settings").write_text(json.dumps({**self.settings, "heap": self.heap}))
        return Running(self, process, self.version, self.bolt_port, self.http_port)

    monkeypatch.setattr(Neo4jServer, "start", start)
    monkeypatch.delenv("NEO4J_PASSWORD", raising=False)
    monkeypatch.setenv("MEDGRAPH_NEO4J_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["neo4j", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_up_status_down(home: Path) -> None:
    assert run("status") == (1, f"No server runs in {home}.\n")
    code, told = run("up", "--bolt-port", "7999", "--heap", "2g", "--set", "a.b = c=d", "--set", "e=")
    assert code == 0
    assert json.loads((home / "settings").read_text()) == {"a.b": "c=d", "e": "", "heap": "2g"}
    assert SECRET not in told
    assert str(home / "password") in told
    exports = [line for line in told.splitlines() if line.startswith("export ")]
    assert exports == [
        "export NEO4J_URI=neo4j://127.0.0.1:7999",
        "export NEO4J_USERNAME=neo4j",
        f'export NEO4J_PASSWORD="$(cat {home}/password)"',
    ]
    code, told = run("status", "--json")
    running = json.loads(told)
    assert (code, running["running"], running["url"]) == (0, True, "neo4j://127.0.0.1:7999")
    assert run("status")[1].startswith(f"Neo4j 5.26.30 runs at {running['url']} (process {running['pid']})")
    assert run("down") == (0, f"Neo4j in {home} is stopped.\n")
    assert json.loads(run("down", "--json")[1]) == {"home": str(home), "stopped": False}
    assert json.loads(run("status", "--json")[1]) == {"home": str(home), "running": False}


def test_the_password_is_shown_when_asked_for(home: Path) -> None:
    assert f"export NEO4J_PASSWORD={SECRET}" in run("up", "--show-password")[1].splitlines()
    run("down")
    assert json.loads(run("up", "--json", "--show-password")[1])["password"] == SECRET
    assert run("down")[0] == 0
    assert SECRET not in run("up", "--json")[1]
    assert run("down")[0] == 0


def test_the_homes_own_version_is_the_default(home: Path) -> None:
    home.mkdir()
    (home / "version").write_text("2026.08.1\n")
    assert json.loads(run("up", "--json")[1])["version"] == "2026.08.1"
    assert run("down")[0] == 0


def test_a_setting_without_a_value_is_refused(home: Path) -> None:
    with pytest.raises(SchemaError, match="expected name=value"):
        run("up", "--set", "db.nothing")
