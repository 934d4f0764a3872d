"""Learning rates that change while the training goes on."""

from __future__ import annotations

import math

from torch.optim import Optimizer

__all__ = ["cosine", "set_rate", "warmed_cosine"]


def cosine(progress: float) -> float:
    """(1 + cos π·progress) / 2: the share of the learning rate left, 1 at the start and 0 at the end.

    Loshchilov & Hutter 2017 (arXiv:1608.03983), without restarts.
    """
    return (1 + math.cos(math.pi * progress)) / 2


def warmed_cosine(progress: float) -> float:
    """`cosine`, but rising from a tenth of it over the first 9 % of the way."""
    return min(1.0, progress / 0.1 + 0.1) * cosine(progress)


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Let the optimiser's next steps take this learning rate, for all weights."""
    for group in optimiser.param_groups:
        group["lr"] = rate
