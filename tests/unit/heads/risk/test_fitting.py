"""What `fit` does besides descending a loss: ancestors' vectors, calibration, weights, roll-up, and failing well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medgraph.data.cohort import Cohort
from medgraph.data.given_labels import GivenLabels
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.evaluation.calibration import Calibrator, IsotonicCalibrator, PlattCalibrator
from medgraph.heads.risk.cnn import Deepr
from medgraph.heads.risk.lstm import VisitGRU
from medgraph.heads.risk.tensors import Batch

START, DAY = int(np.datetime64("2020-01-01", "us").astype(np.int64)), 86_400_000_000
FIRST = 8_450_000_003


def cohort_of(n: int = 200, rate: float = 0.1) -> Cohort:
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, str]] = []
    for who in range(FIRST, FIRST + n):
        code = int(rng.integers(4))
        rows += [(who, START - DAY * int(rng.integers(3, 90)), f"C//{code}"), (who, START + 500 * DAY, "END")]
        if rng.random() < rate * (1 + 2 * (code == 0)):
            rows.append((who, START + 30 * DAY, "OUT"))
    who_, when, what = zip(*rows, strict=True)
    table = pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what})
    described = pa.table(
        {"code": ["C//1", "C//2"], "description": ["", ""], "parent_codes": [["UP//1"], ["UP//2", "UP//3"]]}
    )
    out = CodeWithin(("OUT",), 365, AtDates(("2020-01-01",)))
    return Cohort.of(table, described).split((0.5, 0.25, 0.25), seed=0).with_tasks(out=out)


SMALL = {"vector_size": 4, "epochs": 2, "device": "cpu", "dropout": 0.0}


def test_ancestors_stand_in_and_it_is_said() -> None:
    ids = ("C//0", "UP//1", "UP//3")
    given = Embedding(ids, ("",) * 3, ids, np.eye(3, dtype=np.float32) + 1)
    head = Deepr(embedding=given, filters=2, epochs=1, device="cpu").fit(cohort_of(), "out", progress=False)
    assert "1 codes exactly, 2 inferred from an ancestor, 1 missing" in head.notes_[0]
    with pytest.raises(SchemaError, match="Only 3 of 4 codes"):
        Deepr(embedding=given, min_match=0.9).fit(cohort_of(), "out", progress=False)


@pytest.mark.parametrize("calibrator", [PlattCalibrator(), IsotonicCalibrator(), None], ids=lambda c: type(c).__name__)
def test_every_calibrator_is_kept(calibrator: Calibrator | None, tmp_path: Path) -> None:
    cohort = cohort_of()
    head = VisitGRU(hidden_size=4, calibrator=calibrator, **SMALL).fit(cohort, "out", progress=False)
    if calibrator is not None:
        assert not [name for name in vars(calibrator) if name.endswith("_")]  # the one given stays unfitted
    head.save(tmp_path / "head")
    before, after = (h.predict_proba(cohort.held_out) for h in (head, VisitGRU.load(tmp_path / "head")))
    np.testing.assert_array_equal(before.probability, after.probability)
    if calibrator is None:
        assert before.log_odds is not None
        np.testing.assert_allclose(before.probability, 1 / (1 + np.exp(-before.log_odds)))


def test_balanced_training_keeps_the_data_s_own_rate() -> None:
    cohort = cohort_of(600)
    more = {**SMALL, "epochs": 12, "learning_rate": 0.02}
    head = VisitGRU(hidden_size=4, balance=True, calibrator=None, **more).fit(cohort, "out", progress=False)
    found = head.predict_proba(cohort.held_out)
    assert found.probability.mean() == pytest.approx(cohort.labels("out").value.mean(), abs=0.06)


def test_a_tuning_part_of_one_class_leaves_it_uncalibrated() -> None:
    cohort = cohort_of()
    labels = cohort.labels("out")
    spared = labels.subject_id[labels.value == 0]
    splits = {"train": cohort.splits["train"], "tuning": np.setdiff1d(spared, cohort.splits["train"])}
    head = VisitGRU(hidden_size=4, **SMALL).fit(replace(cohort, splits=splits), "out", progress=False)
    assert head.notes_[1:] == ("not calibrated: all tuning samples have the same outcome",)
    assert head.notes_[0].startswith("the wide part weighs ")


def test_a_network_that_adds_nothing_beside_its_wide_part_is_left_out() -> None:
    cohort = cohort_of()
    still = VisitGRU(hidden_size=4, **{**SMALL, "learning_rate": 1e-30}).fit(cohort, "out", progress=False)
    assert "is left out" in still.notes_[1]
    state = still._fitted()
    batch = Batch.of(cohort.held_out.timelines("out", state.vocabulary).all())
    with torch.no_grad():
        torch.testing.assert_close(state.network(batch), state.network.wide(batch))
    alone = VisitGRU(hidden_size=4, wide=False, **SMALL).fit(cohort, "out", progress=False)
    assert not any("wide" in note for note in alone.notes_)


def test_codes_are_rolled_up_and_the_map_is_saved(tmp_path: Path) -> None:
    cohort = cohort_of()
    head = Deepr(filters=2, roll_up={"C//1": "C//0", "C//2": "D"}, **SMALL).fit(cohort, "out", progress=False)
    head.save(tmp_path / "head")
    loaded = Deepr.load(tmp_path / "head")
    assert loaded.roll_up == head.roll_up
    found, again = (h.predict_proba(cohort.held_out).probability for h in (head, loaded))
    np.testing.assert_array_equal(found, again)
    assert sorted(loaded._fitted().vocabulary.codes) == ["C//0", "C//3", "D"]


def test_given_labels_leave_no_trace_in_the_artefact(tmp_path: Path) -> None:
    cohort = cohort_of()
    given = GivenLabels(cohort.labels("out"))
    Deepr(filters=2, **SMALL).fit(cohort, given, progress=False).save(tmp_path / "head")
    for path in (tmp_path / "head").iterdir():
        content = path.read_bytes()
        for who in cohort.subjects.tolist():
            assert str(who).encode() not in content
            assert who.to_bytes(8, "little") not in content
        assert b"2020-" not in content


def test_a_fit_that_fails_leaves_the_one_before_whole() -> None:
    cohort = cohort_of()
    head = VisitGRU(hidden_size=4, **SMALL).fit(cohort, "out", progress=False)
    before = head.predict_proba(cohort.held_out).probability
    with pytest.raises(SchemaError):
        head.fit(cohort.train, "out", progress=False)
    np.testing.assert_array_equal(head.predict_proba(cohort.held_out).probability, before)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"min_match": 1.5}, {"max_visits": 0}, {"window": 4}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SchemaError, match=next(iter(wrong))):
        Deepr(**wrong)
