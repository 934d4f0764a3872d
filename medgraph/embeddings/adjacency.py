"""The undirected view of a graph as compressed rows, and the reproducible random numbers that walks draw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.graph import KnowledgeGraph
from medgraph.errors import SchemaError

__all__ = ["Adjacency", "Draws", "PairSet", "pick", "unit_threshold"]

BITS = 31  # of every random integer: a product with a degree below 2^31 stays within int64


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Each node's neighbours over every edge, whichever way it points, ordered by edge type and then by node.

    Two edges of different types between the same nodes are two neighbours; a self-loop is one.

    Args:
        offsets: where each node's neighbours begin.
        neighbours: global node indices.
        relations: the edge type number of each neighbour.
        graph: what it was made from; None for bare triples.
    """

    offsets: Int64[Tensor, " nodes+1"]
    neighbours: Int64[Tensor, " ends"]
    relations: Int64[Tensor, " ends"]
    graph: KnowledgeGraph | None = None

    @property
    def num_nodes(self) -> int:
        """How many nodes, isolated ones included?"""
        return self.offsets.numel() - 1

    @property
    def degrees(self) -> Int64[Tensor, " nodes"]:
        """How many neighbours has each node?"""
        return self.offsets.diff()

    @classmethod
    def of(cls, graph: KnowledgeGraph, device: torch.device | str = "cpu") -> Adjacency:
        """The adjacency of a graph's nodes, by global index."""
        triples = torch.from_numpy(graph.triples()).to(device)
        return replace(cls.from_triples(triples, graph.num_nodes), graph=graph)

    @classmethod
    def from_triples(cls, triples: Int64[Tensor, "edges 3"], num_nodes: int) -> Adjacency:
        """The adjacency of (source, edge type number, target) rows.

        Raises:
            SchemaError: a node index outside [0, num_nodes), or too many nodes and edge types to number in 63 bits.
        """
        source, relation, target = triples.unbind(1)
        if triples.numel() and not 0 <= int(triples.min()) <= int(torch.max(source, target).max()) < num_nodes:
            raise SchemaError(f"triples name nodes outside [0, {num_nodes}).")
        kinds = int(relation.max()) + 1 if triples.numel() else 1
        if num_nodes * num_nodes * kinds >= 2**63:
            raise SchemaError(f"{num_nodes:,} nodes and {kinds:,} edge types are too many for walks.")
        back = source != target
        ends = torch.cat([source, target[back]]), torch.cat([target, source[back]])
        keys = ((ends[0] * kinds + torch.cat([relation, relation[back]])) * num_nodes + ends[1]).sort().values
        rows = keys.div(num_nodes * kinds, rounding_mode="floor")
        offsets = torch.zeros(num_nodes + 1, dtype=torch.int64, device=triples.device)
        torch.cumsum(torch.bincount(rows, minlength=num_nodes), 0, out=offsets[1:])
        return cls(offsets, keys % num_nodes, keys.div(num_nodes, rounding_mode="floor") % kinds)

    def only(self, relation: int) -> Adjacency:
        """The adjacency over one edge type."""
        kept = self.relations == relation
        before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return Adjacency(before[self.offsets], self.neighbours[kept], self.relations[kept], self.graph)


class PairSet:
    """Which pairs of nodes are joined? A hash table as arrays: two look-ups where a binary search takes twenty."""

    def __init__(self, adjacency: Adjacency) -> None:
        self._n = adjacency.num_nodes
        rows = torch.repeat_interleave(torch.arange(self._n, device=adjacency.neighbours.device), adjacency.degrees)
        upper = rows <= adjacency.neighbours
        keys = torch.unique(rows[upper] * self._n + adjacency.neighbours[upper])
        self._shift = 64 - max(2 * keys.numel(), 2).bit_length()
        buckets = self._bucket(keys)
        by_bucket = buckets.argsort()
        sizes = torch.bincount(buckets, minlength=1 << (64 - self._shift))
        self._longest = int(sizes.max())
        self._keys = torch.cat([keys[by_bucket], keys.new_full((self._longest + 1,), -1)])
        self._first = (sizes.cumsum(0) - sizes).int()

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """For each pair, either way round: is it an edge? (A longer scan than the bucket finds only other keys.)"""
        keys = torch.minimum(left, right).mul_(self._n).add_(torch.maximum(left, right))
        at = self._first.take(self._bucket(keys)).long()
        found = self._keys.take(at) == keys
        for _ in range(1, self._longest):
            found |= self._keys.take(at.add_(1)) == keys
        return found

    def _bucket(self, keys: Tensor) -> Tensor:
        return torch.bitwise_and(keys * _signed(0x9E3779B97F4A7C15) >> self._shift, (1 << (64 - self._shift)) - 1)


class Draws:
    """Random integers that depend on (seed, walker, counter) alone: the same on every device and thread count.

    One SplitMix64 sequence per walker (Steele, Lea and Flood 2014), started from a mix of the seed and its number.
    """

    def __init__(self, seed: int, walkers: Int64[Tensor, " walkers"]) -> None:
        start = _mix(torch.tensor([seed & (2**63 - 1)], device=walkers.device))
        self._state = _mix(walkers + start)

    def __call__(self, counter: int, rows: Int64[Tensor, " rows"] | None = None) -> tuple[Tensor, Tensor]:
        """Two independent integers in [0, 2^31) for each walker, or for the walkers in `rows`."""
        state = self._state if rows is None else self._state[rows]
        bits = _mix(state + _signed(0x9E3779B97F4A7C15 * (counter + 1)))
        return (bits >> 33).bitwise_and_(2**BITS - 1), bits.bitwise_and_(2**BITS - 1)


def pick(bits: Tensor, counts: Tensor) -> Tensor:
    """A number in [0, count) from 31 random bits; 0 where the count is 0."""
    return (bits * counts) >> BITS


def unit_threshold(probability: float) -> int:
    """Below which integer are 31 random bits with this probability?"""
    return int(probability * 2**BITS)


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser; int64 products wrap, and a shift to the right must be masked to be a logical one."""
    z = z ^ ((z >> 30) & (2**34 - 1))
    z *= _signed(0xBF58476D1CE4E5B9)
    z ^= (z >> 27).bitwise_and_(2**37 - 1)
    z *= _signed(0x94D049BB133111EB)
    z ^= (z >> 31).bitwise_and_(2**33 - 1)
    return z
