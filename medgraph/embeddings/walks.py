"""Random walks over a graph: uniform, node2vec, along metapaths, and balanced over edge types.

A walk depends on (seed, its number) alone: not on batch size, thread count or device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.adjacency import Adjacency, Draws, PairSet, pick, unit_threshold
from medgraph.errors import SchemaError

__all__ = ["MetapathWalks", "Node2VecWalks", "RelationBalancedWalks", "UniformWalks", "WalkSampler", "Walks"]

BATCH = 16_384  # walks that one thread takes at once: arrays that stay in its cache, below torch's own threading
ENDED = -1  # fills the row of a walk that found no way on
Step = Callable[[Tensor, Tensor, Draws, int], Tensor]  # (current, previous, draws, step number) -> next


@dataclass(frozen=True)
class Walks(ABC):
    """How walks are taken; every edge is walked in both directions.

    Args:
        walks_per_node: walks that start at each node.
        length: nodes in a walk; fewer where there is no way on (one, at an isolated node).

    Raises:
        SchemaError: a parameter out of range.
    """

    walks_per_node: int = 10
    length: int = 40

    def __post_init__(self) -> None:
        if self.walks_per_node < 1 or self.length < 1:
            raise SchemaError(f"walks_per_node={self.walks_per_node}, length={self.length}: both must be at least 1.")

    @abstractmethod
    def _plan(self, adjacency: Adjacency) -> _Plan:
        """The walk's states, its starts, and how one step is taken."""

    def on(self, graph: KnowledgeGraph | Adjacency, seed: int = 0, device: torch.device | str = "cpu") -> WalkSampler:
        """These walks on a graph, each one reproducible by its number."""
        adjacency = graph if isinstance(graph, Adjacency) else Adjacency.of(graph, device)
        return WalkSampler(self, adjacency, seed)


@dataclass(frozen=True, eq=False)
class _Plan:
    starts: Int64[Tensor, " starts"]
    step: Step
    num_states: int  # a state is a node, or a node at a place of a metapath: state % num_nodes is the node


class WalkSampler:
    """Walks on one graph, in an order shuffled by the seed; `len()` of them, sampled when they are asked for."""

    def __init__(self, walks: Walks, adjacency: Adjacency, seed: int = 0) -> None:
        self.walks, self.adjacency, self.seed = walks, adjacency, seed
        self._plan = walks._plan(adjacency)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def __len__(self) -> int:
        return self._plan.starts.numel() * self.walks.walks_per_node

    def sample(self, first: int = 0, last: int | None = None) -> Int64[Tensor, "walks length"]:
        """Walks number `first` to `last` (exclusive) as global node indices; -1 after the end of a short one."""
        last = len(self) if last is None else min(last, len(self))
        starts = self._starts(first, last)
        draws = Draws(self.seed, torch.arange(first, last, device=starts.device))
        states = starts.new_empty(self.walks.length, starts.numel())
        current = previous = states[0] = starts
        for number in range(1, self.walks.length):
            current, previous = self._plan.step(current, previous, draws, number), current
            states[number] = current
        states.masked_fill_(states == self._plan.num_states, ENDED)
        if self._plan.num_states != self.adjacency.num_nodes:
            states = torch.where(states == ENDED, ENDED, states % self.adjacency.num_nodes)
        return states.T

    def batches(self, size: int = BATCH) -> Iterator[Int64[Tensor, "walks length"]]:
        """All walks, `size` at a time; on a CPU, torch's number of threads sample a batch each."""
        firsts = range(0, len(self), size)
        threads = torch.get_num_threads() if self.adjacency.offsets.device.type == "cpu" else 1
        if threads == 1 or len(firsts) == 1:
            yield from (self.sample(first, first + size) for first in firsts)
            return
        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[Tensor]] = deque()
            for first in firsts:
                ahead.append(pool.submit(self.sample, first, first + size))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            yield from (future.result() for future in ahead)

    def __iter__(self) -> Iterator[Int64[np.ndarray, " nodes"]]:
        """Each walk as an array of global node indices, without fill."""
        for batch in self.batches():
            rows = batch.cpu().numpy()
            lengths = (rows != ENDED).sum(1)
            yield from (row[:length] for row, length in zip(rows, lengths, strict=True))

    def _starts(self, first: int, last: int) -> Tensor:
        """Every round visits all starts once, in an order of its own."""
        size = self._plan.starts.numel()
        order = [self._plan.starts.new_empty(0)]
        while first < last:
            turn, place = divmod(first, size)
            known, shuffled = self._order  # read once: other threads may be in another turn
            if known != turn:
                generator = torch.Generator().manual_seed((self.seed * 1_000_003 + turn) % 2**63)
                shuffled = torch.randperm(size, generator=generator)
                self._order = turn, shuffled
            order.append(shuffled[place : place + last - first].to(order[0].device))
            first += order[-1].numel()
        return self._plan.starts[torch.cat(order)]


