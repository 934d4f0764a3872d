"""Risk heads beside plain baselines on public cohorts: folds by subject, seeds, paired intervals.

python benchmarks/risk.py --synthea FOLDER --eunomia FOLDER --support2 support2.csv --pbc2 pbc2.csv
python benchmarks/risk.py --eunomia FOLDER --tasks bleed --heads RETAIN --seeds 3
python benchmarks/risk.py --synthea FOLDER --tasks acute --quick

Each seed draws other folds and other weights. Of a fold's other subjects one in six is for tuning. A figure is the mean
over folds and seeds, after ± stands their standard deviation. Intervals are 95 %, drawn by subject (all samples of one
in all folds and seeds together), those of a gain over a baseline paired. All models see the same samples and the same
vocabulary. `NAME+skipgram` starts from vectors learned from train's histories, `NAME+alone` is without its wide part.
`--quick`: one fold of one seed; `--minutes 30`: as many folds as can be begun in that time.

For "bleed" the interactions that each head's risks rest on are looked at in each seed's first held-out fold, among
pairs of the 20 codes that move them most: at which places stand the six that the generator planted? PBC2 has a file of
its own, pbc2.py, which is run with the same folds and seeds.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pbc2
from risk_tasks import QUESTIONS, Question, planted_pairs

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.embeddings.visits import VisitSequences
from medgraph.evaluation.resampled import estimate
from medgraph.evaluation.resampling import Statistic
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.baselines import Baseline, WindowedLogistic, default_baselines
from medgraph.heads.risk.judging import statistics_of
from medgraph.heads.risk.targets import HazardTarget, LabelTarget

SIZES = {
    "RETAIN": {"alpha_size": 32, "beta_size": 32},
    "VisitGRU": {"hidden_size": 32},
    "VisitLSTM": {"hidden_size": 32},
    "GRUD": {"hidden_size": 64, "variables": 24, "ridge": 0.003, "deep": True, "members": 3},
    "DynamicDeepHit": {"hidden_size": 64, "variables": 24, "ridge": 0.003},
    "DeepPatient": {"hidden_size": 64, "pretrain_epochs": 10},
}
Figures = dict[str, dict[str, list[tuple[Statistic, int]]]]  # method -> metric -> each fold's figure and its samples


def split(cohort: Cohort, seed: int, fold: int, folds: int) -> Cohort:
    """One fold held out; of the others one subject in six for tuning."""
    groups = np.array_split(np.random.default_rng(seed).permutation(cohort.subjects), folds)
    rest = np.concatenate([group for number, group in enumerate(groups) if number != fold])
    cut = len(rest) // 6
    return replace(cohort, splits={"train": rest[cut:], "tuning": rest[:cut], "held_out": groups[fold]})


def made(name: str, question: Question, cohort: Cohort, seed: int, epochs: int | None) -> RiskHead:
    """A head; `+skipgram` learns its vectors first, from what train's samples may see; `+alone` has no wide part."""
    kind, _, start = name.partition("+")
    settings = {**question.settings, **SIZES.get(kind, {}), "seed": seed}
    if epochs is not None:
        settings["epochs"] = epochs
    if start == "alone":
        settings["wide"] = False
    elif start:
        size = int(settings["vector_size"])
        encoder = mg.SkipGram(vector_size=size, window=20, negative=2, alpha=0.2, epochs=20, seed=seed)
        histories = VisitSequences(cohort.train, label="asked", context="subject")
        settings["embedding"] = encoder.fit(histories, progress=False).embedding_
    return getattr(mg, kind)(**settings)


def baselines(question: Question, cohort: Cohort, seed: int) -> dict[str, np.ndarray]:
    """The risks that plain models give to the held-out part."""
    train = cohort.train.timelines(
        "asked", cohort.train.vocabulary("asked", int(question.settings.get("min_count", 1)))
    )
    fitting = train.all()
    tuning, held_out = (part.timelines("asked", train.vocabulary).all() for part in (cohort.tuning, cohort.held_out))
    task = cohort.task("asked")
    target = (
        HazardTarget.of(task.names, fitting.label, 20)
        if task.kind == "survival"
        else LabelTarget.of(task.kind, task.names, fitting.label, False)
    )
    chosen: tuple[Baseline, ...] = question.baselines or default_baselines(target, fitting)
    if isinstance(target, LabelTarget):
        chosen += (WindowedLogistic(),)
    return {each.name: each.fit(fitting, tuning, target, seed)(held_out) for each in chosen}


