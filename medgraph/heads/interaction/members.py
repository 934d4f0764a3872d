"""Members of an ensemble: each trained from a seed of its own, all of them written and restored together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from medgraph.training import History, Trainer

__all__ = ["fit_members", "member_weights", "restored_members"]

_Network = TypeVar("_Network", bound=nn.Module)


def fit_members(
    trainer: Trainer,
    members: int,
    draw: Callable[[], _Network],
    learn: Callable[[_Network, Trainer], History],
    device: torch.device,
) -> tuple[tuple[_Network, ...], tuple[History, ...]]:
    """The trained members, and what was measured in each epoch of each.

    Args:
        trainer: of the first member. The others get further seeds; of several, each gets a numbered checkpoint.
        members: how many.
        draw: a member, freshly drawn.
        learn: trains it, by the trainer that is its own.
        device: where.
    """
    networks, histories = [], []
    for number in range(members):
        own = replace(trainer, seed=trainer.seed + 7_919 * number)
        if members > 1:
            file = trainer.checkpoint and f"{trainer.checkpoint}.{number}"
            own = replace(own, checkpoint=file, description=f"{trainer.description} {number + 1} of {members}")
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(own.seed)
            network = draw()
        histories.append(learn(network.to(device), own))
        networks.append(network.eval())
    return tuple(networks), tuple(histories)


def member_weights(networks: Sequence[nn.Module]) -> dict[str, np.ndarray]:
    """number/name -> weight, as they are written."""
    return {
        f"{number}/{name}": tensor.detach().cpu().numpy()
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }


def restored_members(
    weights: Mapping[str, np.ndarray], members: int, draw: Callable[[], _Network]
) -> tuple[_Network, ...]:
    """The members whose `member_weights` these are; the random state stays as it is."""
    networks = []
    for number in range(members):
        with torch.random.fork_rng(devices=[]):
            network = draw()
        start = f"{number}/"
        own = {name.removeprefix(start): torch.from_numpy(w) for name, w in weights.items() if name.startswith(start)}
        network.load_state_dict(own)
        networks.append(network.eval())
    return tuple(networks)
