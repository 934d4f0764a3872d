"""MIMIC-III and MIMIC-IV, from the CSV files that credentialed users download; the demos are open.

Johnson et al. (2016), MIMIC-III, doi:10.1038/sdata.2016.35; Johnson et al. (2023), MIMIC-IV,
doi:10.1038/s41597-022-01899-x.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.cohort import Cohort
from medgraph.data.comma_separated import PatientTable, find_table
from medgraph.data.event_collector import EventCollector, end_of_day, numbers, times
from medgraph.data.events import BIRTH, DEATH, YEAR
from medgraph.data.graph import Provenance
from medgraph.data.identifiers import normalise_column
from medgraph.errors import LoaderError
from medgraph.loading import Loader

__all__ = ["LOADER", "load"]

_INSIDE = ("", "hosp")
_SHIFTED = 200  # years: MIMIC-III moves the births of those over 89 some 300 years back
_OVER_89 = 91.4  # years, their median age


def load(path: Path | None = None, labs: bool = True, to: str | Path | None = None) -> Cohort:
    """The cohort in a folder of MIMIC's CSV files; version III or IV is told by its columns.

    Read are PATIENTS, ADMISSIONS, DIAGNOSES_ICD, PROCEDURES_ICD, and where they are there PRESCRIPTIONS and LABEVENTS.
    An admission is `HOSPITAL_ADMISSION//<type>` and `HOSPITAL_DISCHARGE//<where to>`; all its events carry its hadm_id
    as their visit. Diagnoses, which are coded for billing, stand at discharge, never earlier; so do MIMIC-III's
    procedures, which have no date. Drugs are NDC, or `DRUG//<name>` where the NDC is missing; labs `LAB//<itemid>`.
    What is dated by day alone stands at that day's end (deaths, MIMIC-IV's procedures) or, for a drug, at its start,
    but not before admission on that day.
    Births: MIMIC-III's are as given, except that those over 89, whose births are moved 300 years back, are given the
    age of 91.4 at their first admission; MIMIC-IV's are the first of January of the year that anchor_age says.
    Every patient's dates are shifted by an amount of their own, so calendar dates mean nothing: ask with
    `Censoring(end="subject")` and without `AtDates`.

    Args:
        path: the folder, which may have MIMIC-IV's subfolder `hosp`; files may be .csv or .csv.gz.
        labs: read LABEVENTS, by far the largest file.
        to: a MEDS folder to write, for what does not fit in memory.

    Raises:
        LoaderError: no such folder or files.
        MalformedInputError: a file breaks its format; named, with how many rows.
    """
    if path is None:
        raise LoaderError("Loader 'mimic' needs path=, the folder of MIMIC's CSV files.")
    names = ("patients", "admissions", "diagnoses_icd", "procedures_icd", "prescriptions", "labevents")
    tables = {name: find_table(path, name, _INSIDE) for name in names}
    patients, admissions = tables["patients"], tables["admissions"]
    if patients is None or admissions is None:
        raise LoaderError(f"{path} has no PATIENTS.csv or no ADMISSIONS.csv.")
    version = "IV" if "anchor_age" in patients.columns() else "III"
    with EventCollector(to) as out:
        stays = _admissions(admissions, out)
        _patients(patients, stays, out)
        for name, what in (("diagnoses_icd", "diagnoses"), ("procedures_icd", "procedures")):
            if (table := tables[name]) is not None:
                _billed(table, what, stays, out)
        if (table := tables["prescriptions"]) is not None:
            _prescriptions(table, stays, out)
        if labs and (table := tables["labevents"]) is not None:
            _labs(table, find_table(path, "d_labitems", _INSIDE), out)
        return out.cohort(Provenance("MIMIC", version, LOADER.licence, LOADER.url))


@dataclass(frozen=True)
class _Stays:
    """Admissions: whose, from when, until when, and deaths in hospital."""

    hadm: pa.Array
    subject: pa.Array
    begin: pa.Array
    end: pa.Array
    death: pa.Array

    def of(self, hadm: pa.Array) -> pa.Array:
        """The row of each admission, null where it is not listed."""
        return pc.index_in(hadm, self.hadm)


def _column(table: PatientTable, rows: pa.Table, name: str) -> pa.Array:
    return numbers(rows[name].combine_chunks(), table.path, name)


def _admissions(table: PatientTable, out: EventCollector) -> _Stays:
    rows = table.table(
        ["subject_id", "hadm_id", "admittime", "dischtime"], ["deathtime", "admission_type", "discharge_location"]
    )
    subject, hadm = _column(table, rows, "subject_id"), _column(table, rows, "hadm_id")
    when = [
        times(rows[name].combine_chunks(), table.path, name, out.counts)[0]
        for name in ("admittime", "dischtime", "deathtime")
    ]
    for time, word, column in (
        (when[0], "HOSPITAL_ADMISSION", "admission_type"),
        (when[1], "HOSPITAL_DISCHARGE", "discharge_location"),
    ):
        detail = pc.fill_null(rows[column].combine_chunks(), "UNKNOWN")
        out.add(subject, time, pc.binary_join_element_wise(word, detail, "//"), "stays", visit=hadm)
    return _Stays(hadm, subject, *when)


def _patients(table: PatientTable, stays: _Stays, out: EventCollector) -> None:
    rows = table.table(["subject_id", "gender"], ["dob", "dod", "anchor_age", "anchor_year"])
    subject = _column(table, rows, "subject_id")
    given = pc.is_valid(rows["gender"].combine_chunks())
    gender = pc.binary_join_element_wise("GENDER", rows["gender"].combine_chunks(), "//")
    out.add(subject.filter(given), None, gender.filter(given), "genders")
    stayed = pa.table({"subject": stays.subject, "begin": stays.begin, "death": stays.death})
    stayed = stayed.group_by("subject").aggregate([("begin", "min"), ("death", "min")])
    at = pc.index_in(subject, stayed["subject"].combine_chunks())
    first, dead = (stayed[name].combine_chunks().take(at) for name in ("begin_min", "death_min"))
    if rows["anchor_age"].null_count < rows.num_rows:
        age, year = _column(table, rows, "anchor_age"), _column(table, rows, "anchor_year")
        text = pc.binary_join_element_wise(pc.utf8_lpad(pc.subtract(year, age).cast(pa.string()), 4, "0"), "01-01", "-")
        born, _ = times(text, table.path, "anchor_year", out.counts)
    else:
        born, _ = times(rows["dob"].combine_chunks(), table.path, "dob", out.counts)
        gap = pc.subtract(first.cast(pa.int64()), born.cast(pa.int64()))
        moved = pc.fill_null(pc.greater(gap, int(_SHIFTED * YEAR)), False)
        if count := pc.sum(moved).as_py():
            out.counts[f"births of those over 89, moved in the source, set to age {_OVER_89} at first admission"] += (
                count
            )
        instead = pc.subtract(first.cast(pa.int64()), int(_OVER_89 * YEAR)).cast(pa.timestamp("us"))
        born = pc.if_else(moved, instead, born)
    known = pc.is_valid(born)
    out.add(subject.filter(known), born.filter(known), BIRTH, "births")
    died, _ = times(rows["dod"].combine_chunks(), table.path, "dod", out.counts)
    died = pc.coalesce(dead, end_of_day(died))  # the hospital knows the minute, the register the day
    known = pc.is_valid(died)
    out.add(subject.filter(known), died.filter(known), DEATH, "deaths")


def _icd(codes: pa.Array, nine: pa.Array, procedures: bool) -> pa.Array:
    """CURIEs of ICD-9-CM or ICD-10 codes without dots; what fits neither stays under `ICD9//` or `ICD10//`."""
    codes = pc.utf8_trim_whitespace(codes)
    if procedures:  # the dot stands after two digits, where a diagnosis has it after three
        ninth = normalise_column(pc.replace_substring_regex(codes, r"^(\d\d)(\d{1,2})$", r"\1.\2"), "ICD9CM")
        tenth = normalise_column(codes, "ICD10PCS")
    else:
        ninth, tenth = normalise_column(codes, "ICD9CM"), normalise_column(codes, "ICD10CM")
    plain = pc.binary_join_element_wise(pc.if_else(nine, "ICD9", "ICD10"), codes, "//")
    return pc.coalesce(pc.if_else(nine, ninth, tenth), plain)


def _billed(table: PatientTable, what: str, stays: _Stays, out: EventCollector) -> None:
    third = "icd9_code" in table.columns()
    code_column = "icd9_code" if third else "icd_code"
    required = ["subject_id", "hadm_id", code_column, *([] if third else ["icd_version"])]
    for rows in table.batches(required, ["chartdate"]):
        subject, hadm = _column(table, rows, "subject_id"), _column(table, rows, "hadm_id")
        nine = pc.equal(pc.utf8_trim_whitespace(rows["icd_version"].combine_chunks()), "9") if not third else None
        nine = pa.array(np.ones(len(rows), dtype=bool)) if nine is None else nine
        time = stays.end.take(stays.of(hadm))
        if rows["chartdate"].null_count < rows.num_rows:
            charted, _ = times(rows["chartdate"].combine_chunks(), table.path, "chartdate", out.counts)
            time = pc.coalesce(
                pc.min_element_wise(end_of_day(charted), time, skip_nulls=False), end_of_day(charted), time
            )
        out.add(subject, time, _icd(rows[code_column].combine_chunks(), nine, what == "procedures"), what, visit=hadm)


def _prescriptions(table: PatientTable, stays: _Stays, out: EventCollector) -> None:
    start = "starttime" if "starttime" in table.columns() else "startdate"
    for rows in table.batches(["subject_id", "hadm_id", start, "drug"], ["ndc"]):
        subject, hadm = _column(table, rows, "subject_id"), _column(table, rows, "hadm_id")
        time, _ = times(rows[start].combine_chunks(), table.path, start, out.counts)
        admitted = stays.begin.take(stays.of(hadm))
        bare = pc.equal(pc.floor_temporal(time, unit="day"), time)
        earlier = pc.and_(bare, pc.equal(pc.floor_temporal(admitted, unit="day"), time))
        time = pc.if_else(pc.fill_null(earlier, False), admitted, time)
        ndc = normalise_column(pc.utf8_lpad(pc.utf8_trim_whitespace(rows["ndc"].combine_chunks()), 11, "0"), "NDC")
        none = pc.equal(ndc, "NDC:00000-0000-00")
        ndc = pc.if_else(pc.fill_null(none, True), pa.scalar(None, pa.string()), ndc)
        drug = pc.utf8_trim_whitespace(rows["drug"].combine_chunks())
        code = pc.coalesce(ndc, pc.binary_join_element_wise("DRUG", drug, "//"))
        out.add(subject, time, code, "prescriptions", visit=hadm)
        out.describe(code, drug)


def _labs(table: PatientTable, items: PatientTable | None, out: EventCollector) -> None:
    for rows in table.batches(["subject_id", "itemid", "charttime", "valuenum"], ["hadm_id"]):
        subject, hadm = _column(table, rows, "subject_id"), _column(table, rows, "hadm_id")
        time, _ = times(rows["charttime"].combine_chunks(), table.path, "charttime", out.counts)
        text = rows["valuenum"].combine_chunks()
        good = pc.match_substring_regex(text, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        if bad := pc.sum(pc.invert(good)).as_py():
            out.counts["lab values that are no number, taken as missing"] += bad
        value = pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.float64())
        code = pc.binary_join_element_wise("LAB", rows["itemid"].combine_chunks(), "//")
        out.add(subject, time, code, "labs", value, hadm)
    if items is not None:
        rows = items.table(["itemid", "label"])
        out.describe(pc.binary_join_element_wise("LAB", rows["itemid"].combine_chunks(), "//"), rows["label"])


LOADER = Loader(
    name="mimic",
    summary="MIMIC-III or MIMIC-IV: a folder of its CSV files.",
    licence="PhysioNet Credentialed Health Data License 1.5.0; the demos: ODbL",
    url="https://mimic.mit.edu",
    load=load,
)
