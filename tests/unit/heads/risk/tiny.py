"""Samples written down by hand."""

from __future__ import annotations

import numpy as np

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.samples import Samples

CODES = CodeVocabulary(
    ("a", "b", "c", "d"),
    np.array([6, 3, 2, 1]),
    np.array([3, 2, 2, 1]),
    np.array([np.nan, 10.0, 0.0, np.nan]),
    np.array([np.nan, 2.0, 1.0, np.nan]),
)
Visit = tuple[float, list[tuple[int, float]]]  # days before the prediction; (code, value)
NONE = float("nan")


def samples_of(histories: list[list[Visit]], label: list[tuple[float, float]] | None = None) -> Samples:
    visits = [visit for history in histories for visit in history]
    events = [(day, code, value) for day, inside in visits for code, value in inside]
    n = len(histories)
    return Samples(
        CODES,
        np.arange(n, dtype=np.int64),
        np.full(n, np.datetime64("2020-01-01", "us")),
        np.zeros(n, dtype=np.float32) if label is None else np.array(label, dtype=np.float32),
        np.full(n, 25.0, dtype=np.float32),
        np.cumsum([0, *(len(history) for history in histories)]),
        np.cumsum([0, *(len(inside) for _, inside in visits)]),
        np.array([code for _, code, _ in events], dtype=np.int32),
        np.array([value for *_, value in events], dtype=np.float32),
        np.array([day for day, *_ in events], dtype=np.float32),
        np.zeros(n + 1, dtype=np.int64),
        np.zeros(0, dtype=np.int32),
        np.zeros(n, dtype=np.int64),
    )
