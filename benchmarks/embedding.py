"""How long does `most_similar` take over 47,031 x 128 vectors, and how long do saving and loading?

python benchmarks/embedding.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import medgraph as mg


def percentiles(seconds: list[float]) -> str:
    return ", ".join(f"p{q} {np.percentile(seconds, q) * 1000:.2f} ms" for q in (50, 95))


def main() -> None:
    rng = np.random.default_rng(0)
    n = 47_031
    ids = [f"NCBIGENE:{i}" for i in range(n)]
    types = ["Gene" if i % 2 else "Compound" for i in range(n)]
    emb = mg.Embedding(ids, types, ids, rng.normal(size=(n, 128)).astype(np.float32))
    emb.most_similar(ids[0])
    for node_type in (None, "Compound"):
        seconds = []
        for i in rng.integers(n, size=300):
            started = time.perf_counter()
            emb.most_similar(ids[i], topn=10, node_type=node_type)
            seconds.append(time.perf_counter() - started)
        print(f"most_similar, node_type={node_type}: {percentiles(seconds)} over 300 calls")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        emb.save(Path(folder) / "e")
        saved = time.perf_counter()
        mg.Embedding.load(Path(folder) / "e")
        print(f"save {saved - started:.2f} s, load {time.perf_counter() - saved:.2f} s")


if __name__ == "__main__":
    main()
