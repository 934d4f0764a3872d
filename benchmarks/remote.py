"""VGAE by neighbour samples, from a folder and from memory: time and memory, each side in its own process.

    python benchmarks/remote.py [--edges 5000000] [--nodes 200000] [--steps 30]

A graph with hubs is generated and written to a store; then both sides train the same model with the same seeds on the
same features, and must report the same losses. Memory is anonymous memory, which only swapping frees, beyond what the
process had with everything imported and nothing opened: its highest value while the graph was opened and trained on.
Pages of mapped files are not in it: the system takes them back when it needs them; they are given beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import medgraph as mg

BINDS, INTERACTS = mg.EdgeType("Compound", "binds", "Gene"), mg.EdgeType("Gene", "interacts", "Gene")


def generate(nodes: int, edges: int) -> mg.KnowledgeGraph:
    """Two edge types, ends drawn by Zipf-like weights."""
    rng = np.random.default_rng(0)
    tables = {
        name: pa.table({"id": [f"{name}:{i}" for i in range(nodes // 2)], "name": pa.nulls(nodes // 2, pa.string())})
        for name in ("Compound", "Gene")
    }
    ends = (nodes // 2 * rng.random((2, 2, edges // 2)) ** 3).astype(np.int64)
    return mg.KnowledgeGraph(
        tables, {t: pa.table({"source": s, "target": e}) for t, (s, e) in zip((BINDS, INTERACTS), ends, strict=True)}
    )


def _status(kind: str) -> float:
    """A line of this process's memory, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1]) / 1024


def train(side: str, folder: Path, steps: int) -> dict[str, object]:
    """One side: where its memory went, and what it learned."""
    import torch

    from medgraph.embeddings.vgae_sampled import SampledVGAE, _Sampling
    from medgraph.stores.access import random_access
    from medgraph.stores.features import NodeFeatures

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports what it needs
    peak = {"RssAnon": 0.0, "RssFile": 0.0}
    start, done = {kind: _status(kind) for kind in peak}, threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            for kind, highest in peak.items():
                peak[kind] = max(highest, _status(kind))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    model = SampledVGAE(vector_size=32, hidden_size=32, fan_out=(5, 5), batch_size=128, device="cpu")
    with mg.open_store(folder / "graph") as store:
        source = store.read() if side == "memory" else store
        with random_access(source) as access:
            features = {name: folder / f"{name}.npy" for name in ("Compound", "Gene")}
            task = _Sampling(model, access, NodeFeatures(access, features), "")
            for relation in access.relations:
                access.bounds(relation)
            opened, losses = time.perf_counter(), []
            torch.manual_seed(0)
            for step in range(steps):
                loss = task.losses((0, step), step / steps)["loss"]
                task.optimiser.zero_grad()
                loss.backward()
                task.optimiser.step()
                losses.append(loss.item())
    finished = time.perf_counter()
    done.set()
    watcher.join()
    return {
        "open_s": round(opened - begun, 2),
        "step_ms": round((finished - opened) / steps * 1000, 1),
        "anonymous_mb": round(peak["RssAnon"] - start["RssAnon"], 1),
        "mapped_mb": round(peak["RssFile"] - start["RssFile"], 1),
        "losses": losses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=5_000_000)
    parser.add_argument("--nodes", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--side", choices=("store", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(train(given.side, given.folder, given.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        graph = generate(given.nodes, given.edges)
        with mg.open_store(Path(folder) / "graph") as store:
            store.write(graph)
        for name in graph.node_types:
            np.save(
                Path(folder) / f"{name}.npy", np.random.default_rng(1).normal(size=(given.nodes // 2, 64)).astype("f4")
            )
        results = {}
        for run in ("store, first time", "store, sorted", "memory"):
            side = run.split(",")[0]
            command = [sys.executable, __file__, "--side", side, "--folder", folder, "--steps", str(given.steps)]
            results[run] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        losses = {tuple(one.pop("losses")) for one in results.values()}
        for run, one in results.items():
            print(f"{run:18}", one)
        whole = results["memory"]["anonymous_mb"]
        print(f"{graph.num_edges:,} edges; losses the same to the bit: {len(losses) == 1}")
        print("memory of the whole graph beyond the store's:", end=" ")
        print(", ".join(f"{whole / results[run]['anonymous_mb']:.1f}x ({run})" for run in list(results)[:2]))


if __name__ == "__main__":
    main()
