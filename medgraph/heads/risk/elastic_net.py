"""Logistic regression with an elastic net (Zou & Hastie 2005), and pairs of columns that do more together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.special import expit
from scipy.stats import norm

__all__ = ["PENALTIES", "Logistic", "chosen_penalty", "fit_logistic", "interactions"]

PENALTIES = (0.1, 0.05, 0.025, 0.0125, 0.006, 0.003, 0.0015)  # tried from the strongest until tuning gets worse
_LEAST_Z = 3.0  # of a pair, however few are looked at
RIDGE = 0.5  # share of the penalty on squares; the rest is on sizes
_DENSE = 30_000_000  # numbers that are held as a rectangle, where products are faster
_Matrix: TypeAlias = sparse.csr_array | np.ndarray


@dataclass(frozen=True, eq=False)
class Logistic:
    """log-odds = x · weight + bias.

    Args:
        weight: of each column as it is, for each output.
        bias: of each output.
        penalty: it was fitted with.
    """

    weight: Float[np.ndarray, "p k"]
    bias: Float[np.ndarray, " k"]
    penalty: float

    def log_odds(self, X: sparse.csr_array) -> Float[np.ndarray, "n k"]:
        """Of each row."""
        return np.asarray(X @ self.weight + self.bias)

    def probabilities(self, X: sparse.csr_array) -> Float[np.ndarray, "n k"]:
        """Of each row."""
        return np.asarray(expit(self.log_odds(X)))


def chosen_penalty(
    X: sparse.csr_array, Y: Float[np.ndarray, "n k"], X_tuning: sparse.csr_array, Y_tuning: Float[np.ndarray, "m k"]
) -> Logistic:
    """The model whose log loss on tuning is least, down a path of penalties that ends where it rises."""
    best, least, last = None, np.inf, None
    for penalty in PENALTIES:
        last = fit_logistic(X, Y, penalty, start=last)
        score = last.log_odds(X_tuning)
        loss = float(np.mean(np.logaddexp(0, score) - Y_tuning * score))
        if loss >= least:
            break
        best, least = last, loss
    assert best is not None
    return best


def fit_logistic(
    X: sparse.csr_array,
    Y: Float[np.ndarray, "n k"],
    penalty: float,
    ridge: float = RIDGE,
    start: Logistic | None = None,
    max_steps: int = 150,
    tolerance: float = 1e-3,
) -> Logistic:
    """Least Σ_k mean log loss + penalty Σ ((1 - ridge) |w| + ridge w²/2), w of columns scaled to deviation 1.

    By FISTA (Beck & Teboulle 2009) with restarts (O'Donoghue & Candès 2015).

    Args:
        X: n rows, p columns.
        Y: outcomes, 0 or 1.
        penalty: of the weights; the bias has none.
        ridge: share of it on squares.
        start: where to begin.
        max_steps: at most.
        tolerance: largest change of a weight in a step, by the largest weight, at which to stop.
    """
    n = X.shape[0]
    mean, square = (np.asarray(m.mean(axis=0)).ravel() for m in (X, X.multiply(X)))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    varies = deviation > 1e-6 * np.sqrt(square)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    scaled = sparse.csr_array(X @ sparse.diags_array(scale)).astype(np.float32)
    small = scaled.shape[0] * scaled.shape[1] <= _DENSE and Y.shape[1] > 1
    Z: _Matrix = scaled.toarray() if small else scaled
    across: _Matrix = Z.T if isinstance(Z, np.ndarray) else sparse.csr_array(Z.T)
    rate = np.clip(Y.mean(axis=0), 0.5 / n, 1 - 0.5 / n)
    w = np.zeros((X.shape[1], Y.shape[1]), dtype=np.float32)
    b = np.log(rate / (1 - rate)).astype(np.float32)
    if start is not None:
        w, b = (
            (start.weight * np.where(varies, deviation, 0)[:, None]).astype(np.float32),
            start.bias.astype(np.float32),
        )
    step = 1 / (_largest(Z, across) / n / 4 + penalty * ridge)
    cut, momentum = step * penalty * (1 - ridge), 1.0
    ahead, ahead_b = w, b
    for _ in range(max_steps):
        residual = ((expit(Z @ ahead + ahead_b) - Y) / n).astype(np.float32)
        moved = ahead - step * (across @ residual + penalty * ridge * ahead)
        new = np.sign(moved) * np.maximum(np.abs(moved) - cut, 0)
        new_b = ahead_b - step * residual.sum(axis=0)
        if float(((ahead - new) * (new - w)).sum()) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        share = (momentum - 1) / following
        change = float(np.abs(new - w).max(initial=0))
        ahead, ahead_b = new + share * (new - w), new_b + share * (new_b - b)
        w, b, momentum = new, new_b, following
        if change <= tolerance * max(float(np.abs(w).max(initial=0)), 1e-2):
            break
    return Logistic(w.astype(np.float64) * scale[:, None], b.astype(np.float64), penalty)


def _largest(Z: _Matrix, across: _Matrix) -> float:
    """The largest eigenvalue of [Z 1]ᵀ[Z 1], by power iteration."""
    v = np.random.default_rng(0).normal(size=Z.shape[1] + 1)
    value = 1.0
    for _ in range(30):
        u = Z @ v[:-1] + v[-1]
        v = np.append(across @ u, u.sum())
        value = float(np.linalg.norm(v))
        v /= value
    return 1.05 * value


def interactions(
    standing: sparse.csr_array,
    outcome: Float[np.ndarray, " n"],
    told: Float[np.ndarray, " n"],
    used: Int[np.ndarray, " u"],
    most: int,
    least_cell: float = 3.0,
) -> Int[np.ndarray, "p 2"]:
    """Pairs of codes whose log-odds together is not the sum of each alone: the largest score tests, one of them `used`.

    From an additive model's residuals r and variances v = p(1 - p), summed over the four cells of having one code, the
    other, both, none: z = (r₁₁/v₁₁ - r₁₀/v₁₀ - r₀₁/v₀₁ + r₀₀/v₀₀) / √(1/v₁₁ + 1/v₁₀ + 1/v₀₁ + 1/v₀₀). That one of a
    pair matters by itself is weak heredity (Chipman 1996; Bien et al. 2013). Told are those that are larger than chance
    would make one of all that were looked at.

    Args:
        standing: which sample has which code.
        outcome: 0 or 1.
        told: the additive model's probability of it.
        used: codes that it weighs.
        most: pairs that are given back, at most.
        least_cell: least sum of variances in each of the four cells.
    """
    if not used.size:
        return np.zeros((0, 2), dtype=np.int64)
    here = sparse.csr_array(standing).astype(np.float64)
    mine = sparse.csr_array(here[:, used])

    def cells(values: Float[np.ndarray, " n"]) -> list[np.ndarray]:
        both = (sparse.csr_array(mine.T) @ sparse.csr_array(sparse.diags_array(values) @ here)).toarray()
        one, other = (mine.T @ values)[:, None], (here.T @ values)[None, :]
        return [both, one - both, other - both, values.sum() - one - other + both]

    residuals, variances = cells(outcome - told), cells(told * (1 - told))
    possible: Bool[np.ndarray, "u c"] = np.all([v >= least_cell for v in variances], axis=0)
    safe = [np.where(possible, v, 1.0) for v in variances]
    signs = (1, -1, -1, 1)
    apart = np.sum([sign * r / v for sign, r, v in zip(signs, residuals, safe, strict=True)], axis=0)
    z = np.where(possible, np.abs(apart) / np.sqrt(np.sum([1 / v for v in safe], axis=0)), 0)
    found: dict[tuple[int, int], float] = {}
    least_z = max(float(norm.isf(0.5 / max(int(possible.sum()), 1))), _LEAST_Z)
    for row, other in zip(*np.nonzero(z >= least_z), strict=True):
        one = int(used[row])
        if one != other:
            found[min(one, int(other)), max(one, int(other))] = float(z[row, other])
    ranked = sorted(found, key=lambda pair: (-found[pair], pair))[:most]
    return np.array(ranked, dtype=np.int64).reshape(-1, 2)
