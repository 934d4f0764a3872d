"""The ways from one vocabulary of codes to another, over the edges of a graph of codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow.compute as pc

from medgraph.data.code_steps import Steps
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import NodeType

__all__ = ["Link", "Routes", "node_type_of", "vocabularies_of"]

_NODE_TYPES: Mapping[str, NodeType] = {
    "ICD9CM": "Diagnosis",
    "ICD10CM": "Diagnosis",
    "ICD10PCS": "Procedure",
    "SNOMEDCT": "Diagnosis",
    "CCS": "Category",
    "CCS.MULTI": "Category",
    "CCSR": "Category",
    "DOID": "Disease",
    "ATC": "DrugCode",
    "RXNORM": "DrugCode",
    "NDC": "DrugCode",
    "DRUGBANK": "Compound",
}
_ICD = ("ICD9CM", "ICD10CM")
_CATEGORIES = ("CCS", "CCS.MULTI", "CCSR")
_TO_COMPOUND = (("compound",), ("ingredient", "compound"))
_TO_ATC = (("map",), ("ingredient", "map"), ("compound", "code"), ("ingredient", "compound", "code"))
_EITHER: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {  # the first way that leads anywhere is taken
    **{(a, b): (("gem",),) for a in _ICD for b in (*_ICD, "ICD10PCS") if a != b},
    ("ICD10PCS", "ICD9CM"): (("gem",),),
    **{(a, b): (("category",), ("gem", "category")) for a in _ICD for b in _CATEGORIES},
    ("NDC", "RXNORM"): (("map",),),
    ("RXNORM", "DRUGBANK"): _TO_COMPOUND,
    ("NDC", "DRUGBANK"): tuple(("map", *way) for way in _TO_COMPOUND),
    ("ATC", "DRUGBANK"): (("compound",), ("unmap", "compound")),
    ("RXNORM", "ATC"): _TO_ATC,
    ("NDC", "ATC"): tuple(("map", *way) for way in _TO_ATC),
    ("ATC", "RXNORM"): (("unmap",), ("compound", "code")),
    **{("DRUGBANK", b): (("code",),) for b in ("ATC", "RXNORM")},
    **{("DOID", b): (("code",), ("code", "gem")) for b in _ICD},
    ("DOID", "SNOMEDCT"): (("code",),),
    ("SNOMEDCT", "DOID"): (("disease",),),
}
_EACH: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {  # all ways are taken
    (a, "DOID"): (("disease",), ("gem", "disease"), ("backward", "disease")) for a in _ICD
}
_NOISY: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {  # besides, where noisy links are wanted
    **{(a, "DOID"): (("named",), ("gem", "named"), ("sibling",), ("gem", "sibling")) for a in _ICD},
    **{(a, "SNOMEDCT"): (("disease", "shared"), ("gem", "disease", "shared")) for a in _ICD},
    **{("SNOMEDCT", b): (("disease", "shared"),) for b in _ICD},
}


def node_type_of(vocabulary: str) -> NodeType | None:
    """As which type of node do codes of this vocabulary stand in a graph?"""
    return _NODE_TYPES.get(vocabulary)


def vocabularies_of(graph: KnowledgeGraph) -> list[str]:
    """Whose codes does the graph hold?"""
    found = set()
    for node_type in set(_NODE_TYPES.values()) & set(graph.node_types):
        prefixes = pc.unique(pc.replace_substring_regex(graph.nodes[node_type]["id"], ":.*", ""))
        found.update(prefixes.to_pylist())
    return [vocabulary for vocabulary in _NODE_TYPES if vocabulary in found]


class Link(NamedTuple):
    """A target, the mapping's flags, and the way to it."""

    target: str
    approximate: bool = False
    combination: bool = False
    scenario: int | None = None
    choice_list: int | None = None
    method: str = "same"
    noisy: bool = False

    def on(self, target: str, how: str, approximate: bool = False, noisy: bool = False, **flags: Any) -> Link:
        """One step further."""
        method = how if self.method == "same" else f"{self.method}, {how}"
        flags["combination"] = self.combination or flags.get("combination", False)
        return self._replace(
            target=target,
            method=method,
            approximate=self.approximate or approximate,
            noisy=self.noisy or noisy,
            **flags,
        )


