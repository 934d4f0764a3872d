"""Several scorers as one: a logistic regression over their scores, fitted on pairs that none of them has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from medgraph.data.graph import EdgeIndex
from medgraph.heads.repurposing.negatives import Negatives
from medgraph.heads.repurposing.scorer import LinkTask, PreparedScorer, Scores, cross_fit

__all__ = ["Stack", "cross_fitted_quantiles", "fit_stack", "tail_quantile"]


@dataclass(frozen=True, eq=False)
class Stack:
    """logit P(s, t) = b + sum over scorers k of w_k q_k(s, t), q the score's tail quantile on a log scale.

    Quantiles are taken over all pairs, so scorers of any scale fit together, and what was learned on one fold's scores
    holds for another's.
    """

    weights: Float[np.ndarray, " k"]
    intercept: float

    def combine(self, quantiles: Float[np.ndarray, "k s t"]) -> Scores:
        """The log-odds of every pair."""
        return np.asarray(np.tensordot(self.weights, quantiles, axes=1) + self.intercept)


def tail_quantile(scores: Scores) -> Scores:
    """The tail quantile q = -log10 of the share of pairs that score at least as high; ties share their mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(-scores, method="average").reshape(scores.shape)
    return np.asarray(-np.log10(ranks / scores.size))


def cross_fitted_quantiles(prepared: PreparedScorer, task: LinkTask, links: EdgeIndex, folds: int) -> Scores:
    """For every pair, the tail quantile of its score by a model that did not see the pair's fold."""
    quantiles = np.empty(task.shape)
    matrices, fold_of = cross_fit(prepared, task, links, folds)
    for fold, matrix in enumerate(matrices):
        here = fold_of == fold
        quantiles[here] = tail_quantile(matrix)[here]
    return quantiles


def fit_stack(
    quantiles: Float[np.ndarray, "k s t"],
    links: EdgeIndex,
    unlinked: Bool[np.ndarray, "s t"],
    negatives: Negatives,
    seed: int,
) -> Stack:
    """Weights by logistic regression with a unit ridge, from quantiles that have not seen `links`.

    Weights are kept at or above zero: a scorer that would speak against its own ranking is left out instead.
    """
    from scipy.optimize import minimize

    pairs, counts = negatives.draw(links, unlinked, seed)
    rows = np.concatenate([quantiles[:, *links].T, quantiles[:, *pairs].T])
    sign = np.repeat([1.0, -1.0], [links.shape[1], pairs.shape[1]])
    mass = np.concatenate([np.ones(links.shape[1]), counts])

    def loss(theta: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        margin = sign * (rows @ theta[1:] + theta[0])
        wrong = mass * sign * np.exp(-np.logaddexp(0, margin))
        value = float(mass @ np.logaddexp(0, -margin) + 0.5 * theta[1:] @ theta[1:])
        return value, np.concatenate([[-wrong.sum()], theta[1:] - wrong @ rows])

    start = np.concatenate([[np.log(links.shape[1] / max(1.0, counts.sum()))], np.full(len(quantiles), 0.5)])
    bounds = [(None, None), *[(0.0, None)] * len(quantiles)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Stack(theta[1:], float(theta[0]))
