"""Anyone's data in MEDS, the event standard: https://medical-event-data-standard.github.io, schema 0.4."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medgraph.data.cohort import SPLITS, Cohort
from medgraph.data.delimited import READ_FAULTS
from medgraph.data.given_labels import GivenLabels
from medgraph.data.graph import Provenance
from medgraph.data.task import Task
from medgraph.errors import LoaderError, MalformedInputError, SchemaError
from medgraph.loading import Loader

__all__ = ["LOADER", "load"]

_LABELS = ("labels", "task_labels")


def load(path: Path | None = None, labels: str | Path | None = None) -> Cohort:
    """The cohort in a MEDS folder. Its events stay on disk and are read a block at a time.

    Read are `data/**/*.parquet`, and where they are there `metadata/codes.parquet`,
    `metadata/subject_splits.parquet`, `metadata/dataset.json`, and label files: `labels/<task>.parquet` or
    `labels/<task>/**/*.parquet`, each a task of its name. Looked through once: what had to be cleaned is counted in
    `skipped`. Which visit an event belongs to is read from a column `visit_id`, `hadm_id`, `visit_occurrence_id` or
    `encounter_id`.

    Args:
        path: the folder, or one Parquet file of events.
        labels: the folder of label files, where it is not in `path`.

    Raises:
        LoaderError: no such folder, or no events in it.
        MalformedInputError: a file breaks the schema; named, with how many rows.
    """
    if path is None:
        raise LoaderError("Loader 'meds' needs path=, a MEDS folder (which holds data/ and metadata/).")
    if path.is_file():
        files, root = [path], path.parent
    else:
        root = path
        files = sorted((path / "data").rglob("*.parquet")) if (path / "data").is_dir() else []
        files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise LoaderError(f"{path} is no MEDS folder: there is no data/**/*.parquet in it.")
    metadata = root / "metadata"
    codes = _table(metadata / "codes.parquet", ("code",))
    cohort = Cohort.of(files, codes, provenance=(_provenance(metadata / "dataset.json", root),))
    counts = Counter(cohort.skipped)
    splits = _splits(metadata / "subject_splits.parquet", cohort, counts)
    tasks = _tasks(root if labels is None else Path(labels).expanduser(), labels is not None, cohort, counts)
    if codes is not None and (strange := set(cohort.shards.codes) - set(codes["code"].to_pylist())):
        counts["codes without an entry in metadata/codes.parquet"] += len(strange)
    return Cohort(cohort.shards, codes, splits, tasks, cohort.provenance, dict(+counts))


def _table(file: Path, required: tuple[str, ...]) -> pa.Table | None:
    if not file.is_file():
        return None
    try:
        table = pq.read_table(file)
        table.validate(full=True)  # Parquet does not see to it that text is UTF-8
    except READ_FAULTS as fault:
        raise MalformedInputError(f"cannot be read as Parquet: {type(fault).__name__}.", file) from None
    for name in required:
        if name not in table.column_names:
            raise MalformedInputError(f"no column {name!r}; it has {table.column_names}.", file)
    return table


def _provenance(file: Path, root: Path) -> Provenance:
    if not file.is_file():
        return Provenance(root.name)
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise MalformedInputError("is no JSON object.", file) from None
    keys = ("dataset_name", "dataset_version", "license", "location_uri")
    name, version, licence, url = (str(about.get(key) or "") for key in keys)
    return Provenance(name or root.name, version, licence, url)


def _splits(file: Path, cohort: Cohort, counts: Counter[str]) -> dict[str, np.ndarray]:
    table = _table(file, ("subject_id", "split"))
    if table is None:
        return {}
    try:
        ids, names = table["subject_id"].cast(pa.int64()).to_numpy(), table["split"].cast(pa.string())
    except (pa.ArrowException, ValueError):
        raise MalformedInputError("subject_id must hold integers, split text.", file) from None
    if table["subject_id"].null_count or names.null_count:
        raise MalformedInputError("holds empty cells.", file)
    given = np.array(names.to_pylist(), dtype=object)
    if unknown := sorted(set(given) - set(SPLITS)):
        raise MalformedInputError(f"unknown splits {unknown[:5]}; expected {', '.join(SPLITS)}.", file, column="split")
    if twice := ids.size - np.unique(ids).size:
        raise MalformedInputError(f"{twice:,} subjects stand in it more than once.", file, column="subject_id")
    here = np.isin(ids, cohort.subjects)
    counts["subjects of subject_splits.parquet without events, left out"] += int((~here).sum())
    counts["subjects without a split"] += int((~np.isin(cohort.subjects, ids)).sum())
    return {name: np.sort(ids[here & (given == name)]) for name in SPLITS if (given == name).any()}


def _tasks(root: Path, stated: bool, cohort: Cohort, counts: Counter[str]) -> dict[str, Task]:
    folder = root if stated else next((root / name for name in _LABELS if (root / name).is_dir()), None)
    if folder is None:
        return {}
    if not folder.is_dir():
        raise LoaderError(f"{folder}: there is no such folder of labels.")
    tasks: dict[str, Task] = {}
    for place in sorted(folder.iterdir()):
        files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place] * (place.suffix == ".parquet")
        parts = [table for file in files if (table := _table(file, ("subject_id", "prediction_time"))) is not None]
        if not parts:
            continue
        try:
            table = pa.concat_tables(parts, promote_options="default")
            given = GivenLabels.from_table(table, place.stem).given
        except (SchemaError, pa.ArrowException) as fault:
            told = str(fault) if isinstance(fault, SchemaError) else "its files have different columns."
            raise MalformedInputError(told, place) from None
        here = np.isin(given.subject_id, cohort.subjects)
        counts[f"labels of {place.stem} whose subject has no events, left out"] += int((~here).sum())
        tasks[place.stem] = GivenLabels(given.take(np.flatnonzero(here)))
    return tasks


LOADER = Loader(
    name="meds",
    summary="Anyone's MEDS data set: a folder of data/ and metadata/, read from disk in blocks.",
    licence="the data's own",
    url="https://medical-event-data-standard.github.io",
    load=load,
)