class Routes:
    """The ways over one graph.

    Args:
        graph: the codes.
        noisy: whether links that are often wrong are followed too.
    """

    def __init__(self, graph: KnowledgeGraph, noisy: bool = False) -> None:
        self.graph, self.noisy = graph, noisy
        self.steps = Steps(graph, noisy)

    def current(self, id_: str) -> str:
        """The id that stands for this one: the disease that it was merged into."""
        return self._merged.get(id_, id_) if id_ not in self.graph else id_

    @cached_property
    def _merged(self) -> dict[str, str]:
        table = self.graph.nodes.get("Disease")
        if table is None or "alt_ids" not in table.column_names:
            return {}
        pairs = zip(table["id"].to_pylist(), table["alt_ids"].to_pylist(), strict=True)
        return {alt: id_ for id_, alt_ids in pairs for alt in alt_ids or ()}

    def follow(self, sources: Iterable[str], to: str) -> dict[str, list[Link]]:
        """Each source that leads anywhere -> its targets of the vocabulary `to`, each once a way."""
        by_vocabulary: dict[str, list[str]] = {}
        for source in sources:
            by_vocabulary.setdefault(source.partition(":")[0], []).append(source)
        found: dict[str, list[Link]] = {}
        for vocabulary, mine in by_vocabulary.items():
            if vocabulary == to:
                found.update((source, [Link(source)]) for source in mine if source in self.graph)
                continue
            left = mine
            for way in _EITHER.get((vocabulary, to), ()):
                found.update(self._along(way, left, to))
                left = [source for source in left if source not in found]
            ways = _EACH.get((vocabulary, to), ()) + (_NOISY.get((vocabulary, to), ()) if self.noisy else ())
            for way in ways:
                for source, links in self._along(way, mine, to).items():
                    found.setdefault(source, []).extend(links)
        return found

    def within(
        self, links: Mapping[str, list[Link]], wanted: Iterable[str], node_type: NodeType | None
    ) -> dict[str, list[Link]]:
        """Each target under the id wanted for it, or replaced by the nearest above it that are wanted."""
        names = {self.current(id_): id_ for id_ in wanted}
        lifted: dict[str, list[Link]] = {}
        for source, mine in links.items():
            found: dict[Link, None] = {}
            for link in mine:
                if link.target in names:
                    found[link._replace(target=names[link.target])] = None
                    continue
                for above in self._above_in(link.target, names, node_type):
                    found[link.on(names[above], "above", approximate=True)] = None
            if found:
                lifted[source] = list(found)
        return lifted

    def why_not(self, source: str, to: str) -> str:
        """What became of a code that leads nowhere?"""
        if source not in self.graph:
            return "unknown"
        node_type, row = self.graph.locate(source)
        table = self.graph.nodes[node_type]
        if to in {*_ICD, "ICD10PCS", *_CATEGORIES}:
            if "no_map" in table.column_names and (table["no_map"][row].as_py() or ()):
                return "no map"
            status = table["status"][row].as_py() if "status" in table.column_names else None
            if status in {"header", "retired"}:
                return str(status)
        return "no link"

    def _along(self, way: Sequence[str], sources: Sequence[str], to: str) -> dict[str, list[Link]]:
        """One way for many sources: step by step for all of them."""
        reached: dict[str, list[Link]] = {source: [Link(source)] for source in sources}
        for step in way:
            here = list(dict.fromkeys(link.target for links in reached.values() for link in links))
            onward = self.steps.take(step, here)
            reached = {
                source: [link.on(**further) for link in links for further in onward.get(link.target, ())]
                for source, links in reached.items()
            }
        kept = {
            s: list(dict.fromkeys(k for k in links if k.target.startswith(f"{to}:"))) for s, links in reached.items()
        }
        return {source: links for source, links in kept.items() if links}

    def _above_in(self, id_: str, wanted: Mapping[str, str], node_type: NodeType | None) -> list[str]:
        """The nearest nodes above that are wanted, on every path up."""
        parents = self.steps.parents.get(node_type or "", {})
        found: dict[str, None] = {}
        seen, todo = {id_}, [id_]
        while todo:
            for above in parents.get(todo.pop(0), ()):
                if above not in seen:
                    seen.add(above)
                    if above in wanted:
                        found[above] = None
                    else:
                        todo.append(above)
        return list(found)
