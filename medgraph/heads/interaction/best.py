"""The best so many of a stream, each molecule once."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from medgraph.errors import SchemaError

__all__ = ["Best"]


class Best:
    """A heap. Of equal values the earlier row is the better; a molecule that is held is not taken again.

    Args:
        size: how many.
        sign: 1 where the highest values are the best, -1 where the lowest are.
    """

    def __init__(self, size: int, sign: float = 1.0) -> None:
        self.size, self.sign = size, sign
        self._heap: list[tuple[float, int, str, str]] = []  # worst first: value x sign, -row, id, smiles
        self._held: set[str] = set()

    def offer(self, value: float, row: int, id_: str, smiles: str) -> None:
        """Take it if it is among the best so far.

        Raises:
            SchemaError: a value that is not a number.
        """
        if not math.isfinite(value):
            raise SchemaError(f"The head's value of {smiles[:80]!r} (row {row}) is {value}: it was not fitted well.")
        entry = (self.sign * value, -row, id_, smiles)
        if smiles in self._held or (len(self._heap) == self.size and entry[:2] <= self._heap[0][:2]):
            return
        self._held.add(smiles)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            self._held.discard(heapq.heapreplace(self._heap, entry)[3])

    def ranked(self) -> list[tuple[float, int, str, str]]:
        """Value, row, id and SMILES of each, the best first."""
        return [(self.sign * value, -row, id_, smiles) for value, row, id_, smiles in sorted(self._heap, reverse=True)]

    held = ranked

    def restore(self, entries: Sequence[Sequence[object]]) -> None:
        """What `held` gave."""
        for value, row, id_, smiles in entries:
            self.offer(float(value), int(row), str(id_), str(smiles))  # type: ignore[arg-type,call-overload]
