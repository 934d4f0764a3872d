"""What the drug binds on average, and what the target is bound by on average: a baseline without structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Baseline, Cells, Side, squared_error

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Means", "PairMeans", "fit_means", "pick"]

_SHRINKS = (0.3, 1.0, 3.0, 10.0, 30.0)


class Means(NamedTuple):
    """An overall mean, and how far each known drug and target lies from it."""

    drugs: Side
    targets: Side
    mean: float
    drug: Float64[np.ndarray, " d"]
    target: Float64[np.ndarray, " t"]


def fit_means(cells: Cells, shrink: float) -> Means:
    """Minimise sum (y - mean - a_drug - b_target)² + shrink (|a|² + |b|²), by solving for either side in turn."""
    mean = float(cells.value.mean())
    sides = (cells.drug, cells.target)
    counts = [np.bincount(of, minlength=size) + shrink for of, size in zip(sides, cells.shape, strict=True)]
    drug, target = np.zeros(cells.shape[0]), np.zeros(cells.shape[1])
    for _ in range(1000):
        before = drug
        drug = np.bincount(cells.drug, cells.value - mean - target[cells.target], cells.shape[0]) / counts[0]
        target = np.bincount(cells.target, cells.value - mean - drug[cells.drug], cells.shape[1]) / counts[1]
        if np.abs(drug - before).max() < 1e-10:
            break
    return Means(cells.drugs, cells.targets, mean, drug, target)


def pick(values: Float64[np.ndarray, " d"], asked: Side, known: Side) -> Float64[np.ndarray, " m"]:
    """The value of each entity asked for; 0 for one that is not known."""
    return np.asarray(np.append(values, 0.0)[asked.places_in(known)])


@dataclass(eq=False, kw_only=True)
class PairMeans(Baseline):
    """y = mean + a_drug + b_target; what is not known has a or b of 0.

    Args:
        shrink: how many pairs the overall mean counts for; None: chosen on valid.
    """

    shrink: float | None = None
    name: ClassVar[str] = "drug and target means"

    def __post_init__(self) -> None:
        if self.shrink is not None and not self.shrink > 0:
            raise SchemaError(f"PairMeans: shrink must be above 0, not {self.shrink}.")

    def _undecided(self) -> bool:
        return self.shrink is None

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        each = [replace(self, shrink=shrink) for shrink in _SHRINKS]
        return min(each, key=lambda one: squared_error(looking, one._score(one._learn(learning), looking)))

    def _learn(self, cells: Cells) -> Means:
        assert self.shrink is not None
        return fit_means(cells, self.shrink)

    def _score(self, model: Means, cells: Cells) -> Float64[np.ndarray, " n"]:
        drug, target = pick(model.drug, cells.drugs, model.drugs), pick(model.target, cells.targets, model.targets)
        return np.asarray(model.mean + drug[cells.drug] + target[cells.target])
