"""Typed edges as lists that sum fast: every edge type and its inverse, each between two contiguous blocks of nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from medgraph.errors import SchemaError

__all__ = ["Normalisation", "Relation", "Segments", "TypedEdges"]


class Segments(NamedTuple):
    """For each node of a block, the nodes of the other block it is joined to: `nodes[bounds[i] : bounds[i + 1]]`."""

    bounds: Tensor
    nodes: Tensor
    edge: Tensor  # the edge's number in the triples
    weight: Tensor

    def sum(self, x: Tensor) -> Tensor:
        """Row i: Σ weight · x[nodes] over its segment, in the order of the list, so the same for any thread count."""
        if not self.nodes.numel():
            return x.new_zeros(self.bounds.numel() - 1, x.shape[1])
        return nn.functional.embedding_bag(
            self.nodes, x, self.bounds, mode="sum", include_last_offset=True, per_sample_weights=self.weight.to(x.dtype)
        )


class Relation(NamedTuple):
    """One direction of one edge type: a sparse matrix between two contiguous blocks of nodes."""

    target: slice
    source: slice
    by_target: Segments
    by_source: Segments

    def to(self, device: torch.device | str) -> Relation:
        """The same on another device."""
        lists = (Segments(*(part.to(device) for part in segments)) for segments in (self.by_target, self.by_source))
        return Relation(self.target, self.source, *lists)


@dataclass(frozen=True)
class Normalisation:
    """The weight of an edge: a[t, s] = degree(t)^-target · degree(s)^-source, degrees within its relation.

    (1, 0) is the mean over neighbours (Schlichtkrull et al. 2018), (0.5, 0.5) the symmetric one of Kipf & Welling 2016,
    (0.4, 0.4) the damping of degree-weighted path counts (Himmelstein & Baranzini 2015), (0, 0) a plain sum.
    """

    target: float = 1.0
    source: float = 0.0


class TypedEdges:
    """Which node sends to which, by relation: every edge type and its inverse, on one global numbering of nodes.

    Relation r < `num_types` is edge type r from source to target; relations from there on are the inverses of the types
    that are not symmetric, in order. A symmetric type sends both ways under its one relation.

    Args:
        triples: (source, edge type number, target) rows, as `KnowledgeGraph.triples()` gives them.
        num_nodes: how many nodes there are.
        num_types: how many edge types there are.
        symmetric: numbers of the edge types that hold both ways.
        normalisation: the weights of edges.

    Raises:
        SchemaError: a node or an edge type number out of range.
    """

    def __init__(
        self,
        triples: Int64[np.ndarray, "edges 3"],
        num_nodes: int,
        num_types: int,
        symmetric: Collection[int] = (),
        normalisation: Normalisation | None = None,
    ) -> None:
        limits = np.array([num_nodes, num_types, num_nodes])
        if len(triples) and ((triples < 0).any() or (triples >= limits).any()):
            row = int(((triples < 0) | (triples >= limits)).any(axis=1).argmax())
            raise SchemaError(f"triple {row} is {triples[row].tolist()}; expected 0 <= each < {limits.tolist()}.")
        self.num_nodes, self.num_types, self.num_edges = num_nodes, num_types, len(triples)
        self.normalisation = normalisation or Normalisation()
        forward, inverse = [], []
        for number in range(num_types):
            edges = np.flatnonzero(triples[:, 1] == number)
            source, target = triples[edges, 0], triples[edges, 2]
            if number in symmetric:
                twice = source != target  # a loop is sent once
                source, target = np.append(source, target[twice]), np.append(target, source[twice])
                edges = np.append(edges, edges[twice])
            relation = _relation(source, target, edges)
            forward.append(relation)
            if number not in symmetric:
                inverse.append(Relation(relation.source, relation.target, relation.by_source, relation.by_target))
        self.relations: tuple[Relation, ...] = self._weighted((*forward, *inverse), None)

    @classmethod
    def sent(
        cls,
        relations: Sequence[tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]],
        num_nodes: int,
        num_types: int,
        normalisation: Normalisation | None = None,
    ) -> TypedEdges:
        """Edges that send one way only, as neighbour sampling draws them: (sources, targets) for each relation.

        Args:
            relations: of every relation in order, the inverses too.
            num_nodes: how many nodes there are.
            num_types: how many edge types there are.
            normalisation: the weights of edges, by degrees among these edges.
        """
        result = object.__new__(cls)
        starts = np.cumsum([0, *(source.size for source, _ in relations)])
        result.num_nodes, result.num_types, result.num_edges = num_nodes, num_types, int(starts[-1])
        result.normalisation = normalisation or Normalisation()
        lists = tuple(
            _relation(source, target, start + np.arange(source.size))
            for (source, target), start in zip(relations, starts[:-1].tolist(), strict=True)
        )
        result.relations = result._weighted(lists, None)
        return result

    def __len__(self) -> int:
        """How many relations, inverses included?"""
        return len(self.relations)

    def _weighted(self, relations: tuple[Relation, ...], keep: Tensor | None) -> tuple[Relation, ...]:
        result = []
        for target, source, by_target, by_source in relations:
            power = self.normalisation
            ends = _powers(by_target, keep, power.target), _powers(by_source, keep, power.source)
            lists = []
            for segments, (own, other) in ((by_target, ends), (by_source, ends[::-1])):
                weight = own.repeat_interleave(segments.bounds.diff(), output_size=segments.nodes.numel())
                weight = weight * other[segments.nodes]
                lists.append(segments._replace(weight=weight if keep is None else weight * keep[segments.edge]))
            result.append(Relation(target, source, *lists))
        return tuple(result)

    def masked(self, keep: Bool[Tensor, " edges"]) -> TypedEdges:
        """These edges, of which only those that `keep` marks (one mark per triple) send, degrees counted anew."""
        other = object.__new__(TypedEdges)
        other.__dict__.update(self.__dict__, relations=self._weighted(self.relations, keep))
        return other

    def to(self, device: torch.device | str) -> TypedEdges:
        """These edges on another device."""
        other = object.__new__(TypedEdges)
        other.__dict__.update(self.__dict__, relations=tuple(relation.to(device) for relation in self.relations))
        return other


def _block(nodes: Int64[np.ndarray, " n"]) -> slice:
    return slice(int(nodes.min()), int(nodes.max()) + 1) if nodes.size else slice(0, 0)


def _relation(
    source: Int64[np.ndarray, " n"], target: Int64[np.ndarray, " n"], edges: Int64[np.ndarray, " n"]
) -> Relation:
    blocks, lists = (_block(target), _block(source)), []
    for (own, block), (other, other_block) in zip(
        ((target, blocks[0]), (source, blocks[1])), ((source, blocks[1]), (target, blocks[0])), strict=True
    ):
        order = np.lexsort((other, own))
        counts = np.bincount(own - block.start, minlength=block.stop - block.start)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        lists.append(
            Segments(
                torch.from_numpy(bounds.astype(np.int32)),
                torch.from_numpy((other[order] - other_block.start).astype(np.int32)),
                torch.from_numpy(edges[order]),
                torch.ones(edges.size),
            )
        )
    return Relation(*blocks, *lists)


def _powers(segments: Segments, keep: Tensor | None, exponent: float) -> Tensor:
    """degree^-exponent of each node of a block; 1 where nothing is kept, since nothing is multiplied by it."""
    degrees = segments.bounds.diff().float()
    if keep is not None and exponent:
        kept = torch.cat([keep.new_zeros(1, dtype=torch.int64), keep[segments.edge].cumsum(0)])
        degrees = kept[segments.bounds].diff().float()
    return degrees.clamp(min=1).pow(-exponent)


# The product of one relation -----------------------------------------------------------------------------------------
