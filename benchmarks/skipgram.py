"""Does the torch backend of SkipGram agree with gensim's on Hetionet, and how fast are both?

    python benchmarks/skipgram.py [path of the Hetionet files] [--seeds 3] [--walks 10] [--epochs 2] [--alpha 0.1]

Compound-treats-Disease is taken out of the graph, both backends read the same walks, and the same kernel decoder
(ridge regression on pairs, k = exp(cos - 1)) is fitted on the training pairs of ten random 80/10/10 splits.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

import medgraph as mg
from medgraph.embeddings.skipgram import GensimBackend, SkipGram, TorchBackend
from medgraph.embeddings.walks import UniformWalks


def kernel(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vectors = vectors - vectors.mean(0)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values, basis = np.linalg.eigh(np.exp(vectors @ vectors.T - 1))
    return values.clip(0), basis


def link_prediction(embedding: mg.Embedding, graph: mg.KnowledgeGraph, pairs: np.ndarray, ridge: float = 0.1) -> dict:
    sides = [graph.nodes[t].column("id").to_pylist() for t in ("Compound", "Disease")]
    (a, u), (b, v) = (kernel(embedding.vectors_of(ids).astype(float)) for ids in sides)
    strength = np.outer(a, b)
    found = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(pairs.shape[1])
        train, valid, test = np.split(pairs[:, order], [round(0.8 * order.size), round(0.9 * order.size)], axis=1)
        labels = [np.zeros((len(u), len(v)), dtype=bool) for _ in range(3)]
        for label, part in zip(labels, (train, valid, test), strict=True):
            label[tuple(part)] = True
        scores = u @ ((u.T @ labels[0] @ v) * (strength / (strength + ridge))) @ v.T
        candidates = ~(labels[0] | labels[1])
        truth, scores = labels[2][candidates], scores[candidates]
        found.append((roc_auc_score(truth, scores), average_precision_score(truth, scores)))
    return dict(zip(("auroc", "auprc"), np.mean(found, axis=0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--walks", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--alpha", type=float, default=0.1)
    given = parser.parse_args()
    full = mg.load("hetionet", **({"path": given.path} if given.path else {}))
    treats = mg.EdgeType("Compound", "treats", "Disease")
    graph = full.without({treats: None})
    figures: dict[str, list[float]] = {"torch": [], "gensim": []}
    for seed in range(given.seeds):
        for name, backend in {"torch": TorchBackend(), "gensim": GensimBackend(workers=2)}.items():
            model = SkipGram(
                walks=UniformWalks(given.walks, 40), alpha=given.alpha, epochs=given.epochs, sample=0.0, seed=seed,
                backend=backend,
            )  # fmt: skip
            started, cpu = time.perf_counter(), time.process_time()
            model.fit(graph)
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu
            words = given.epochs * given.walks * 40 * graph.num_nodes
            figure = link_prediction(model.embedding_, full, np.asarray(full.edge_index(treats)))
            figures[name].append(figure["auprc"])
            print(
                f"seed {seed} {name}: {words / wall / 1e6:.2f} M words/s, {words / cpu / 1e6:.2f} per CPU second; "
                f"AUROC {figure['auroc']:.3f}, AUPRC {figure['auprc']:.4f}",
                flush=True,
            )
    for name, values in figures.items():
        print(f"{name}: AUPRC {np.mean(values):.4f} ± {np.std(values):.4f}")


if __name__ == "__main__":
    main()
