"""Held-out links leave the graph here, before any walk, message or feature sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, nearest
from medgraph.evaluation.areas import AreaSource, find_areas
from medgraph.evaluation.leaks import LeakReport, Links, check_also_remove, count_leaks, inverse_types

__all__ = ["EdgeSplit", "SplitBy", "distinct_pairs", "split_edges"]

SplitBy: TypeAlias = Literal["edge", "source", "target", "area", "time"]
PARTS = ("train", "valid", "test")
_Numbers: TypeAlias = Int64[np.ndarray, " _"]
_ISO_DATE = r"^\d{4}(-\d{2}(-\d{2})?)?$"


@dataclass(frozen=True, eq=False, repr=False)
class EdgeSplit:
    """The links of one edge type in three parts, and the graph that may be learned from.

    Args:
        graph: the training graph: of `edge_type` it has the train links only.
        edge_type: whose links were split.
        train: local rows of sources and targets, each pair once, a symmetric pair with the smaller row first.
        valid: as train.
        test: as train.
        report: what could leak, and what was removed.
        by: how it was split.
        seed: with which seed.
    """

    graph: KnowledgeGraph
    edge_type: EdgeType
    train: Links
    valid: Links
    test: Links
    report: LeakReport
    by: SplitBy
    seed: int

    @property
    def symmetric(self) -> bool:
        """Is (a, b) the same link as (b, a)?"""
        return self.edge_type in self.graph.symmetric

    @property
    def shape(self) -> tuple[int, int]:
        """How many nodes could be a source, and how many a target?"""
        return self.graph.nodes[self.edge_type.source].num_rows, self.graph.nodes[self.edge_type.target].num_rows

    def part(self, name: str) -> Links:
        """The links of "train", "valid" or "test"; SchemaError for another name."""
        if name not in PARTS:
            raise SchemaError(f"{name!r} is no part of a split; expected one of {', '.join(PARTS)}.")
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]

    def known(self, *parts: str) -> Bool[np.ndarray, "s t"]:
        """Which pairs are links of these parts, of all three if none is named? A symmetric link counts both ways."""
        mask = np.zeros(self.shape, dtype=bool)
        for name in parts or PARTS:
            source, target = self.part(name)
            mask[source, target] = True
            if self.symmetric:
                mask[target, source] = True
        return mask

    def __repr__(self) -> str:
        train, valid, test = self.report.links
        return f"EdgeSplit({self.edge_type} by {self.by}: {train} train, {valid} valid, {test} test, seed {self.seed})"


def split_edges(
    graph: KnowledgeGraph,
    edge_type: EdgeType,
    *,
    by: SplitBy = "edge",
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    areas: AreaSource | None = None,
    also_remove: Sequence[EdgeType] = (),
) -> EdgeSplit:
    """Which links may be learned from, which tune, which judge?

    Held-out links leave the graph together with their duplicates, their inverses under edge types that run the other
    way, and, on request, the same pairs under relations of nearly the same meaning.

    Among nodes of one type (`resembles`, `interacts`) the two ends cannot be told apart: a node or an area is then
    held out at both ends, and (a, b) and (b, a) always share a part.

    Args:
        graph: the whole graph.
        edge_type: whose links to split.
        by: "edge": any link may be held out. "source", "target": whole nodes are, with all their links of this type
            (cold drug, cold disease). "area": whole groups of nodes are. "time": the newest links are, by a column
            `date` (ISO 8601) or `year` of the edges; other edge types are not cut by time.
        fractions: of the links, in train, valid and test; met as closely as whole nodes, areas or dates allow.
        seed: the same seed gives the same split.
        areas: for by="area", a mapping from node id to area or an edge type; see `find_areas`.
        also_remove: relations between the same node types, such as palliates beside treats, from which held-out
            pairs are removed too.

    Raises:
        SchemaError: an unknown edge type or `by`, fractions that are no fractions, too few links, nodes, areas or
            dates for the parts asked for, no dates, or areas that do not fit.
    """
    edge_type = graph.schema.require(edge_type)
    if by not in get_args(SplitBy):
        raise SchemaError(f"by={by!r}; expected one of {', '.join(get_args(SplitBy))}.{nearest(by, get_args(SplitBy))}")
    shares = _check_fractions(fractions)
    removed_too = check_also_remove(graph, edge_type, tuple(also_remove))
    pairs, pair_of_edge = distinct_pairs(graph, edge_type)
    rng = np.random.default_rng(seed)
    in_areas = None
    if by == "edge":
        part = _split_links(pairs, shares, edge_type.source == edge_type.target, rng)
    elif by == "time":
        part = _split_dates(_dates(graph, edge_type, pair_of_edge), shares)
    else:
        ends = (0, 1) if edge_type.source == edge_type.target else (int(by == "target"),) * 2
        groups = pairs[ends, :]
        if by == "area":
            found = find_areas(graph, edge_type, areas, seed)
            if ends != (0, 1):
                ends = (int(found.node_type == edge_type.target),) * 2
            groups = found.numbers[pairs[ends, :]]
            in_areas = (np.unique(groups).size, found.without, found.unused)
        part = _split_groups(groups, shares, rng)
    _check_filled(part, shares, edge_type, by)
    train, valid, test = (np.ascontiguousarray(pairs[:, part == number]) for number in range(3))
    held_out = np.concatenate([valid, test], axis=1)
    removed: dict[EdgeType, Links | None] = {edge_type: held_out}
    one_way, other_way = held_out, held_out[::-1]
    if edge_type.source == edge_type.target:
        one_way = other_way = np.concatenate([held_out, held_out[::-1]], axis=1)
    removed.update(dict.fromkeys(inverse_types(graph, edge_type), other_way))
    removed.update(dict.fromkeys(removed_too, one_way))
    training = graph.without(removed)
    report = count_leaks(graph, training, edge_type, (train, valid, test), removed_too, by, in_areas)
    return EdgeSplit(training, edge_type, train, valid, test, report, by, seed)


def _check_fractions(fractions: Sequence[float]) -> Float[np.ndarray, " 3"]:
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-9 or shares[0] == 0:
        raise SchemaError(f"fractions={fractions}; expected shares of train, valid and test that sum to 1, train > 0.")
    return shares


def _check_filled(part: _Numbers, shares: Float[np.ndarray, " 3"], edge_type: EdgeType, by: str) -> None:
    counts = np.bincount(part, minlength=3)
    for number, name in enumerate(PARTS):
        if shares[number] > 0 and not counts[number]:
            raise SchemaError(
                f"{part.size} {edge_type} links by {by} leave {name} empty; ask for fewer parts (a fraction of 0), "
                "another by=, or add links."
            )


def distinct_pairs(graph: KnowledgeGraph, edge_type: EdgeType) -> tuple[Links, _Numbers]:
    """Each linked pair once, in sorted order, and which of them each stored edge is."""
    source, target = graph.edge_index(edge_type)
    if edge_type in graph.symmetric:
        source, target = np.minimum(source, target), np.maximum(source, target)
    width = graph.nodes[edge_type.target].num_rows
    keys, pair_of_edge = np.unique(source * width + target, return_inverse=True)
    return np.stack(np.divmod(keys, max(1, width))), pair_of_edge


def _split_links(
    pairs: Links, shares: Float[np.ndarray, " 3"], among_one_type: bool, rng: np.random.Generator
) -> _Numbers:
    groups = np.arange(pairs.shape[1])
    if among_one_type:  # (a, b) and (b, a) go together
        low, high = np.sort(pairs, axis=0)
        groups = np.unique(low * (high.max(initial=0) + 1) + high, return_inverse=True)[1]
    order = rng.permutation(int(groups.max(initial=-1)) + 1)
    sizes = np.bincount(groups)[order]
    middle = np.cumsum(sizes) - sizes / 2
    cuts = np.rint(np.cumsum(shares)[:2] * pairs.shape[1])
    part = np.empty_like(order)
    part[order] = np.searchsorted(cuts, middle, side="left")
    return part[groups]


def _dates(graph: KnowledgeGraph, edge_type: EdgeType, pair_of_edge: _Numbers) -> _Numbers:
    """The place in time of each pair's earliest edge."""
    table = graph.edges[edge_type]
    column = next((name for name in ("date", "year") if name in table.column_names), None)
    if column is None:
        raise SchemaError(f'by="time" needs a column "date" or "year" on {edge_type}; it has {table.column_names}.')
    if table.column(column).null_count:
        raise SchemaError(
            f"{table.column(column).null_count} of {table.num_rows} {edge_type} edges have no {column}; "
            'by="time" needs one for each. Fill them in or remove these edges first.'
        )
    values = table.column(column).to_pandas()
    if values.dtype.kind not in "if" and not values.astype(str).str.match(_ISO_DATE).all():
        wrong = values[~values.astype(str).str.match(_ISO_DATE)].iloc[0]
        raise SchemaError(f"{column} {wrong!r} of {edge_type} is no ISO 8601 date such as 2001, 2001-07 or 2001-07-31.")
    ordinal = np.unique(values.to_numpy(), return_inverse=True)[1]
    earliest = np.full(int(pair_of_edge.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, pair_of_edge, ordinal)
    return earliest


def _split_dates(dates: _Numbers, shares: Float[np.ndarray, " 3"]) -> _Numbers:
    days, day = np.unique(dates, return_inverse=True)
    before = np.concatenate([[0], np.cumsum(np.bincount(day, minlength=days.size))])
    wanted = np.cumsum(shares)[:2] * dates.size
    last = days.size if shares[2] == 0 else days.size - 1  # a part that was asked for gets a day
    second = int(np.abs(before[: last + 1] - wanted[1]).argmin())
    first = second if shares[1] == 0 else int(np.abs(before[: max(1, second)] - wanted[0]).argmin())
    return np.searchsorted([first, second], day, side="right").astype(np.int64)


def _split_groups(groups: Links, shares: Float[np.ndarray, " 3"], rng: np.random.Generator) -> _Numbers:
    """The part of each link when whole groups are held out; a link goes to the later part of its two groups'.

    Groups are placed from the largest to the smallest, each into a part where it fits, drawn in proportion to the
    room left: so large groups are held out about as often as small ones, and small ones fill the gaps.
    """
    names, ends = np.unique(groups, return_inverse=True)
    ends = ends.reshape(groups.shape)
    if (ends[0] != ends[1]).any():  # a link stays in train only if both its groups do
        kept, seen = np.sqrt(shares[0]), np.sqrt(shares[0] + shares[1])
        draw = np.array([kept, seen - kept, 1 - seen])
    else:
        draw = shares
    sizes = np.bincount(ends.ravel(), minlength=names.size)
    room, chance = draw * sizes.sum(), rng.random(names.size)
    part = np.zeros(names.size, dtype=np.int64)
    for group in np.lexsort((rng.random(names.size), -sizes)).tolist():
        weights = np.cumsum(np.where(room >= sizes[group], room, 0.0))
        chosen = int(np.searchsorted(weights, chance[group] * weights[-1], side="right")) if weights[-1] else 3
        part[group] = chosen = chosen if chosen < 3 else int(room.argmax())
        room[chosen] -= sizes[group]
    part = _improve(part, ends, shares, rng)
    return np.asarray(part[ends].max(axis=0))


def _improve(part: _Numbers, ends: Links, shares: Float[np.ndarray, " 3"], rng: np.random.Generator) -> _Numbers:
    """Move single groups, each tried once in random order, while that brings the parts nearer to their fractions."""
    wanted = shares * ends.shape[1]
    counts = np.bincount(part[ends].max(axis=0), minlength=3)
    links = np.argsort(ends.ravel(), kind="stable") % max(1, ends.shape[1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends.ravel(), minlength=part.size))])

    def distance(counts: _Numbers) -> float:
        empty = ((counts == 0) & (shares > 0)).sum()
        return float(np.abs(counts - wanted).sum() + empty * 2 * ends.shape[1])

    for group in rng.permutation(part.size).tolist():
        if distance(counts) < 2:
            break
        mine = np.unique(links[starts[group] : starts[group + 1]])
        before = np.bincount(part[ends[:, mine]].max(axis=0), minlength=3)
        best = (distance(counts), int(part[group]), counts)
        for other in np.flatnonzero(shares > 0).tolist():
            part[group] = other
            moved = counts - before + np.bincount(part[ends[:, mine]].max(axis=0), minlength=3)
            best = min(best, (distance(moved), other, moved), key=lambda option: option[0])
        _, part[group], counts = best
    return part
