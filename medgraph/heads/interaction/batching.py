"""Mini-batches of pairs: blocks of few targets with several pairs each, so that a batch has few entities to encode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from medgraph.heads.interaction.features import Encoded, Inputs

__all__ = ["Batches", "PairBatch", "PairData", "blocks"]


class PairBatch(NamedTuple):
    """n pairs of m drugs and k targets.

    Args:
        drug_inputs: what the drug encoder takes, for the m drugs.
        target_inputs: what the target encoder takes, for the k targets.
        drug: (n,) each pair's row among the m.
        target: (n,) each pair's row among the k.
        value: (n,) as the loss takes it: standardised by the training values, or 0 and 1.
        limited: (n,) the value says "at most this".
    """

    drug_inputs: Inputs
    target_inputs: Inputs
    drug: Tensor
    target: Tensor
    value: Tensor
    limited: Tensor


@dataclass(frozen=True, eq=False)
class PairData:
    """Pairs with their entities encoded.

    Args:
        drugs: encoded; `drug` counts in it.
        targets: encoded; `target` counts in it.
        drug: (n,).
        target: (n,).
        value: (n,) as the loss takes it.
        limited: (n,).
        device: where batches go.
    """

    drugs: Encoded
    targets: Encoded
    drug: Int64[np.ndarray, " n"]
    target: Int64[np.ndarray, " n"]
    value: Float64[np.ndarray, " n"]
    limited: Bool[np.ndarray, " n"]
    device: torch.device

    def __len__(self) -> int:
        return int(self.drug.size)

    def batch(self, rows: Int64[np.ndarray, " b"]) -> PairBatch:
        """These pairs; each entity once, in the order of its number."""
        drugs, drug = np.unique(self.drug[rows], return_inverse=True)
        targets, target = np.unique(self.target[rows], return_inverse=True)
        kind = torch.get_default_dtype()
        return PairBatch(
            self.drugs.tensors(drugs, self.device),
            self.targets.tensors(targets, self.device),
            torch.from_numpy(drug.astype(np.int64)).to(self.device),
            torch.from_numpy(target.astype(np.int64)).to(self.device),
            torch.from_numpy(self.value[rows]).to(self.device, kind),
            torch.from_numpy(self.limited[rows]).to(self.device),
        )

    def in_order(self, size: int) -> Iterator[PairBatch]:
        """All pairs, those of a target together, at most `size` at a time."""
        order = np.argsort(self.target, kind="stable")
        for start in range(0, len(self), size):
            yield self.batch(order[start : start + size])


def blocks(
    target: Int64[np.ndarray, " n"], block: int, batch_size: int, seed: int, epoch: int
) -> list[Int64[np.ndarray, " b"]]:
    """All pairs once, in random batches of `batch_size` from about `block` targets each.

    The pairs of each target are shuffled and cut into equal runs of about batch_size / block; the runs are shuffled and
    laid end to end, and that line is cut into batches. So all batches but the last are full, whatever the number of
    pairs a target has, and over epochs every pair meets every other. The same for the same (seed, epoch).
    """
    rng = np.random.default_rng([seed, epoch])
    n, run = target.size, max(1, batch_size // block)
    order = rng.permutation(n)
    order = order[np.argsort(target[order], kind="stable")]  # by target, shuffled within each
    sorted_targets = target[order]
    _, starts, counts = np.unique(sorted_targets, return_index=True, return_counts=True)
    runs = np.maximum(1, np.rint(counts / run)).astype(np.int64)  # of each target
    place = np.arange(n) - np.repeat(starts, counts)  # within the target
    within = place * np.repeat(runs, counts) // np.repeat(counts, counts)
    number = within + np.repeat(np.cumsum(runs) - runs, counts)  # of the run
    key = rng.permutation(int(runs.sum()))[number]
    line = order[np.argsort(key, kind="stable")]
    return [line[start : start + batch_size] for start in range(0, n, batch_size)]


class Batches(Sequence[PairBatch]):
    """Batches made when they are asked for."""

    def __init__(self, data: PairData, rows: Sequence[Int64[np.ndarray, " _"]]) -> None:
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> PairBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[PairBatch]: ...
    def __getitem__(self, index: int | slice) -> PairBatch | list[PairBatch]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.data.batch(self.rows[index])
