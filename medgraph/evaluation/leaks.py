"""What could leak from held-out links into training, counted, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.evaluation.printing import as_text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["LeakReport", "Links", "check_also_remove", "count_leaks", "inverse_types", "same_pair_types"]

Links: TypeAlias = Int64[np.ndarray, "2 _"]  # local rows of sources and targets


@dataclass(frozen=True, repr=False)
class LeakReport:
    """What could tell a model about held-out links; `inverse_twins` and `also_removed` left the training graph.

    All counts are of held-out links (valid and test) unless said otherwise.

    Args:
        edge_type: whose links were split.
        by: how.
        links: how many in train, valid and test.
        duplicates: further edges between an already counted pair; they share its part.
        symmetric_twins: links of a relation between one node type whose reverse is stored too; both share one part.
        inverse_twins: edge type running the other way -> links that stand there swapped. Removed.
        same_pair: another relation between the same node types -> links that stand there too.
        also_removed: those of `same_pair` that were removed on request.
        neighbours: relation among nodes of one end -> links (c, d) for which training has (c, d') or (c', d) with the
            other node a neighbour, parent, child or (in a hierarchy) sibling. Left in: it is legitimate evidence, but
            says how far the split asks for more than copying from the nearest relative.
        cold_source: links whose source has no link in training.
        cold_target: links whose target has none.
        cold_both: links of which neither end has one.
        isolated: ids that had an edge, and have none of any type in the training graph.
        areas: how many areas hold links, for a split by area.
        without_area: how many nodes of that end were given no area; each is one of its own.
        unused_areas: how many ids of a given mapping from id to area are not in the graph.
    """

    edge_type: EdgeType
    by: str
    links: tuple[int, int, int]
    duplicates: int
    symmetric_twins: int
    inverse_twins: Mapping[EdgeType, int]
    same_pair: Mapping[EdgeType, int]
    also_removed: tuple[EdgeType, ...]
    neighbours: Mapping[EdgeType, int]
    cold_source: int
    cold_target: int
    cold_both: int
    isolated: tuple[str, ...]
    areas: int | None = None
    without_area: int = 0
    unused_areas: int = 0
    held_out: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "held_out", self.links[1] + self.links[2])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; edge types as `Source-relation-Target`."""
        plain: dict[str, Any] = {**vars(self), "edge_type": str(self.edge_type)}
        for name in ("inverse_twins", "same_pair", "neighbours"):
            plain[name] = {str(edge_type): count for edge_type, count in plain[name].items()}
        plain["links"] = dict(zip(("train", "valid", "test"), self.links, strict=True))
        plain["also_removed"] = [str(edge_type) for edge_type in self.also_removed]
        plain["isolated"] = list(self.isolated)
        return plain

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        train, valid, test = self.links
        source, target = self.edge_type.source, self.edge_type.target
        table = Table(title=f"{self.edge_type} by {self.by}: {train} train, {valid} valid, {test} test")
        table.add_column("What could leak")
        table.add_column(f"of {self.held_out} held out", justify="right")
        table.add_column("What was done")
        table.add_row("the links themselves", str(self.held_out), "removed")
        for edge_type, count in self.inverse_twins.items():
            table.add_row(f"inverse twins: {edge_type}", str(count), "removed")
        if source == target:
            table.add_row("symmetric twins", str(self.symmetric_twins), "share one part")
        for edge_type, count in self.same_pair.items():
            done = "removed" if edge_type in self.also_removed else "left in; also_remove= takes them out"
            table.add_row(f"same pair: {edge_type}", str(count), done if count else "")
        for edge_type, count in self.neighbours.items():
            table.add_row(f"a near relative is linked: {edge_type}", str(count), "left in" if count else "")
        for what, count in (
            (f"no training link: {source}" + (" (first end)" if source == target else ""), self.cold_source),
            (f"no training link: {target}" + (" (second end)" if source == target else ""), self.cold_target),
            ("no training link: both ends", self.cold_both),
        ):
            table.add_row(what, str(count), "")
        notes = [f"{self.duplicates} duplicate edges share their pair's part.", self._isolated_note()]
        if self.areas is not None:
            notes.append(
                f"{self.areas} areas hold links; {self.without_area} nodes without one are areas of their own."
            )
        if self.unused_areas:
            notes.append(f"{self.unused_areas} ids of areas= are not in the graph.")
        table.caption = escape("\n".join(notes))
        table.caption_justify = "left"
        return table

    def _isolated_note(self) -> str:
        shown = ", ".join(self.isolated[:5]) + (", ..." if len(self.isolated) > 5 else "")
        return f"{len(self.isolated)} nodes are left without any edge" + (f": {shown}." if shown else ".")

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__


