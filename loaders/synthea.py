"""Synthea's patients: the CSV that the generator writes. No real person is in them.

Walonoski et al. (2018), Synthea, doi:10.1093/jamia/ocx079.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.cohort import Cohort
from medgraph.data.comma_separated import PatientTable, find_table
from medgraph.data.event_collector import EventCollector, end_of_day, times
from medgraph.data.events import BIRTH, DEATH
from medgraph.data.graph import Provenance
from medgraph.data.identifiers import normalise_column
from medgraph.errors import LoaderError
from medgraph.loading import Loader

__all__ = ["LOADER", "load"]

_STAYS = ("inpatient",)
_TABLES = {  # table -> vocabulary of its codes
    "conditions": "SNOMEDCT",
    "medications": "RXNORM",
    "procedures": "SNOMEDCT",
    "careplans": "SNOMEDCT",
    "immunizations": "CVX",
    "allergies": "SNOMEDCT",
    "devices": "SNOMEDCT",
}


def load(path: Path | None = None, ends: bool = False, to: str | Path | None = None) -> Cohort:
    """The cohort in a folder of Synthea's CSV files (its `output/csv`).

    Read are patients, encounters, conditions, medications, procedures, and where they are there careplans,
    immunizations, allergies, devices and observations (numeric ones). Every event stands at its START: when something
    will stop is not known before it does. What is dated by day alone and was recorded in an encounter of that day
    stands at that encounter's start; a death dated by day alone at that day's end.
    Codes: SNOMEDCT, RXNORM, CVX, LOINC; `ENCOUNTER//<class>` besides the encounter's own code;
    `HOSPITAL_ADMISSION//inpatient` and `HOSPITAL_DISCHARGE//inpatient` around a stay; `GENDER//F`, `RACE//...`.

    Note what the generator does: it keeps ten years before death for the dead and the last ten for the living, so that
    how early a record begins tells who dies; and it writes encounters after death ("Death Certification").
    `medgraph.evaluation.cohort_leaks` finds both.

    Args:
        path: the folder; files may be .csv, .csv.gz or .csv.zst.
        ends: also add `<code>//END` when conditions and medications stop.
        to: a MEDS folder to write, for what does not fit in memory.

    Raises:
        LoaderError: no such folder or files.
        MalformedInputError: a file breaks its format; named, with how many rows.
    """
    if path is None:
        raise LoaderError("Loader 'synthea' needs path=, the folder of Synthea's CSV files (output/csv).")
    tables = {name: find_table(path, name) for name in ("patients", "encounters", *_TABLES, "observations")}
    patients, encounters = tables["patients"], tables["encounters"]
    if patients is None or encounters is None:
        raise LoaderError(f"{path} has no patients.csv or no encounters.csv.")
    with EventCollector(to) as out:
        people = _patients(patients, out)
        visits = _encounters(encounters, people, out)
        for name, prefix in _TABLES.items():
            if (table := tables[name]) is not None:
                _coded(table, name, prefix, (people, visits), out, ends)
        if (table := tables["observations"]) is not None:
            _observations(table, (people, visits), out)
        return out.cohort(Provenance("Synthea", licence=LOADER.licence, url=LOADER.url))


def _codes(column: pa.Array, prefix: str) -> pa.Array:
    """CURIEs; what does not fit its vocabulary stays as it is under `SYNTHEA//`."""
    distinct = column.dictionary_encode()
    known = normalise_column(distinct.dictionary, prefix)
    names = pc.coalesce(known, pc.binary_join_element_wise("SYNTHEA", distinct.dictionary, "//"))
    return names.take(distinct.indices)


def _patients(table: PatientTable, out: EventCollector) -> pa.Array:
    """The patients' own ids; a subject's number is its row there, from 1."""
    rows = table.table(["id", "birthdate", "deathdate", "gender"], ["race"])
    people = rows["id"].combine_chunks()
    subject = pa.array(range(1, len(people) + 1), pa.int64())
    born, _ = times(rows["birthdate"].combine_chunks(), table.path, "birthdate", out.counts)
    died, by_day = times(rows["deathdate"].combine_chunks(), table.path, "deathdate", out.counts)
    died = pc.if_else(by_day, end_of_day(died), died)
    out.add(subject, born, BIRTH, "births")
    dead = pc.is_valid(died)
    out.add(subject.filter(dead), died.filter(dead), DEATH, "deaths")
    for name in ("gender", "race"):
        column = rows[name].combine_chunks()
        given = pc.is_valid(column)
        code = pc.binary_join_element_wise(name.upper(), column.filter(given), "//")
        out.add(subject.filter(given), None, code, name)
    return people


def _encounters(table: PatientTable, people: pa.Array, out: EventCollector) -> pa.Table:
    """The encounters' ids and starts, in order of their numbers."""
    rows = table.table(["id", "start", "stop", "patient", "encounterclass", "code"], ["description"])
    column = {name: rows[name].combine_chunks() for name in rows.column_names}
    start, _ = times(column["start"], table.path, "start", out.counts)
    stop, _ = times(column["stop"], table.path, "stop", out.counts)
    subject = _subject(column["patient"], people)
    visit = pa.array(range(rows.num_rows), pa.int64())
    codes = _codes(column["code"], "SNOMEDCT")
    out.add(
        subject,
        start,
        pc.binary_join_element_wise("ENCOUNTER", column["encounterclass"], "//"),
        "encounters",
        visit=visit,
    )
    out.add(subject, start, codes, "encounters", visit=visit)
    out.describe(codes, column["description"])
    stay = pc.fill_null(pc.is_in(column["encounterclass"], pa.array(_STAYS)), False)
    for time, word in ((start, "HOSPITAL_ADMISSION"), (stop, "HOSPITAL_DISCHARGE")):
        code = pc.binary_join_element_wise(word, column["encounterclass"].filter(stay), "//")
        out.add(subject.filter(stay), time.filter(stay), code, "stays", visit=visit.filter(stay))
    return pa.table({"id": column["id"], "start": start})


