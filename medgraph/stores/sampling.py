"""Neighbour sampling over typed edges: a few of the edges that enter each node, hop after hop, in whole-array steps.

Hamilton et al. 2017 (GraphSAGE, arXiv:1706.02216), over relations as PyG samples them: messages run from source to
target, so sampling walks from targets to sources. Pure NumPy, for machines without PyG's compiled samplers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import SchemaError
from medgraph.stores.access import RandomAccess

__all__ = ["FanOut", "Sample", "SampledEdges", "checked_fan_out", "sample_neighbours"]

FanOut = Sequence[int] | Mapping[EdgeType, Sequence[int]]


class SampledEdges(NamedTuple):
    """The sampled edges of one relation: rows of the sample at both ends, and the edges' numbers in the graph."""

    source: Int64[np.ndarray, " n"]
    target: Int64[np.ndarray, " n"]
    edge: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Sample:
    """A sampled part of a graph.

    Args:
        nodes: node type -> rows of the graph, the seeds first, then hop by hop.
        edges: relation -> its sampled edges, hop by hop.
        nodes_per_hop: node type -> how many seeds, then how many new nodes in each hop.
        edges_per_hop: relation -> how many edges in each hop.
    """

    nodes: Mapping[NodeType, Int64[np.ndarray, " n"]]
    edges: Mapping[EdgeType, SampledEdges]
    nodes_per_hop: Mapping[NodeType, Sequence[int]] = field(default_factory=dict)
    edges_per_hop: Mapping[EdgeType, Sequence[int]] = field(default_factory=dict)


def sample_neighbours(
    access: RandomAccess,
    seeds: Mapping[NodeType, Int64[np.ndarray, " _"]],
    fan_out: FanOut,
    replace: bool = False,
    seed: int | Sequence[int] = 0,
) -> Sample:
    """Which nodes and edges send to these seeds, at most `fan_out` edges a node, relation and hop?

    Every node is walked from once, in the hop after the one that found it. Drawn are edges: where two join the same
    nodes, both may be drawn. The sample follows from the seeds, the fan-out and `seed` alone: every store gives the
    same one.

    Args:
        access: the graph, read by rows; its relations are walked in order.
        seeds: node type -> rows, none twice.
        fan_out: edges per node in each hop, -1 for all; or relation -> such a list, relations left out are not walked.
        replace: draw with replacement; then a node with any edge always has as many as asked for.
        seed: of the draws.

    Raises:
        SchemaError: seeds that are no rows of the graph or stand twice, a relation that is not there, a fan-out that is
            empty, of unequal lengths or below -1.
    """
    wanted = checked_fan_out(access, fan_out)
    hops = len(next(iter(wanted.values()), ()))
    draws = np.random.default_rng(seed)
    known = {node_type: _Numbering() for node_type in access.schema.node_types}
    for node_type, rows in seeds.items():
        count = access.counts[access.schema.require_node_type(node_type)]
        given = np.asarray(rows, dtype=np.int64)
        if given.size and not 0 <= given.min() <= given.max() < count:
            raise SchemaError(f"Seeds of {node_type} run from {given.min()} to {given.max()}; it has {count:,} rows.")
        known[node_type].number(given)
        if known[node_type].size != given.size:
            raise SchemaError(f"A seed of {node_type} stands twice: each node is sampled for once.")
    walked = dict.fromkeys(known, 0)
    per_hop = {node_type: [one.size] for node_type, one in known.items()}
    found: dict[EdgeType, list[SampledEdges]] = {relation: [] for relation in wanted}
    for hop in range(hops):
        frontier = {node_type: (walked[node_type], one.size) for node_type, one in known.items()}
        walked = {node_type: stop for node_type, (_, stop) in frontier.items()}
        for relation, counts in wanted.items():
            start, stop = frontier[relation.target]
            place, edge = _draw(access, relation, known[relation.target].rows[start:stop], counts[hop], replace, draws)
            source = known[relation.source].number(access.sources(relation, edge))
            found[relation].append(SampledEdges(source, start + place, edge))
        for node_type, one in known.items():
            per_hop[node_type].append(one.size - walked[node_type])
    return Sample(
        {node_type: one.rows for node_type, one in known.items()},
        {relation: SampledEdges(*map(_joined, zip(*parts, strict=True))) for relation, parts in found.items()},
        per_hop,
        {relation: [part.edge.size for part in parts] for relation, parts in found.items()},
    )


