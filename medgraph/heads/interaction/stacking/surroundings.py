"""What was measured next to a pair: this target's values on similar drugs, this drug's on similar targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.data.affinities import Affinities
from medgraph.heads.interaction.baselines.base import Cells
from medgraph.heads.interaction.baselines.means import Means, fit_means, pick
from medgraph.heads.interaction.baselines.similarity import KmerCosine, Tanimoto

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Surroundings"]

_NEAREST, _POWERS, _SHRINK = 3, (4.0, 16.0), 8.0


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Numbers that tell the trees of a stack where a pair stands among the known ones; nothing is chosen.

    For drug and target: mean, and count over the mean count. For the drug's likes by structure (Tanimoto), and by
    profile (the correlation of what the means leave, times n / (n + 8) for n common pairs), that were measured on this
    target, and for the target's likes (k-mers; profile) that were measured on this drug: the values of the nearest
    three, less the overall mean, and the similarity of the first and third; the means weighted by similarity^4 and ^16;
    the sum of ^4, over the share of cells that are known. So the numbers of a part of the pairs are like those of all.

    Args:
        cells: known pairs.
        means: of them.
        table: values less the overall mean; 0 where there is none.
        there: 1 where there is one.
        drugs: their fingerprints.
        targets: their k-mers.
        profiles: similarity of known drugs, and of known targets, by profile.
    """

    cells: Cells
    means: Means
    table: Float64[np.ndarray, "d t"]
    there: Float64[np.ndarray, "d t"]
    drugs: csr_matrix
    targets: csr_matrix
    profiles: tuple[Float64[np.ndarray, "d d"], Float64[np.ndarray, "t t"]]

    @classmethod
    def fitted(cls, train: Affinities) -> Surroundings:
        """Of these pairs."""
        cells = Cells.measured(train)
        cells.check_size()
        means, there = fit_means(cells, 3.0), cells.table()
        left = cells.table(cells.value - means.mean - means.drug[cells.drug] - means.target[cells.target])
        return cls(
            cells, means, cells.table(cells.value - means.mean), there, Tanimoto().encode(cells.drugs.texts),
            KmerCosine().encode(cells.targets.texts), (_correlations(left, there), _correlations(left.T, there.T)),
        )  # fmt: skip

    def columns(self, pairs: Affinities) -> Float64[np.ndarray, "n k"]:
        """A row a pair; 0 for what is not known of it."""
        asked, means = Cells.of(pairs), self.means
        drug, target = asked.drugs.places_in(means.drugs), asked.targets.places_in(means.targets)
        share = self.there.mean()
        counts = [count / count.mean() for count in (self.there.sum(axis=1), self.there.sum(axis=0))]
        found = [
            pick(means.drug, asked.drugs, means.drugs)[asked.drug],
            pick(means.target, asked.targets, means.targets)[asked.target],
            np.append(counts[0], 0.0)[drug][asked.drug],
            np.append(counts[1], 0.0)[target][asked.target],
        ]
        alike = Tanimoto().between(Tanimoto().encode(asked.drugs.texts), self.drugs)
        for near in (alike, _rows(self.profiles[0], drug)):
            found += _near(near, drug, target, asked.drug, asked.target, self.table, self.there, share)
        alike = KmerCosine().between(KmerCosine().encode(asked.targets.texts), self.targets)
        for near in (alike, _rows(self.profiles[1], target)):
            found += _near(near, target, drug, asked.target, asked.drug, self.table.T, self.there.T, share)
        return np.column_stack(found)


def _correlations(left: Float64[np.ndarray, "m k"], there: Float64[np.ndarray, "m k"]) -> Float64[np.ndarray, "m m"]:
    """Of rows, over the columns that both have; shrunk where these are few; at least 0."""
    squares = left**2 @ there.T
    scale = np.sqrt(squares * squares.T)
    common = there @ there.T
    found = np.divide(left @ left.T, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.asarray(np.maximum(found, 0) * common / (common + _SHRINK))


def _rows(matrix: Float64[np.ndarray, "d d"], place: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, "m d"]:
    """Those of the known; nought for others."""
    return np.asarray(np.where((place >= 0)[:, None], matrix[place], 0.0))


def _near(
    alike: Float64[np.ndarray, "m d"],
    own: Int64[np.ndarray, " m"],
    place: Int64[np.ndarray, " n"],
    mine: Int64[np.ndarray, " p"],
    other: Int64[np.ndarray, " p"],
    table: Float64[np.ndarray, "d t"],
    there: Float64[np.ndarray, "d t"],
    share: float,
) -> list[Float64[np.ndarray, " p"]]:
    """Eight columns, see `Surroundings`: the likes of `mine`, on `other`; none is its own like."""
    near = alike.copy()
    known = np.flatnonzero(own >= 0)
    near[known, own[known]] = 0
    values = np.zeros((mine.size, _NEAREST))
    likeness = np.zeros((mine.size, _NEAREST))
    weighted = []
    for power in _POWERS:
        weights = near**power
        total = np.append(weights @ there, np.zeros((len(near), 1)), axis=1)[mine, place[other]]
        summed = np.append(weights @ table, np.zeros((len(near), 1)), axis=1)[mine, place[other]]
        weighted += [np.divide(summed, total, out=np.zeros_like(total), where=total > 1e-9), total]
    order = np.argsort(other, kind="stable")
    bounds = np.searchsorted(other[order], np.arange(place.size + 1))
    for number, column in enumerate(place.tolist()):
        pairs = order[bounds[number] : bounds[number + 1]]
        with_it = np.flatnonzero(there[:, column]) if column >= 0 else np.zeros(0, dtype=np.int64)
        if pairs.size and with_it.size:
            among = near[np.ix_(mine[pairs], with_it)]
            few = min(_NEAREST, with_it.size)
            first = np.argsort(-among, axis=1, kind="stable")[:, :few]
            likeness[pairs, :few] = np.take_along_axis(among, first, axis=1)
            values[pairs, :few] = table[with_it[first], column]
    values[likeness == 0] = 0
    return [*values.T, likeness[:, 0], likeness[:, 2], weighted[0], weighted[2], weighted[1] / share]
