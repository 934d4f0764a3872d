"""What of held-out affinities could be known from the training ones?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from medgraph.data.affinity_groups import (
    molecule_groups,
    near_groups,
    scaffold_groups,
    sequence_groups,
    stereo_groups,
)

if TYPE_CHECKING:
    from rich.table import Table

    from medgraph.data.affinities import Affinities

__all__ = ["LeakReport", "Leaks", "affinity_leaks"]


_Rows: TypeAlias = Int64[np.ndarray, " _"]


@dataclass(frozen=True)
class Leaks:
    """What training knows of one held-out part. Counts are of entities unless they say pairs.

    Args:
        pairs: how many.
        drugs: how many.
        targets: how many.
        drugs_seen: those that training has too, by id.
        targets_seen: likewise.
        pairs_drug_seen: pairs whose drug it has, by id.
        pairs_target_seen: whose target it has.
        pairs_both_seen: whose drug and target it has, each in some pair.
        same_molecule: drugs it has not by id, but the same structure under another.
        same_but_stereo: drugs whose structure it has not, but another of the same atoms and bonds.
        same_scaffold: drugs whose structure it has not, but another with the same scaffold.
        same_sequence: targets it has not by id, but the same sequence under another.
        near_sequence: targets whose sequence it has not, but one of the same group of near-identical ones.
        repeated: pairs whose structure and sequence stand together in training, under whatever ids.
        repeated_value: those of them that have the very same value there.
    """

    pairs: int
    drugs: int
    targets: int
    drugs_seen: int
    targets_seen: int
    pairs_drug_seen: int
    pairs_target_seen: int
    pairs_both_seen: int
    same_molecule: int
    same_but_stereo: int
    same_scaffold: int
    same_sequence: int
    near_sequence: int
    repeated: int
    repeated_value: int


@dataclass(frozen=True, repr=False)
class LeakReport:
    """What could tell a model about valid and test, beside how the pairs were parted; prints as a table.

    Args:
        by: how.
        train: how many pairs, drugs and targets are learnt from.
        valid: what is known of valid.
        test: what is known of test.
        dropped: pairs in no part, reason -> count.
    """

    by: str
    train: tuple[int, int, int]
    valid: Leaks
    test: Leaks
    dropped: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        train = dict(zip(("pairs", "drugs", "targets"), self.train, strict=True))
        return {**asdict(self), "train": train, "dropped": dict(self.dropped)}

    def rows(self) -> list[tuple[str, str, str]]:
        """The lines of the table: what, of valid, of test."""

        def share(part: Leaks, name: str, of: str) -> str:
            return _share(getattr(part, name), getattr(part, of, None))

        return [(text, share(self.valid, name, of), share(self.test, name, of)) for text, name, of in _LINES]

    def __rich__(self) -> Table:
        from rich.table import Table

        pairs, drugs, targets = self.train
        table = Table(title=f"Split by {self.by}: {pairs:,} training pairs of {drugs:,} drugs and {targets:,} targets")
        table.add_column("What training knows")
        for name in ("of valid", "of test"):
            table.add_column(name, justify="right")
        for row in self.rows():
            table.add_row(*row)
        table.caption = "\n".join(f"{count:,} {reason} are in no part." for reason, count in self.dropped.items())
        return table

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        console = Console(file=StringIO(), width=110, color_system=None, highlight=False, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    __repr__ = __str__


_LINES = (
    ("pairs", "pairs", ""),
    ("drugs, known by id", "drugs_seen", "drugs"),
    ("targets, known by id", "targets_seen", "targets"),
    ("pairs whose drug is known", "pairs_drug_seen", "pairs"),
    ("pairs whose target is known", "pairs_target_seen", "pairs"),
    ("pairs of which both are known", "pairs_both_seen", "pairs"),
    ("new drugs: the same molecule under another id", "same_molecule", "drugs"),
    ("new molecules: the same but for stereo", "same_but_stereo", "drugs"),
    ("new molecules: the same scaffold", "same_scaffold", "drugs"),
    ("new targets: the same sequence under another id", "same_sequence", "targets"),
    ("new sequences: one at least 90 % identical", "near_sequence", "targets"),
    ("pairs of a molecule and a sequence that stand together", "repeated", "pairs"),
    ("of them with the same value", "repeated_value", "pairs"),
)


def affinity_leaks(
    train: Affinities, valid: Affinities, test: Affinities, by: str = "", dropped: Mapping[str, int] | None = None
) -> LeakReport:
    """What of valid and test could be known from train? The three must share their tables of drugs and targets."""
    known = _Known.of(train)
    sizes = len(train), int(np.unique(train.drug).size), int(np.unique(train.target).size)
    return LeakReport(by, sizes, known.leaks(valid), known.leaks(test), dict(dropped or {}))


@dataclass(frozen=True)
class _Known:
    """The training pairs, and for each drug and target the number of its structure, scaffold, sequence ..."""

    train: Affinities
    molecule: Int64[np.ndarray, " m"]
    flat: Int64[np.ndarray, " m"]
    scaffold: Int64[np.ndarray, " m"]
    sequence: Int64[np.ndarray, " k"]
    near: Int64[np.ndarray, " k"]

    @classmethod
    def of(cls, train: Affinities) -> _Known:
        drugs, targets = train.drugs, train.targets
        return cls(
            train,
            molecule_groups(drugs),
            stereo_groups(drugs),
            scaffold_groups(drugs),
            sequence_groups(targets),
            near_groups(targets),
        )

    @staticmethod
    def _has(codes: _Rows, entities: _Rows, trained: _Rows) -> Bool[np.ndarray, " e"]:
        return np.isin(codes[entities], codes[np.unique(trained)])

    def leaks(self, held_out: Affinities) -> Leaks:
        train = self.train
        drugs, targets = np.unique(held_out.drug), np.unique(held_out.target)
        drug_known, target_known = np.isin(drugs, train.drug), np.isin(targets, train.target)
        pair_drug, pair_target = np.isin(held_out.drug, train.drug), np.isin(held_out.target, train.target)

        molecule = self._has(self.molecule, drugs, train.drug)
        sequence = self._has(self.sequence, targets, train.target)
        width = int(self.sequence.max(initial=0)) + 1
        known = self.molecule[train.drug] * width + self.sequence[train.target]
        asked = self.molecule[held_out.drug] * width + self.sequence[held_out.target]
        both_values = np.unique(np.concatenate([train.value, held_out.value]), return_inverse=True)[1].ravel()
        values = both_values[: len(train)], both_values[len(train) :]
        span = int(both_values.max(initial=0)) + 1
        return Leaks(
            len(held_out), drugs.size, targets.size,
            int(drug_known.sum()), int(target_known.sum()),
            int(pair_drug.sum()), int(pair_target.sum()), int((pair_drug & pair_target).sum()),
            int((molecule & ~drug_known).sum()),
            int((self._has(self.flat, drugs, train.drug) & ~molecule).sum()),
            int((self._has(self.scaffold, drugs, train.drug) & ~molecule).sum()),
            int((sequence & ~target_known).sum()),
            int((self._has(self.near, targets, train.target) & ~sequence).sum()),
            int(np.isin(asked, known).sum()),
            int(np.isin(asked * span + values[1], known * span + values[0]).sum()),
        )  # fmt: skip


def _share(count: int, whole: int | None) -> str:
    return f"{count:,}" if not whole else f"{count:,} ({count / whole:.1%})"
