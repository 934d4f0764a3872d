"""Cohorts made by hand for the tests of concept embeddings."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from medgraph.data.cohort import Cohort

ZERO = datetime(2010, 1, 1)
Row = tuple[int, float | None, str, int | None]


def cohort_of(rows: list[Row]) -> Cohort:
    """Events as (subject, day, code, visit)."""
    ids, days, codes, visits = zip(*rows, strict=True)
    times = [None if day is None else ZERO + timedelta(days=day) for day in days]
    return Cohort.of(
        pa.table(
            {
                "subject_id": pa.array(ids, pa.int64()),
                "time": pa.array(times, pa.timestamp("us")),
                "code": codes,
                "visit_id": pa.array(visits, pa.int64()),
            }
        )
    )


def planted_cohort(subjects: int = 120, topics: int = 4, codes: int = 10, seed: int = 0) -> Cohort:
    """Each subject has one topic: its codes are `T<topic>:<n>`, and now and then one of another topic's."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for subject in range(subjects):
        number = 70_000_001 + subject  # an id that can be searched for
        rows.append((number, None, "GENDER//F", None))
        rows.append((number, -10_000.0, "MEDS_BIRTH", None))
        for visit in range(int(rng.integers(2, 5))):
            for _ in range(int(rng.integers(2, 6))):
                topic = subject % topics if rng.random() < 0.9 else int(rng.integers(topics))
                rows.append((number, 30.0 * visit, f"T{topic}:{rng.integers(codes)}", 10 * subject + visit))
    return cohort_of(rows)
