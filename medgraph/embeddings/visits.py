"""Patients' histories as sentences of codes: what a skip-gram reads from a cohort.

Choi, Chiu and Sontag (2016), Learning low-dimensional representations of medical concepts (AMIA Joint Summits): codes
of one visit have no order among themselves, so it is drawn anew in every epoch; visits follow each other in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64

from medgraph.data.cohort import Cohort
from medgraph.data.events import spread
from medgraph.data.record import Record, visit_starts
from medgraph.data.shards import background
from medgraph.data.task import Task
from medgraph.embeddings.adjacency import Draws
from medgraph.embeddings.corpus import Corpus, Reading, Stream
from medgraph.embeddings.spool import Spool
from medgraph.embeddings.walks import Walks
from medgraph.errors import SchemaError

__all__ = ["VisitCorpus", "VisitSequences", "Visits"]


class Visits(NamedTuple):
    """Some subjects' codes, visit by visit; nothing says who they were or when.

    Args:
        codes: numbers of codes.
        visit: to which visit each belongs, rising.
        subject: to which subject each belongs, rising.
    """

    codes: Int64[np.ndarray, " t"]
    visit: Int64[np.ndarray, " t"]
    subject: Int64[np.ndarray, " t"]


@dataclass(frozen=True, eq=False)
class VisitSequences:
    """The histories of a cohort, for `SkipGram(...).fit(VisitSequences(cohort.train, label="readmission"))`.

    Events without a time (sex, race), births, deaths and the ends of observation are no part of a history.

    Args:
        cohort: the train part, or a cohort that is not split.
        label: a task; each history ends at the last prediction time of its subject, and subjects without one are left
            out. None: whole histories, for vectors that no prediction is tested with.
        context: how far a window may reach: "visit", within a visit; "visits", on into the next ones; "subject", the
            whole history, as one bag whose order is drawn anew in every epoch.
        repeats: a code counts as often as it was recorded; otherwise once a visit (with "subject": once a subject).
        visit: what a visit is: the source's own ("visit"), a "day", a "time".
        roll_up: code -> the code that stands for it.

    Raises:
        SchemaError: the tuning or held-out part, or a split cohort.
        UnknownIdentifierError: no such task.
    """

    cohort: Cohort
    label: str | Task | None = None
    context: Literal["visit", "visits", "subject"] = "visits"
    repeats: bool = False
    visit: Literal["visit", "day", "time"] = "visit"
    roll_up: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cohort = self.cohort
        if cohort.part not in {None, "train"} or (cohort.part is None and cohort.splits):
            part = f"the {cohort.part} part" if cohort.part else "a cohort that is split"
            raise SchemaError(f"Embeddings are learned from train, and this is {part}: use cohort.train.")
        for name, given, known in (
            ("context", self.context, ("visit", "visits", "subject")),
            ("visit", self.visit, ("visit", "day", "time")),
        ):
            if given not in known:
                raise SchemaError(f"Expected {name} of {', '.join(map(repr, known))}, got {given!r}.")
        if self.label is not None:
            cohort.task(self.label)

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], Int64[np.ndarray, " c"]]:
        groups = [self.roll_up.get(code, code) for code in self.cohort.shards.codes]
        names = tuple(sorted(set(groups)))
        number = {name: row for row, name in enumerate(names)}
        return names, np.array([number[name] for name in groups], dtype=np.int64)

    @property
    def codes(self) -> tuple[str, ...]:
        """What the numbers of `blocks` stand for, whether they occur or not."""
        return self._groups[0]

    def blocks(self, prefetch: int = 1) -> Iterator[Visits]:
        """What may be seen of each subject once, a block of subjects at a time, the next one read in the background."""
        return background(self._blocks(), prefetch)

    def _blocks(self) -> Iterator[Visits]:
        group = self._groups[1]
        for record in self.cohort.records():
            subject, start, stop = self._visible(record)
            rows, offsets = spread(start, stop)
            owner = np.repeat(np.arange(subject.size), np.diff(offsets))
            keep = ~record.vital[rows]
            rows, owner = rows[keep], owner[keep]
            events = record.events
            visit = np.cumsum(visit_starts(owner, events.time[rows], events.visit[rows], self.visit)) - 1
            codes = group[events.code[rows]]
            bag = owner if self.context == "subject" else visit
            if not self.repeats and rows.size:
                first = np.unique(bag * len(self.codes) + codes, return_index=True)[1]
                codes, visit, owner = codes[first], visit[first], owner[first]
            if codes.size:
                yield Visits(codes, owner if self.context == "subject" else visit, owner)

    def _visible(self, record: Record) -> tuple[Int64[np.ndarray, " m"], ...]:
        """Subjects of the block, and which of their events may be seen."""
        if self.label is None:
            subject = np.arange(record.events.num_subjects)
            return subject, record.timed, record.events.offsets[1:]
        task = self.cohort.task(self.label)
        labels = task.labels(record)  # by subject and time
        last = np.flatnonzero(np.diff(labels.subject_id, append=labels.subject_id[-1:] + 1))
        place = {id_: row for row, id_ in enumerate(record.events.subject_id.tolist())}
        subject = np.array([place[id_] for id_ in labels.subject_id[last].tolist()], dtype=np.int64)
        return subject, *record.window(subject, labels.prediction_time[last], None, task.strict)

    def read(self, walks: Walks, seed: int, device: torch.device) -> Reading:  # noqa: ARG002 (no graph in it)
        """Its corpus; the events are read once, codes alone are kept in a file without a name."""
        corpus = VisitCorpus(self, seed)
        return Reading(corpus, corpus.ids, ("",) * len(corpus.ids), self.names(corpus.ids), self.origin())

    def names(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """The cohort's descriptions of codes, else the codes."""
        known = self.cohort.descriptions
        if known is None or "description" not in known.column_names:
            return ids
        name = dict(zip(known["code"].to_pylist(), known["description"].to_pylist(), strict=True))
        return tuple(name.get(id_) or id_ for id_ in ids)

    def origin(self) -> dict[str, object]:
        """Fingerprint and provenance of the cohort."""
        cohort = self.cohort
        return {"fingerprint": cohort.fingerprint, "provenance": [vars(source) for source in cohort.provenance]}


