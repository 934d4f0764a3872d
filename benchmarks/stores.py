"""How fast and how large are the stores, side by side?

    python benchmarks/stores.py path/to/hetionet             the loader's tables, as medgraph.load("hetionet", path=...)
    python benchmarks/stores.py                              a random graph of 50,000 nodes and 1,000,000 edges
    python benchmarks/stores.py path/to/hetionet --times 10  ten times the nodes and edges, of the same shape
    python benchmarks/stores.py --stores ladybug             without a server; it needs Java 17

Writing and reading run in processes of their own, several times; the least time and the most memory count. On a busy
machine (its load is printed) the processor time, over all threads, says more; a server's own is not in it. Queries are
timed one by one on one handle, after one that opens it. The server is started for this run, in a temporary folder.

"row by row" is the import found in many projects: a statement an edge, committed on its own, on a sample of the edges.
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
from medgraph.server import Neo4jServer
from medgraph.stores import ladybug, neo4j, open_store  # both engines imported here, so that no timing holds that

TREATS = "MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.id, c.name"
TWO_STEPS = "MATCH (d:Disease {id: $id})-[:associates]->(g:Gene)<-[:binds]-(c:Compound) RETURN c.id, count(*) AS n"
ENGINES = {"ladybug": ladybug, "neo4j": neo4j}
HEAP, PAGES = "2g", "1g"


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


def larger(graph: KnowledgeGraph, times: int) -> KnowledgeGraph:
    """`times` copies of every node; an edge of each copy ends in a copy drawn at random, so all degrees stay."""
    rng = np.random.default_rng(0)
    nodes, edges = {}, {}
    for node_type, table in graph.nodes.items():
        ids, names = table["id"].to_pylist(), table["name"].to_pylist()
        nodes[node_type] = pa.table(
            {"id": [f"{one}.{k}" if k else one for k in range(times) for one in ids], "name": names * times}
        )
    for edge_type in graph.edge_types:
        source, target = np.tile(graph.edge_index(edge_type), times)
        copy = np.repeat(np.arange(times), source.size // times)
        other = rng.integers(times, size=source.size)
        rows = [graph.nodes[one].num_rows for one in (edge_type.source, edge_type.target)]
        edges[edge_type] = pa.table({"source": source + copy * rows[0], "target": target + other * rows[1]})
    return KnowledgeGraph(nodes, edges)


def graph_of(source: str, times: int) -> KnowledgeGraph:
    graph = load("hetionet", path=source) if source else random_graph()
    return graph if times == 1 else larger(graph, times)


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


def write(address: str, source: str, times: int) -> dict[str, float]:
    graph = graph_of(source, times)
    with open_store(address) as store:
        store.write(KnowledgeGraph({}))
        found = _timed(lambda: store.write(graph))
        assert store.fingerprint == graph.fingerprint
    return found


def read(address: str, *_: object) -> dict[str, float]:
    def act() -> None:
        with open_store(address, read_only=True) as store:
            graph = store.read()
            assert sum(graph.edge_index(edge_type).shape[1] for edge_type in graph.edge_types) == graph.num_edges

    return _timed(act)


def row_by_row(address: str, source: str, times: int) -> dict[str, float]:
    """A statement an edge for 1,000 edges, on nodes that are there and indexed."""
    graph = graph_of(source, times)
    edge_type = max(graph.edge_types, key=lambda one: graph.edges[one].num_rows)
    ids = [graph.nodes[one]["id"].to_pylist() for one in (edge_type.source, edge_type.target)]
    picked = np.random.default_rng(0).choice(graph.edges[edge_type].num_rows, 1000, replace=False)
    pairs = graph.edge_index(edge_type)[:, picked].T.tolist()
    with open_store(address) as store:
        assert isinstance(store, neo4j.Neo4jStore)
        ends = f"MATCH (a:{edge_type.source} {{id: $a}}) MATCH (b:{edge_type.target} {{id: $b}})"
        cypher = f"{ends} MERGE (a)-[:row_by_row]->(b)"
        store.execute(cypher, a=ids[0][pairs[0][0]], b=ids[1][pairs[0][1]])  # the server plans it once

        def act() -> None:
            for a, b in pairs:
                store.execute(cypher, a=ids[0][a], b=ids[1][b])

        found = _timed(act)
        store.execute("MATCH ()-[r:row_by_row]->() DELETE r")
    return {"edges_per_second": len(pairs) / found["seconds"], "edges": graph.num_edges}


def ask(address: str, *_: object) -> dict[str, dict[str, float]]:
    with open_store(address, read_only=True) as store:
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
            taken = []
            for value in values:
                start = time.perf_counter()
                act(value)
                taken.append(1000 * (time.perf_counter() - start))
            p50, p95 = np.percentile(taken, [50, 95])
            found[question] = {"first_ms": 1000 * first, "p50_ms": p50, "p95_ms": p95}
        return found


def _size(folder: Path) -> str:
    """What lies on disk, by kind."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            log = "transactions" in path.parts
            kind = {".parquet": "Parquet", ".arrow": "index"}.get(path.suffix, "transaction log" if log else "database")
            sizes[kind] = sizes.get(kind, 0) + path.stat().st_blocks * 512
    return ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in sorted(sizes.items()))


def _measured(name: str, address: str, folder: Path, phase: Callable[[str, str], Any], repeats: int) -> None:
    print(f"\n{name}")
    for what in ("write", "read"):
        runs = [phase(what, address) for _ in range(repeats)]
        best, cpu = min(run["seconds"] for run in runs), min(run["cpu"] for run in runs)
        peak, before = max(run["peak_mb"] for run in runs), max(run["before_mb"] for run in runs)
        print(f"{what:28}{best:.2f} s ({cpu:.2f} s of processor), peak {peak:,.0f} MB (before: {before:,.0f} MB)")
        if what == "write" and name == "neo4j":
            rows = phase("row_by_row", address)
            ratio = rows["edges"] / best / rows["edges_per_second"]
            print(
                f"{'row by row':28}{rows['edges_per_second']:.0f} edges/s; the write above is {ratio:.0f} times faster"
            )
    print("on disk".ljust(28) + _size(folder))
    for question, figures in phase("ask", address).items():
        print(f"{question:28}p50 {figures['p50_ms']:6.2f} ms, p95 {figures['p95_ms']:6.2f} ms, "
              f"first {figures['first_ms']:6.1f} ms")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="", help="folder of Hetionet's tables")
    parser.add_argument("--times", type=int, default=1, help="how many times as large")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stores", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--phase", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        print(json.dumps(globals()[options.phase[0]](options.phase[1], options.source, options.times)))
        return

    def phase(name: str, address: str) -> Any:
        command = [sys.executable, __file__, options.source, "--times", str(options.times), "--phase", name, address]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    print(f"{graph_of(options.source, options.times)}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "ladybug" in options.stores:
            _measured("ladybug", str(folder / "ladybug"), folder / "ladybug", phase, options.repeats)
        if "neo4j" in options.stores:
            server = Neo4jServer(folder / "neo4j", bolt_port=7697, http_port=7497, heap=HEAP, page_cache=PAGES)
            with server.start() as running:
                os.environ |= {"NEO4J_USERNAME": "neo4j", "NEO4J_PASSWORD": server.password()}
                _measured("neo4j", running.url, server.home / "data", phase, options.repeats)
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
