"""Affinities with something planted, small enough to be learned in a second."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medgraph.data.affinities import Affinities

RESIDUES = "ACDEFGHILMNPQRSTVY"


def planted(kind: str = "regression", drugs: int = 24, targets: int = 16, seed: int = 0) -> Affinities:
    """Amines bind better, and so do targets with the motif KWKWK; a third of the pairs is at the limit of 5.

    Of a binary kind: an amine and a motif bind.
    """
    rng = np.random.default_rng(seed)
    smiles = [f"{'C' * (2 + i // 4)}c1ccc({'NOSF'[i % 4]})cc1" for i in range(drugs)]
    sequences = []
    for number in range(targets):
        letters = "".join(rng.choice(list(RESIDUES), size=int(rng.integers(30, 60))))
        sequences.append(f"{letters[:12]}KWKWK{letters[12:]}" if number % 2 else letters)
    drug, target = (grid.ravel() for grid in np.meshgrid(np.arange(drugs), np.arange(targets), indexing="ij"))
    amine, motif = drug % 4 == 0, target % 2 == 1
    value = np.maximum(5.0, 4.8 + 1.2 * amine + 1.6 * motif + 0.15 * rng.normal(size=drug.size))
    if kind == "binary":
        value = (amine | motif).astype(np.float64)
    table = pd.DataFrame(
        {
            "Drug_ID": [f"D{i}" for i in drug],
            "Drug": [smiles[i] for i in drug],
            "Target_ID": [f"T{i}" for i in target],
            "Target": [sequences[i] for i in target],
            "Y": value,
        }
    )
    if kind == "binary":
        return Affinities.of(table, unit="bound", kind="binary")
    return Affinities.of(table, unit="pKd", limit=5.0)
