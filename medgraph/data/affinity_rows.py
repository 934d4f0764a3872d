"""Pairs of drug and target as they come, row by row: named, standardised, checked, counted where left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.molecules import Standardised, Standardiser
from medgraph.data.proteins import check_sequence
from medgraph.errors import MedgraphError, SchemaError

__all__ = ["COLUMNS", "PairRows", "drug_table", "target_table"]

COLUMNS = ("Drug_ID", "Drug", "Target_ID", "Target")
_DRUG = ("id", "smiles", "given", "flat", "scaffold")
_NO_VALUE, _NOT_BINARY = "values that are missing or no number", "values that are neither 0 nor 1"
_OTHER_DRUG, _OTHER_TARGET = "drug ids with another structure", "target ids with another sequence"
_SEQUENCE, _NO_SEQUENCE = "sequences with what is no amino acid", "empty sequences"
_Key = tuple[str | None, str | None]


def drug_table(ids: Sequence[str], given: Sequence[str], found: Standardised) -> pa.Table:
    """The table of drugs: id, smiles, given, flat (without stereo), scaffold."""
    columns = (ids, found.canonical, given, found.flat, found.scaffold)
    return pa.table({name: pa.array(list(column), pa.string()) for name, column in zip(_DRUG, columns, strict=True)})


def target_table(ids: Sequence[str], sequences: Sequence[str]) -> pa.Table:
    """The table of targets: id, sequence."""
    return pa.table({"id": pa.array(list(ids), pa.string()), "sequence": pa.array(list(sequences), pa.string())})


@dataclass
class PairRows:
    """Rows of (drug, target, value), as they grow from a stream; every text is held once.

    Args:
        standardiser: how structures are brought to one form.
        kind: "regression" or "binary".
        on_error: "skip" rows that cannot be used, counting them, or "raise".
        fault: makes the error that names a row (from 0) and a column.
        conflicts: an id that came with another structure or sequence before: "exclude" the row, or "number" it: the
            second is called `<id>#2`.
    """

    standardiser: Standardiser
    kind: Literal["regression", "binary"]
    on_error: Literal["skip", "raise"]
    fault: Callable[[str, int, str], MedgraphError]
    conflicts: Literal["exclude", "number"] = "exclude"
    skipped: Counter[str] = field(default_factory=Counter)
    _drugs: dict[_Key, int] = field(default_factory=dict)
    _targets: dict[_Key, int] = field(default_factory=dict)
    _parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    _rows: int = 0

    def __post_init__(self) -> None:
        if self.on_error not in {"skip", "raise"}:
            raise SchemaError(f"on_error is 'skip' or 'raise', not {self.on_error!r}.")

    def add(
        self,
        drug_id: pa.Array | None,
        smiles: pa.Array,
        target_id: pa.Array | None,
        sequence: pa.Array,
        value: Float64[np.ndarray, " n"],
        at_most: Bool[np.ndarray, " n"] | None = None,
        row: Int64[np.ndarray, " n"] | None = None,
    ) -> None:
        """Put these rows below those that are there; `row` says where they stood, if not one after the other."""
        n = value.size
        row = self._rows + np.arange(n) if row is None else row
        self._rows = max(self._rows, int(row[-1]) + 1) if n else self._rows
        at_most = np.zeros(n, dtype=bool) if at_most is None else at_most
        drug, target = _numbered(drug_id, smiles, self._drugs), _numbered(target_id, sequence, self._targets)
        self._parts.append((drug, target, value, at_most, row))

    def finish(self, duplicates: Duplicates) -> tuple[dict[str, Any], Int64[np.ndarray, " m"]]:
        """The fields of Affinities: drugs, targets, drug, target, value, at_most, skipped; and the row of each pair."""
        kinds = (np.int32, np.int32, np.float64, bool, np.int64)
        parts = zip(*self._parts, strict=True) if self._parts else [()] * 5
        drug, target, value, at_most, row = (
            np.concatenate([np.zeros(0, dtype=kind), *part]) for kind, part in zip(kinds, parts, strict=True)
        )
        drug_of, drug_rows, drug_fault = self._name_drugs()
        target_of, target_rows, target_fault = self._name_targets()
        keep = self._good_values(value, row)
        for codes, of, faults, column in (
            (drug, drug_of, drug_fault, "Drug"),
            (target, target_of, target_fault, "Target"),
        ):
            bad = keep & (of[codes] < 0)
            for code, count in zip(*np.unique(codes[bad], return_counts=True), strict=True):
                reason, problem = faults[int(code)]
                if self.on_error == "raise":
                    first = int(row[np.flatnonzero(bad)[0]])
                    reason, problem = faults[int(codes[np.flatnonzero(bad)[0]])]
                    raise self.fault(problem, first, column)
                self.skipped[reason] += int(count)
            keep &= ~bad
        drug, target, value, at_most, row = (
            drug_of[drug[keep]],
            target_of[target[keep]],
            value[keep],
            at_most[keep],
            row[keep],
        )
        pair = drug * max(len(target_rows), 1) + target
        merged, worst = duplicates.merge(pair, value, at_most, self.kind == "binary")
        if worst is not None:
            raise self.fault(
                f"this pair has another value on an earlier row, more than {duplicates.agree:g} apart, and "
                "duplicates that disagree are refused. Choose Duplicates('mean'), 'median' or 'first'.",
                int(row[worst]), "Y",
            )  # fmt: skip
        apart = "as 0 and as 1" if self.kind == "binary" else f"with values more than {duplicates.agree:g} apart"
        counts = {
            "rows merged into an earlier one of the same pair": merged.repeats,
            f"pairs measured more than once {apart}": merged.disagreeing,
            "pairs that are as often 0 as 1": merged.undecided,
        }
        self.skipped.update(counts)
        drug, target = drug[merged.first], target[merged.first]
        drugs, drug = _used(drug, drug_rows)
        targets, target = _used(target, target_rows)
        columns = [pa.array(list(column), pa.string()) for column in zip(*drugs, strict=True)]
        return {
            "drugs": pa.table(dict(zip(_DRUG, columns or [pa.nulls(0, pa.string())] * 5, strict=True))),
            "targets": target_table([t[0] for t in targets], [t[1] for t in targets]),
            "drug": drug,
            "target": target,
            "value": merged.value,
            "at_most": merged.at_most if merged.at_most.any() else None,
            "skipped": dict(+self.skipped),
        }, row[merged.first]

    def _good_values(self, value: Float64[np.ndarray, " n"], row: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        bad = ~np.isfinite(value)
        wrong = ~bad & ~np.isin(value, (0.0, 1.0)) if self.kind == "binary" else np.zeros_like(bad)
        for reason, rows in ((_NO_VALUE, bad), (_NOT_BINARY, wrong)):
            if rows.any() and self.on_error == "raise":
                raise self.fault(f"{reason}; expected one.", int(row[rows.argmax()]), "Y")
            self.skipped[reason] += int(rows.sum())
        good: Bool[np.ndarray, " n"] = ~(bad | wrong)
        return good

    def _name_drugs(self) -> tuple[np.ndarray, list[tuple[str, ...]], dict[int, tuple[str, str]]]:
        """For each (id, SMILES) that came the drug's number, or -1 and why; and the drugs."""
        keys = list(self._drugs)
        found = self.standardiser.table([smiles for _, smiles in keys])
        names = _Names(self.conflicts, _OTHER_DRUG, "drug", "structure")
        for code, (name, given) in enumerate(keys):
            canonical, flat, rings = found.canonical[code], found.flat[code], found.scaffold[code]
            if canonical is None or flat is None or rings is None or given is None:
                names.refuse(found.kind[code] or "", f"{str(given)[:80]!r}: {found.problem[code]}")
            else:
                names.add(name or canonical, canonical, given, flat, rings)
        return np.array(names.number, dtype=np.int64), names.rows, names.faults

    def _name_targets(self) -> tuple[np.ndarray, list[tuple[str, ...]], dict[int, tuple[str, str]]]:
        """The same for targets."""
        names = _Names(self.conflicts, _OTHER_TARGET, "target", "sequence")
        for name, given in self._targets:
            try:
                sequence = check_sequence(given or "")
            except SchemaError as fault:
                names.refuse(_SEQUENCE if (given or "").strip() else _NO_SEQUENCE, str(fault))
                continue
            names.add(name or "sequence:" + hashlib.sha256(sequence.encode()).hexdigest()[:16], sequence)
        return np.array(names.number, dtype=np.int64), names.rows, names.faults


