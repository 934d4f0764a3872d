"""X W_0 + b + Σ_r A_r X W_r: the relational graph convolution, over typed edges and their inverses.

Schlichtkrull et al. 2018, arXiv:1703.06103. Fast on a CPU and small in memory because no message is ever stored: each
relation is a pair of sorted index lists (by target for the sum, by source for its gradient), the sum runs over the
contiguous block of nodes that the relation touches, and W_r is applied on whichever end has fewer nodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.embeddings.typed_edges import TypedEdges
from medgraph.errors import SchemaError

__all__ = [
    "Basis",
    "BlockDiagonal",
    "Diagonal",
    "Full",
    "RelationWeights",
    "RelationalConvolution",
]


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
