"""The torch backend of skip-gram: gensim's model, stepped a few thousand tokens at a time by matrix products.

The stream of tokens is cut into blocks. All (centre, context) scores of a block are one product: its centres by the
same stretch of the stream widened by the window, masked to the pairs inside their windows. Its noise words are drawn
once for the block and weighted to stand for `negative` draws per pair. Gradients are written out: no autograd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from medgraph.embeddings.corpus import Corpus, Stream
from medgraph.errors import SchemaError
from medgraph.training import History, Task, Trainer, distributed

if TYPE_CHECKING:
    from medgraph.embeddings.skipgram import Fit, SkipGram

__all__ = ["TorchBackend"]


@dataclass(frozen=True)
class TorchBackend:
    """Skip-gram on any device, by the training loop: exact resume, several processes.

    Args:
        batch_tokens: tokens between two updates of the vectors; at most four times as many as there are ids, so that a
            small vocabulary is not moved in too few steps.
        block: centres that share a product and its noise words.
        noise: noise words per block.
        curvature: how much of a step is taken back when the same vector is moved again within a batch: an update that
            stands for n pairs is scaled by (1 - exp(-n alpha curvature)) / (n alpha curvature), what n steps of plain
            gradient descent would add up to on a parabola. Words that are rare within a batch are not affected.
    """

    batch_tokens: int = 8192
    block: int = 32
    noise: int = 32
    curvature: float = 0.5

    def __post_init__(self) -> None:
        if min(self.batch_tokens, self.block, self.noise) < 1 or self.curvature < 0:
            raise SchemaError(f"{self}: sizes must be at least 1, and curvature at least 0.")

    def train(
        self, model: SkipGram, corpus: Corpus, counts: Int64[Tensor, " tokens"], fit: Fit
    ) -> tuple[Tensor, Tensor, History]:
        """The input and output vectors of every token, and the history."""
        task = _SkipGramTask(model, self, corpus, counts, fit.device)
        trainer = Trainer(
            model.epochs, model.seed, checkpoint=fit.checkpoint, resume=fit.resume, progress=fit.progress,
            description="skip-gram",
        )  # fmt: skip
        history = trainer.run(task)
        return task.module.input.detach(), task.module.output.detach(), history


class _Tables(nn.Module):
    """Two vectors per token; drawn as gensim does, the output vectors zero."""

    def __init__(self, tokens: int, size: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        first = (torch.rand(tokens, size, generator=generator) - 0.5) / size
        self.input = nn.Parameter(first, requires_grad=False)
        self.output = nn.Parameter(torch.zeros(tokens, size), requires_grad=False)


class _SkipGramTask(Task):
    module: _Tables

    def __init__(
        self, model: SkipGram, backend: TorchBackend, corpus: Corpus, counts: Tensor, device: torch.device
    ) -> None:
        self.model, self.backend, self.corpus, self.device = model, backend, corpus, device
        self.module = _Tables(corpus.num_tokens, model.vector_size, model.seed).to(device)
        self.settings = {**model.settings(), "tokens": int(counts.sum())}
        counts = counts.to(device).double()
        kept = counts * (counts >= model.min_count)
        self._cumulative = (kept**model.ns_exponent * (kept > 0)).double().cumsum(0)
        share = kept / kept.sum().clamp(min=1)
        # word2vec's subsampling: keep with probability sqrt(sample / share) + sample / share
        keep = (model.sample / share).sqrt() + model.sample / share if model.sample > 0 else torch.ones_like(share)
        self._keep = torch.where(kept > 0, keep, 0.0).clamp(max=1).float()
        self._all_kept = bool((self._keep == 1).all())
        reach, block = model.window, backend.block
        place = torch.arange(block + 2 * reach, device=device)
        self._distance = (place[None, :] - reach - torch.arange(block, device=device)[:, None]).abs()
        self._weight_sums = torch.zeros(corpus.num_tokens, device=device)
        self._batch_tokens = max(block, min(backend.batch_tokens, 4 * int((kept > 0).sum())))
        self._per_epoch = corpus.cut(self._batch_tokens)
        self._blocks = -(-corpus.largest(self._batch_tokens) // block)

    def batches(self, epoch: int) -> Sequence[int]:
        """Numbers of the corpus's batches, counted on from epoch to epoch."""
        return range(epoch * self._per_epoch, (epoch + 1) * self._per_epoch)

    @torch.no_grad()
    def losses(self, batch: int, progress: float) -> Mapping[str, Tensor]:
        """Move the vectors by one batch; the loss is the mean over its pairs."""
        model, reach, block = self.model, self.model.window, self.backend.block
        alpha = model.alpha - (model.alpha - model.min_alpha) * progress
        epoch, number = divmod(batch, self._per_epoch)
        stream = self._subsampled(self.corpus.batch(number, self._batch_tokens, self.device, epoch))
        blocks = max(1, -(-stream.tokens.numel() // block)) if distributed.world_size() == 1 else self._blocks
        tail = blocks * block - stream.tokens.numel()
        tokens = functional.pad(stream.tokens, (reach, reach + tail))
        sequences = functional.pad(stream.sequences, (reach, reach + tail), value=-1)
        context, context_sequence = (x.unfold(0, block + 2 * reach, block) for x in (tokens, sequences))
        centre, centre_sequence = (x[:, reach : reach + block] for x in (context, context_sequence))

        limit = torch.randint(1, reach + 1, centre.shape, device=self.device) if model.shrink_windows else reach
        near = self._distance <= (limit[..., None] if isinstance(limit, Tensor) else limit)
        same = (centre_sequence[..., None] == context_sequence[:, None, :]) & (centre_sequence[..., None] >= 0)
        pairs = (near & same & (self._distance > 0)).float()
        drawn = torch.rand(blocks, self.backend.noise, device=self.device, dtype=torch.float64) * self._cumulative[-1]
        noise = torch.searchsorted(self._cumulative, drawn).clamp_(max=self.corpus.num_tokens - 1)

        vectors = functional.embedding(centre, self.module.input)
        contexts = functional.embedding(context, self.module.output)
        noises = functional.embedding(noise, self.module.output)
        pull = (vectors @ contexts.mT).sigmoid_()
        push = (vectors @ noises.mT).sigmoid_()
        of_centre = pairs.sum(2)
        each = of_centre[..., None] * (model.negative / self.backend.noise)
        tiny = torch.finfo(pull.dtype).tiny
        loss = -((pull + tiny).log_().mul_(pairs).sum() + (1 - push + tiny).log_().mul_(each).sum())

        pull.sub_(1).mul_(pairs).mul_(-alpha)
        push.mul_(each).mul_(-alpha)
        self._add(
            self.module.input,
            [(centre, torch.baddbmm(pull @ contexts, push, noises), of_centre * (1 + model.negative))],
            alpha,
        )
        self._add(
            self.module.output,
            [(context, pull.mT @ vectors, pairs.sum(1)), (noise, push.mT @ vectors, each.expand_as(push).sum(1))],
            alpha,
        )
        return {"loss": loss / pairs.sum().clamp(min=1)}

    def _add(self, table: Tensor, parts: list[tuple[Tensor, Tensor, Tensor]], alpha: float) -> None:
        """Move the rows of `table`, each by the sum of its steps, scaled as `curvature` says."""
        rows, steps, weights = (
            [distributed.gather_rows(part.reshape(-1, *part.shape[2:])) for part in column]
            for column in zip(*parts, strict=True)
        )
        for row, weight in zip(rows, weights, strict=True):
            self._weight_sums.index_add_(0, row, weight)
        for row, step in zip(rows, steps, strict=True):
            decay = self._weight_sums[row] * (alpha * self.backend.curvature)
            scale = torch.where(decay > 1e-4, -torch.expm1(-decay) / decay.clamp(min=1e-4), 1.0)
            table.index_add_(0, row, step.mul_(scale[:, None]))
        for row in rows:
            self._weight_sums[row] = 0.0

    def _subsampled(self, stream: Stream) -> Stream:
        if self._all_kept:
            return stream
        keep = torch.rand(stream.tokens.shape, device=self.device) < self._keep[stream.tokens]
        return Stream(stream.tokens[keep], stream.sequences[keep])
