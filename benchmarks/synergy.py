"""Synergy of drug pairs on the DrugComb subset: DeepSynergy beside plain models; pairs, drugs, cell lines held out.

python benchmarks/synergy.py FOLDER
python benchmarks/synergy.py FOLDER --splits drug --seeds 10 --set similarity=True
python benchmarks/synergy.py FOLDER --drug 1 --cell 1

FOLDER has drugcombdb_small.tsv.gz and drugcombdb_smiles.csv.gz. Rare drugs and cell lines are left out first (--drug
and --cell say how many measurements each must have), 80 % of the pairs, drugs or cell lines are for training, 10 % for
valid and 10 % for test. Each seed draws another split and other weights. A figure is the mean over seeds, after ±
stands their standard deviation. Gains are paired, their 95 % intervals drawn by pair (by cell line, where these are
held out), a pair in all seeds together. Everything is chosen on valid; test is looked at once.
"""

from __future__ import annotations

import argparse
import ast
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import medgraph as mg
from medgraph.evaluation.agreement import mean_squared_error_of
from medgraph.evaluation.resampled import estimate
from medgraph.evaluation.resampling import Statistic
from medgraph.heads.interaction.synergy.baselines import synergy_baselines
from medgraph.heads.interaction.synergy.report import synergy_statistics

MODEL = "DeepSynergy"
Parts = list[tuple[Statistic, int]]


def mean_of_seeds(parts: Parts) -> Statistic:
    """The mean figure of seeds whose rows stand one after another."""
    ends = np.cumsum([0, *(count for _, count in parts)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.mean([part(weights[:, ends[i] : ends[i + 1]]) for i, (part, _) in enumerate(parts)], axis=0)

    return statistic


class Figures:
    """What one way of splitting has shown so far."""

    def __init__(self, by: str, threshold: float) -> None:
        self.by, self.threshold = by, threshold
        self.each: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.errors: dict[str, Parts] = defaultdict(list)
        self.clusters: list[np.ndarray] = []
        self.rows: list[int] = []

    def add(self, test: mg.Synergies, predicted: dict[str, np.ndarray], both_new: np.ndarray) -> None:
        for name, found in predicted.items():
            for metric, statistic in synergy_statistics(test.value, found, self.threshold).items():
                self.each[name][metric].append(float(statistic(np.ones((1, len(test))))[0, 0]))
            if both_new.any() and not both_new.all():
                error = float(np.mean((found - test.value)[both_new] ** 2))
                self.each[name]["MSE, both new"].append(error)
            self.errors[name].append((mean_squared_error_of(test.value, found), len(test)))
        self.clusters.append(test.cell if self.by == "cell" else test.pair)
        self.rows.append(len(test))

    def gains(self, n_bootstrap: int) -> dict[str, dict[str, float]]:
        clusters = np.concatenate(self.clusters)
        mine = mean_of_seeds(self.errors[MODEL])
        return {
            name: estimate(mine, clusters.size, n_bootstrap, 0, clusters, mean_of_seeds(parts))._asdict()
            for name, parts in self.errors.items()
            if name != MODEL
        }

    def plain(self, n_bootstrap: int) -> dict[str, object]:
        return {"rows": self.rows, "figures": self.each, "gains": self.gains(n_bootstrap)}

    def show(self, n_bootstrap: int) -> None:
        gains = self.gains(n_bootstrap)
        print(f"\nby {self.by}: {len(self.rows)} seeds, {np.mean(self.rows):,.0f} rows of test on average")
        for name, row in self.each.items():
            told = "  ".join(f"{metric} {np.mean(v):.3f} ± {np.std(v):.3f}" for metric, v in row.items())
            gain = gains.get(name)
            less = "" if gain is None else f"  gain {gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
            wins = sum(a < b for a, b in zip(self.each[MODEL]["MSE"], row["MSE"], strict=True))
            better = "" if gain is None else f", better in {wins} of {len(self.rows)}"
            print(f"  {name:42s} {told}{less}{better}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", nargs="+", choices=["pair", "drug", "cell"], default=["pair", "drug", "cell"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--drug", type=int, default=50, help="measurements that a drug must have")
    parser.add_argument("--cell", type=int, default=50, help="measurements that a cell line must have")
    parser.add_argument("--threshold", type=float, default=10.0, help="from which score on two drugs work together")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of DeepSynergy: similarity=True")
    parser.add_argument("--alone", action="store_true", help="without plain models")
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--save", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    settings = {name: ast.literal_eval(value) for name, _, value in (one.partition("=") for one in given.set)}
    whole = mg.load("drugcomb", given.folder)
    print(whole, *whole.notes, dict(whole.skipped), sep="\n")
    data = whole.at_least(given.drug, given.cell)
    print(data, f"variance {data.value.var():.1f}; {np.mean(data.value >= given.threshold):.1%} at least "
          f"{given.threshold:g}", flush=True)  # fmt: skip
    figures = {by: Figures(by, given.threshold) for by in given.splits}
    for seed in range(given.seeds):
        for by in given.splits:
            split = data.split(by, seed=seed)
            began = time.perf_counter()
            head = mg.DeepSynergy(**settings, seed=seed).fit(split.train, split.valid, progress=False)
            predicted = {MODEL: head.scores(split.test)}
            seconds = time.perf_counter() - began
            valid = float(np.mean((head.scores(split.valid) - split.valid.value) ** 2))
            for baseline in () if given.alone else synergy_baselines(seed):
                predicted[baseline.name] = baseline.fit(split.train, split.valid).scores(split.test)
            figures[by].add(split.test, predicted, split.both_new)
            now = {name: round(row["MSE"][-1], 2) for name, row in figures[by].each.items()}
            told = f"{seconds:.0f} s, {len(head.history_)} epochs, valid {valid:.2f}"
            print(f"  {by}, seed {seed} ({told}): {json.dumps(now)}", flush=True)
            if given.save:
                plain = {name: f.plain(given.bootstrap) for name, f in figures.items() if f.rows}
                given.save.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    for found in figures.values():
        found.show(given.bootstrap)


if __name__ == "__main__":
    main()
