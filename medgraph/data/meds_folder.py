"""A cohort as a MEDS folder, in schema 0.4: https://medical-event-data-standard.github.io."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medgraph.artefact import atomic_folder
from medgraph.data.events import STATIC, Events
from medgraph.data.given_labels import GivenLabels
from medgraph.errors import ArtefactError, SchemaError

if TYPE_CHECKING:
    from medgraph.data.cohort import Cohort

__all__ = ["write_meds"]

MEDS_VERSION = "0.4.1"
_EVENTS = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us")),
        pa.field("code", pa.string(), nullable=False),
        pa.field("numeric_value", pa.float32()),
        pa.field("visit_id", pa.int64()),
    ]
)
_CODES = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())),
    ]
)
_SPLITS = pa.schema(
    [pa.field("subject_id", pa.int64(), nullable=False), pa.field("split", pa.string(), nullable=False)]
)


def write_meds(cohort: Cohort, folder: str | Path) -> None:
    """Write `cohort` as a MEDS folder, whole or not at all; see `Cohort.to_meds`."""
    folder = Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtefactError(f"{folder} is there already; choose another folder or remove it first.")
    splits = {name: np.intersect1d(ids, cohort.subjects) for name, ids in cohort.splits.items()}
    rest = np.setdiff1d(cohort.subjects, np.concatenate([np.zeros(0, dtype=np.int64), *splits.values()]))
    names = pa.array(cohort.shards.codes, pa.string())
    with atomic_folder(folder) as temporary:
        for name, ids in [*splits.items(), ("", rest)]:
            place = temporary / "data" / name
            place.mkdir(parents=True, exist_ok=True)
            for number, events in enumerate(cohort.shards.blocks(ids)):
                pq.write_table(_table(events, names), place / f"{number}.parquet", compression="zstd")
        metadata = temporary / "metadata"
        metadata.mkdir()
        codes = cohort.codes.select(_CODES.names)
        pq.write_table(pa.table(codes.columns, schema=_CODES), metadata / "codes.parquet", compression="zstd")
        if splits:
            ids = np.concatenate(list(splits.values()))
            of = np.repeat(list(splits), [part.size for part in splits.values()]).tolist()
            pq.write_table(pa.table([pa.array(ids), pa.array(of)], schema=_SPLITS), metadata / "subject_splits.parquet")
        (metadata / "dataset.json").write_text(json.dumps(_about(cohort), indent=2) + "\n", encoding="utf-8")
        for name, task in cohort.tasks.items():
            if isinstance(task, GivenLabels):
                try:
                    table = task.given.to_table()
                except SchemaError:
                    continue  # several values a sample: MEDS has no place for them
                (temporary / "labels").mkdir(exist_ok=True)
                here = np.isin(task.given.subject_id, cohort.subjects)
                pq.write_table(table.filter(pa.array(here)), temporary / "labels" / f"{name}.parquet")


def _about(cohort: Cohort) -> dict[str, object]:
    about: dict[str, object] = {"etl_name": "medgraph", "meds_version": MEDS_VERSION}
    if cohort.provenance:
        about["dataset_name"] = " + ".join(source.name for source in cohort.provenance)
        first = cohort.provenance[0]
        for key, value in (("dataset_version", first.version), ("license", first.licence), ("location_uri", first.url)):
            if value:
                about[key] = value
    about["raw_source_id_columns"] = ["visit_id"]
    return about


def _table(events: Events, names: pa.Array) -> pa.Table:
    time, value, visit = events.time, events.value, events.visit
    columns = [
        pa.array(np.repeat(events.subject_id, np.diff(events.offsets))),
        pa.array(time, pa.int64(), mask=time == STATIC).cast(pa.timestamp("us")),
        names.take(pa.array(events.code)),
        pa.array(value, pa.float32(), mask=np.isnan(value)),
        pa.array(visit, pa.int64(), mask=visit < 0),
    ]
    return pa.table(columns, schema=_EVENTS)