class VisitCorpus(Corpus):
    """Histories of a cohort as token numbers, the commonest code first; `ids[number]` is a token's code.

    A batch holds whole sentences, one at least. In which order the codes of a visit stand follows from the seed, the
    epoch and their place in the corpus alone.

    Raises:
        SchemaError: no subject has any event that may be seen.
    """

    def __init__(self, sequences: VisitSequences, seed: int = 0) -> None:
        self.seed = seed
        counts = np.zeros(len(sequences.codes), dtype=np.int64)
        self._spool = Spool(("codes", "visit"))
        lengths = [np.zeros(0, dtype=np.int64)]
        for block in sequences.blocks():
            sentence = block.visit if sequences.context == "visit" else block.subject
            starts = np.flatnonzero(np.diff(sentence, prepend=-1))
            lengths.append(np.diff(np.append(starts, sentence.size)))
            self._spool.write(block.codes, block.visit)
            counts += np.bincount(block.codes, minlength=counts.size)
        self._ends = np.cumsum(np.concatenate(lengths))
        names = sequences.codes
        kept = sorted(np.flatnonzero(counts).tolist(), key=lambda row: (-counts[row], names[row]))
        if not kept:
            raise SchemaError(f"No event of {sequences.cohort} may be seen: there is no history to learn from.")
        self.ids, self.num_tokens = tuple(names[row] for row in kept), len(kept)
        self._counts = torch.from_numpy(counts[kept])
        self._cut_at: dict[int, Int64[np.ndarray, " _"]] = {}
        self._token = np.zeros(counts.size, dtype=np.int64)
        self._token[kept] = np.arange(len(kept))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _cuts(self, batch_tokens: int) -> Int64[np.ndarray, " b+1"]:
        """Numbers of the sentences that batches begin with."""
        cuts = [0]
        while cuts[-1] < self._ends.size:
            start = int(self._ends[cuts[-1] - 1]) if cuts[-1] else 0
            cuts.append(max(cuts[-1] + 1, int(np.searchsorted(self._ends, start + batch_tokens, side="right"))))
        return np.array(cuts)

    def _bounds(self, batch_tokens: int) -> Int64[np.ndarray, " b+1"]:
        if batch_tokens not in self._cut_at:
            self._cut_at[batch_tokens] = self._cuts(batch_tokens)
        return self._cut_at[batch_tokens]

    def cut(self, batch_tokens: int) -> int:
        """Batches of whole sentences."""
        return len(self._bounds(batch_tokens)) - 1

    def largest(self, batch_tokens: int) -> int:
        """A sentence that is longer makes a longer batch."""
        return max(batch_tokens, int(np.diff(self._ends, prepend=0).max()))

    def batch(self, number: int, batch_tokens: int, device: torch.device, epoch: int = 0) -> Stream:
        """The sentences of one batch, the codes of each visit in this epoch's order."""
        first, last = self._bounds(batch_tokens)[number : number + 2].tolist()
        ends = self._ends[first:last]
        start = int(self._ends[first - 1]) if first else 0
        codes, visit = self._spool.read(start, int(ends[-1]))
        place = torch.arange(start, int(ends[-1]))
        drawn = Draws(self.seed, place)(epoch)[0].numpy()
        sentence = np.repeat(np.arange(ends.size), np.diff(ends, prepend=start))
        order = np.lexsort((drawn, visit, sentence))
        tokens = torch.from_numpy(self._token[codes[order]])
        return Stream(tokens.to(device), torch.from_numpy(sentence).to(device))

    def counts(self, device: torch.device | str = "cpu") -> Int64[torch.Tensor, " tokens"]:  # noqa: ARG002 (counted before)
        """How often does each token occur?"""
        return self._counts
