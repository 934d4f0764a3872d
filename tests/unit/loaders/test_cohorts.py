"""MIMIC, OMOP and Synthea by hand, and counted against the plain tables; MEDS folders of other makers."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medgraph.data.cohort import Cohort
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loading import load

Event = tuple[int, str | None, str]


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text.strip().replace(" ", "") + "\n")
    return folder


def events(cohort: Cohort, values: bool = False) -> list[tuple]:
    names = cohort.shards.codes
    found = []
    for block in cohort.events():
        for subject, time, code, value, visit in zip(
            block.subject_id[block.subject].tolist(),
            block.time.tolist(),
            block.code.tolist(),
            block.value.tolist(),
            block.visit.tolist(),
            strict=True,
        ):
            moment = None if time < -(1 << 62) else str(np.datetime64(time, "us").astype(datetime))
            found.append((subject, moment, names[code], value, visit) if values else (subject, moment, names[code]))
    return sorted(found, key=str)


def counts(cohort: Cohort) -> dict[str, int]:
    return dict(zip(cohort.shards.codes, cohort.shards.code_counts.tolist(), strict=True))


class TestMimicThree:
    tables = {  # noqa: RUF012
        "PATIENTS": """subject_id,gender,dob,dod
10,F,2094-03-05,2165-08-12
11,M,1800-01-01,""",
        "ADMISSIONS": """subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,discharge_location
10,1,2164-10-23T21:09:00,2164-11-01T17:15:00,,EMERGENCY,HOME
11,2,2101-05-01T10:00:00,2101-05-03T09:00:00,2101-05-03T09:00:00,ELECTIVE,DEAD/EXPIRED""",
        "DIAGNOSES_ICD": """subject_id,hadm_id,seq_num,icd9_code
10,1,1,99591
10,1,2,V090
11,2,1,E8791
11,2,2,0389
11,2,3,""",
        "PROCEDURES_ICD": """subject_id,hadm_id,seq_num,icd9_code
10,1,1,3605
10,1,2,0331""",
        "PRESCRIPTIONS": """subject_id,hadm_id,startdate,drug,ndc
