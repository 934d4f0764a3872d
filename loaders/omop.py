"""Anyone's data in the OMOP common data model, version 5: CSV or Parquet tables.

https://ohdsi.github.io/CommonDataModel.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.cohort import Cohort
from medgraph.data.comma_separated import PatientTable, find_table
from medgraph.data.event_collector import EventCollector, end_of_day, numbers, times
from medgraph.data.events import BIRTH, DEATH
from medgraph.data.graph import Provenance
from medgraph.data.identifiers import normalise_column
from medgraph.errors import LoaderError
from medgraph.loading import Loader

__all__ = ["LOADER", "load"]

_PREFIXES = {
    "SNOMED": "SNOMEDCT",
    "RxNorm": "RXNORM",
    "ICD10CM": "ICD10CM",
    "ICD9CM": "ICD9CM",
    "ICD9Proc": "ICD9CM",
    "ICD10PCS": "ICD10PCS",
    "ATC": "ATC",
    "LOINC": "LOINC",
    "CPT4": "CPT",
    "HCPCS": "HCPCS",
    "NDC": "NDC",
    "CVX": "CVX",
}
_GENDERS = {8507: "M", 8532: "F"}
_STAYS = (9201, 262, 8717)  # inpatient visit, emergency room and inpatient, inpatient hospital


@dataclass(frozen=True)
class _Clinical:
    """A table of events: where its code, time and number stand."""

    name: str
    concept: str
    time: str
    value: str = ""


_TABLES = (  # of two tables in one tuple the first that is there is read: an era is made of occurrences
    (
        _Clinical("condition_occurrence", "condition_concept_id", "condition_start"),
        _Clinical("condition_era", "condition_concept_id", "condition_era_start"),
    ),
    (
        _Clinical("drug_exposure", "drug_concept_id", "drug_exposure_start"),
        _Clinical("drug_era", "drug_concept_id", "drug_era_start"),
    ),
    (_Clinical("procedure_occurrence", "procedure_concept_id", "procedure"),),
    (_Clinical("measurement", "measurement_concept_id", "measurement", "value_as_number"),),
    (_Clinical("observation", "observation_concept_id", "observation", "value_as_number"),),
    (_Clinical("device_exposure", "device_concept_id", "device_exposure_start"),),
)


def load(path: Path | None = None, to: str | Path | None = None) -> Cohort:
    """The cohort in a folder of OMOP tables.

    Read are PERSON, OBSERVATION_PERIOD, VISIT_OCCURRENCE, DEATH, CONCEPT, CONCEPT_ANCESTOR, the tables of conditions,
    drugs, procedures, measurements, observations and devices; of occurrences and eras the occurrences. Everything
    stands at its start, by its datetime where it has one; a death dated by day alone at that day's end.
    A concept becomes the CURIE of its vocabulary (SNOMEDCT, RXNORM, ...), or `OMOP:<concept_id>`; concept 0, which
    means unmapped, is left out and counted. `OBSERVATION_PERIOD//START` and `//END` frame a record and are never
    features. Inpatient visits have `HOSPITAL_ADMISSION//<concept>` and `HOSPITAL_DISCHARGE//<concept>`.

    Args:
        path: the folder; tables are .csv, .csv.gz, .parquet, or folders of Parquet files, names in any case.
        to: a MEDS folder to write, for what does not fit in memory.

    Raises:
        LoaderError: no such folder or files.
        MalformedInputError: a file breaks its format; named, with how many rows.
    """
    if path is None:
        raise LoaderError("Loader 'omop' needs path=, the folder of the OMOP tables.")
    person = find_table(path, "person")
    if person is None:
        raise LoaderError(f"{path} has no table PERSON (person.csv, .csv.gz or .parquet).")
    concepts = _Concepts.read(find_table(path, "concept"))
    with EventCollector(to) as out:
        subjects = _persons(person, out)
        _periods(find_table(path, "observation_period"), subjects, out)
        _visits(find_table(path, "visit_occurrence"), subjects, concepts, out)
        _deaths(find_table(path, "death"), subjects, out)
        for choice in _TABLES:
            for clinical in choice:
                if (table := find_table(path, clinical.name)) is not None:
                    _clinical(table, clinical, subjects, concepts, out)
                    break
        out.describe(concepts.codes, concepts.names)
        return out.cohort(_provenance(path), concepts.parents(find_table(path, "concept_ancestor")))


def _provenance(path: Path) -> Provenance:
    name, version = "OMOP", ""
    if (table := find_table(path, "cdm_source")) is not None:
        rows = table.table([], ["cdm_source_name", "cdm_release_date"]).to_pylist()
        if rows:
            name, version = rows[0]["cdm_source_name"] or name, rows[0]["cdm_release_date"] or ""
    return Provenance(name, version, url=LOADER.url)


@dataclass(frozen=True)
class _Concepts:
    """OMOP's concepts as codes."""

    ids: pa.Array
    codes: pa.Array
    names: pa.Array

    @classmethod
    def read(cls, table: PatientTable | None) -> _Concepts:
        if table is None:
            return cls(pa.array([], pa.int64()), pa.array([], pa.string()), pa.array([], pa.string()))
        rows = table.table(["concept_id", "vocabulary_id", "concept_code"], ["concept_name"])
        ids = numbers(rows["concept_id"].combine_chunks(), table.path, "concept_id")
        vocabulary, code = rows["vocabulary_id"].combine_chunks(), rows["concept_code"].combine_chunks()
        curie = pa.nulls(len(ids), pa.string())
        for name, prefix in _PREFIXES.items():
            mine = pc.fill_null(pc.equal(vocabulary, name), False)
            if pc.any(mine).as_py():
                curie = pc.if_else(mine, normalise_column(pc.if_else(mine, code, None), prefix), curie)
        return cls(ids, pc.coalesce(curie, _fallback(ids)), rows["concept_name"].combine_chunks())

    def of(self, ids: pa.Array) -> pa.Array:
        """The code of each concept; null for concept 0."""
        found = self.codes.take(pc.index_in(ids, self.ids))
        code = pc.coalesce(found, _fallback(ids))
        return pc.if_else(pc.fill_null(pc.equal(ids, 0), True), pa.scalar(None, pa.string()), code)

    def parents(self, table: PatientTable | None) -> dict[str, list[str]]:
        """Code -> the codes one level above it, as far as both are listed."""
        if table is None or not len(self.ids):
            return {}
        rows = table.table(["ancestor_concept_id", "descendant_concept_id", "min_levels_of_separation"])
        rows = rows.filter(pc.equal(rows["min_levels_of_separation"], "1"))
        ends = [
            pc.index_in(numbers(rows[name].combine_chunks(), table.path, name), self.ids)
            for name in ("descendant_concept_id", "ancestor_concept_id")
        ]
        both = pc.and_(pc.is_valid(ends[0]), pc.is_valid(ends[1]))
        child, parent = (self.codes.take(end.filter(both)).to_pylist() for end in ends)
        result: dict[str, list[str]] = defaultdict(list)
        for below, above in sorted(set(zip(child, parent, strict=True))):
            result[below].append(above)
        return dict(result)


