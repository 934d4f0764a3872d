"""Tasks against a plain reading of the same events, one subject and one sample at a time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.cohort import Cohort
from medgraph.data.given_labels import GivenLabels
from medgraph.data.prediction_times import AfterFirst, AfterVisit, AtDates, AtEvent
from medgraph.data.tasks import (
    Censoring,
    CodeWithin,
    Exclusions,
    LengthOfStay,
    Mortality,
    NextVisit,
    Readmission,
    TimeToEvent,
)
from medgraph.errors import SchemaError

ZERO = datetime(2010, 1, 1)
VITAL = {"MEDS_BIRTH", "MEDS_DEATH"}
Rows = list[tuple[int, datetime | None, str]]


def day(n: float) -> datetime:
    return ZERO + timedelta(days=n)


def cohort_of(rows: Rows) -> Cohort:
    ids, times, codes = zip(*rows, strict=True)
    return Cohort.of(pa.table({"subject_id": ids, "time": pa.array(times, pa.timestamp("us")), "code": codes}))


def random_rows(seed: int, subjects: int = 25) -> Rows:
    """Patients with ties in time, stays, deaths, and some without any history."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for subject in range(1, subjects + 1):
        rows.append((subject, None, "GENDER//F" if subject % 2 else "GENDER//M"))
        if rng.random() < 0.9:
            rows.append((subject, day(-365.25 * rng.integers(1, 90)), "MEDS_BIRTH"))
        died = int(rng.integers(200, 900)) if rng.random() < 0.4 else None
        for moment in np.sort(rng.integers(0, 60, rng.integers(0, 14))) * 15:
            if died is None or moment < died:
                rows.append((subject, day(int(moment)), str(rng.choice(["A", "B", "C", "HOSPITAL_ADMISSION//X"]))))
                if rng.random() < 0.3:
                    rows.append((subject, day(int(moment) + 5), "HOSPITAL_DISCHARGE//Y"))
        if died is not None:
            rows.append((subject, day(died), "MEDS_DEATH"))
    return rows


def timed(rows: Rows, subject: int) -> list[tuple[datetime, str]]:
    return sorted((t, c) for s, t, c in rows if s == subject and t is not None)


def end_of(rows: Rows) -> datetime:
    return max(t for _, t, _ in rows if t is not None)


def found(labels) -> dict[tuple[int, datetime], object]:
    keys = zip(labels.subject_id.tolist(), labels.times.tolist(), strict=True)
    result = dict(zip(keys, labels.value.tolist(), strict=True))
    assert len(result) == len(labels)
    return result


def expected_within(rows: Rows, codes: set[str], at: list[datetime], days: float, strict: bool, window: float | None):
    """What `CodeWithin` means, written out; and how many are left out for which reason."""
    result, left = {}, Counter()
    for subject in {s for s, _, _ in rows}:
        events = timed(rows, subject)
        death = next((t for t, c in events if c == "MEDS_DEATH"), None)
        for time in at:
            seen = [c for t, c in events if (t < time if strict else t <= time)]
            recent = [
                c
                for t, c in events
                if (t < time if strict else t <= time)
                and (window is None or t >= time - timedelta(days=window))
                and c not in VITAL
            ]
            if "MEDS_DEATH" in seen:
                assert death is not None
                left["dead at the prediction time"] += 1
            elif not recent:
                left["no event in the observation window"] += 1
            elif time + timedelta(days=days) > end_of(rows):
                left["horizon past the end of data"] += 1
            else:
                later = [
                    c for t, c in events if (t >= time if strict else t > time) and t <= time + timedelta(days=days)
                ]
                result[subject, time] = float(bool(codes & set(later)))
    return result, dict(left)


