"""A graph of codes while it is put together: nodes and edges by id, each with the sources that state it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType

__all__ = ["CODED_AS", "IN_CATEGORY", "IS_A", "MAPS_TO", "CodeAssembly"]

_LIST = pa.list_(pa.string())
_NODE_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "Category": {"kind": pa.string()},
    "Compound": {"inchikey": pa.string(), "unii": pa.string()},
    "Diagnosis": {
        "kind": pa.string(),
        "status": pa.string(),
        "chronic": pa.bool_(),
        "body_system": pa.int64(),
        "no_map": _LIST,
    },
    "Disease": {"synonyms": _LIST, "alt_ids": _LIST, "xrefs": _LIST},
    "DrugCode": {"kind": pa.string(), "unii": pa.string()},
    "Procedure": {"kind": pa.string(), "status": pa.string(), "no_map": _LIST},
}
_FLAGS = {"approximate": pa.bool_(), "combination": pa.bool_(), "scenario": pa.int64(), "choice_list": pa.int64()}
_MADE = {"method": pa.string(), "noisy": pa.bool_()}
IS_A = {node_type: EdgeType(node_type, "is_a", node_type) for node_type in _NODE_COLUMNS if node_type != "Compound"}
MAPS_TO = {t: EdgeType(t, "maps_to", t) for t in ("Diagnosis", "Procedure", "DrugCode")}
IN_CATEGORY = EdgeType("Diagnosis", "in_category", "Category")
CODED_AS = {
    "Disease": EdgeType("Disease", "coded_as", "Diagnosis"),
    "Compound": EdgeType("Compound", "coded_as", "DrugCode"),
}
_EDGE_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "coded_as": _MADE,
    "has_ingredient": {},
    "in_category": {"default": pa.bool_()},
    "is_a": {},
    "maps_to": _FLAGS,
}


class CodeAssembly:
    """Nodes and edges as they are found; `graph()` makes the graph."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, dict[str, Any]]] = {}
        self.edges: dict[EdgeType, dict[tuple[Any, ...], dict[str, None]]] = {}
        self.skipped: Counter[str] = Counter()
        self.provenance: list[Provenance] = []

    def node(self, node_type: str, id_: str, name: str | None = None, **values: Any) -> dict[str, Any]:
        """The node `id_`, made if it is not there; what it lacks is filled from `name` and `values`."""
        node = self.nodes.setdefault(node_type, {}).setdefault(id_, {})
        for key, value in (("name", name and name.strip()), *values.items()):
            if value is not None and value != "" and node.get(key) is None:
                node[key] = value
        return node

    def add_nodes(self, node_type: str, table: pa.Table, **values: Any) -> None:
        """Every row of a table with `id` and other columns."""
        names = [name for name in table.column_names if name != "id"]
        columns = [table[name].to_pylist() for name in names]
        for id_, *cells in zip(table["id"].to_pylist(), *columns, strict=True):
            self.node(node_type, id_, **dict(zip(names, cells, strict=True)), **values)

    def edge(self, edge_type: EdgeType, source: str, target: str, stated_by: str, *properties: Any) -> None:
        """One edge; ends that are not there are made. One that is there with the same properties gets a source more."""
        self.nodes.setdefault(edge_type.source, {}).setdefault(source, {})
        self.nodes.setdefault(edge_type.target, {}).setdefault(target, {})
        key = (source, target, *properties)
        self.edges.setdefault(edge_type, {}).setdefault(key, {}).setdefault(stated_by)

    def add_edges(
        self, edge_type: EdgeType, pairs: Iterable[tuple[str, str]], stated_by: str, *properties: Any
    ) -> None:
        """An edge for each (source, target)."""
        for source, target in pairs:
            self.edge(edge_type, source, target, stated_by, *properties)

    def graph(self) -> KnowledgeGraph:
        """All of it, nodes of a type sorted by id."""
        nodes, rows = {}, {}
        for node_type, found in self.nodes.items():
            ids = sorted(found)
            rows[node_type] = {id_: row for row, id_ in enumerate(ids)}
            columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.string())}
            for name, kind in {"name": pa.string(), **_NODE_COLUMNS[node_type]}.items():
                columns[name] = pa.array([found[id_].get(name) for id_ in ids], kind)
            nodes[node_type] = pa.table(columns)
        edges = {}
        for edge_type, stated in self.edges.items():
            ends = [
                pa.array([rows[node_type][key[side]] for key in stated], pa.int64())
                for side, node_type in ((0, edge_type.source), (1, edge_type.target))
            ]
            columns = {"source": ends[0], "target": ends[1]}
            for place, (name, kind) in enumerate(_EDGE_COLUMNS[edge_type.relation].items(), 2):
                columns[name] = pa.array([key[place] if place < len(key) else None for key in stated], kind)
            columns["sources"] = pa.array([list(by) for by in stated.values()], _LIST)
            edges[edge_type] = pa.table(columns)
        return KnowledgeGraph(nodes, edges, frozenset(), tuple(self.provenance), dict(self.skipped))
