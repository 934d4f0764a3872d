"""How far off may it be? Intervals that hold as often as they say, for pairs like those of valid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError

__all__ = ["Conformal"]


@dataclass(frozen=True, eq=False)
class Conformal:
    """value ± q x std, q the ⌈(n + 1) level⌉-th smallest of |measured - predicted| / std over n held-out pairs.

    Split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018, arXiv:1604.04173), normalised by the
    predicted standard deviation where there is one, else std = 1. An interval holds the measured value with a
    probability of at least `level`, if the new pair and the held-out ones are exchangeable: pairs of new drugs are not
    exchangeable with held-out pairs of known drugs, so hold out as you will predict. That `valid` also says when
    training stops makes the intervals a little narrow.

    Args:
        errors: (n,) sorted.
        normalised: they are in units of std.
    """

    errors: Float64[np.ndarray, " n"]
    normalised: bool = False

    @classmethod
    def fitted(
        cls,
        measured: Float64[np.ndarray, " n"],
        predicted: Float64[np.ndarray, " n"],
        std: Float64[np.ndarray, " n"] | None = None,
    ) -> Conformal:
        """From held-out pairs."""
        errors = np.abs(measured - predicted)
        return cls(np.sort(errors if std is None else errors / _floor(std)), std is not None)

    def __len__(self) -> int:
        return int(self.errors.size)

    def quantile(self, level: float) -> float:
        """q; infinite where so few held-out pairs cannot promise that level.

        Raises:
            SchemaError: a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise SchemaError(f"level={level}: the share of intervals that shall hold must be between 0 and 1.")
        rank = math.ceil((len(self) + 1) * level - 1e-9)
        return float(self.errors[rank - 1]) if rank <= len(self) else math.inf

    def interval(
        self,
        value: Float64[np.ndarray, " n"],
        std: Float64[np.ndarray, " n"] | None,
        level: float,
        limit: float | None = None,
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Low and high ends. No recorded value is below `limit`, so no end need be."""
        half = self.quantile(level) * (_floor(std) if self.normalised and std is not None else np.ones_like(value))
        low, high = value - half, value + half
        return (low, high) if limit is None else (np.maximum(low, limit), np.maximum(high, limit))


def _floor(std: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """A standard deviation of nought would make any error infinite."""
    return np.asarray(np.maximum(std, 1e-6))
