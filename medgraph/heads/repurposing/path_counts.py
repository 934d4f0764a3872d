"""Metapath counts as a scorer: a ridge logistic regression over degree-weighted path counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from medgraph.data.graph import EdgeIndex
from medgraph.errors import SchemaError
from medgraph.heads.repurposing.metapaths import Metapath, MetapathCounter, metapaths_between
from medgraph.heads.repurposing.negatives import Negatives, TypedNegatives
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores

__all__ = ["MetapathCounts"]


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
        if not 1 <= self.max_length <= 3:
            raise SchemaError(f"max_length={self.max_length}: path counts go from one to three steps.")
        metapaths = metapaths_between(task.graph.schema, task.relation.source, task.relation.target, self.max_length)
        uses = [m for m in metapaths if any(step.edge_type == task.relation for step in m.steps)]
        uses = [m for m in uses if len(m) > 1]
        counter = MetapathCounter(task.graph, self.damping)
        fixed = []
        for metapath in metapaths:
            if all(step.edge_type != task.relation for step in metapath.steps):
                counts = counter.count(metapath)
                if counts.any():
                    fixed.append(_scaled(counts, counts.mean()))
        return _Prepared(self, task, np.array(fixed, dtype=np.float32).reshape(-1, *task.shape), tuple(uses))


def _scaled(counts: Scores, mean: float) -> Float[np.ndarray, "s t"]:
    return np.asarray(np.arcsinh(counts / (mean or 1.0)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Prepared:
    scorer: MetapathCounts
    task: LinkTask
    fixed: Float[np.ndarray, "m s t"]
    uses: tuple[Metapath, ...]

    def score(self, links: EdgeIndex) -> Scores:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        linked = self.task.matrix(links) > 0
        features, own = list(self.fixed), list(self.fixed[:, *links])
        counter = MetapathCounter(self.task.graph, self.scorer.damping, {self.task.relation: links})
        for metapath in self.uses:
            counts = counter.count(metapath)
            if not counts.any():
                continue
            mean = counts.mean()
            features.append(_scaled(counts, mean))
            corrected = counts[*links] * counter.without_own_edge(metapath, self.task.relation)[*links]
            own.append(_scaled(corrected, mean))
        if not features or not linked.any():
            return np.zeros(self.task.shape)
        pairs, weights = self.scorer.negatives.draw(links, ~linked, self.task.seed)
        cells = np.stack(features)
        rows = np.concatenate([np.stack(own).T, cells[:, *pairs].T])
        labels = np.repeat([1, 0], [links.shape[1], pairs.shape[1]])
        scaler = StandardScaler().fit(rows)
        model = LogisticRegression(C=self.scorer.inverse_penalty, max_iter=300)
        model.fit(scaler.transform(rows), labels, np.concatenate([np.ones(links.shape[1]), weights]))
        slope = model.coef_[0] / scaler.scale_
        offset = float(model.intercept_[0] - slope @ scaler.mean_)
        return np.asarray(np.tensordot(slope, cells, axes=1) + offset, dtype=np.float64)
