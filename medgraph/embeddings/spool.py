"""Columns of small integers, written once and read from any place, on disk and not in memory."""

from __future__ import annotations

import tempfile
import threading
import weakref

import numpy as np
from jaxtyping import Int64

__all__ = ["Spool"]

_TYPE = np.dtype("<i4")


class Spool:
    """Rows of integers in a temporary file that vanishes with this object.

    Args:
        columns: their names.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._file = tempfile.TemporaryFile(prefix="medgraph-")  # noqa: SIM115 (closed when this object goes)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def write(self, *columns: Int64[np.ndarray, " n"]) -> None:
        """Append rows."""
        rows = np.stack(columns, axis=1).astype(_TYPE)
        with self._lock:
            self._file.seek(0, 2)
            self._file.write(rows.tobytes())
            self._rows += len(rows)

    def read(self, start: int, stop: int) -> tuple[Int64[np.ndarray, " n"], ...]:
        """The columns' rows from `start` to before `stop`."""
        width = len(self.columns) * _TYPE.itemsize
        with self._lock:
            self._file.seek(start * width)
            data = self._file.read((stop - start) * width)
        rows = np.frombuffer(data, _TYPE).reshape(-1, len(self.columns))
        return tuple(column.astype(np.int64) for column in rows.T)
