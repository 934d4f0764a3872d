"""What the training loop asks of torch.distributed; with one process every function is the identity."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "any_true",
    "average",
    "average_gradients",
    "broadcast",
    "gather_rows",
    "generator_states",
    "join",
    "local_rank",
    "rank",
    "restore_generator_states",
    "share",
    "world_size",
]


def rank() -> int:
    """This process's number; 0 if there is only one."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes train together?"""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process's number on this machine: torchrun's LOCAL_RANK, its GPU's number."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join(device: torch.device) -> None:
    """Meet the processes that torchrun started, once and until the end; nothing to do without torchrun."""
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def share(batches: Sequence[Any]) -> Sequence[Any]:
    """This process's batches: every n-th, filled up from the start so that all processes take as many steps.

    Fewer batches than processes (full-batch training): every process takes them all.
    """
    total, processes = len(batches), world_size()
    if processes == 1 or total < processes:
        return batches
    return [batches[i % total] for i in range(rank(), -(-total // processes) * processes, processes)]


def broadcast(module: nn.Module) -> None:
    """Give every process the first one's weights."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    if world_size() == 1:
        return
    for parameter in module.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:  # unused here, perhaps not in another process
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= world_size()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes below each other; each process must bring as many."""
    if world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def average(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each figure over the processes."""
    if world_size() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return dict(zip(values, (total / world_size()).tolist(), strict=True))


def any_true(flag: bool, device: torch.device) -> bool:
    """Is the flag set in any process?"""
    if world_size() == 1:
        return flag
    total = torch.tensor([int(flag)], device=device)
    dist.all_reduce(total)
    return bool(total.item())


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's global generators in every process."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if world_size() == 1:
        return states
    return {name: gather_rows(state.to(device)[None]).cpu() for name, state in states.items()}


def restore_generator_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Bring torch's global generators to what `generator_states` took."""
    own = {name: state if state.ndim == 1 else state[rank()] for name, state in states.items()}
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], device)
