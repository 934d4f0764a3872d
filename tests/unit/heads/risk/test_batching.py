"""Batches held in memory and batches read anew from the files: the same samples, each once, in any order asked for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.lstm import VisitGRU


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    start, day = int(np.datetime64("2020-01-01", "us").astype(np.int64)), 86_400_000_000
    tables = []
    for part in range(3):
        rows = []
        for who in range(part * 50, part * 50 + 50):
            rows += [(who, start - day * (i * 7 + 1), f"C//{(who + i) % 6}") for i in range(who % 4 + 1)]
            rows += [(who, start + 9 * day, "OUT")] * (who % 3 == 0) + [(who, start + 500 * day, "END")]
        who_, when, what = zip(*rows, strict=True)
        tables.append(pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what}))
    at = AtDates(("2020-01-01",))
    return Cohort.of(tables).split((0.6, 0.2, 0.2), seed=0).with_tasks(out=CodeWithin(("OUT",), 365, at))


@pytest.mark.parametrize("in_memory", [10**9, 0], ids=["memory", "stream"])
def test_every_epoch_has_every_sample_once(cohort: Cohort, in_memory: int) -> None:
    data = Dataset(cohort.train.timelines("out"), size=16, seed=0, in_memory=in_memory)
    assert (data.samples is None) == (in_memory == 0)
    orders = []
    for epoch in (0, 0, 1):
        batches = data.batches(epoch)
        assert len(batches) == 6
        drawn = [batch.subject_id for batch in batches]
        assert [len(d) for d in drawn] == [16] * 5 + [10]
        orders.append(np.concatenate(drawn).tolist())
        assert sorted(orders[-1]) == cohort.train.subjects.tolist()
    assert orders[0] == orders[1] != orders[2]
    batches = data.batches(0)
    np.testing.assert_array_equal(batches[4].subject_id, orders[0][64:80])  # from the middle, as after a resume
    np.testing.assert_array_equal(batches[1].subject_id, orders[0][16:32])
    assert [len(b) for b in batches[4:]] == [16, 10]
    with pytest.raises(IndexError):
        batches[6]
    in_order = np.concatenate([s.subject_id for s in data.in_order()])
    np.testing.assert_array_equal(in_order, cohort.train.timelines("out").all().subject_id)


def test_a_streamed_fit_resumes_to_the_same_numbers(
    cohort: Cohort, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dataset.__init__, "__defaults__", (0,))
    small = {"vector_size": 4, "hidden_size": 4, "batch_size": 16, "device": "cpu"}
    whole = VisitGRU(**small, epochs=3).fit(cohort, "out", progress=False).predict_proba(cohort.held_out)
    path = f"{tmp_path}/checkpoint"
    VisitGRU(**small, epochs=1).fit(cohort, "out", checkpoint=path, progress=False)
    resumed = VisitGRU(**small, epochs=3).fit(cohort, "out", checkpoint=path, resume=True, progress=False)
    np.testing.assert_array_equal(resumed.predict_proba(cohort.held_out).probability, whole.probability)
