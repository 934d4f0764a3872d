"""What ids alone know: matrix factorisation with biases by alternating least squares, missing cells left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Baseline, Cells, Side, squared_error

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ALS"]

_RIDGES = (0.16, 0.08, 0.04, 0.02, 0.01)


class _Factors(NamedTuple):
    drugs: Side
    targets: Side
    mean: float
    drug: Float64[np.ndarray, "d rank+1"]  # the last column is the bias
    target: Float64[np.ndarray, "t rank+1"]


@dataclass(eq=False, kw_only=True)
class ALS(Baseline):
    """y = mean + a_drug + b_target + u_drug . v_target, by alternating least squares with weighted ridge.

    Zhou et al. (2008, ALS-WR): minimises sum (y - p)² + ridge x sum over entities of (its pairs) x (|u|² + a²). What
    was not trained on has factors and a bias of 0, so that the known side's bias is left.

    Args:
        rank: length of u and v.
        ridge: None: chosen on valid.
        sweeps: how often both sides are solved for.
    """

    rank: int = 40
    ridge: float | None = None
    sweeps: int = 20
    name: ClassVar[str] = "ALS"

    def __post_init__(self) -> None:
        if self.rank < 1 or self.sweeps < 1 or (self.ridge is not None and not self.ridge > 0):
            raise SchemaError(
                f"ALS: rank and sweeps must be at least 1 and ridge above 0, not {self.rank}, {self.sweeps} and "
                f"{self.ridge}."
            )

    def _undecided(self) -> bool:
        return self.ridge is None

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        best, least = replace(self, ridge=_RIDGES[0]), np.inf
        for ridge in _RIDGES:  # from strong to weak, until it gets worse
            one = replace(self, ridge=ridge)
            error = squared_error(looking, one._score(one._learn(learning), looking))
            if error > least:
                break
            best, least = one, error
        return best

    def _learn(self, cells: Cells) -> _Factors:
        cells.check_size()
        mean = float(cells.value.mean())
        left, there = cells.table(cells.value - mean), cells.table()
        rng = np.random.default_rng(self.seed)
        target = np.append(rng.normal(0, 0.1, (cells.shape[1], self.rank)), np.zeros((cells.shape[1], 1)), axis=1)
        for _ in range(self.sweeps):
            drug = self._solved(left, there, target)
            target = self._solved(left.T, there.T, drug)
        return _Factors(cells.drugs, cells.targets, mean, drug, target)

    def _solved(
        self, left: Float64[np.ndarray, "m n"], there: Float64[np.ndarray, "m n"], other: Float64[np.ndarray, "n k"]
    ) -> Float64[np.ndarray, "m k"]:
        """One side's factors and bias, given the other's: a ridge regression for each entity."""
        assert self.ridge is not None
        design = np.append(other[:, :-1], np.ones((len(other), 1)), axis=1)
        size = design.shape[1]
        upper = np.triu_indices(size)
        gram = np.empty((len(left), size, size))
        gram[:, *upper] = there @ (design[:, upper[0]] * design[:, upper[1]])
        gram[:, upper[1], upper[0]] = gram[:, *upper]
        gram[:, np.arange(size), np.arange(size)] += self.ridge * np.maximum(there.sum(axis=1), 1)[:, None]
        wanted = (left - there * other[None, :, -1]) @ design
        return np.asarray(np.linalg.solve(gram, wanted[:, :, None])[:, :, 0])

    def _score(self, model: _Factors, cells: Cells) -> Float64[np.ndarray, " n"]:
        drug, target = (
            np.append(factors, np.zeros((1, factors.shape[1])), axis=0)[asked.places_in(known)]
            for factors, asked, known in (
                (model.drug, cells.drugs, model.drugs),
                (model.target, cells.targets, model.targets),
            )
        )
        u, v = drug[cells.drug], target[cells.target]
        return np.asarray(model.mean + u[:, -1] + v[:, -1] + (u[:, :-1] * v[:, :-1]).sum(axis=1))
