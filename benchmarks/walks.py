"""Walk steps per second on Hetionet, beside GRAPE's where the package `grape` is installed.

    python benchmarks/walks.py [path of the Hetionet files]

GRAPE walks in its own interpreter if that is another: GRAPE_PYTHON=/path/to/python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import medgraph as mg
from medgraph.embeddings.adjacency import Adjacency
from medgraph.embeddings.walks import Node2VecWalks, RelationBalancedWalks, UniformWalks

GRAPE = """
import sys, time
from grape import Graph
graph = Graph.from_csv(
    edge_path=sys.argv[1], edge_list_separator="\\t", edge_list_header=False, sources_column_number=0,
    destinations_column_number=1, edge_list_numeric_node_ids=True, directed=False, verbose=False, name="hetionet",
)
for name, options in (("first order", {}), ("node2vec p=0.5 q=2", dict(return_weight=2.0, explore_weight=0.5))):
    graph.complete_walks(walk_length=4, iterations=1, random_state=1)
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        walks = graph.complete_walks(walk_length=40, iterations=3, random_state=1, **options)
        best = max(best, walks.size / (time.perf_counter() - started))
    print(f"GRAPE, {name}: {best / 1e6:.1f} M steps/s (best of 3)")
"""


def main() -> None:
    options = {"path": sys.argv[1]} if len(sys.argv) > 1 else {}
    graph = mg.load("hetionet", **options)
    started = time.perf_counter()
    adjacency = Adjacency.of(graph)
    print(f"{graph}; adjacency in {time.perf_counter() - started:.2f} s; {torch.get_num_threads()} threads")
    for name, walks in {
        "first order": UniformWalks(10, 40),
        "relation-balanced": RelationBalancedWalks(10, 40),
        "node2vec p=0.5 q=2": Node2VecWalks(3, 40, p=0.5, q=2.0),
        "node2vec p=4 q=0.25": Node2VecWalks(3, 40, p=4.0, q=0.25),
    }.items():
        sampler = walks.on(adjacency)
        sampler.sample(0, 1000)
        best = 0.0
        for _ in range(3):
            started = time.perf_counter()
            steps = sum(batch.numel() for batch in sampler.batches())
            best = max(best, steps / (time.perf_counter() - started))
        print(f"medgraph, {name}: {best / 1e6:.1f} M steps/s (best of 3)")
    if python := os.environ.get("GRAPE_PYTHON"):
        with tempfile.TemporaryDirectory() as folder:
            edges = Path(folder) / "edges.tsv"
            edges.write_text("".join(f"{s}\t{t}\n" for s, _, t in graph.triples().tolist()))
            subprocess.run([python, "-c", GRAPE, str(edges)], check=True)


if __name__ == "__main__":
    main()