10,1,2164-10-23,Bisacodyl,00536338101
10,1,2164-10-25,Water,0
10,1,,Lost,0""",
    }

    def test_every_event(self, tmp_path: Path) -> None:
        cohort = load("mimic", path=write(tmp_path, **self.tables))
        out, out2 = "2164-11-01 17:15:00", "2101-05-03 09:00:00"
        found = events(cohort)
        (born,) = [t for s, t, c in found if (s, c) == (11, "MEDS_BIRTH")]
        assert born is not None
        assert (pd.Timestamp("2101-05-01 10:00") - pd.Timestamp(born)).days / 365.25 == pytest.approx(91.4, abs=0.01)
        expected: list[Event] = [
            (10, None, "GENDER//F"),
            (10, "2094-03-05 00:00:00", "MEDS_BIRTH"),
            (10, "2164-10-23 21:09:00", "HOSPITAL_ADMISSION//EMERGENCY"),
            (10, "2164-10-23 21:09:00", "NDC:00536-3381-01"),
            (10, "2164-10-25 00:00:00", "DRUG//Water"),
            *[
                (10, out, c)
                for c in ("HOSPITAL_DISCHARGE//HOME", "ICD9CM:995.91", "ICD9CM:V09.0", "ICD9CM:36.05", "ICD9CM:03.31")
            ],
            (10, "2165-08-12 23:59:59.999999", "MEDS_DEATH"),
            (11, None, "GENDER//M"),
            (11, born, "MEDS_BIRTH"),
            (11, "2101-05-01 10:00:00", "HOSPITAL_ADMISSION//ELECTIVE"),
            *[
                (11, out2, c)
                for c in ("HOSPITAL_DISCHARGE//DEAD/EXPIRED", "ICD9CM:E879.1", "ICD9CM:038.9", "MEDS_DEATH")
            ],
        ]
        assert found == sorted(expected, key=str)
        assert cohort.skipped == {
            "diagnoses without a known subject or code, left out": 1,
            "prescriptions without a time, left out": 1,
            "births of those over 89, moved in the source, set to age 91.4 at first admission": 1,
        }

    def test_readmission_leaves_out_deaths_in_hospital(self, tmp_path: Path) -> None:
        from medgraph.data.tasks import Readmission

        labels = load("mimic", path=write(tmp_path, **self.tables)).labels(Readmission(days=30))
        assert labels.subject_id.tolist() == [10]
        assert labels.excluded == {"dead at the prediction time": 1}

    def test_the_demo_against_its_tables(self, shared_data: Path) -> None:
        folder = shared_data / "ehr" / "mimic3demo"
        cohort = load("mimic", path=folder)
        table = pd.read_csv(folder / "DIAGNOSES_ICD.csv.gz", dtype=str).drop_duplicates(["hadm_id", "icd9_code"])
        assert cohort.num_subjects == 100
        found = counts(cohort)
        assert sum(n for code, n in found.items() if code.startswith("HOSPITAL_ADMISSION")) == 129
        deaths = pd.read_csv(folder / "PATIENTS.csv.gz")["dod"].notna().sum()
        assert found["MEDS_DEATH"] == deaths
        for code, curie in (("4019", "ICD9CM:401.9"), ("5849", "ICD9CM:584.9"), ("V5867", "ICD9CM:V58.67")):
            assert found[curie] == (table["icd9_code"] == code).sum() > 0
        procedures = pd.read_csv(folder / "PROCEDURES_ICD.csv.gz", dtype=str).drop_duplicates(["hadm_id", "icd9_code"])
        assert found["ICD9CM:96.71"] == (procedures["icd9_code"] == "9671").sum() > 0
        ages = cohort.only(cohort.subjects)
        assert not [code for code in ages.shards.codes if code.startswith("ICD9//")]


class TestMimicFour:
    def test_every_event(self, tmp_path: Path) -> None:
        cohort = load(
            "mimic",
            path=write(
                tmp_path / "hosp",
                patients="subject_id,gender,anchor_age,anchor_year,dod\n7,M,50,2150,2151-02-03",
                admissions="subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,discharge_location\n"
                "7,3,2150-01-01T08:00:00,2150-01-04T12:00:00,,URGENT,HOME",
                diagnoses_icd="subject_id,hadm_id,seq_num,icd_code,icd_version\n7,3,1,E119,10\n7,3,2,25000,9",
                procedures_icd="subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n"
                "7,3,1,2150-01-02,02HV33Z,10\n7,3,2,2150-01-04,3893,9",
                labevents="subject_id,hadm_id,itemid,charttime,valuenum\n7,3,50868,2150-01-01T09:00:00,12.5\n"
                "7,,50868,2150-01-01T10:00:00,",
                d_labitems="itemid,label\n50868,AnionGap",
            ).parent,
        )
        expected = [
            (7, None, "GENDER//M", -1),
            (7, "2100-01-01 00:00:00", "MEDS_BIRTH", -1),
            (7, "2150-01-01 08:00:00", "HOSPITAL_ADMISSION//URGENT", 3),
            (7, "2150-01-01 09:00:00", "LAB//50868", 3),
            (7, "2150-01-01 10:00:00", "LAB//50868", -1),
            (7, "2150-01-02 23:59:59.999999", "ICD10PCS:02HV33Z", 3),
            *[
                (7, "2150-01-04 12:00:00", c, 3)
                for c in ("ICD9CM:38.93", "ICD10CM:E11.9", "ICD9CM:250.00", "HOSPITAL_DISCHARGE//HOME")
            ],
            (7, "2151-02-03 23:59:59.999999", "MEDS_DEATH", -1),
        ]
        found = events(cohort, values=True)
        assert sorted(((s, t, c, v) for s, t, c, _, v in found), key=str) == sorted(expected, key=str)
        assert next(value for *_, c, value, _ in found if c == "LAB//50868") == 12.5
        about = {row["code"]: row["description"] for row in cohort.codes.to_pylist()}
        assert about["LAB//50868"] == "AnionGap"

    def test_by_way_of_a_folder(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", **TestMimicThree.tables)
        memory, disk = load("mimic", path=source), load("mimic", path=source, to=tmp_path / "out")
        assert disk.fingerprint == memory.fingerprint
        assert load("meds", path=tmp_path / "out").fingerprint == memory.fingerprint
        assert [p.name for p in tmp_path.iterdir()] == ["in", "out"] or {p.name for p in tmp_path.iterdir()} == {
            "in",
            "out",
        }
        with pytest.raises(LoaderError, match="is there already"):
            load("mimic", path=source, to=tmp_path / "out")


class TestOmop:
    tables = {  # noqa: RUF012
        "PERSON": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth\n"
        "5,8532,1950,4,\n6,8507,1960,12,31",
        "CONCEPT": "concept_id,concept_name,vocabulary_id,concept_code\n192671,Bleed,SNOMED,74474003\n"
        "1118084,celecoxib,RxNorm,140587\n99,odd,RxNorm,OMOP123\n1,parent,SNOMED,404684003",
        "CONCEPT_ANCESTOR": "ancestor_concept_id,descendant_concept_id,min_levels_of_separation\n1,192671,1\n1,99,3",
        "CONDITION_OCCURRENCE": "person_id,condition_concept_id,condition_start_date,condition_start_datetime,"
        "visit_occurrence_id\n"
        "5,192671,2001-02-03,2001-02-03T10:00:00Z,44\n5,0,2001-02-03,,44\n9,192671,2001-02-03,,0",
        "CONDITION_ERA": "person_id,condition_concept_id,condition_era_start_date\n5,192671,1999-01-01",
        "DRUG_ERA": "person_id,drug_concept_id,drug_era_start_date\n"
        "6,1118084,2000-01-01\n6,99,2000-01-02\n6,77,2000-01-03",
        "MEASUREMENT": "person_id,measurement_concept_id,measurement_date,value_as_number\n6,1,2000-05-01,7.5",
        "OBSERVATION_PERIOD": "person_id,observation_period_start_date,observation_period_end_date\n"
        "6,1999-01-01,2003-01-01",
        "VISIT_OCCURRENCE": "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n"
        "44,5,9201,2001-02-03,2001-02-06",
        "DEATH": "person_id,death_date\n5,2002-01-01",
    }

    def test_every_event(self, tmp_path: Path) -> None:
        cohort = load("omop", path=write(tmp_path, **self.tables))
        assert events(cohort) == sorted(
            [
                (5, None, "GENDER//F"),
                (5, "1950-04-01 00:00:00", "MEDS_BIRTH"),
                (5, "2001-02-03 00:00:00", "HOSPITAL_ADMISSION//9201"),
                (5, "2001-02-03 00:00:00", "OMOP:9201"),
                (5, "2001-02-03 10:00:00", "SNOMEDCT:74474003"),
                (5, "2001-02-06 23:59:59.999999", "HOSPITAL_DISCHARGE//9201"),
                (5, "2002-01-01 23:59:59.999999", "MEDS_DEATH"),
                (6, None, "GENDER//M"),
                (6, "1960-12-31 00:00:00", "MEDS_BIRTH"),
                (6, "1999-01-01 00:00:00", "OBSERVATION_PERIOD//START"),
                (6, "2000-01-01 00:00:00", "RXNORM:140587"),
                (6, "2000-01-02 00:00:00", "OMOP:99"),
                (6, "2000-01-03 00:00:00", "OMOP:77"),
                (6, "2000-05-01 00:00:00", "SNOMEDCT:404684003"),
                (6, "2003-01-01 23:59:59.999999", "OBSERVATION_PERIOD//END"),
            ],
            key=str,
        )
        assert cohort.skipped == {
            "condition_occurrence without a known subject or code, left out": 2,
            "times with a zone, read as UTC": 1,
        }
        about = {row["code"]: row for row in cohort.codes.to_pylist()}
        assert about["SNOMEDCT:74474003"]["description"] == "Bleed"
        assert about["SNOMEDCT:74474003"]["parent_codes"] == ["SNOMEDCT:404684003"]

    def test_parquet_says_the_same(self, tmp_path: Path) -> None:
        text = load("omop", path=write(tmp_path / "csv", **self.tables))
        (tmp_path / "parquet").mkdir()
        for file in (tmp_path / "csv").iterdir():
            frame = pd.read_csv(file)
            if file.stem == "DRUG_ERA":  # one table in two files
                (tmp_path / "parquet" / "drug_era").mkdir()
                frame[:1].to_parquet(tmp_path / "parquet" / "drug_era" / "0.parquet")
                frame[1:].to_parquet(tmp_path / "parquet" / "drug_era" / "1.parquet")
            else:
                frame.to_parquet(tmp_path / "parquet" / f"{file.stem.lower()}.parquet")
        assert load("omop", path=tmp_path / "parquet").fingerprint == text.fingerprint

    def test_eunomia_against_its_tables(self, shared_data: Path) -> None:
        folder = shared_data / "ehr" / "eunomia_gibleed"
        cohort = load("omop", path=folder)
        concepts = pd.read_csv(folder / "CONCEPT.csv.gz", dtype=str)
        persons = set(pd.read_csv(folder / "PERSON.csv.gz")["PERSON_ID"])
        drugs = pd.read_csv(folder / "DRUG_ERA.csv.gz")
        drugs = drugs[drugs["PERSON_ID"].isin(persons)].drop_duplicates(
            ["PERSON_ID", "DRUG_CONCEPT_ID", "DRUG_ERA_START_DATE"]
        )
        assert cohort.num_subjects == 2694
        found = counts(cohort)
        for concept in (1118084, 1124300):  # celecoxib, diclofenac
            code = concepts.loc[concepts["CONCEPT_ID"] == str(concept), "CONCEPT_CODE"].item()
            assert found[f"RXNORM:{code}"] == (drugs["DRUG_CONCEPT_ID"] == concept).sum() > 0


class TestSynthea:
    tables = {  # noqa: RUF012
        "patients": "Id,BIRTHDATE,DEATHDATE,RACE,GENDER\nu-1,1980-01-01,,white,F\nu-2,1950-06-07,2015-03-04,,M",
        "encounters": "Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE,DESCRIPTION\n"
        "e-1,2014-01-01T08:00:00Z,2014-01-01T08:30:00Z,u-1,emergency,50849002,ER\n"
        "e-2,2014-05-01T08:00:00Z,2014-05-04T10:00:00Z,u-2,inpatient,183452005,Stay\n"
        "e-3,2014-06-01T08:00:00Z,2014-06-01T10:00:00Z,u-9,ambulatory,185347001,Lost",
        "conditions": "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n"
        "2014-01-01,2014-02-01,u-1,e-1,SNOMED-CT,444814009,Cold",
        "medications": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2014-05-02T09:00:00Z,,u-2,e-2,313782,Pill",
        "immunizations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2014-01-01T08:00:00Z,u-1,e-1,140,Flu",
        "observations": "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n"
        "2014-01-01T08:00:00Z,u-1,e-1,vital,8302-2,Height,170.5,cm,numeric\n"
        "2014-01-01T08:00:00Z,u-1,e-1,x,72166-2,Smoker,never,,text",
    }

    def test_every_event(self, tmp_path: Path) -> None:
        cohort = load("synthea", path=write(tmp_path, **self.tables))
        one, two = "2014-01-01 08:00:00", "2014-05-01 08:00:00"
        assert events(cohort) == sorted(
            [
                (1, None, "GENDER//F"),
                (1, None, "RACE//white"),
                (1, "1980-01-01 00:00:00", "MEDS_BIRTH"),
                *[
                    (1, one, c)
                    for c in (
                        "ENCOUNTER//emergency",
                        "SNOMEDCT:50849002",
                        "SNOMEDCT:444814009",
                        "CVX:140",
                        "LOINC:8302-2",
                    )
                ],
                (2, None, "GENDER//M"),
                (2, "1950-06-07 00:00:00", "MEDS_BIRTH"),
                *[(2, two, c) for c in ("ENCOUNTER//inpatient", "SNOMEDCT:183452005", "HOSPITAL_ADMISSION//inpatient")],
                (2, "2014-05-02 09:00:00", "RXNORM:313782"),
                (2, "2014-05-04 10:00:00", "HOSPITAL_DISCHARGE//inpatient"),
                (2, "2015-03-04 23:59:59.999999", "MEDS_DEATH"),
            ],
            key=str,
        )
        assert cohort.skipped["encounters without a known subject or code, left out"] == 2

    def test_ends(self, tmp_path: Path) -> None:
        cohort = load("synthea", path=write(tmp_path, **self.tables), ends=True)
        assert (1, "2014-02-01 23:59:59.999999", "SNOMEDCT:444814009//END") in events(cohort)

    def test_the_shared_cohort_against_its_tables(self, shared_data: Path) -> None:
        folder = shared_data / "ehr" / "synthea1k"
        cohort = load("synthea", path=folder)
        encounters = pd.read_csv(pa.input_stream(str(folder / "encounters.csv.zst"), compression="zstd"), dtype=str)
        assert cohort.num_subjects == 1144
        found = counts(cohort)
        once = encounters.drop_duplicates(["PATIENT", "START", "ENCOUNTERCLASS", "Id"])
        for kind in ("emergency", "inpatient"):
            assert found[f"ENCOUNTER//{kind}"] == (once["ENCOUNTERCLASS"] == kind).sum()
        assert found["MEDS_DEATH"] == 144


class TestMeds:
    def folder(self, tmp_path: Path, splits=("train", "held_out"), **more: pa.Table) -> Path:
        data = pa.table(
            {
                "subject_id": [1, 1, 2],
                "time": pa.array([None, datetime(2010, 1, 1), datetime(2010, 1, 2)], pa.timestamp("us")),
                "code": ["GENDER//F", "A", "B"],
                "numeric_value": pa.array([None, 1.0, None], pa.float32()),
            }
        )
        for name in ("data/train", "metadata", "labels"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(more.get("data", data), tmp_path / "data" / "train" / "0.parquet")
        pq.write_table(pa.table({"code": ["A"], "description": ["Alpha"]}), tmp_path / "metadata" / "codes.parquet")
        pq.write_table(
            pa.table({"subject_id": [1, 2], "split": splits}), tmp_path / "metadata" / "subject_splits.parquet"
        )
        return tmp_path

    def test_a_folder(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / "metadata" / "dataset.json").write_text(json.dumps({"dataset_name": "X", "license": "MIT"}))
        label = pa.table(
            {
                "subject_id": [1, 2, 77],
                "prediction_time": pa.array([datetime(2010, 2, 1)] * 3, pa.timestamp("us")),
                "boolean_value": [True, False, True],
            }
        )
        (folder / "labels" / "ill").mkdir()
        pq.write_table(label.slice(0, 1), folder / "labels" / "ill" / "0.parquet")
        pq.write_table(label.slice(1), folder / "labels" / "ill" / "1.parquet")
        cohort = load("meds", path=folder)
        assert (cohort.provenance[0].name, cohort.provenance[0].licence) == ("X", "MIT")
        assert cohort.train.subjects.tolist() == [1]
        assert cohort.labels("ill").value.tolist() == [1, 0]
        assert cohort.skipped == {
            "codes without an entry in metadata/codes.parquet": 2,
            "labels of ill whose subject has no events, left out": 1,
        }
        assert cohort.codes.to_pylist()[0]["description"] == "Alpha"

    @pytest.mark.parametrize(
        ("name", "table", "message"),
        [
            (
                "metadata/subject_splits.parquet",
                pa.table({"subject_id": [1, 1], "split": ["train"] * 2}),
                "1 subjects stand",
            ),
            (
                "metadata/subject_splits.parquet",
                pa.table({"subject_id": [1], "split": ["test"]}),
                r"unknown splits \['test'\]",
            ),
            ("metadata/subject_splits.parquet", pa.table({"subject_id": [1]}), "no column 'split'"),
            (
                "metadata/subject_splits.parquet",
                pa.table({"subject_id": ["x"], "split": ["train"]}),
                "must hold integers",
            ),
            ("metadata/codes.parquet", pa.table({"x": [1]}), "no column 'code'"),
            ("labels/a.parquet", pa.table({"subject_id": [1], "prediction_time": [1]}), "one of boolean_value"),
            ("data/train/0.parquet", pa.table({"subject_id": [1], "code": ["A"]}), "no column 'time'"),
        ],
    )
    def test_what_breaks_the_schema(self, name: str, table: pa.Table, message: str, tmp_path: Path) -> None:
        pq.write_table(table, self.folder(tmp_path) / name)
        with pytest.raises(MalformedInputError, match=message):
            load("meds", path=tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(LoaderError, match="no MEDS folder"):
            load("meds", path=tmp_path)
        for name in ("meds", "mimic", "omop", "synthea"):
            with pytest.raises(LoaderError, match="needs path="):
                load(name)
            with pytest.raises(LoaderError):
                load(name, path=tmp_path / "nothing")
