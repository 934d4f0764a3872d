"""How long, and in how much memory, is a large KGX file loaded?

python benchmarks/kgx.py                        100,000 edges
python benchmarks/kgx.py --edges 10_000_000     about 1 GB of text
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

import medgraph.loading

KINDS = (("biolink:Gene", "NCBIGene"), ("biolink:Disease", "UMLS"), ("biolink:SmallMolecule", "CHEBI"))
PREDICATES = ("interacts_with", "treats", "causes", "affects", "related_to", "gene_associated_with_condition")
SOURCES = ("infores:drugcentral", "infores:ctd", "infores:semmeddb", "infores:string")


def write(folder: Path, edges: int, seed: int = 0) -> None:
    """A random graph with one node to ten edges, at most a million."""
    rng = np.random.default_rng(seed)
    options = pacsv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    number = np.arange(max(3, min(edges // 10, 1_000_000)))
    ids = np.array([f"{KINDS[i % 3][1]}:{'C' if i % 3 == 1 else ''}{i:07d}" for i in number], dtype=object)
    category = np.array([kind for kind, _ in KINDS], dtype=object)[number % 3]
    names = np.array([f"node {i}" for i in number], dtype=object)
    with (folder / "nodes.tsv").open("wb") as file:
        file.write(b"id\tname\tcategory\n")
        pacsv.write_csv(pa.table({"id": ids, "name": names, "category": category}), file, options)
    columns = ("subject", "predicate", "object", "primary_knowledge_source")
    schema = pa.schema([(column, pa.string()) for column in columns])
    known = pa.array(ids)
    with (folder / "edges.tsv").open("wb") as file:
        file.write(("\t".join(columns) + "\n").encode())
        writer = pacsv.CSVWriter(file, schema, write_options=options)
        for start in range(0, edges, 1_000_000):
            rows = min(1_000_000, edges - start)
            ends = [known.take(pa.array(rng.integers(0, ids.size, rows))) for _ in range(2)]
            predicate = pa.array([f"biolink:{p}" for p in PREDICATES]).take(pa.array(rng.integers(0, 6, rows)))
            source = pa.array(SOURCES).take(pa.array(rng.integers(0, 4, rows)))
            writer.write_table(pa.table([ends[0], predicate, ends[1], source], schema=schema))
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the generated files here, or use those that are here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "edges.tsv").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, arguments.edges)
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        start = time.perf_counter()
        graph = medgraph.loading.load("kgx", path=folder)
        seconds = time.perf_counter() - start
        tables = [*graph.nodes.values(), *graph.edges.values()]
        result = {
            "nodes": graph.num_nodes,
            "edges": graph.num_edges,
            "skipped": dict(graph.skipped),
            "file_mb": round((folder / "edges.tsv").stat().st_size / 1e6),
            "seconds": round(seconds, 1),
            "graph_mb": round(sum(table.nbytes for table in tables) / 1e6),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6),
            "peak_rss_before_loading_mb": round(before / 1e6),
        }
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