class TestCodeWithin:
    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize(("strict", "window"), [(False, None), (True, None), (False, 90.0), (True, 90.0)])
    def test_against_a_plain_reading(self, seed: int, strict: bool, window: float | None) -> None:
        rows = random_rows(seed)
        at = [day(180), day(300), day(615), day(800)]
        task = CodeWithin(
            ("A",), 120, AtDates(tuple(str(t.date()) for t in at)), strict=strict, observation_days=window
        )
        labels = cohort_of(rows).labels(task)
        wanted, left = expected_within(rows, {"A"}, at, 120, strict, window)
        assert found(labels) == wanted
        assert dict(labels.excluded) == left
        assert 0 < labels.value.mean() < 1

    def test_the_horizon_ends_on_its_last_moment(self) -> None:
        rows: Rows = [(1, day(0), "B"), (1, day(10), "A"), (2, day(0), "B"), (2, day(11), "A"), (3, day(99), "B")]
        labels = cohort_of(rows).labels(CodeWithin(("A",), 10, AtEvent(("B",))))
        assert found(labels) == {(1, day(0)): 1.0, (2, day(0)): 0.0}

    def test_what_happens_at_the_prediction_time_is_seen_not_predicted(self) -> None:
        rows: Rows = [(1, day(0), "B"), (1, day(5), "A"), (2, day(99), "B")]
        at = AtEvent(("A",))
        cohort = cohort_of(rows)
        assert found(cohort.labels(CodeWithin(("A",), 10, at))) == {(1, day(5)): 0.0}
        assert found(cohort.labels(CodeWithin(("A",), 10, at, strict=True))) == {(1, day(5)): 1.0}

    def test_prefixes(self) -> None:
        rows: Rows = [
            (1, day(0), "B"),
            (1, day(1), "ICD9CM:250.01"),
            (2, day(0), "B"),
            (2, day(1), "ICD9CM:25"),
            (3, day(99), "B"),
        ]
        labels = cohort_of(rows).labels(CodeWithin(("ICD9CM:250*",), 10, AtEvent(("B",))))
        assert found(labels) == {(1, day(0)): 1.0, (2, day(0)): 0.0}

    def test_a_code_that_nobody_has(self) -> None:
        with pytest.raises(SchemaError, match=r"No event of this cohort has a code of ICD9CM:250\.3\. Nearest: "):
            cohort_of([(1, day(0), "ICD9CM:25"), (1, day(1), "ICD9CM:250.1")]).labels(
                CodeWithin(("ICD9CM:250.3",), 10, AtDates(("2010-01-01",)))
            )

    @pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf")])
    def test_a_horizon_that_is_none(self, days: float) -> None:
        with pytest.raises(SchemaError, match="days above 0"):
            CodeWithin(("A",), days, AtDates(("2010-01-01",)))

    @pytest.mark.parametrize("codes", ["A", (), ("",), (1,)])
    def test_code_sets_that_are_none(self, codes) -> None:
        with pytest.raises(SchemaError, match="one or more codes"):
            CodeWithin(codes, 1, AtDates(("2010-01-01",)))


class TestExclusions:
    def test_ages_and_codes(self) -> None:
        rows: Rows = []
        for subject, years in ((1, 10), (2, 40), (3, 80)):
            rows += [(subject, day(-365.25 * years), "MEDS_BIRTH"), (subject, day(0), "A"), (subject, day(5), "B")]
        rows += [(4, day(0), "A"), (2, day(3), "C"), (5, None, "C"), (5, day(0), "A"), (6, day(99), "A")]
        at = AtDates((str(day(6).date()),))

        def kept(**given) -> tuple[list[int], dict[str, int]]:
            labels = cohort_of(rows).labels(CodeWithin(("A",), 9, at, exclusions=Exclusions(**given)))
            return labels.subject_id.tolist(), dict(labels.excluded)

        nobody = {"no event in the observation window": 1}
        assert kept() == ([1, 2, 3, 4, 5], nobody)
        assert kept(min_age=18) == ([2, 3], {**nobody, "age unknown": 2, "age": 1})
        assert kept(max_age=65) == ([1, 2], {**nobody, "age unknown": 2, "age": 1})
        assert kept(min_events=2) == ([1, 2, 3], {**nobody, "fewer than 2 events in the observation window": 2})
        assert kept(without=("C",)) == ([1, 3, 4], {**nobody, "a code that may not have occurred": 2})
        assert kept(having=("C",)) == ([2, 5], {**nobody, "no code that must occur": 3})


