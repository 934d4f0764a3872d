"""Labels that were made elsewhere, such as MEDS' label files, as a task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32

from medgraph.data.events import search, spread
from medgraph.data.labels import Kind, Labels
from medgraph.data.record import Record
from medgraph.data.task import Rows, Task
from medgraph.errors import SchemaError

__all__ = ["GivenLabels"]

_VALUES = ("boolean_value", "integer_value", "float_value", "categorical_value")


@dataclass(frozen=True)
class GivenLabels(Task):
    """The outcomes are as given; only samples that the exclusions rule out are left out.

    Args:
        given: the samples.
    """

    given: Labels

    def __post_init__(self) -> None:
        order = np.lexsort((self.given.prediction_time, self.given.subject_id))
        if not np.array_equal(order, np.arange(order.size)):
            object.__setattr__(self, "given", self.given.take(order))
        ids, times = self.given.subject_id, self.given.prediction_time
        if twice := int(((np.diff(ids) == 0) & (np.diff(times) == 0)).sum()):
            raise SchemaError(f"{twice:,} labels have the subject and prediction time of another one.")
        object.__setattr__(self, "kind", self.given.kind)

    @classmethod
    def from_table(cls, table: pa.Table, name: str = "label") -> GivenLabels:
        """Labels in MEDS' schema: subject_id, prediction_time, and one of the value columns.

        Raises:
            SchemaError: a column is missing, or holds nulls, or is of another type.
        """
        present = [v for v in _VALUES if v in table.column_names and table[v].null_count < max(table.num_rows, 1)]
        if {"subject_id", "prediction_time"} - set(table.column_names) or len(present) != 1:
            raise SchemaError(
                f"MEDS labels need subject_id, prediction_time and one of {', '.join(_VALUES)} with values; got "
                f"{', '.join(table.column_names)}."
            )
        column = table[present[0]].combine_chunks()
        used = table.select(["subject_id", "prediction_time", present[0]])
        if nulls := sum(used[c].null_count for c in used.column_names):
            raise SchemaError(f"{nulls:,} cells of the labels are empty; every label needs subject, time and value.")
        names: tuple[str, ...] = (name,)
        kind: Kind = {"boolean_value": "binary", "float_value": "real"}.get(present[0], "multiclass")  # type: ignore[assignment]
        if kind == "multiclass":
            text = column.cast(pa.string())
            names = tuple(sorted(pc.unique(text).to_pylist(), key=lambda n: (len(n), n)))
            column = pc.index_in(text, pa.array(names))
        try:
            ids = table["subject_id"].cast(pa.int64()).to_numpy()
            times = table["prediction_time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
            value = column.cast(pa.float32()).to_numpy(zero_copy_only=False)
        except pa.ArrowException:
            raise SchemaError("MEDS labels: subject_id holds integers, prediction_time timestamps.") from None
        order = np.lexsort((times, ids))
        return cls(Labels(kind, names, ids[order], times[order], value[order].astype(np.float32)))

    @property
    def names(self) -> tuple[str, ...]:
        """As given."""
        return self.given.names

    def _spans(self, record: Record) -> tuple[Rows, Rows]:
        """Each subject's rows among the labels: from, to."""
        ids, wanted = self.given.subject_id, record.events.subject_id
        return np.searchsorted(ids, wanted, side="left"), np.searchsorted(ids, wanted, side="right")

    def _times(self, record: Record) -> tuple[Rows, Rows]:
        start, stop = self._spans(record)
        rows, _ = spread(start, stop)
        return np.repeat(np.arange(start.size), stop - start), self.given.prediction_time[rows]

    def _outcome(
        self,
        record: Record,
        subject: Rows,
        time: Rows,
        counts: Counter[str],  # noqa: ARG002
    ) -> tuple[Float32[np.ndarray, "m ..."], Bool[np.ndarray, " m"]]:
        start, stop = self._spans(record)
        rows = search(self.given.prediction_time, start[subject], stop[subject], time, after=False)
        return self.given.value[rows], np.ones(subject.size, dtype=bool)