def _uniform_step(offsets: Tensor, neighbours: Tensor) -> Step:
    """Any neighbour with the same probability; a state without neighbours goes to state `n`, which stays there."""
    end = offsets.numel() - 1
    counts = torch.cat([offsets.diff(), offsets.new_zeros(1)])
    first = torch.where(counts > 0, offsets, neighbours.numel())
    neighbours = torch.cat([neighbours, neighbours.new_full((1,), end)])

    def step(current: Tensor, _previous: Tensor, draws: Draws, number: int) -> Tensor:
        at = pick(draws(number)[0], counts.take(current)).add_(first.take(current))
        return neighbours.take(at)

    return step


@dataclass(frozen=True)
class UniformWalks(Walks):
    """P(next | current) = 1 / degree(current) (DeepWalk; Perozzi et al. 2014)."""

    def _plan(self, adjacency: Adjacency) -> _Plan:
        step = _uniform_step(adjacency.offsets, adjacency.neighbours)
        return _Plan(torch.arange(adjacency.num_nodes, device=adjacency.offsets.device), step, adjacency.num_nodes)


@dataclass(frozen=True)
class Node2VecWalks(Walks):
    """P(next | current, previous) ∝ 1/p if it is previous, 1 if it is a neighbour of previous, 1/q otherwise.

    Grover and Leskovec 2016 (node2vec), by rejection: propose a neighbour uniformly, accept it in proportion to its
    weight. Exact, with no table per edge.

    Args:
        p: the larger, the rarer a return.
        q: below 1 the walk goes outward, above 1 it stays near.
    """

    p: float = 1.0
    q: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.p > 0 and self.q > 0):
            raise SchemaError(f"p={self.p}, q={self.q}: both must be positive.")

    def _plan(self, adjacency: Adjacency) -> _Plan:
        end = adjacency.num_nodes
        uniform = _uniform_step(adjacency.offsets, adjacency.neighbours)
        counts = torch.cat([adjacency.degrees, adjacency.offsets.new_zeros(1)])
        neighbours = torch.cat([adjacency.neighbours, adjacency.neighbours.new_full((1,), end)])
        joined = PairSet(adjacency)
        top = max(1 / self.p, 1.0, 1 / self.q)
        back, near, far = (unit_threshold(weight / top) for weight in (1 / self.p, 1.0, 1 / self.q))
        surely = min(back, near, far)

        def accepted(bits: Tensor, chosen: Tensor, previous: Tensor) -> Tensor:
            """Only proposals between the smallest and the largest weight need to be looked up."""
            keep = bits < surely
            doubt = keep.logical_not().nonzero().squeeze(1)
            there, before = chosen[doubt], previous[doubt]
            limit = torch.where(there == before, back, torch.where(joined(there, before), near, far))
            keep[doubt] = bits[doubt] < limit
            return keep

        def step(current: Tensor, previous: Tensor, draws: Draws, number: int) -> Tensor:
            if number == 1 or top == min(1 / self.p, 1.0, 1 / self.q):
                return uniform(current, previous, draws, number)
            result = torch.full_like(current, end)
            waiting = (counts.take(current) > 0).nonzero().squeeze(1)
            attempt = 0
            while waiting.numel():
                here = current[waiting]
                which, bits = draws(number + (attempt << 32), waiting)
                chosen = neighbours.take(pick(which, counts.take(here)).add_(adjacency.offsets.take(here)))
                keep = accepted(bits, chosen, previous[waiting])
                result[waiting[keep]] = chosen[keep]
                waiting, attempt = waiting[~keep], attempt + 1
            return result

        return _Plan(torch.arange(end, device=neighbours.device), step, end)


