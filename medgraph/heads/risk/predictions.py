"""Predicted risks beside what came of them, in memory only: they are never written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped

from medgraph.data.labels import Kind
from medgraph.errors import SchemaError, UnknownIdentifierError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RiskPredictions"]


@dataclass(frozen=True, eq=False, repr=False)
class RiskPredictions:
    """One row a sample.

    Args:
        kind: of the task.
        names: of its columns.
        subject_id: whose; for grouping, in memory only.
        prediction_time: when, datetime64[us].
        label: (n,), (n, k) or (n, 2), as in `Samples`.
        probability: (n,) of the outcome; (n, k) of each label; (n, e, b) of each event within each of `days`.
        days: of survival: horizons of the cumulative incidence.
        log_odds: before calibration; None for survival.
        unseen: samples without one code that the model knows.
    """

    kind: Kind
    names: tuple[str, ...]
    subject_id: Int64[np.ndarray, " n"]
    prediction_time: Shaped[np.ndarray, " n"]
    label: Float32[np.ndarray, "n ..."]
    probability: Float[np.ndarray, "n ..."]
    days: tuple[float, ...] = ()
    log_odds: Float[np.ndarray, "n ..."] | None = field(default=None)
    unseen: int = 0

    def __len__(self) -> int:
        return int(self.subject_id.size)

    def __repr__(self) -> str:
        subjects = np.unique(self.subject_id).size
        return f"RiskPredictions({self.kind}, {len(self):,} samples of {subjects:,} subjects)"

    def within(self, days: float, event: str | None = None) -> Float[np.ndarray, " n"]:
        """P(the event within so many days), linear between the horizons; beyond the last, what it was there.

        Raises:
            SchemaError: not a survival task, or a negative horizon.
            UnknownIdentifierError: no such event.
        """
        if self.kind != "survival" or not days >= 0:
            raise SchemaError(f"Risks within {days} days are there for survival tasks; this is a {self.kind} one.")
        name = self.names[0] if event is None else event
        if name not in self.names:
            raise UnknownIdentifierError(f"{name!r} is no event of this task: {', '.join(self.names)}.")
        curve = self.probability[:, self.names.index(name), :]
        grid = np.array([0.0, *self.days])
        curve = np.concatenate([np.zeros((len(curve), 1)), curve], axis=1)
        after = int(np.clip(np.searchsorted(grid, days, side="left"), 1, grid.size - 1))
        share = min(max((days - grid[after - 1]) / (grid[after] - grid[after - 1]), 0.0), 1.0)
        return np.asarray(curve[:, after - 1] * (1 - share) + curve[:, after] * share)

    def to_pandas(self) -> pd.DataFrame:
        """One row a sample: subject_id, prediction_time, each label's probability (survival: by the last horizon)."""
        import pandas as pd

        columns = {"subject_id": self.subject_id, "prediction_time": self.prediction_time}
        if self.kind == "binary":
            return pd.DataFrame({**columns, "probability": self.probability})
        table = self.probability if self.kind == "multilabel" else self.probability[:, :, -1]
        return pd.DataFrame({**columns, **{name: table[:, i] for i, name in enumerate(self.names)}})
