"""X W_0 + b + Σ_r A_r X W_r: the relational graph convolution, over typed edges and their inverses.

Schlichtkrull et al. 2018, arXiv:1703.06103. Fast on a CPU and small in memory because no message is ever stored: each
relation is a pair of sorted index lists (by target for the sum, by source for its gradient), the sum runs over the
contiguous block of nodes that the relation touches, and W_r is applied on whichever end has fewer nodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medgraph.errors import SchemaError

__all__ = [
    "Basis",
    "BlockDiagonal",
    "Diagonal",
    "Full",
    "Normalisation",
    "RelationWeights",
    "RelationalConvolution",
    "TypedEdges",
]


# Edges ---------------------------------------------------------------------------------------------------------------


class _Segments(NamedTuple):
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


class _Relation(NamedTuple):
    """One direction of one edge type: a sparse matrix between two contiguous blocks of nodes."""

    target: slice
    source: slice
    by_target: _Segments
    by_source: _Segments

    def to(self, device: torch.device | str) -> _Relation:
        lists = (_Segments(*(part.to(device) for part in segments)) for segments in (self.by_target, self.by_source))
        return _Relation(self.target, self.source, *lists)


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
                inverse.append(_Relation(relation.source, relation.target, relation.by_source, relation.by_target))
        self.relations: tuple[_Relation, ...] = self._weighted((*forward, *inverse), None)

    def __len__(self) -> int:
        """How many relations, inverses included?"""
        return len(self.relations)

    def _weighted(self, relations: tuple[_Relation, ...], keep: Tensor | None) -> tuple[_Relation, ...]:
        result = []
        for target, source, by_target, by_source in relations:
            power = self.normalisation
            ends = _powers(by_target, keep, power.target), _powers(by_source, keep, power.source)
            lists = []
            for segments, (own, other) in ((by_target, ends), (by_source, ends[::-1])):
                weight = own.repeat_interleave(segments.bounds.diff(), output_size=segments.nodes.numel())
                weight = weight * other[segments.nodes]
                lists.append(segments._replace(weight=weight if keep is None else weight * keep[segments.edge]))
            result.append(_Relation(target, source, *lists))
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
) -> _Relation:
    blocks, lists = (_block(target), _block(source)), []
    for (own, block), (other, other_block) in zip(
        ((target, blocks[0]), (source, blocks[1])), ((source, blocks[1]), (target, blocks[0])), strict=True
    ):
        order = np.lexsort((other, own))
        counts = np.bincount(own - block.start, minlength=block.stop - block.start)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        lists.append(
            _Segments(
                torch.from_numpy(bounds.astype(np.int32)),
                torch.from_numpy((other[order] - other_block.start).astype(np.int32)),
                torch.from_numpy(edges[order]),
                torch.ones(edges.size),
            )
        )
    return _Relation(*blocks, *lists)


def _powers(segments: _Segments, keep: Tensor | None, exponent: float) -> Tensor:
    """degree^-exponent of each node of a block; 1 where nothing is kept, since nothing is multiplied by it."""
    degrees = segments.bounds.diff().float()
    if keep is not None and exponent:
        kept = torch.cat([keep.new_zeros(1, dtype=torch.int64), keep[segments.edge].cumsum(0)])
        degrees = kept[segments.bounds].diff().float()
    return degrees.clamp(min=1).pow(-exponent)


# The product of one relation -----------------------------------------------------------------------------------------


def _transform(x: Tensor, weight: Tensor) -> Tensor:
    """X W for a W given by its diagonal (d), its diagonal blocks (b, d/b, e/b) or in full (d, e)."""
    if weight.dim() == 1:
        return x * weight
    if weight.dim() == 2:
        return x @ weight
    blocks, rows, _ = weight.shape
    return torch.einsum("nbi,bio->nbo", x.view(-1, blocks, rows), weight).flatten(1)


def _transposed(weight: Tensor) -> Tensor:
    return weight if weight.dim() == 1 else weight.transpose(-1, -2)


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    if weight.dim() == 1:
        return (x * grad).sum(0)
    if weight.dim() == 2:
        return x.T @ grad
    blocks, rows, columns = weight.shape
    return torch.einsum("nbi,nbo->bio", x.view(-1, blocks, rows), grad.view(-1, blocks, columns))


class _RelationalSum(torch.autograd.Function):
    """Σ_r A_r x W_r. Kept for the gradient: x, and A_r x only where W_r is applied after the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, edges: TypedEdges) -> Tensor:
        size = x.shape[1] if weight.dim() == 2 else weight.shape[-1] * (weight.shape[1] if weight.dim() == 4 else 1)
        out = x.new_zeros(x.shape[0], size)
        sums = []
        for number, (target, source, by_target, _) in enumerate(edges.relations):
            if _sum_first(target, source):
                sums.append(by_target.sum(x[source]))
                out[target] += _transform(sums[-1], weight[number])
            else:
                out[target] += by_target.sum(_transform(x[source], weight[number]))
        ctx.edges = edges
        ctx.save_for_backward(x, weight, *sums)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grads
        grad = grad.contiguous()
        x, weight, *sums = ctx.saved_tensors
        kept = iter(sums)
        x_grad, weight_grad = torch.zeros_like(x), torch.zeros_like(weight)
        for number, (target, source, _, by_source) in enumerate(ctx.edges.relations):
            back = _transposed(weight[number])
            if _sum_first(target, source):
                weight_grad[number] = _weight_gradient(next(kept), grad[target], weight[number])
                x_grad[source] += by_source.sum(_transform(grad[target], back))
            else:
                spread = by_source.sum(grad[target])
                weight_grad[number] = _weight_gradient(x[source], spread, weight[number])
                x_grad[source] += _transform(spread, back)
        return x_grad, weight_grad, None


