"""Concordance for death in the Mayo Clinic's primary biliary cirrhosis follow-up (PBC2), transplant competing.

python benchmarks/pbc2.py --file pbc2.csv.gz --heads GRUD DynamicDeepHit Cox --seeds 3

The file is the table `pbc2` of the R packages JM and joineRML (312 patients, 1,945 visits). Predictions are made
1, 3 and 5 years after the first visit, from what was measured until then; figures are Harrell's concordance for death
within the next 1, 3 and 5 years, the mean of the nine, over the out-of-fold predictions of 5 folds by patient.

Each seed draws other folds and other weights. Intervals are 95 %, drawn by patient; gains over the last model named are
paired. "Cox" is `ValueCox` of risk_tasks.py: age, sex and last values, with a ridge that tuning picks.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
from risk_tasks import ValueCox

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AfterFirst
from medgraph.data.task import Censoring
from medgraph.data.tasks import TimeToEvent
from medgraph.evaluation.resampled import estimate
from medgraph.evaluation.resampling import Statistic
from medgraph.evaluation.survival import concordance_of
from medgraph.heads.risk.predictions import RiskPredictions
from medgraph.heads.risk.targets import HazardTarget

YEAR = 365.25
DAY = 86_400_000_000
LANDMARKS = HORIZONS = (1, 3, 5)
SKEWED = ("serBilir", "serChol", "alkaline", "SGOT", "platelets", "prothrombin")
PLAIN = ("albumin", "histologic")
MARKS = {
    "ascites": {"No": 0, "Yes": 1},
    "hepatomegaly": {"No": 0, "Yes": 1},
    "spiders": {"No": 0, "Yes": 1},
    "edema": {"No edema": 0, "edema no diuretics": 0.5, "edema despite diuretics": 1},
}
SMALL = {"vector_size": 16, "bins": 12, "epochs": 60, "patience": 8, "batch_size": 32}
PLAIN_START = {"bent": False, "ridge": 0.2, "patience": 5, "learning_rate": 5e-4, "hidden_size": 32, "variables": 16}
SETTINGS = {
    "GRUD": {**SMALL, **PLAIN_START, "smoothness": 100.0, "members": 3},
    "DynamicDeepHit": {**SMALL, **PLAIN_START, "smoothness": 10.0},
    "VisitGRU": {**SMALL, "hidden_size": 32, "learning_rate": 3e-3},
}
Found = dict[int, list[tuple[RiskPredictions, np.ndarray]]]  # landmark -> each fold's labels, and (n, horizons) risks


def cohort_of(file: str) -> Cohort:
    """One event a measurement; the first visit of all is set to one day, since only time since it is known."""
    table = pd.read_csv(file)
    start = int(np.datetime64("1980-01-01", "us").astype(np.int64))
    rows: list[tuple[int, int | None, str, float | None]] = []
    for who, visits in table.groupby("id"):
        first = visits.iloc[0]
        rows.append((int(who), None, f"GENDER//{first['sex']}", None))
        rows.append((int(who), start - round(first["age"] * YEAR * DAY), "MEDS_BIRTH", None))
        for visit in visits.to_dict("records"):
            at = start + round(visit["year"] * YEAR * DAY)
            rows.append((int(who), at, f"DRUG//{visit['drug']}", None))
            found = {name: visit[name] for name in PLAIN}
            found |= {name: np.log(visit[name]) for name in SKEWED}
            found |= {name: levels.get(visit[name], np.nan) for name, levels in MARKS.items()}
            rows += [(int(who), at, f"PBC//{name}", float(v)) for name, v in found.items() if not np.isnan(v)]
        end = start + round(first["years"] * YEAR * DAY)
        code = {"dead": "MEDS_DEATH", "transplanted": "PBC//TRANSPLANT", "alive": "PBC//LAST"}[first["status"]]
        rows.append((int(who), end, code, None))
    who_, when, what, number = zip(*rows, strict=True)
    columns = {"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what}
    return Cohort.of(pa.table({**columns, "numeric_value": pa.array(number, pa.float32())}))


def task_at(years: tuple[float, ...]) -> TimeToEvent:
    return TimeToEvent(
        {"death": ("MEDS_DEATH",), "transplant": ("PBC//TRANSPLANT",)},
        AfterFirst(tuple(year * YEAR for year in years)),
        censoring=Censoring(end="subject"),
    )


def cox(split: Cohort, label: TimeToEvent) -> Callable[[Cohort, TimeToEvent], RiskPredictions]:
    """The baseline, fitted."""
    vocabulary = split.train.vocabulary(label, 1)
    train, tuning = (part.timelines(label, vocabulary, "time").all() for part in (split.train, split.tuning))
    target = HazardTarget.of(label.names, train.label, SMALL["bins"])
    fitted = ValueCox().fit(train, tuning, target, 0)

    def predict(cohort: Cohort, label: TimeToEvent) -> RiskPredictions:
        samples = cohort.timelines(label, vocabulary, "time").all()
        who = samples.subject_id, samples.prediction_time, samples.label
        return RiskPredictions("survival", label.names, *who, fitted(samples), target.edges)

    return predict


def asked(cohort: Cohort, name: str, seed: int, folds: int, more: dict[str, float]) -> Found:
    """Out-of-fold risks at each landmark."""
    subjects = np.random.default_rng(seed).permutation(cohort.subjects)
    groups = [subjects[i::folds] for i in range(folds)]
    found: Found = {year: [] for year in LANDMARKS}
    for fold in range(folds):
        rest = np.concatenate([groups[i] for i in range(folds) if i != fold])
        cut = len(rest) // 6
        splits = {"train": np.sort(rest[cut:]), "tuning": np.sort(rest[:cut]), "held_out": np.sort(groups[fold])}
        split = replace(cohort, splits=splits)
        if name == "Cox":
            predict = cox(split, task_at(LANDMARKS))
        else:
            head = getattr(mg, name)(**{**SETTINGS[name], "seed": seed, **more})
            predict = head.fit(split, task_at(LANDMARKS), progress=False).predict_proba
        for year in LANDMARKS:
            risks = predict(split.held_out, task_at((year,)))
            each = np.stack([risks.within(horizon * YEAR, "death") for horizon in HORIZONS], axis=1)
            found[year].append((risks, each))
        gc.collect()
    return found


def statistics(found: Found) -> list[tuple[str, Statistic, np.ndarray]]:
    """Concordance at each landmark and horizon, and whose samples it rests on."""
    result = []
    for year, parts in found.items():
        label, risk = np.concatenate([r.label for r, _ in parts]), np.concatenate([each for _, each in parts])
        who = np.concatenate([r.subject_id for r, _ in parts])
        days = label[:, 0].astype(np.float64)
        for column, horizon in enumerate(HORIZONS):
            event = (label[:, 1] == 1) & (days <= horizon * YEAR)
            statistic = concordance_of(np.minimum(days, horizon * YEAR), event, risk[:, column])
            result.append((f"landmark {year}, horizon {horizon}", statistic, who))
    return result


def run(cohort: Cohort, name: str, seed: int, folds: int, more: dict[str, float]) -> dict[str, float]:
    """Out-of-fold concordance at each landmark and horizon."""
    each = statistics(asked(cohort, name, seed, folds, more))
    return {key: float(statistic(np.ones((1, who.size)))[0, 0]) for key, statistic, who in each}


def mean_of(parts: list[tuple[Statistic, int]]) -> Statistic:
    """The mean of figures whose samples stand one after another."""
    ends = np.cumsum([0, *(count for _, count in parts)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.mean([part(weights[:, ends[i] : ends[i + 1]]) for i, (part, _) in enumerate(parts)], axis=0)

    return statistic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", required=True)
    parser.add_argument("--heads", nargs="+", default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--set", nargs="*", default=[], metavar="name=value")
    given = parser.parse_args()
    more = {name: json.loads(value) for name, value in (pair.split("=") for pair in given.set)}
    cohort = cohort_of(given.file)
    told: dict[str, Statistic] = {}
    for name in given.heads:
        parts: list[tuple[Statistic, int]] = []
        whose: list[np.ndarray] = []
        means = []
        for seed in range(given.seeds):
            began = time.perf_counter()
            each = statistics(asked(cohort, name, seed, given.folds, more if name != "Cox" else {}))
            figures = {key: float(statistic(np.ones((1, who.size)))[0, 0]) for key, statistic, who in each}
            parts += [(statistic, who.size) for _, statistic, who in each]
            whose += [who for _, _, who in each]
            means.append(float(np.mean(list(figures.values()))))
            rounded = {key: round(value, 3) for key, value in figures.items()}
            line = {"head": name, "seed": seed, "mean": round(means[-1], 4), **more, **rounded}
            print(json.dumps({**line, "seconds": round(time.perf_counter() - began, 1)}), flush=True)
        told[name] = mean_of(parts)
        subjects = np.concatenate(whose)
        found = estimate(told[name], subjects.size, given.bootstrap, 0, subjects)
        print(f"{name}: {np.mean(means):.3f} ± {np.std(means):.3f} [{found.low:.3f}, {found.high:.3f}]", flush=True)
    *others, last = told
    for name in others:
        gain = estimate(told[name], subjects.size, given.bootstrap, 0, subjects, told[last])
        print(f"{name} less {last}: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]", flush=True)


if __name__ == "__main__":
    main()
