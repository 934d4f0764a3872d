"""What stands behind numbers that are nobody's: counts of bits and of k-mers, before they were put on axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medgraph.data.molecules import morgan
from medgraph.data.proteins import kmers
from medgraph.heads.interaction.features import Features
from medgraph.heads.interaction.owners import Owners, kmer_owners, morgan_owners
from medgraph.heads.interaction.projected import ProjectedFeatures

__all__ = ["Behind", "behind"]


class Behind(NamedTuple):
    """Numbers that have owners, and how an input is made of them.

    Args:
        numbers: (1, u), those that are not 0.
        owners: of each.
        make: differentiable; of zeros it makes the input of an entity that has nothing.
    """

    numbers: Float[Tensor, "1 u"]
    owners: Owners
    make: Callable[[Float[Tensor, "k u"]], Float[Tensor, "k w"]]


def behind(features: Features, text: str, device: torch.device) -> Behind | None:
    """The counts that `ProjectedFeatures` put on their axes; None for features that have owners themselves, or none."""
    if not isinstance(features, ProjectedFeatures):
        return None
    drug = features.kind == "morgan"
    counts = morgan([text], features.size_, features.mean.size, counts=True) if drug else kmers([text], features.size_)
    there = counts.indices.astype(np.int64)
    if drug:
        owners = morgan_owners(text, features.size_, features.mean.size, number="log", columns=there)
    else:
        owners = kmer_owners(text, features.size_, number="log", columns=there)
    axes = torch.from_numpy(features.axes[there]).to(device)
    middle = torch.from_numpy(features.mean[there]).to(device)
    origin = torch.from_numpy(features.mean @ features.axes).to(device)
    elsewhere = float(
        (features.mean.astype(np.float64) ** 2).sum() - (features.mean[there].astype(np.float64) ** 2).sum()
    )

    def make(numbers: Float[Tensor, "k u"]) -> Float[Tensor, "k w"]:
        found = numbers @ axes - origin
        whole = ((numbers - middle) ** 2).sum(dim=1) + elsewhere
        rest = (whole - (found**2).sum(dim=1)).clamp(min=1e-6) / whole.clamp(min=1e-6)  # the root of 0 has no slope
        return torch.cat([rest.sqrt()[:, None], found / features.scale], dim=1)

    return Behind(torch.from_numpy(np.log1p(counts.data))[None].to(device), owners, make)
