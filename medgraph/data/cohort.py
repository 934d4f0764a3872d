"""Patients: MEDS events of any size, split by subject, asked questions of, never looked at beyond a prediction time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, Shaped

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.events import STATIC, Events
from medgraph.data.graph import Provenance
from medgraph.data.labels import Labels
from medgraph.data.meds_folder import write_meds
from medgraph.data.record import CodeIndex, Record
from medgraph.data.shards import Shards, background
from medgraph.data.task import Task
from medgraph.data.timelines import Timelines, fit_vocabulary
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

__all__ = ["SPLITS", "Cohort"]

SPLITS = ("train", "tuning", "held_out")


@dataclass(frozen=True, eq=False, repr=False)
class Cohort:
    """Events of subjects, where they lie; nothing is held but who there is and which codes occur.

    Args:
        shards: the events.
        descriptions: MEDS' table of codes (code, description, parent_codes), as far as the source has one.
        splits: "train", "tuning", "held_out" -> sorted subject ids.
        tasks: named tasks, such as the label files that came with the data.
        provenance: where the events came from.
        skipped: what a loader left out or mended, reason -> count.
        part: which split this is, None for the whole.
        chosen: sorted ids of the subjects this is restricted to, None for all.

    Raises:
        SchemaError: a subject in two splits, or a split of unknown name.
    """

    shards: Shards
    descriptions: pa.Table | None = None
    splits: Mapping[str, Int64[np.ndarray, " _"]] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    provenance: tuple[Provenance, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    part: str | None = None
    chosen: Int64[np.ndarray, " m"] | None = None

    def __post_init__(self) -> None:
        if unknown := set(self.splits) - set(SPLITS):
            raise SchemaError(f"Unknown split {min(unknown)!r}; MEDS has {', '.join(SPLITS)}.")
        splits = {
            name: np.unique(np.asarray(self.splits[name], dtype=np.int64)) for name in SPLITS if name in self.splits
        }
        everyone = np.concatenate([np.zeros(0, dtype=np.int64), *splits.values()])
        if twice := everyone.size - np.unique(everyone).size:
            raise SchemaError(f"{twice:,} subjects stand in more than one split; each may be in one only.")
        object.__setattr__(self, "splits", MappingProxyType(splits))
        object.__setattr__(self, "tasks", MappingProxyType(dict(self.tasks)))
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))

    @classmethod
    def of(
        cls,
        events: pa.Table | Sequence[Path | pa.Table],
        descriptions: pa.Table | None = None,
        splits: Mapping[str, Collection[int]] | None = None,
        tasks: Mapping[str, Task] | None = None,
        provenance: tuple[Provenance, ...] = (),
        skipped: Mapping[str, int] | None = None,
    ) -> Cohort:
        """A cohort from MEDS events: a table, or tables and Parquet files, each subject in one of them.

        What had to be cleaned is counted in `skipped`.

        Raises:
            MalformedInputError: events without subject or code, a column missing, a file that cannot be read.
        """
        shards = Shards.of([events] if isinstance(events, pa.Table) else list(events))
        found = {name: np.array(sorted(ids), dtype=np.int64) for name, ids in (splits or {}).items()}
        counts = dict(skipped or {})
        for reason, count in shards.counts.items():
            counts[reason] = counts.get(reason, 0) + count
        return cls(shards, descriptions, found, tasks or {}, provenance, counts)

    def __repr__(self) -> str:
        name = ", ".join(" ".join(filter(None, (p.name, p.version))) for p in self.provenance) or "unnamed"
        part = f", {self.part}" if self.part else ""
        split = "" if self.part or not self.splits else f", split {'/'.join(str(s.size) for s in self.splits.values())}"
        return f"Cohort({name}{part}: {self.num_subjects:,} subjects, {len(self.shards.codes):,} codes{split})"

    # Who and what -----------------------------------------------------------------------------------------------------

    @property
    def subjects(self) -> Int64[np.ndarray, " m"]:
        """Sorted subject ids."""
        return self.shards.subjects if self.chosen is None else self.chosen

    @property
    def num_subjects(self) -> int:
        """How many subjects."""
        return int(self.subjects.size)

    @property
    def num_events(self) -> int:
        """How many events the whole cohort has, whatever part of it this is."""
        return self.shards.num_events

    @property
    def span(self) -> Shaped[np.ndarray, "2"]:
        """The times of the first and the last event of the whole cohort; data end at the last."""
        ends = np.array([self.shards.first, self.shards.last])
        return ends.astype("datetime64[us]")

    @cached_property
    def codes(self) -> pa.Table:
        """Every code that occurs: code, description, parent_codes, and how many events have it."""
        table = pa.table({"code": pa.array(self.shards.codes, pa.string())})
        columns = {"description": pa.string(), "parent_codes": pa.list_(pa.string())}
        for name, kind in columns.items():
            values = pa.nulls(table.num_rows, kind)
            if self.descriptions is not None and name in self.descriptions.column_names:
                rows = pc.index_in(table["code"], self.descriptions["code"].combine_chunks())
                values = self.descriptions[name].take(rows).cast(kind).combine_chunks()
            table = table.append_column(name, values)
        return table.append_column("events", pa.array(self.shards.code_counts))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the events and of which subjects this part has; it tells nothing about any of them."""
        if self.chosen is None:
            return self.shards.fingerprint
        return hashlib.sha256(self.shards.fingerprint.encode() + self.chosen.astype("<i8").tobytes()).hexdigest()

    # Parts ------------------------------------------------------------------------------------------------------------

    def split(self, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0) -> Cohort:
        """With every subject drawn into train, tuning or held_out; an earlier split is replaced.

        Raises:
            SchemaError: fractions that are negative or do not add up to 1, a part of a cohort.
        """
        if len(fractions) != 3 or min(fractions) < 0 or not np.isclose(sum(fractions), 1):
            raise SchemaError(f"Expected three fractions that add up to 1, got {fractions}.")
        if self.part is not None:
            raise SchemaError(f"This is the {self.part} part of a cohort; split the whole.")
        subjects = np.random.default_rng(seed).permutation(self.subjects)
        cuts = np.round(np.cumsum(fractions)[:2] * subjects.size).astype(int)
        return replace(self, splits=dict(zip(SPLITS, np.split(subjects, cuts), strict=True)))

    @property
    def train(self) -> Cohort:
        """What models learn from."""
        return self._part("train")

    @property
    def tuning(self) -> Cohort:
        """What early stopping, thresholds and calibration look at."""
        return self._part("tuning")

    @property
    def held_out(self) -> Cohort:
        """What figures are reported on."""
        return self._part("held_out")

    def _part(self, name: str) -> Cohort:
        if self.part == name:
            return self
        if self.part is not None:
            raise SchemaError(f"This is the {self.part} part of a cohort; it has no {name} part.")
        if name not in self.splits:
            raise SchemaError(f"This cohort has no {name} part. Call cohort.split(seed=0) first.")
        return replace(self.only(self.splits[name]), part=name)

    def only(self, subject_ids: Collection[int] | Int64[np.ndarray, " n"]) -> Cohort:
        """The same with these subjects alone; those that are not here are passed over."""
        wanted = np.unique(np.asarray(list(subject_ids) if not isinstance(subject_ids, np.ndarray) else subject_ids))
        return replace(self, chosen=np.intersect1d(self.subjects, wanted.astype(np.int64)))

    # Questions --------------------------------------------------------------------------------------------------------

    def with_tasks(self, **tasks: Task) -> Cohort:
        """The same with tasks that can be called by name: `with_tasks(mortality=Mortality())`."""
        if wrong := [name for name, task in tasks.items() if not isinstance(task, Task)]:
            raise SchemaError(f"{wrong[0]} is no task, but a {type(tasks[wrong[0]]).__name__}.")
        return replace(self, tasks={**self.tasks, **tasks})

    def task(self, label: str | Task) -> Task:
        """The task of that name, or the task itself. Raises UnknownIdentifierError, naming those there are."""
        if isinstance(label, Task):
            return label
        if label not in self.tasks:
            there = ", ".join(self.tasks) or "none; add some with cohort.with_tasks(name=Mortality(...))"
            raise UnknownIdentifierError(f"There is no task {label!r}; there are {there}.{nearest(label, self.tasks)}")
        return self.tasks[label]

    def labels(self, label: str | Task) -> Labels:
        """Which samples does a task draw, how do they come out, and what is left out? One pass over the events."""
        task = self.task(label)
        return Labels.concat([task.labels(record) for record in background(self.records())])

    def vocabulary(
        self, label: str | Task, min_count: int = 1, roll_up: Mapping[str, str] | None = None
    ) -> CodeVocabulary:
        """Which codes, and values, can be seen by a task's samples? Only train may say.

        Args:
            label: a task.
            min_count: how many events a code must have to be known.
            roll_up: code -> the code that stands for it, such as ICD-9-CM -> CCS. Others stand for themselves.

        Raises:
            SchemaError: this is the tuning or held-out part; or nothing can be learnt from it.
        """
        if self.part not in {None, "train"}:
            raise SchemaError(
                f"A vocabulary is fitted on train, and this is {self.part}: pass the one of cohort.train."
            )
        if self.part is None and self.splits:
            raise SchemaError("This cohort is split, and a vocabulary is fitted on train: use cohort.train.")
        return fit_vocabulary(self, self.task(label), min_count, roll_up)

    def timelines(
        self,
        label: str | Task,
        vocabulary: CodeVocabulary | None = None,
        visit: Literal["visit", "day", "time"] = "visit",
        prefetch: int = 1,
    ) -> Timelines:
        """The samples of a task, streamed as arrays, cut off at their prediction times.

        Args:
            label: a task, or the name of one.
            vocabulary: which codes count; without it they are found here, which only train may do.
            visit: what a visit is: the source's own ("visit"), a "day", a "time".
            prefetch: how many blocks are made ready ahead.

        Raises:
            SchemaError: no vocabulary, and this is not train.
        """
        task = self.task(label)
        return Timelines(self, task, vocabulary or self.vocabulary(task), visit, prefetch)

    def events(self, prefetch: int = 1) -> Iterator[Events]:
        """The events in blocks of whole subjects, the next block read in the background."""
        return background(self.shards.blocks(self.chosen), prefetch)

    @cached_property
    def index(self) -> CodeIndex:
        """The codes, ready to be matched with code sets."""
        return CodeIndex(self.shards.codes)

    def records(self, order: Int64[np.ndarray, " p"] | None = None) -> Iterator[Record]:
        """The events as tasks read them; `order` is that of the files."""
        for events in self.shards.blocks(self.chosen, order):
            yield Record(events, self.index, self.shards.last if self.shards.last != STATIC else 0)

    # Out --------------------------------------------------------------------------------------------------------------

    def to_meds(self, folder: str | Path) -> None:
        """Write this cohort as a MEDS folder (schema 0.4), whole or not at all.

        `data/<split>/<n>.parquet`, `metadata/codes.parquet`, `metadata/subject_splits.parquet`,
        `metadata/dataset.json`, and `labels/<task>.parquet` for tasks that were given as labels.

        Raises:
            ArtefactError: the folder holds something that is no MEDS data set of ours.
        """
        write_meds(self, folder)
