"""Which nodes belong together? Disease areas, drug classes, chapters: what must not be torn apart by a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import SchemaError

__all__ = ["AreaSource", "Areas", "find_areas"]

AreaSource: TypeAlias = Mapping[str, str] | EdgeType


@dataclass(frozen=True, eq=False)
class Areas:
    """An area for each node of one type; a node without one is an area of its own.

    Args:
        node_type: whose areas.
        numbers: area number of each row.
        without: how many rows were given no area.
        unused: how many ids of the mapping are not nodes of this type.
    """

    node_type: NodeType
    numbers: Int64[np.ndarray, " n"]
    without: int
    unused: int = 0


def find_areas(graph: KnowledgeGraph, edge_type: EdgeType, source: AreaSource | None, seed: int = 0) -> Areas:
    """The areas of one end of `edge_type`: of its target where both ends would do.

    Args:
        graph: the graph to be split.
        edge_type: whose links will be split.
        source: node id -> area; or an edge type that joins what belongs together: a hierarchy (`is_a`), a similarity
            (`resembles`), a membership (`includes`). Areas are then its connected components; a component that holds
            more than half of the links is cut into communities (Louvain; Blondel et al. 2008).
        seed: for the communities.

    Raises:
        SchemaError: nothing given, an edge type that does not touch an end, or a mapping that knows no node of them.
    """
    ends = (edge_type.target, edge_type.source)
    if source is None:
        fitting = [str(t) for t in graph.edge_types if t != edge_type and set(ends) & {t.source, t.target}]
        raise SchemaError(
            'by="area" needs areas=: a mapping from node id to area, or an edge type that joins what belongs together. '
            f"Edge types that touch {edge_type}: {', '.join(fitting) or 'none'}."
        )
    return _from_mapping(graph, ends, source) if isinstance(source, Mapping) else _along(graph, edge_type, source, seed)


def _from_mapping(graph: KnowledgeGraph, ends: tuple[NodeType, ...], areas: Mapping[str, str]) -> Areas:
    ids = {end: graph.nodes[end].column("id").to_pylist() for end in ends}
    found = {end: sum(id_ in areas for id_ in ids[end]) for end in ends}
    end = max(found, key=lambda name: found[name])  # the first, the target, where equal
    if not found[end]:
        example = next(iter(areas), None)
        raise SchemaError(
            f"None of the {len(areas)} ids in areas= (for example {example!r}) is a {' or '.join(dict.fromkeys(ends))} "
            f"of this graph; its ids look like {ids[ends[0]][0] if ids[ends[0]] else None!r}."
        )
    names = [areas.get(id_) for id_ in ids[end]]
    number = {name: i for i, name in enumerate(sorted({str(name) for name in names if name is not None}))}
    rows = np.array([-1 if name is None else number[str(name)] for name in names], dtype=np.int64)
    return _complete(end, rows, len(areas) - found[end])


def _along(graph: KnowledgeGraph, edge_type: EdgeType, given: EdgeType, seed: int) -> Areas:
    along = graph.schema.require(given)
    end = next((t for t in (edge_type.target, edge_type.source) if t in (along.source, along.target)), None)
    if end is None or along == edge_type:
        raise SchemaError(f"areas={along} does not say what belongs together at an end of {edge_type}.")
    size, width = graph.nodes[end].num_rows, graph.nodes[along.source].num_rows
    a, b = graph.edge_index(along)
    if along.source != along.target:  # a membership: the classes stand beside their members as further nodes
        b = b + width
    total = width if along.source == along.target else width + graph.nodes[along.target].num_rows
    first = 0 if along.source == end else width
    joined = coo_array((np.ones(a.size), (a, b)), shape=(total, total))
    _, component = connected_components(joined, directed=False)
    links = np.zeros(total)
    links[first : first + size] = graph.degrees(edge_type)[0 if edge_type.target != end else 1]
    component = _cut_giant(component.astype(np.int64), links, a, b, seed)
    alone = np.bincount(np.concatenate([a, b]), minlength=total) == 0
    return _complete(end, np.where(alone, -1, component)[first : first + size])


def _cut_giant(
    component: Int64[np.ndarray, " n"],
    links: Float[np.ndarray, " n"],
    a: Int64[np.ndarray, " e"],
    b: Int64[np.ndarray, " e"],
    seed: int,
) -> Int64[np.ndarray, " n"]:
    share = np.bincount(component, weights=links)
    giant = int(share.argmax())
    if share[giant] <= links.sum() / 2:
        return component
    import networkx

    inside = component[a] == giant
    graph: networkx.Graph[int] = networkx.Graph()
    graph.add_nodes_from(np.flatnonzero(component == giant).tolist())
    graph.add_edges_from(zip(a[inside].tolist(), b[inside].tolist(), strict=True))
    component = component.copy()
    communities = networkx.community.louvain_communities(graph, seed=seed)
    for number, members in enumerate(communities, start=int(component.max()) + 1):
        component[list(members)] = number
    return component


def _complete(node_type: NodeType, rows: Int64[np.ndarray, " n"], unused: int = 0) -> Areas:
    without = rows < 0
    rows = np.where(without, rows.max(initial=0) + np.cumsum(without), rows)
    return Areas(node_type, np.unique(rows, return_inverse=True)[1].astype(np.int64), int(without.sum()), unused)
