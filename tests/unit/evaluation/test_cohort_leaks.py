"""The leak report finds what is planted, in made-up patients and in public data sets with known traps."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from sklearn.metrics import roc_auc_score

from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AfterFirst, AtDates
from medgraph.data.tasks import Censoring, CodeWithin, Mortality, NextVisit, TimeToEvent
from medgraph.errors import SchemaError
from medgraph.evaluation.cohort_leaks import CohortLeakReport, cohort_leaks
from medgraph.loading import load

ZERO = datetime(2010, 1, 1)
DEATH_CERTIFICATION, CHRONIC_PAIN = "SNOMEDCT:308646001", "SNOMEDCT:82423001"
TASK = CodeWithin(("ILL",), 365, AtDates(("2012-01-01",)))


def cohort_of(rows: list[tuple[int, float, str, float | None]]) -> Cohort:
    ids, days, codes, values = zip(*rows, strict=True)
    times = pa.array([ZERO + timedelta(days=d) for d in days], pa.timestamp("us"))
    return Cohort.of(
        pa.table({"subject_id": ids, "time": times, "code": codes, "numeric_value": pa.array(values, pa.float32())})
    )


def patients(leak: str = "", subjects: int = 200) -> list[tuple[int, float, str, float | None]]:
    """Five years of noise; half fall ill in 2012, at random, unless `leak` gives them away."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, float, str, float | None]] = []
    for subject in range(1, subjects + 1):
        ill = bool(rng.random() < 0.5)
        for n in rng.integers(0, 5 * 365, 15).tolist():
            rows.append((subject, n, str(rng.choice(list("ABCD"))), None))
        if ill:
            at = float(rng.integers(731, 1095))
            rows.append((subject, at, "ILL", None))
            if leak == "bundle":
                rows.append((subject, at, "BUNDLE", None))
        else:
            rows.append((subject, float(rng.integers(1100, 1800)), "ILL", None))
        if leak == "code" and (ill != (rng.random() < 0.05)):
            rows.append((subject, 700.0, "TELLS", None))
        if leak == "value":
            rows.append((subject, 700.0, "LAB", float(rng.normal(3 * ill, 1))))
        if leak == "density" and ill:
            rows += [(subject, float(n), "A", None) for n in range(100, 150)]
        if leak == "calendar":
            rows.append((subject, float(rng.integers(1096, 1460)), "GATED", None))
        if leak == "death":
            rows = [row for row in rows if row[0] != subject or row[1] < 1500]
            rows += [(subject, 1500.0, "MEDS_DEATH", None), (subject, 1501.0, "CERTIFICATE", None)]
        else:
            rows.append((subject, 1824.0, "A", None))
    return rows


def report(leak: str) -> CohortLeakReport:
    return cohort_leaks(cohort_of(patients(leak)), TASK)


