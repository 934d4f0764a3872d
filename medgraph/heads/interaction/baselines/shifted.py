"""Many ridges for the price of one: conjugate gradients on (K + shift) x = b for several shifts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

__all__ = ["solve_shifted"]


def solve_shifted(
    product: Callable[[Float64[np.ndarray, " n"]], Float64[np.ndarray, " n"]],
    b: Float64[np.ndarray, " n"],
    shifts: Sequence[float],
    iterations: int,
    tolerance: float,
) -> Float64[np.ndarray, "s n"]:
    """(K + shift)⁻¹ b for each shift, from products with a symmetric K alone.

    All shifts share one Krylov space (Jegerlehner 1996, arXiv:hep-lat/9612014): the smallest is iterated on, and the
    others follow from its coefficients. Stops where the residual of the smallest falls below tolerance |b|, after
    `iterations`, or where K + shift proves not to be positive definite; larger shifts then begin again without it.
    """
    least = min(shifts)
    more = np.array(shifts)[:, None] - least
    x = np.zeros((len(shifts), b.size))
    p_of = np.tile(b, (len(shifts), 1))
    zeta, zeta_before = np.ones_like(more), np.ones_like(more)
    r, p = b.copy(), b.copy()
    square = float(r @ r)
    enough = tolerance**2 * square
    alpha_before, beta_before = 1.0, 0.0
    for _ in range(iterations):
        if square <= enough:
            break
        image = product(p) + least * p
        curvature = float(p @ image)
        if curvature <= 0:
            rest = more[:, 0] > 0
            if rest.any():
                x[rest] = solve_shifted(product, b, (more[rest, 0] + least).tolist(), iterations, tolerance)
            break
        alpha = square / curvature
        r -= alpha * image
        square, square_before = float(r @ r), square
        beta = square / square_before
        live = zeta > 1e-150  # a shift below that has long converged
        bottom = alpha_before * zeta_before * (1 + alpha * more) + alpha * beta_before * (zeta_before - zeta)
        after = np.divide(zeta * zeta_before * alpha_before, bottom, out=np.zeros_like(zeta), where=live)
        ratio = np.divide(after, zeta, out=np.zeros_like(zeta), where=live)
        x += alpha * ratio * p_of
        p_of = after * r + beta * ratio**2 * p_of
        p = r + beta * p
        zeta_before, zeta, alpha_before, beta_before = zeta, after, alpha, beta
    return x
