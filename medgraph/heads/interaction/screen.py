"""Which molecules of a long file bind one target best? Streamed in constant memory; killed, it goes on where it was."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from medgraph.artefact import atomic_file
from medgraph.data.molecules import Standardiser
from medgraph.data.smiles_files import SmilesFile, SmilesRow
from medgraph.errors import SchemaError
from medgraph.heads.interaction.asking import asked
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.best import Best
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.interactions import Interactions
from medgraph.heads.interaction.screening import Screening
from medgraph.training.progress import progress_bar

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.heads.interaction.stacking.stack import InteractionStack

__all__ = ["screen"]

HITS, REFUSED, STATE, SEEN = "hits.csv", "refused.csv", "screen.json", "seen.bin"
_VERSION = 1
_PROBES = ("CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "CN1CCC(CC1)c1c[nH]c2ccccc12")
_AT_ONCE = 4_000_000  # hashes held at a time when duplicates are counted
_Score: TypeAlias = Callable[[list[str]], list[float]]


def screen(
    head: InteractionHead | InteractionStack,
    file: str | Path | SmilesFile,
    *,
    to: str | Path,
    sequence: str | None = None,
    target: str | None = None,
    graph: KnowledgeGraph | None = None,
    top: int = 1000,
    lowest: bool = False,
    level: float = 0.9,
    block: int = 2048,
    every: int = 50_000,
    resume: bool = False,
    progress: bool = True,
) -> Screening:
    """Which molecules of this file have the highest predicted values?

    The target is encoded once (by heads that encode), the file is read in blocks, and only the best are kept. A row
    that is no molecule goes to refused.csv with its number and what RDKit said. Every `every` rows the state is written
    in one step; a run that was killed goes on from there and ends as if it had never stopped.

    Args:
        head: a fitted one.
        file: SMILES with ids: .smi, .csv, .tsv (.gz, .bz2, .zst), .parquet.
        to: a new folder for the results.
        sequence: the target by amino acids.
        target: or by id, of training or of `graph`.
        graph: where an id is looked up that training does not know.
        top: how many are kept.
        lowest: the lowest values are the best.
        level: share of the hits' intervals that shall hold the measured value.
        block: molecules at a time.
        every: rows between two states.
        resume: go on with what is in `to`; a finished one is read again.
        progress: show a progress bar.

    Raises:
        NotFittedError: before `fit`.
        SchemaError: a parameter out of range, results in `to` and not `resume`, or another file, head, target or
            setting than those that `to` was begun with.
        UnknownIdentifierError: an id that neither training nor the graph knows.
        LoaderError: the file cannot be read.
    """
    if min(top, block, every) < 1 or not 0 < level < 1:
        raise SchemaError(f"top={top}, block={block}, every={every}, level={level}: one of them is out of range.")
    source = file if isinstance(file, SmilesFile) else SmilesFile(Path(file))
    run = _Run(head, source, Path(to), sequence, target, graph, top, lowest, block)
    run.begin(resume)
    if not run.state.finished:
        run.stream(every, progress)
        run.finish(level)
    return run.read()


@dataclass
class _State:
    """All that a run needs to go on."""

    settings: Mapping[str, Any]
    rows: int = 0
    scored: int = 0
    refused: int = 0
    duplicates: int = 0
    refused_bytes: int = 0
    seconds: float = 0.0
    finished: bool = False
    best: list[Any] | None = None  # value, row, id, smiles of each
    version: int = _VERSION


class _Run:
    """One screen: its files, its scorer, the best so far."""

    def __init__(
        self, head: InteractionHead | InteractionStack, file: SmilesFile, folder: Path, sequence: str | None,
        target: str | None, graph: KnowledgeGraph | None, top: int, lowest: bool, block: int,
    ) -> None:  # fmt: skip
        def ask(smiles: list[str], level: float = 0.9) -> Interactions:
            return head.predict(smiles=smiles, sequences=sequence, targets=target, graph=graph, level=level)

        told = ask(list(_PROBES))
        self.ask, self.file, self.folder, self.unit, self.block = ask, file, folder, told.unit, block
        self.name = told.targets[0] or (f"{sequence[:12]}…" if sequence and len(sequence) > 12 else str(sequence))
        self.best = Best(top, -1.0 if lowest else 1.0)
        self.score = (
            _scorer(head, sequence, target, graph)
            if isinstance(head, InteractionHead)
            else lambda texts: ask(texts).value.tolist()
        )
        self.state = _State(
            {
                "file": _identity(file.path), "columns": [file.smiles, file.id], "top": top, "lowest": lowest,
                "block": block, "target": self.name, "unit": self.unit, "head": type(head).__name__,
                "answers": told.value.tolist(),
            }
        )  # fmt: skip

    def begin(self, resume: bool) -> None:
        """A new folder, or the state in an old one."""
        path = self.folder / STATE
        if not path.exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise SchemaError(f"{self.folder} exists and holds no screen: choose a new folder.")
            next(self.file.rows(), None)  # a file that cannot be read leaves no folder behind
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in ((REFUSED, "row,id,smiles,problem\r\n"), (SEEN, "")):
                (self.folder / name).write_bytes(text.encode())
            self.state.refused_bytes = (self.folder / REFUSED).stat().st_size
            self._save()
            return
        if not resume:
            raise SchemaError(f"{self.folder} holds a screen already: resume it, or choose a new folder.")
        try:
            found = _State(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as fault:
            raise SchemaError(f"{path} is no state of a screen: {fault}.") from None
        for name, value in self.state.settings.items():
            there = found.settings.get(name)
            same = np.allclose(there or np.nan, value, atol=1e-4) if name == "answers" else there == value
            if not same:
                what = "another fitted head or target" if name == "answers" else f"{name} {there!r}, not {value!r}"
                raise SchemaError(f"{self.folder} was begun with {what}: choose a new folder.")
        for name, size in ((REFUSED, found.refused_bytes), (SEEN, 0 if found.finished else 8 * found.scored)):
            if size and (not (file := self.folder / name).exists() or file.stat().st_size < size):
                raise SchemaError(f"{file} is shorter than its screen's state says: choose a new folder.")
        self.state = found
        self.best.restore(found.best or [])

    def stream(self, every: int, progress: bool) -> None:
        """From where the state is to the end of the file."""
        state, started, before = self.state, time.perf_counter(), self.state.seconds
        standardiser, due = Standardiser(), self.state.rows + every
        with ExitStack() as stack:
            refused = stack.enter_context((self.folder / REFUSED).open("r+b"))
            seen = stack.enter_context((self.folder / SEEN).open("r+b"))
            refused.truncate(state.refused_bytes)
            seen.truncate(8 * state.scored)
            refused.seek(0, io.SEEK_END)
            seen.seek(0, io.SEEK_END)
            update = stack.enter_context(progress_bar(f"screening {self.file.path.name}", progress))
            for rows in self.file.blocks(self.block, state.rows):
                good, bad = self._sorted(rows, standardiser)
                _write_rows(refused, bad)
                seen.write(b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for _, text in good))
                state.rows += len(rows)
                state.scored += len(good)
                state.refused += len(bad)
                state.seconds = before + time.perf_counter() - started
                update(0.0, {"rows": state.rows, "rows/s": state.rows / state.seconds})
                if state.rows >= due:
                    due = state.rows + every
                    for side in (refused, seen):  # the state must not know more than the disk
                        side.flush()
                        os.fsync(side.fileno())
                    state.refused_bytes = refused.tell()
                    self._save()
        state.refused_bytes = (self.folder / REFUSED).stat().st_size
        state.duplicates = _duplicates(self.folder / SEEN)
        state.seconds = before + time.perf_counter() - started

    def _sorted(
        self, rows: list[SmilesRow], standardiser: Standardiser
    ) -> tuple[list[tuple[SmilesRow, str]], list[tuple[SmilesRow, str]]]:
        """Molecules with their SMILES, scored and offered to the best; and the others with what is wrong."""
        good, bad = [], []
        for row in rows:
            canonical, problem = None, row.problem
            if problem is None:
                canonical, problem = standardiser.attempt(row.smiles)
            if canonical is None:
                bad.append((row, str(problem)))
            else:
                good.append((row, canonical))
        texts = list(dict.fromkeys(text for _, text in good))
        values = dict(zip(texts, self.score(texts), strict=True)) if texts else {}
        for row, text in good:
            self.best.offer(values[text], row.number, row.id, text)
        return good, bad

    def finish(self, level: float) -> None:
        """Write the hits with their intervals, and the last state."""
        found = self.best.ranked()
        columns: dict[str, Any] = {
            "rank": pa.array(range(1, len(found) + 1), pa.int64()),
            "row": pa.array([row for _, row, _, _ in found], pa.int64()),
            "id": pa.array([id_ for _, _, id_, _ in found], pa.string()),
            "smiles": pa.array([smiles for _, _, _, smiles in found], pa.string()),
            "value": pa.array([value for value, _, _, _ in found], pa.float64()),
        }
        if found:
            told = self.ask([smiles for *_, smiles in found], level).to_table()
            for name in ("low", "high", "std", "drug_seen"):
                if name in told.column_names:
                    columns[name] = told[name]
        with atomic_file(self.folder / HITS) as temporary:
            pacsv.write_csv(pa.table(columns), temporary, pacsv.WriteOptions(quoting_style="needed"))
        self.state.finished = True
        self._save()
        (self.folder / SEEN).unlink(missing_ok=True)

    def read(self) -> Screening:
        """What is in the folder."""
        hits = pacsv.read_csv(
            self.folder / HITS,
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types={"id": pa.string(), "smiles": pa.string()}),
        )
        state = self.state
        counts = {name: getattr(state, name) for name in ("rows", "scored", "refused", "duplicates")}
        return Screening(self.name, self.unit, hits, counts, self.folder, state.seconds)

    def _save(self) -> None:
        self.state.best = self.best.held()
        with atomic_file(self.folder / STATE) as temporary:
            temporary.write_text(json.dumps(asdict(self.state), ensure_ascii=False), encoding="utf-8")


def _scorer(head: InteractionHead, sequence: str | None, target: str | None, graph: KnowledgeGraph | None) -> _Score:
    """Standardised SMILES -> values; the target goes through its encoder once."""
    state = head._fitted()
    wanted = asked(_PROBES, sequence, None, target, graph, (state.drugs, state.targets))
    targets = head._encode("targets", wanted.targets)

    def score(texts: list[str]) -> list[float]:
        rows = np.arange(len(texts))
        drugs = head._encode("drugs", Entities(("",) * len(texts), tuple(texts)))
        found: list[float] = head.predict_encoded(drugs, targets, rows, np.zeros_like(rows)).value.tolist()
        return found

    return score


def _write_rows(file: Any, rows: list[tuple[SmilesRow, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows((row.number, row.id, row.smiles[:1000], problem) for row, problem in rows)
    file.write(text.getvalue().encode("utf-8", "replace"))


def _identity(path: Path) -> dict[str, Any]:
    """Enough of a file to tell another one: size, and a hash of its head."""
    if not path.is_file():
        return {"bytes": 0, "sha256": ""}  # reading it will say so
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(file.read(1 << 20)).hexdigest()}


def _duplicates(path: Path) -> int:
    """How many of the 8-byte hashes in a file were there before? Exact but for colliding hashes, in bounded memory."""
    values = path.stat().st_size // 8
    if not values:
        return 0
    hashes, parts, distinct = np.memmap(path, np.uint64, "r"), -(-values // _AT_ONCE), 0
    for part in range(parts):
        mine = [
            block[block % np.uint64(parts) == part]
            for block in (hashes[start : start + _AT_ONCE] for start in range(0, values, _AT_ONCE))
        ]
        distinct += int(np.unique(np.concatenate(mine)).size)
    del hashes
    return values - distinct