class TestPlanted:
    def test_nothing(self) -> None:
        found = report("")
        assert found.clean
        assert "nothing found" in str(found)

    def test_a_code_that_tells(self) -> None:
        found = report("code")
        (alone,) = found.telling
        assert alone.feature == "TELLS"
        rows = patients("code")
        ill = {s for s, d, c, _ in rows if c == "ILL" and d < 1096}
        tells = {s for s, _, c, _ in rows if c == "TELLS"}
        everyone = range(1, 201)
        assert alone.score == pytest.approx(roc_auc_score([s in ill for s in everyone], [s in tells for s in everyone]))
        assert alone.samples == len(tells)
        assert alone.positive == pytest.approx(len(ill & tells) / len(tells))

    def test_a_value_that_tells(self) -> None:
        (alone,) = report("value").telling
        assert alone.feature == "LAB (its last value)"
        rows = patients("value")
        ill = {s for s, d, c, _ in rows if c == "ILL" and d < 1096}
        values = {s: v for s, _, c, v in rows if c == "LAB"}
        assert alone.score == pytest.approx(roc_auc_score([s in ill for s in values], list(values.values())), abs=1e-6)

    def test_a_record_whose_shape_tells(self) -> None:
        assert {alone.feature for alone in report("density").telling} >= {"(number of events)", "(number of visits)"}

    def test_a_code_bound_to_one_year(self) -> None:
        found = report("calendar")
        assert [(gate.code, gate.year, gate.share) for gate in found.gated_codes] == [("GATED", 2013, 1.0)]
        assert not found.gated_outcome

    def test_what_comes_with_the_outcome(self) -> None:
        assert [(bundle.code, bundle.share) for bundle in report("bundle").same_day] == [("BUNDLE", 1.0)]

    def test_records_after_death(self) -> None:
        found = report("death")
        assert (found.after_death, found.subjects_after_death, found.codes_after_death) == (200, 200, ("CERTIFICATE",))

    def test_the_whole_report_is_json_and_short(self) -> None:
        found = report("code")
        assert json.loads(json.dumps(found.to_dict()))["telling"][0]["feature"] == "TELLS"
        assert len(str(found).splitlines()) < 40

    def test_what_it_refuses(self) -> None:
        cohort = cohort_of(patients())
        with pytest.raises(SchemaError, match="yes-or-no and survival"):
            cohort_leaks(cohort, NextVisit({"a": ("A",), "b": ("B",)}))
        with pytest.raises(SchemaError, match="fitted on train"):
            cohort_leaks(cohort.split().held_out, TASK)


@pytest.fixture(scope="module", name="cohort")
def synthetic_patients(shared_data: Path) -> Cohort:
    return load("synthea", path=shared_data / "ehr" / "synthea1k")


class TestSynthea:
    def test_the_density_of_early_records_gives_death_away(self, cohort: Cohort) -> None:
        """Ten years before death are kept of the dead, the last ten years of the living."""
        found = cohort_leaks(cohort, Mortality(3650, AtDates(("2013-01-01",))))
        scores = {alone.feature: alone.score for alone in found.telling}
        assert scores["(number of events)"] > 0.93

    def test_records_go_on_after_death(self, cohort: Cohort) -> None:
        task = Mortality(365, AtDates.yearly(2014, 2021))
        found = cohort_leaks(cohort, task)
        assert DEATH_CERTIFICATION in found.codes_after_death
        assert found.subjects_after_death > 100
        assert DEATH_CERTIFICATION not in cohort.timelines(task).vocabulary  # no sample of the dead, none can see it
        careless = set()  # whoever forgets the prediction time reads the whole record, and death from its certificate
        died = set()
        for events in cohort.events():
            named = np.array(cohort.shards.codes, dtype=object)[events.code]
            careless |= set(events.subject_id[events.subject[named == DEATH_CERTIFICATION]].tolist())
            died |= set(events.subject_id[events.subject[named == "MEDS_DEATH"]].tolist())
        everyone = cohort.subjects.tolist()
        assert roc_auc_score([s in died for s in everyone], [s in careless for s in everyone]) > 0.95

    def test_an_outcome_bound_to_the_calendar(self, cohort: Cohort) -> None:
        found = cohort_leaks(cohort, CodeWithin((CHRONIC_PAIN,), 365, AtDates.yearly(2014, 2021)))
        assert [gate.code for gate in found.gated_outcome] == [CHRONIC_PAIN]
        assert "(calendar time of the prediction)" in {alone.feature for alone in found.telling}

    def test_same_day_bundles(self, cohort: Cohort) -> None:
        found = cohort_leaks(cohort, CodeWithin((CHRONIC_PAIN,), 365, AtDates.yearly(2014, 2021)))
        assert "SNOMEDCT:278860009" in {bundle.code for bundle in found.same_day}  # chronic low back pain

    def test_the_honest_task_has_no_single_feature_that_tells(self, cohort: Cohort) -> None:
        codes = ("ENCOUNTER//emergency", "ENCOUNTER//inpatient")
        assert cohort_leaks(cohort, CodeWithin(codes, 365, AtDates.yearly(2014, 2021))).telling == ()

    def test_ends_stand_where_they_are_known(self, cohort: Cohort, shared_data: Path) -> None:
        """A STOP date stands in the row of the START, and tells then what is known only later."""
        with_ends = load("synthea", path=shared_data / "ehr" / "synthea1k", ends=True)
        task = CodeWithin(("ENCOUNTER//emergency",), 365, AtDates(("2018-01-01",)))
        samples = with_ends.timelines(task).all()
        ends = np.array([code.endswith("//END") for code in samples.vocabulary.codes])
        assert ends[samples.codes].sum() > 1000
        assert samples.code_days.min() >= 0
        starts = cohort.timelines(task).all()
        assert np.array_equal(starts.label, samples.label)