def _sum_first(target: slice, source: slice) -> bool:
    rows: tuple[int, int] = (target.stop - target.start, source.stop - source.start)
    return rows[0] < rows[1]


# Relation weights ----------------------------------------------------------------------------------------------------


class RelationWeights(ABC):
    """How the matrices W_r of a layer are parametrised."""

    @abstractmethod
    def shapes(self, relations: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """The trained tensors. Raises SchemaError where these sizes do not fit."""

    def combine(self, parameters: dict[str, Tensor]) -> Tensor:
        """The weight of every relation: (r, d) diagonals, (r, b, d/b, e/b) blocks or (r, d, e) matrices."""
        return parameters["weight"]


@dataclass(frozen=True)
class Full(RelationWeights):
    """W_r, one whole matrix for each relation."""

    def shapes(self, relations: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """One matrix per relation."""
        return {"weight": (relations, inputs, outputs)}


@dataclass(frozen=True)
class Basis(RelationWeights):
    """W_r = Σ_b c_rb V_b: the relations share `size` matrices (Schlichtkrull et al. 2018, eq. 3)."""

    size: int = 8

    def shapes(self, relations: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """The shared matrices, and what each relation takes of them."""
        if self.size < 1:
            raise SchemaError(f"Basis(size={self.size}): expected at least 1.")
        return {"weight": (self.size, inputs, outputs), "coefficients": (relations, self.size)}

    def combine(self, parameters: dict[str, Tensor]) -> Tensor:
        """Σ_b c_rb V_b for every r."""
        coefficients, bases = parameters["coefficients"], parameters["weight"]
        return (coefficients @ bases.flatten(1)).view(-1, *bases.shape[1:])


@dataclass(frozen=True)
class BlockDiagonal(RelationWeights):
    """W_r = diag(Q_r1, ..., Q_rb): `blocks` blocks on the diagonal (Schlichtkrull et al. 2018, eq. 4)."""

    blocks: int = 4

    def shapes(self, relations: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """The blocks of each relation."""
        if self.blocks < 1 or inputs % self.blocks or outputs % self.blocks:
            raise SchemaError(
                f"BlockDiagonal(blocks={self.blocks}) does not divide a layer of {inputs} inputs and {outputs} outputs."
            )
        return {"weight": (relations, self.blocks, inputs // self.blocks, outputs // self.blocks)}


@dataclass(frozen=True)
class Diagonal(RelationWeights):
    """W_r = diag(w_r): one number per relation and dimension; the cheapest."""

    def shapes(self, relations: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """One diagonal per relation."""
        if inputs != outputs:
            raise SchemaError(f"Diagonal() needs as many outputs as inputs; this layer has {inputs} and {outputs}.")
        return {"weight": (relations, inputs)}


class RelationalConvolution(nn.Module):
    """x W_0 + b + Σ_r A_r x W_r: one layer (Schlichtkrull et al. 2018, eq. 2, without the non-linearity).

    Weights start as Glorot & Bengio 2010 would have them, each relation's by its own fans; diagonals start normal
    around zero with variance 1 / relations.

    Args:
        inputs: size of the incoming vectors.
        outputs: size of the outgoing vectors.
        relations: how many relations `TypedEdges` has, inverses included.
        weights: how W_r is parametrised.
        generator: the randomness of the first weights.

    Raises:
        SchemaError: `weights` does not fit the sizes.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        relations: int,
        weights: RelationWeights | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights or Full()
        self.root = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        shapes = self.weights.shapes(relations, inputs, outputs)
        self.relational = nn.ParameterDict({name: torch.empty(shape) for name, shape in shapes.items()})
        for tensor in (self.root, *self.relational.values()):
            if isinstance(self.weights, Diagonal) and tensor is not self.root:
                nn.init.normal_(tensor, std=relations**-0.5, generator=generator)
            else:
                bound = (6 / (tensor.shape[-2] + tensor.shape[-1])) ** 0.5
                nn.init.uniform_(tensor, -bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "nodes inputs"], edges: TypedEdges) -> Float[Tensor, "nodes outputs"]:
        """The layer's output for every node."""
        weight = self.weights.combine(dict(self.relational.items()))
        result: Tensor = _RelationalSum.apply(x, weight, edges)
        return result + torch.addmm(self.bias, x, self.root)
