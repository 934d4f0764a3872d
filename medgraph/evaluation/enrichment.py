"""How many of the actives stand at the top of the list, beside a list in random order?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from medgraph.errors import SchemaError
from medgraph.evaluation.metrics import check_scores
from medgraph.evaluation.resampling import Statistic

__all__ = ["enrichment_factor", "enrichment_factor_of"]


def enrichment_factor(active: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " m"], fraction: float = 0.01) -> float:
    """(share of actives among the first ceil(fraction n)) / (share of actives among all) (Pearlman & Charifson 2001).

    1 is what chance finds, min(1 / fraction, n / actives) about the most there is. Places that equal scores fight for
    are shared among them.

    Raises:
        SchemaError: no active, a score that is not a number, or a fraction outside (0, 1].
    """
    value = float(enrichment_factor_of(active, scores, fraction)(np.ones((1, active.size)))[0, 0])
    if np.isnan(value):
        raise SchemaError(f"No active among {active.size} scores: there is nothing to enrich.")
    return value


def enrichment_factor_of(
    active: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " m"], fraction: float = 0.01
) -> Statistic:
    """(b, n) weights -> the enrichment factor when i was drawn w_i times; nan where no active was."""
    if not 0 < fraction <= 1:
        raise SchemaError(f"Enrichment in a share of {fraction}; expected above 0, at most 1.")
    if active.shape != scores.shape:
        raise SchemaError(f"{active.size} labels and {scores.size} scores; expected one for each.")
    group = np.unique(-check_scores(scores), return_inverse=True)[1]

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        found = np.full((len(weights), 1), np.nan)
        for row, weight in enumerate(weights):
            each, hits = np.bincount(group, weights=weight), np.bincount(group, weights=weight * active)
            places = np.ceil(round(fraction * weight.sum(), 9))
            room = np.clip(places - (np.cumsum(each) - each), 0, each)
            share = np.divide(room, each, out=np.zeros_like(each), where=each > 0)
            if hits.sum() > 0:
                found[row] = (share @ hits / places) / (hits.sum() / weight.sum())
        return found

    return statistic
