"""score(s, r, t) = s M_r tᵀ: how likely an edge is, from the vectors of its ends. The decoders differ in M_r alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medgraph.errors import SchemaError

__all__ = ["Bilinear", "ComplEx", "Decoder", "DistMult", "InnerProduct"]


class Decoder(ABC):
    """s M_r tᵀ: the score of an edge, a log-odds. A decoder is a formula; the tensors it needs belong to the model.

    One contract for all: `initial` makes one tensor per relation, stacked, and the other methods take one relation's.
    """

    @abstractmethod
    def shape(self, size: int) -> tuple[int, ...]:
        """The shape of one relation's tensor for vectors of `size`. Raises SchemaError where `size` does not fit."""

    @abstractmethod
    def project(self, source: Float[Tensor, "*n d"], relation: Tensor) -> Float[Tensor, "*n d"]:
        """S M_r: what the targets' vectors are multiplied by."""

    def initial(self, relations: int, size: int, generator: torch.Generator | None = None) -> Tensor:
        """First values for every relation: M_r near the identity, so that training starts at the inner product."""
        return 1 + 0.1 * torch.randn(relations, *self.shape(size), generator=generator)

    def score(
        self, source: Float[Tensor, "*n d"], relation: Tensor, target: Float[Tensor, "*n d"]
    ) -> Float[Tensor, "*n"]:
        """Row by row: s_i M_r t_iᵀ."""
        return (self.project(source, relation) * target).sum(-1)

    def score_all(
        self, source: Float[Tensor, "n d"], relation: Tensor, target: Float[Tensor, "m d"]
    ) -> Float[Tensor, "n m"]:
        """All pairs: S M_r Tᵀ."""
        return self.project(source, relation) @ target.T


@dataclass(frozen=True)
class InnerProduct(Decoder):
    """s · t: one score for all relations, symmetric (Kipf & Welling 2016, arXiv:1611.07308, eq. 2)."""

    def shape(self, size: int) -> tuple[int, ...]:  # noqa: ARG002
        """No tensor: an empty one."""
        return (0,)

    def project(self, source: Float[Tensor, "*n d"], relation: Tensor) -> Float[Tensor, "*n d"]:  # noqa: ARG002
        """S itself."""
        return source


@dataclass(frozen=True)
class DistMult(Decoder):
    """Σ_k s_k r_k t_k: M_r is diagonal, so s and t can be exchanged (Yang et al. 2015, arXiv:1412.6575)."""

    def shape(self, size: int) -> tuple[int, ...]:
        """One weight per dimension."""
        return (size,)

    def project(self, source: Float[Tensor, "*n d"], relation: Tensor) -> Float[Tensor, "*n d"]:
        """S diag(r)."""
        return source * relation


@dataclass(frozen=True)
class ComplEx(Decoder):
    """Re(Σ_k s_k r_k conj(t_k)): DistMult over complex numbers, symmetric only where r is real (Trouillon et al. 2016).

    arXiv:1606.06357, eq. 10. The first half of a vector is its real part, the second half its imaginary part.
    """

    def shape(self, size: int) -> tuple[int, ...]:
        """One complex weight per pair of dimensions. Raises SchemaError for an odd size."""
        if size % 2:
            raise SchemaError(f"ComplEx() needs vectors of an even size, half real and half imaginary; this is {size}.")
        return (size,)

    def initial(self, relations: int, size: int, generator: torch.Generator | None = None) -> Tensor:
        """Real parts near 1, imaginary parts near 0."""
        real, imaginary = super().initial(relations, size, generator).chunk(2, dim=-1)
        return torch.cat([real, imaginary - 1], dim=-1)

    def project(self, source: Float[Tensor, "*n d"], relation: Tensor) -> Float[Tensor, "*n d"]:
        """S diag(r), over complex numbers."""
        (a, b), (c, d) = source.chunk(2, dim=-1), relation.chunk(2, dim=-1)
        return torch.cat([a * c - b * d, a * d + b * c], dim=-1)


@dataclass(frozen=True)
class Bilinear(Decoder):
    """s M_r tᵀ with a full matrix M_r: RESCAL (Nickel, Tresp & Kriegel 2011)."""

    def shape(self, size: int) -> tuple[int, ...]:
        """One matrix."""
        return (size, size)

    def initial(self, relations: int, size: int, generator: torch.Generator | None = None) -> Tensor:
        """Near the identity."""
        noise = torch.randn(relations, size, size, generator=generator)
        return noise.mul_(0.1 * size**-0.5).add_(torch.eye(size))

    def project(self, source: Float[Tensor, "*n d"], relation: Tensor) -> Float[Tensor, "*n d"]:
        """S M."""
        return source @ relation

    def ridge(
        self, source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], links: Float[Tensor, "n m"], penalty: float
    ) -> Float[Tensor, "d d"]:
        """argmin_M |S M Tᵀ - A|² + λ |M|²: the relation that fits given vectors best, in closed form by two SVDs.

        This is ridge regression on all pairs with linear kernels on both ends (Kron-RLS: van Laarhoven
        et al. 2011, doi:10.1093/bioinformatics/btr500), so it needs no training and short vectors get small scores.

        Args:
            source: vectors of the source nodes.
            target: vectors of the target nodes.
            links: 1 where an edge is known, else 0.
            penalty: λ, in units in which the longest vector of either end has length 1.
        """
        ends = [x / x.norm(dim=1).max().clamp(min=torch.finfo(x.dtype).tiny) for x in (source, target)]
        (u, a, v), (p, b, q) = (torch.linalg.svd(x, full_matrices=False) for x in ends)
        shrunk = a[:, None] * b / ((a[:, None] * b) ** 2 + penalty)
        lengths = source.norm(dim=1).max() * target.norm(dim=1).max()
        relation: Tensor = v.T @ (shrunk * (u.T @ links @ p)) @ q / lengths.clamp(min=torch.finfo(source.dtype).tiny)
        return relation
