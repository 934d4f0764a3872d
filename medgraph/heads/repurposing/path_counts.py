"""Path counts as scorers: logistic regression, or boosted trees, over degree-weighted path counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Int64

from medgraph.data.graph import EdgeIndex
from medgraph.errors import SchemaError
from medgraph.heads.repurposing.metapaths import Metapath, MetapathCounter, metapaths_between
from medgraph.heads.repurposing.negatives import NearbyNegatives, Negatives, TypedNegatives
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores

__all__ = ["BoostedPathCounts", "MetapathCounts", "PathFeatures"]

_BLOCK = 1 << 18


@dataclass(frozen=True)
class MetapathCounts(LinkScorer):
    """logit P(s, t) = b + sum over metapaths M of w_M asinh(DWPC(s, t | M) / mean DWPC of M).

    Rephetio's features (Himmelstein et al. 2017, doi:10.7554/eLife.26726). A training pair's own edge is taken out of
    its counts exactly (`MetapathCounter.without_own_edge`). Metapaths that join no pair are left out.

    Args:
        max_length: longest metapath, 1 to 3 steps.
        damping: w of the degree weighting.
        inverse_penalty: scikit-learn's C: smaller = stronger ridge.
        negatives: which unlinked pairs the regression sees.
    """

    max_length: int = 3
    damping: float = 0.4
    inverse_penalty: float = 0.1
    negatives: Negatives = field(default_factory=lambda: TypedNegatives(limit=60_000))

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Count along every metapath that does not use the relation."""
        return _Prepared(self, PathFeatures.of(task, self.max_length, self.damping))

    def learn(
        self, rows: Float[np.ndarray, "n m"], labels: Int64[np.ndarray, " n"], mass: Float[np.ndarray, " n"], seed: int
    ) -> Callable[[Float[np.ndarray, "k m"]], Float[np.ndarray, " k"]]:
        """A function from features to log-odds."""
        del seed
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(rows)
        model = LogisticRegression(C=self.inverse_penalty, max_iter=300)
        model.fit(scaler.transform(rows), labels, mass)
        slope = model.coef_[0] / scaler.scale_
        offset = float(model.intercept_[0] - slope @ scaler.mean_)
        return lambda features: np.asarray(features @ slope + offset)


@dataclass(frozen=True)
class BoostedPathCounts(MetapathCounts):
    """The same path counts in gradient boosted trees (scikit-learn's), which see which kinds of path go together.

    Args:
        max_length, damping, negatives: as in `MetapathCounts`.
        trees: how many.
        learning_rate: of each tree.
        share: of the features that a split may look at.
    """

    negatives: Negatives = field(default_factory=NearbyNegatives)
    trees: int = 120
    learning_rate: float = 0.06
    share: float = 0.3

    def learn(
        self, rows: Float[np.ndarray, "n m"], labels: Int64[np.ndarray, " n"], mass: Float[np.ndarray, " n"], seed: int
    ) -> Callable[[Float[np.ndarray, "k m"]], Float[np.ndarray, " k"]]:
        """A function from features to log-odds."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=self.trees, learning_rate=self.learning_rate, max_leaf_nodes=16, l2_regularization=20.0,
            max_features=self.share, max_bins=63, early_stopping=False, random_state=seed,
        )  # fmt: skip
        # A link's weight against the pairs that stand in for all unlinked ones: enough for the trees to split on.
        model.fit(rows, labels, np.where(labels == 1, 10.0, mass / mass[labels == 0].mean()))
        return lambda features: np.asarray(model.decision_function(features))


@dataclass(frozen=True, eq=False)
class PathFeatures:
    """The features of every pair: counts that do not use the relation, once; those that do, for given links."""

    task: LinkTask
    damping: float
    fixed: Float32[np.ndarray, "m s t"]
    uses: tuple[Metapath, ...]

    @classmethod
    def of(cls, task: LinkTask, max_length: int, damping: float) -> PathFeatures:
        """Count along every metapath that does not use the relation. Raises SchemaError for a length out of range."""
        if not 1 <= max_length <= 3:
            raise SchemaError(f"max_length={max_length}: path counts go from one to three steps.")
        counter, fixed, uses = MetapathCounter(task.graph, damping), [], []
        for metapath in metapaths_between(task.graph.schema, task.relation.source, task.relation.target, max_length):
            if any(step.edge_type == task.relation for step in metapath.steps):
                uses += [metapath] if len(metapath) > 1 else []
            elif (counts := counter.count(metapath)).any():
                fixed.append(_scaled(counts, counts.mean()))
        return cls(task, damping, np.array(fixed, dtype=np.float32).reshape(-1, *task.shape), tuple(uses))

    def given(self, links: EdgeIndex) -> tuple[Float32[np.ndarray, "m s t"], Float32[np.ndarray, "m n"]]:
        """The features of every pair, and those of the links without their own edge."""
        features, own = list(self.fixed), list(self.fixed[:, *links])
        counter = MetapathCounter(self.task.graph, self.damping, {self.task.relation: links})
        for metapath in self.uses:
            counts = counter.count(metapath)
            if counts.any():
                mean = counts.mean()
                features.append(_scaled(counts, mean))
                alone = counts[*links] * counter.without_own_edge(metapath, self.task.relation)[*links]
                own.append(_scaled(alone, mean))
        return np.array(features, dtype=np.float32), np.array(own, dtype=np.float32)


def _scaled(counts: Float[np.ndarray, "..."], mean: float) -> Float32[np.ndarray, "..."]:
    return np.asarray(np.arcsinh(counts / (mean or 1.0)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Prepared:
    scorer: MetapathCounts
    features: PathFeatures

    def score(self, links: EdgeIndex) -> Scores:
        task = self.features.task
        cells, own = self.features.given(links)
        unlinked = task.unlinked(links)
        if not len(cells) or not links.size or not unlinked.any():
            return np.zeros(task.shape)
        pairs, mass = self.scorer.negatives.draw(links, unlinked, task.seed)
        rows = np.concatenate([own.T, cells[:, *pairs].T])
        labels = np.repeat([1, 0], [links.shape[1], pairs.shape[1]])
        predict = self.scorer.learn(rows, labels, np.concatenate([np.ones(links.shape[1]), mass]), task.seed)
        flat, scores = cells.reshape(len(cells), -1), np.empty(task.shape)
        for start in range(0, flat.shape[1], _BLOCK):
            scores.ravel()[start : start + _BLOCK] = predict(flat[:, start : start + _BLOCK].T)
        return scores
