"""Cohorts: what is cleaned and counted, how they are split, what they never say."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medgraph.data import shards as shards_module
from medgraph.data.cohort import Cohort
from medgraph.data.events import STATIC, search, spread
from medgraph.data.prediction_times import AtDates
from medgraph.data.shards import background
from medgraph.data.tasks import CodeWithin, Mortality
from medgraph.errors import ArtefactError, MalformedInputError, SchemaError, UnknownIdentifierError

ZERO = datetime(2010, 1, 1)
SECRET = 918273645  # a subject id that must not be told
TASK = CodeWithin(("A",), 30, AtDates(("2010-01-20", "2010-02-20")))


def day(n: float) -> datetime:
    return ZERO + timedelta(days=n)


def table(rows: list[tuple], **more) -> pa.Table:
    ids, times, codes, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "subject_id": pa.array(ids, pa.int64()),
            "time": pa.array(times, pa.timestamp("us")),
            "code": pa.array(codes, pa.string()),
            "numeric_value": pa.array(values, pa.float32()),
            **more,
        }
    )


def no_text(rows: int) -> pa.Array:
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(np.arange(rows + 1, dtype=np.int32)), pa.py_buffer(b"\xff" * rows)
    )


def some(subjects: int = 40, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    for subject in range(1, subjects + 1):
        rows.append((subject, None, "GENDER//F" if subject % 2 else "GENDER//M", None))
        for n in np.unique(rng.integers(0, 120, 12)):
            rows.append((subject, day(int(n)), str(rng.choice(list("ABCD"))), float(n) if rng.random() < 0.5 else None))
    return table(rows)


def content(cohort: Cohort) -> list[tuple]:
    names = cohort.shards.codes
    return sorted(
        (s, t, names[c], repr(float(v)))
        for events in cohort.events()
        for s, t, c, v in zip(
            events.subject_id[events.subject].tolist(),
            events.time.tolist(),
            events.code.tolist(),
            events.value,
            strict=True,
        )
    )


class TestCleaning:
    def test_order(self) -> None:
        rows = [(1, day(5), "A", None), (1, day(1), "B", None), (1, None, "S", None), (2, day(0), "A", None)]
        cohort = Cohort.of(table(rows))
        (events,) = cohort.events()
        assert events.time[:3].tolist()[0] == STATIC
        assert (np.diff(events.time[1:3]) > 0).all()
        assert cohort.skipped["events out of order, sorted"] == 2

    def test_duplicates_count_once_whatever_stands_between_them(self) -> None:
        rows = [(1, day(1), "A", 1.0), (1, day(1), "B", None), (1, day(1), "A", 2.0), (1, day(1), "A", 1.0)]
        cohort = Cohort.of(table([*rows, (2, day(1), "A", 1.0), (2, day(1), "B", None), (2, day(1), "B", None)]))
        assert cohort.skipped == {"duplicate events left out": 2}
        assert cohort.num_events == 5
        assert len(content(cohort)) == 5

    def test_before_birth(self) -> None:
        rows = [(1, day(0), "MEDS_BIRTH", None), (1, day(-1), "A", None), (1, day(0.5), "B", None)]
        rows += [(2, day(-0.5), "A", None), (2, day(0), "A", None)]
        cohort = Cohort.of(table(rows))
        assert cohort.skipped["events before birth left out"] == 1
        assert cohort.num_events == 4

    def test_nobody_is_three_hundred(self) -> None:
        rows = [(1, day(-365 * 300), "MEDS_BIRTH", None), (1, day(0), "A", None)]
        rows += [(2, day(-365 * 89), "MEDS_BIRTH", None), (2, day(100), "A", None), (2, day(0), "A", None)]
        cohort = Cohort.of(table(rows))
        assert cohort.skipped["births more than 130 years before an event, taken as unknown"] == 1
        ages = cohort.timelines(CodeWithin(("A",), 81, AtDates(("2010-01-20",)))).all().age
        assert np.isnan(ages[0])
        assert ages[1] == pytest.approx((365 * 89 + 19) / 365.25, abs=1e-3)

    def test_zones_are_brought_to_utc(self) -> None:
        east = timezone(timedelta(hours=5))
        plain = table([(1, day(0), "A", None), (1, day(1), "B", None)])
        zoned = plain.set_column(
            1,
            "time",
            pa.array(
                [day(0).replace(tzinfo=UTC).astimezone(east), day(1).replace(tzinfo=UTC)],
                pa.timestamp("us", "Asia/Karachi"),
            ),
        )
        cohort = Cohort.of(zoned)
        assert cohort.skipped == {"times with a zone, read as UTC": 2}
        assert content(cohort) == content(Cohort.of(plain))

    def test_values_that_are_no_number(self) -> None:
        cohort = Cohort.of(table([(1, day(0), "A", float("inf")), (1, day(1), "A", 3.0)]))
        assert cohort.skipped == {"values that are not finite, taken as missing": 1}

    def test_columns_that_are_not_read_are_counted(self) -> None:
        cohort = Cohort.of(some(3).append_column("text_value", pa.array(["x"] + [None] * (some(3).num_rows - 1))))
        assert cohort.skipped == {"values of column 'text_value' not read": 1}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.drop_columns(["code"]), "no column 'code'"),
            (lambda t: t.drop_columns(["subject_id"]), "no column 'subject_id'"),
            (lambda t: t.set_column(2, "code", pa.array([None] * 2 + ["A"] * (t.num_rows - 2))), "2 rows have no code"),
            (lambda t: t.set_column(2, "code", pa.array([""] + ["A"] * (t.num_rows - 1))), "1 rows have an empty code"),
            (lambda t: t.set_column(0, "subject_id", pa.nulls(t.num_rows, pa.int64())), "rows have no subject_id"),
            (lambda t: t.set_column(0, "subject_id", pa.array(["x"] * t.num_rows)), "does not read as int64"),
            (lambda t: t.set_column(1, "time", pa.array(["x"] * t.num_rows)), "does not read as timestamp"),
            (lambda t: t.set_column(2, "code", no_text(t.num_rows)), "does not read as string"),
            (lambda t: t.set_column(3, "numeric_value", pa.array(["x"] * t.num_rows)), "does not read as float"),
        ],
    )
    def test_what_is_refused(self, change, message: str, tmp_path: Path) -> None:
        broken = change(some(4))
        with pytest.raises(MalformedInputError, match=message):
            Cohort.of(broken)
        pq.write_table(broken, tmp_path / "a.parquet")
        with pytest.raises(MalformedInputError, match=r"a\.parquet.*" + message):
            Cohort.of([tmp_path / "a.parquet"])


class TestShards:
    def test_blocks_hold_whole_subjects_and_lose_nothing(self, monkeypatch, tmp_path: Path) -> None:
        events = some(60)
        whole = Cohort.of(events)
        pq.write_table(events, tmp_path / "a.parquet")
        monkeypatch.setattr(shards_module, "_BLOCK", 50)
        small = Cohort.of([tmp_path / "a.parquet"])
        blocks = list(small.events())
        assert len(blocks) > 5
        assert sorted(np.concatenate([b.subject_id for b in blocks])) == list(range(1, 61))
        assert content(small) == content(whole)
        assert small.fingerprint == whole.fingerprint

    def test_the_fingerprint_knows_content_only(self, tmp_path: Path) -> None:
        events = some(20)
        parts = []
        for number, ids in enumerate(([1, 2, 3], range(4, 21))):
            mask = np.isin(events["subject_id"].to_numpy(), list(ids))
            parts.append(tmp_path / f"{number}.parquet")
            pq.write_table(events.filter(pa.array(mask)), parts[-1])
        assert Cohort.of(parts[::-1]).fingerprint == Cohort.of(events).fingerprint
        shuffled = events.take(pa.array(np.random.default_rng(0).permutation(events.num_rows)))
        assert Cohort.of(shuffled).fingerprint == Cohort.of(events).fingerprint
        other = events.set_column(3, "numeric_value", pa.array([1.5] * events.num_rows, pa.float32()))
        assert Cohort.of(other).fingerprint != Cohort.of(events).fingerprint

    def test_scattered_subjects_are_brought_together(self, tmp_path: Path) -> None:
        events = some(10)
        shuffled = events.take(pa.array(np.random.default_rng(0).permutation(events.num_rows)))
        pq.write_table(shuffled, tmp_path / "a.parquet")
        cohort = Cohort.of([tmp_path / "a.parquet"])
        assert cohort.skipped["files whose subjects lie scattered, sorted"] == 1
        assert content(cohort) == content(Cohort.of(events))

    def test_a_subject_in_two_files(self, tmp_path: Path) -> None:
        for name in "ab":
            pq.write_table(table([(SECRET, day(0), name, None)]), tmp_path / f"{name}.parquet")
        with pytest.raises(MalformedInputError, match=r"b\.parquet: 1 of its subjects stand in .*a\.parquet") as caught:
            Cohort.of([tmp_path / "a.parquet", tmp_path / "b.parquet"])
        assert str(SECRET) not in str(caught.value)

    def test_a_broken_file(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        pq.write_table(some(5), buffer)
        (tmp_path / "a.parquet").write_bytes(buffer.getvalue()[:-20])
        with pytest.raises(MalformedInputError, match=r"a\.parquet: cannot be read as Parquet"):
            Cohort.of([tmp_path / "a.parquet"])

    def test_a_file_that_changes_while_it_is_used(self, tmp_path: Path) -> None:
        pq.write_table(some(5), tmp_path / "a.parquet")
        cohort = Cohort.of([tmp_path / "a.parquet"])
        pq.write_table(table([(1, day(0), "NEW", None)]), tmp_path / "a.parquet")
        with pytest.raises(MalformedInputError, match="has changed"):
            list(cohort.events())


class TestSplits:
    def test_sizes_and_seeds(self) -> None:
        cohort = Cohort.of(some(100)).split(seed=1)
        sizes = {name: ids.size for name, ids in cohort.splits.items()}
        assert sizes == {"train": 80, "tuning": 10, "held_out": 10}
        assert np.unique(np.concatenate(list(cohort.splits.values()))).size == 100
        again, other = Cohort.of(some(100)).split(seed=1), Cohort.of(some(100)).split(seed=2)
        assert np.array_equal(cohort.splits["train"], again.splits["train"])
        assert not np.array_equal(cohort.splits["train"], other.splits["train"])

    def test_parts_hold_their_own_subjects_only(self) -> None:
        cohort = Cohort.of(some(50)).split((0.5, 0.2, 0.3), seed=0)
        for name in ("train", "tuning", "held_out"):
            part = getattr(cohort, name)
            seen = np.sort(np.concatenate([events.subject_id for events in part.events()]))
            assert np.array_equal(seen, cohort.splits[name])
            assert part.part == name
        assert len({cohort.train.fingerprint, cohort.held_out.fingerprint, cohort.fingerprint}) == 3

    def test_what_is_refused(self) -> None:
        cohort = Cohort.of(some(10))
        with pytest.raises(SchemaError, match="no train part"):
            _ = cohort.train
        with pytest.raises(SchemaError, match="add up to 1"):
            cohort.split((0.5, 0.5, 0.5))
        with pytest.raises(SchemaError, match="2 subjects stand in more than one split"):
            Cohort.of(some(10), splits={"train": [1, 2, 3], "held_out": [2, 3, 4]})
        with pytest.raises(SchemaError, match="Unknown split 'test'"):
            Cohort.of(some(10), splits={"test": [1]})
        with pytest.raises(SchemaError, match="held_out part"):
            _ = cohort.split().held_out.train

    def test_only(self) -> None:
        cohort = Cohort.of(some(10)).only([3, 5, 99])
        assert cohort.subjects.tolist() == [3, 5]
        assert {s for s, *_ in content(cohort)} == {3, 5}

    def test_only_train_makes_a_vocabulary(self) -> None:
        cohort = Cohort.of(some(60)).split(seed=0)
        for wrong in (cohort.held_out, cohort.tuning, cohort):
            with pytest.raises(SchemaError, match="fitted on train"):
                wrong.timelines(TASK)
        assert len(cohort.train.timelines(TASK).vocabulary)


class TestTasksByName:
    def test_names(self) -> None:
        cohort = Cohort.of(some(10)).with_tasks(mortality=Mortality(at=AtDates(("2010-01-20",))), soon=TASK)
        assert cohort.task("soon") is TASK
        assert cohort.split().train.task("soon") is TASK
        with pytest.raises(
            UnknownIdentifierError, match=r"no task 'mortalty'; there are mortality, soon\. Nearest: mort"
        ):
            cohort.task("mortalty")
        with pytest.raises(SchemaError, match="is no task"):
            cohort.with_tasks(wrong=3)  # type: ignore[arg-type]

    def test_one_class(self) -> None:
        with pytest.raises(SchemaError, match=r"All \d+ samples have the same outcome, so nothing can be learnt"):
            Cohort.of(some(10)).timelines(CodeWithin(("A", "B", "C", "D"), 90, AtDates(("2010-01-20",))))


def test_nothing_tells_who(tmp_path: Path) -> None:
    """No subject id and no date in what is shown; neither in an error."""
    rows = [(SECRET, datetime(1987, 6, 5), c, None) for c in "AB"] + [(SECRET + 1, day(3), "A", None)]
    cohort = Cohort.of(table(rows)).with_tasks(x=TASK)
    shown = [
        repr(cohort),
        repr(cohort.labels(TASK)),
        repr(next(cohort.events())),
        cohort.fingerprint,
        str(cohort.skipped),
    ]
    errors = []
    for wrong in (lambda: cohort.timelines(TASK), lambda: cohort.task("y"), lambda: cohort.split((1, 1, 1))):
        with pytest.raises((SchemaError, UnknownIdentifierError)) as caught:
            wrong()
        errors.append(str(caught.value))
    for text in (*shown, *errors):
        assert str(SECRET)[:6] not in text
        assert "1987" not in text


class TestMeds:
    def test_there_and_back(self, tmp_path: Path) -> None:
        from medgraph.loading import load

        cohort = Cohort.of(some(30)).split(seed=0)
        cohort.to_meds(tmp_path / "out")
        back = load("meds", path=tmp_path / "out")
        assert back.fingerprint == cohort.fingerprint
        assert content(back) == content(cohort)
        assert {n: s.tolist() for n, s in back.splits.items()} == {n: s.tolist() for n, s in cohort.splits.items()}
        for name in ("train", "held_out"):
            files = (tmp_path / "out" / "data" / name).rglob("*.parquet")
            ids = {i for file in files for i in pq.read_table(file)["subject_id"].to_pylist()}
            assert ids == set(cohort.splits[name].tolist())

    def test_by_the_standards_own_schema(self, tmp_path: Path) -> None:
        meds = pytest.importorskip("meds")
        cohort = Cohort.of(some(30)).split(seed=0)
        labels = cohort.labels(TASK)
        from medgraph.data.given_labels import GivenLabels

        cohort.with_tasks(soon=GivenLabels(labels)).to_meds(tmp_path / "out")
        for file in (tmp_path / "out" / "data").rglob("*.parquet"):
            meds.DataSchema.validate(pq.read_table(file))
        meds.CodeMetadataSchema.validate(pq.read_table(tmp_path / "out" / meds.code_metadata_filepath))
        meds.SubjectSplitSchema.validate(pq.read_table(tmp_path / "out" / meds.subject_splits_filepath))
        meds.LabelSchema.validate(pq.read_table(tmp_path / "out" / "labels" / "soon.parquet"))
        import json

        about = json.loads((tmp_path / "out" / meds.dataset_metadata_filepath).read_text())
        assert about["meds_version"].startswith("0.4")
        meds.DatasetMetadataSchema.validate(about)

    def test_it_overwrites_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "x").write_text("mine")
        with pytest.raises(ArtefactError, match="is there already"):
            Cohort.of(some(3)).to_meds(tmp_path / "out")
        assert (tmp_path / "out" / "x").read_text() == "mine"


class TestBackground:
    def test_the_same_items(self) -> None:
        assert list(background(iter(range(50)), 2)) == list(range(50))

    def test_a_fault_reaches_the_reader(self) -> None:
        def faulty():
            yield 1
            raise MalformedInputError("no")

        reader = background(faulty())
        assert next(reader) == 1
        with pytest.raises(MalformedInputError, match="no"):
            next(reader)

    def test_a_reader_that_leaves_stops_the_thread(self) -> None:
        made = []

        def items():
            for number in range(1000):
                made.append(number)
                yield number

        reader = background(items(), 1)
        next(reader)
        reader.close()
        assert len(made) < 10


def test_spread_and_search() -> None:
    rows, offsets = spread(np.array([3, 7, 7]), np.array([5, 7, 9]))
    assert (rows.tolist(), offsets.tolist()) == ([3, 4, 7, 8], [0, 2, 2, 4])
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 20, 50))
    start = rng.integers(0, 50, 200)
    stop = np.maximum(start, rng.integers(0, 51, 200))
    wanted = rng.integers(-1, 22, 200)
    for after, side in ((True, "right"), (False, "left")):
        expected = [a + np.searchsorted(times[a:b], w, side=side) for a, b, w in zip(start, stop, wanted, strict=True)]
        assert search(times, start, stop, wanted, after).tolist() == expected
