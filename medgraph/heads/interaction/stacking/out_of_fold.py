"""What a model says of pairs that it has not seen: fitted on all folds but one, asked about that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_groups import molecule_groups, near_groups, scaffold_groups
from medgraph.errors import SchemaError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.baselines.base import Baseline
from medgraph.heads.interaction.stacking.surroundings import Surroundings

__all__ = ["FoldBy", "Member", "fit_member", "folds_of", "member_name", "out_of_fold", "together"]

Member: TypeAlias = InteractionHead | Baseline
FoldBy: TypeAlias = Literal["pair", "drug", "target", "scaffold", "both"]
_Rows: TypeAlias = Int64[np.ndarray, " _"]


def member_name(member: Member) -> str:
    """As reports name it."""
    return member.name if isinstance(member, Baseline) else type(member).__name__


def fit_member(member: Member, train: Affinities, valid: Affinities | None, progress: bool = False) -> Member:
    """A copy of it, fitted."""
    fresh = replace(member)
    return fresh.fit(train, valid) if isinstance(fresh, Baseline) else fresh.fit(train, valid, progress=progress)


def together(first: Affinities, second: Affinities) -> Affinities:
    """The pairs of two parts of one split."""
    if first.drugs is not second.drugs and not first.drugs.equals(second.drugs):
        raise SchemaError("train and valid have different tables of drugs: these are not parts of one split.")
    at_most = None if first.at_most is None or second.at_most is None else np.append(first.at_most, second.at_most)
    return replace(
        first,
        drug=np.append(first.drug, second.drug),
        target=np.append(first.target, second.target),
        value=np.append(first.value, second.value),
        at_most=at_most,
        folds={},
    )


def folds_of(pairs: Affinities, by: FoldBy, folds: int, seed: int) -> list[tuple[_Rows, _Rows]]:
    """Rows to learn from and rows to predict. By "both", a fold is a group of drugs by a group of targets.

    Raises:
        SchemaError: fewer drugs, targets or pairs than folds.
    """
    rng = np.random.default_rng([seed, folds])
    if by == "pair":
        number = _dealt(np.arange(len(pairs)), folds, rng)
        sides = [number]
    else:
        sides = []
        if by != "target":
            groups = scaffold_groups(pairs.drugs) if by == "scaffold" else molecule_groups(pairs.drugs)
            sides.append(_dealt(groups[pairs.drug], folds, rng))
        if by in ("target", "both"):
            sides.append(_dealt(near_groups(pairs.targets)[pairs.target], folds, rng))
    found = []
    for fold in range(folds):
        held = np.all([side == fold for side in sides], axis=0)
        free = np.all([side != fold for side in sides], axis=0)
        if not held.any() or not free.any():
            raise SchemaError(f"{len(pairs):,} pairs are too few for {folds} folds by {by}: fold {fold} is empty.")
        found.append((np.flatnonzero(free), np.flatnonzero(held)))
    return found


def _dealt(group: Int64[np.ndarray, " n"], folds: int, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """A fold for each pair: groups in random order, each to the fold that has fewest of them."""
    names, place = np.unique(group, return_inverse=True)
    number = np.empty(names.size, dtype=np.int64)
    number[rng.permutation(names.size)] = np.arange(names.size) % folds
    return np.asarray(number[place], dtype=np.int64)


def out_of_fold(
    members: Sequence[Member], pairs: Affinities, by: FoldBy, folds: int, seed: int, valid: Affinities | None
) -> tuple[Float64[np.ndarray, "m k"], _Rows]:
    """Predictions and surroundings of the pairs that a fold holds, a row each, and which pairs these are.

    Args:
        members: with every choice made.
        pairs: to be folded.
        by: what a fold holds out.
        folds: how many.
        seed: of the folds.
        valid: pairs outside of `pairs` by which heads stop; None: a tenth of what they learn from.
    """
    blocks, rows = [], []
    for learn, look in folds_of(pairs, by, folds, seed):
        train, held = pairs.take(learn), pairs.take(look)
        scores = [fit_member(one, train, valid if isinstance(one, InteractionHead) else None).scores(held)
                  for one in members]  # fmt: skip
        blocks.append(np.column_stack([*scores, Surroundings.fitted(train).columns(held)]))
        rows.append(look)
    return np.concatenate(blocks), np.concatenate(rows)
