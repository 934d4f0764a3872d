"""Boosted regression trees as plain arrays: grown by scikit-learn, kept and asked without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

__all__ = ["BoostedTrees"]


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """start + sum over trees of the value of the leaf that a row falls into (Friedman 2001).

    Args:
        start: what is predicted before any tree.
        roots: (trees,) each tree's first node.
        column: (nodes,) which column a node asks about.
        threshold: rows at or below it go left; a leaf's is +inf.
        left: node; a leaf's is itself.
        right: node; a leaf's is itself.
        value: of a leaf; 0 of others.
        depth: the longest way from a root to a leaf.
    """

    start: float
    roots: Int64[np.ndarray, " trees"]
    column: Int64[np.ndarray, " nodes"]
    threshold: Float64[np.ndarray, " nodes"]
    left: Int64[np.ndarray, " nodes"]
    right: Int64[np.ndarray, " nodes"]
    value: Float64[np.ndarray, " nodes"]
    depth: int

    @classmethod
    def grown(
        cls,
        columns: Float64[np.ndarray, "n k"],
        y: Float64[np.ndarray, " n"],
        *,
        binary: bool = False,
        rounds: int = 300,
        learning_rate: float = 0.04,
        leaves: int = 15,
        smallest: int = 20,
        seed: int = 0,
    ) -> BoostedTrees:
        """Fitted to y by squared error; to 0 and 1, where `binary`, by log loss, and then the sum is log-odds."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
        model = kind(
            max_iter=rounds, learning_rate=learning_rate, max_leaf_nodes=leaves, min_samples_leaf=smallest,
            early_stopping=False, random_state=seed,
        ).fit(columns, y)  # fmt: skip
        return cls._of(model._predictors, float(np.ravel(model._baseline_prediction)[0]))

    @classmethod
    def _of(cls, predictors: list[list[object]], start: float) -> BoostedTrees:
        nodes = [predictor[0].nodes for predictor in predictors]  # type: ignore[attr-defined]
        roots = np.cumsum([0, *(len(one) for one in nodes)])[:-1].astype(np.int64)
        flat = np.concatenate(nodes)
        own = np.arange(len(flat), dtype=np.int64)
        offset = np.repeat(roots, [len(one) for one in nodes])
        leaf = flat["is_leaf"].astype(bool)
        return cls(
            start,
            roots,
            np.where(leaf, 0, flat["feature_idx"]).astype(np.int64),
            np.where(leaf, np.inf, flat["num_threshold"]),
            np.where(leaf, own, flat["left"].astype(np.int64) + offset),
            np.where(leaf, own, flat["right"].astype(np.int64) + offset),
            np.where(leaf, flat["value"], 0.0),
            int(flat["depth"].max()),
        )

    def __len__(self) -> int:
        return int(self.roots.size)

    def predict(self, columns: Float64[np.ndarray, "n k"], trees: int | None = None) -> Float64[np.ndarray, " n"]:
        """The sum of the first so many trees; of all without."""
        return self.staged(columns, [len(self) if trees is None else trees])[0]

    def staged(self, columns: Float64[np.ndarray, "n k"], trees: list[int]) -> list[Float64[np.ndarray, " n"]]:
        """The sums after so many trees each, in rising order."""
        total = np.full(len(columns), self.start)
        found, rows = [], np.arange(len(columns))
        for number in range(max(trees, default=0) + 1):
            found += [total.copy() for wanted in trees if wanted == number]
            if number < max(trees, default=0):
                node = np.full(len(columns), self.roots[number])
                for _ in range(self.depth):
                    left: Bool[np.ndarray, " n"] = columns[rows, self.column[node]] <= self.threshold[node]
                    node = np.where(left, self.left[node], self.right[node])
                total += self.value[node]
        return found

    def first(self, trees: int) -> BoostedTrees:
        """Only so many of them."""
        return replace(self, roots=self.roots[:trees])

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for an artefact."""
        names = ("roots", "column", "threshold", "left", "right", "value")
        return {name: getattr(self, name) for name in names} | {"start": np.array([self.start, self.depth])}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> BoostedTrees:
        """The reverse of `arrays`."""
        rest = {name: array for name, array in arrays.items() if name != "start"}
        return cls(start=float(arrays["start"][0]), depth=int(arrays["start"][1]), **rest)
