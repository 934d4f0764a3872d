"""Every risk head: learns, repeats, resumes, saves, is not moved by padding, refuses what it cannot do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.task import Task
from medgraph.data.tasks import CodeWithin, Exclusions, LengthOfStay, NextVisit, TimeToEvent
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.predictions import RiskPredictions
from medgraph.heads.risk.tensors import Batch

# A new head is one row: its class, and what makes it small.
HEADS = {
    "Deepr": {"filters": 16},
    "VisitLSTM": {"hidden_size": 8},
    "VisitGRU": {"hidden_size": 8},
    "RETAIN": {"alpha_size": 8, "beta_size": 8},
    "GRUD": {"hidden_size": 8, "variables": 3, "visit": "visit"},
    "DeepPatient": {"hidden_size": 16, "layers": 2, "pretrain_epochs": 10, "pretrain_rate": 0.03, "learning_rate": 0.1},
    "DynamicDeepHit": {"hidden_size": 8, "variables": 3, "members": 2},
}
SMALL = {"vector_size": 8, "batch_size": 32, "epochs": 8, "learning_rate": 0.02, "dropout": 0.0, "bins": 4}
DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))
FIRST_SUBJECT = 7_310_000_001  # ids that would be seen in the bytes of an artefact


def synthetic(subjects: int = 240, seed: int = 0) -> Cohort:
    """Ten codes at random; who has S//SIGN is likely to have O//OUT within a year, and soon."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int | None, str]] = []
    for number in range(subjects):
        who = FIRST_SUBJECT + number
        rows.append((who, None, f"GENDER//{'FM'[number % 2]}"))
        rows.append((who, INDEX - int(rng.integers(20, 90) * 365.25 * DAY), "MEDS_BIRTH"))
        sign = rng.random() < 0.5
        days = np.sort(rng.choice(np.arange(5, 700), size=rng.integers(1, 6), replace=False))[::-1]
        for place, day in enumerate(days.tolist()):
            for code in rng.choice(10, size=rng.integers(1, 4), replace=False):
                rows.append((who, INDEX - day * DAY, f"C//{code}"))
            if sign and place == 0:
                rows.append((who, INDEX - day * DAY, "S//SIGN"))
        if rng.random() < (0.9 if sign else 0.1):
            rows.append((who, INDEX + int(rng.integers(10, 120 if sign else 350)) * DAY, "O//OUT"))
        elif rng.random() < 0.2:
            rows.append((who, INDEX + int(rng.integers(10, 350)) * DAY, "O//OTHER"))
        rows.append((who, INDEX + 500 * DAY, "C//0"))
        rows.append((who, INDEX + 900 * DAY, "C//1"))
    who_, when, what = zip(*rows, strict=True)
    table = pa.table(
        {
            "subject_id": pa.array(who_, pa.int64()),
            "time": pa.array(when, pa.timestamp("us")),
            "code": pa.array(what, pa.string()),
            "numeric_value": pa.nulls(len(rows), pa.float32()),
        }
    )
    at = AtDates(("2020-01-01",))
    return (
        Cohort.of(table)
        .split((0.6, 0.2, 0.2), seed=1)
        .with_tasks(
            out=CodeWithin(("O//OUT",), 365, at),
            nothing=CodeWithin(("C//0",), 510, at),
            nobody=CodeWithin(("O//OUT",), 365, at, exclusions=Exclusions(min_age=200)),
            next=NextVisit({"out": ("O//OUT",), "other": ("O//OTHER",), "none": ("C//0",)}, at=at),
            when=TimeToEvent({"out": ("O//OUT",), "other": ("O//OTHER",)}, at, horizon_days=365),
            stay=LengthOfStay(admissions=("C//1",), discharges=("C//2",)),
        )
    )


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic()


def make(name: str, **more: object) -> RiskHead:
    head = getattr(mg, name)(**{**SMALL, **HEADS[name], **more})
    assert isinstance(head, RiskHead)
    return head


def task_of(name: str) -> str:
    return "out" if "binary" in getattr(mg, name).kinds else "when"


def outcome_and_risk(found: RiskPredictions) -> tuple[np.ndarray, np.ndarray]:
    """Of O//OUT within a year."""
    if found.kind == "survival":
        return found.label[:, 1] == 1, found.within(365.0, "out")
    return found.label == 1, found.probability


@pytest.fixture(scope="module", params=HEADS)
def fitted(request: pytest.FixtureRequest, cohort: Cohort) -> RiskHead:
    return make(request.param).fit(cohort, task_of(request.param), progress=False)


def auroc(label: np.ndarray, score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label, score))


