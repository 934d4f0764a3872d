"""Train, valid and test: by pair, or so that test has new drugs, new targets, new scaffolds, or new both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int64

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_groups import molecule_groups, near_groups, scaffold_groups
from medgraph.data.affinity_leaks import LeakReport, affinity_leaks
from medgraph.errors import SchemaError

__all__ = ["AffinitySplit", "By", "split_affinities"]

By: TypeAlias = Literal["pair", "drug", "target", "both", "scaffold", "given"]
_WAYS = ("pair", "drug", "target", "both", "scaffold", "given")
_PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False, repr=False)
class AffinitySplit:
    """Affinities in three parts, whose tables of drugs and targets are one and the same.

    Args:
        train: what models learn from.
        valid: what early stopping and every choice look at.
        test: what figures are reported on.
        by: how the pairs were parted.
        seed: with which seed.
        dropped: pairs that are in no part, reason -> count.
    """

    train: Affinities
    valid: Affinities
    test: Affinities
    by: str
    seed: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def report(self) -> LeakReport:
        """What of valid and test could be known from train?"""
        return affinity_leaks(self.train, self.valid, self.test, self.by, self.dropped)

    def __repr__(self) -> str:
        sizes = "/".join(f"{len(part):,}" for part in (self.train, self.valid, self.test))
        dropped = "".join(f"; {count:,} {reason}" for reason, count in self.dropped.items())
        return f"AffinitySplit(by {self.by}: {sizes} pairs{dropped})"


def split_affinities(
    pairs: Affinities,
    by: By = "pair",
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    fold: int | None = 0,
    group: bool = True,
) -> AffinitySplit:
    """Train, valid and test.

    Args:
        pairs: what to split.
        by: "pair": pairs at random. "drug": no drug of one part is in another. "target": likewise. "both": neither is;
            pairs of a drug of one part and a target of another are in none, and counted. "scaffold": no Bemis-Murcko
            scaffold of one part is in another; a molecule without a ring counts by itself. "given": the folds that came
            with the data.
        fractions: of train, valid and test: of pairs, or of drugs, of targets, of each of the two.
        seed: of the random order.
        fold: for "given", which of the train folds is valid; None for none of them: train is all.
        group: for "drug", one structure under several ids goes to one part; for "target", so do sequences that are at
            least 90 % identical (mutants that carry the wild type's sequence, close paralogues, domains); for "both",
            either. Without it the report says how much leaks.

    Raises:
        SchemaError: no such way, fractions that do not add up to 1, no folds given, or too few to part.
    """
    if by not in _WAYS:
        raise SchemaError(f"by is one of {', '.join(_WAYS)}, not {by!r}.")
    if by == "given":
        return _given(pairs, fold, seed)
    if len(fractions) != 3 or min(fractions) < 0 or not np.isclose(sum(fractions), 1):
        raise SchemaError(f"Expected three fractions that add up to 1, got {fractions}.")
    random = np.random.default_rng(seed)
    part = np.full(len(pairs), -1, dtype=np.int64)
    if by == "pair":
        cuts = np.round(np.cumsum(fractions)[:2] * len(pairs)).astype(int)
        for number, rows in enumerate(np.split(random.permutation(len(pairs)), cuts)):
            part[np.sort(rows)] = number
    elif by == "both":
        drug, target = (
            _assign(_groups(pairs, end, group), getattr(pairs, end), fractions, random) for end in ("drug", "target")
        )
        part = np.where(drug == target, drug, -1)
    else:
        part = _assign(_groups(pairs, by, group), pairs.target if by == "target" else pairs.drug, fractions, random)
    for number, name in enumerate(_PARTS):
        if fractions[number] > 0 and not (part == number).any():
            raise SchemaError(f"There are too few {'pairs' if by == 'pair' else 'entities'} by {by}: {name} is empty.")
    dropped = {"pairs of a drug and a target of different parts": int((part < 0).sum())} if by == "both" else {}
    return _parted(pairs, [np.flatnonzero(part == number) for number in range(3)], by, seed, dropped)


def _parted(
    pairs: Affinities, rows: list[Int64[np.ndarray, " _"]], by: str, seed: int, dropped: Mapping[str, int]
) -> AffinitySplit:
    train, valid, test = (pairs.take(part) for part in rows)
    return AffinitySplit(train, valid, test, by, seed, MappingProxyType(dict(dropped)))


def _given(pairs: Affinities, fold: int | None, seed: int) -> AffinitySplit:
    folds = pairs.folds
    if "train" not in folds or "test" not in folds:
        raise SchemaError("These affinities came without folds; split by pair, drug, target, both or scaffold.")
    none = np.zeros(0, dtype=np.int64)
    lists = folds["train"]
    if "valid" in folds:
        return _parted(pairs, [np.concatenate(lists), folds["valid"][0], folds["test"][0]], "given", seed, {})
    if fold is None:
        return _parted(pairs, [np.concatenate(lists), none, folds["test"][0]], "given", seed, {})
    if not 0 <= fold < len(lists):
        raise SchemaError(f"There is no fold {fold}; there are {len(lists)}, from 0.")
    train = np.concatenate([none, *(rows for number, rows in enumerate(lists) if number != fold)])
    return _parted(pairs, [train, lists[fold], folds["test"][0]], "given", seed, {})


def _groups(pairs: Affinities, by: str, group: bool) -> Int64[np.ndarray, " m"]:
    """The number of each drug's or target's group, whose members go to one part."""
    if by == "scaffold":
        return scaffold_groups(pairs.drugs)
    table = pairs.targets if by == "target" else pairs.drugs
    if not group:
        return np.arange(table.num_rows)
    return near_groups(table) if by == "target" else molecule_groups(table)


def _assign(
    groups: Int64[np.ndarray, " m"],
    rows: Int64[np.ndarray, " n"],
    fractions: tuple[float, float, float],
    random: np.random.Generator,
) -> Int64[np.ndarray, " n"]:
    """The part of each pair: groups in random order, each to the part that lacks most entities.

    A part that is left with none gets the smallest group of those that have several.
    """
    used = np.unique(rows)
    names, group, size = np.unique(groups[used], return_inverse=True, return_counts=True)
    wanted = np.array(fractions) > 0
    room = np.where(wanted, np.array(fractions) * used.size, -np.inf)
    part_of = np.empty(names.size, dtype=np.int64)
    for number in random.permutation(names.size).tolist():
        part_of[number] = int(room.argmax())
        room[part_of[number]] -= size[number]
    for empty in np.flatnonzero(wanted & (np.bincount(part_of, minlength=3) == 0)):
        spare = np.flatnonzero(np.bincount(part_of, minlength=3)[part_of] > 1)
        if spare.size:
            part_of[spare[size[spare].argmin()]] = empty
    entity = np.full(groups.size, -1, dtype=np.int64)
    entity[used] = part_of[group]
    part: Int64[np.ndarray, " n"] = entity[rows]
    return part
