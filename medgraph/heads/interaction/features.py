"""What a network is told of a drug or a target: fitted on train, encoded once an entity, saved with the head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.errors import ArtefactError, SchemaError
from medgraph.heads.interaction.owners import Owners

__all__ = ["Encoded", "Entities", "Features", "IdFeatures", "Inputs", "JoinedFeatures", "Saved"]

Inputs: TypeAlias = tuple[Tensor, ...]  # what an encoder's forward takes: `encoder(*inputs)` -> one row an entity
_Rows: TypeAlias = Int64[np.ndarray, " k"]
_Kind = TypeVar("_Kind", bound="Features")


@dataclass(frozen=True)
class Entities:
    """Drugs or targets, in order.

    Args:
        ids: "" where there is none.
        texts: SMILES or sequences.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.texts):
            raise SchemaError(f"{len(self.ids)} ids and {len(self.texts)} texts do not belong together.")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_table(cls, table: pa.Table, text: str) -> Entities:
        """Rows of `Affinities.drugs` (text="smiles") or `.targets` (text="sequence")."""
        return cls(tuple(table["id"].to_pylist()), tuple(table[text].to_pylist()))

    def take(self, rows: Sequence[int] | np.ndarray) -> Entities:
        """Some of them."""
        return Entities(tuple(self.ids[int(i)] for i in rows), tuple(self.texts[int(i)] for i in rows))


@dataclass(frozen=True)
class Saved:
    """A fitted `Features` as an artefact holds it.

    Args:
        parameters: JSON values.
        arrays: name -> numbers.
        tables: name -> Arrow table, for lists of ids and texts.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


class Encoded(ABC):
    """A list of entities, encoded and kept; `tensors` picks some of them for a batch."""

    notes: tuple[str, ...] = ()  # what a reader of the figures should know, such as what was cut

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def tensors(self, rows: _Rows, device: torch.device) -> Inputs:
        """What the encoder takes for these entities, in this order. No other entity may change an entity's part."""


class Features(ABC):
    """How entities become tensors. To add a kind: subclass it, with `of`, `saved`, `restore`; its name is its key.

    An instance is fitted: whatever it knows of the training entities (ids, counts, means) it holds itself.
    """

    @abstractmethod
    def of(self, entities: Entities) -> Encoded:
        """Encode a list once; batches then only pick from it."""

    @abstractmethod
    def saved(self) -> Saved:
        """All that `restore` needs."""

    @classmethod
    @abstractmethod
    def restore(cls: type[_Kind], saved: Saved) -> _Kind:
        """The reverse of `saved`."""

    @property
    def size(self) -> int:
        """How many input tensors its encoder takes."""
        return 1

    def owners(self, place: int, text: str, units: int, drug: bool) -> Owners | None:  # noqa: ARG002
        """Whose, among the atoms or residues of this text, the `units` of an input are; None: nobody's, as with ids.

        Args:
            place: of the input among the `size` ones.
            text: a SMILES or sequence.
            units: tokens, or columns of a row.
            drug: is it a drug?
        """
        return None

    @staticmethod
    def named(name: str) -> type[Features]:
        """The subclass of that name, for loading. Raises ArtefactError."""
        found = list(Features.__subclasses__())
        for kind in found:
            found += kind.__subclasses__()
        for kind in found:
            if kind.__name__ == name:
                return kind
        raise ArtefactError(f"{name!r} is no known kind of features: import the module of the head that was saved.")


@dataclass(frozen=True)
class _Gathered(Encoded):
    """One row an entity in each array."""

    arrays: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def tensors(self, rows: _Rows, device: torch.device) -> Inputs:
        index = torch.from_numpy(rows)
        return tuple(array[index].to(device) for array in self.arrays)


@dataclass(frozen=True)
class IdFeatures(Features):
    """Who it is: the number of its id among those trained on, from 1; 0 for any other.

    Args:
        ids: of training.
    """

    ids: tuple[str, ...]
    kind: ClassVar[str] = "ids"

    @classmethod
    def fitted(cls, entities: Entities, rows: np.ndarray) -> IdFeatures:
        """The ids of those `rows` (the entities that occur in the training pairs)."""
        return cls(tuple(dict.fromkeys(entities.ids[int(i)] for i in np.unique(rows) if entities.ids[int(i)])))

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, entities: Entities) -> Encoded:
        """Inputs: int64 (k,)."""
        number = {id_: place for place, id_ in enumerate(self.ids, start=1)}
        return _Gathered((torch.tensor([number.get(id_, 0) for id_ in entities.ids], dtype=torch.int64),))

    def saved(self) -> Saved:
        """The ids as a table."""
        return Saved(tables={"ids": pa.table({"id": pa.array(self.ids, pa.string())})})

    @classmethod
    def restore(cls, saved: Saved) -> IdFeatures:
        """From the table."""
        return cls(tuple(saved.tables["ids"]["id"].to_pylist()))


@dataclass(frozen=True)
class _JoinedEncoded(Encoded):
    parts: tuple[Encoded, ...]

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(note for part in self.parts for note in part.notes)

    def __len__(self) -> int:
        return len(self.parts[0])

    def tensors(self, rows: _Rows, device: torch.device) -> Inputs:
        return tuple(tensor for part in self.parts for tensor in part.tensors(rows, device))


@dataclass(frozen=True)
class JoinedFeatures(Features):
    """Several kinds side by side; the encoder takes all their tensors (see `pair_network.JoinedEncoder`).

    Args:
        parts: in order.
    """

    parts: tuple[Features, ...]

    @property
    def size(self) -> int:
        """Of all parts together."""
        return sum(part.size for part in self.parts)

    def of(self, entities: Entities) -> Encoded:
        """Inputs: those of the first part, then those of the second, and so on."""
        return _JoinedEncoded(tuple(part.of(entities) for part in self.parts))

    def saved(self) -> Saved:
        """Each part's, its names led by the part's number."""
        parts = [part.saved() for part in self.parts]
        return Saved(
            {"parts": [{"class": type(p).__name__, **s.parameters} for p, s in zip(self.parts, parts, strict=True)]},
            {f"{i}.{name}": array for i, s in enumerate(parts) for name, array in s.arrays.items()},
            {f"{i}.{name}": table for i, s in enumerate(parts) for name, table in s.tables.items()},
        )

    @classmethod
    def restore(cls, saved: Saved) -> JoinedFeatures:
        """Each part by its class's name."""
        parts = []
        for i, parameters in enumerate(saved.parameters["parts"]):
            start = f"{i}."
            own = Saved(
                {name: value for name, value in parameters.items() if name != "class"},
                {name.removeprefix(start): a for name, a in saved.arrays.items() if name.startswith(start)},
                {name.removeprefix(start): t for name, t in saved.tables.items() if name.startswith(start)},
            )
            parts.append(Features.named(parameters["class"]).restore(own))
        return cls(tuple(parts))
