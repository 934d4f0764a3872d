"""The graph: typed nodes and edges as Arrow tables, immutable, with a content fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from medgraph.data import conversion
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.data.tables import edge_table, fingerprint, merge_edges, merge_nodes, node_table
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

if TYPE_CHECKING:
    import networkx
    import pandas as pd
    from torch_geometric.data import HeteroData

__all__ = ["EdgeIndex", "KnowledgeGraph", "NodeRef", "Provenance"]

EdgeIndex: TypeAlias = Int64[np.ndarray, "2 _"]  # no name: one call may take two of different lengths


@dataclass(frozen=True)
class Provenance:
    """Where a graph came from."""

    name: str
    version: str = ""
    licence: str = ""
    url: str = ""
    sha256: str = ""


class NodeRef(NamedTuple):
    """A node's type and its row in that type's table."""

    node_type: NodeType
    row: int


@dataclass(frozen=True, eq=False, repr=False)
class KnowledgeGraph:
    """A heterogeneous graph: one Arrow table per node type and per edge type.

    Node tables have `id` (a CURIE, unique in the whole graph), `name` and any further columns. Edge tables have int64
    `source` and `target`, row numbers into the node tables of the edge type's two ends, and any properties such as
    `sources`, `pmids`, `weight`. Property types are brought to one of string, int64, float64, bool and list of string.

    Every node also has one global index: node types in sorted order, each type's rows in table order (`offsets`).

    Args:
        nodes: node type -> table.
        edges: edge type -> table.
        symmetric: edge types stored once and true both ways.
        provenance: where the content came from.
        skipped: what a loader left out, reason -> count.

    Raises:
        SchemaError: a missing column, a duplicate or empty id, a dangling edge, an undeclared end.
    """

    nodes: Mapping[NodeType, pa.Table]
    edges: Mapping[EdgeType, pa.Table] = field(default_factory=dict)
    symmetric: frozenset[EdgeType] = frozenset()
    provenance: tuple[Provenance, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schema = Schema(
            tuple(self.nodes), tuple(EdgeType.of(edge_type) for edge_type in self.edges), frozenset(self.symmetric)
        )
        nodes = {node_type: node_table(self.nodes[node_type], node_type) for node_type in schema.node_types}
        edges, indices = {}, {}
        given = {EdgeType.of(edge_type): table for edge_type, table in self.edges.items()}
        for edge_type in schema.edge_types:
            ends = nodes[edge_type.source].num_rows, nodes[edge_type.target].num_rows
            edges[edge_type], indices[edge_type] = edge_table(given[edge_type], edge_type, ends)
        set_ = object.__setattr__
        set_(self, "nodes", MappingProxyType(nodes))
        set_(self, "edges", MappingProxyType(edges))
        set_(self, "symmetric", schema.symmetric)
        set_(self, "skipped", MappingProxyType(dict(self.skipped)))
        set_(self, "schema", schema)
        set_(self, "_edge_indices", indices)
        if len(nodes) > 1 and self.num_nodes:
            counts = pc.value_counts(self._all_ids)
            twice = counts.filter(pc.greater(counts.field("counts"), 1))
            if len(twice):
                raise SchemaError(f"id {twice[0]['values'].as_py()!r} stands in more than one node type.")

    schema: Schema = field(init=False)
    _edge_indices: dict[EdgeType, EdgeIndex] = field(init=False)

    def __repr__(self) -> str:
        name = ", ".join(" ".join(filter(None, (p.name, p.version))) for p in self.provenance) or "unnamed"
        return (
            f"KnowledgeGraph({name}: {self.num_nodes:,} nodes of {len(self.nodes)} types, "
            f"{self.num_edges:,} edges of {len(self.edges)} types)"
        )

    # Sizes and numbering ---------------------------------------------------------------------------------------------

    @property
    def node_types(self) -> tuple[NodeType, ...]:
        """The node types, sorted: the order of global indices."""
        return self.schema.node_types

    @property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """The edge types, sorted: the order of relation numbers in `triples`."""
        return self.schema.edge_types

    @property
    def num_nodes(self) -> int:
        """How many nodes, of all types?"""
        return sum(table.num_rows for table in self.nodes.values())

    @property
    def num_edges(self) -> int:
        """How many edges, of all types, symmetric ones counted once?"""
        return sum(table.num_rows for table in self.edges.values())

    @cached_property
    def offsets(self) -> dict[NodeType, int]:
        """Global index of each node type's row 0."""
        sizes = [self.nodes[node_type].num_rows for node_type in self.node_types]
        return dict(zip(self.node_types, (np.cumsum(sizes, dtype=np.int64) - sizes).tolist(), strict=True))

    @cached_property
    def _all_ids(self) -> pa.ChunkedArray:
        return pa.chunked_array(
            [c for t in self.node_types for c in self.nodes[t].column("id").chunks], type=pa.string()
        )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Every id, by global index."""
        return tuple(self._all_ids.to_pylist())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name, by global index; the id where there is no name."""
        names = [n for t in self.node_types for n in self.nodes[t].column("name").to_pylist()]
        return tuple(name or id_ for name, id_ in zip(names, self.ids, strict=True))

    @cached_property
    def types(self) -> tuple[NodeType, ...]:
        """Every node's type, by global index."""
        return tuple(t for t in self.node_types for _ in range(self.nodes[t].num_rows))

    @cached_property
    def _global_index(self) -> dict[str, int]:
        return {id_: index for index, id_ in enumerate(self.ids)}

    def global_index(self, id: str) -> int:
        """At which global index stands `id`?

        Raises:
            UnknownIdentifierError: the id is not in the graph; the nearest ids are named.
        """
        try:
            return self._global_index[id]
        except KeyError:
            raise UnknownIdentifierError(
                f"{id!r} is not in this graph ({self.num_nodes:,} nodes).{nearest(str(id), self.ids)}"
            ) from None

    def locate(self, id: str) -> NodeRef:
        """Which node type and row has `id`? Raises UnknownIdentifierError."""
        index = self.global_index(id)
        node_type = self.types[index]
        return NodeRef(node_type, index - self.offsets[node_type])

    def name(self, id: str) -> str:
        """What is `id` called? Raises UnknownIdentifierError."""
        return self.names[self.global_index(id)]

    def __contains__(self, id: object) -> bool:
        return id in self._global_index

    # Edges as arrays -------------------------------------------------------------------------------------------------

    def edge_index(self, edge_type: EdgeType) -> EdgeIndex:
        """The (2, E) array of local source and target rows; a read-only view, nothing is copied."""
        view = self._edge_indices[self.schema.require(edge_type)].view()
        view.flags.writeable = False
        return view

    def triples(self) -> Int64[np.ndarray, "edges 3"]:
        """Every edge as (source, edge type number, target) with global indices, in `edge_types` order."""
        parts = []
        for number, edge_type in enumerate(self.edge_types):
            source, target = self.edge_index(edge_type)
            part = np.empty((source.size, 3), dtype=np.int64)
            part[:, 0] = source + self.offsets[edge_type.source]
            part[:, 1] = number
            part[:, 2] = target + self.offsets[edge_type.target]
            parts.append(part)
        return np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.int64)

    def degrees(self, edge_type: EdgeType) -> tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " t"]]:
        """How many edges of this type leave each source row and enter each target row?

        A symmetric type counts both ends in both arrays (they are equal).
        """
        edge_type = self.schema.require(edge_type)
        source, target = self.edge_index(edge_type)
        out = np.bincount(source, minlength=self.nodes[edge_type.source].num_rows)
        into = np.bincount(target, minlength=self.nodes[edge_type.target].num_rows)
        if edge_type in self.symmetric:
            out = into = out + into
        return out.astype(np.int64, copy=False), into.astype(np.int64, copy=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: labels, nodes, edges and properties; row order and provenance do not count."""
        return fingerprint(self.nodes, self.edges, self._edge_indices, self.symmetric)

    # New graphs from this one ----------------------------------------------------------------------------------------

    def without(self, edges: Mapping[EdgeType, EdgeIndex | None]) -> KnowledgeGraph:
        """This graph less some edges; nodes and declared types stay.

        Args:
            edges: edge type -> (2, n) local rows of the pairs to remove, or None to remove every edge of that type.
                For a symmetric type a pair is removed whichever way round it is stored.

        Raises:
            SchemaError: an edge type that is not in this graph, or pairs that are no (2, n) rows of it.
        """
        kept = dict(self.edges)
        for given, pairs in edges.items():
            edge_type = self.schema.require(given)
            table = self.edges[edge_type]
            if pairs is None:
                kept[edge_type] = table.slice(0, 0)
                continue
            removed = np.asarray(pairs, dtype=np.int64)
            removed = removed if removed.size else removed.reshape(2, 0)
            ends = np.array([[self.nodes[edge_type.source].num_rows], [self.nodes[edge_type.target].num_rows]])
            if removed.ndim != 2 or len(removed) != 2 or (removed < 0).any() or (removed >= ends).any():
                raise SchemaError(
                    f"The {edge_type} pairs to remove have shape {removed.shape}; expected (2, n), rows of "
                    f"{ends[0, 0]:,} sources and {ends[1, 0]:,} targets."
                )
            width = ends[1, 0]
            source, target = self.edge_index(edge_type)
            drop = np.isin(source * width + target, removed[0] * width + removed[1])
            if edge_type in self.symmetric:
                drop |= np.isin(source * width + target, removed[1] * width + removed[0])
            kept[edge_type] = table.filter(pa.array(~drop))
        return replace(self, edges=kept)

    def subgraph(
        self,
        nodes: Iterable[str] | None = None,
        node_types: Iterable[NodeType] | None = None,
        edge_types: Iterable[EdgeType] | None = None,
    ) -> KnowledgeGraph:
        """The part of this graph on some nodes (ids), node types and edge types, with the edges between them.

        Raises:
            SchemaError, UnknownIdentifierError: a type or an id that is not in this graph.
        """
        types = self.node_types if node_types is None else tuple(map(self.schema.require_node_type, node_types))
        wanted = self.edge_types if edge_types is None else tuple(map(self.schema.require, edge_types))
        keep = {node_type: np.ones(self.nodes[node_type].num_rows, dtype=bool) for node_type in types}
        if nodes is not None:
            keep = {node_type: np.zeros_like(mask) for node_type, mask in keep.items()}
            for id_ in nodes:
                node_type, row = self.locate(id_)
                if node_type in keep:
                    keep[node_type][row] = True
        new_row = {node_type: np.cumsum(mask) - 1 for node_type, mask in keep.items()}
        tables: dict[EdgeType, pa.Table] = {}
        for edge_type in wanted:
            if edge_type.source not in keep or edge_type.target not in keep:
                continue
            source, target = self.edge_index(edge_type)
            mask = keep[edge_type.source][source] & keep[edge_type.target][target]
            rest = self.edges[edge_type].drop_columns(["source", "target"]).filter(pa.array(mask))
            tables[edge_type] = rest.add_column(
                0, "source", pa.array(new_row[edge_type.source][source[mask]])
            ).add_column(1, "target", pa.array(new_row[edge_type.target][target[mask]]))
        return KnowledgeGraph(
            {node_type: self.nodes[node_type].filter(pa.array(mask)) for node_type, mask in keep.items()},
            tables,
            self.symmetric & tables.keys(),
            self.provenance,
            self.skipped,
        )

    def merge(self, other: KnowledgeGraph) -> KnowledgeGraph:
        """The union of two graphs, matched by id.

        A node in both keeps this graph's values, its empty ones filled from `other`. An edge in both (same type and
        ends) keeps this graph's properties, its list-valued ones (`sources`, `pmids`) united with the other's.

        Raises:
            SchemaError: an id of two node types, a column of two value types, an edge type symmetric in only one.
        """
        schema = self.schema.merge(other.schema)
        nodes, rows = {}, {}
        for node_type in schema.node_types:
            nodes[node_type], rows[node_type] = merge_nodes(
                self.nodes.get(node_type), other.nodes.get(node_type), node_type
            )
        edges = {
            edge_type: merge_edges(
                self.edges.get(edge_type),
                other.edges.get(edge_type),
                (rows[edge_type.source], rows[edge_type.target]),
                edge_type,
                edge_type in schema.symmetric,
            )
            for edge_type in schema.edge_types
        }
        skipped = {k: self.skipped.get(k, 0) + other.skipped.get(k, 0) for k in {**self.skipped, **other.skipped}}
        provenance = tuple(dict.fromkeys(self.provenance + other.provenance))
        return KnowledgeGraph(nodes, edges, schema.symmetric, provenance, skipped)

    # To other libraries ----------------------------------------------------------------------------------------------

    def to_pyg(self) -> HeteroData:
        """As PyTorch Geometric's HeteroData: `edge_index` shares this graph's memory, nothing is copied.

        So never write into these tensors. A symmetric edge type is there as it is stored, one way: apply PyG's
        `ToUndirected` where messages should run both ways. Row i of a node type is row i of its table here.

        Raises:
            MissingExtraError: torch-geometric is not installed.
        """
        return conversion.to_pyg(self, self._edge_indices)

    def to_networkx(self) -> networkx.MultiDiGraph[str]:
        """As NetworkX's MultiDiGraph on ids; symmetric edges both ways, `relation` an attribute."""
        return conversion.to_networkx(self)

    def to_pandas(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """As two data frames: nodes (id, name, node_type, ...) and edges (source, relation, target as ids, ...)."""
        return conversion.to_pandas(self)

    def __getstate__(self) -> Any:
        raise TypeError("A KnowledgeGraph is not pickled: write it to a store with open_store(...).write(graph).")
