"""Which pairs count as not linked while a head is fitted?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from medgraph.data.graph import EdgeIndex
from medgraph.errors import SchemaError

__all__ = ["DegreeMatchedNegatives", "NearbyNegatives", "Negatives", "TypedNegatives"]


class Negatives(ABC):
    """Draws unlinked pairs; every draw keeps to the relation's own two node types."""

    @abstractmethod
    def draw(
        self, links: EdgeIndex, unlinked: Bool[np.ndarray, "s t"], seed: int
    ) -> tuple[EdgeIndex, Float[np.ndarray, " n"]]:
        """Pairs, and how many pairs of the whole each one stands for.

        Args:
            links: the linked pairs.
            unlinked: which pairs may be drawn.
            seed: of the draw.
        """


@dataclass(frozen=True)
class TypedNegatives(Negatives):
    """Pairs of the right two types, uniformly: all of them, or at most `limit`."""

    limit: int = 500_000

    def draw(
        self, links: EdgeIndex, unlinked: Bool[np.ndarray, "s t"], seed: int
    ) -> tuple[EdgeIndex, Float[np.ndarray, " n"]]:
        """See `Negatives.draw`; the links have no say here."""
        del links
        if self.limit < 1:
            raise SchemaError(f"limit={self.limit}: at least one negative is needed.")
        cells = np.flatnonzero(unlinked)
        total = cells.size
        if total > self.limit:
            cells = np.sort(np.random.default_rng(seed).choice(cells, self.limit, replace=False))
        pairs = np.stack(np.divmod(cells, unlinked.shape[1]))
        return pairs, np.full(cells.size, total / max(1, cells.size))


@dataclass(frozen=True)
class NearbyNegatives(Negatives):
    """Pairs of a linked source or a linked target more often than others; each weighs by its inverse chance.

    These are the pairs that a ranking must tell from the links; a tenth of all pairs so chosen teaches as much as all.

    Args:
        of_sources: chance of a pair whose source has links.
        of_targets: chance of one whose target has.
        others: chance of any other.
    """

    of_sources: float = 0.125
    of_targets: float = 0.05
    others: float = 0.0125

    def draw(
        self, links: EdgeIndex, unlinked: Bool[np.ndarray, "s t"], seed: int
    ) -> tuple[EdgeIndex, Float[np.ndarray, " n"]]:
        """See `Negatives.draw`."""
        if not all(0 < chance <= 1 for chance in (self.of_sources, self.of_targets, self.others)):
            raise SchemaError(f"{self}: expected chances above 0 and at most 1.")
        chance = np.full(unlinked.shape, self.others)
        columns = np.unique(links[1])
        chance[:, columns] = np.maximum(chance[:, columns], self.of_targets)
        rows = np.unique(links[0])
        chance[rows] = np.maximum(chance[rows], self.of_sources)
        drawn = np.random.default_rng(seed).random(unlinked.shape) < chance
        pairs = np.stack(np.nonzero(drawn & unlinked))
        if not pairs.size:
            pairs = np.stack(np.nonzero(unlinked))
            return pairs, np.ones(pairs.shape[1])
        return pairs, 1 / chance[*pairs]


@dataclass(frozen=True)
class DegreeMatchedNegatives(Negatives):
    """Pairs whose ends have the degrees that linked pairs have: P(s, t) ~ degree(s) degree(t).

    Degree then tells nothing about the answer, so what is learned is something else. `per_link` pairs for each link;
    together they stand for all unlinked pairs, so probabilities keep the true base rate.
    """

    per_link: int = 50

    def draw(
        self, links: EdgeIndex, unlinked: Bool[np.ndarray, "s t"], seed: int
    ) -> tuple[EdgeIndex, Float[np.ndarray, " n"]]:
        """See `Negatives.draw`."""
        if self.per_link < 1:
            raise SchemaError(f"per_link={self.per_link}: at least one negative per link is needed.")
        generator = np.random.default_rng(seed)
        wanted = self.per_link * links.shape[1]
        cells = np.empty(0, dtype=np.int64)
        for _ in range(20):  # shuffled ends keep both degree distributions; collisions with links are drawn again
            times = -(-wanted // max(1, links.shape[1]))
            source = np.tile(links[0], times)
            target = generator.permutation(np.tile(links[1], times))
            free = unlinked[source, target]
            cells = np.concatenate([cells, source[free] * unlinked.shape[1] + target[free]])[:wanted]
            if cells.size == wanted:
                break
        if not cells.size:
            raise SchemaError("Every pair of linked ends is linked: no degree-matched negatives exist.")
        pairs = np.stack(np.divmod(np.sort(cells), unlinked.shape[1]))
        return pairs, np.full(cells.size, unlinked.sum() / cells.size)
