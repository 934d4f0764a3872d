"""Timelines: what a head sees, worked by hand, recounted one by one, and proof against the future."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data import shards as shards_module
from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.guard import POISON, check_samples, check_splits, poisoned
from medgraph.data.prediction_times import AfterVisit, AtDates
from medgraph.data.record import Record
from medgraph.data.samples import Samples
from medgraph.data.tasks import Censoring, CodeWithin, NextVisit, TimeToEvent
from medgraph.errors import SchemaError, UnknownIdentifierError

ZERO = datetime(2010, 1, 1)


def day(n: float) -> datetime:
    return ZERO + timedelta(days=n)


def cohort_of(rows: list[tuple]) -> Cohort:
    ids, times, codes, values, visits = zip(*[(*row, *(None,) * (5 - len(row))) for row in rows], strict=True)
    return Cohort.of(
        pa.table(
            {
                "subject_id": ids,
                "time": pa.array(times, pa.timestamp("us")),
                "code": codes,
                "numeric_value": pa.array(values, pa.float32()),
                "visit_id": pa.array(visits, pa.int64()),
            }
        )
    )


def random_cohort(seed: int = 0, subjects: int = 60) -> Cohort:
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    for subject in (rng.permutation(subjects) + 1).tolist():
        rows.append((subject, None, "GENDER//F" if subject % 2 else "GENDER//M"))
        rows.append((subject, day(-365.25 * int(rng.integers(1, 90))), "MEDS_BIRTH"))
        for n in rng.integers(0, 100, rng.integers(1, 20)):
            value = float(rng.normal(50, 10)) if rng.random() < 0.5 else None
            rows.append(
                (subject, day(int(n) / 2), str(rng.choice(list("ABCDEF"))), value, int(n) // 10 if n % 2 else None)
            )
        if rng.random() < 0.2:
            rows.append((subject, day(60), "MEDS_DEATH"))
    return cohort_of(rows)


SOON = CodeWithin(("A",), 15, AtDates(("2010-01-16", "2010-01-31")))
TASKS = [
    SOON,
    CodeWithin(("A", "B"), 15, AtDates(("2010-01-16", "2010-01-31")), strict=True),
    CodeWithin(("A",), 15, AtDates(("2010-01-16", "2010-01-31")), observation_days=7),
    NextVisit({"a": ("A",), "bc": ("B", "C")}),
    NextVisit({"a": ("A",), "bc": ("B", "C")}, at=AfterVisit(min_visits=2, by="day"), by="day", strict=True),
    TimeToEvent({"a": ("A",)}, AtDates(("2010-01-16",)), censoring=Censoring(end="subject")),
]


class TestByHand:
    rows = (
        (1, None, "GENDER//F"),
        (1, day(-3652.5), "MEDS_BIRTH"),
        (1, day(0), "A", 1.0, 5),
        (1, day(0.5), "B", None, 5),
        (1, day(3), "A", 4.0, 5),
        (1, day(3.5), "C", None, None),
        (1, day(10), "A", 9.0, 6),
        (1, day(12), "B", None, None),
        (2, day(1), "C", 2.0, 5),
        (2, day(90), "D"),
    )
    task = CodeWithin(("B",), 5, AtDates((str(day(10).date()),)))

    def test_every_array(self) -> None:
        train = cohort_of(list(self.rows)).timelines(self.task)
        assert train.vocabulary.codes == ("A", "C", "B", "GENDER//F")
        assert train.vocabulary.counts.tolist() == [3, 2, 1, 1]
        assert train.vocabulary.subjects.tolist() == [1, 2, 1, 1]
        assert train.vocabulary.mean[:2].tolist() == pytest.approx([14 / 3, 2])
        assert train.vocabulary.std[0] == pytest.approx(np.std([1, 4, 9]))
        samples = train.all()
        assert samples.subject_id.tolist() == [1, 2]
        assert samples.prediction_time.tolist() == [day(10), day(10)]
        assert samples.label.tolist() == [1, 0]
        assert samples.age[0] == pytest.approx((3652.5 + 10) / 365.25, rel=1e-6)
        assert np.isnan(samples.age[1])
        assert samples.visit_offsets.tolist() == [0, 3, 4]
        assert samples.code_offsets.tolist() == [0, 3, 4, 5, 6]
        assert samples.codes.tolist() == [0, 2, 0, 1, 0, 1]
        assert samples.code_days.tolist() == [10, 9.5, 7, 6.5, 0, 9]
        assert samples.visit_days.tolist() == [7, 6.5, 0, 9]
        assert samples.values[[0, 2, 4, 5]].tolist() == [1, 4, 9, 2]
        assert samples.static_codes.tolist() == [3]
        assert samples.static_offsets.tolist() == [0, 1, 1]
        assert samples.unknown.tolist() == [0, 0]
        assert samples.counts().toarray().tolist() == [[3, 1, 1, 1], [0, 1, 0, 0]]
        last = samples.last_values()
        assert (last[0, 0], last[1, 1]) == (9, 2)
        assert np.isnan(last).sum() == 6

    def test_visits_by_day_and_by_time(self) -> None:
        cohort = cohort_of(list(self.rows))
        assert np.diff(cohort.timelines(self.task, visit="day").all().visit_offsets).tolist() == [3, 1]
        assert np.diff(cohort.timelines(self.task, visit="time").all().visit_offsets).tolist() == [5, 1]
        with pytest.raises(SchemaError, match="'visit', 'day' or 'time'"):
            cohort.timelines(self.task, visit="week")  # type: ignore[arg-type]

    def test_padded(self) -> None:
        samples = cohort_of(list(self.rows)).timelines(self.task).all()
        padded = samples.padded()
        assert padded.codes.tolist() == [[[0, 2, 0], [1, -1, -1], [0, -1, -1]], [[-1] * 3, [-1] * 3, [1, -1, -1]]]
        assert padded.mask.tolist() == [[True] * 3, [False, False, True]]
        assert padded.visit_days.tolist() == [[7, 6.5, 0], [0, 0, 9]]
        cut = samples.padded(max_visits=2, max_codes=1)
        assert cut.codes.tolist() == [[[1], [0]], [[-1], [1]]]
        three = samples.padded(max_codes=2)
        assert three.codes[0, 0].tolist() == [2, 0]  # the latest of a visit stay
        with pytest.raises(SchemaError, match="at least 1"):
            samples.padded(max_visits=0)

    def test_roll_up(self) -> None:
        cohort = cohort_of(list(self.rows))
        vocabulary = cohort.vocabulary(self.task, roll_up={"A": "GROUP", "B": "GROUP"})
        assert vocabulary.codes == ("GROUP", "C", "GENDER//F")
        samples = cohort.timelines(self.task, vocabulary).all()
        assert samples.counts().toarray().tolist() == [[4, 1, 1], [0, 1, 0]]
        assert vocabulary.index("A") == vocabulary.index("GROUP") == 0

    def test_unknown_codes_are_counted(self) -> None:
        cohort = cohort_of(list(self.rows))
        vocabulary = cohort.vocabulary(self.task, min_count=2)
        assert vocabulary.codes == ("A", "C")
        samples = cohort.timelines(self.task, vocabulary).all()
        assert samples.unknown.tolist() == [1, 0]
        assert samples.static_codes.size == 0
        with pytest.raises(UnknownIdentifierError, match="'B' is not among the vocabulary's 2 codes"):
            vocabulary.index("B")
        with pytest.raises(SchemaError, match="No code is seen 99 times"):
            cohort.vocabulary(self.task, min_count=99)


class TestSamples:
    def test_take_and_concat_undo_each_other(self) -> None:
        samples = random_cohort().timelines(SOON).all()
        order = np.random.default_rng(0).permutation(len(samples))
        parts = [samples.take(rows) for rows in np.array_split(order, 7)]
        back = Samples.concat(parts).take(np.argsort(order))
        for name in vars(samples):
            if name != "vocabulary":
                assert np.array_equal(
                    getattr(back, name), getattr(samples, name), equal_nan=name in {"values", "age"}
                ), name

    def test_batches_hold_every_sample_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shards_module, "_BLOCK", 60)
        timelines = random_cohort().timelines(SOON)
        whole = timelines.all()
        batches = list(timelines.batches(16, seed=3))
        assert [len(b) for b in batches[:-1]] == [16] * (len(batches) - 1)
        seen = Counter(
            key for b in batches for key in zip(b.subject_id.tolist(), b.prediction_time.tolist(), strict=True)
        )
        assert seen == Counter(zip(whole.subject_id.tolist(), whole.prediction_time.tolist(), strict=True))
        first = [b.subject_id.tolist() for b in batches]
        assert first == [b.subject_id.tolist() for b in timelines.batches(16, seed=3)]
        assert first != [b.subject_id.tolist() for b in timelines.batches(16, seed=3, epoch=1)]
        with pytest.raises(SchemaError, match="at least one sample"):
            next(timelines.batches(0))

    def test_histories_hold_what_some_sample_may_see_once(self) -> None:
        task = CodeWithin(("A",), 15, AtDates(("2010-01-16", "2010-01-31")), observation_days=7)
        timelines = random_cohort().timelines(task)
        samples, histories = timelines.all(), Samples.concat(list(timelines.histories()))
        assert histories.subject_id.tolist() == list(dict.fromkeys(samples.subject_id.tolist()))
        whole = random_cohort().timelines(SOON, timelines.vocabulary).all()
        last = {s: n for n, s in enumerate(samples.subject_id.tolist())}
        assert histories.prediction_time.tolist() == samples.prediction_time[list(last.values())].tolist()
        keys = list(zip(whole.subject_id.tolist(), whole.prediction_time.tolist(), strict=True))
        rows = [
            keys.index(k) for k in zip(histories.subject_id.tolist(), histories.prediction_time.tolist(), strict=True)
        ]
        assert histories.codes.tolist() == whole.take(np.array(rows)).codes.tolist()

    def test_values_far_from_zero(self) -> None:
        rows = [(s, day(n), "A", 1e6 + (s * 7 + n) % 3) for s in range(1, 9) for n in range(5)]
        rows += [(s, day(20), "B", None) for s in range(1, 5)] + [(9, day(99), "C", None)]
        vocabulary = cohort_of(rows).vocabulary(CodeWithin(("B",), 15, AtDates((str(day(10).date()),))))
        assert vocabulary.std[0] == pytest.approx(
            np.std([(s * 7 + n) % 3 for s in range(1, 9) for n in range(5)]), rel=1e-6
        )

    def test_an_empty_part(self) -> None:
        cohort = random_cohort().split((1, 0, 0))
        with pytest.raises(SchemaError, match="There is no sample"):
            cohort.held_out.timelines(SOON, cohort.train.vocabulary(SOON)).all()


@pytest.mark.parametrize("task", TASKS, ids=["within", "strict", "week", "next", "next-strict", "survival"])
class TestNothingOfTheFuture:
    def test_recounted_one_by_one(self, task) -> None:
        cohort = random_cohort().split((0.6, 0.2, 0.2), seed=0)
        vocabulary = cohort.train.vocabulary(task)
        for part in (cohort.train, cohort.held_out):
            assert check_samples(part.timelines(task, vocabulary)) == len(part.labels(task))

    def test_another_future_changes_nothing(self, task) -> None:
        cohort = random_cohort().split((0.6, 0.2, 0.2), seed=0)
        other, given = poisoned(cohort, task)
        assert any(code.startswith(POISON) for code in other.shards.codes)
        train, poisoned_train = cohort.train.timelines(task), other.train.timelines(given)
        assert train.vocabulary == poisoned_train.vocabulary
        for part in ("train", "held_out"):
            one = getattr(cohort, part).timelines(task, train.vocabulary).all()
            two = getattr(other, part).timelines(given, poisoned_train.vocabulary).all()
            for name in vars(one):
                if name != "vocabulary":
                    assert np.array_equal(
                        getattr(one, name), getattr(two, name), equal_nan=name in {"values", "age"}
                    ), name


class TestTheGuardCanFail:
    def test_a_window_that_is_a_day_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = Record.window

        def leaky(self, subject, time, observation_days, strict):
            return honest(self, subject, time + 86_400_000_000, observation_days, strict)

        timelines = random_cohort().timelines(SOON)
        monkeypatch.setattr(Record, "window", leaky)
        with pytest.raises(SchemaError, match="events lie after them"):
            check_samples(timelines)

    def test_a_vocabulary_of_the_whole_record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cohort = random_cohort().split((0.6, 0.2, 0.2), seed=0)
        other, given = poisoned(cohort, SOON)
        monkeypatch.setattr(
            Record, "window", lambda self, subject, *_: (self.timed[subject], self.events.offsets[subject + 1])
        )
        assert cohort.train.vocabulary(SOON) != other.train.vocabulary(given)

    def test_samples_that_lack_events(self, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = Record.window
        timelines = random_cohort().timelines(SOON)
        monkeypatch.setattr(
            Record,
            "window",
            lambda self, s, t, o, strict: (honest(self, s, t, 1.0, strict)[0], honest(self, s, t, o, strict)[1]),
        )
        with pytest.raises(SchemaError, match="do not hold what may be seen"):
            check_samples(timelines)

    def test_splits_that_overlap(self) -> None:
        cohort = random_cohort().split((0.5, 0.2, 0.3), seed=0)
        assert sum(check_splits(cohort).values()) == 60
        object.__setattr__(cohort, "splits", {"train": cohort.splits["train"], "tuning": cohort.splits["train"][:4]})
        with pytest.raises(SchemaError, match="4 subjects stand in more than one split"):
            check_splits(cohort)


class TestVocabulary:
    def test_there_and_back(self) -> None:
        vocabulary = random_cohort().vocabulary(SOON, roll_up={"A": "B"})
        assert CodeVocabulary.from_table(vocabulary.to_table(), vocabulary.roll_up) == vocabulary
        assert "subject_id" not in vocabulary.to_table().column_names
        with pytest.raises(SchemaError, match="lacks a column"):
            CodeVocabulary.from_table(vocabulary.to_table().drop_columns(["mean"]))

    def test_births_and_deaths_are_no_codes(self) -> None:
        assert not {"MEDS_BIRTH", "MEDS_DEATH"} & set(random_cohort().vocabulary(SOON).codes)

    def test_it_is_the_same_whatever_the_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = random_cohort().vocabulary(SOON)
        monkeypatch.setattr(shards_module, "_BLOCK", 40)
        small = random_cohort().vocabulary(SOON)
        assert small.codes == whole.codes
        assert small.counts.tolist() == whole.counts.tolist()
        np.testing.assert_allclose(small.mean, whole.mean)
        np.testing.assert_allclose(small.std, whole.std)


def test_recounted_on_synthetic_patients(shared_data: Path) -> None:
    from medgraph.loading import load

    cohort = load("synthea", path=shared_data / "ehr" / "synthea1k").split((0.9, 0.05, 0.05), seed=0)
    task = CodeWithin(("ENCOUNTER//emergency", "ENCOUNTER//inpatient"), 365, AtDates.yearly(2015, 2016))
    assert check_samples(cohort.held_out.timelines(task, cohort.train.vocabulary(task))) > 50
