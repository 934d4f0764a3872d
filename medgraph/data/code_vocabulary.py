"""The codes that a model knows, with what training data say of their values. It holds no subject and no date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

__all__ = ["CodeVocabulary"]


@dataclass(frozen=True, eq=False, repr=False)
class CodeVocabulary:
    """Codes in the order of their numbers, counted on training data up to the prediction times.

    Args:
        codes: the commonest first.
        counts: how many events had each.
        subjects: how many subjects had each.
        mean: of the values that came with the code; nan where none did.
        std: their standard deviation (population); nan where none did.
        roll_up: code as it stands in the data -> the code that stands for it here; others stand for themselves.
    """

    codes: tuple[str, ...]
    counts: Int64[np.ndarray, " c"]
    subjects: Int64[np.ndarray, " c"]
    mean: Float64[np.ndarray, " c"]
    std: Float64[np.ndarray, " c"]
    roll_up: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {len(self.codes), self.counts.size, self.subjects.size, self.mean.size, self.std.size}
        if len(sizes) != 1 or len(set(self.codes)) != len(self.codes):
            raise SchemaError("A vocabulary needs one count, mean and deviation for each of its distinct codes.")

    def __len__(self) -> int:
        return len(self.codes)

    def __contains__(self, code: object) -> bool:
        return code in self._rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CodeVocabulary):
            return NotImplemented
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("counts", "subjects", "mean", "std")]
        return self.codes == other.codes and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"CodeVocabulary({len(self):,} codes, {int(self.counts.sum()):,} events)"

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {code: row for row, code in enumerate(self.codes)}

    def index(self, code: str) -> int:
        """The number of a code. Raises UnknownIdentifierError, naming the nearest."""
        try:
            return self._rows[self.roll_up.get(code, code)]
        except KeyError:
            near = nearest(code, self.codes)
            raise UnknownIdentifierError(f"{code!r} is not among the vocabulary's {len(self):,} codes.{near}") from None

    def lookup(self, codes: tuple[str, ...]) -> Int64[np.ndarray, " m"]:
        """The numbers of these codes, -1 for those it does not know."""
        return np.array([self._rows.get(self.roll_up.get(code, code), -1) for code in codes], dtype=np.int64)

    def to_table(self) -> pa.Table:
        """Its columns, to be saved with a model."""
        columns = {"counts": self.counts, "subjects": self.subjects, "mean": self.mean, "std": self.std}
        return pa.table({"code": pa.array(self.codes, pa.string()), **columns})

    @classmethod
    def from_table(cls, table: pa.Table, roll_up: Mapping[str, str] | None = None) -> CodeVocabulary:
        """What `to_table` gave."""
        try:
            counts, subjects, mean, std = (table[name].to_numpy() for name in ("counts", "subjects", "mean", "std"))
            return cls(tuple(table["code"].to_pylist()), counts, subjects, mean, std, roll_up or {})
        except KeyError as fault:
            raise SchemaError(f"A vocabulary's table lacks a column: {fault}") from None
