"""Drug-target affinity on Davis, KIBA and human pairs: heads beside baselines, on DeepDTA's folds and on what is new.

python benchmarks/interaction.py --davis FOLDER --splits given --heads stack --seeds 3
python benchmarks/interaction.py --kiba FOLDER --splits drug target both scaffold --heads stack --seeds 5
python benchmarks/interaction.py --davis FOLDER --heads deepdta --epochs 20 --seeds 1 --splits given
python benchmarks/interaction.py --human FOLDER --splits given drug target

A seed is: of "given" folds, which of the five train folds is valid, and the seed of the head; else the seed of the
split, which holds 20 % of drugs, targets, scaffolds, or of drugs and of targets, for test and 10 % for valid; one
molecule, and sequences that are at least 90 % identical, go to one side. Everything is chosen on valid; then stack and
baselines learn from train and valid together (--plain: from train alone); neural heads learn from train and stop by
valid. Test is looked at once. After ± stands the standard deviation over seeds. Gains are of the first head over the
others, on the same pairs, below 0 where it has the smaller error; their 95 % intervals draw drugs where drugs are
new, targets where targets are, else pairs; one that is in several tests is drawn in all of them together.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import medgraph as mg
from medgraph.data.affinities import Affinities
from medgraph.evaluation.agreement import mean_squared_error_of
from medgraph.evaluation.resampled import estimate
from medgraph.evaluation.resampling import Statistic
from medgraph.heads.interaction.baselines.base import Baseline
from medgraph.heads.interaction.baselines.kronrls import KronRLS
from medgraph.heads.interaction.baselines.neighbours import PairNeighbours
from medgraph.heads.interaction.baselines.profiles import ProfileKronRLS
from medgraph.heads.interaction.judging import Scorer, statistics_of
from medgraph.heads.interaction.stacking.stack import InteractionStack

DATA = {"davis": "davis", "kiba": "kiba", "human": "human_dti"}
SHOWN = ("MSE", "CI", "r2m", "Pearson", "active MSE", "active CI", "AUROC", "AUPRC")
Parts = list[tuple[Statistic, int]]


def mean_of_seeds(parts: Parts) -> Statistic:
    """The mean figure of seeds whose rows stand one after another; a seed of which nothing was drawn is left out."""
    ends = np.cumsum([0, *(count for _, count in parts)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.nanmean([part(weights[:, ends[i] : ends[i + 1]]) for i, (part, _) in enumerate(parts)], axis=0)

    return statistic


class Figures:
    """What one way of splitting one data set has shown so far."""

    def __init__(self, title: str, by: str, active: float | None) -> None:
        self.title, self.by, self.active = title, by, active
        self.each: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.errors: dict[str, Parts] = defaultdict(list)
        self.clusters: list[np.ndarray] = []
        self.together: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, test: Affinities, found: dict[str, np.ndarray]) -> None:
        for name, values in found.items():
            for metric, statistic in statistics_of(test, values, self.active).items():
                if metric in SHOWN:
                    self.each[name][metric].append(float(statistic(np.ones((1, len(test))))[0, 0]))
            self.errors[name].append((mean_squared_error_of(test.value, values), len(test)))
            self.together[name].append(values)
        number = test.drug * test.targets.num_rows + test.target
        self.clusters.append({"target": test.target}.get(self.by, number if self.by == "given" else test.drug))

    def gains(self, n_bootstrap: int) -> dict[str, dict[str, float]]:
        clusters = np.concatenate(self.clusters)
        first = next(iter(self.errors))
        return {
            name: estimate(
                mean_of_seeds(self.errors[first]), clusters.size, n_bootstrap, 0, clusters, mean_of_seeds(parts)
            )._asdict()
            for name, parts in self.errors.items()
            if name != first
        }

    def ensemble(self, test: Affinities) -> dict[str, dict[str, float]]:
        """Of given folds: figures of the mean of the seeds' predictions."""
        return {
            name: {
                metric: float(statistic(np.ones((1, len(test))))[0, 0])
                for metric, statistic in statistics_of(test, np.mean(values, axis=0), self.active).items()
                if metric in SHOWN
            }
            for name, values in self.together.items()
        }

    def show(self, n_bootstrap: int) -> None:
        gains = self.gains(n_bootstrap)
        seeds = len(self.clusters)
        print(f"\n{self.title}, {self.by}: {seeds} seeds, {np.concatenate(self.clusters).size / seeds:,.0f} test pairs")
        first = next(iter(self.each))
        for name, row in self.each.items():
            told = "  ".join(f"{metric} {np.mean(v):.3f} ± {np.std(v):.3f}" for metric, v in row.items())
            if name in gains and "MSE" in row:
                gain = gains[name]
                told += f"  gain {gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
                told += f", better in {sum(a < b for a, b in zip(self.each[first]['MSE'], row['MSE'], strict=True))}"
            print(f"  {name:22s} {told}", flush=True)


def gene_keys(embedding: mg.Embedding, ids: list[str]) -> dict[str, str]:
    """Davis' targets are gene symbols with what is special about them: "ABL1(E255K)p" is ABL1, "CLK4" is itself."""
    kinds = zip(embedding.names, embedding.node_types, embedding.ids, strict=True)
    genes = {name: id_ for name, kind, id_ in kinds if kind == "Gene"}
    found = {id_: re.split(r"[(\s-]", id_)[0] for id_ in ids}
    return {id_: genes[symbol] for id_, symbol in found.items() if symbol in genes}