def inverse_types(graph: KnowledgeGraph, edge_type: EdgeType) -> tuple[EdgeType, ...]:
    """Which edge types say the same the other way round?

    Between two node types, every one that runs the other way. Among nodes of one type, where all relations do, a
    directed one that holds at least half of this type's pairs swapped (`has_part` beside `part_of`).
    """
    swapped = edge_type._replace(source=edge_type.target, target=edge_type.source)
    others = [
        t for t in graph.edge_types if t != edge_type and (t.source, t.target) == (swapped.source, swapped.target)
    ]
    if edge_type.source != edge_type.target:
        return tuple(others)
    pairs = graph.edge_index(edge_type)[::-1]
    return tuple(
        t for t in others if t not in graph.symmetric and pairs.size and _stored(graph, t, pairs).mean() >= 0.5
    )


def same_pair_types(graph: KnowledgeGraph, edge_type: EdgeType) -> tuple[EdgeType, ...]:
    """Which other relations join the same two node types, so that one could stand in for the other?"""
    inverse = inverse_types(graph, edge_type)
    ends = (edge_type.source, edge_type.target)
    return tuple(t for t in graph.edge_types if t != edge_type and t not in inverse and (t.source, t.target) == ends)


def count_leaks(
    graph: KnowledgeGraph,
    training: KnowledgeGraph,
    edge_type: EdgeType,
    parts: tuple[Links, Links, Links],
    also_removed: tuple[EdgeType, ...],
    by: str,
    areas: tuple[int, int, int] | None = None,
) -> LeakReport:
    """The leak report of a split of `graph` into `parts`, with `training` what is left to learn from."""
    train, held_out = parts[0], np.concatenate(parts[1:], axis=1)
    among_one_type = edge_type.source == edge_type.target
    distinct = sum(part.shape[1] for part in parts)
    twins = 0
    if among_one_type and edge_type not in graph.symmetric:
        twins = int((_stored(graph, edge_type, held_out[::-1]) & (held_out[0] != held_out[1])).sum())

    def standing_in(other: EdgeType, pairs: Links) -> int:
        stored = _stored(graph, other, pairs)
        return int((stored | _stored(graph, other, pairs[::-1]) if among_one_type else stored).sum())

    cold_source, cold_target = _cold(train, held_out, among_one_type)
    return LeakReport(
        edge_type,
        by,
        (parts[0].shape[1], parts[1].shape[1], parts[2].shape[1]),
        graph.edges[edge_type].num_rows - distinct,
        twins,
        {t: standing_in(t, held_out[::-1]) for t in inverse_types(graph, edge_type)},
        {t: standing_in(t, held_out) for t in same_pair_types(graph, edge_type)},
        also_removed,
        {t: int(_near(graph, edge_type, t, train, held_out).sum()) for t in _relatives(graph, edge_type)},
        int(cold_source.sum()),
        int(cold_target.sum()),
        int((cold_source & cold_target).sum()),
        _isolated(graph, training),
        *(areas or (None, 0, 0)),
    )


def _stored(graph: KnowledgeGraph, edge_type: EdgeType, pairs: Links) -> Bool[np.ndarray, " n"]:
    """Which of `pairs` are edges of this type, either way round if it is symmetric?"""
    width = max(graph.nodes[edge_type.source].num_rows, graph.nodes[edge_type.target].num_rows)
    source, target = graph.edge_index(edge_type)
    keys = source * width + target
    found = np.isin(pairs[0] * width + pairs[1], keys)
    if edge_type in graph.symmetric:
        found |= np.isin(pairs[1] * width + pairs[0], keys)
    return found


