"""Several scorers as one: a logistic regression over their scores, fitted on pairs that none of them has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from medgraph.data.graph import EdgeIndex
from medgraph.heads.repurposing.negatives import Negatives
from medgraph.heads.repurposing.scorer import LinkTask, PreparedScorer, Scores, cross_fit

__all__ = ["Stack", "cross_fitted", "fit_stack"]


@dataclass(frozen=True, eq=False)
class Stack:
    """logit P(s, t) = b + sum over scorers k of w_k (score_k(s, t) - mean_k) / sd_k, weights at or above zero."""

    weights: Float[np.ndarray, " k"]
    intercept: float
    mean: Float[np.ndarray, " k"]
    sd: Float[np.ndarray, " k"]

    def combine(self, scores: Float[np.ndarray, "k s t"]) -> Scores:
        """The log-odds of every pair."""
        slope = self.weights / self.sd
        return np.asarray(np.tensordot(slope, scores, axes=1) + self.intercept - slope @ self.mean)


def cross_fitted(prepared: PreparedScorer, task: LinkTask, links: EdgeIndex, folds: int) -> Scores:
    """For every pair, its score by a model that did not see the pair's fold."""
    scores = np.empty(task.shape)
    matrices, fold_of = cross_fit(prepared, task, links, folds)
    for fold, matrix in enumerate(matrices):
        here = fold_of == fold
        scores[here] = matrix[here]
    return scores


def fit_stack(
    scores: Float[np.ndarray, "k s t"],
    links: EdgeIndex,
    unlinked: Bool[np.ndarray, "s t"],
    negatives: Negatives,
    seed: int,
) -> Stack:
    """Weights by logistic regression with a unit ridge, from scores that have not seen `links`.

    Weights are kept at or above zero: a scorer that would speak against its own ranking is left out instead.
    """
    from scipy.optimize import minimize

    pairs, counts = negatives.draw(links, unlinked, seed)
    mean, sd = scores.mean(axis=(1, 2)), scores.std(axis=(1, 2))
    sd = np.where(sd > 0, sd, 1.0)
    rows = (np.concatenate([scores[:, *links].T, scores[:, *pairs].T]) - mean) / sd
    sign = np.repeat([1.0, -1.0], [links.shape[1], pairs.shape[1]])
    mass = np.concatenate([np.ones(links.shape[1]), counts])

    def loss(theta: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        margin = sign * (rows @ theta[1:] + theta[0])
        wrong = mass * sign * np.exp(-np.logaddexp(0, margin))
        value = float(mass @ np.logaddexp(0, -margin) + 0.5 * theta[1:] @ theta[1:])
        return value, np.concatenate([[-wrong.sum()], theta[1:] - wrong @ rows])

    start = np.concatenate([[np.log(links.shape[1] / max(1.0, counts.sum()))], np.full(len(scores), 0.5)])
    bounds = [(None, None), *[(0.0, None)] * len(scores)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Stack(theta[1:], float(theta[0]), mean, sd)