def _subject(patient: pa.Array, people: pa.Array) -> pa.Array:
    return pc.add(pc.index_in(patient, people), 1).cast(pa.int64())


def _placed(
    text: pa.Array, encounter: pa.Array, visits: pa.Table, table: PatientTable, out: EventCollector
) -> tuple[pa.Array, pa.Array]:
    """When each event was, and in which encounter: a bare day is the encounter's start, if that is on that day."""
    time, by_day = times(text, table.path, "start", out.counts)
    visit = pc.index_in(encounter, visits["id"].combine_chunks())
    began = visits["start"].combine_chunks().take(visit)
    same = pc.equal(pc.floor_temporal(began, unit="day"), time)
    use = pc.fill_null(pc.and_(by_day, same), False)
    return pc.if_else(use, began, time), visit.cast(pa.int64())


def _coded(
    table: PatientTable, what: str, prefix: str, known: tuple[pa.Array, pa.Table], out: EventCollector, ends: bool
) -> None:
    people, visits = known
    start = "date" if "date" in table.columns() else "start"  # immunizations
    for batch in table.batches([start, "patient", "encounter", "code"], ["stop", "description", "system"]):
        column = {name: batch[name].combine_chunks() for name in batch.column_names}
        time, visit = _placed(column[start], column["encounter"], visits, table, out)
        subject, codes = _subject(column["patient"], people), _codes(column["code"], prefix)
        drug = pc.fill_null(pc.match_substring(column["system"], "rxnorm", ignore_case=True), False)
        codes = pc.if_else(drug, _codes(column["code"], "RXNORM"), codes)  # allergies are of either kind
        out.add(subject, time, codes, what, visit=visit)
        out.describe(codes, column["description"])
        if ends and what in {"conditions", "medications"}:
            stop, by_day = times(column["stop"], table.path, "stop", out.counts)
            over = pc.is_valid(stop)
            when = pc.if_else(by_day, end_of_day(stop), stop).filter(over)
            code = pc.binary_join_element_wise(codes.filter(over), "END", "//")
            out.add(subject.filter(over), when, code, f"ends of {what}")


def _observations(table: PatientTable, known: tuple[pa.Array, pa.Table], out: EventCollector) -> None:
    people, visits = known
    for rows in table.batches(["date", "patient", "encounter", "code", "value", "type"], ["description"]):
        batch = rows.filter(pc.equal(rows["type"], "numeric"))
        column = {name: batch[name].combine_chunks() for name in batch.column_names}
        time, visit = _placed(column["date"], column["encounter"], visits, table, out)
        codes = _codes(column["code"], "LOINC")
        good = pc.match_substring_regex(column["value"], r"^-?\d+(\.\d+)?([eE]-?\d+)?$")
        value = pc.if_else(good, column["value"], pa.scalar(None, pa.string())).cast(pa.float64())
        out.add(_subject(column["patient"], people), time, codes, "observations", value, visit)
        out.describe(codes, column["description"])


LOADER = Loader(
    name="synthea",
    summary="Synthetic patients: a folder of the CSV files that Synthea writes.",
    licence="Apache-2.0; synthetic patients",
    url="https://github.com/synthetichealth/synthea",
    load=load,
)
