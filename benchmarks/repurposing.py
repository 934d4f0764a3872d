"""Compound-treats-Disease on Hetionet: every model on the same random splits, beside its baselines.

    python benchmarks/repurposing.py PATH/TO/hetionet                       10 splits by edge
    python benchmarks/repurposing.py PATH/TO/hetionet --by target --splits 5     cold diseases
    python benchmarks/repurposing.py PATH/TO/hetionet --by source --splits 5     cold drugs
    python benchmarks/repurposing.py PATH/TO/hetionet --without palliates
    python benchmarks/repurposing.py PATH/TO/hetionet --final best.parquet       fitted on every known link

The embeddings are learned from the graph less every treats edge, one seed per split modulo `--encoder-seeds`; decoders,
scorers and stack learn from a split's training links, probabilities are calibrated on valid, test is looked at once.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

import medgraph as mg
from medgraph.embeddings.convolution import BlockDiagonal

TREATS = mg.EdgeType("Compound", "treats", "Disease")
BASELINE = "metapath counts"


def encoders(seed: int) -> dict[str, mg.SkipGram | mg.VGAE]:
    """What learns the graph without the answers."""
    vgae = mg.VGAE(
        vector_size=256, hidden_size=256, weights=BlockDiagonal(4), balance=0.25, beta=0.2, epochs=41, seed=seed
    )
    return {"skip-gram": mg.SkipGram(vector_size=128, alpha=0.1, sample=0, epochs=1, seed=seed), "VGAE": vgae}


def embeddings(rest: mg.KnowledgeGraph, seed: int, cache: Path | None) -> dict[str, mg.Embedding]:
    """The encoders' vectors, from the cache where they are there already."""
    found = {}
    for name, encoder in encoders(seed).items():
        folder = cache / f"{name}-{seed}-{rest.fingerprint[:8]}" if cache else None
        if folder is not None and folder.exists():
            found[name] = mg.Embedding.load(folder)
            continue
        found[name] = encoder.fit(rest).embedding_
        if folder is not None:
            found[name].save(folder)
    return found


def models(vectors: dict[str, mg.Embedding], seed: int) -> dict[str, mg.LinkPredictor]:
    """What is compared."""
    graph_only = (mg.MetapathCounts(), mg.BoostedPathCounts(), mg.SharedNeighbours(), mg.NearestNeighbour())
    return {
        **{name: mg.LinkPredictor(e, relation=TREATS, scorers=(), seed=seed) for name, e in vectors.items()},
        "shared neighbours": mg.LinkPredictor(relation=TREATS, scorers=(mg.SharedNeighbours(),), seed=seed),
        "all": mg.LinkPredictor(list(vectors.values()), relation=TREATS, scorers=graph_only, seed=seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--by", default="edge", choices=["edge", "source", "target", "area"])
    parser.add_argument("--encoder-seeds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="relations between drugs and diseases to leave out")
    parser.add_argument("--valid-too", action="store_true", help="also learn from valid links; the same test links")
    parser.add_argument("--cache", type=Path, help="a folder to keep embeddings in, for the next run on this graph")
    parser.add_argument("--no-embeddings", action="store_true")
    parser.add_argument("--final", type=Path, help="fit on every link and write every pair's answer")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=140)
    graph = mg.load("hetionet", path=arguments.path)
    graph = graph.without({e: None for e in graph.edge_types if e.relation in arguments.without and e != TREATS})
    rest = graph.without({TREATS: None})
    made: dict[int, dict[str, mg.Embedding]] = {}

    def vectors(seed: int) -> dict[str, mg.Embedding]:
        if arguments.no_embeddings:
            return {}
        place = seed % arguments.encoder_seeds
        if place not in made:
            started = perf_counter()
            made[place] = embeddings(rest, place, arguments.cache)
            console.print(f"embeddings, seed {place}: {perf_counter() - started:.0f} s")
        return made[place]

    if arguments.final:
        model = models(vectors(0), 0)["all"].fit(graph)
        write_final(model, graph, arguments.final)
        console.print(model.reliability_)
        return
    reports: dict[str, list[mg.Report]] = {}
    for seed in range(arguments.splits):
        split = mg.split_edges(graph, TREATS, by=arguments.by, seed=seed)
        started = perf_counter()
        for name, model in models(vectors(seed), seed).items():
            beside = None if name == "all" else {BASELINE: mg.MetapathCounts()}
            reports.setdefault(name, []).append(model.fit(split).evaluate(baselines=beside, n_bootstrap=100))
            if name == "all" and arguments.valid_too:  # the same test links; valid ones learned from as well
                more = mg.split_edges(graph, TREATS, fractions=(0.9, 0.0, 0.1), seed=seed)
                assert np.array_equal(more.test, split.test)
                reports.setdefault("all, valid too", []).append(model.fit(more).evaluate(n_bootstrap=100))
        figures = {name: figures_of(found[-1]) for name, found in reports.items()}
        console.print(f"split {seed} ({perf_counter() - started:.0f} s): {figures}")
    result = {
        "by": arguments.by,
        "splits": arguments.splits,
        "without": arguments.without,
        "machine": platform.machine(),
    }
    if arguments.splits > 1:
        for name, found in reports.items():
            summary = mg.combine(found)
            console.print(summary)
            result[name] = summary.to_dict()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1, default=str))


def figures_of(report: mg.Report) -> str:
    """The four figures that matter, in short."""
    forward, backward, pairs = report.metrics.values()
    return f"{forward['MRR']:.3f} {backward['MRR']:.3f} {pairs['AUPRC']:.3f}"


def write_final(model: mg.LinkPredictor, graph: mg.KnowledgeGraph, path: Path) -> None:
    """Every pair with its log-odds and whether it is known, best first."""
    scores = model.score_matrix()
    known = np.zeros(scores.shape, dtype=bool)
    known[tuple(graph.edge_index(TREATS))] = True
    compounds, diseases = (graph.nodes[t].column("id").to_numpy() for t in ("Compound", "Disease"))
    order = np.argsort(-scores, axis=None, kind="stable")
    rows, columns = np.divmod(order, scores.shape[1])
    flat = {"compound": compounds[rows], "disease": diseases[columns], "log_odds": scores[rows, columns]}
    pq.write_table(pa.table({**flat, "known": known[rows, columns]}), path)


if __name__ == "__main__":
    main()
