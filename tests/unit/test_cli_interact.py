"""`medgraph interact`: fit, predict, evaluate, explain, screen and synergy from files, as the library does them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from binders import GROUP, MOTIF, affinities, molecules
from typer.testing import CliRunner

import medgraph as mg
from medgraph import cli
from medgraph.errors import ArtefactError, LoaderError, MedgraphError, SchemaError, UnknownIdentifierError

pytest.importorskip("rdkit")
SMALL = [
    f"--set={text}"
    for text in (
        "vector_size=12", "filters=8,12", "drug_windows=3,3", "target_windows=3,3", "hidden=24", "epochs=8",
        "learning_rate=0.01", "batch_size=64", "block=8",
    )
]  # fmt: skip
TARGET = "MKTAYIAKQRQISFVK" + MOTIF + "LEERLGLIEV"


def run(*arguments: str | Path, code: int = 0) -> Any:
    """Standard output, parsed if it is JSON."""
    result = CliRunner().invoke(cli.app, ["interact", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.output


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli_interact") / "pairs.csv"
    affinities(drugs=40, targets=10).to_pandas().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def head(table: Path) -> Path:
    folder = table.parent / "head"
    told = run("fit", table, "--unit", "pKd", *SMALL, "--to", folder, "--seed", "3", "--device", "cpu", "--json")
    assert (told["kind"], told["last_epoch"]["epoch"] >= 0) == ("DeepDTA", True)
    assert told["counts"]["train"]["pairs"] == 320
    assert sorted(path.name for path in table.parent.iterdir()) == ["head", "pairs.csv"]  # no checkpoint is left
    return folder


def test_fit_is_the_library_s(head: Path, table: Path) -> None:
    split = mg.load("affinity_table", table, unit="pKd").split(by="pair", seed=3)
    by_hand = mg.DeepDTA(
        vector_size=12, filters=(8, 12), drug_windows=(3, 3), target_windows=(3, 3), hidden=(24,), epochs=8,
        learning_rate=0.01, batch_size=64, block=8, device="cpu", seed=3,
    ).fit(split.train, split.valid, progress=False)  # fmt: skip
    np.testing.assert_allclose(mg.DeepDTA.load(head).scores(split.test), by_hand.scores(split.test), atol=1e-6)


def test_predict_every_drug_with_every_target(head: Path, tmp_path: Path) -> None:
    (tmp_path / "t.fasta").write_text(f">P1 one\n{TARGET[:20]}\n{TARGET[20:]}\n>P2\n{TARGET[::-1]}\n")
    (tmp_path / "d.smi").write_text(f"NS(=O)(=O)c1ccccc1 amide\n{molecules()[0]} other\nCCO\n")
    told = run("predict", head, "--drugs", tmp_path / "d.smi", "--targets", tmp_path / "t.fasta", "--json")
    rows = told["predictions"]
    assert told["unit"] == "pKd"
    assert [(row["drug"], row["target"]) for row in rows[:3]] == [
        ("amide", "P1"),
        ("amide", "P2"),
        (rows[2]["drug"], "P1"),
    ]
    assert len(rows) == 6
    library = mg.DeepDTA.load(head).predict(smiles=["NS(=O)(=O)c1ccccc1"], sequences=[TARGET])
    assert rows[0]["value"] == pytest.approx(library.value[0], abs=1e-6)
    assert rows[0]["low"] == pytest.approx(library.low[0], abs=1e-6)  # type: ignore[index]
    assert {row["target_seen"] for row in rows} == {False}
    known = run("predict", head, "--drug", "D0", "--drug", "D1", "--target", "T1", "--json")["predictions"]
    assert [(row["drug"], row["target"], row["drug_seen"], row["target_seen"]) for row in known] == [
        ("D0", "T1", True, True),
        ("D1", "T1", True, True),
    ]
    shown = run("predict", head, "--smiles", "CCO", "--sequence", TARGET, "--to", tmp_path / "p.csv")
    assert "1 predictions, pKd; low and high: 90% interval" in shown
    assert pd.read_csv(tmp_path / "p.csv").loc[0, "drug"] == "CCO"
    run("predict", head, "--smiles", "CCO", "--target", "T1", "--to", tmp_path / "p.parquet")
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 1


def test_predict_a_table_of_pairs(head: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"smiles,target\nCCO,T0\n{molecules()[3]},T1\n")
    rows = run("predict", head, "--pairs", tmp_path / "p.csv", "--json")["predictions"]
    assert [row["target"] for row in rows] == ["T0", "T1"]
    measured = run("predict", head, "--pairs", table, "--json")["predictions"]
    assert len(measured) == 400
    assert np.corrcoef([row["value"] for row in measured], pd.read_csv(table)["Y"])[0, 1] > 0.7


def test_evaluate_beside_baselines(head: Path, table: Path, tmp_path: Path) -> None:
    save = tmp_path / "report.json"
    told = run("evaluate", head, table, "--unit", "pKd", "--bootstrap", "20", "--save", save, "--json")
    estimates = told["parts"][0]["estimates"]
    assert "DeepDTA" in estimates
    assert len(estimates) >= 3
    assert json.loads(save.read_text())["model"] == "DeepDTA"
    split = mg.load("affinity_table", table, unit="pKd").split(by="pair", seed=3)
    by_hand = np.mean((mg.DeepDTA.load(head).scores(split.test) - split.test.value) ** 2)
    assert estimates["DeepDTA"]["MSE"][0] == pytest.approx(by_hand)
    quick = ["evaluate", head, table, "--unit", "pKd", "--bootstrap", "5", "--no-baselines"]
    assert "DeepDTA" in run(*quick)
    with pytest.raises(SchemaError, match="not fitted on this split"):
        run(*quick, "--seed", "4")


def test_explain_draws_and_checks(head: Path, tmp_path: Path) -> None:
    given = ["explain", head, "--smiles", f"c1ccc({GROUP})cc1", "--sequence", TARGET, "--draws", "20"]
    told = run(*given, "--picture", tmp_path / "why.svg", "--json")
    (found,) = told["explanations"]
    parts = found["baseline"] + sum(found["atoms"]) + sum(found["residues"]) + found["other"]
    assert parts == pytest.approx(found["value"], abs=0.01)
    assert [d["part"] for d in told["deletions"]] == ["atoms", "residues"]
    assert "<svg" in (tmp_path / "why.svg").read_text()
    assert "Taken out" in run(*given)


def test_screen_writes_hits_and_resumes(head: Path, tmp_path: Path) -> None:
    (tmp_path / "l.smi").write_text("".join(f"{s} m{i}\n" for i, s in enumerate([*molecules(), "C("])))
    given = ["screen", head, tmp_path / "l.smi", "--sequence", TARGET, "--top", "5", "--to", tmp_path / "s"]
    told = run(*given, "--json")
    n = len(molecules())
    assert {**told["counts"], "duplicates": 0} == {"rows": n + 1, "scored": n, "refused": 1, "duplicates": 0}
    assert len(told["hits"]) == 5
    with pytest.raises(SchemaError, match="holds a screen already"):
        run(*given)
    assert f"{n + 1} rows" in run(*given, "--resume")
    assert (tmp_path / "s" / "refused.csv").read_text().count("\n") == 2


def test_a_stack_and_vectors_of_a_graph(table: Path, tmp_path: Path) -> None:
    from medgraph.embeddings.embedding import Embedding

    told = run(
        "fit",
        table,
        "--unit",
        "pKd",
        "--head",
        "InteractionStack",
        "--set",
        "folds=3",
        "--to",
        tmp_path / "s",
        "--json",
    )
    assert told["kind"] == "InteractionStack"
    rows = run("predict", tmp_path / "s", "--drug", "D0", "--target", "T1", "--json")["predictions"]
    assert abs(rows[0]["value"] - pd.read_csv(table).query("Drug_ID == 'D0' and Target_ID == 'T1'")["Y"].item()) < 1
    judged = run("evaluate", tmp_path / "s", table, "--unit", "pKd", "--no-baselines", "--bootstrap", "10", "--json")
    assert judged["model"] == "InteractionStack"
    (tmp_path / "l.smi").write_text("\n".join(molecules()[:30]))
    hits = run("screen", tmp_path / "s", tmp_path / "l.smi", "--target", "T1", "--to", tmp_path / "h", "--json")["hits"]
    assert len(hits) == 30
    with pytest.raises(SchemaError, match="holds a InteractionStack"):
        run("explain", tmp_path / "s", "--smiles", "C", "--target", "T1")
    ids = [f"D{i}" for i in range(40)] + [f"T{i}" for i in range(10)]
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    Embedding(ids, ["A"] * 50, ids, vectors).save(tmp_path / "e")
    given = ["--set", "epochs=2", "--set", "tower=8", "--set", "hidden=8", "--set", "vector_size=4", "--device", "cpu"]
    fit = ["fit", table, "--unit", "pKd", "--head", "KnowledgeDTA", *given, "--to", tmp_path / "k", "--json"]
    assert run(*fit, "--embedding", tmp_path / "e")["kind"] == "KnowledgeDTA"
    assert "belong together" in " ".join(run(*fit[:-1], code=2).split())
    assert run("predict", tmp_path / "k", "--drug", "D3", "--target", "T1", "--json")["predictions"][0]["drug_seen"]


def test_synergy_from_fit_to_answer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "combinations"
    folder.mkdir()
    drugs = {f"D{i}": smiles for i, smiles in enumerate(molecules()[:12])}
    rows = [
        (a, b, f"C{c}", round(float(10 * (c == 1) + rng.normal()), 3))
        for i, a in enumerate(drugs)
        for b in list(drugs)[i + 1 :]
        for c in range(3)
    ]
    pd.DataFrame(rows, columns=["Drug1", "Drug2", "cell", "synergy"]).to_csv(folder / "s.tsv", sep="\t", index=False)
    pd.DataFrame(drugs.items(), columns=["drug_name", "smiles"]).to_csv(folder / "x_smiles.csv", index=False)
    head = tmp_path / "head"
    small = ["--set", "hidden=16", "--set", "width=8", "--set", "epochs=3", "--set", "bits=128", "--device", "cpu"]
    told = run("fit", "drugcomb", "--path", folder, *small, "--to", head, "--json")
    assert told["kind"] == "DeepSynergy"
    one = run("synergy", head, "--first", "D0", "--second", "D1", "--cell", "C1", "--json")["predictions"]
    two = run("synergy", head, "--first", "D1", "--second", "D0", "--cell", "C1", "--json")["predictions"]
    assert one[0]["value"] == two[0]["value"]
    assert one[0]["cell_seen"]
    assert "synergy" in run("synergy", head, "--first", "D0", "--second", "CCO", "--cell", "unheard")
    judged = run("evaluate", head, "drugcomb", "--path", folder, "--bootstrap", "5", "--no-baselines", "--json")
    assert judged
    with pytest.raises(SchemaError, match="holds a DeepSynergy"):
        run("predict", head, "--smiles", "C", "--target", "T0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "HEAD", "--smiles", "C"), "Name each target in one way"),
        (("predict", "HEAD", "--smiles", "C", "--drug", "D0", "--target", "T0"), "Name each drug in one way"),
        (("predict", "HEAD", "--smiles", "C", "--target", "T0", "--to", "x.txt"), r"ends in \.csv or \.parquet"),
        (("predict", "HEAD", "--pairs", "TABLE", "--smiles", "C"), "--pairs holds both sides"),
        (("screen", "HEAD", "TABLE"), "Name the target in one way"),
        (("fit", "TABLE", "--unit", "pKd", "--set", "epoch=3"), "Did you mean epochs"),
        (("fit", "TABLE", "--unit", "pKd", "--set", "hidden=a,b"), "is no tuple"),
        (("fit", "TABLE", "--unit", "pKd", "--head", "DeepSynergy"), "is not for what"),
        (("fit", "TABLE", "--unit", "pKd", "--by", "cell"), "can be held out by"),
        (
            ("fit", "TABLE", "--unit", "pKd", "--head", "InteractionStack", "--loss", "censored"),
            "--loss is for DeepDTA",
        ),
    ],
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...], words: str, head: Path, table: Path) -> None:
    import re

    given = [str({"HEAD": head, "TABLE": table}.get(a, a)) for a in arguments]
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run(*given, code=2)).split())
    assert re.search(words, said), said


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("predict", "HEAD", "--smiles", "C(", "--target", "T0"), SchemaError, r"smiles\[0\]"),
        (("predict", "HEAD", "--smiles", "C", "--sequence", "MK1"), SchemaError, r"sequences\[0\]"),
        (("predict", "HEAD", "--smiles", "C", "--target", "T99"), UnknownIdentifierError, "'T99'"),
        (("predict", "TABLE", "--smiles", "C", "--target", "T0"), ArtefactError, "manifest"),
        (("fit", "TABLE"), SchemaError, "Name what the values are in"),
        (("fit", "starter"), LoaderError, "expected affinities or synergies"),
        (("fit", "davos"), LoaderError, "Nearest: davis"),
        (("predict", "HEAD", "--smiles", "C", "--targets", "none.fasta"), LoaderError, "no such file"),
    ],
)
def test_what_is_refused_says_why(
    arguments: tuple[str, ...], error: type[MedgraphError], words: str, head: Path, table: Path
) -> None:
    given = [str({"HEAD": head, "TABLE": table}.get(a, a)) for a in arguments]
    with pytest.raises(error, match=words):
        run(*given)