@dataclass
class _Names:
    """Entities by id, each with one content."""

    conflicts: Literal["exclude", "number"]
    reason: str
    entity: str
    content: str
    rows: list[tuple[str, ...]] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)
    _both: dict[tuple[str, str], int] = field(default_factory=dict)
    _forms: Counter[str] = field(default_factory=Counter)

    def refuse(self, reason: str, problem: str) -> None:
        self.faults[len(self.number)] = (reason, problem)
        self.number.append(-1)

    def add(self, name: str, content: str, *more: str) -> None:
        if (name, content) in self._both:
            self.number.append(self._both[name, content])
            return
        if name in self._known and self.conflicts == "exclude":
            first = self.rows[self._known[name]][1]
            problem = f"{self.entity} {name!r} has another {self.content} on an earlier row: {first[:80]}."
            self.refuse(self.reason, problem)
            return
        while (called := name if not self._forms[name] else f"{name}#{self._forms[name] + 1}") in self._known:
            self._forms[name] += 1
        self._forms[name] += 1
        self._known[called] = self._both[name, content] = len(self.rows)
        self.number.append(len(self.rows))
        self.rows.append((called, content, *more))


def _numbered(names: pa.Array | None, texts: pa.Array, known: dict[_Key, int]) -> Int64[np.ndarray, " n"]:
    """The number of each (name, text) in `known`, which grows by those that are new."""
    n = len(texts)
    codes, values = [], []
    for column in (names, texts):
        encoded = (pa.nulls(n, pa.string()) if column is None else column).dictionary_encode()
        codes.append(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1)
        values.append([None, *encoded.dictionary.to_pylist()])
    both, first, place = np.unique(codes[0] * len(values[1]) + codes[1], return_index=True, return_inverse=True)
    number = np.empty(both.size, dtype=np.int32)
    for index in np.argsort(first).tolist():
        name, text = divmod(int(both[index]), len(values[1]))
        number[index] = known.setdefault((values[0][name] or None, values[1][text]), len(known))
    return number[place]


def _used(
    rows: Int64[np.ndarray, " n"], entries: Sequence[tuple[str, ...]]
) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Only the entries that a pair has, in their order, and the rows renumbered."""
    used = np.unique(rows)
    return [entries[int(i)] for i in used], np.searchsorted(used, rows)