class TestCensoring:
    rows: ClassVar[Rows] = [
        *[(1, day(n), "B") for n in (0, 50)],
        *[(2, day(n), c) for n, c in ((0, "B"), (20, "A"))],
        *[(3, day(n), c) for n, c in ((0, "B"), (30, "MEDS_DEATH"))],
        *[(4, day(n), "B") for n in (0, 400)],
    ]

    def kept(self, **given) -> dict[int, float]:
        task = CodeWithin(("A",), 100, AtDates((str(day(1).date()),)), censoring=Censoring(**given))
        labels = cohort_of(self.rows).labels(task)
        return dict(zip(labels.subject_id.tolist(), labels.value.tolist(), strict=True))

    def test_by_the_end_of_data(self) -> None:
        assert self.kept() == {1: 0, 2: 1, 3: 0, 4: 0}
        assert self.kept(end="2010-01-21") == {}

    def test_by_the_subjects_own_end(self) -> None:
        assert self.kept(end="subject") == {3: 0, 4: 0}  # whose outcome came early is not kept for that

    def test_as_negative(self) -> None:
        assert self.kept(end="2010-01-21", incomplete="negative") == {1: 0, 2: 1, 3: 0, 4: 0}

    def test_what_it_refuses(self) -> None:
        with pytest.raises(SchemaError, match="'data', 'subject' or a date"):
            Censoring(end="someday")
        with pytest.raises(SchemaError, match="incomplete"):
            Censoring(incomplete="positive")

    def test_a_horizon_past_the_end_of_data_leaves_nothing_and_says_so(self) -> None:
        task = CodeWithin(("A",), 9999, AtDates((str(day(1).date()),)))
        with pytest.raises(SchemaError, match=r"leaves no sample\. 4 excluded: horizon past the end of data"):
            cohort_of(self.rows).vocabulary(task)


@pytest.mark.parametrize("seed", range(5))
def test_mortality(seed: int) -> None:
    rows = random_rows(seed)
    at = [day(150), day(450)]
    labels = cohort_of(rows).labels(Mortality(200, AtDates(tuple(str(t.date()) for t in at))))
    wanted, left = expected_within(rows, {"MEDS_DEATH"}, at, 200, False, None)
    assert (found(labels), dict(labels.excluded)) == (wanted, left)


@pytest.mark.parametrize("seed", range(5))
def test_readmission(seed: int) -> None:
    rows = random_rows(seed)
    labels = cohort_of(rows).labels(Readmission(days=30))
    wanted = {}
    for subject in {s for s, _, _ in rows}:
        events = timed(rows, subject)
        for time in {t for t, c in events if c.startswith("HOSPITAL_DISCHARGE")}:
            if any(c == "MEDS_DEATH" and t <= time for t, c in events) or time + timedelta(days=30) > end_of(rows):
                continue
            back = [
                t for t, c in events if c.startswith("HOSPITAL_ADMISSION") and time < t <= time + timedelta(days=30)
            ]
            wanted[subject, time] = float(bool(back))
    assert found(labels) == wanted
    assert wanted


class TestLengthOfStay:
    rows: ClassVar[Rows] = [
        *[(1, day(n), c) for n, c in ((0, "HOSPITAL_ADMISSION//E"), (9.5, "HOSPITAL_DISCHARGE//H"))],
        *[(2, day(n), c) for n, c in ((0, "HOSPITAL_ADMISSION//E"), (0.5, "HOSPITAL_DISCHARGE//H"))],
        *[
            (3, day(n), c)
            for n, c in ((0, "HOSPITAL_ADMISSION//E"), (4, "HOSPITAL_ADMISSION//E"), (6, "HOSPITAL_DISCHARGE//H"))
        ],
        (4, day(0), "HOSPITAL_ADMISSION//E"),
    ]

    def test_in_days(self) -> None:
        labels = cohort_of(self.rows).labels(LengthOfStay())
        assert labels.kind == "real"
        assert found(labels) == {(1, day(1)): 9.5, (3, day(5)): 2.0}
        assert dict(labels.excluded) == {"no discharge recorded": 2, "discharged by the prediction time": 1}

    def test_beyond_a_threshold(self) -> None:
        labels = cohort_of(self.rows).labels(LengthOfStay(days=7, after_hours=48))
        assert labels.kind == "binary"
        assert found(labels) == {(1, day(2)): 1.0}


