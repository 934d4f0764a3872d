"""From numbers to logits: a linear layer and a hidden one beside it; and the mean of several such networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.errors import SchemaError
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.tensors import Batch

__all__ = ["Members", "Readout", "check_parts", "gathered", "start_linear"]

_ENOUGH = 20_000  # samples for a linear start
_VARIES = 1e-4  # deviation of a number that tells samples apart


class Readout(nn.Module):
    """W x + U dropout(relu(V x)) + b: wide and deep (Cheng et al. 2016, arXiv:1606.07792).

    W and U start at zero, so that training starts from the rates in b; `start_linear` lets it start from a fitted
    linear model.

    Args:
        plain: how many of x's first numbers are known before training; the others come from layers that are learned.
        learned: how many others.
        hidden: numbers in the hidden layer; 0 leaves it out.
        outputs: how many logits.
        dropout: share of the hidden layer's numbers dropped.
        linear: whether there is a W.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self, plain: int, learned: int, hidden: int, outputs: int, dropout: float, linear: bool = True
    ) -> None:
        super().__init__()
        size = plain + learned
        self.plain, self.linear = plain, linear
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.deep = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout)) if hidden else None
        self.output = nn.Linear((size if linear else 0) + hidden, outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Float[Tensor, "n s"]) -> Float[Tensor, "n k"]:
        """Logits."""
        x = (x - self.centre) * self.scale
        seen = [x] if self.linear else []
        if self.deep is not None:
            seen.append(self.deep(x))
        logits: Tensor = self.output(torch.cat(seen, dim=1))
        return logits

    def start(self, base: Float[Tensor, " k"]) -> None:
        """Let everyone have these logits."""
        with torch.no_grad():
            self.output.bias.copy_(base)

    def start_like(self, other: Readout) -> None:
        """As another starts that sees the same of what is plain."""
        self.load_state_dict({k: v for k, v in other.state_dict().items() if not k.startswith("deep.")}, strict=False)

    def standardise(self, x: Float[Tensor, "n s"]) -> None:
        """Bring what is plain to mean 0 and deviation 1 in these samples; what hardly varies is left out."""
        deviation = x[:, : self.plain].std(dim=0, correction=0)
        self.centre[: self.plain] = x[:, : self.plain].mean(dim=0)
        self.scale[: self.plain] = torch.where(deviation > _VARIES, 1 / deviation.clamp(min=_VARIES), 0.0)

    def penalty(self, bins: int, ridge: float, smoothness: float, order: int = 1) -> Float[Tensor, ""]:
        """α |mean over bins|² + β Σ |differences from bin to bin|², of W and U.

        Of hazards, first differences draw towards proportional ones: what raises a risk raises it in all bins alike.

        Args:
            bins: outputs are numbered by bin, then by event; 1 where there is no time.
            ridge: α.
            smoothness: β.
            order: of the differences; 2 leaves a straight line over bins free.
        """
        weight = self.output.weight.reshape(bins, -1, self.output.in_features)
        return ridge * weight.mean(dim=0).square().sum() + smoothness * weight.diff(n=order, dim=0).square().sum()


def gathered(
    network: nn.Module, seen: Callable[[Batch], Tensor], train: Dataset, max_visits: int | None
) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n ..."]]:
    """What the last layer sees of the training samples, the first 20,000 of them, and their labels."""
    rows, labels, count = [], [], 0
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    with torch.no_grad():
        for samples in train.in_order():
            batch = Batch.of(samples, device, max_visits)
            rows.append(seen(batch))
            labels.append(batch.label)
            count += len(batch)
            if count >= _ENOUGH:
                break
    network.train(training)
    return torch.cat(rows), torch.cat(labels)


def start_linear(parts: Sequence[Readout], x: Float[Tensor, "n s"], loss: Callable[[Tensor], Tensor]) -> None:
    """Fit W on what is plain, and b, by L-BFGS: a convex problem for a penalised likelihood.

    Args:
        parts: their logits stand side by side.
        x: of the training samples.
        loss: of the logits, with its penalties.
    """
    for part in parts:
        part.standardise(x)
    trained = [tensor for part in parts for tensor in (part.output.weight, part.output.bias)]
    optimiser = torch.optim.LBFGS(trained, max_iter=100, tolerance_change=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        found = loss(torch.cat([part(x) for part in parts], dim=1))
        found.backward()  # type: ignore[no-untyped-call]
        for part in parts:
            if (gradient := part.output.weight.grad) is not None:
                gradient[:, part.plain :] = 0
        return found

    training = [part.training for part in parts]
    for part in parts:
        part.eval()
    optimiser.step(closure)  # type: ignore[no-untyped-call]
    optimiser.zero_grad()
    for part, before in zip(parts, training, strict=True):
        part.train(before)


def check_parts(head: object, counts: Sequence[str], weights: Sequence[str]) -> None:
    """Counts are at least 1, weights of a loss at least 0. Raises SchemaError."""
    for least, names in ((1, counts), (0, weights)):
        for name in names:
            if not (value := getattr(head, name)) >= least:
                raise SchemaError(f"{type(head).__name__}: {name}={value}; expected at least {least}.")


class Members(nn.Module):
    """The mean of several networks' logits. They share the codes' vectors, so that one set of them can be explained."""

    def __init__(self, each: Iterable[nn.Module]) -> None:
        super().__init__()
        self.each = nn.ModuleList(each)

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        return torch.stack([network(batch, vectors) for network in self.each]).mean(dim=0)

    @classmethod
    def of(cls, networks: list[nn.Module]) -> nn.Module:
        """One network stands for itself."""
        return networks[0] if len(networks) == 1 else cls(networks)

    @staticmethod
    def within(network: nn.Module) -> list[nn.Module]:
        """The reverse of `of`."""
        return list(network.each) if isinstance(network, Members) else [network]