def make(name: str, by: str, seed: int, given: argparse.Namespace, data: Affinities) -> Scorer:
    """An unfitted head of that name."""
    few = {"epochs": given.epochs} if given.epochs else {}
    if name == "deepdta":
        return mg.DeepDTA(seed=seed, **few)
    if name == "lstm":
        return mg.PairLSTM(seed=seed, **few)
    if name == "profiles":
        return ProfileKronRLS(refit=not given.plain, seed=seed)
    if name == "mlp":
        return mg.FingerprintMLP(seed=seed, members=given.members, ids=by == "given", **few)
    if name == "knowledge":
        vectors = mg.Embedding.load(given.embedding)
        keys = gene_keys(vectors, data.targets["id"].to_pylist())
        print(f"  {len(keys)} of {data.targets.num_rows} targets are genes of the embedding")
        return mg.KnowledgeDTA(
            embedding=vectors, target_keys=keys, drug_keys={}, min_match=0, seed=seed, members=given.members,
            ids=by == "given", **few,
        )  # fmt: skip
    folds = 3 if by == "both" else given.folds
    members = None
    if name == "stack+mlp":
        head = mg.FingerprintMLP(seed=seed, members=given.members, ids=by == "given", **few)
        members = (KronRLS(), ProfileKronRLS(), mg.ALS(), PairNeighbours(), head)
    return InteractionStack(
        members=members, by="pair" if by == "given" else by, folds=folds, refit=not given.plain, bags=given.bags,
        seed=seed,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in DATA:
        parser.add_argument(f"--{name}", type=Path, help="folder of its files")
    parser.add_argument("--splits", nargs="+", default=["given"],
                        choices=["given", "pair", "drug", "target", "both", "scaffold"])  # fmt: skip
    parser.add_argument("--heads", nargs="+", default=["stack"],
                        choices=["stack", "stack+mlp", "mlp", "knowledge", "profiles", "deepdta", "lstm"])  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--folds", type=int, default=10, help="of the stack")
    parser.add_argument("--bags", type=int, default=1, help="of the stack")
    parser.add_argument("--members", type=int, default=3, help="of the MLP")
    parser.add_argument("--epochs", type=int, help="of neural heads, at most, in place of their own")
    parser.add_argument("--embedding", type=Path, help="saved vectors of a graph with genes, for knowledge (Davis)")
    parser.add_argument("--plain", action="store_true", help="learn from train alone")
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs: to see that it runs")
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--save", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    saved: dict[str, object] = {}
    for title, loader in DATA.items():
        if getattr(given, title) is None:
            continue
        data = mg.load(loader, getattr(given, title))
        print(data, *data.notes, dict(data.skipped), sep="\n", flush=True)
        active = 0.5 if data.kind == "binary" else {"davis": data.limit, "kiba": 12.1}.get(title)
        for by in given.splits:
            figures = Figures(title, by, active)
            for seed in range(given.first, given.first + given.seeds):
                split = (
                    data.split("given", fold=seed % 5) if by == "given"
                    else data.split(by, fractions=(0.7, 0.1, 0.2), seed=seed)
                )  # fmt: skip
                train, valid, test = split.train, split.valid, split.test
                if given.quick:
                    train, valid, test = (part.take(np.arange(0, len(part), 10)) for part in (train, valid, test))
                found: dict[str, np.ndarray] = {}
                same: dict[type, Baseline] = {}
                for name in given.heads:
                    began = time.perf_counter()
                    head = make(name, by, seed, given, data)
                    head.fit(train, valid)  # type: ignore[attr-defined]
                    found[name] = head.scores(test)
                    if isinstance(head, InteractionStack):  # its members chose on valid and learnt what baselines do
                        same |= {
                            type(one): one for one in reversed(head._fitted().members) if isinstance(one, Baseline)
                        }
                    more = {k: round(v, 4) for k, v in getattr(head, "errors_", {}).items()} or getattr(
                        getattr(head, "history_", None), "best", ""
                    )
                    print(f"  {name}: {time.perf_counter() - began:.0f} s {more}", flush=True)
                for kind in (mg.PairMeans, PairNeighbours, mg.ALS, KronRLS):
                    baseline: Baseline = same.get(kind) or kind(refit=not given.plain).fit(train, valid)
                    found[baseline.name] = baseline.scores(test)
                figures.add(test, found)
                now = {name: {m: round(v[-1], 4) for m, v in row.items()} for name, row in figures.each.items()}
                print(f"  {title}, {by}, seed {seed}: {json.dumps(now)}", flush=True)
                saved[f"{title} {by}"] = {"figures": figures.each}
                if given.save:
                    given.save.write_text(json.dumps(saved, indent=1), encoding="utf-8")
            saved[f"{title} {by}"] = {"figures": figures.each, "gains": figures.gains(given.bootstrap)}
            figures.show(given.bootstrap)
            if by == "given" and given.seeds > 1:
                mean = figures.ensemble(test)
                saved[f"{title} {by}"] = {**saved[f"{title} {by}"], "mean of seeds": mean}  # type: ignore[dict-item]
                for name, row in mean.items():
                    print(f"  mean of seeds, {name}: " + "  ".join(f"{m} {v:.3f}" for m, v in row.items()))
            if given.save:
                given.save.write_text(json.dumps(saved, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
