"""The cohorts and questions of benchmarks/risk.py: what is asked of whom, from what, and how it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.events import DAY, STATIC, YEAR
from medgraph.data.record import CodeSet, Record
from medgraph.data.samples import Samples
from medgraph.data.tasks import (
    AfterFirst,
    AtDates,
    AtEvent,
    Censoring,
    CodeWithin,
    GivenLabels,
    NextVisit,
    Task,
    TimeToEvent,
)
from medgraph.heads.risk.baselines import Baseline, CountCox

__all__ = ["QUESTIONS", "Question", "planted_pairs"]

ACUTE: CodeSet = ("ENCOUNTER//emergency", "ENCOUNTER//inpatient")
OBSTETRIC: CodeSet = tuple(f"SNOMEDCT:{code}" for code in (183460006, 169762003, 424441002, 424619006))
BLEED = "SNOMEDCT:74474003"
NSAIDS = ("RXNORM:140587", "RXNORM:3355")  # celecoxib, diclofenac: everybody there gets one of them
PLANTED = tuple(  # with celecoxib, each of these is followed by a bleed more often
    f"SNOMEDCT:{code}"
    for code in (13200003, 397881000, 16761005, 424802006, 64766004, 68496003)  # peptic ulcer ... polyp of colon
)
LEAST = 5  # subjects with a disorder that is asked about

# What SUPPORT knows on day 3 and a bedside would have; `surv2m prg2m dnr charges slos adl sfdm2` tell the outcome.
NUMBERS = ("num.co", "scoma", "meanbp", "hrt", "resp", "temp", "sod", "alb", "ph", "diabetes", "dementia")
SKEWED = ("wblc", "crea", "bili", "bun", "pafi", "glucose", "urine")
WORDS = ("dzgroup", "dzclass", "ca", "race")
SCORES = ("aps", "sps")


@dataclass(frozen=True)
class Question:
    """One row of the benchmark.

    Args:
        title: in words.
        file: which of the command's files it needs.
        cohort: from that file.
        task: asked of the cohort.
        metrics: what is told; the first is judged in pairs.
        settings: of all heads.
        baselines: None for those that suit the kind of task.
        heads: that are tried unless others are named.
    """

    title: str
    file: str
    cohort: Callable[[Path], Cohort]
    task: Callable[[Cohort], Task]
    metrics: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    baselines: tuple[Baseline, ...] | None = None
    heads: tuple[str, ...] = ("VisitGRU", "VisitGRU+alone", "VisitGRU+skipgram", "RETAIN")


@dataclass(frozen=True)
class AcuteButBirths(CodeWithin):
    """An emergency or inpatient encounter in which nothing obstetric was recorded."""

    def _outcome(
        self, record: Record, subject: np.ndarray, time: np.ndarray, counts: Counter[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        obstetric = np.unique(record.events.visit[record.mask(OBSTETRIC, must=True)])
        wanted = record.mask(self.codes, must=True) & ~np.isin(record.events.visit, obstetric[obstetric >= 0])
        until = time + round(self.horizon_days * DAY)
        first = record.next_of(wanted, subject, time, self.strict)
        hit = (first != STATIC) & (first <= until)
        return hit.astype(np.float32), self._observed(record, subject, until, counts)


@dataclass(frozen=True)
class ValueCox(CountCox):
    """Cox on age, sex, words as indicators, numbers as they are (the mean where missing) and whether they are there."""

    @property
    def name(self) -> str:
        return "Cox on values"

    def _design(self, samples: Samples, static: np.ndarray) -> np.ndarray:
        numeric = np.flatnonzero(~np.isnan(samples.vocabulary.mean))
        last = samples.last_values()[:, numeric]
        filled = np.where(np.isnan(last), samples.vocabulary.mean[numeric], last)
        return np.column_stack([super()._design(samples, static), filled])


def yearly(kind: type[CodeWithin]) -> Callable[[Cohort], Task]:
    return lambda _: kind(ACUTE, 365, AtDates.yearly(2014, 2021))


def next_new(cohort: Cohort) -> Task:
    """Which disorders never had before does the next visit bring, asked where it brings one."""
    table = cohort.codes.to_pandas()
    disorders = table[table["description"].fillna("").str.endswith("(disorder)") & (table["events"] >= LEAST)]["code"]
    asked = cohort.labels(NextVisit({code: (code,) for code in disorders}, new_only=True))
    return GivenLabels(asked.take(np.flatnonzero(asked.value.sum(axis=1) > 0)))


def support2(scores: bool) -> Callable[[Path], Cohort]:
    """Patients of the SUPPORT study: what was declared above, all on day 3, and when they died or were last seen."""

    def read(file: Path) -> Cohort:
        table = pd.read_csv(file)
        who, start = np.arange(1, len(table) + 1), int(np.datetime64("1990-01-01", "us").astype(np.int64))
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

        def add(code: np.ndarray, time: np.ndarray, value: np.ndarray, kept: np.ndarray) -> None:
            parts.append((who[kept], time[kept], code.astype(object)[kept], value[kept]))

        all_, none = np.ones(len(table), dtype=bool), np.full(len(table), np.nan)
        now = np.full(len(table), start)
        sex = np.where(table["sex"] == "female", "GENDER//F", "GENDER//M")
        add(sex, np.full(len(table), STATIC), none, all_)
        add(np.full(len(table), "MEDS_BIRTH"), start - (table["age"].to_numpy() * YEAR).astype(np.int64), none, all_)
        for name in (*NUMBERS, *SKEWED, *(SCORES if scores else ())):
            value = table[name].to_numpy(dtype=np.float64)
            add(np.full(len(table), name), now, np.log1p(value) if name in SKEWED else value, ~np.isnan(value))
        for name in WORDS:
            words = table[name].fillna("").astype(str)
            add((name + "//" + words).to_numpy(), now, none, (words != "").to_numpy())
        end = start + (table["d.time"].to_numpy() * DAY).astype(np.int64)
        add(np.where(table["death"] == 1, "MEDS_DEATH", "LAST_SEEN"), end, none, all_)
        ids, times, codes, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(ids, kind="stable")
        moment = pa.array(times[order], mask=times[order] == STATIC).cast(pa.timestamp("us"))
        number = pa.array(values[order].astype(np.float32), mask=np.isnan(values[order]))
        columns = {"subject_id": ids[order], "time": moment, "code": pa.array(codes[order], pa.string())}
        return Cohort.of(pa.table({**columns, "numeric_value": number}))

    return read


def death(_: Cohort) -> Task:
    return TimeToEvent({"death": ("MEDS_DEATH",)}, AfterFirst((0.0,)), censoring=Censoring(end="subject"))


def planted_pairs(pairs: pd.DataFrame) -> list[int]:
    """At which places (from 1) of the strongest interactions that raise the risk stand those that were planted?"""
    raising = pairs[pairs["interaction"] > 0].sort_values("interaction", ascending=False)
    found = [
        place
        for place, (one, other) in enumerate(zip(raising["code"], raising["other"], strict=True), 1)
        if NSAIDS[0] in (one, other) and {one, other} & set(PLANTED)
    ]
    return found


def synthea(path: Path) -> Cohort:
    return mg.load("synthea", path=path)


def omop(path: Path) -> Cohort:
    return mg.load("omop", path=path)


LONG = {"min_count": 20, "max_visits": 200, "vector_size": 32, "dropout": 0.5, "learning_rate": 4e-3, "epochs": 8}
LONG |= {"weight_decay": 1e-2, "patience": 2, "batch_size": 256}
MANY = {"min_count": 20, "max_visits": 200, "vector_size": 64, "dropout": 0.2, "learning_rate": 1e-2, "epochs": 12}
MANY |= {"patience": 2, "batch_size": 256}
SHORT = {"vector_size": 32, "dropout": 0.3, "learning_rate": 3e-3, "epochs": 15, "patience": 2, "batch_size": 128}
FLAT = {"vector_size": 32, "dropout": 0.4, "learning_rate": 2e-3, "weight_decay": 1e-2, "epochs": 30, "bins": 20}
FLAT |= {"batch_size": 256, "patience": 3}
COX = (CountCox(codes=0), ValueCox())
LABELS, FIGURES = ("AUROC", "AUPRC"), ("C death",)
NUMERIC = ("GRUD", "DynamicDeepHit")
QUESTIONS = {
    "acute": Question(
        "Synthea: emergency or inpatient encounter within a year, each January 2014-2021",
        "synthea", synthea, yearly(CodeWithin), LABELS, LONG,
    ),
    "acute-plain": Question(
        "the same, obstetric encounters not counted", "synthea", synthea, yearly(AcuteButBirths), LABELS, LONG
    ),
    "next": Question(
        f"Synthea: the next visit's new disorders (those of {LEAST} records or more), where it brings one",
        "synthea", synthea, next_new, ("recall@10", "macro AUROC"), MANY,
        heads=("VisitGRU", "VisitGRU+alone", "VisitGRU+skipgram"),
    ),
    "bleed": Question(
        "Eunomia: gastro-intestinal bleed within 90 days of the first NSAID",
        "eunomia", omop, lambda _: CodeWithin((BLEED,), 90, AtEvent(NSAIDS)), LABELS, SHORT,
    ),
    "support": Question(
        "SUPPORT2: death, declared clinical columns", "support2", support2(False), death, FIGURES, FLAT, COX, NUMERIC
    ),
    "support-scores": Question(
        "SUPPORT2: death, with aps and sps", "support2", support2(True), death, FIGURES, FLAT, COX, NUMERIC
    ),
}  # fmt: skip
