"""What a network's outputs mean, and what training descends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from medgraph.errors import SchemaError

__all__ = ["BinaryCrossEntropy", "Censored", "Evidential", "Loss", "SquaredError"]


class Loss(ABC):
    """A loss over standardised values (binary: 0 and 1), and what it makes of the outputs.

    Attributes:
        kind: of the values it is for.
        outputs: of the network, for each pair.
        learned: numbers that are learned beside the network's weights, from 0.
    """

    kind: ClassVar[str] = "regression"
    outputs: ClassVar[int] = 1
    learned: ClassVar[int] = 0

    @abstractmethod
    def loss(
        self, raw: Float[Tensor, "n k"], value: Float[Tensor, " n"], limited: Bool[Tensor, " n"],
        learned: Float[Tensor, " l"],
    ) -> Float[Tensor, " n"]:  # fmt: skip
        """Of each pair."""

    @abstractmethod
    def answer(
        self, raw: Float[Tensor, "n k"], learned: Float[Tensor, " l"], limit: float | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """The predicted value (binary: log-odds), and its standard deviation where the loss has one."""

    def to_dict(self) -> dict[str, Any]:
        """Class and fields."""
        return {"class": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Loss:
        """The reverse of `to_dict`."""
        for kind in Loss.__subclasses__():
            if kind.__name__ == plain["class"]:
                return kind(**{name: value for name, value in plain.items() if name != "class"})
        raise SchemaError(f"{plain['class']!r} is no known loss.")


@dataclass(frozen=True)
class SquaredError(Loss):
    """(output - value)²."""

    def loss(
        self, raw: Float[Tensor, "n k"], value: Float[Tensor, " n"], limited: Bool[Tensor, " n"],
        learned: Float[Tensor, " l"],
    ) -> Float[Tensor, " n"]:  # fmt: skip
        """Of each pair."""
        del limited, learned
        return (raw[:, 0] - value) ** 2

    def answer(
        self, raw: Float[Tensor, "n k"], learned: Float[Tensor, " l"], limit: float | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """The output."""
        del learned, limit
        return raw[:, 0], None


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """-log P(value), the output being log-odds."""

    kind: ClassVar[str] = "binary"

    def loss(
        self, raw: Float[Tensor, "n k"], value: Float[Tensor, " n"], limited: Bool[Tensor, " n"],
        learned: Float[Tensor, " l"],
    ) -> Float[Tensor, " n"]:  # fmt: skip
        """Of each pair, in nats."""
        del limited, learned
        return functional.binary_cross_entropy_with_logits(raw[:, 0], value, reduction="none")

    def answer(
        self, raw: Float[Tensor, "n k"], learned: Float[Tensor, " l"], limit: float | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """Log-odds."""
        del learned, limit
        return raw[:, 0], None


@dataclass(frozen=True)
class Censored(Loss):
    """Tobit: -log N(value; output, s²), and -log Φ((limit - output) / s) where the value only says "at most the limit".

    Tobin (1958), "Estimation of relationships for limited dependent variables". s is learned. The answer is the
    expectation of what would be recorded, E[max(limit, y)], so that it is comparable with recorded values.
    """

    learned: ClassVar[int] = 1

    def loss(
        self, raw: Float[Tensor, "n k"], value: Float[Tensor, " n"], limited: Bool[Tensor, " n"],
        learned: Float[Tensor, " l"],
    ) -> Float[Tensor, " n"]:  # fmt: skip
        """Of each pair, in nats."""
        z = (value - raw[:, 0]) * torch.exp(-learned[0])
        exact = 0.5 * z**2 + learned[0] + 0.5 * math.log(2 * math.pi)
        return torch.where(limited, -torch.special.log_ndtr(z), exact)

    def answer(
        self, raw: Float[Tensor, "n k"], learned: Float[Tensor, " l"], limit: float | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """Mean and standard deviation of max(limit, y) for y ~ N(output, s²)."""
        mean, s = raw[:, 0], torch.exp(learned[0])
        if limit is None:
            return mean, s.expand_as(mean)
        a = (limit - mean) / s
        above, density = torch.special.ndtr(-a), torch.exp(-0.5 * a**2) / math.sqrt(2 * math.pi)
        excess = s * (density - a * above)  # E[max(y - limit, 0)]
        square = s**2 * ((1 + a**2) * above - a * density)
        return limit + excess, (square - excess**2).clamp(min=0).sqrt()


@dataclass(frozen=True)
class Evidential(Loss):
    """Deep evidential regression: the outputs are a normal-inverse-gamma's (Amini et al. 2020, arXiv:1910.02600).

    -log of the marginal Student-t plus weight x |value - g| (2 v + a). The variance is b / (a - 1) x (1 + 1 / v):
    that of the data and that of the mean.

    Args:
        weight: of the regulariser, the paper's lambda.
    """

    weight: float = 0.01
    outputs: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise SchemaError(f"Evidential: weight={self.weight}; expected a number of at least 0.")

    @staticmethod
    def _parameters(raw: Float[Tensor, "n 4"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        v, a, b = (functional.softplus(raw[:, i]) + 1e-6 for i in (1, 2, 3))
        return raw[:, 0], v, a + 1, b

    def loss(
        self, raw: Float[Tensor, "n k"], value: Float[Tensor, " n"], limited: Bool[Tensor, " n"],
        learned: Float[Tensor, " l"],
    ) -> Float[Tensor, " n"]:  # fmt: skip
        """Of each pair, in nats."""
        del limited, learned
        g, v, a, b = self._parameters(raw)
        omega = 2 * b * (1 + v)
        nll = 0.5 * torch.log(math.pi / v) - a * torch.log(omega)
        nll = nll + (a + 0.5) * torch.log((value - g) ** 2 * v + omega) + torch.lgamma(a) - torch.lgamma(a + 0.5)
        return nll + self.weight * (value - g).abs() * (2 * v + a)

    def answer(
        self, raw: Float[Tensor, "n k"], learned: Float[Tensor, " l"], limit: float | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """Mean, and the square root of both variances."""
        del learned, limit
        g, v, a, b = self._parameters(raw)
        return g, (b / (a - 1) * (1 + 1 / v)).sqrt()