def _joined(parts: Sequence[Int64[np.ndarray, " _"]]) -> Int64[np.ndarray, " n"]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def checked_fan_out(access: RandomAccess, fan_out: FanOut) -> dict[EdgeType, tuple[int, ...]]:
    """How many edges to draw, for each relation that is walked and each hop. Raises SchemaError."""
    if isinstance(fan_out, Mapping):
        given = {EdgeType.of(relation): tuple(counts) for relation, counts in fan_out.items()}
        for relation in given:
            access.stored(relation)
    else:
        given = dict.fromkeys(access.relations, tuple(fan_out))
    lengths = {len(counts) for counts in given.values()}
    if len(lengths) > 1 or 0 in lengths or any(count < -1 for counts in given.values() for count in counts):
        raise SchemaError(
            f"fan_out={fan_out!r}: expected for each hop, and as many hops for every relation, a number of edges, "
            "or -1 for all."
        )
    return {relation: given[relation] for relation in access.relations if relation in given}


def _draw(
    access: RandomAccess,
    relation: EdgeType,
    rows: Int64[np.ndarray, " n"],
    count: int,
    replace: bool,
    draws: np.random.Generator,
) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
    """For each edge drawn: the place of its target in `rows`, and its number; in order of both unless replaced."""
    bounds = access.bounds(relation)
    first = np.asarray(bounds[rows], dtype=np.int64)
    degrees = bounds[rows + 1] - first
    if replace and count >= 0:
        place = np.repeat(np.flatnonzero(degrees), count)
        return place, first[place] + draws.integers(0, degrees[place]) if place.size else place
    few = degrees <= count if count >= 0 else np.ones(rows.size, dtype=bool)
    whole = np.repeat(np.flatnonzero(few), degrees[few])
    within = np.arange(whole.size) - np.repeat(np.cumsum(degrees[few]) - degrees[few], degrees[few])
    many = np.flatnonzero(~few)
    chosen = _choose(degrees[many], max(count, 0), draws)
    place = np.concatenate([whole, np.repeat(many, chosen.shape[1])])
    edge = first[place] + np.concatenate([within, chosen.ravel()])
    order = np.argsort(place, kind="stable")
    return place[order], edge[order]


def _choose(sizes: Int64[np.ndarray, " n"], count: int, draws: np.random.Generator) -> Int64[np.ndarray, "n k"]:
    """For each size a uniformly random subset of `count` of range(size), ascending: Floyd's algorithm, row by row.

    Bentley & Floyd 1987 (Programming Pearls: a sample of brilliance): no more draws than are kept, however large the
    sizes. Every size must be at least `count`.
    """
    chosen = np.empty((sizes.size, count), dtype=np.int64)
    for step in range(count):
        last = sizes - count + step
        drawn = draws.integers(0, last + 1) if sizes.size else last
        taken = (chosen[:, :step] == drawn[:, None]).any(axis=1)
        chosen[:, step] = np.where(taken, last, drawn)
    chosen.sort(axis=1)
    return chosen


class _Numbering:
    """Rows of a node type numbered in the order in which they are first seen."""

    def __init__(self) -> None:
        self.rows = np.empty(0, dtype=np.int64)
        self._sorted = self._order = self.rows

    @property
    def size(self) -> int:
        return int(self.rows.size)

    def number(self, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The numbers of `rows`, the new ones numbered on in the order given."""
        unique, first, back = np.unique(rows, return_index=True, return_inverse=True)
        at = np.searchsorted(self._sorted, unique)
        old = np.zeros(unique.size, dtype=bool)
        inside = at < self._sorted.size
        old[inside] = self._sorted[at[inside]] == unique[inside]
        numbers = np.empty(unique.size, dtype=np.int64)
        numbers[old] = self._order[at[old]]
        new = np.flatnonzero(~old)
        new = new[np.argsort(first[new])]
        numbers[new] = self.size + np.arange(new.size)
        if new.size:
            self.rows = np.concatenate([self.rows, unique[new]])
            self._order = np.argsort(self.rows, kind="stable")
            self._sorted = self.rows[self._order]
        return numbers[back]