def mean_of_folds(parts: list[tuple[Statistic, int]]) -> Statistic:
    """The mean figure of folds whose samples stand one after another."""
    ends = np.cumsum([0, *(count for _, count in parts)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        each = [part(weights[:, ends[i] : ends[i + 1]]) for i, (part, _) in enumerate(parts)]
        return np.mean(each, axis=0)

    return statistic


def run(key: str, given: argparse.Namespace) -> dict[str, object]:
    """Ask one question of all heads and baselines; prints as it goes."""
    question = QUESTIONS[key]
    cohort = question.cohort(Path(getattr(given, question.file)))
    cohort = cohort.with_tasks(asked=question.task(cohort))
    print(f"\n{question.title}\n  {cohort.labels('asked')!r}", flush=True)
    heads = tuple(given.heads or question.heads)
    figures: Figures = defaultdict(lambda: defaultdict(list))
    subjects: list[np.ndarray] = []
    places: dict[str, list[list[int]]] = defaultdict(list)
    started_at = time.perf_counter()
    order = [(fold, seed) for fold in range(1 if given.quick else given.folds) for seed in range(given.seeds)]
    for done, (fold, seed) in enumerate(order):
        if given.minutes and done >= given.seeds and time.perf_counter() - started_at > given.minutes * 60:
            print(f"  {done} of {len(order)} folds: the time is over", flush=True)
            break
        began = time.perf_counter()
        parts = split(cohort, seed, fold, given.folds)
        risks = {}
        for name in heads:
            started = time.perf_counter()
            head = made(name, question, parts, seed, given.epochs).fit(parts, "asked", progress=False)
            found = head.predict_proba(parts.held_out)
            risks[name] = (found, found.probability)
            print(f"    {name}: {time.perf_counter() - started:.1f} s", flush=True)
            if key == "bleed" and fold == 0:
                factors = mg.explain_risk(head, parts.held_out, max_codes=20, max_samples=600, min_samples=5)
                places[name].append(planted_pairs(factors.pairs))
        risks |= {name: (found, risk) for name, risk in baselines(question, parts, seed).items()}
        for name, (frame, risk) in risks.items():
            told = statistics_of(frame, risk)
            for metric in question.metrics:
                figures[name][metric].append((told[metric], len(frame)))
        subjects.append(found.subject_id)
        now = {n: round(float(rows[question.metrics[0]][-1][0](np.ones((1, len(found))))[0, 0]), 3)
               for n, rows in figures.items()}  # fmt: skip
        seconds = round(time.perf_counter() - began, 1)
        print(f"  seed {seed} fold {fold} ({seconds} s): {json.dumps(now)}", flush=True)
        gc.collect()
    result = summary(question, heads, figures, np.concatenate(subjects), given.bootstrap)
    for name, each in places.items():
        print(f"  {name}: places of planted interactions among those that raise the risk, by seed: {each}")
    return {"task": key, "title": question.title, **result, "planted": dict(places)}


def summary(
    question: Question, heads: tuple[str, ...], figures: Figures, subjects: np.ndarray, n_bootstrap: int
) -> dict[str, object]:
    """Means, spreads and intervals, printed and as plain types."""
    table: dict[str, dict[str, object]] = {}
    for name, rows in figures.items():
        table[name] = {}
        for metric, parts in rows.items():
            each = [float(part(np.ones((1, count)))[0, 0]) for part, count in parts]
            interval = estimate(mean_of_folds(parts), len(subjects), n_bootstrap, 0, subjects)
            table[name][metric] = {**interval._asdict(), "sd": float(np.std(each)), "folds": each}
            print(f"  {name:22s} {metric:12s} {np.mean(each):.3f} ± {np.std(each):.3f}  [{interval.low:.3f}, "
                  f"{interval.high:.3f}]")  # fmt: skip
    gains: dict[str, dict[str, object]] = {}
    for head in heads:
        for other in figures:
            if other == head or (other in heads and heads.index(other) < heads.index(head)):
                continue
            first = question.metrics[0]
            mine, theirs = (mean_of_folds(figures[name][first]) for name in (head, other))
            gain = estimate(mine, len(subjects), n_bootstrap, 0, subjects, theirs)
            gains.setdefault(head, {})[other] = gain._asdict()
            print(f"  {head} less {other}: {first} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]", flush=True)
    return {"figures": table, "gains": gains}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("synthea", "eunomia", "support2", "pbc2"):
        parser.add_argument(f"--{name}", metavar="PATH")
    parser.add_argument("--tasks", nargs="+", choices=[*QUESTIONS, "pbc2"], help="all whose data are given")
    parser.add_argument("--heads", nargs="+", metavar="HEAD", help="such as RETAIN, VisitGRU+skipgram")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="no new fold of a task after so long, once each seed has had one")
    parser.add_argument("--epochs", type=int, help="at most, in place of each task's own")
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="one fold of one seed")
    parser.add_argument("--save", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    given.seeds = 1 if given.quick else given.seeds
    here = [key for key, question in QUESTIONS.items() if getattr(given, question.file)]
    if given.tasks and (missing := set(given.tasks) - {*here, *(["pbc2"] if given.pbc2 else [])}):
        parser.error(f"no data given for {', '.join(sorted(missing))}")
    results = [run(key, given) for key in (given.tasks or here) if key != "pbc2"]
    if given.pbc2 and "pbc2" in (given.tasks or ["pbc2"]):
        cohort, heads = pbc2.cohort_of(given.pbc2), [h for h in given.heads or pbc2.SETTINGS if h in pbc2.SETTINGS]
        print("\nPBC2: concordance for death, mean of landmarks 1, 3, 5 y x horizons 1, 3, 5 y")
        more = {} if given.epochs is None else {"epochs": given.epochs}
        for name in heads:
            means = [
                float(np.mean(list(pbc2.run(cohort, name, seed, given.folds, more).values())))
                for seed in range(given.seeds)
            ]
            print(f"  {name:22s} {np.mean(means):.3f} ± {np.std(means):.3f} over {given.seeds} seeds", flush=True)
            results.append({"task": "pbc2", "head": name, "seeds": means})
    if given.save:
        given.save.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
