"""Several scorers as one: a logistic regression over their scores, fitted on pairs that none of them has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from medgraph.data.graph import EdgeIndex
from medgraph.heads.repurposing.negatives import Negatives
from medgraph.heads.repurposing.scorer import LinkTask, PreparedScorer, Scores, cross_fit

__all__ = ["Stack", "fit_stack"]


@dataclass(frozen=True, eq=False)
class Stack:
    """logit P(s, t) = b + sum over scorers k of w_k q_k(s, t), q the score's tail quantile on a log scale.

    Quantiles are taken over all pairs, so scorers of any scale fit together, and what was learned on one fold's scores
    holds for another's.
    """

    weights: Float[np.ndarray, " k"]
    intercept: float

    def combine(self, scores: Sequence[Scores]) -> Scores:
        """The log-odds of every pair."""
        total = np.full(scores[0].shape, self.intercept)
        for weight, matrix in zip(self.weights, scores, strict=True):
            total += weight * tail_quantile(matrix)
        return total


def tail_quantile(scores: Scores) -> Scores:
    """The tail quantile q = -log10 of the share of pairs that score at least as high; ties share their mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(-scores, method="average").reshape(scores.shape)
    return np.asarray(-np.log10(ranks / scores.size))


def fit_stack(
    prepared: Sequence[PreparedScorer], task: LinkTask, links: EdgeIndex, folds: int, negatives: Negatives
) -> tuple[Stack, Float[np.ndarray, "k s t"], Int64[np.ndarray, "s t"]]:
    """Weights from cross-fitted scores; also those features, and each pair's fold, for calibration.

    Weights are kept at or above zero: a scorer that speaks against its own ranking is left out instead.
    """
    from scipy.optimize import minimize

    features = np.empty((len(prepared), *task.shape))
    fold_of = np.zeros(task.shape, dtype=np.int64)
    for place, scorer in enumerate(prepared):
        matrices, fold_of = cross_fit(scorer, task, links, folds)
        for fold, matrix in enumerate(matrices):
            here = fold_of == fold
            features[place][here] = tail_quantile(matrix)[here]
    linked = task.matrix(links) > 0
    pairs, counts = negatives.draw(links, ~linked, task.seed)
    rows = np.concatenate([features[:, *links].T, features[:, *pairs].T])
    sign = np.repeat([1.0, -1.0], [links.shape[1], pairs.shape[1]])
    mass = np.concatenate([np.ones(links.shape[1]), counts])

    def loss(theta: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        margin = sign * (rows @ theta[1:] + theta[0])
        wrong = mass * sign / (1 + np.exp(margin))
        value = float(mass @ np.logaddexp(0, -margin) + 0.5 * theta[1:] @ theta[1:])
        gradient = np.concatenate([[-wrong.sum()], -(wrong @ rows) + theta[1:]])
        return value, gradient

    start = np.concatenate([[np.log(links.shape[1] / max(1.0, counts.sum()))], np.full(len(prepared), 0.5)])
    bounds = [(None, None), *[(0.0, None)] * len(prepared)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Stack(theta[1:], float(theta[0])), features, fold_of