@dataclass(frozen=True)
class RelationBalancedWalks(Walks):
    """An edge type, uniformly among those at the current node, then a neighbour over it, uniformly.

    Rare relations (a drug's few indications) are walked as often as frequent ones (its hundreds of genes).
    """

    def _plan(self, adjacency: Adjacency) -> _Plan:
        end, ends = adjacency.num_nodes, adjacency.neighbours.numel()
        rows = torch.repeat_interleave(torch.arange(end, device=adjacency.offsets.device), adjacency.degrees)
        kinds = int(adjacency.relations.max()) + 1 if ends else 1
        keys, sizes = torch.unique_consecutive(rows * kinds + adjacency.relations, return_counts=True)
        zero = sizes.new_zeros(1)
        group_first = torch.cat([sizes.cumsum(0) - sizes, zero + ends])  # the last group is "no way on"
        group_sizes = torch.cat([sizes, zero])
        group_counts = torch.bincount(keys.div(kinds, rounding_mode="floor"), minlength=end + 1)
        node_first = torch.where(group_counts > 0, group_counts.cumsum(0) - group_counts, sizes.numel())
        neighbours = torch.cat([adjacency.neighbours, zero + end])

        def step(current: Tensor, _previous: Tensor, draws: Draws, number: int) -> Tensor:
            which, bits = draws(number)
            group = pick(which, group_counts.take(current)).add_(node_first.take(current))
            return neighbours.take(pick(bits, group_sizes.take(group)).add_(group_first.take(group)))

        return _Plan(torch.arange(end, device=neighbours.device), step, end)


@dataclass(frozen=True)
class MetapathWalks(Walks):
    """The edge types of a metapath in turn, again and again, a neighbour uniformly each time (metapath2vec, 2017).

    Args:
        metapaths: each a chain of edge types that ends in the node type where it began; an edge type may be walked
            against its direction. Every node of a metapath's first type starts `walks_per_node` walks along it.

    Raises:
        SchemaError: no metapath, an edge type that the graph lacks, or a chain that does not close.
    """

    metapaths: tuple[tuple[EdgeType, ...], ...] = field(default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metapaths or not all(self.metapaths):
            raise SchemaError("MetapathWalks needs metapaths, such as ((treats, treats),) with a treats EdgeType.")
        paths = tuple(tuple(EdgeType(*edge_type) for edge_type in path) for path in self.metapaths)
        object.__setattr__(self, "metapaths", paths)
        for path in paths:
            _first_type(path)

    def _plan(self, adjacency: Adjacency) -> _Plan:
        graph = adjacency.graph
        if graph is None:
            raise SchemaError("MetapathWalks need a KnowledgeGraph: bare triples have no node types.")
        n, device = adjacency.num_nodes, adjacency.offsets.device
        places = [(path, place) for path in self.metapaths for place in range(len(path))]
        num_states = n * len(places)
        starts, offsets, neighbours = [], [adjacency.offsets.new_zeros(1)], []
        filled = layer = 0
        for path in self.metapaths:
            node_type = _first_type(path)
            rows = graph.nodes[graph.schema.require_node_type(node_type)].num_rows
            starts.append(torch.arange(rows, device=device) + graph.offsets[node_type] + layer * n)
            for place, edge_type in enumerate(path):
                part = adjacency.only(graph.edge_types.index(graph.schema.require(edge_type)))
                following = layer + (place + 1) % len(path)
                offsets.append(part.offsets[1:] + filled)
                neighbours.append(part.neighbours + following * n)
                filled += part.neighbours.numel()
            layer += len(path)
        return _Plan(torch.cat(starts), _uniform_step(torch.cat(offsets), torch.cat(neighbours)), num_states)


def _first_type(path: tuple[EdgeType, ...]) -> str:
    """The node type from which the chain can be walked and closes."""
    for start in (path[0].source, path[0].target):
        here = start
        for source, _, target in path:
            if here not in (source, target):
                break
            here = target if here == source else source
        else:
            if here == start:
                return start
    raise SchemaError(f"The metapath {' '.join(map(str, path))} is no chain that ends in the node type where it began.")
