"""Convolutions over rows laid end to end, written for the little that a maximum and a small alphabet leave to do."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["folded_convolution", "largest_answers", "row_convolution"]


def row_convolution(x: Float[Tensor, "p g"], weight: Float[Tensor, "f g w"]) -> Float[Tensor, "q f"]:
    """out[i] = sum over o of weight[:, :, o] @ x[i + o]: a convolution without padding or bias, channels last.

    On a CPU, products of matrices by offset are about twice as fast as torch's own for so few channels.
    """
    if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        found: Tensor = _RowConvolution.apply(x, weight)
        return found
    return functional.conv1d(x.T[None], weight)[0].T


def folded_convolution(
    tokens: Int[Tensor, " p"], vectors: Float[Tensor, "v d"], weight: Float[Tensor, "f d w"]
) -> Float[Tensor, "q f"]:
    """`row_convolution(vectors[tokens], weight)`, the vectors folded into the weights.

    Row (o, v) of a table, weight[:, :, o] @ vectors[v], is what token v adds at offset o; rows are found and summed.
    """
    table = torch.einsum("vd,fdo->ovf", vectors, weight)
    found: Tensor = _LookUp.apply(tokens, table)
    return found


def largest_answers(
    x: Float[Tensor, "p g"], weight: Float[Tensor, "f g w"], lengths: list[int], answers: list[int]
) -> Float[Tensor, "m f"]:
    """The largest of the first `answers[i]` answers of each filter in segment i of `row_convolution(x, weight)`.

    The gradient of a maximum flows through its place alone, so the convolution has no graph, and only those places are
    read again for the gradients.

    Args:
        x: segments end to end.
        weight: of the convolution.
        lengths: rows of each segment.
        answers: how many of a segment's answers count.
    """
    found: Tensor = _Largest.apply(x, weight, lengths, answers)
    return found


class _RowConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        taps = weight.permute(2, 1, 0).contiguous()
        n = x.shape[0] - taps.shape[0] + 1
        found = x[:n] @ taps[0]
        for o in range(1, taps.shape[0]):
            found.addmm_(x[o : o + n], taps[o])
        return found

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = given[0].contiguous()
        n, window = gradient.shape[0], weight.shape[2]
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            taps = weight.permute(2, 0, 1).contiguous()
            of_x = torch.zeros_like(x)
            for o in range(window):
                of_x[o : o + n].addmm_(gradient, taps[o])
        if ctx.needs_input_grad[1]:
            of_weight = torch.stack([gradient.T @ x[o : o + n] for o in range(window)], dim=2)
        return of_x, of_weight


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        window, ctx.count, width = table.shape
        places = tokens.long().unfold(0, window, 1) + ctx.count * torch.arange(window, device=tokens.device)
        return functional.embedding_bag(places, table.reshape(-1, width), mode="sum")

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[None, Tensor]:
        (tokens,) = ctx.saved_tensors
        gradient = given[0]
        n = gradient.shape[0]
        which = functional.one_hot(tokens.long(), ctx.count).to(gradient.dtype)
        return None, torch.stack([which[o : o + n].T @ gradient for o in range(tokens.shape[0] - n + 1)])


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, lengths: list[int], answers: list[int]) -> Tensor:
        every = row_convolution(x, weight)
        values, places, start = [], [], 0
        for length, count in zip(lengths, answers, strict=True):
            largest, place = every[start : start + count].max(dim=0)
            values.append(largest)
            places.append(place + start)
            start += length
        ctx.save_for_backward(x, weight, torch.stack(places))
        return torch.stack(values)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, places = ctx.saved_tensors
        gradient = given[0].to(x.dtype)
        filters, width, window = weight.shape
        rows = x.contiguous().as_strided((x.shape[0] - window + 1, window * width), (width, 1))  # windows as rows
        of_weight = torch.zeros(filters, window * width, dtype=x.dtype, device=x.device)
        for place, pull in zip(places, gradient, strict=True):  # a text at a time stays in the cache
            of_weight.addcmul_(rows.index_select(0, place), pull[:, None])
        taps = weight.permute(0, 2, 1).to(x.dtype).contiguous()
        pulls = (gradient[:, :, None, None] * taps).reshape(-1, width)
        around = (places[:, :, None] + torch.arange(window, device=x.device)).reshape(-1)
        of_x = torch.zeros_like(x).index_add_(0, around, pulls)
        return of_x, of_weight.reshape(filters, window, width).permute(0, 2, 1).to(weight.dtype), None, None