def _cold(train: Links, held_out: Links, among_one_type: bool) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    if among_one_type:
        return ~np.isin(held_out[0], train), ~np.isin(held_out[1], train)
    return ~np.isin(held_out[0], train[0]), ~np.isin(held_out[1], train[1])


def _relatives(graph: KnowledgeGraph, edge_type: EdgeType) -> list[EdgeType]:
    close = {edge_type, *inverse_types(graph, edge_type), *same_pair_types(graph, edge_type)}
    ends = {edge_type.source, edge_type.target}
    return [t for t in graph.edge_types if t.source == t.target and t.source in ends and t not in close]


def _near(
    graph: KnowledgeGraph, edge_type: EdgeType, along: EdgeType, train: Links, held_out: Links
) -> Bool[np.ndarray, " n"]:
    """Which held-out links does training hold for a relative of one of their ends?"""
    size = graph.nodes[along.source].num_rows
    parents = _matrix(graph.edge_index(along), size, size)
    near = (parents + parents.T).tocsr()
    hierarchy = along not in graph.symmetric and connected_components(parents, connection="strong")[0] == size
    shape = graph.nodes[edge_type.source].num_rows, graph.nodes[edge_type.target].num_rows
    found = np.zeros(held_out.shape[1], dtype=bool)
    if edge_type.source == edge_type.target:
        trained = _matrix(np.concatenate([train, train[::-1]], axis=1), *shape)
        views = [(trained, held_out), (trained, held_out[::-1])]
    else:
        trained = _matrix(train, *shape)
        views = [(trained, held_out)] if along.source == edge_type.target else [(trained.T.tocsr(), held_out[::-1])]
    for linked, (fixed, moved) in views:
        for start in range(0, found.size, 4096):
            part = slice(start, start + 4096)
            rows = linked[fixed[part]]
            found[part] |= np.asarray(rows.multiply(near[moved[part]]).sum(axis=1)).ravel() > 0
            if hierarchy:
                shared = (rows @ parents).multiply(parents[moved[part]])
                found[part] |= np.asarray(shared.sum(axis=1)).ravel() > 0
    return found


def _matrix(pairs: Int64[np.ndarray, "2 n"], rows: int, columns: int) -> Any:
    return csr_array((np.ones(pairs.shape[1], dtype=np.float32), (pairs[0], pairs[1])), shape=(rows, columns))


def _isolated(graph: KnowledgeGraph, training: KnowledgeGraph) -> tuple[str, ...]:
    """Ids that lost their last edge."""
    lost = []
    for node_type in graph.node_types:
        had, has = _touched(graph, node_type), _touched(training, node_type)
        lost += [graph.ids[graph.offsets[node_type] + row] for row in np.flatnonzero(had & ~has).tolist()]
    return tuple(lost)


def _touched(graph: KnowledgeGraph, node_type: str) -> Bool[np.ndarray, " n"]:
    touched = np.zeros(graph.nodes[node_type].num_rows, dtype=bool)
    for edge_type in graph.edge_types:
        source, target = graph.edge_index(edge_type)
        if edge_type.source == node_type:
            touched[source] = True
        if edge_type.target == node_type:
            touched[target] = True
    return touched


def check_also_remove(
    graph: KnowledgeGraph, edge_type: EdgeType, also_remove: tuple[EdgeType, ...]
) -> tuple[EdgeType, ...]:
    """`also_remove`, if each could hold the same pairs; SchemaError if one could not."""
    possible = same_pair_types(graph, edge_type)
    for given in also_remove:
        other = graph.schema.require(given)
        if other not in possible and other not in inverse_types(graph, edge_type):
            known = ", ".join(map(str, possible)) or "there is none"
            raise SchemaError(f"also_remove={other} does not join the pairs of {edge_type}. Those that do: {known}.")
    return tuple(t for t in dict.fromkeys(EdgeType.of(given) for given in also_remove) if t in possible)