def test_finds_what_was_planted(fitted: RiskHead, cohort: Cohort) -> None:
    found = fitted.predict_proba(cohort.held_out)
    truth, risk = outcome_and_risk(found)
    assert risk.shape == (len(found),)
    assert ((risk > 0) & (risk < 1)).all()
    assert auroc(truth, risk) > 0.75
    assert risk.mean() == pytest.approx(truth.mean(), abs=0.2)
    assert set(found.subject_id) == set(cohort.held_out.subjects)


def test_same_seed_same_numbers_and_another_seed_others(fitted: RiskHead, cohort: Cohort) -> None:
    name = type(fitted).__name__
    before = torch.get_rng_state()
    again = make(name).fit(cohort, task_of(name), progress=False).predict_proba(cohort.held_out).probability
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(again, fitted.predict_proba(cohort.held_out).probability)
    other = make(name, seed=1, epochs=1).fit(cohort, task_of(name), progress=False)
    assert not np.allclose(again, other.predict_proba(cohort.held_out).probability)


def test_saved_and_loaded_it_predicts_the_same(fitted: RiskHead, cohort: Cohort, tmp_path: Path) -> None:
    fitted.save(tmp_path / "head")
    loaded = type(fitted).load(tmp_path / "head")
    before, after = (head.predict_proba(cohort.held_out) for head in (fitted, loaded))
    np.testing.assert_array_equal(before.probability, after.probability)
    assert loaded.notes_ == fitted.notes_
    assert loaded.counts_ == fitted.counts_
    card = (tmp_path / "head" / "card.md").read_text(encoding="utf-8")
    assert f"calibration: {'TemperatureCalibrator' if task_of(type(fitted).__name__) == 'out' else 'none'}" in card


def test_no_subject_and_no_date_is_in_the_artefact(fitted: RiskHead, cohort: Cohort, tmp_path: Path) -> None:
    fitted.save(tmp_path / "head")
    ids = cohort.subjects.astype("<i8")
    times = cohort.labels("out").prediction_time.astype("<i8")
    for path in (tmp_path / "head").iterdir():
        content = path.read_bytes()
        for number in (*ids[:50].tolist(), *ids[-50:].tolist()):
            assert str(number).encode() not in content
            assert int(number).to_bytes(8, "little") not in content
            assert np.float64(number).tobytes() not in content
        assert int(times[0]).to_bytes(8, "little") not in content
        if path.suffix in {".json", ".md"}:
            text = content.decode()
            assert not re.search(r"73100\d{5}", text)
            dates = set(re.findall(r"\d{4}-\d{2}-\d{2}", text))
            assert dates <= {"2020-01-01"}  # the task's own landmark, which is a setting


def test_resumed_it_comes_to_the_same_numbers(fitted: RiskHead, cohort: Cohort, tmp_path: Path) -> None:
    name = type(fitted).__name__
    task = task_of(name)
    make(name, epochs=3).fit(cohort, task, checkpoint=tmp_path / "c", progress=False)
    resumed = make(name).fit(cohort, task, checkpoint=tmp_path / "c", resume=True, progress=False)
    np.testing.assert_array_equal(
        resumed.predict_proba(cohort.held_out).probability, fitted.predict_proba(cohort.held_out).probability
    )
    with pytest.raises(SchemaError, match="learning_rate"):
        make(name, learning_rate=0.5).fit(cohort, task, checkpoint=tmp_path / "c", resume=True, progress=False)


def test_neither_padding_nor_company_changes_the_result(fitted: RiskHead, cohort: Cohort) -> None:
    state = fitted._fitted()
    samples = cohort.held_out.timelines(task_of(type(fitted).__name__), state.vocabulary).all()
    with torch.no_grad():
        together = state.network(Batch.of(samples))
        wide = state.network(Batch.of(samples, width=40))
        alone = torch.cat([state.network(Batch.of(samples.take(np.array([i])))) for i in range(len(samples))])
        turned = state.network(Batch.of(samples.take(np.arange(len(samples))[::-1].copy()))).flip(0)
    for other in (wide, alone, turned):
        torch.testing.assert_close(together, other, rtol=1e-4, atol=1e-5)


def test_samples_without_a_known_code_are_counted_and_answered(fitted: RiskHead) -> None:
    stranger = synthetic(3, seed=5)
    events = next(iter(stranger.shards.blocks(None)))
    assert events.num_subjects == 3
    table = pa.table(
        {
            "subject_id": [1, 1, 1, 2, 2, 2],
            "time": pa.array([INDEX - 40 * DAY, INDEX + 9 * DAY, INDEX + 600 * DAY] * 2, pa.timestamp("us")),
            "code": ["X//1", "O//OUT", "O//OTHER", "C//1", "C//2", "C//3"],
        }
    )
    at = AtDates(("2020-01-01",))
    within: Task = CodeWithin(("O//OUT",), 365, at)
    if task_of(type(fitted).__name__) == "when":
        within = TimeToEvent({"out": ("O//OUT",), "other": ("O//OTHER",)}, at, horizon_days=365)
    found = fitted.predict_proba(Cohort.of(table), within)
    assert len(found) == 2
    assert found.unseen == 1
    assert np.isfinite(found.probability).all()


