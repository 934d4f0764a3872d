"""The demo goes the whole way and leaves what it says; here on the common diseases alone, to be quick."""

from __future__ import annotations

import json
import shlex
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import medgraph as mg
from medgraph import demo
from medgraph.cli import app
from medgraph.errors import SchemaError, UnknownIdentifierError

BREAST_CANCER = "DOID:1612"


@pytest.fixture(scope="module")
def common() -> mg.KnowledgeGraph:
    """The starter graph less rare diseases and diagnoses."""
    graph = mg.load("starter")
    kept = [id_ for id_ in graph.ids if not id_.startswith(("OMIM:", "ORPHA:", "ICD10CM:"))]
    return graph.subgraph(kept, node_types=["Compound", "Disease", "Gene", "Phenotype"])


@pytest.fixture(scope="module")
def ran(common: mg.KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder, printed = tmp_path_factory.mktemp("demo") / "results", StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", lambda _: common)
        demo.run(folder, BREAST_CANCER, 0, Console(file=printed, width=160))
    return folder, printed.getvalue()


@pytest.mark.slow
def test_it_leaves_what_it_says(ran: tuple[Path, str]) -> None:
    folder, printed = ran
    left = {path.name for path in folder.iterdir()}
    expected = {"graph", "skipgram", "vgae", "predictor", "evaluation.json", "report.html"}
    assert left == expected | {f"{stem}.{ending}" for stem in ("map", "neighbourhood") for ending in ("html", "png")}
    assert all(name in "".join(printed.split()) for name in left), "a line may break inside a long path"
    assert json.loads((folder / "evaluation.json").read_text())["part"] == "test"


@pytest.mark.slow
def test_its_answers_make_sense(ran: tuple[Path, str], common: mg.KnowledgeGraph) -> None:
    folder, _ = ran
    near = mg.Embedding.load(folder / "skipgram").most_similar(BREAST_CANCER, topn=5, node_type="Disease")
    diseases = common.nodes["Disease"]
    area = dict(zip(diseases.column("id").to_pylist(), diseases.column("area").to_pylist(), strict=True))
    assert sum(area[id_] == area[BREAST_CANCER] for id_, _ in near) >= 3, "most neighbours are of the same area"
    found = mg.LinkPredictor.load(folder / "predictor").rank(BREAST_CANCER, topn=10)
    compounds = common.nodes["Compound"]
    atc = dict(zip(compounds.column("id").to_pylist(), compounds.column("atc").to_pylist(), strict=True))
    groups = [any(code[:1] in "LG" for code in atc[c.id] or []) for c in found]
    assert sum(groups) >= 7, "antineoplastic agents (ATC L) and sex hormones and their modulators (G)"


@pytest.mark.slow
def test_the_commands_to_try_next_work(ran: tuple[Path, str]) -> None:
    _, printed = ran
    commands = [line.strip() for line in printed.splitlines() if line.strip().startswith("medgraph ")]
    assert len(commands) == 3
    for command in commands:
        result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--json"])
        assert result.exit_code == 0, (command, result.exception)
        assert json.loads(result.stdout)


def test_it_refuses_what_is_no_disease(
    common: mg.KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "load", lambda _: common)
    with pytest.raises(UnknownIdentifierError, match="Nearest"):
        demo.run(tmp_path / "x", "DOID:16120", 0, Console(file=StringIO()))
    with pytest.raises(SchemaError, match="is a Compound"):
        demo.run(tmp_path / "x", "DRUGBANK:DB00945", 0, Console(file=StringIO()))
    assert not (tmp_path / "x").exists()
