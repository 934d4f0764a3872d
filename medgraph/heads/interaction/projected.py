"""Dense features of drugs and targets: counts on the principal axes of the training entities, vectors by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32

from medgraph.data.molecules import morgan
from medgraph.data.proteins import kmers
from medgraph.errors import SchemaError, nearest
from medgraph.heads.interaction.features import Encoded, Entities, Features, Saved, _Gathered

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from medgraph.embeddings.embedding import Embedding

__all__ = ["ProjectedFeatures", "VectorFeatures"]


@dataclass(frozen=True, eq=False)
class ProjectedFeatures(Features):
    """log(1 + counts) on the principal axes of the training entities, scaled to a mean variance of 1.

    A linear layer learns the same from them as from the counts, at a fraction of the work. What lies off the axes, of
    which training could have taught nothing, is dropped; the first number says how much that is: |rest| / |all|.

    Args:
        kind: "morgan" counts of SMILES, or "kmers" of sequences.
        size_: radius of the fingerprint, or k.
        mean: of the training entities.
        axes: one a column.
        scale: the standard deviation that numbers are divided by.
    """

    kind: Literal["morgan", "kmers"]
    size_: int
    mean: Float32[np.ndarray, " p"]
    axes: Float32[np.ndarray, "p k"]
    scale: float

    @classmethod
    def fitted(
        cls, kind: Literal["morgan", "kmers"], size: int, entities: Entities, rows: np.ndarray, most: int
    ) -> ProjectedFeatures:
        """On those `rows`, each once; at most so many axes."""
        texts = list(dict.fromkeys(entities.texts[int(row)] for row in np.unique(rows)))
        counts = _counted(kind, size, texts).toarray().astype(np.float64)
        mean = counts.mean(axis=0)
        centred = counts - mean
        values, vectors = np.linalg.eigh(centred @ centred.T)  # there are fewer entities than counts
        order = [i for i in np.argsort(values)[::-1][:most] if values[i] > 1e-9 * values[-1]]
        axes = centred.T @ (vectors[:, order] / np.sqrt(values[order])) if order else np.zeros((mean.size, 0))
        scale = float(np.sqrt(values[order].mean() / len(texts))) if order else 1.0
        return cls(kind, size, mean.astype(np.float32), axes.astype(np.float32), scale)

    @property
    def width(self) -> int:
        """Numbers an entity."""
        return int(self.axes.shape[1]) + 1

    def of(self, entities: Entities) -> Encoded:
        """Inputs: float32 (k, width)."""
        distinct = {text: number for number, text in enumerate(dict.fromkeys(entities.texts))}
        rows = []
        for start in range(0, len(distinct), 4096):
            texts = list(distinct)[start : start + 4096]
            centred = _counted(self.kind, self.size_, texts).toarray().astype(np.float64) - self.mean
            found = centred @ self.axes.astype(np.float64)  # so that company in the list cannot show
            whole, kept = (centred**2).sum(axis=1), (found**2).sum(axis=1)
            off = np.sqrt(np.maximum(whole - kept, 0) / np.maximum(whole, 1e-12))
            rows.append(np.column_stack([off, found / self.scale]).astype(np.float32))
        table = np.concatenate([np.zeros((0, self.width), dtype=np.float32), *rows])
        return _Gathered((torch.from_numpy(table[[distinct[text] for text in entities.texts]]),))

    def saved(self) -> Saved:
        """Mean and axes as arrays."""
        parameters = {"kind": self.kind, "size": self.size_, "scale": self.scale}
        return Saved(parameters, {"mean": self.mean, "axes": self.axes})

    @classmethod
    def restore(cls, saved: Saved) -> ProjectedFeatures:
        """The reverse."""
        p = saved.parameters
        return cls(p["kind"], p["size"], saved.arrays["mean"], saved.arrays["axes"], p["scale"])


def _counted(kind: str, size: int, texts: list[str]) -> csr_matrix:
    found = morgan(texts, size, 2048, counts=True) if kind == "morgan" else kmers(texts, size)
    return found.log1p()


@dataclass(frozen=True, eq=False)
class VectorFeatures(Features):
    """The vector of each entity in an embedding, and a flag: 1 where it has one; zeros where not.

    Args:
        names: of those with a vector: their ids among the affinities.
        vectors: theirs, scaled to a mean square of 1.
        what: "drugs" or "targets", for notes.
    """

    names: tuple[str, ...]
    vectors: Float32[np.ndarray, "m d"]
    what: str = field(default="entities")

    @classmethod
    def matched(
        cls,
        embedding: Embedding,
        entities: Entities,
        keys: Mapping[str, str] | None,
        what: str,
        least: float,
        rows: np.ndarray,
    ) -> VectorFeatures:
        """Vectors of all entities that have one.

        Args:
            embedding: where they are looked up.
            entities: drugs or targets.
            keys: id among the affinities -> id in the embedding; None: they are the same.
            what: they are, in errors.
            least: share of the training entities that must be found.
            rows: the training entities.

        Raises:
            SchemaError: fewer are found.
        """
        place = {id_: number for number, id_ in enumerate(embedding.ids)}
        wanted = {id_: (id_ if keys is None else keys.get(id_, "")) for id_ in entities.ids if id_}
        found = {id_: place[key] for id_, key in wanted.items() if key in place}
        train = [entities.ids[int(row)] for row in np.unique(rows)]
        share = float(np.mean([id_ in found for id_ in train])) if train else 0.0
        if share < least:
            lost = next(id_ for id_ in train if id_ not in found)
            near = nearest(wanted.get(lost) or lost, embedding.ids)
            raise SchemaError(
                f"{share:.1%} of the {len(train):,} training {what} have a vector, fewer than min_match={least:.0%}; "
                f"{lost!r} has none. Say with {what[:-1]}_keys= which node each is, or lower min_match.{near}"
            )
        vectors = embedding.vectors[list(found.values())] if found else np.zeros((0, embedding.vectors.shape[1]))
        scale = float(np.sqrt(np.mean(vectors**2))) or 1.0 if found else 1.0
        return cls(tuple(found), (vectors / scale).astype(np.float32), what)

    @property
    def width(self) -> int:
        """Numbers an entity: the vector and the flag."""
        return int(self.vectors.shape[1]) + 1

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def of(self, entities: Entities) -> Encoded:
        """Inputs: float32 (k, width)."""
        table = np.zeros((len(entities), self.width), dtype=np.float32)
        for row, id_ in enumerate(entities.ids):
            if (place := self._place.get(id_)) is not None:
                table[row, 0], table[row, 1:] = 1, self.vectors[place]
        hits = int(table[:, 0].sum())
        return _Noted((torch.from_numpy(table),), (f"{hits:,} of {len(entities):,} {self.what} have a graph vector",))

    def saved(self) -> Saved:
        """Names as a table, vectors as an array."""
        return Saved(
            {"what": self.what}, {"vectors": self.vectors},
            {"names": pa.table({"id": pa.array(self.names, pa.string())})},
        )  # fmt: skip

    @classmethod
    def restore(cls, saved: Saved) -> VectorFeatures:
        """The reverse."""
        names = tuple(saved.tables["names"]["id"].to_pylist())
        return cls(names, saved.arrays["vectors"], saved.parameters["what"])


@dataclass(frozen=True)
class _Noted(_Gathered):
    notes: tuple[str, ...] = ()
