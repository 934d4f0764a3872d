"""What do similar drugs do to similar targets? Nearest neighbours on both sides, also for what is new."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Baseline, Cells, Side, squared_error
from medgraph.heads.interaction.baselines.means import Means, fit_means
from medgraph.heads.interaction.baselines.similarity import KmerCosine, Similarity, Tanimoto, blocks

if TYPE_CHECKING:
    from typing import Self

    from scipy.sparse import csr_matrix

__all__ = ["PairNeighbours"]

_DRUG_POWERS, _TARGET_POWERS, _SHRINKS = (2.0, 4.0, 8.0, 16.0), (1.0, 2.0, 4.0), (0.01, 0.1, 0.3)


class _Known(NamedTuple):
    means: Means
    drugs: csr_matrix
    targets: csr_matrix
    left: Float64[np.ndarray, "d t"]  # what the means leave of each value; 0 where there is none
    there: Float64[np.ndarray, "d t"]  # 1 where there is a value


@dataclass(eq=False, kw_only=True)
class PairNeighbours(Baseline):
    """y = mean + a_drug + b_target + sum w (y' - mean - a' - b') / (sum w + shrink), over known pairs.

    w = (drug similarity)^p x (target similarity)^q, of the k nearest drugs and the k nearest targets; a and b are the
    shrunk means of `PairMeans`, and for what is new the same weighted mean of its neighbours'. So are ratings told from
    those of similar users and items (Koren 2008), here by structure.

    Args:
        k: how many known drugs, and targets, are looked at (those that tie with the last one too).
        drug_power: p; None: chosen on valid.
        target_power: q; None: chosen on valid.
        shrink: how much weight without a difference is added; None: chosen on valid.
        drug_similarity: between SMILES.
        target_similarity: between sequences.
    """

    k: int = 20
    drug_power: float | None = None
    target_power: float | None = None
    shrink: float | None = None
    drug_similarity: Similarity = field(default_factory=Tanimoto)
    target_similarity: Similarity = field(default_factory=KmerCosine)
    name: ClassVar[str] = "nearest neighbours"

    def __post_init__(self) -> None:
        for name in ("k", "drug_power", "target_power", "shrink"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise SchemaError(f"PairNeighbours: {name} must be above 0, not {given}.")

    def _undecided(self) -> bool:
        return None in (self.drug_power, self.target_power, self.shrink)

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        tries = [
            tried if given is None else (given,)
            for given, tried in (
                (self.drug_power, _DRUG_POWERS),
                (self.target_power, _TARGET_POWERS),
                (self.shrink, _SHRINKS),
            )
        ]
        known = self._learn(learning)
        looking.check_size()
        alike = self._alike(known, looking.drugs, looking.targets)
        best, least = self, np.inf
        for p, q in product(*tries[:2]):
            base, sums, weights = _told(known, looking, alike[0], alike[1], self.k, p, q)
            for s in tries[2]:
                if (error := squared_error(looking, base + sums / (weights + s))) < least:
                    best, least = replace(self, drug_power=p, target_power=q, shrink=s), error
        return best

    def _learn(self, cells: Cells) -> _Known:
        cells.check_size()
        means = fit_means(cells, 3.0)
        left = cells.value - means.mean - means.drug[cells.drug] - means.target[cells.target]
        encoded = self.drug_similarity.encode(cells.drugs.texts), self.target_similarity.encode(cells.targets.texts)
        return _Known(means, *encoded, cells.table(left), cells.table())

    def _score(self, model: _Known, cells: Cells) -> Float64[np.ndarray, " n"]:
        assert self.drug_power is not None
        assert self.target_power is not None
        assert self.shrink is not None
        found = np.empty(len(cells))
        for pairs in blocks(cells.drug):
            part = cells.take(pairs)
            alike = self._alike(model, part.drugs, part.targets)
            base, sums, weights = _told(model, part, alike[0], alike[1], self.k, self.drug_power, self.target_power)
            found[pairs] = base + sums / (weights + self.shrink)
        return found

    def _alike(self, model: _Known, drugs: Side, targets: Side) -> tuple[np.ndarray, np.ndarray]:
        """How alike is each drug to each known one, and each target?"""
        drug, target = self.drug_similarity, self.target_similarity
        return (
            drug.between(drug.encode(drugs.texts), model.drugs),
            target.between(target.encode(targets.texts), model.targets),
        )


def _told(
    model: _Known, cells: Cells, drugs: np.ndarray, targets: np.ndarray, k: int, p: float, q: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pair: its means, the weighted sum of what neighbours leave of theirs, and the sum of the weights."""
    near, like = _nearest(drugs, k, p), _nearest(targets, k, q)
    drug = _known_or_near(model.means.drug, cells.drugs, model.means.drugs, near)
    target = _known_or_near(model.means.target, cells.targets, model.means.targets, like)
    sums, weights = (((near @ table) @ like.T)[cells.drug, cells.target] for table in (model.left, model.there))
    return model.means.mean + drug[cells.drug] + target[cells.target], sums, weights


def _nearest(similarity: Float64[np.ndarray, "m d"], k: int, power: float) -> Float64[np.ndarray, "m d"]:
    weights = similarity**power
    if k < weights.shape[1]:
        last = np.partition(weights, -k, axis=1)[:, -k, None]
        weights[weights < last] = 0
    return np.asarray(weights)


def _known_or_near(
    values: Float64[np.ndarray, " d"], asked: Side, known: Side, near: Float64[np.ndarray, "m d"]
) -> Float64[np.ndarray, " m"]:
    """The value of an entity that is known, else its neighbours' weighted mean; 0 without neighbours."""
    place = asked.places_in(known)
    total = near.sum(axis=1)
    told = np.divide(near @ values, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(np.where(place >= 0, np.append(values, 0.0)[place], told))
