"""`medgraph risk`: fit, predict, evaluate and explain on a MEDS folder; subjects stand in no output but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import medgraph as mg
from medgraph import cli
from medgraph.errors import ArtefactError, MedgraphError, SchemaError, UnknownIdentifierError

DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))
FIRST = 7_310_000_001
SMALL = ["--set", "hidden_size=4", "--set", "vector_size=4", "--set", "epochs=6", "--set", "learning_rate=0.03"]
TASK = ["--outcome", "O//*", "--within", "365", "--on", "2020-01-01"]


@pytest.fixture(scope="module")
def meds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who has S//SIGN is likely to have O//OUT within a year; a label file says the same."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int | None, str]] = []
    labels: list[tuple[int, int, bool]] = []
    for number in range(220):
        who, sign = FIRST + number, bool(rng.random() < 0.5)
        rows.append((who, None, f"GENDER//{'FM'[number % 2]}"))
        rows += [(who, INDEX - int(d) * DAY, f"C//{rng.integers(8)}") for d in sorted(rng.integers(5, 700, 3))[::-1]]
        if sign:
            rows.append((who, INDEX - 3 * DAY, "S//SIGN"))
        out = bool(rng.random() < (0.9 if sign else 0.1))
        if out:
            rows.append((who, INDEX + int(rng.integers(10, 350)) * DAY, "O//OUT"))
        rows.append((who, INDEX + 500 * DAY, "C//0"))
        labels.append((who, INDEX, out))
    folder = tmp_path_factory.mktemp("cli_risk") / "meds"
    for name in ("data", "metadata", "labels"):
        (folder / name).mkdir(parents=True)
    who_, when, what = zip(*rows, strict=True)
    events = {
        "subject_id": pa.array(who_, pa.int64()),
        "time": pa.array(when, pa.timestamp("us")),
        "code": pa.array(what),
        "numeric_value": pa.nulls(len(rows), pa.float32()),
    }
    pq.write_table(pa.table(events), folder / "data" / "0.parquet")
    subject, time, value = zip(*labels, strict=True)
    table = {"subject_id": subject, "prediction_time": pa.array(time, pa.timestamp("us")), "boolean_value": value}
    pq.write_table(pa.table(table), folder / "labels" / "out.parquet")
    split = np.array(["train", "train", "train", "tuning", "held_out"])[np.arange(220) % 5]
    splits = pa.table({"subject_id": np.arange(FIRST, FIRST + 220), "split": pa.array(split)})
    pq.write_table(splits, folder / "metadata" / "subject_splits.parquet")
    return folder


def run(*arguments: str | Path, code: int = 0) -> Any:
    """Standard output, parsed if it is JSON."""
    result = CliRunner().invoke(cli.app, ["risk", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.output


@pytest.fixture(scope="module")
def head(meds: Path) -> Path:
    folder = meds.parent / "head"
    told = run("fit", meds, *TASK, *SMALL, "--to", folder, "--seed", "3", "--json")
    assert (told["kind"], told["privacy"]) == ("VisitGRU", None)
    assert told["counts"]["train"]["samples"] == 132
    assert told["last_epoch"]["epoch"] == 5
    return folder


def test_fit_is_the_library_s(head: Path, meds: Path) -> None:
    """With the same settings and seed, the weights are those of mg.VisitGRU(...).fit."""
    from medgraph.data.prediction_times import AtDates
    from medgraph.data.tasks import CodeWithin

    cohort = mg.load("meds", path=meds)
    task = CodeWithin(("O//*",), 365.0, AtDates(("2020-01-01",)))
    by_hand = mg.VisitGRU(hidden_size=4, vector_size=4, epochs=6, learning_rate=0.03, seed=3)
    by_hand.fit(cohort, task, progress=False)
    loaded = mg.VisitGRU.load(head)
    assert loaded.seed == 3
    one, two = (model.predict_proba(cohort.held_out, task).probability for model in (by_hand, loaded))
    np.testing.assert_array_equal(one, two)


def test_predict_shows_no_subject_and_writes_them_only_if_asked(head: Path, meds: Path, tmp_path: Path) -> None:
    told = run("predict", head, meds, *TASK, "--json")
    assert (told["samples"], told["subjects"], told["file"]) == (44, 44, None)
    assert "73100" not in json.dumps(told)
    for name in ("risks.csv", "risks.parquet"):
        shown = run("predict", head, meds, *TASK, "--to", tmp_path / name)
        assert "73100" not in shown.replace(str(tmp_path), "")
    frame = pd.read_csv(tmp_path / "risks.csv")
    assert list(frame.columns) == ["subject_id", "prediction_time", "probability"]
    held_out = set(range(FIRST + 4, FIRST + 220, 5))
    assert set(frame["subject_id"]) == held_out
    assert told["risks"][0]["mean"] == pytest.approx(frame["probability"].mean(), abs=1e-4)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "risks.parquet")["probability"], frame["probability"])
    assert run("predict", head, meds, *TASK, "--part", "all", "--json")["samples"] == 220


def test_evaluate_beside_baselines(head: Path, meds: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    told = run("evaluate", head, meds, *TASK, "--bootstrap", "20", "--save", report, "--json")
    assert list(told["estimates"]) == ["VisitGRU", "age and sex", "logistic regression", "gradient boosting"]
    assert json.loads(report.read_text())["estimates"] == told["estimates"]
    run("predict", head, meds, *TASK, "--to", tmp_path / "risks.csv")
    frame = pd.read_csv(tmp_path / "risks.csv").set_index("subject_id")
    labels = pq.read_table(meds / "labels" / "out.parquet").to_pandas().set_index("subject_id")
    by_hand = roc_auc_score(labels.loc[frame.index, "boolean_value"], frame["probability"])
    assert told["estimates"]["VisitGRU"]["AUROC"]["value"] == pytest.approx(by_hand)
    assert by_hand > 0.7
    costly = run("evaluate", head, meds, *TASK, "--bootstrap", "5", "--no-baselines", "--missed", "1", "--json")
    assert list(costly["estimates"]) == ["VisitGRU"]
    assert costly["decision"]["threshold"] == 0.5
    assert "AUROC" in run("evaluate", head, meds, *TASK, "--bootstrap", "5", "--no-baselines")
    quick = ["evaluate", head, meds, *TASK, "--bootstrap", "5", "--no-baselines", "--membership"]
    attack = run(*quick, "--json")["membership"]
    assert (attack["members"], attack["others"]) == (132, 44)
    assert f"AUROC {attack['auroc']['value']:.3f}" in run(*quick)


def test_explain_adds_up(head: Path, meds: Path, tmp_path: Path) -> None:
    told = run("explain", head, meds, str(FIRST + 4), *TASK, "--picture", tmp_path / "t.html", "--json")
    assert told["rest"] + sum(event["contribution"] for event in told["events"]) == pytest.approx(
        told["logit"], abs=0.02
    )
    assert (tmp_path / "t.html").stat().st_size > 0
    assert "73100" not in (tmp_path / "t.html").read_text().replace(str(tmp_path), "")
    one = run("explain", head, meds, str(FIRST + 4), *TASK, "--topn", "1", "--json")["events"]
    assert one == [max(told["events"], key=lambda event: abs(event["contribution"]))]
    assert "log-odds" in run("explain", head, meds, str(FIRST + 4), *TASK)


def test_a_label_file_is_a_task(meds: Path, tmp_path: Path) -> None:
    run("fit", meds, "--label", "out", *SMALL, "--to", tmp_path / "head", "--json")
    assert run("predict", tmp_path / "head", meds, "--label", "out", "--json")["samples"] == 44
    everything = b"".join(path.read_bytes() for path in (tmp_path / "head").iterdir())
    assert b"73100" not in everything


def test_survival_first_event_and_every_visit(meds: Path, tmp_path: Path) -> None:
    small = ["--set", "hidden_size=4", "--set", "vector_size=4", "--set", "epochs=1", "--set", "variables=1"]
    what = ["--outcome", "O//OUT", "--survival", "--on", "2020-01-01"]
    told = run("fit", meds, *what, *small, "--head", "DynamicDeepHit", "--to", tmp_path / "when", "--json")
    assert told["counts"]["train"]["samples"] == 132
    first = ["--outcome", "O//OUT", "--after", "S//SIGN"]
    fast = [*SMALL[:4], "--set", "epochs=1"]
    told = run("fit", meds, *first, *fast, "--to", tmp_path / "first", "--json")
    assert 40 < told["counts"]["train"]["samples"] < 90  # half of them have the sign
    told = run("fit", meds, "--outcome", "O//OUT", *fast, "--to", tmp_path / "every", "--json")
    assert told["counts"]["train"]["samples"] > 132


def test_private(meds: Path, tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    fast = [*SMALL[:4], "--set", "epochs=1"]
    told = run("fit", meds, *TASK, *fast, "--epsilon", "60", "--delta", "0.001", "--to", tmp_path / "p", "--json")
    assert 0 < told["privacy"]["epsilon"] <= 60
    assert told["privacy"]["unit"] == "subject"
    assert told["counts"] == {}
    assert "differential privacy" in run(
        "fit", meds, *TASK, *fast, "--epsilon", "60", "--delta", "0.001", "--to", tmp_path / "p"
    )


def test_a_folder_without_a_split_is_split_by_the_seed(meds: Path, tmp_path: Path) -> None:
    (tmp_path / "meds" / "data").mkdir(parents=True)
    (tmp_path / "meds" / "data" / "0.parquet").write_bytes((meds / "data" / "0.parquet").read_bytes())
    fast = [*SMALL[:4], "--set", "epochs=1"]
    shown = run("fit", tmp_path / "meds", *TASK, *fast, "--seed", "5", "--to", tmp_path / "head")
    assert "drawn with seed 5" in shown
    run("predict", tmp_path / "head", tmp_path / "meds", *TASK, "--to", tmp_path / "risks.csv")
    wanted = mg.load("meds", path=tmp_path / "meds").split(seed=5).held_out.subjects
    assert set(pd.read_csv(tmp_path / "risks.csv")["subject_id"]) == set(wanted.tolist())


def test_refusals(head: Path, meds: Path, tmp_path: Path) -> None:
    for wrong, said in (
        ([], "Label files: out"),
        (["--outcome", "O//OUT", "--on", "2020-01-01", "--after", "C//1"], "--label"),
        (["--label", "out", "--outcome", "O//OUT"], "whole task"),
        ([*TASK, "--set", "hiden_size=4"], "hidden_size"),
        ([*TASK, "--head", "GRU"], "VisitGRU"),
    ):
        assert said in " ".join(run("fit", meds, *wrong, code=2).split())
    assert ".csv" in run("predict", head, meds, *TASK, "--to", "risks.txt", code=2)
    with pytest.raises(UnknownIdentifierError, match="out"):
        run("fit", meds, "--label", "outt")
    with pytest.raises(UnknownIdentifierError):
        run("explain", head, meds, "1", *TASK)
    with pytest.raises(ArtefactError, match="no medgraph artefact"):
        run("predict", meds, meds, *TASK)
    with pytest.raises(MedgraphError, match="expected a cohort"):
        run("fit", "starter", *TASK)
    (tmp_path / "manifest.json").write_text(
        json.dumps(dict.fromkeys(("parameters", "graph", "seed", "metrics"), 0) | {
            "format": "medgraph artefact", "format_version": 1, "kind": "Embedding", "sha256": {}})
    )  # fmt: skip
    with pytest.raises(SchemaError, match="holds a Embedding, not a risk head"):
        run("predict", tmp_path, meds, *TASK)
