"""A real Neo4j server, from jars to answers, by the command line and in Python: once through its life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.server import Neo4jServer
from medgraph.server.readiness import cypher_answers

neo4j = pytest.importorskip("neo4j")
COMMAND = [sys.executable, "-c", "import sys; from medgraph.cli import main; sys.argv[0] = 'medgraph'; main()"]


def ask(server: Neo4jServer, cypher: str, password: str | None = None) -> list[list[Any]]:
    with neo4j.GraphDatabase.driver(server.url, auth=("neo4j", password or server.password())) as driver:
        return [list(record) for record in driver.execute_query(cypher).records]


def medgraph(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "NEO4J_PASSWORD"}
    return subprocess.run(
        [*COMMAND, "neo4j", *arguments, "--home", str(home)],
        env={**kept, "COLUMNS": "200", **environment}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_a_life(own_neo4j: Callable[..., Neo4jServer], monkeypatch: pytest.MonkeyPatch) -> None:
    server = own_neo4j()
    monkeypatch.delenv("NEO4J_PASSWORD")  # one is made
    ports = ["--bolt-port", str(server.bolt_port), "--http-port", str(server.http_port)]
    memory = ["--heap", server.heap, "--page-cache", server.page_cache]

    refused = medgraph("up", *ports, *memory, "--set", "db.no.such.setting=1", home=server.home)
    assert refused.returncode == 1
    assert "db.no.such.setting" in refused.stderr

    done = medgraph("up", *ports, *memory, "--set", "db.transaction.timeout=77s", "--json", home=server.home)
    told = json.loads(done.stdout)
    password = server.password()
    assert (told["url"], told["password_file"]) == (server.url, str(server.password_file))
    assert server.password_file.stat().st_mode & 0o077 == 0
    logs = "".join(file.read_text() for file in (server.home / "logs").glob("*.log")) + server.console.read_text()
    seen = Path(f"/proc/{told['pid']}/cmdline"), Path(f"/proc/{told['pid']}/environ")
    for text in (done.stdout, done.stderr, logs, *(file.read_text() for file in seen if file.exists())):
        assert password not in text

    running = server.status()
    assert running is not None
    assert running.pid == told["pid"]
    assert server.start().pid == told["pid"]  # one that runs is taken as it is
    shown = medgraph("up", *ports, "--show-password", home=server.home)
    assert f"export NEO4J_PASSWORD={password}" in shown.stdout.splitlines()
    assert ask(server, "CALL dbms.components() YIELD versions, edition RETURN versions[0], edition") == [
        [server.version, "community"]
    ]
    assert ask(server, "SHOW SETTINGS YIELD name, value WHERE name = 'db.transaction.timeout' RETURN value") == [
        ["1m17s"]
    ]
    assert cypher_answers(server.bolt_port, server.http_port, "neo4j", "wrong") is None
    monkeypatch.setenv("NEO4J_PASSWORD", "wrong")
    with pytest.raises(StoreUnavailableError, match=r"refuses the password from \$NEO4J_PASSWORD"):
        server.start()
    monkeypatch.delenv("NEO4J_PASSWORD")
    listening = ask(server, "SHOW SETTINGS YIELD name, value WHERE name ENDS WITH 'listen_address' RETURN value")
    assert {address[0].partition(":")[0] for address in listening} <= {"127.0.0.1", ""}

    ask(server, "CREATE (:Kept {name: 'aspirin'})")
    assert server.kill()
    assert server.status() is None
    assert not cypher_answers(server.bolt_port, server.http_port, "neo4j", password)
    with server.start() as again:
        assert again.pid != told["pid"]
        assert ask(server, "MATCH (n:Kept) RETURN n.name") == [["aspirin"]]
    assert server.status() is None
    assert "Stopped." in (server.home / "logs" / "neo4j.log").read_text()

    assert server.neo4j_admin("--version").split()[-1].startswith(server.version)
    with pytest.raises(StoreError, match=r"neo4j-admin no such failed: .*Unmatched argument"):
        server.neo4j_admin("no", "such", "command")
