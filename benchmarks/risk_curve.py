"""Is it the cohort's size that holds the risk heads back? Learning curves on generated Synthea cohorts.

python benchmarks/synthea.py ...                                       makes a cohort, see there
python benchmarks/risk_curve.py FOLDER --sizes 250 500 1000 2000 4000  of 5,000 patients

Asked is the "acute" question of risk.py. One in five subjects is held out, the same ones for every size; of the others
as many are drawn as the size says, one in six of them for tuning, anew in each draw. What is told is the AUROC on the
held out, its mean over draws and, after ±, their standard deviation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from risk import baselines, made
from risk_tasks import QUESTIONS

from medgraph.data.cohort import Cohort
from medgraph.heads.risk.judging import statistics_of


def drawn(cohort: Cohort, size: int, draw: int) -> Cohort:
    """Train and tuning of so many subjects, and the held out of all sizes and draws."""
    order = np.random.default_rng(0).permutation(cohort.subjects)
    held_out, rest = np.split(order, [len(order) // 5])
    chosen = np.random.default_rng([draw, 1]).permutation(rest)[:size]
    cut = len(chosen) // 6
    return replace(cohort, splits={"train": chosen[cut:], "tuning": chosen[:cut], "held_out": held_out})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Synthea's CSV files")
    parser.add_argument("--sizes", nargs="+", type=int, default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--heads", nargs="+", default=["VisitGRU"])
    parser.add_argument("--minutes", type=float, help="no new fit after so long, once there has been one draw")
    parser.add_argument("--save", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    question = QUESTIONS["acute"]
    cohort = question.cohort(given.folder)
    cohort = cohort.with_tasks(asked=question.task(cohort))
    print(f"{cohort!r}\n{cohort.labels('asked')!r}", flush=True)
    if max(given.sizes) > len(cohort.subjects) * 4 // 5:
        parser.error(f"a size is larger than the {len(cohort.subjects) * 4 // 5:,} subjects that are not held out")
    began = time.perf_counter()
    told: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for draw in range(given.draws):
        for size in given.sizes:
            if given.minutes and draw and time.perf_counter() - began > given.minutes * 60:
                break
            parts = drawn(cohort, size, draw)
            risks = {}
            for name in given.heads:
                found = made(name, question, parts, draw, None).fit(parts, "asked", progress=False).predict_proba(
                    parts.held_out
                )  # fmt: skip
                risks[name] = found.probability
            risks |= baselines(question, parts, draw)
            for name, risk in risks.items():
                figures = statistics_of(found, risk)
                ones = np.ones((1, len(found)))
                told[name][size].append({m: float(figures[m](ones)[0, 0]) for m in question.metrics})
            latest = {name: round(rows[size][-1]["AUROC"], 3) for name, rows in told.items()}
            print(f"draw {draw}, {size:,} subjects ({time.perf_counter() - began:.0f} s): {latest}", flush=True)
            if given.save:
                given.save.write_text(json.dumps(told, indent=1), encoding="utf-8")
    for metric in question.metrics:
        for name, rows in told.items():
            cells = (
                f"{size:,}: {np.mean(values):.3f} ± {np.std(values):.3f} ({len(values)})"
                for size, each in rows.items()
                for values in [[row[metric] for row in each]]
            )
            print(f"{metric:6s} {name:22s} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
