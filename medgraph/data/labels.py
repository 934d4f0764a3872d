"""Samples of a task: whose, when, what came of it, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64, Shaped

from medgraph.errors import SchemaError

__all__ = ["Kind", "Labels"]

Kind: TypeAlias = Literal["binary", "multilabel", "multiclass", "real", "survival"]


@dataclass(frozen=True, eq=False, repr=False)
class Labels:
    """What is to be predicted, one row a sample; sorted by subject within each block, then by time.

    Args:
        kind: "binary", "multilabel", "multiclass", "real" or "survival".
        names: what the columns mean: one name, a name for each target, the classes, or the events of survival.
        subject_id: of each sample.
        prediction_time: microseconds since 1970-01-01 UTC.
        value: (n,), or (n, k) where there are k targets, or (n, 2) for survival: days, and the event's number from 1
            (0 = censored).
        excluded: why samples were left out -> how many.
    """

    kind: Kind
    names: tuple[str, ...]
    subject_id: Int64[np.ndarray, " n"]
    prediction_time: Int64[np.ndarray, " n"]
    value: Float32[np.ndarray, "n ..."]
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.subject_id.size)

    def __repr__(self) -> str:
        left_out = "".join(f"; {count:,} excluded: {reason}" for reason, count in self.excluded.items())
        return (
            f"Labels({self.kind}, {len(self):,} samples of {self.num_subjects:,} subjects{self._balance()}{left_out})"
        )

    @property
    def num_subjects(self) -> int:
        """How many subjects have a sample."""
        return int(np.unique(self.subject_id).size)

    @property
    def times(self) -> Shaped[np.ndarray, " n"]:
        """Prediction times as datetime64[us]."""
        return self.prediction_time.astype("datetime64[us]")

    def take(self, rows: Int64[np.ndarray, " m"]) -> Labels:
        """These samples; what was excluded is forgotten."""
        return Labels(self.kind, self.names, self.subject_id[rows], self.prediction_time[rows], self.value[rows])

    @classmethod
    def concat(cls, parts: Sequence[Labels]) -> Labels:
        """One after another, exclusions added up. Raises SchemaError where there is no part."""
        if not parts:
            raise SchemaError("There are no events, so there is nothing to label.")
        excluded: Counter[str] = Counter()
        for part in parts:
            excluded.update(part.excluded)
        return cls(
            parts[0].kind,
            parts[0].names,
            np.concatenate([part.subject_id for part in parts]),
            np.concatenate([part.prediction_time for part in parts]),
            np.concatenate([part.value for part in parts]),
            dict(excluded),
        )

    def check(self) -> Labels:
        """Itself, if something can be learnt from it.

        Raises:
            SchemaError: no sample is left, or all have the same outcome.
        """
        why = "; ".join(f"{count:,} excluded: {reason}" for reason, count in self.excluded.items())
        if not len(self):
            raise SchemaError(f"The task leaves no sample. {why or 'It has no prediction time in these data'}.")
        if self.kind == "survival":
            one = not self.value[:, 1].any()
        elif self.kind == "multilabel":
            one = not ((self.value == 1).any(axis=0) & (self.value == 0).any(axis=0)).any()
        else:
            one = bool(np.all(self.value == self.value[0]))
        if one:
            told = f" {why}." if why else ""
            raise SchemaError(
                f"All {len(self):,} samples have the same outcome, so nothing can be learnt. Choose other codes, "
                f"another horizon or other prediction times.{told}"
            )
        return self

    def to_table(self) -> pa.Table:
        """As MEDS' labels: subject_id, prediction_time and one value column. Raises SchemaError for several values."""
        columns: dict[str, pa.Array] = {
            "subject_id": pa.array(self.subject_id, pa.int64()),
            "prediction_time": pa.array(self.prediction_time, pa.timestamp("us")),
        }
        if self.kind == "binary":
            columns["boolean_value"] = pa.array(self.value == 1)
        elif self.kind == "real":
            columns["float_value"] = pa.array(self.value, pa.float32())
        elif self.kind == "multiclass":
            columns["categorical_value"] = pa.array([self.names[int(v)] for v in self.value], pa.string())
        else:
            raise SchemaError(f"MEDS' label files hold one value a sample; {self.kind} labels do not fit.")
        return pa.table(columns)

    def _balance(self) -> str:
        if not len(self):
            return ""
        if self.kind == "binary":
            return f", {float(self.value.mean()):.1%} positive"
        if self.kind == "survival":
            return f", {float((self.value[:, 1] > 0).mean()):.1%} with an event"
        return f", {len(self.names)} targets" if self.kind == "multilabel" else ""
