"""Proof that nothing after a prediction time is seen: recounted from raw events, and tried by poisoning the future."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from medgraph.data.cohort import Cohort
from medgraph.data.events import DAY, STATIC, Events
from medgraph.data.given_labels import GivenLabels
from medgraph.data.task import Task
from medgraph.data.timelines import Timelines
from medgraph.errors import SchemaError

__all__ = ["POISON", "check_samples", "check_splits", "poisoned"]

POISON = "POISON"  # the beginning of codes that stand only after prediction times
_VALUE = 1e30


def check_splits(cohort: Cohort) -> dict[str, int]:
    """How many subjects does each split have? Read from the events, not from the list of splits.

    Raises:
        SchemaError: events of one subject come with two splits.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    for name in cohort.splits:
        mine = {subject for events in getattr(cohort, name).events() for subject in events.subject_id.tolist()}
        if shared := len(seen & mine):
            raise SchemaError(f"{shared:,} subjects of {name} stand in another split too.")
        seen |= mine
        sizes[name] = len(mine)
    return sizes


def check_samples(timelines: Timelines) -> int:
    """How many samples were recounted from the raw events, one by one, and found to hold exactly what may be seen?

    Slow and plain on purpose: it shares no code with what it checks but the reading of events.

    Raises:
        SchemaError: a sample holds a code too many or too few, or one from after its prediction time.
    """
    task, vocabulary = timelines.task, timelines.vocabulary
    known = {code: row for row, code in enumerate(vocabulary.codes)}
    names = [known.get(vocabulary.roll_up.get(code, code)) for code in timelines.cohort.shards.codes]
    raw: dict[int, list[tuple[int, int]]] = {}
    for events in timelines.cohort.events(prefetch=0):
        for place, subject in enumerate(events.subject_id.tolist()):
            rows = slice(int(events.offsets[place]), int(events.offsets[place + 1]))
            raw[subject] = list(zip(events.time[rows].tolist(), events.code[rows].tolist(), strict=True))
    checked = wrong = late = 0
    for samples in timelines:
        offsets, static = samples.event_offsets, samples.static_offsets
        late += int((samples.code_days < 0).sum() + (task.strict and (samples.code_days <= 0).sum()))
        for row in range(len(samples)):
            time = int(samples.prediction_time[row].astype(np.int64))
            earliest = -np.inf if task.observation_days is None else time - round(task.observation_days * DAY)
            expected: Counter[int] = Counter()
            for when, code in raw[int(samples.subject_id[row])]:
                may = when == STATIC or earliest <= when < time or (when == time and not task.strict)
                number = names[code]
                if may and number is not None:
                    expected[number] += 1
            found = Counter(samples.codes[offsets[row] : offsets[row + 1]].tolist())
            found.update(samples.static_codes[static[row] : static[row + 1]].tolist())
            wrong += found != expected
            checked += 1
    if wrong or late:
        raise SchemaError(
            f"{wrong:,} of {checked:,} samples do not hold what may be seen at their prediction times, and {late:,} "
            "events lie after them."
        )
    return checked


def poisoned(cohort: Cohort, label: str | Task) -> tuple[Cohort, GivenLabels]:
    """The same cohort with another future, and the labels it had.

    What each subject's samples could not see, because it comes after the last of their prediction times, is gone, and
    nonsense stands in its place: codes that occur nowhere else, with huge values, a day apart. What is fitted on it
    with these labels must come out the same, to the bit; what does not has seen the future. Subjects without a sample
    have no prediction time and are all nonsense. Parts, and the order of subjects in them, stay as they are, and so do
    shuffled batches as long as a part fits in one block.

    Args:
        cohort: whole, split or not.
        label: a task.
    """
    task = cohort.task(label)
    given = GivenLabels(
        cohort.labels(task),
        observation_days=task.observation_days,
        strict=task.strict,
    )
    ids, times = given.given.subject_id, given.given.prediction_time
    last = dict(zip(ids.tolist(), times.tolist(), strict=True))  # sorted by time: the last one stays
    names = pa.array(cohort.shards.codes, pa.string())
    tables = []
    for part in range(len(cohort.shards.parts)):  # parts and the order of subjects stay, so that batches do
        blocks = cohort.shards.blocks(cohort.chosen, np.array([part]))
        if made := [_poison(events, last, names, task.strict) for events in blocks]:
            tables.append(pa.concat_tables(made))
    future = Cohort.of(tables, cohort.descriptions, cohort.splits, cohort.tasks, cohort.provenance)
    return future.with_tasks(**{label: given}) if isinstance(label, str) else future, given


def _poison(events: Events, last: dict[int, int], names: pa.Array, strict: bool) -> pa.Table:
    end = np.array([last.get(subject, STATIC + 1) for subject in events.subject_id.tolist()], dtype=np.int64)
    limit = np.repeat(end, np.diff(events.offsets))
    seen = (events.time < limit) | ((events.time == limit) & (not strict)) | (events.time == STATIC)
    subject = np.repeat(events.subject_id, np.diff(events.offsets))
    begin = np.where(end > STATIC + 1, end, 0) + (0 if strict else 1)
    copies = 3
    when = (begin[:, None] + np.arange(copies) * DAY).ravel()
    codes = [f"{POISON}//{number % 7}" for number in range(when.size)]
    visit, value = events.visit[seen], events.value[seen]
    time = np.concatenate([events.time[seen], when])
    table = pa.table(
        {
            "subject_id": np.concatenate([subject[seen], np.repeat(events.subject_id, copies)]),
            "time": pa.array(time, pa.int64(), mask=time == STATIC).cast(pa.timestamp("us")),
            "code": pa.concat_arrays([names.take(pa.array(events.code[seen])), pa.array(codes, pa.string())]),
            "numeric_value": np.concatenate([value, np.full(when.size, _VALUE, dtype=np.float32)]),
            "visit_id": np.concatenate([visit, np.full(when.size, -1)]),
        }
    )
    place = np.concatenate([events.subject[seen], np.repeat(np.arange(events.num_subjects), copies)])
    return table.take(pa.array(np.argsort(place, kind="stable")))
