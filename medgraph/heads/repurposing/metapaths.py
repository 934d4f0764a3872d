"""Metapaths between two node types, and how strongly each one joins every pair: degree-weighted path counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from medgraph.data.graph import EdgeIndex, KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import SchemaError

__all__ = ["Metapath", "MetapathCounter", "Step", "metapaths_between"]


class Step(NamedTuple):
    """One edge type walked in one direction."""

    edge_type: EdgeType
    forward: bool

    @property
    def start(self) -> NodeType:
        """The node type it leaves."""
        return self.edge_type.source if self.forward else self.edge_type.target

    @property
    def end(self) -> NodeType:
        """The node type it enters."""
        return self.edge_type.target if self.forward else self.edge_type.source


@dataclass(frozen=True, order=True)
class Metapath:
    """A sequence of edge types, each walked forward or backward, that fit end to start."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if before.end != after.start:
                raise SchemaError(f"{before.end} and {after.start} do not meet in this metapath.")

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        text = self.steps[0].start
        for step in self.steps:
            text += f" -{step.edge_type.relation}-> " if step.forward else f" <-{step.edge_type.relation}- "
            text += step.end
        return text

    @property
    def node_types(self) -> tuple[NodeType, ...]:
        """The node types it visits, one more than its steps."""
        return (self.steps[0].start, *(step.end for step in self.steps))


def metapaths_between(
    schema: Schema, source: NodeType, target: NodeType, max_length: int, min_length: int = 1
) -> tuple[Metapath, ...]:
    """Which metapaths lead from `source` to `target` in at most `max_length` steps? Shortest first.

    A symmetric edge type counts once, in its forward direction.
    """
    ways: dict[NodeType, list[Step]] = {node_type: [] for node_type in schema.node_types}
    for edge_type in schema.edge_types:
        ways[edge_type.source].append(Step(edge_type, True))
        if edge_type not in schema.symmetric:
            ways[edge_type.target].append(Step(edge_type, False))
    found: list[Metapath] = []
    ends: list[tuple[Step, ...]] = [()]
    for length in range(1, max_length + 1):
        ends = [(*path, step) for path in ends for step in ways[path[-1].end if path else source]]
        if length >= min_length:
            found += sorted(Metapath(path) for path in ends if path[-1].end == target)
    return tuple(found)


@dataclass(eq=False)
class MetapathCounter:
    """DWPC(s, t | M) = sum over paths p in M from s to t of prod over the steps' two degrees d of d^-w.

    Degree-weighted path count (Himmelstein & Baranzini 2015, doi:10.1371/journal.pcbi.1004259): a path counts less the
    more edges of its kind its nodes have. A path visits no node twice.

    Args:
        graph: where the edges are.
        damping: w; 0 counts paths, the paper takes 0.4.
        links: edge type -> (2, n) pairs to use in place of the graph's own edges of that type.
    """

    graph: KnowledgeGraph
    damping: float = 0.4
    links: dict[EdgeType, EdgeIndex] = field(default_factory=dict)
    _steps: dict[Step, csr_array] = field(default_factory=dict, init=False, repr=False)
    _products: dict[tuple[Step, Step], csr_array] = field(default_factory=dict, init=False, repr=False)

    def step(self, step: Step) -> csr_array:
        """The damped adjacency of one step: a_st d_s^-w d_t^-w, as a sparse matrix."""
        if step not in self._steps:
            edge_type = step.edge_type
            index = self.links.get(edge_type)
            source, target = self.graph.edge_index(edge_type) if index is None else index
            if edge_type in self.graph.symmetric:
                source, target = np.concatenate([source, target]), np.concatenate([target, source])
            shape = tuple(self.graph.nodes[t].num_rows for t in (edge_type.source, edge_type.target))
            matrix = csr_array((np.ones(source.size), (source, target)), shape=shape)
            matrix.sum_duplicates()
            matrix.data[:] = 1
            if edge_type.source == edge_type.target:
                matrix.setdiag(0)
                matrix.eliminate_zeros()
            rows, columns = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
            damped = [np.power(np.maximum(degree, 1), -self.damping) for degree in (rows, columns)]
            matrix = matrix.multiply(damped[0][:, None]).multiply(damped[1][None, :]).tocsr()
            self._steps[Step(edge_type, True)] = matrix
            self._steps[Step(edge_type, False)] = matrix.T.tocsr()
        return self._steps[step]

    def count(self, metapath: Metapath) -> Float[np.ndarray, "s t"]:
        """DWPC of every pair.

        Raises:
            SchemaError: a metapath of more than three steps.
        """
        matrices = [self.step(step) for step in metapath.steps]
        types = metapath.node_types
        if len(matrices) == 1:
            result = matrices[0].toarray()
        elif len(matrices) == 2:
            result = self._product(metapath.steps).toarray()
        elif len(matrices) == 3:
            result = _three(matrices, types, self._product(metapath.steps[:2]))
        else:
            raise SchemaError(f"{metapath} has {len(metapath)} steps; path counts go up to three.")
        if types[0] == types[-1]:
            np.fill_diagonal(result, 0)
        return np.asarray(np.maximum(result, 0))

    def without_own_edge(self, metapath: Metapath, relation: EdgeType) -> Float[np.ndarray, "s t"]:
        """The factor by which DWPC(s, t) changes if the edge s -relation-> t, where there is one, is taken away.

        A path from s to t that visits no node twice never walks that edge unless it is the whole path. So only the
        degrees at the two ends change, and they count only where the first or the last step is `relation` itself:
        the factor is ((d - 1) / d)^-w for each such end, exactly.
        """
        matrix = self.step(Step(relation, True))
        factor = np.ones(matrix.shape)
        if len(metapath) == 1:
            return factor if metapath.steps[0] != Step(relation, True) else factor * 0
        symmetric = relation in self.graph.symmetric
        for end, step in enumerate((metapath.steps[0], metapath.steps[-1])):
            if step.edge_type == relation and (step.forward or symmetric):
                degree = np.diff(matrix.indptr) if end == 0 else np.bincount(matrix.indices, minlength=matrix.shape[1])
                left = np.where(degree > 1, (np.maximum(degree, 2) - 1) / np.maximum(degree, 1), 1.0) ** -self.damping
                factor *= left[:, None] if end == 0 else left[None, :]
        return factor

    def _product(self, steps: Iterable[Step]) -> csr_array:
        first, second = steps
        if (first, second) not in self._products:
            self._products[first, second] = (self.step(first) @ self.step(second)).tocsr()
        return self._products[first, second]


def _three(matrices: list[csr_array], types: tuple[NodeType, ...], first_two: csr_array) -> Float[np.ndarray, "s t"]:
    """W1 W2 W3 less the walks that visit a node twice, by inclusion and exclusion."""
    one, two, three = matrices
    returns_to_source, meets_target = types[0] == types[2], types[1] == types[3]
    if returns_to_source:
        first_two = first_two.copy()
        first_two.setdiag(0)
    result = (first_two @ three).toarray()
    if meets_target:
        back = np.asarray(two.multiply(three.T.tocsr()).sum(axis=1)).ravel()  # t -> . -> t
        result -= one.multiply(back[None, :]).toarray()
        if returns_to_source:  # s -> t -> s -> t left in both sums
            result += one.multiply(two.T.tocsr()).multiply(three).toarray()
    return np.asarray(result)
