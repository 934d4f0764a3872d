"""The command line: tables for people, clean JSON for machines, exit codes, and one clear line for what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from medgraph import cli
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.stores import open_store

TREATS, TARGETS = EdgeType("Compound", "treats", "Disease"), EdgeType("Compound", "targets", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")
VERBS = {"demo", "loaders", "load", "query", "train", "similar", "repurpose", "evaluate", "explain", "explore"}
VERBS |= {"neo4j up", "neo4j down", "neo4j status", "export neo4j-admin"}
VERBS |= {"risk fit", "risk predict", "risk evaluate", "risk explain"}
VERBS |= {f"interact {verb}" for verb in ("fit", "predict", "evaluate", "explain", "screen", "synergy")}
COMMAND = [sys.executable, "-c", "import sys; from medgraph.cli import main; sys.argv[0] = 'medgraph'; main()"]

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three planted groups: a group's drugs hit its genes, which its diseases are associated with."""
    rng = np.random.default_rng(0)
    group = {"Compound": np.arange(24) % 3, "Disease": np.arange(15) % 3, "Gene": np.arange(30) % 3}
    prefix = {"Compound": "DRUGBANK:DB", "Disease": "DOID:", "Gene": "NCBIGENE:"}
    nodes = {
        t: pa.table({"id": [f"{prefix[t]}{i + 10000}" for i in range(g.size)], "name": [f"[{t}] {i}" for i in g]})
        for t, g in group.items()
    }

    def links(edge_type: EdgeType, inside: float, outside: float) -> pa.Table:
        same = group[edge_type.source][:, None] == group[edge_type.target][None, :]
        source, target = np.nonzero(rng.random(same.shape) < np.where(same, inside, outside))
        return pa.table({"source": source, "target": target})

    edges = {
        TREATS: links(TREATS, 0.6, 0.03),
        TARGETS: links(TARGETS, 0.5, 0.02),
        ASSOCIATES: links(ASSOCIATES, 0.5, 0),
    }
    where = tmp_path_factory.mktemp("cli")
    with open_store(where / "graph") as store:
        store.write(KnowledgeGraph(nodes, edges))
    return where


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cli.console.out, "width", 200, raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    return invoke


