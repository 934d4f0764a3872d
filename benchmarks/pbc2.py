"""Concordance for death in the Mayo Clinic's primary biliary cirrhosis follow-up (PBC2), transplant competing.

python benchmarks/pbc2.py --file pbc2.csv.gz --heads DynamicDeepHit GRUD

The file is the table `pbc2` of the R packages JM and joineRML (312 patients, 1,945 visits). Predictions are made
1, 3 and 5 years after the first visit, from what was measured until then; figures are Harrell's concordance for death
within the next 1, 3 and 5 years, the mean of the nine, over the out-of-fold predictions of 5 folds by patient.
"""

from __future__ import annotations

import argparse
import gc
import json
import time

import numpy as np
import pandas as pd
import pyarrow as pa

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AfterFirst
from medgraph.data.task import Censoring
from medgraph.data.tasks import TimeToEvent
from medgraph.evaluation.survival import concordance_of

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
SETTINGS = {
    "DynamicDeepHit": {"vector_size": 16, "hidden_size": 32, "variables": 16, "bins": 12},
    "GRUD": {"vector_size": 16, "hidden_size": 32, "variables": 16, "bins": 12},
    "VisitGRU": {"vector_size": 16, "hidden_size": 32, "bins": 12},
}


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


def run(cohort: Cohort, name: str, seed: int, folds: int, more: dict[str, float]) -> dict[str, float]:
    """Out-of-fold concordance at each landmark and horizon."""
    subjects = np.random.default_rng(seed).permutation(cohort.subjects)
    groups = [subjects[i::folds] for i in range(folds)]
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {year: [] for year in LANDMARKS}
    for fold in range(folds):
        rest = np.concatenate([groups[i] for i in range(folds) if i != fold])
        cut = len(rest) // 6
        splits = {"train": np.sort(rest[cut:]), "tuning": np.sort(rest[:cut]), "held_out": np.sort(groups[fold])}
        split = Cohort(**{**vars_of(cohort), "splits": splits})
        settings = {"epochs": 60, "patience": 8, "batch_size": 32, "learning_rate": 3e-3, "seed": seed}
        head = getattr(mg, name)(**{**settings, **SETTINGS[name], **more})
        head.fit(split, task_at(LANDMARKS), progress=False)
        for year in LANDMARKS:
            risks = head.predict_proba(split.held_out, task_at((year,)))
            each = np.stack([risks.within(horizon * YEAR, "death") for horizon in HORIZONS], axis=1)
            found[year].append((risks.label, each))
        gc.collect()
    figures = {}
    for year, parts in found.items():
        label, risk = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        for column, horizon in enumerate(HORIZONS):
            days = label[:, 0].astype(np.float64)
            event = (label[:, 1] == 1) & (days <= horizon * YEAR)
            statistic = concordance_of(np.minimum(days, horizon * YEAR), event, risk[:, column])
            figures[f"landmark {year}, horizon {horizon}"] = float(statistic(np.ones((1, days.size)))[0, 0])
    return figures


def vars_of(cohort: Cohort) -> dict[str, object]:
    return {name: getattr(cohort, name) for name in cohort.__dataclass_fields__ if name != "splits"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", required=True)
    parser.add_argument("--heads", nargs="+", default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], metavar="name=value")
    given = parser.parse_args()
    more = {name: json.loads(value) for name, value in (pair.split("=") for pair in given.set)}
    cohort = cohort_of(given.file)
    for name in given.heads:
        for seed in range(given.seeds):
            began = time.perf_counter()
            figures = run(cohort, name, seed, given.folds, more)
            each = {key: round(value, 3) for key, value in figures.items()}
            mean = round(float(np.mean(list(figures.values()))), 4)
            print(
                json.dumps(
                    {
                        "head": name,
                        "seed": seed,
                        "mean": mean,
                        **more,
                        **each,
                        "seconds": round(time.perf_counter() - began, 1),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
