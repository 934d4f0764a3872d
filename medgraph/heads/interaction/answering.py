"""Entities that have been through their encoder once, and what a fitted head says of pairs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.fitted import Fitted, Vectors
from medgraph.heads.interaction.interactions import Interactions

__all__ = ["EncodedEntities", "answer_pairs", "encode_entities"]


@dataclass(frozen=True, eq=False)
class EncodedEntities:
    """Drugs or targets that have been through their encoder, to be paired as often as is wanted.

    Args:
        entities: ids ("" where there is none) and standardised texts.
        vectors: one (m, d) a member.
        seen: (m,) trained on.
    """

    entities: Entities
    vectors: Vectors
    seen: Bool[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.entities)


def encode_entities(state: Fitted, side: Literal["drugs", "targets"], entities: Entities, size: int) -> EncodedEntities:
    """Each once, at most `size` at a time."""
    return EncodedEntities(entities, state.vectors(side, entities, size), state.seen(side, entities.texts))


def answer_pairs(
    state: Fitted,
    drugs: EncodedEntities,
    targets: EncodedEntities,
    drug: Int64[np.ndarray, " n"],
    target: Int64[np.ndarray, " n"],
    level: float,
    size: int,
) -> Interactions:
    """Values with their intervals, or calibrated probabilities; at most `size` pairs at a time."""
    value, std = state.answer(drugs.vectors, targets.vectors, drug, target, size)
    low = high = None
    if state.kind == "binary":
        value = 1 / (1 + np.exp(-value)) if state.calibrator is None else state.calibrator.predict_proba(value)
        std = None
    elif state.conformal is not None:
        low, high = state.conformal.interval(value, std, level, state.limit)
    return Interactions(
        tuple(drugs.entities.ids[i] for i in drug.tolist()),
        tuple(targets.entities.ids[i] for i in target.tolist()),
        value, state.unit, low, high, level, std, drugs.seen[drug], targets.seen[target],
    )  # fmt: skip
