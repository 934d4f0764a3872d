"""Members of an ensemble: each is what its own seed makes it, and comes back from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from medgraph.heads.interaction.members import fit_members, member_weights, restored_members
from medgraph.training import History, Task, Trainer

CPU = torch.device("cpu")


class Line(Task):
    """Fit y = 2x through dropout, whose noise follows from the trainer's seed."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.optimiser = module, torch.optim.SGD(module.parameters(), 0.1)

    def batches(self, epoch: int) -> list[int]:
        return [epoch, epoch + 1]

    def losses(self, batch: int, progress: float) -> Mapping[str, Tensor]:
        x = torch.arange(4.0)[:, None] + batch
        return {"loss": ((self.module(x / 8) - 2 * x / 8) ** 2).mean()}


def draw() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 3), nn.Dropout(0.5), nn.Linear(3, 1))


def fit(trainer: Trainer, members: int) -> tuple[tuple[nn.Module, ...], list[Trainer]]:
    used: list[Trainer] = []

    def learn(network: nn.Module, own: Trainer) -> History:
        used.append(own)
        return own.run(Line(network))

    networks, histories = fit_members(trainer, members, draw, learn, CPU)
    assert [len(history) for history in histories] == [trainer.epochs] * members
    return networks, used


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_each_member_is_the_only_one_of_its_seed() -> None:
    before = torch.get_rng_state()
    networks, used = fit(Trainer(2, seed=5, progress=False), 3)
    assert torch.equal(before, torch.get_rng_state())
    for network, own in zip(networks, used, strict=True):
        assert not network.training
        (alone,), _ = fit(Trainer(2, seed=own.seed, progress=False), 1)
        assert same(network, alone)
    assert not same(networks[0], networks[1])
    assert not same(networks[1], networks[2])


def test_several_members_have_numbered_checkpoints(tmp_path: Path) -> None:
    trainer = Trainer(1, checkpoint=tmp_path / "c", progress=False, description="Line")
    _, used = fit(trainer, 2)
    assert [own.description for own in used] == ["Line 1 of 2", "Line 2 of 2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.0", "c.1"]
    assert fit(trainer, 1)[1] == [trainer]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c.0", "c.1"]


def test_weights_come_back_each_to_its_member() -> None:
    networks, _ = fit(Trainer(1, progress=False), 11)  # "1/" is not the start of "10/"
    weights = member_weights(networks)
    np.testing.assert_array_equal(weights["10/0.weight"], networks[10].state_dict()["0.weight"].numpy())
    before = torch.get_rng_state()
    again = restored_members(weights, 11, draw)
    assert torch.equal(before, torch.get_rng_state())
    assert all(same(one, other) for one, other in zip(networks, again, strict=True))
    assert not any(network.training for network in again)
