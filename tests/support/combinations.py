"""Combinations of alkanes and alcohols whose scores follow a rule."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from medgraph.data.synergies import Synergies


def planted(drugs: int = 16, cells: int = 6, noise: float = 0.05, seed: int = 0, features: bool = False) -> Synergies:
    """score = 3 if exactly one of the two is an alcohol, else -1; + the cell line's effect + noise."""
    rng = np.random.default_rng(seed)
    smiles = ["C" * (number // 2 + 1) + ("O" if number % 2 else "N") for number in range(drugs)]
    effect = rng.normal(size=cells)
    rows = [
        (f"d{a}", smiles[a], f"d{b}", smiles[b], f"c{c}",
         (3.0 if a % 2 != b % 2 else -1.0) + effect[c] + noise * rng.normal())
        for (a, b), c in itertools.product(itertools.combinations(range(drugs), 2), range(cells))
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["Drug1_ID", "Drug1", "Drug2_ID", "Drug2", "Cell_Line_ID", "Y"])
    given = {f"c{c}": [effect[c], rng.normal()] for c in range(cells)} if features else None
    return Synergies.of(frame, features=given)
