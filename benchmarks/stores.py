"""How fast and how large is the embedded store?

    python benchmarks/stores.py path/to/hetionet          the loader's tables, as medgraph.load("hetionet", path=...)
    python benchmarks/stores.py                           a random graph of 50,000 nodes and 1,000,000 edges

Writing and reading run in processes of their own, several times; the least time and the most memory count. On a busy
machine (its load is printed) the processor time, over all threads, says more. Queries are timed one by one on one
handle, after one that opens it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.loading import load
from medgraph.stores import open_store
from medgraph.stores.ladybug import LadybugStore  # imported here, so that no timing holds the import

TREATS = "MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.id, c.name"
TWO_STEPS = "MATCH (d:Disease {id: $id})-[:associates]->(g:Gene)<-[:binds]-(c:Compound) RETURN c.id, count(*) AS n"


def random_graph(nodes: int = 50_000, edges: int = 1_000_000) -> KnowledgeGraph:
    rng = np.random.default_rng(0)
    sizes = {"Compound": nodes // 10, "Disease": nodes // 10, "Gene": nodes - 2 * (nodes // 10)}
    pairs = [("Compound", "treats", "Disease"), ("Disease", "associates", "Gene"), ("Compound", "binds", "Gene")]

    def ends(size: int) -> np.ndarray:  # skewed, as degrees are
        return (size * rng.random(edges // len(pairs)) ** 3).astype(np.int64)

    return KnowledgeGraph(
        {
            kind: pa.table({"id": [f"{kind}:{i}" for i in range(n)], "name": [f"{kind} number {i}" for i in range(n)]})
            for kind, n in sizes.items()
        },
        {EdgeType(*pair): pa.table({"source": ends(sizes[pair[0]]), "target": ends(sizes[pair[2]])}) for pair in pairs},
    )


def _resident(kind: str) -> float:
    """VmHWM (the peak) or VmRSS (now) of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def _timed(act: Callable[[], Any]) -> dict[str, float]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, start, busy = _resident("VmRSS"), time.perf_counter(), time.process_time()
    act()
    taken = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - busy}
    return {**taken, "peak_mb": _resident("VmHWM"), "before_mb": before}


def write(folder: str, source: str) -> dict[str, float]:
    graph = load("hetionet", path=source) if source else random_graph()
    with open_store(folder) as store:
        found = _timed(lambda: store.write(graph))
        assert store.read().fingerprint == graph.fingerprint
    return found


def read(folder: str, _: str) -> dict[str, float]:
    def act() -> None:
        with open_store(folder, read_only=True) as store:
            graph = store.read()
            assert sum(graph.edge_index(edge_type).shape[1] for edge_type in graph.edge_types) == graph.num_edges

    return _timed(act)


def ask(folder: str, _: str) -> dict[str, dict[str, float]]:
    with open_store(folder, read_only=True) as store:
        assert isinstance(store, LadybugStore)
        rng = np.random.default_rng(0)
        disease = store.read(["Disease"]).nodes["Disease"]
        ids = rng.choice(disease["id"].to_pylist(), 200).tolist()
        names = rng.choice([name for name in disease["name"].to_pylist() if name], 200).tolist()
        misspelt = [name[: len(name) // 2] + name[len(name) // 2 + 1 :] for name in names]
        questions: dict[str, tuple[Callable[[str], Any], list[str]]] = {
            "typed 1-hop query": (lambda id_: store.query(TREATS, id=id_), ids),
            "typed 2-hop query": (lambda id_: store.query(TWO_STEPS, id=id_), ids),
            "neighbours": (store.neighbours, ids),
            "neighbours, limit 50": (lambda id_: store.neighbours(id_, limit=50), ids),
            "search by name": (store.search, names),
            "search by first 4 letters": (lambda name: store.search(name[:4]), names),
            "search, a letter missing": (store.search, misspelt),
        }
        found = {}
        for question, (act, values) in questions.items():
            first = _timed(lambda act=act, values=values: act(values[0]))["seconds"]
            times = []
            for value in values:
                start = time.perf_counter()
                act(value)
                times.append(1000 * (time.perf_counter() - start))
            p50, p95 = np.percentile(times, [50, 95])
            found[question] = {"first_ms": 1000 * first, "p50_ms": p50, "p95_ms": p95}
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="", help="folder of Hetionet's tables")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--phase", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        print(json.dumps(globals()[options.phase[0]](options.phase[1], options.source)))
        return

    def phase(name: str, folder: str) -> Any:
        command = [sys.executable, __file__, options.source, "--phase", name, folder]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    with tempfile.TemporaryDirectory() as folder:
        for name in ("write", "read"):
            runs = [phase(name, folder) for _ in range(options.repeats)]
            best, cpu = min(run["seconds"] for run in runs), min(run["cpu"] for run in runs)
            peak, before = max(run["peak_mb"] for run in runs), max(run["before_mb"] for run in runs)
            print(f"{name:28}{best:.2f} s ({cpu:.2f} s of processor), peak {peak:,.0f} MB (before: {before:,.0f} MB)")
        sizes: dict[str, int] = {}
        for path in Path(folder).rglob("*.*"):
            if path.is_file():
                kind = "Parquet" if path.suffix == ".parquet" else "index" if path.suffix == ".arrow" else "database"
                sizes[kind] = sizes.get(kind, 0) + path.stat().st_size
        print("on disk".ljust(28) + ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in sorted(sizes.items())))
        for question, figures in phase("ask", folder).items():
            print(f"{question:28}p50 {figures['p50_ms']:6.2f} ms, p95 {figures['p95_ms']:6.2f} ms, "
                  f"first {figures['first_ms']:6.1f} ms")  # fmt: skip
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
