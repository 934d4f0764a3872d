"""How sure is a figure? The percentile bootstrap, over links or over whole entities, and its paired form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int64

from medgraph.errors import SchemaError

__all__ = ["Interval", "bootstrap", "bootstrap_mean", "paired_difference", "percentile_interval"]

_BLOCK = 1 << 22

Clusters: TypeAlias = Int64[np.ndarray, " n"] | None
Statistic: TypeAlias = Callable[[Float[np.ndarray, "b n"]], Float[np.ndarray, "b m"]]


class Interval(NamedTuple):
    """A figure and the interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    statistic: Statistic,
    n: int,
    n_bootstrap: int = 1000,
    seed: int = 0,
    clusters: Clusters = None,
) -> Float[np.ndarray, "samples m"]:
    """What would `statistic` have been on other samples of n observations? (Efron 1979)

    Args:
        statistic: from weights (b, n), how often each observation was drawn in each of b samples, to (b, m) figures.
        n: how many observations.
        n_bootstrap: how many samples.
        seed: the same seed draws the same samples, so figures of two methods are paired.
        clusters: which observations are drawn together, because they share an entity.

    Raises:
        SchemaError: nothing to draw from, or fewer than one sample.
    """
    if n < 1 or n_bootstrap < 1:
        raise SchemaError(f"{n_bootstrap} bootstrap samples of {n} observations; expected at least 1 of each.")
    member = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    size = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // n)
    parts = []
    for start in range(0, n_bootstrap, step):
        samples = min(step, n_bootstrap - start)
        drawn = rng.integers(size, size=(samples, size)) + size * np.arange(samples)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=samples * size).reshape(samples, size)
        parts.append(statistic(counts[:, member].astype(np.float64)))
    return np.concatenate(parts)


def percentile_interval(samples: Float[np.ndarray, " b"], value: float, level: float = 0.95) -> Interval:
    """The middle `level` of the bootstrap samples, beside the value itself."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))


def bootstrap_mean(
    values: Float[np.ndarray, " n"],
    n_bootstrap: int = 1000,
    seed: int = 0,
    clusters: Clusters = None,
    level: float = 0.95,
) -> Interval:
    """mean(values) and its percentile interval."""

    def mean(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        return np.asarray((weights @ values / weights.sum(axis=1))[:, None])

    samples = bootstrap(mean, values.size, n_bootstrap, seed, clusters)
    return percentile_interval(samples[:, 0], float(values.mean()), level)


def paired_difference(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    clusters: Clusters = None,
    level: float = 0.95,
) -> Interval:
    """mean(a - b) over the same observations: is one method better than another on the same links?"""
    if a.shape != b.shape:
        raise SchemaError(f"{a.size} and {b.size} values: a paired difference needs both methods on the same links.")
    return bootstrap_mean(a - b, n_bootstrap, seed, clusters, level)