def _fallback(ids: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise("OMOP", ids.cast(pa.string()), ":")


def _column(table: PatientTable, rows: pa.Table, name: str) -> pa.Array:
    return numbers(rows[name].combine_chunks(), table.path, name)


def _when(table: PatientTable, rows: pa.Table, name: str, out: EventCollector) -> tuple[pa.Array, pa.Array]:
    """`<name>_datetime` where it is given, else `<name>_date`; and which have no hour."""
    exact, bare = times(rows[f"{name}_datetime"].combine_chunks(), table.path, f"{name}_datetime", out.counts)
    day, _ = times(rows[f"{name}_date"].combine_chunks(), table.path, f"{name}_date", out.counts)
    return pc.coalesce(exact, day), pc.or_(bare, pc.is_null(exact))


def _known(person: pa.Array, subjects: pa.Array) -> pa.Array:
    """The person's number, null for one who is not in PERSON."""
    return subjects.take(pc.index_in(person, subjects))


def _persons(table: PatientTable, out: EventCollector) -> pa.Array:
    rows = table.table(
        ["person_id", "gender_concept_id"], ["year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime"]
    )
    subject = _column(table, rows, "person_id")
    parts = [rows[name].combine_chunks() for name in ("year_of_birth", "month_of_birth", "day_of_birth")]
    year = pc.utf8_lpad(parts[0], 4, "0")
    month, day = (pc.utf8_lpad(pc.coalesce(part, pa.scalar("01")), 2, "0") for part in parts[1:])
    stated, _ = times(rows["birth_datetime"].combine_chunks(), table.path, "birth_datetime", out.counts)
    made, _ = times(pc.binary_join_element_wise(year, month, day, "-"), table.path, "year_of_birth", out.counts)
    born = pc.coalesce(stated, made)
    known = pc.is_valid(born)
    out.add(subject.filter(known), born.filter(known), BIRTH, "births")
    gender = _column(table, rows, "gender_concept_id")
    for concept, letter in _GENDERS.items():
        mine = subject.filter(pc.fill_null(pc.equal(gender, concept), False))
        out.add(mine, None, f"GENDER//{letter}", "genders")
    return subject


def _periods(table: PatientTable | None, subjects: pa.Array, out: EventCollector) -> None:
    if table is None:
        return
    names = ("observation_period_start_date", "observation_period_end_date")
    rows = table.table(["person_id", *names])
    subject = _known(_column(table, rows, "person_id"), subjects)
    for name, word in zip(names, ("START", "END"), strict=True):
        time, _ = times(rows[name].combine_chunks(), table.path, name, out.counts)
        when = time if word == "START" else end_of_day(time)
        out.add(subject, when, f"OBSERVATION_PERIOD//{word}", "observation periods")


def _deaths(table: PatientTable | None, subjects: pa.Array, out: EventCollector) -> None:
    if table is None:
        return
    rows = table.table(["person_id", "death_date"], ["death_datetime"])
    time, bare = _when(table, rows, "death", out)
    time = pc.if_else(bare, end_of_day(time), time)
    subject = _known(_column(table, rows, "person_id"), subjects)
    out.add(subject, time, DEATH, "deaths")


def _visits(table: PatientTable | None, subjects: pa.Array, concepts: _Concepts, out: EventCollector) -> None:
    if table is None:
        return
    optional = ["visit_start_datetime", "visit_end_date", "visit_end_datetime"]
    for rows in table.batches(["visit_occurrence_id", "person_id", "visit_concept_id", "visit_start_date"], optional):
        subject = _known(_column(table, rows, "person_id"), subjects)
        visit, concept = _column(table, rows, "visit_occurrence_id"), _column(table, rows, "visit_concept_id")
        start, _ = _when(table, rows, "visit_start", out)
        end, bare = _when(table, rows, "visit_end", out)
        end = pc.if_else(bare, end_of_day(end), end)
        out.add(subject, start, concepts.of(concept), "visits", visit=visit)
        stay = pc.fill_null(pc.is_in(concept, pa.array(_STAYS)), False)
        word = concept.filter(stay).cast(pa.string())
        for time, what in ((start, "HOSPITAL_ADMISSION"), (end, "HOSPITAL_DISCHARGE")):
            code = pc.binary_join_element_wise(what, word, "//")
            out.add(subject.filter(stay), time.filter(stay), code, "stays", visit=visit.filter(stay))


def _clinical(
    table: PatientTable, clinical: _Clinical, subjects: pa.Array, concepts: _Concepts, out: EventCollector
) -> None:
    optional = ["visit_occurrence_id", f"{clinical.time}_datetime", *([clinical.value] if clinical.value else [])]
    required = ["person_id", clinical.concept, f"{clinical.time}_date"]
    for rows in table.batches(required, optional):
        subject = _known(_column(table, rows, "person_id"), subjects)
        concept, visit = _column(table, rows, clinical.concept), _column(table, rows, "visit_occurrence_id")
        visit = pc.if_else(pc.fill_null(pc.greater(visit, 0), False), visit, pa.scalar(None, pa.int64()))
        time, _ = _when(table, rows, clinical.time, out)
        value = None
        if clinical.value:
            text = rows[clinical.value].combine_chunks()
            good = pc.match_substring_regex(text, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
            value = pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.float64())
        out.add(subject, time, concepts.of(concept), clinical.name, value, visit)


LOADER = Loader(
    name="omop",
    summary="Anyone's OMOP CDM 5: a folder of its tables as CSV or Parquet.",
    licence="the data's own",
    url="https://ohdsi.github.io/CommonDataModel",
    load=load,
)
