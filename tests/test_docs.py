"""What the documentation shows, runs."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import medgraph as mg
from medgraph.data.tasks import AtDates, Mortality

ROOT = Path(__file__).resolve().parents[1]


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


def run(source: str) -> None:
    """Execute what a page shows, all its blocks as one program."""
    exec(compile(source, "<docs>", "exec"), {})


@pytest.mark.slow
def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks, on_server = fences(readme, "python"), fences(readme, "python server")
    assert blocks
    assert on_server
    if os.environ.get("NEO4J_URI") or os.environ.get("CI"):
        url = request.getfixturevalue("neo4j_url")
        blocks += [block.replace("neo4j://localhost:7687", url) for block in on_server]
    run("\n".join(blocks))


def patients(codes: Sequence[str]) -> mg.Cohort:
    """A made-up cohort: who has the first code is likely to die soon, and subject 17 comes to be held out."""
    index, rng = np.datetime64("2020-01-01", "us"), np.random.default_rng(0)
    rows: list[tuple[int, np.datetime64, str]] = []
    for subject in range(10, 10 + 140):
        ill, seen = subject % 2, rng.choice(codes[1:], 4).tolist() + list(codes[:1]) * (subject % 2)
        rows.append((subject, index - np.timedelta64(20_000, "D"), "MEDS_BIRTH"))
        rows += [(subject, index - np.timedelta64(30 * place + 5, "D"), code) for place, code in enumerate(seen)]
        end = "MEDS_DEATH" if rng.random() < (0.9 if ill else 0.1) else "last seen"
        rows.append((subject, index + np.timedelta64(90 if end == "MEDS_DEATH" else 900, "D"), end))
    table = pa.table(dict(zip(("subject_id", "time", "code"), map(list, zip(*rows, strict=True)), strict=True)))
    table = table.append_column("numeric_value", pa.nulls(len(rows), pa.float32()))
    return mg.Cohort.of(table).with_tasks(mortality=Mortality(365, AtDates(("2020-01-01",))))


@pytest.mark.slow
def test_the_design_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    """On the common diseases and what they touch: with all rare ones the link predictor alone takes minutes."""
    graph, load = mg.load("starter"), mg.load
    common = {id_ for id_ in graph.ids if id_.startswith(("DOID:", "DRUGBANK:"))}
    _, edges = graph.to_pandas()
    small = graph.subgraph(common | set(edges.loc[edges["source"].isin(common), "target"]))
    davis = load("davis", path=shared_data / "dta" / "davis")
    instead = {
        "starter": lambda: small,
        "meds": lambda: patients([id_ for id_ in small.ids if id_ in common][:20]),
        "davis": lambda: davis.take((davis.drug < 5) & (davis.target % 30 == 0)),
    }
    monkeypatch.setattr(
        mg, "load", lambda name, *given, **more: instead[name]() if name in instead else load(name, *given, **more)
    )
    design = (shared_data.parent / "DESIGN.md").read_text(encoding="utf-8")
    (source,) = fences(design[design.index("## 4.") : design.index("## 5.")], "python")
    monkeypatch.chdir(tmp_path)
    run(source)


def test_every_command_in_the_readme_exists() -> None:
    from typer.main import get_command

    from medgraph.cli import app

    known = get_command(app)
    lines = "\n".join(fences((ROOT / "README.md").read_text(encoding="utf-8"), "console")).splitlines()
    commands = [shlex.split(line.split("medgraph ", 1)[1]) for line in lines if "medgraph " in line]
    assert commands
    for verb, *arguments in commands:
        command = known.commands[verb]  # type: ignore[attr-defined]
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        options = {o for p in command.params for o in p.opts}
        assert {a for a in arguments if a.startswith("-")} <= options | {"--help"}, verb


MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "medgraph").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert result.failed == 0
    assert result.attempted > 0