def test_refuses_one_class_no_sample_and_no_split(cohort: Cohort, fitted: RiskHead) -> None:
    name = type(fitted).__name__
    task = task_of(name)
    refused = {"nothing": "same outcome", "nobody": "no sample"} if task == "out" else {"out": "does survival tasks"}
    for label, words in {**refused, "stay": "real"}.items():
        with pytest.raises(SchemaError, match=words):
            make(name).fit(cohort, label, progress=False)
    with pytest.raises(SchemaError, match=r"cohort\.split"):
        make(name).fit(replace(cohort, splits={}), task, progress=False)
    with pytest.raises(SchemaError, match="whole split cohort"):
        make(name).fit(cohort.train, task, progress=False)
    with pytest.raises(UnknownIdentifierError, match="Nearest: out"):
        make(name).fit(cohort, "outt", progress=False)
    with pytest.raises(NotFittedError, match="fit"):
        make(name).predict_proba(cohort.held_out)
    with pytest.raises(SchemaError, match="multilabel"):
        fitted.predict_proba(cohort.held_out, "next")


def embedding_of(codes: list[str], size: int = 6) -> Embedding:
    vectors = np.random.default_rng(0).normal(size=(len(codes), size)).astype(np.float32)
    return Embedding(tuple(codes), ("",) * len(codes), tuple(codes), vectors)


@pytest.mark.parametrize("fine_tune", [True, False])
def test_starts_from_an_embedding(fitted: RiskHead, cohort: Cohort, fine_tune: bool) -> None:
    name = type(fitted).__name__
    given = embedding_of([f"C//{i}" for i in range(10)] + ["GENDER//F", "GENDER//M"])
    head = make(name, embedding=given, fine_tune=fine_tune, epochs=2).fit(cohort, task_of(name), progress=False)
    assert "12 codes exactly" in head.notes_[0]
    assert "1 missing" in head.notes_[0]
    with pytest.raises(SchemaError, match=r"Only 1 of 13 codes \(.*% of the training events\)"):
        make(name, embedding=embedding_of(["C//1", "D//2"])).fit(cohort, task_of(name), progress=False)


def test_several_labels_at_once(fitted: RiskHead, cohort: Cohort) -> None:
    if "multilabel" not in fitted.kinds:
        pytest.skip("one at a time")
    head = make(type(fitted).__name__).fit(cohort, "next", progress=False)
    found = head.predict_proba(cohort.held_out)
    assert found.probability.shape == (len(found), 3)
    assert auroc(found.label[:, 0], found.probability[:, 0]) > 0.7


def test_survival_with_competing_events(fitted: RiskHead, cohort: Cohort, tmp_path: Path) -> None:
    if "survival" not in fitted.kinds:
        pytest.skip("no survival")
    head = make(type(fitted).__name__, epochs=20, batch_size=16, learning_rate=0.03).fit(cohort, "when", progress=False)
    found = head.predict_proba(cohort.held_out)
    assert found.probability.shape == (len(found), 2, len(found.days))
    assert (np.diff(found.probability, axis=2) >= 0).all()
    assert (found.probability[:, :, -1].sum(axis=1) <= 1 + 1e-6).all()
    assert auroc(found.label[:, 1] == 1, found.within(200.0, "out")) > 0.7
    head.save(tmp_path / "head")
    loaded = type(head).load(tmp_path / "head")
    np.testing.assert_array_equal(loaded.predict_proba(cohort.held_out).probability, found.probability)


def test_contributions_add_up_to_the_logit(fitted: RiskHead, cohort: Cohort) -> None:
    found = fitted.explain(cohort.held_out, int(cohort.held_out.subjects[3]))
    assert found.rest + found.contribution.sum() == pytest.approx(found.logit, abs=0.02)
    assert len(found.codes) == len(found.contribution) == len(found.days)


def test_evaluated_beside_baselines(fitted: RiskHead, cohort: Cohort) -> None:
    report = fitted.evaluate(cohort.held_out, n_bootstrap=50)
    name = type(fitted).__name__
    if task_of(name) == "when":
        assert list(report.estimates) == [name, "Cox, age and sex", "Cox"]
        assert report.gains["Cox, age and sex"]["C out"].value > 0.1
        return
    assert list(report.estimates) == [name, "age and sex", "logistic regression", "gradient boosting"]
    found = fitted.predict_proba(cohort.held_out)
    assert report.metrics["AUROC"] == pytest.approx(auroc(found.label, found.probability))
    assert report.gains["age and sex"]["AUROC"].value > 0.1
