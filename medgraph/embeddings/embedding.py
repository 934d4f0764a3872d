"""The embedding: one vector per node id, searched by cosine, saved as a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from medgraph.artefact import Artefact, atomic_file, bullets, learned_from, read_artefact, settings, write_artefact
from medgraph.data.schema import NodeType
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.data.graph import KnowledgeGraph

__all__ = ["Embedding"]


@dataclass(frozen=True, eq=False, repr=False)
class Embedding:
    """Vectors by id.

    Args:
        ids: n unique ids.
        node_types: n node types ("" where there are none, as for plain sequences).
        names: n names.
        vectors: (n, d).
        relations: edge type as text -> vector of a decoder's relation.
        std: (n, d) posterior standard deviation, where the encoder has one.
        metadata: how it was made: `encoder`, `parameters`, `graph`, `seed`, `metrics`; saved with it.
        inferred: ids whose vectors were not learned but taken from others, and from which; see `back_off`.

    Raises:
        SchemaError: lengths that disagree, duplicate ids, vectors that are not finite.
    """

    ids: tuple[str, ...]
    node_types: tuple[NodeType, ...]
    names: tuple[str, ...]
    vectors: Float32[np.ndarray, "n d"]
    relations: Mapping[str, Float32[np.ndarray, " r"]] = field(default_factory=dict)
    std: Float32[np.ndarray, "n d"] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    inferred: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("ids", "node_types", "names"):
            set_(self, name, tuple(getattr(self, name)))
        for name in ("vectors", "std"):
            if (array := getattr(self, name)) is not None:
                array = np.array(array, dtype=np.float32)
                array.flags.writeable = False
                set_(self, name, array)
        set_(self, "relations", MappingProxyType({k: np.asarray(v, np.float32) for k, v in self.relations.items()}))
        set_(self, "metadata", MappingProxyType(dict(self.metadata)))
        set_(self, "inferred", MappingProxyType({k: v for k, v in self.inferred.items() if k in self._index}))
        n = len(self.ids)
        if self.vectors.ndim != 2 or not len(self.node_types) == len(self.names) == self.vectors.shape[0] == n:
            raise SchemaError(
                f"{n} ids, {len(self.node_types)} node types, {len(self.names)} names and vectors of shape "
                f"{self.vectors.shape} do not belong together."
            )
        if self.std is not None and self.std.shape != self.vectors.shape:
            raise SchemaError(f"std has shape {self.std.shape}, vectors {self.vectors.shape}.")
        if len(self._index) != n:
            raise SchemaError("An id stands twice in this embedding.")
        if not np.isfinite(self.vectors).all():
            bad = self.ids[int(np.flatnonzero(~np.isfinite(self.vectors).all(1))[0])]
            raise SchemaError(f"The vector of {bad} is not finite: training diverged; lower the learning rate.")

    @classmethod
    def of_graph(cls, graph: KnowledgeGraph, vectors: Float32[np.ndarray, "n d"], **more: Any) -> Embedding:
        """The embedding whose rows are `graph`'s nodes by global index, with its fingerprint and provenance noted."""
        metadata = {
            "graph": {
                "fingerprint": graph.fingerprint,
                "provenance": [vars(source) for source in graph.provenance],
            },
            **more.pop("metadata", {}),
        }
        return cls(graph.ids, graph.types, graph.names, vectors, metadata=metadata, **more)

    def __repr__(self) -> str:
        return f"Embedding({len(self):,} x {self.vector_size}, {self.metadata.get('encoder', 'given vectors')})"

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._index

    def __getitem__(self, id: str) -> Float32[np.ndarray, " d"]:
        row: Float32[np.ndarray, " d"] = self.vectors[self.index(id)]
        return row

    @property
    def vector_size(self) -> int:
        """d, the length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def _index(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _unit(self) -> Float32[np.ndarray, "n d"]:
        norms = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return self.vectors / np.where(norms > 0, norms, 1)

    @cached_property
    def _rows_by_type(self) -> dict[NodeType, np.ndarray]:
        types = np.asarray(self.node_types)
        return {str(node_type): np.flatnonzero(types == node_type) for node_type in np.unique(types)}

    def index(self, id: str) -> int:
        """In which row stands `id`?

        Raises:
            UnknownIdentifierError: it has no vector; the count of its prefix's ids and the nearest are named.
        """
        try:
            return self._index[id]
        except KeyError:
            prefix = str(id).split(":", 1)[0] + ":"
            alike = [known for known in self.ids if known.startswith(prefix)]
            raise UnknownIdentifierError(
                f"{id!r} is not in this embedding ({len(alike):,} {prefix[:-1]} ids of {len(self):,})."
                f"{nearest(str(id), alike or self.ids)}"
            ) from None

    def vectors_of(self, ids: Iterable[str]) -> Float32[np.ndarray, "k d"]:
        """The vectors of several ids, in their order. Raises UnknownIdentifierError."""
        return self.vectors[[self.index(id_) for id_ in ids]]

    def similarity(self, a: str, b: str) -> float:
        """cos(a, b) = a.b / |a||b|, 0 where a vector is zero. Raises UnknownIdentifierError."""
        return float(self._unit[self.index(a)] @ self._unit[self.index(b)])

    def most_similar(
        self,
        positive: str | Iterable[str],
        negative: str | Iterable[str] | None = None,
        topn: int = 10,
        node_type: NodeType | None = None,
    ) -> list[tuple[str, float]]:
        """Which ids lie nearest, by cosine, to the mean of unit vectors (positive added, negative subtracted)?

        The given ids are left out. Ties keep row order.

        Args:
            positive: an id or several.
            negative: an id or several.
            topn: how many.
            node_type: only ids of this type.

        Raises:
            UnknownIdentifierError: an id without a vector.
            SchemaError: a node type that is not here.
        """
        plus = [positive] if isinstance(positive, str) else list(positive)
        minus = [negative] if isinstance(negative, str) else list(negative or ())
        given = [self.index(id_) for id_ in (*plus, *minus)]
        signs = np.array([1.0] * len(plus) + [-1.0] * len(minus), dtype=np.float32)
        if not given:
            raise SchemaError("most_similar needs at least one id.")
        query = signs @ self._unit[given]
        query = query / (np.linalg.norm(query) or 1)
        if node_type is not None and node_type not in self._rows_by_type:
            known = sorted(self._rows_by_type)
            raise SchemaError(f"{node_type!r} is no node type here: {known}.{nearest(node_type, known)}")
        rows = np.arange(len(self)) if node_type is None else self._rows_by_type[node_type]
        scores = (self._unit @ query)[rows]  # all of them: one product is faster than copying a type's vectors
        count = min(max(topn, 0) + len(set(given)), rows.size)
        last = np.partition(scores, -count)[-count] if count < rows.size else -np.inf
        best = np.flatnonzero(scores >= last)  # with all that tie for the last place
        best = best[np.lexsort((rows[best], -scores[best]))]
        answer = [(self.ids[rows[i]], float(scores[i])) for i in best if rows[i] not in given]
        return answer[: max(topn, 0)]

    def of_type(self, node_type: NodeType) -> Embedding:
        """The part of this embedding on one node type. Raises SchemaError."""
        if node_type not in self._rows_by_type:
            known = sorted(self._rows_by_type)
            raise SchemaError(f"{node_type!r} is no node type here: {known}.{nearest(node_type, known)}")
        rows = self._rows_by_type[node_type]
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            node_types=tuple(self.node_types[i] for i in rows),
            names=tuple(self.names[i] for i in rows),
            vectors=self.vectors[rows],
            std=None if self.std is None else self.std[rows],
        )

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the artefact: manifest.json, vectors.safetensors, nodes.parquet (row i = vector i), card.md."""
        arrays = {"vectors": self.vectors, **({} if self.std is None else {"std": self.std})}
        tensors = {"vectors": arrays, **({"relations": dict(self.relations)} if self.relations else {})}
        nodes = pa.table({"id": self.ids, "node_type": self.node_types, "name": self.names})
        if self.inferred:
            how = pa.array([self.inferred.get(id_) for id_ in self.ids], pa.string())
            nodes = nodes.append_column("inferred", how)
        known = {"parameters", "graph", "metrics", "seed", "encoder"}
        write_artefact(
            folder,
            Artefact(
                kind="Embedding",
                parameters={
                    "encoder": self.metadata.get("encoder", ""),
                    **self.metadata.get("parameters", {}),
                    **{k: v for k, v in self.metadata.items() if k not in known},
                },
                tensors=tensors,
                tables={"nodes": nodes},
                graph=self.metadata.get("graph", {}),
                metrics=self.metadata.get("metrics", {}),
                seed=self.metadata.get("seed"),
                card=self._card(),
            ),
        )

    @classmethod
    def load(cls, folder: str | Path) -> Embedding:
        """Read an artefact written by `save`. Raises ArtefactError, FormatVersionError."""
        saved = read_artefact(folder, "Embedding")
        nodes, arrays = saved.tables["nodes"], saved.tensors["vectors"]
        parameters = dict(saved.parameters)
        encoder = parameters.pop("encoder", "")
        ids = nodes.column("id").to_pylist()
        how = nodes.column("inferred").to_pylist() if "inferred" in nodes.column_names else []
        return cls(
            ids,
            nodes.column("node_type").to_pylist(),
            nodes.column("name").to_pylist(),
            arrays["vectors"],
            saved.tensors.get("relations", {}),
            arrays.get("std"),
            {
                "encoder": encoder,
                "parameters": parameters,
                "graph": saved.graph,
                "metrics": saved.metrics,
                "seed": saved.seed,
            },
            {id_: text for id_, text in zip(ids, how, strict=False) if text is not None},
        )

    def to_word2vec_format(self, path: str | Path) -> None:
        """Write word2vec's text format, as gensim's `KeyedVectors.load_word2vec_format` reads it.

        Raises:
            SchemaError: an id holds white space, which that format cannot carry.
        """
        if spaced := next((id_ for id_ in self.ids if any(c.isspace() for c in id_)), None):
            raise SchemaError(f"{spaced!r} holds white space, which word2vec's text format cannot carry.")
        with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(f"{len(self)} {self.vector_size}\n")
            for id_, vector in zip(self.ids, self.vectors, strict=True):
                file.write(f"{id_} {' '.join(repr(float(x)) for x in vector)}\n")

    def to_pandas(self) -> pd.DataFrame:
        """One row per id: `name`, `node_type`, then the vector's components 0..d-1."""
        import pandas as pd

        frame = pd.DataFrame(self.vectors, index=pd.Index(self.ids, name="id"))
        frame.insert(0, "name", self.names)
        frame.insert(1, "node_type", self.node_types)
        return frame

    def _card(self) -> str:
        counts = "\n".join(f"| {t or '(none)'} | {rows.size:,} |" for t, rows in self._rows_by_type.items())
        metrics = [f"{name}: {value}" for name, value in self.metadata.get("metrics", {}).items()]
        inferred = f"; {len(self.inferred):,} of them inferred from others" if self.inferred else ""
        spread = "" if self.std is None else ", with posterior standard deviations"
        return f"""# {self.metadata.get("encoder", "Embedding")} embedding

{len(self):,} vectors of {self.vector_size} numbers, one per id{spread}{inferred}.

| node type | vectors |
|---|---|
{counts}

{learned_from("graph", self.metadata.get("graph", {}))}

## How
{settings(self.metadata.get("parameters", {}))}
- `seed`: {self.metadata.get("seed")}

## Measured
{bullets(metrics) if metrics else "Nothing was measured on this embedding."}

## Use
`medgraph.Embedding.load(folder).most_similar(id)`. Nearness in this space means a shared neighbourhood in the graph,
not a clinical effect; well-studied nodes have more edges and so better vectors. Not for decisions about a patient.
"""
