"""Heads on visits of codes: each has its paper's network, and a wide linear part on the codes' counts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.targets import LabelTarget, Target
from medgraph.heads.risk.wide import Wide, WideAndDeep

__all__ = ["VisitHead"]


@dataclass(eq=False, kw_only=True)
class VisitHead(RiskHead):
    """What the heads on visits share.

    Args:
        wide: for labels, add a linear part on counts of codes (`Wide`), fitted first; the network then learns what it
            misses. False for the paper's network alone. Survival and private training have none.

    The other arguments are those of `RiskHead`.
    """

    wide: bool = True

    def _widened(self, network: nn.Module, target: Target, parts: Sequence[Dataset]) -> tuple[nn.Module, list[str]]:
        if not self.wide or not isinstance(target, LabelTarget):
            return network, []
        train, tuning = parts
        wide = Wide(len(train.timelines.vocabulary), target.outputs)
        told = wide.fit(train, tuning, self.max_visits, np.log(target.weights))
        device = next(iter(network.state_dict().values())).device
        with torch.no_grad():
            return WideAndDeep(network, wide.to(device)).silence(), [told]
