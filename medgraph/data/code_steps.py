"""The single steps from code to code over the edges of a graph of codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow.compute as pc

from medgraph.data.code_assembly import CODED_AS, IN_CATEGORY, IS_A, MAPS_TO
from medgraph.data.drug_links import HAS_INGREDIENT
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType

__all__ = ["Onward", "Steps"]

Onward: TypeAlias = dict[str, list[dict[str, Any]]]  # id -> what it leads on to: `target`, `how`, flags


class Steps:
    """The steps over one graph.

    Args:
        graph: the codes.
        noisy: whether links that are often wrong are taken too.
    """

    def __init__(self, graph: KnowledgeGraph, noisy: bool = False) -> None:
        self.graph, self.noisy = graph, noisy

    def take(self, step: str, ids: Sequence[str]) -> Onward:
        """What a step of this name leads to from each id."""
        steps = {
            "gem": self._gem,
            "backward": self._backward,
            "category": self._category,
            "disease": self._disease,
            "named": self._named,
            "sibling": self._sibling,
            "code": self._code,
            "shared": self._shared,
            "compound": self._compound,
            "map": self._map,
            "unmap": self._unmap,
            "ingredient": self._ingredient,
        }
        return steps[step](ids)

    def _gem(self, ids: Sequence[str], backward: bool = False) -> Onward:
        found = {}
        for node_type in ("Diagnosis", "Procedure"):
            for id_, edges in self._edges(MAPS_TO[node_type], ids, backward).items():
                flags = ("approximate", "combination", "scenario", "choice_list")
                found[id_] = [{"how": "GEM", **{f: edge[f] for f in flags}, "target": edge["to"]} for edge in edges]
        return found

    def _backward(self, ids: Sequence[str]) -> Onward:
        """The mapping of the other direction, read from its targets."""
        found = self._gem(ids, backward=True)
        return {
            id_: [{"target": step["target"], "how": "backward GEM", "approximate": True} for step in steps]
            for id_, steps in found.items()
        }

    def _category(self, ids: Sequence[str]) -> Onward:
        found: Onward = {}
        for id_, edges in self._edges(IN_CATEGORY, ids).items():
            per = [edge["to"].partition(":")[0] for edge in edges]
            found[id_] = [
                {"target": edge["to"], "how": system, "combination": per.count(system) > 1}
                for edge, system in zip(edges, per, strict=True)
            ]
        return found

    def _disease(self, ids: Sequence[str], noisy: bool = False) -> Onward:
        """Diseases recorded under the code, or else under the nearest code above it."""
        chains = {id_: [id_] if noisy else [id_, *self._codes_above(id_)] for id_ in ids}
        stated = self._edges(CODED_AS["Disease"], {code for chain in chains.values() for code in chain}, True)
        found: Onward = {}
        for id_, chain in chains.items():
            for code in chain:
                mine = [edge for edge in stated.get(code, ()) if bool(edge.get("noisy")) == noisy]
                if mine:
                    how = [edge.get("method") or "xref" for edge in mine]
                    found[id_] = [
                        {
                            "target": edge["to"],
                            "how": made if code == id_ else f"{made} above",
                            "approximate": noisy or code != id_,
                            "noisy": noisy,
                        }
                        for edge, made in zip(mine, how, strict=True)
                    ]
                    break
        return found

    def _named(self, ids: Sequence[str]) -> Onward:
        return self._disease(ids, noisy=True)

    def _sibling(self, ids: Sequence[str]) -> Onward:
        """Diseases recorded under another code of the same three-character category."""
        category = {id_: id_.partition(".")[0] for id_ in ids}
        table = self.graph.edges.get(CODED_AS["Disease"])
        if table is None:
            return {}
        codes = self.graph.nodes["Diagnosis"]["id"].take(pc.unique(table["target"])).to_pylist()
        members: dict[str, list[str]] = {}
        for code in codes:
            members.setdefault(code.partition(".")[0], []).append(code)
        chosen = {code for head in category.values() for code in members.get(head, ())}
        stated = self._edges(CODED_AS["Disease"], chosen, True)
        return {
            id_: [
                {"target": edge["to"], "how": "shared category", "approximate": True, "noisy": True}
                for code in members.get(head, ())
                if code != id_
                for edge in stated.get(code, ())
                if not edge.get("noisy")
            ]
            for id_, head in category.items()
        }

    def _code(self, ids: Sequence[str]) -> Onward:
        found: Onward = {}
        for edge_type in CODED_AS.values():
            for id_, edges in self._edges(edge_type, ids).items():
                found[id_] = [_made(edge) for edge in edges if self.noisy or not edge.get("noisy")]
        return found

    def _shared(self, ids: Sequence[str]) -> Onward:
        """Other codes of a disease, which need not mean the same."""
        return {
            id_: [{**step, "noisy": True, "approximate": True} for step in steps]
            for id_, steps in self._code(ids).items()
        }

    def _compound(self, ids: Sequence[str]) -> Onward:
        found = self._edges(CODED_AS["Compound"], ids, True)
        return {
            id_: [_made(edge) for edge in edges if self.noisy or not edge.get("noisy")] for id_, edges in found.items()
        }

    def _map(self, ids: Sequence[str], backward: bool = False) -> Onward:
        found = self._edges(MAPS_TO["DrugCode"], ids, backward)
        return {id_: [{"target": edge["to"], "how": "RxNorm"} for edge in edges] for id_, edges in found.items()}

    def _unmap(self, ids: Sequence[str]) -> Onward:
        return self._map(ids, backward=True)

    def _ingredient(self, ids: Sequence[str]) -> Onward:
        found = self._edges(HAS_INGREDIENT, ids)
        return {
            id_: [{"target": edge["to"], "how": "ingredient", "combination": len(edges) > 1} for edge in edges]
            for id_, edges in found.items()
        }

    def _edges(self, edge_type: EdgeType, ids: Iterable[str], reverse: bool = False) -> Onward:
        """Edges that leave (with `reverse`, enter) each of some nodes: their properties, and `to`, the other end."""
        table = self.graph.edges.get(edge_type)
        start, end = ("target", "source") if reverse else ("source", "target")
        if table is None:
            return {}
        here, there = (edge_type.target, edge_type.source) if reverse else (edge_type.source, edge_type.target)
        offset = self.graph.offsets[here]
        size = self.graph.nodes[here].num_rows
        at = [self.graph.global_index(id_) - offset for id_ in ids if id_ in self.graph]
        mask = np.zeros(size, dtype=bool)
        mask[[row for row in at if 0 <= row < size]] = True
        chosen = np.flatnonzero(mask[table[start].to_numpy()])
        far, base = self.graph.ids, self.graph.offsets[there]
        found: Onward = {}
        for edge in table.take(chosen).to_pylist():
            edge["to"] = far[base + edge[end]]
            found.setdefault(far[offset + edge[start]], []).append(edge)
        return found

    @cached_property
    def parents(self) -> dict[NodeType, dict[str, list[str]]]:
        """Node type -> each node's parents."""
        found: dict[NodeType, dict[str, list[str]]] = {}
        for node_type, edge_type in IS_A.items():
            mine = found.setdefault(node_type, {})
            if edge_type in self.graph.edges:
                ids = self.graph.nodes[node_type]["id"].to_pylist()
                for child, parent in self.graph.edge_index(edge_type).T.tolist():
                    mine.setdefault(ids[child], []).append(ids[parent])
        return found

    def _codes_above(self, id_: str) -> list[str]:
        """The codes above a code, nearest first, up to its category; of an unknown one, those that begin as it does."""
        if id_ not in self.graph:
            head, _, tail = id_.partition(".")
            cut = [f"{head}.{tail[:length]}" if length else head for length in range(len(tail) - 1, -1, -1)]
            return [code for code in cut if code in self.graph]
        chain: list[str] = []
        todo = list(self.parents["Diagnosis"].get(id_, ()))
        while todo:
            above = todo.pop(0)
            if "-" not in above and above not in chain:
                chain.append(above)
                todo += self.parents["Diagnosis"].get(above, ())
        return chain


def _made(edge: Mapping[str, Any]) -> dict[str, Any]:
    noisy = bool(edge.get("noisy"))
    return {"target": edge["to"], "how": edge.get("method") or "xref", "noisy": noisy, "approximate": noisy}
