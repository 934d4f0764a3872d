"""Does the index of a Neo4j store find the neighbours that an exact search finds, and how fast?

    python benchmarks/vectors.py neo4j://localhost:7687 path/to/hetionet [--embedding FOLDER]

Without an embedding a SkipGram is trained, as it comes. The store's graph is replaced. 200 ids of all types are the
questions; for each node type recall@10 is the share of the 10 exact answers (`Embedding.most_similar`) that are also
those of `store.most_similar`. Latencies, in ms, are of one question at a time, after one that is not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.skipgram import SkipGram
from medgraph.loading import load
from medgraph.stores.neo4j import Neo4jStore

_Answer = list[tuple[str, float]]


def timed(ask: Callable[[str], _Answer], ids: list[str]) -> tuple[list[_Answer], np.ndarray]:
    ask(ids[0])
    answers, taken = [], []
    for id_ in ids:
        start = time.perf_counter()
        answers.append(ask(id_))
        taken.append(1000 * (time.perf_counter() - start))
    return answers, np.percentile(taken, [50, 95])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the Neo4j server")
    parser.add_argument("source", help="folder of Hetionet's tables")
    parser.add_argument("--embedding", help="a saved one of this graph")
    parser.add_argument("--questions", type=int, default=200)
    given = parser.parse_args()
    graph = load("hetionet", path=given.source)
    emb = Embedding.load(given.embedding) if given.embedding else SkipGram(seed=0).fit(graph).embedding_
    ids = np.random.default_rng(0).choice(emb.ids, given.questions, replace=False).tolist()
    with Neo4jStore(given.url) as store:
        store.write(graph)
        start = time.perf_counter()
        stored = store.write_embedding(emb, "benchmark")
        taken = time.perf_counter() - start
        print(f"{emb!r} in {store!r}; load {os.getloadavg()[0]:.1f}")
        print(f"{len(stored):,} vectors written and indexed in {taken:.1f} s")
        print(f"{'node type':22}{'vectors':>8}{'recall@10':>11}{'index p50':>11}{'p95':>8}{'exact p50':>11}{'p95':>8}")
        for node_type in [*stored.counts, None]:
            found, index = timed(lambda id_, t=node_type: store.most_similar(id_, 10, t, "benchmark"), ids)
            exact, brute = timed(lambda id_, t=node_type: emb.most_similar(id_, topn=10, node_type=t), ids)
            hits = [len(dict(a).keys() & dict(b).keys()) / len(b) for a, b in zip(found, exact, strict=True)]
            print(
                f"{node_type or 'all':22}{stored.counts.get(node_type, len(stored)):8,}{np.mean(hits):11.4f}"
                f"{index[0]:11.2f}{index[1]:8.2f}{brute[0]:11.2f}{brute[1]:8.2f}"
            )
        store.remove_embedding("benchmark")


if __name__ == "__main__":
    main()
