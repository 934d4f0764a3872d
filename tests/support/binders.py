"""Made-up affinities: a sulfonamide binds sequences that hold a motif, whatever else drug and sequence are made of."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medgraph.data.affinities import Affinities

if TYPE_CHECKING:
    from medgraph.heads.interaction.base import InteractionHead

MOTIF = "HWHC"
GROUP = "S(N)(=O)=O"
LETTERS = "ADEFGIKLMNPQRSTVY"
_RINGS = ("c1ccc({})cc1", "c1cccc({})c1", "C1CCC({})CC1", "c1ccc2cc({})ccc2c1", "c1cc({})ccn1", "C1CN({})CCO1")
_TAILS = ("CCC", "CC(C)O", "COC", "CCCl", "CC#N", "CCF", "NC(C)=O", "OCC")


def molecules(seed: int = 0) -> list[str]:
    """Rings with one tail or with the group, and a chain before them."""
    found = [
        f"{chain}{ring.format(tail)}"
        for chain, ring, tail in product(("", "C", "CC", "CCO", "CNC"), _RINGS, (*_TAILS, *[GROUP] * 4))
    ]
    return sorted(set(found), key=lambda text: hash_of(text, seed))


def hash_of(text: str, seed: int) -> int:
    """A number for each text, the same in every process."""
    return int(np.random.default_rng([seed, *text.encode()]).integers(1 << 60))


def affinities(
    drugs: int = 48, targets: int = 16, noise: float = 0.1, seed: int = 0, kind: str = "regression"
) -> Affinities:
    """Every drug with every target: 7 if it has the group and the sequence the motif, else 5; binary: 1 and 0."""
    rng = np.random.default_rng(seed)
    chosen = molecules(seed)[:drugs]
    sequences = []
    for number in range(targets):
        letters = "".join(rng.choice(list(LETTERS), int(rng.integers(30, 45))))
        place = int(rng.integers(5, 25))
        sequences.append(letters[:place] + MOTIF + letters[place:] if number % 2 else letters)
    rows = [
        (f"D{i}", smiles, f"T{j}", sequence, float(GROUP in smiles and MOTIF in sequence))
        for (i, smiles), (j, sequence) in product(enumerate(chosen), enumerate(sequences))
    ]
    table = pd.DataFrame(rows, columns=["Drug_ID", "Drug", "Target_ID", "Target", "Y"])
    if kind == "binary":
        return Affinities.of(table, unit="bound", kind="binary")
    table["Y"] = 5 + 2 * table["Y"] + rng.normal(0, noise, len(table))
    return Affinities.of(table, unit="pKd")


@cache
def deep_dta() -> InteractionHead:
    """A small DeepDTA that has learned it."""
    from medgraph.heads.interaction.deepdta import DeepDTA

    split = affinities().split(seed=0)
    head = DeepDTA(
        vector_size=16, filters=(8, 16, 16), drug_windows=(3, 3, 3), target_windows=(3, 3, 3), hidden=(32, 16),
        epochs=12, learning_rate=0.01, batch_size=128, block=8, device="cpu", seed=0,
    )  # fmt: skip
    return head.fit(split.train, split.valid, progress=False)
