"""How well do two proteins align? Smith-Waterman scores, each found once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.errors import MissingExtraError

__all__ = ["Alignments"]

_MOST = 4096  # sequences that are remembered: a table of 64 MB
_RARE = str.maketrans("UOJ", "CKL")  # what BLOSUM does not know, as the most like it


class Alignments:
    """Local alignment (Smith & Waterman 1981, doi:10.1016/0022-2836(81)90087-5) under BLOSUM62, gaps 11 and then 1.

    Scores are remembered, so that asking again about the same sequences, as folds and stacks do, costs nothing.

    Raises:
        MissingExtraError: no PyOpal, which aligns.
    """

    def __init__(self) -> None:
        try:
            import pyopal
            from scoring_matrices.lib import ScoringMatrix
        except ImportError:
            raise MissingExtraError("pyopal", "chem", "Aligning proteins") from None
        self._opal: Any = pyopal
        self._aligner = pyopal.Aligner(ScoringMatrix.from_name("BLOSUM62"), gap_open=11, gap_extend=1)
        self._place: dict[str, int] = {}
        self._known = np.zeros((0, 0), dtype=np.float32)

    def likeness(self, first: Sequence[str], second: Sequence[str]) -> Float64[np.ndarray, "m n"]:
        """score(a, b) / sqrt(score(a, a) score(b, b)): 1 for the same, 0 for nothing in common."""
        texts = [text.upper().translate(_RARE) for text in (*first, *second)]
        if len(self._place.keys() | set(texts)) > _MOST:
            self._place, self._known = {}, np.zeros((0, 0), dtype=np.float32)
        places = np.array([self._place.setdefault(text, len(self._place)) for text in texts], dtype=np.int64)
        rows, columns = places[: len(first)], places[len(first) :]
        self._learn(rows, columns)
        own = np.maximum(self._known.diagonal().astype(np.float64), 1e-9)
        return np.asarray(self._known[np.ix_(rows, columns)] / np.sqrt(np.outer(own[rows], own[columns])))

    def _learn(self, rows: Int64[np.ndarray, " m"], columns: Int64[np.ndarray, " n"]) -> None:
        """Find the scores of these that are not known, and of each with itself."""
        old, size = len(self._known), len(self._place)
        if size > old:
            self._known = np.pad(self._known, (0, size - old), constant_values=np.nan)
        texts = list(self._place)
        for row in np.unique(np.append(rows, columns)).tolist():
            wanted = np.unique(np.append(columns, row)) if row in rows else np.array([row])
            wanted = wanted[np.isnan(self._known[row, wanted])]
            if wanted.size:
                against = self._opal.Database([texts[i] for i in wanted.tolist()])
                scores = [one.score for one in self._aligner.align(texts[row], against)]
                self._known[row, wanted] = self._known[wanted, row] = scores
