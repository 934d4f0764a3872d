"""Wide and deep (Cheng et al. 2016, arXiv:1606.07792): a linear part on counts and pairs of codes beside a net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor, nn

from medgraph.data.samples import Samples
from medgraph.heads.risk.batching import IN_MEMORY, Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.elastic_net import Logistic, chosen_penalty, interactions
from medgraph.heads.risk.tensors import Batch

__all__ = ["WINDOWS", "Wide", "WideAndDeep", "presence", "window_counts"]

WINDOWS = (float("inf"), 365.0, 180.0)  # days before the prediction in which codes are counted
PAIRS = 8  # at most
_AGES = 11  # columns of age_features
_Design: TypeAlias = sparse.csr_array


class Wide(nn.Module):
    """logit = Σ_w Σ_c W_wc log(1 + n_wc) + Σ_p u_p x_i x_j + age and static codes: three windows, pairs of codes.

    n_wc is how often code c stands in window w, x whether it stands in the history at all. The weights are fitted once,
    before the deep part is trained, and stay.

    Args:
        codes: of the vocabulary.
        outputs: how many logits.
    """

    weight: Tensor
    static: Tensor
    age: Tensor
    bias: Tensor
    pairs: Tensor
    pair_weight: Tensor

    def __init__(self, codes: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(len(WINDOWS), codes, outputs))
        self.register_buffer("static", torch.zeros(codes, outputs))
        self.register_buffer("age", torch.zeros(_AGES, outputs))
        self.register_buffer("bias", torch.zeros(outputs))
        self.register_buffer("pairs", torch.zeros(PAIRS, 2, dtype=torch.int64))
        self.register_buffer("pair_weight", torch.zeros(PAIRS, outputs))

    def forward(self, batch: Batch, present: Float[Tensor, " t"] | None = None) -> Float[Tensor, "n k"]:
        """Logits; `present` says how much of each event is there, 1 by default."""
        counted = _Counts(batch, self.weight.shape[1], present)
        rows = torch.stack([torch.log1p(counts) for counts in counted.windows])
        logits = (batch.person @ self.age + self.bias).index_add(
            0, batch.static_sample, self.static[batch.static_codes]
        )
        each = (rows[:, :, None] * self.weight[:, counted.code]).sum(dim=0)
        return logits.index_add(0, counted.sample, each) + self._products(counted, len(batch)) @ self.pair_weight

    def contributions(self, batch: Batch) -> Float[Tensor, "t k"]:
        """What each event adds: a code's events share its weight in a window evenly, a pair's codes its weight by half.

        These are the integrated gradients from a history without events, and with the logits of no event they add up
        to the logits.
        """
        counted = _Counts(batch, self.weight.shape[1], None)
        result = self.weight.new_zeros((len(batch.codes), self.weight.shape[2]))
        for inside, counts, weight in zip(counted.inside, counted.windows, self.weight, strict=True):
            share = torch.log1p(counts) / counts.clamp(min=1)
            result += (inside * share[counted.place])[:, None] * weight[batch.codes]
        whole = counted.windows[0][counted.place]
        products = self._products(counted, len(batch))[batch.visit_sample[batch.code_visit]]
        for side in range(2):
            mine = batch.codes[:, None] == self.pairs[:, side]
            result += (mine * products / whole[:, None] / 2) @ self.pair_weight
        return result

    def weighed_pairs(self) -> list[tuple[int, int]]:
        """Pairs of codes, as numbers of the vocabulary, that have a weight."""
        kept = (self.pair_weight != 0).any(dim=1)
        return [(one, other) for one, other in self.pairs[kept].tolist()]

    def _products(self, counted: _Counts, n: int) -> Float[Tensor, "n p"]:
        """x_i x_j of each pair."""
        sides = [counted.standing.new_zeros((n, len(self.pairs))) for _ in range(2)]
        for number, (one, other) in enumerate(self.pairs.tolist()):
            if one == other:  # an unused row
                continue
            for side, code in enumerate((one, other)):
                rows = counted.code == code
                sides[side] = sides[side].index_put(
                    (counted.sample[rows], torch.full_like(counted.sample[rows], number)), counted.standing[rows]
                )
        return sides[0] * sides[1]

    @torch.no_grad()
    def fit(self, train: Dataset, tuning: Dataset, max_visits: int | None, log_weights: Float[np.ndarray, " k"]) -> str:
        """An elastic net on train, its strength by tuning's log loss, with pairs of codes; returns what to tell of it.

        Args:
            train: what is learned from, the first 20 million events at most.
            tuning: where the log loss picks the strength.
            max_visits: of each sample.
            log_weights: of each output's positives in the loss of the deep part.
        """
        (X, Y), (X_tuning, Y_tuning) = (window_counts(part.in_order(), max_visits) for part in (train, tuning))
        codes, outputs = self.static.shape
        columns = len(WINDOWS) * codes
        pairs = np.zeros((0, 2), dtype=np.int64)
        model = chosen_penalty(X, Y, X_tuning, Y_tuning)
        if outputs == 1:
            standing = X[:, :codes] > 0
            used = np.flatnonzero(np.any(model.weight[:columns].reshape(len(WINDOWS), codes, -1) != 0, axis=(0, 2)))
            pairs = interactions(standing, Y[:, 0], model.probabilities(X)[:, 0], used, PAIRS)
        if len(pairs):
            X, X_tuning = (
                sparse.csr_array(sparse.hstack([x, _multiplied(x[:, :codes] > 0, pairs)])) for x in (X, X_tuning)
            )
            model = chosen_penalty(X, Y, X_tuning, Y_tuning)
        ends = np.cumsum([columns, codes, _AGES, len(pairs)])
        each = [torch.from_numpy(part.astype(np.float32)) for part in np.split(model.weight, ends[:-1])]
        self.weight.copy_(each[0].reshape(self.weight.shape))
        self.static.copy_(each[1])
        self.age.copy_(each[2])
        self.bias.copy_(torch.from_numpy((model.bias + log_weights).astype(np.float32)))
        self.pairs[: len(pairs)] = torch.from_numpy(pairs)
        self.pair_weight[: len(pairs)] = each[3]
        return self._told(train, model)

    def _told(self, train: Dataset, model: Logistic) -> str:
        codes = int((self.weight != 0).any(dim=2).any(dim=0).sum())
        kept = int((self.pair_weight != 0).any(dim=1).sum())
        cut = f", from its first {IN_MEMORY:,} events" if train.events > IN_MEMORY else ""
        return (
            f"the wide part weighs {codes:,} of {self.weight.shape[1]:,} codes and {kept} pairs of them{cut}; its "
            f"penalty is {model.penalty:g}"
        )


class _Counts:
    """One row for each sample and code: how often the code stands in each window, and how much of it stands there."""

    def __init__(self, batch: Batch, codes: int, present: Tensor | None) -> None:
        owner = batch.visit_sample[batch.code_visit]
        keys, self.place = torch.unique(owner * codes + batch.codes, return_inverse=True)
        self.sample, self.code = keys // codes, keys % codes
        one = torch.ones_like(batch.code_days) if present is None else present
        self.inside = [(batch.code_days <= days).to(one.dtype) for days in WINDOWS]
        self.windows = [self._sum(one * inside) for inside in self.inside]
        self.standing = self.windows[0] / self._sum(torch.ones_like(one))

    def _sum(self, events: Tensor) -> Tensor:
        return events.new_zeros(len(self.code)).index_add(0, self.place, events)


def window_counts(parts: Iterable[Samples], max_visits: int | None = None) -> tuple[_Design, Float[np.ndarray, "n k"]]:
    """log(1 + n) of each code in each window, static codes, age: a row a sample, 20 million events at most; labels."""
    blocks, labels, events = [], [], 0
    for samples in parts:
        batch, codes = Batch.of(samples, max_visits=max_visits), len(samples.vocabulary)
        counted = _Counts(batch, codes, None)
        at = counted.sample.numpy(), counted.code.numpy()
        counts = [
            sparse.csr_array((np.log1p(window.double().numpy()), at), shape=(len(batch), codes))
            for window in counted.windows
        ]
        for window in counts:
            window.eliminate_zeros()
        ones = np.ones(len(batch.static_codes))
        static = sparse.csr_array((ones, (batch.static_sample, batch.static_codes)), shape=(len(batch), codes))
        blocks.append(sparse.hstack([*counts, static, sparse.csr_array(batch.person.double().numpy())], format="csr"))
        labels.append(samples.label.reshape(len(samples), -1).astype(np.float64))
        events += len(batch.codes)
        if events > IN_MEMORY:
            break
    return sparse.csr_array(sparse.vstack(blocks)), np.concatenate(labels)


def _multiplied(standing: _Design, pairs: Int[np.ndarray, "p 2"]) -> _Design:
    return sparse.csr_array(standing[:, pairs[:, 0]].astype(np.float64).multiply(standing[:, pairs[:, 1]]))


class WideAndDeep(nn.Module):
    """wide(batch) + deep(batch): the deep part, whose last layer starts from zero, learns what the wide one misses."""

    def __init__(self, deep: nn.Module, wide: Wide) -> None:
        super().__init__()
        self.deep, self.wide = deep, wide

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits. Of an event whose vector is changed, what is left in its own vector's direction is present."""
        if vectors is None:
            return cast(Tensor, self.deep(batch) + self.wide(batch))
        own = next(module for module in self.deep.modules() if isinstance(module, CodeVectors))(batch.codes)
        return cast(Tensor, self.deep(batch, vectors) + self.wide(batch, presence(vectors, own)))

    def silence(self) -> WideAndDeep:
        """Let the deep part's last layers start from zero."""
        for name in ("output", "rest", "readout"):
            if isinstance(layer := getattr(self.deep, name, None), nn.Linear):
                for parameter in layer.parameters():
                    nn.init.zeros_(parameter)
        return self


def presence(vectors: Float[Tensor, "t d"], own: Float[Tensor, "t d"]) -> Float[Tensor, " t"]:
    """⟨v, own⟩ / ⟨own, own⟩: 1 for an event as it is, 0 for one taken out, α for one scaled by α."""
    length = own.detach().square().sum(dim=1)
    share = (vectors * own.detach()).sum(dim=1) / torch.where(length > 0, length, torch.ones_like(length))
    return torch.where(length > 0, share, torch.ones_like(share))
