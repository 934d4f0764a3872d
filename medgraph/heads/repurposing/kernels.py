"""Guilt by association: similar drugs treat similar diseases, as a Kronecker product of similarity kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from medgraph.data.graph import EdgeIndex
from medgraph.errors import SchemaError
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, PreparedScorer, Scores, log_like
from medgraph.heads.repurposing.similarity import Cosines, mixed, neighbour_cosines

__all__ = ["KroneckerRidge", "SharedNeighbours", "aligned_weights"]

LANDMARKS = 2000


@dataclass(frozen=True, eq=False)
class KroneckerRidge(PreparedScorer):
    """F = argmin ||F - A||^2 + lambda <F, (K_s x K_t)^-1 F>: kernel ridge regression over pairs, in closed form.

    Kronecker regularised least squares (Pahikkala et al. 2015, doi:10.1093/bib/bbu010): with K = U diag(l) U' on each
    side, F = U (L / (L + lambda) * (U' A V)) V', L the outer product of the two spectra. Several kernels of one side
    are summed with the non-negative weights that best explain which of its nodes share links (`aligned_weights`). The
    target side is mixed with the identity, so that a node's own links count more than its neighbours'.

    A side of more than `LANDMARKS` nodes is regressed on its linked nodes and a sample of the others; the rest follow
    through their similarity to these.

    Args:
        task: what is predicted.
        sources: kernels among the sources.
        targets: kernels among the targets.
        ridge: lambda.
        mixing: share of the summed kernel in the target side's; the rest is the identity.
    """

    task: LinkTask
    sources: Sequence[Cosines]
    targets: Sequence[Cosines]
    ridge: float = 1.0
    mixing: float = 0.5

    def score(self, links: EdgeIndex) -> Scores:
        """log_like(F) of every pair, A being the matrix of `links`."""
        matrix = self.task.matrix(links)
        if not self.sources or not self.targets or not links.size:
            return np.zeros(self.task.shape)
        rows, columns = (_landmarks(m, self.task.seed) for m in (matrix, matrix.T))
        left = mixed(self.sources, aligned_weights(self.sources, matrix), rows)
        right = self.mixing * mixed(self.targets, aligned_weights(self.targets, matrix.T), columns)
        right[columns, np.arange(columns.size)] = 1.0
        (spectrum_s, basis_s), (spectrum_t, basis_t) = (_spectrum(k) for k in (left[rows], right[columns]))
        inner = basis_s.T @ matrix[np.ix_(rows, columns)] @ basis_t
        inner /= spectrum_s[:, None] * spectrum_t[None, :] + self.ridge
        return log_like((left @ basis_s) @ inner @ (right @ basis_t).T)


def _landmarks(matrix: Scores, seed: int) -> Int64[np.ndarray, " k"]:
    """All rows, or, where they are many, those with links and a sample of the others."""
    n = len(matrix)
    if n <= LANDMARKS:
        return np.arange(n)
    linked = matrix.any(axis=1)
    others = np.random.default_rng([seed, n]).permutation(np.flatnonzero(~linked))
    return np.sort(np.concatenate([np.flatnonzero(linked), others[: max(0, LANDMARKS - int(linked.sum()))]]))


def _spectrum(kernel: Scores) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
    from scipy.linalg import eigh

    values, vectors = eigh(kernel, driver="evd", check_finite=False)
    return np.maximum(values, 0), vectors


def aligned_weights(kernels: Sequence[Cosines], matrix: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " k"]:
    """Which non-negative mix of kernels best predicts that two nodes share links? Sums to one.

    Non-negative least squares from the kernels' values to the cosine of the two nodes' rows in `matrix`, over pairs of
    nodes that both have links, everything centred (kernel-target alignment, Cortes et al. 2012).
    """
    from scipy.optimize import nnls

    linked = np.flatnonzero(matrix.any(axis=1))
    if len(kernels) == 1 or linked.size < 3:
        return np.full(len(kernels), 1 / len(kernels))
    rows = matrix[linked] / np.linalg.norm(matrix[linked], axis=1, keepdims=True)
    i, j = np.triu_indices(linked.size, 1)
    shared = (rows @ rows.T)[i, j]
    values = np.stack([kernel.to(linked)[linked][i, j] for kernel in kernels], axis=1)
    values, shared = values - values.mean(axis=0), shared - shared.mean()
    gram = values.T @ values
    gram += 1e-6 * (np.trace(gram) or 1.0) * np.eye(len(kernels))
    factor = np.linalg.cholesky(gram)
    weights, _ = nnls(factor.T, np.linalg.solve(factor, values.T @ shared))
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(kernels), 1 / len(kernels))


@dataclass(frozen=True)
class SharedNeighbours(LinkScorer):
    """Kronecker ridge over one kernel per edge type: the cosine of two nodes' neighbours of that type.

    Args:
        ridge: lambda of `KroneckerRidge`.
        mixing: its share of the target kernels.
    """

    ridge: float = 1.0
    mixing: float = 0.5

    def prepare(self, task: LinkTask) -> PreparedScorer:
        """Compare nodes by each edge type that reaches them; types that join the relation's two ends count as well."""
        if self.ridge <= 0 or not 0 <= self.mixing <= 1:
            raise SchemaError(f"ridge={self.ridge}, mixing={self.mixing}: expected ridge > 0 and mixing in [0, 1].")
        return KroneckerRidge(task, _kernels(task, 0), _kernels(task, 1), self.ridge, self.mixing)


def _kernels(task: LinkTask, side: int) -> list[Cosines]:
    node_type = (task.relation.source, task.relation.target)[side]
    reaching = [e for e in task.graph.edge_types if node_type in {e.source, e.target}]
    found = (neighbour_cosines(task, side, [edge_type]) for edge_type in reaching)
    return [kernel for kernel in found if not kernel.empty]