class TestNextVisit:
    groups: ClassVar = {"a": ("A",), "bc": ("B", "C")}

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("new_only", [False, True])
    def test_against_a_plain_reading(self, seed: int, new_only: bool) -> None:
        rows = random_rows(seed)
        labels = cohort_of(rows).labels(NextVisit(self.groups, new_only=new_only))
        wanted, none = {}, 0
        for subject in {s for s, _, _ in rows}:
            events = [(t, c) for t, c in timed(rows, subject) if c not in VITAL]
            days = sorted({t.date() for t, _ in events})
            for number, today in enumerate(days):
                time = max(t for t, _ in events if t.date() == today)
                if number + 1 == len(days):
                    none += 1
                    continue
                had = {c for t, c in events if t <= time} if new_only else set()
                codes = {c for t, c in events if t.date() == days[number + 1]}
                wanted[subject, time] = [
                    float(bool(set(group) & codes) and not set(group) & had) for group in self.groups.values()
                ]
        assert found(labels) == wanted
        assert dict(labels.excluded) == {"no later visit": none}

    def test_within_days(self) -> None:
        rows: Rows = [(1, day(0), "A"), (1, day(40), "B"), (1, day(50), "A")]
        labels = cohort_of(rows).labels(NextVisit(self.groups, within_days=30))
        assert found(labels) == {(1, day(40)): [1.0, 0.0]}
        assert labels.excluded["next visit more than 30 days later"] == 1

    def test_the_sources_own_visits(self) -> None:
        table = pa.table(
            {
                "subject_id": [1] * 4,
                "time": pa.array([day(0), day(3), day(3.2), day(9)], pa.timestamp("us")),
                "code": ["A", "B", "A", "C"],
                "visit_id": pa.array([7, 7, None, 8], pa.int64()),
            }
        )
        cohort = Cohort.of(table)
        assert found(cohort.labels(NextVisit(self.groups))) == {(1, day(3)): [1.0, 0.0], (1, day(3.2)): [0.0, 1.0]}
        by_day = NextVisit(self.groups, at=AfterVisit(by="day"), by="day")
        assert set(found(cohort.labels(by_day))) == {(1, day(0)), (1, day(3.2))}

    def test_min_visits(self) -> None:
        rows: Rows = [(s, day(n), "A") for s in (1, 2) for n in range(4)]
        labels = cohort_of(rows).labels(NextVisit(self.groups | {"bc": ("A",)}, at=AfterVisit(min_visits=3)))
        assert sorted(found(labels)) == [(1, day(2)), (2, day(2))]


class TestTimeToEvent:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("horizon", [None, 100.0])
    def test_against_a_plain_reading(self, seed: int, horizon: float | None) -> None:
        rows = random_rows(seed)
        task = TimeToEvent(
            {"death": ("MEDS_DEATH",), "a": ("A",)},
            AfterFirst((50.0, 200.0)),
            horizon_days=horizon,
            censoring=Censoring(end="subject"),
        )
        wanted = {}
        for subject in {s for s, _, _ in rows}:
            events = timed(rows, subject)
            history = [t for t, c in events if c not in VITAL]
            for delay in (50, 200) if history else ():
                time = history[0] + timedelta(days=delay)
                death = next((t for t, c in events if c == "MEDS_DEATH"), None)
                last = events[-1][0]
                if (death is not None and death <= time) or last <= time:
                    continue
                stop = min(last, time + timedelta(days=horizon or 1e5))
                hits = [
                    (t, n) for t, c in events for n, w in ((1, "MEDS_DEATH"), (2, "A")) if c == w and time < t <= stop
                ]
                when, which = min(hits, default=(stop, 0))
                wanted[subject, time] = [(when - time) / timedelta(days=1), which]
        assert found(cohort_of(rows).labels(task)) == wanted
        assert {which for _, which in wanted.values()} >= {1, 2}

    def test_death_ends_observation(self) -> None:
        rows: Rows = [(1, day(0), "B"), (1, day(10), "MEDS_DEATH"), (2, day(0), "B"), (2, day(30), "A")]
        labels = cohort_of(rows).labels(TimeToEvent({"a": ("A",)}, AfterFirst((1.0,))))
        assert found(labels) == {(1, day(1)): [9.0, 0.0], (2, day(1)): [29.0, 1.0]}


