"""Embeddings inside the database: a vector on each node, one index a node type, answers from the index.

    (:Disease {..., _vector_skipgram})                               the vector, float32
    (:_Medgraph {name: "embedding:skipgram", fingerprint, ...})      what was written, of which graph, and whether whole

The index is HNSW (Malkov and Yashunin 2018) over cosine, without quantization: a search may miss a neighbour, and the
more candidates it keeps the less often it does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from medgraph.data.schema import NodeType, check_label
from medgraph.errors import SchemaError, StoreError, UnknownIdentifierError, nearest
from medgraph.stores.cypher import label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import BOOKKEEPING, EMBEDDING, ROW, VECTOR_INDEX, Manifest
from medgraph.stores.neo4j.writing import Writer

__all__ = ["StoredEmbedding", "Vectors", "list_embeddings", "most_similar", "remove_embedding", "write_embedding"]

_BATCH = 2_000  # vectors of a first batch
_CANDIDATES = 3_000  # that a search keeps at least, over all indexes; fewer lose recall where vectors are much alike
_LARGEST = 4096  # dimensions that a Neo4j index takes
_PATIENCE = 1800.0  # seconds for an index to fill
_Found = list[tuple[str, float]]


@runtime_checkable
class Vectors(Protocol):
    """What can be written: an `Embedding`, or anything with these.

    Attributes:
        ids: n ids.
        node_types: their n node types.
        vectors: (n, d) numbers.
    """

    @property
    def ids(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def node_types(self) -> Sequence[NodeType]: ...  # noqa: D102
    @property
    def vectors(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class StoredEmbedding:
    """An embedding that the database holds.

    Args:
        name: what it is called there.
        dimension: the length of its vectors.
        counts: node type -> how many vectors.
        zeros: how many ids had a vector of zeros, which has no direction: they are not written and never found.
        encoder: what learned it ("" where that is not known).
        fingerprint: of ids and vectors (SHA-256).
        graph: fingerprint of the graph it was learned from ("" where that is not known); the one in the store may
            differ, for example by the links that were held out.
    """

    name: str
    dimension: int
    counts: Mapping[NodeType, int]
    zeros: int
    encoder: str
    fingerprint: str
    graph: str

    def __len__(self) -> int:
        return sum(self.counts.values())


def write_embedding(
    connection: Connection, writer: Writer, manifest: Manifest, emb: Vectors, name: str
) -> StoredEmbedding:
    """Put the vectors on their nodes and index them; nothing changes if they are there already.

    Raises:
        SchemaError: no embedding, a name that is none, vectors that are not finite or too long.
        UnknownIdentifierError: ids that are not in the graph.
    """
    vectors = _checked(emb, name)
    rows = _rows(connection, manifest, emb)
    kept = np.flatnonzero(vectors.any(axis=1))
    types = np.asarray(emb.node_types, dtype=object)[kept]
    counts = {node_type: int((types == node_type).sum()) for node_type in manifest.nodes if (types == node_type).any()}
    about = getattr(emb, "metadata", {})
    new = StoredEmbedding(
        name,
        int(vectors.shape[1]),
        counts,
        len(vectors) - kept.size,
        str(about.get("encoder") or ""),
        _fingerprint(emb, vectors),
        str((about.get("graph") or {}).get("fingerprint") or ""),
    )
    old = _records(connection).get(name)
    if old != (new, True) or not _intact(connection, new):
        _erase(connection, writer, manifest, name)
        _record(connection, new, whole=False)
        for node_type in counts:
            _write_type(writer, node_type, name, rows[kept[types == node_type]], vectors[kept[types == node_type]])
    _index(connection, writer, new)
    _record(connection, new, whole=True)
    return new


def list_embeddings(connection: Connection) -> list[StoredEmbedding]:
    """The embeddings that were written to their end, by name."""
    return [stored for stored, whole in _records(connection).values() if whole]


def remove_embedding(connection: Connection, writer: Writer, manifest: Manifest, name: str) -> None:
    """Take an embedding and its indexes out of the database. Raises StoreError if there is none of that name."""
    records = _records(connection)
    if name not in records:
        raise StoreError(_unknown(connection, name, [*records]))
    _erase(connection, writer, manifest, name)
    connection.write(f"MATCH (m:{BOOKKEEPING} {{name: $name}}) DELETE m", name=EMBEDDING + name)


def most_similar(connection: Connection, id: str, topn: int, node_type: NodeType | None, name: str) -> _Found:
    """The nearest ids and their cosines, best first, `id` left out, as `Embedding.most_similar` gives them.

    Raises:
        StoreError: no embedding of that name.
        SchemaError: a node type that has no vectors in it.
        UnknownIdentifierError: the id has no vector in it.
    """
    records = _records(connection)
    if name not in records:
        raise StoreError(_unknown(connection, name, [*records]))
    stored, whole = records[name]
    if not whole:
        raise StoreError(f"{connection.address}: embedding {name!r} was not written to its end; write it again.")
    if node_type is not None and node_type not in stored.counts:
        known = sorted(stored.counts)
        raise SchemaError(f"{node_type!r} has no vectors in {name!r}; these have: {known}.{nearest(node_type, known)}")
    asked = [*stored.counts] if node_type is None else [node_type]
    vector = f"q.{_property(name)}"
    found = connection.read(
        f"MATCH (q:{'|'.join(map(label, stored.counts))} {{id: $id}}) WHERE {vector} IS NOT NULL "
        "UNWIND $indexes AS index CALL (q, index) { "
        f"CALL db.index.vector.queryNodes(index, $candidates, {vector}) YIELD node, score "
        "WITH node, score ORDER BY score DESC LIMIT $count WHERE node <> q RETURN node, score } "
        f"RETURN q.{ROW}, collect(node.id), collect(node.{ROW}), collect(score)",
        id=str(id),
        indexes=[_index_name(name, one) for one in asked],
        count=max(topn, 0) + 1,
        candidates=max(topn + 1, _CANDIDATES // len(asked)),
    ) if stored.counts else []  # fmt: skip
    if not found:
        raise _without_vector(connection, stored, id)
    _, ids, rows, scores = found[0]
    cosines = 2 * np.asarray(scores) - 1  # Neo4j scores (1 + cos) / 2
    best = np.lexsort((rows, -cosines))[: max(topn, 0)]
    return [(ids[i], float(cosines[i])) for i in best]


def _checked(emb: Vectors, name: str) -> np.ndarray:
    check_label(name, "name of an embedding")
    if not isinstance(emb, Vectors):
        raise SchemaError(f"{type(emb).__name__} is no embedding: it lacks one of ids, node_types and vectors.")
    vectors = np.asarray(emb.vectors, dtype=np.float32)
    if vectors.ndim != 2 or not len(emb.ids) == len(emb.node_types) == len(vectors):
        raise SchemaError(
            f"{len(emb.ids)} ids, {len(emb.node_types)} node types and vectors of shape {vectors.shape} do not belong "
            "together."
        )
    if not 0 < vectors.shape[1] <= _LARGEST:
        raise SchemaError(f"Vectors of {vectors.shape[1]:,} numbers: Neo4j indexes from 1 to {_LARGEST:,}.")
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not np.isfinite(squares).all():
        bad = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise SchemaError(f"The vector of {emb.ids[bad]} is not finite, or too long to be measured.")
    if (tiny := (squares == 0) & vectors.any(axis=1)).any():
        raise SchemaError(f"The vector of {emb.ids[int(tiny.argmax())]} is too short to have a cosine in float32.")
    return vectors


def _rows(connection: Connection, manifest: Manifest, emb: Vectors) -> np.ndarray:
    """The `_row` of each id. Raises UnknownIdentifierError with how many are missing."""
    types = np.asarray(emb.node_types, dtype=object)
    rows, missing = np.full(len(types), -1, dtype=np.int64), []
    for node_type in dict.fromkeys(emb.node_types):
        here = np.flatnonzero(types == node_type)
        known: dict[str, int] = {}
        if node_type in manifest.nodes:
            found = connection.read(f"MATCH (n:{label(node_type)}) RETURN collect(n.id), collect(n.{ROW})")[0]
            known = dict(zip(*found, strict=True))
        rows[here] = [known.get(emb.ids[i], -1) for i in here.tolist()]
        absent = here[rows[here] < 0]
        if absent.size:
            first = emb.ids[int(absent[0])]
            missing.append(
                f"{absent.size:,} of {here.size:,} of type {node_type!r}, such as {first!r}.{nearest(first, known)}"
            )
    if missing:
        raise UnknownIdentifierError(
            f"{int((rows < 0).sum()):,} of {rows.size:,} ids of the embedding are not in this store: "
            f"{' '.join(missing)} Nothing was written; write the graph it was learned from, or a part of it."
        )
    if np.unique(rows).size != rows.size:
        raise SchemaError("An id stands twice in this embedding.")
    return rows


def _write_type(writer: Writer, node_type: NodeType, name: str, rows: np.ndarray, vectors: np.ndarray) -> None:
    def batch(start: int, stop: int) -> list[Any]:
        return list(map(list, zip(rows[start:stop].tolist(), vectors[start:stop].tolist(), strict=True)))

    writer.batches(
        len(rows),
        _BATCH,
        batch,
        f"UNWIND $rows AS row MATCH (n:{label(node_type)} {{{ROW}: row[0]}}) "
        f"CALL db.create.setNodeVectorProperty(n, '_vector_{name}', row[1])",
    )


def _index(connection: Connection, writer: Writer, stored: StoredEmbedding) -> None:
    """An index for each node type; waits until they are filled."""
    wanted = [_index_name(stored.name, node_type) for node_type in stored.counts]
    for node_type, name in zip(stored.counts, wanted, strict=True):
        connection.write(
            f"CREATE VECTOR INDEX {property_name(name)} IF NOT EXISTS FOR (n:{label(node_type)}) "
            f"ON (n.{_property(stored.name)}) OPTIONS {{indexConfig: {{`vector.dimensions`: {stored.dimension}, "
            "`vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}}"
        )
    until, pause = time.monotonic() + _PATIENCE, 0.02
    while states := connection.read(
        "SHOW VECTOR INDEXES YIELD name, state WHERE name IN $names AND state <> 'ONLINE' RETURN name, state",
        names=wanted,
    ):
        if time.monotonic() > until or any(state == "FAILED" for _, state in states):
            raise StoreError(f"{connection.address} could not fill the vector index {states[0][0]} ({states[0][1]}).")
        writer.beat()
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _erase(connection: Connection, writer: Writer, manifest: Manifest, name: str) -> None:
    """Take the indexes away, then the vectors; the record stays, and says that they are not whole."""
    connection.write(f"MATCH (m:{BOOKKEEPING} {{name: $name}}) SET m.whole = false", name=EMBEDDING + name)
    for (index,) in connection.read(
        "SHOW VECTOR INDEXES YIELD name WHERE name STARTS WITH $start RETURN name", start=_index_name(name, "")
    ):
        connection.write(f"DROP INDEX {property_name(index)} IF EXISTS")
    for node_type in manifest.nodes:
        writer.remove(
            f"MATCH (n:{label(node_type)}) WHERE n.{_property(name)} IS NOT NULL WITH n LIMIT $size "
            f"REMOVE n.{_property(name)} RETURN count(*)"
        )


def _intact(connection: Connection, stored: StoredEmbedding) -> bool:
    """Are there as many vectors as were written?"""
    return all(
        connection.read(f"MATCH (n:{label(node_type)}) RETURN count(n.{_property(stored.name)})")[0][0] == count
        for node_type, count in stored.counts.items()
    )


def _record(connection: Connection, stored: StoredEmbedding, whole: bool) -> None:
    values = {**vars(stored), "counts": json.dumps(dict(stored.counts)), "name": EMBEDDING + stored.name}
    connection.write(
        f"MERGE (m:{BOOKKEEPING} {{name: $values.name}}) SET m = $values", values={**values, "whole": whole}
    )


def _records(connection: Connection) -> dict[str, tuple[StoredEmbedding, bool]]:
    """Name -> what the database says it holds, and whether it was written to its end."""
    found = connection.read(
        f"MATCH (m:{BOOKKEEPING}) WHERE m.name STARTS WITH '{EMBEDDING}' RETURN properties(m) ORDER BY m.name"
    )
    records = {}
    for (given,) in found:
        whole = given.pop("whole")
        values = {**given, "name": given["name"].removeprefix(EMBEDDING), "counts": json.loads(given["counts"])}
        records[values["name"]] = StoredEmbedding(**values), whole
    return records


def _fingerprint(emb: Vectors, vectors: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([list(emb.ids), list(emb.node_types), vectors.shape]).encode())
    digest.update(np.ascontiguousarray(vectors).astype("<f4").tobytes())
    return digest.hexdigest()


def _unknown(connection: Connection, name: str, known: list[str]) -> str:
    there = f"it has {', '.join(known)}." if known else "it has none. store.write_embedding(emb) writes one."
    return f"{connection.address} has no embedding {name!r}; {there}{nearest(str(name), known)}"


def _without_vector(connection: Connection, stored: StoredEmbedding, id: str) -> UnknownIdentifierError:
    ids: list[str] = []
    for node_type in stored.counts:
        ids += connection.read(
            f"MATCH (n:{label(node_type)}) WHERE n.{_property(stored.name)} IS NOT NULL RETURN collect(n.id)"
        )[0][0]
    zeros = f"; {stored.zeros:,} more had vectors of zeros, which are like nothing" if stored.zeros else ""
    return UnknownIdentifierError(
        f"{id!r} has no vector in {stored.name!r} ({len(ids):,} ids{zeros}).{nearest(str(id), ids)}"
    )


def _property(name: str) -> str:
    return property_name(f"_vector_{name}")


def _index_name(name: str, node_type: NodeType) -> str:
    return f"{VECTOR_INDEX}{name}.{node_type}"  # a dot is in neither, so no two are called alike