@pytest.fixture
def machine(run: Run, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The JSON that a verb prints: all of stdout."""

    def invoke(*arguments: str) -> Any:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.exception or result.output
        return json.loads(result.stdout)

    return invoke


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "COLUMNS": "200", **environment},
    )  # fmt: skip


def verbs_of(group: Any, before: str = "") -> dict[str, Any]:
    found = {}
    for name, verb in group.commands.items():
        found |= verbs_of(verb, f"{before}{name} ") if hasattr(verb, "commands") else {before + name: verb}
    return found


def test_every_verb_says_what_it_answers_and_gives_an_example_that_it_accepts(run: Run) -> None:
    verbs = verbs_of(get_command(cli.app))
    assert set(verbs) == VERBS
    for name, verb in verbs.items():
        example = verb.help.split("Example: medgraph ")[1]
        assert f"{example} ".startswith(f"{name} ")
        options = {option for parameter in verb.params for option in parameter.opts}
        assert {word for word in example.split() if word.startswith("--")} <= options
        result = run(*name.split(), "--help")
        assert (result.exit_code, "Example" in result.stdout) == (0, True)


def test_help_is_quick_because_it_loads_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from medgraph.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(sorted({'torch', 'pyarrow', 'numpy', 'pandas', 'matplotlib', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_loaders_and_load(machine: Callable[..., Any], folder: Path) -> None:
    assert {"hetionet", "kgx", "starter"} <= {row["name"] for row in machine("loaders")}
    source = folder / "kgx"
    source.mkdir()
    (source / "nodes.tsv").write_text(
        "id\tcategory\tname\nDOID:1\tbiolink:Disease\tone\nDOID:2\tbiolink:Disease\ttwo\n"
    )
    (source / "edges.tsv").write_text("subject\tpredicate\tobject\nDOID:1\tbiolink:subclass_of\tDOID:2\n")
    told = machine("load", "kgx", "--path", str(source), "--store", "graphs/mine")
    with open_store(folder / "graphs/mine", read_only=True) as store:
        graph = store.read()
    assert told["fingerprint"] == graph.fingerprint
    assert told["nodes"] == {"Disease": 2}
    assert sum(told["edges"].values()) == graph.num_edges == 1


def test_query_takes_parameters(machine: Callable[..., Any], run: Run) -> None:
    cypher = "MATCH (d:Disease {id: $id}) RETURN d.id AS id, $n AS n"
    assert machine("query", "graph", cypher, "--param", "id=DOID:10000", "--param", "n=3") == [
        {"id": "DOID:10000", "n": 3}
    ]
    assert "DOID:10000" in run("query", "graph", cypher, "--param", "id=DOID:10000", "--param", "n=3").stdout


def test_train_then_similar(machine: Callable[..., Any], run: Run, folder: Path) -> None:
    settings = ("--set", "vector_size=16", "--set", "epochs=3", "--set", "alpha=0.2", "--set", "shrink_windows=false")
    told = machine("train", "graph", "--to", "emb", "--without", str(TREATS), *settings, "--seed", "4")
    assert told["size"] == [69, 16]
    emb = Embedding.load(folder / "emb")
    assert {"vector_size": 16, "epochs": 3, "alpha": 0.2, "shrink_windows": False}.items() <= dict(
        emb.metadata["parameters"]
    ).items()
    assert emb.metadata["seed"] == 4
    found = machine("similar", "emb", "DOID:10000", "--node-type", "Gene", "--topn", "4")
    assert [(row["id"], row["similarity"]) for row in found] == [
        (i, pytest.approx(s, abs=1e-4)) for i, s in emb.most_similar("DOID:10000", topn=4, node_type="Gene")
    ]
    assert "[Gene]" in run("similar", "emb", "DOID:10000", "--node-type", "Gene").stdout, "a name is no markup"
    assert not list(folder.glob("*.checkpoint")) + list(folder.glob(".*.checkpoint"))


def test_an_interrupted_training_says_how_to_go_on_and_goes_on(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medgraph.embeddings.skipgram_torch import _SkipGramTask

    arguments = ("train", "graph", "--to", "whole", "--set", "vector_size=8", "--set", "epochs=3")
    assert run(*arguments).exit_code == 0
    original, calls = _SkipGramTask.losses, []

    def interrupted(self: Any, batch: int, progress: float) -> Any:
        calls.append(batch)
        if len(calls) == 1 + len(self.batches(0)):
            raise KeyboardInterrupt
        return original(self, batch, progress)

    arguments = (*arguments[:3], "cut", *arguments[4:])
    with monkeypatch.context() as patch:
        patch.setattr(_SkipGramTask, "losses", interrupted)
        stopped = run(*arguments)
    assert (stopped.exit_code, (folder / "cut").exists()) == (130, False)
    assert run(*arguments, "--resume").exit_code == 0
    vectors = [Embedding.load(folder / name).vectors for name in ("whole", "cut")]
    np.testing.assert_array_equal(*vectors)
    with pytest.raises(cli.SchemaError, match="no interrupted training"):
        CliRunner().invoke(cli.app, [*arguments, "--resume"], catch_exceptions=False)


def test_repurpose_learns_once_and_answers_from_the_folder(machine: Callable[..., Any], folder: Path) -> None:
    first = machine("repurpose", "graph", "DOID:10000", "--predictor", "predictor", "--topn", "8")
    assert (folder / "predictor" / "manifest.json").exists()
    assert machine("repurpose", "not/read", "DOID:10000", "--predictor", "predictor", "--topn", "8") == first
    planted = [int(row["id"][-5:]) % 3 == 10000 % 3 for row in first["candidates"]]
    assert len(planted) == 8
    assert sum(planted) >= 6, "a disease's own group holds 8 of the 24 drugs"
    new = machine("repurpose", "not/read", "DOID:10000", "--predictor", "predictor", "--new")
    assert not any(row["known"] for row in new["candidates"])
    other = machine("repurpose", "not/read", "DRUGBANK:DB10000", "--predictor", "predictor")
    assert {row["id"].split(":")[0] for row in other["candidates"]} == {"DOID"}


def test_evaluate_saves_what_it_prints(machine: Callable[..., Any], folder: Path) -> None:
    report = machine("evaluate", "graph", "--by", "target", "--save", "report.json")
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["by"] == "target"


def test_explain_and_explore(machine: Callable[..., Any], run: Run, folder: Path) -> None:
    evidence = machine("explain", "graph", "DRUGBANK:DB10000", "DOID:10000", "--max-length", "2")
    assert {path["ids"][0] for path in evidence["paths"]} == {"DRUGBANK:DB10000"}
    assert all(path["ids"][-1] == "DOID:10000" and len(path["ids"]) <= 3 for path in evidence["paths"])
    told = machine("explore", "graph", "DOID:10000", "--to", "around.svg")
    assert (folder / told["picture"]).read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "graph", "--set", "vectr_size=8"], "Did you mean vector_size?"),
        (["train", "graph", "--set", "epochs=many"], "'many' is no int"),
        (["train", "graph", "--set", "shrink_windows=perhaps"], "'perhaps' is no bool"),
        (["train", "graph", "--set", "epochs"], "expected name=value"),
        (["train", "graph", "--set", "walks=uniform"], "no parameter 'walks'"),
        (["train", "graph", "--encoder", "word2vec"], "'word2vec' is not one of"),
        (["evaluate", "graph", "--by", "luck"], "'luck' is not one of"),
        (["query", "graph", "RETURN 1", "--param", "x"], "expected name=value"),
        (["explain", "graph", "DOID:1", "DOID:2", "--max-length", "9"], "4"),
        (["similar", "emb"], "Missing argument"),
        (["cure"], "No such command 'cure'"),
    ],
)
def test_wrong_usage_exits_with_two(run: Run, arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    plain = " ".join(result.stderr.replace("│", " ").split())
    assert told in plain


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["load", "startr", "--store", "x"], "Nearest: starter."),
        (["similar", "nowhere", "DOID:1"], "nowhere"),
        (["query", "nowhere", "RETURN 1"], "nowhere"),
        (["query", "graph", "CREATE (d:Disease {id: 'DOID:1'})"], "read"),
        (["explain", "startr", "DOID:1", "DOID:2"], "Nearest: starter."),
        (["explain", "graph", "DOID:1000", "DOID:10000"], "Nearest: DOID:"),
        (["evaluate", "graph", "--relation", "Drug-treats-Disease"], "Compound"),
        (["evaluate", "graph", "--relation", "treats"], "Source-relation-Target"),
        (["explore", "graph", "DOID:10000", "--to", "picture.bmp"], ".html, .png or .svg"),
    ],
)
def test_what_is_refused_is_a_medgraph_error(run: Run, arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, cli.MedgraphError), result.exception
    assert told in str(result.exception)
    assert result.stdout == ""


def test_a_refusal_is_one_line_on_stderr_and_exit_one(folder: Path) -> None:
    done = process("explain", "graph", "DOID:1000", "DOID:10000", "--json", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: 'DOID:1000' is not in this graph")
    blocked = folder / "file"
    blocked.write_text("")
    done = process("explore", "graph", "DOID:10000", "--to", "file/picture.png", cwd=folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert process("loaders", "--jsn", cwd=folder).returncode == 2


def test_json_is_all_that_stands_on_stdout(folder: Path) -> None:
    done = process("query", "graph", "MATCH (d:Disease) RETURN count(*) AS n", "--json", cwd=folder)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [{"n": 15}], "")


def test_a_shell_can_complete_verbs(tmp_path: Path) -> None:
    words = {"_MEDGRAPH_COMPLETE": "complete_bash", "COMP_WORDS": "medgraph re", "COMP_CWORD": "1"}
    assert process(cwd=tmp_path, **words).stdout.split() == ["repurpose"]
    assert "complete -o default -F _medgraph_completion medgraph" in process(
        cwd=tmp_path, _MEDGRAPH_COMPLETE="source_bash"
    ).stdout.replace("-o nosort ", "")