class TestPredictionTimes:
    def test_first_and_every(self) -> None:
        rows: Rows = [(1, day(0), "A"), (1, day(5), "A"), (1, day(5), "A"), (2, day(1), "B"), (2, day(90), "B")]
        cohort = cohort_of(rows)
        every = cohort.labels(CodeWithin(("B",), 1, AtEvent(("A",), "every", delay_days=2)))
        assert sorted(found(every)) == [(1, day(2)), (1, day(7))]
        assert sorted(found(cohort.labels(CodeWithin(("B",), 1, AtEvent(("A",)))))) == [(1, day(0))]

    def test_yearly(self) -> None:
        assert AtDates.yearly(2014, 2016).dates == ("2014-01-01", "2015-01-01", "2016-01-01")

    def test_dates_with_a_zone_are_brought_to_utc(self) -> None:
        cohort = cohort_of([(1, day(0), "A"), (1, day(99), "B")])
        labels = cohort.labels(CodeWithin(("B",), 1, AtDates(("2010-01-11T02:00:00+02:00", "2010-01-12"))))
        assert sorted(found(labels)) == [(1, day(10)), (1, day(11))]

    @pytest.mark.parametrize(
        "rule",
        [
            lambda: AtEvent(("A",), "last"),  # type: ignore[arg-type]
            lambda: AtEvent(("A",), delay_days=-1),
            lambda: AtDates(()),
            lambda: AtDates(("yesterday",)),
            lambda: AtDates((2014,)),  # type: ignore[arg-type]
            lambda: AfterFirst((-1.0,)),
            lambda: AfterVisit(min_visits=0),
        ],
    )
    def test_what_they_refuse(self, rule) -> None:
        with pytest.raises(SchemaError):
            rule()


class TestGivenLabels:
    def test_they_are_kept_as_given(self) -> None:
        rows = random_rows(3)
        given = pa.table(
            {
                "subject_id": [2, 1, 1],
                "prediction_time": pa.array([day(900), day(900), day(901)], pa.timestamp("us")),
                "boolean_value": [True, False, True],
            }
        )
        task = GivenLabels.from_table(given)
        alive = {s for s in (1, 2) if "MEDS_DEATH" not in {c for _, c in timed(rows, s)} and timed(rows, s)}
        everyone = {(1, day(900)): 0.0, (1, day(901)): 1.0, (2, day(900)): 1.0}
        assert found(cohort_of(rows).labels(task)) == {k: v for k, v in everyone.items() if k[0] in alive}
        assert alive

    def test_classes(self) -> None:
        table = pa.table(
            {
                "subject_id": [1, 2, 3],
                "prediction_time": pa.array([day(1)] * 3, pa.timestamp("us")),
                "categorical_value": ["home", "ward", "home"],
            }
        )
        task = GivenLabels.from_table(table)
        assert (task.kind, task.names) == ("multiclass", ("home", "ward"))
        assert task.given.value.tolist() == [0, 1, 0]
        assert task.given.to_table()["categorical_value"].to_pylist() == ["home", "ward", "home"]

    @pytest.mark.parametrize(
        "change",
        [
            lambda t: t.drop_columns(["prediction_time"]),
            lambda t: t.drop_columns(["boolean_value"]),
            lambda t: t.append_column("float_value", pa.array([1.0, 2.0])),
            lambda t: t.set_column(0, "subject_id", pa.array([1, None])),
            lambda t: t.set_column(0, "subject_id", pa.array(["x", "y"])),
            lambda t: t.set_column(0, "subject_id", pa.array([1, 1])),
        ],
    )
    def test_what_they_refuse(self, change) -> None:
        times = pa.array([day(1)] * 2, pa.timestamp("us"))
        table = pa.table({"subject_id": [1, 2], "prediction_time": times, "boolean_value": [True, False]})
        with pytest.raises(SchemaError):
            GivenLabels.from_table(change(table))


def test_one_module_names_every_task_and_prediction_time() -> None:
    import inspect

    from medgraph.data import given_labels, next_visit, prediction_times, task, tasks

    made = {
        name: value
        for module in (tasks, task, given_labels, next_visit, prediction_times)
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert made.keys() <= set(tasks.__all__)
    assert all(getattr(tasks, name) is value for name, value in made.items())