class TestSupport2:
    """Its table mixes what is known on day 3 with estimates, orders and bills of later days."""

    LATER = ("slos", "charges", "totcst", "surv2m", "surv6m", "prg2m", "prg6m")
    EARLY = ("age", "num.co", "meanbp", "wblc", "hrt", "resp", "temp", "crea", "sod", "alb", "bili")

    def cohort(self, shared_data: Path, honest: bool) -> Cohort:
        table = pacsv.read_csv(shared_data / "survival" / "support2.csv.gz").to_pandas()
        stay = table["slos"].to_numpy()
        parts = []

        def add(ids: np.ndarray, days: np.ndarray, codes: list[str], values: np.ndarray | None = None) -> None:
            moment = (np.datetime64("2000-01-01", "us") + (days * 86_400e6).astype("timedelta64[us]")).astype(
                "datetime64[us]"
            )
            value = pa.nulls(ids.size, pa.float32()) if values is None else pa.array(values.astype(np.float32))
            parts.append(pa.table({"subject_id": ids + 1, "time": moment, "code": codes, "numeric_value": value}))

        for name in (*self.EARLY, *self.LATER):
            ids = np.flatnonzero(table[name].notna().to_numpy())
            late = honest and name in self.LATER
            days = stay[ids] if late else np.full(ids.size, 3.0)
            add(ids, days, [name] * ids.size, table[name].to_numpy()[ids])
        for name in ("dnr", "sfdm2"):
            ids = np.flatnonzero(table[name].notna().to_numpy())
            days = (stay[ids] if name == "dnr" else np.full(ids.size, 60.0)) if honest else np.full(ids.size, 3.0)
            add(ids, days, [f"{name}//{value}" for value in table[name].to_numpy()[ids]])
        everyone = np.arange(len(table))
        dead = table["death"].to_numpy() == 1
        add(everyone, table["d.time"].to_numpy().astype(float), np.where(dead, "MEDS_DEATH", "LAST_SEEN").tolist())
        joined = pa.concat_tables(parts)
        return Cohort.of(joined.take(pa.array(np.argsort(joined["subject_id"].to_numpy(), kind="stable"))))

    task = TimeToEvent({"death": ("MEDS_DEATH",)}, AfterFirst((0.0,)), censoring=Censoring(end="subject"))

    def test_a_careless_table_is_found_out(self, shared_data: Path) -> None:
        found = cohort_leaks(self.cohort(shared_data, honest=False), self.task)
        named = {alone.feature.partition(" (")[0].partition("//")[0] for alone in found.telling}
        assert named >= {"surv2m", "surv6m", "prg2m", "prg6m", "dnr", "sfdm2"}
        assert not named & set(self.EARLY)

    def test_times_that_are_honest_keep_them_out(self, shared_data: Path) -> None:
        cohort = self.cohort(shared_data, honest=True)
        task = TimeToEvent({"death": ("MEDS_DEATH",)}, AfterFirst((0.5,)), censoring=Censoring(end="subject"))
        seen = {code.partition("//")[0] for code in cohort.timelines(task).vocabulary.codes}
        assert not seen & {"sfdm2"}
        assert seen >= set(self.EARLY)
        assert cohort_leaks(cohort, task).telling == ()
