"""Vectors for codes that were never seen: what stands above them in the hierarchy answers, else what stands below."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError

__all__ = ["back_off", "nearest_of", "parents_of"]

_UPWARD = ("is_a", "in_category")  # relations that lead from a code to a wider one, the finer first
_Parents = Mapping[str, Sequence[str]]


def parents_of(graph: KnowledgeGraph, relations: Sequence[str] = _UPWARD) -> dict[str, list[str]]:
    """Each id's next wider ids: along the first of `relations` that it has an edge of.

    Raises:
        SchemaError: the graph has none of the relations.
    """
    found: dict[str, list[str]] = {}
    there = {edge_type.relation for edge_type in graph.edge_types}
    if not there & set(relations):
        raise SchemaError(f"{graph} has no hierarchy: none of {', '.join(relations)} is among its relations.")
    for relation in relations:
        level: dict[str, list[str]] = {}
        for edge_type in graph.edge_types:
            if edge_type.relation != relation:
                continue
            below, above = (graph.nodes[end]["id"].to_pylist() for end in (edge_type.source, edge_type.target))
            for source, target in graph.edge_index(edge_type).T.tolist():
                level.setdefault(below[source], []).append(above[target])
        found = {**level, **found}
    return found


def back_off(embedding: Embedding, ids: Iterable[str], hierarchy: KnowledgeGraph | _Parents) -> Embedding:
    """The embedding with a vector for each of `ids` that can be given one, told apart by `inferred`.

    An id without a vector takes the mean of its nearest ancestors that have one (learned, not inferred), all on one
    level; where none has, the mean of its nearest descendants. What nothing stands for stays out, so that asking for
    it is refused as ever; `metadata["back_off"]` counts those.

    Args:
        embedding: the learned vectors; they are kept as they are.
        ids: codes, those that have a vector among them.
        hierarchy: a graph with `is_a` or `in_category`, such as `load("clinical_codes")`; or code -> its parents.
    """
    parents = parents_of(hierarchy) if isinstance(hierarchy, KnowledgeGraph) else hierarchy
    children: dict[str, list[str]] = {}
    for child, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(child)
    learned = {one for one in embedding.ids if one not in embedding.inferred}
    counts = {"above": 0, "below": 0, "unreached": 0}
    found: dict[str, tuple[np.ndarray, str]] = {}
    for id_ in dict.fromkeys(ids):
        if id_ in embedding:
            continue
        for way, steps in (("above", parents), ("below", children)):
            if near := nearest_of(id_, steps, learned):
                found[id_] = embedding.vectors_of(near).mean(axis=0), f"{way}: {_list(near)}"
                counts[way] += 1
                break
        else:
            counts["unreached"] += 1
    if not found:
        return replace(embedding, metadata={**embedding.metadata, "back_off": counts})
    graph = hierarchy if isinstance(hierarchy, KnowledgeGraph) else None
    known = {id_: graph.locate(id_).node_type for id_ in found if id_ in graph} if graph is not None else {}
    typed = any(embedding.node_types)
    return replace(
        embedding,
        ids=(*embedding.ids, *found),
        node_types=(*embedding.node_types, *(known.get(id_, "") if typed else "" for id_ in found)),
        names=(*embedding.names, *(graph.name(id_) if graph is not None and id_ in graph else id_ for id_ in found)),
        vectors=np.concatenate([embedding.vectors, np.stack([vector for vector, _ in found.values()])]),
        std=None,
        metadata={**embedding.metadata, "back_off": counts},
        inferred={**embedding.inferred, **{id_: how for id_, (_, how) in found.items()}},
    )


def nearest_of(id_: str, steps: _Parents, known: Container[str]) -> list[str]:
    """The ids among `known` that are the fewest steps away, each once; `id_` itself does not count."""
    seen, level = {id_}, [id_]
    while level:
        level = [far for near in level for far in steps.get(near) or () if far not in seen]
        level = list(dict.fromkeys(level))
        seen.update(level)
        if there := [near for near in level if near in known]:
            return there
    return []


def _list(ids: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(ids) - shown} more" if len(ids) > shown else ""
    return ", ".join(ids[:shown]) + more
