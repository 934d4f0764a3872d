"""Fingerprint and k-mers through a perceptron, with or without ids: strong where drug and target are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medgraph.data.affinities import Affinities
from medgraph.errors import SchemaError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.features import Entities, Features, IdFeatures, JoinedFeatures
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.heads.interaction.projected import ProjectedFeatures

__all__ = ["EntityTower", "FingerprintMLP", "ProductJoin"]


class EntityTower(nn.Module):
    """w2 relu(w1 x) + the id's own vector, if ids are given; that of an unknown id is nought.

    Args:
        width: of x.
        hidden: of the layer between.
        size: of what comes out.
        dropout: after the hidden layer.
        ids: how many there are; 0 for none.
        id_dropout: share of entities whose id is hidden in a training step, so that structure must carry them too.
    """

    def __init__(self, width: int, hidden: int, size: int, dropout: float, ids: int, id_dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, size)
        )  # fmt: skip
        self.own = nn.Embedding(ids + 1, size, padding_idx=0) if ids else None
        if self.own is not None:
            nn.init.normal_(self.own.weight, std=0.1)
            with torch.no_grad():
                self.own.weight[0] = 0
        self.id_dropout = id_dropout

    def forward(self, x: Float[Tensor, "m w"], number: Int[Tensor, " m"] | None = None) -> Float[Tensor, "m d"]:
        """One row an entity."""
        found: Tensor = self.layers(x.to(self.layers[0].weight.dtype))  # type: ignore[arg-type]
        if self.own is None or number is None:
            return found
        if self.training and self.id_dropout:
            number = torch.where(torch.rand(number.shape, device=number.device) < self.id_dropout, 0, number)
        own: Tensor = self.own(number)
        return found + own


class ProductJoin(nn.Module):
    """perceptron(A d + B t + C (d * t)) + u . d + v . t: sums and products of drug and target.

    Args:
        drug: width of d.
        target: width of t; the same.
        hidden: of the layers.
        outputs: numbers a pair.
        dropout: between layers.
    """

    def __init__(self, drug: int, target: int, hidden: tuple[int, ...], outputs: int, dropout: float) -> None:
        super().__init__()
        if drug != target:
            raise SchemaError(f"A product of vectors of {drug} and {target} numbers cannot be taken.")
        self.drug, self.target = nn.Linear(drug, hidden[0]), nn.Linear(target, hidden[0], bias=False)
        self.product = nn.Linear(drug, hidden[0], bias=False)
        layers: list[nn.Module] = []
        for width, size in zip(hidden, (*hidden[1:], outputs), strict=True):
            layers += [nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, size)]
        self.layers = nn.Sequential(*layers)
        self.sides = nn.ModuleList([nn.Linear(drug, outputs, bias=False), nn.Linear(target, outputs, bias=False)])

    def forward(self, drugs: Float[Tensor, "n d"], targets: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Row-wise."""
        joined = self.drug(drugs) + self.target(targets) + self.product(drugs * targets)
        found: Tensor = self.layers(joined)
        sides: Tensor = self.sides[0](drugs) + self.sides[1](targets)
        return found + sides


@dataclass(eq=False, kw_only=True)
class FingerprintMLP(InteractionHead):
    """Counts of circular fingerprints (Rogers & Hahn 2010) and of k-mers, each through a tower, joined by a perceptron.

    With `ids` each known drug and target also has a vector of its own, which says what structure does not, such as
    which mutant of one sequence this is. Ids help on known drugs and targets, and hurt on new ones: for those, say
    ids=False, or hide them often (`id_dropout`).

    Args:
        ids: give known drugs and targets vectors of their own.
        id_dropout: share of ids hidden in a training step.
        radius: of the fingerprint.
        k: of the k-mers.
        axes: principal axes of fingerprints and of k-mers that are kept, at most.
        tower: width of the towers' hidden layer.
        tower_dropout: in the towers; `dropout` is that of the join.
        hidden: of the join.

    The other arguments are those of `InteractionHead`; `vector_size` is the width of a drug's and a target's vector.
    """

    vector_size: int = 64
    ids: bool = True
    id_dropout: float = 0.0
    radius: int = 2
    k: int = 3
    axes: int = 512
    tower: int = 256
    tower_dropout: float = 0.1
    hidden: tuple[int, ...] = (256, 128)
    dropout: float = 0.4
    epochs: int = 60
    patience: int = 60
    batch_size: int = 512
    block: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    decay: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)
        if not self.hidden or min(self.hidden) < 1 or min(self.k, self.axes, self.tower) < 1 or self.radius < 0:
            raise SchemaError(
                f"{type(self).__name__}: hidden={self.hidden}, k={self.k}, axes={self.axes}, tower={self.tower}, "
                f"radius={self.radius}; expected at least 1 (radius: 0)."
            )
        for name in ("id_dropout", "tower_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise SchemaError(f"{type(self).__name__}: {name}={getattr(self, name)}; expected 0 to below 1.")

    def _drugs(self, train: Affinities) -> Features:
        entities = Entities.of_table(train.drugs, "smiles")
        found = ProjectedFeatures.fitted("morgan", self.radius, entities, train.drug, self.axes)
        return JoinedFeatures((found, IdFeatures.fitted(entities, train.drug))) if self.ids else found

    def _targets(self, train: Affinities) -> Features:
        entities = Entities.of_table(train.targets, "sequence")
        found = ProjectedFeatures.fitted("kmers", self.k, entities, train.target, self.axes)
        return JoinedFeatures((found, IdFeatures.fitted(entities, train.target))) if self.ids else found

    def _network(self, drugs: Features, targets: Features, outputs: int) -> PairNetwork:
        join = ProductJoin(self.vector_size, self.vector_size, self.hidden, outputs, self.dropout)
        return PairNetwork(self._encoder(drugs), self._encoder(targets), join)

    def _encoder(self, features: Features) -> nn.Module:
        parts = features.parts if isinstance(features, JoinedFeatures) else (features,)
        assert isinstance(parts[0], ProjectedFeatures)
        ids = len(parts[1]) if len(parts) > 1 and isinstance(parts[1], IdFeatures) else 0
        return EntityTower(
            parts[0].width, self.tower, self.vector_size, self.tower_dropout, ids, self.id_dropout
        )  # fmt: skip
