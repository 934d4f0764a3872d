"""What the knowledge graph knows of drug and target, joined to their structure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medgraph.data.affinities import Affinities
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.features import Entities, Features, IdFeatures, JoinedFeatures
from medgraph.heads.interaction.mlp import EntityTower, ProductJoin
from medgraph.heads.interaction.molecular_graph import MoleculeEncoder, MoleculeFeatures
from medgraph.heads.interaction.pair_network import JoinedEncoder, PairNetwork
from medgraph.heads.interaction.projected import ProjectedFeatures, VectorFeatures

__all__ = ["KnowledgeDTA"]


class _Summed(JoinedEncoder):
    """Encoders of one width, added up."""

    def forward(self, *inputs: Tensor) -> Float[Tensor, "m d"]:
        first, *others = self.each(inputs)
        return sum(others, first)


class _VectorTower(nn.Module):
    """A layer over a given vector; the vectors of some entities are hidden while training, so that none is needed."""

    def __init__(self, width: int, size: int, hide: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Linear(size, size))
        self.hide = hide

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.hide:
            x = x * (torch.rand(len(x), 1, device=x.device) >= self.hide)
        found: Tensor = self.layers(x.to(self.layers[0].weight.dtype))  # type: ignore[arg-type]
        return found


@dataclass(eq=False, kw_only=True)
class KnowledgeDTA(InteractionHead):
    """Vectors of drug and target in a knowledge graph, beside fingerprint or molecular graph, and k-mers.

    Each of drug and target is the sum of a layer over its graph vector (zeros and a flag of 0 where it has none), an
    encoder of its structure, and with `ids` a vector of its own; both are joined as in `FingerprintMLP`. The vectors
    are given, and stay as they are. A saved head holds those that were matched, and finds them again by id alone.

    Args:
        embedding: of the graph; none is needed to load a saved head.
        drug_keys: id among the affinities -> id in the embedding; None: they are the same.
        target_keys: likewise.
        min_match: share of training drugs, and of targets, that must have a vector.
        graph_dropout: share of vectors hidden in a training step.
        structure: of drugs: "fingerprint", or "graph", a `MoleculeEncoder` (needs the extra pyg).
        layers: of the molecule's encoder.
        ids: give known drugs and targets vectors of their own.
        id_dropout: share of ids hidden in a training step.
        radius: of the fingerprint.
        k: of the k-mers.
        axes: principal axes that are kept, at most.
        tower: width of the towers' hidden layer, and of an atom.
        tower_dropout: in the towers.
        hidden: of the join.

    The other arguments are those of `InteractionHead`.

    Raises:
        SchemaError: on `fit`: no embedding, or too few matches.
    """

    embedding: Embedding | None = field(default=None, repr=False)
    drug_keys: Mapping[str, str] | None = field(default=None, repr=False)
    target_keys: Mapping[str, str] | None = field(default=None, repr=False)
    min_match: float = 0.2
    graph_dropout: float = 0.1
    structure: Literal["fingerprint", "graph"] = "fingerprint"
    layers: int = 3
    ids: bool = False
    id_dropout: float = 0.0
    vector_size: int = 64
    radius: int = 2
    k: int = 3
    axes: int = 512
    tower: int = 128
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
        if self.structure not in ("fingerprint", "graph"):
            raise SchemaError(f"KnowledgeDTA: structure is 'fingerprint' or 'graph', not {self.structure!r}.")
        for name in ("min_match", "graph_dropout", "id_dropout", "tower_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise SchemaError(f"KnowledgeDTA: {name}={getattr(self, name)}; expected 0 to 1.")

    def _drugs(self, train: Affinities) -> Features:
        entities = Entities.of_table(train.drugs, "smiles")
        structure: Features = MoleculeFeatures()
        if self.structure == "fingerprint":
            structure = ProjectedFeatures.fitted("morgan", self.radius, entities, train.drug, self.axes)
        return self._side("drugs", entities, train.drug, self.drug_keys, structure)

    def _targets(self, train: Affinities) -> Features:
        entities = Entities.of_table(train.targets, "sequence")
        structure = ProjectedFeatures.fitted("kmers", self.k, entities, train.target, self.axes)
        return self._side("targets", entities, train.target, self.target_keys, structure)

    def _side(
        self, what: str, entities: Entities, rows: Any, keys: Mapping[str, str] | None, structure: Features
    ) -> Features:
        if self.embedding is None:
            raise SchemaError("KnowledgeDTA needs embedding=, the vectors of a knowledge graph.")
        given = VectorFeatures.matched(self.embedding, entities, keys, what, self.min_match, rows)
        parts = (given, structure) + ((IdFeatures.fitted(entities, rows),) if self.ids else ())
        return JoinedFeatures(parts)

    def _network(self, drugs: Features, targets: Features, outputs: int) -> PairNetwork:
        join = ProductJoin(self.vector_size, self.vector_size, self.hidden, outputs, self.dropout)
        return PairNetwork(self._encoder(drugs), self._encoder(targets), join)

    def _encoder(self, features: Features) -> nn.Module:
        assert isinstance(features, JoinedFeatures)
        given, structure = features.parts[:2]
        assert isinstance(given, VectorFeatures)
        encoders: list[nn.Module] = [_VectorTower(given.width, self.vector_size, self.graph_dropout)]
        ids = len(features.parts[2]) if len(features.parts) > 2 and isinstance(features.parts[2], IdFeatures) else 0
        if isinstance(structure, ProjectedFeatures):
            encoders.append(
                EntityTower(structure.width, self.tower, self.vector_size, self.tower_dropout, ids, self.id_dropout)
            )
            return _Summed(encoders, [1, 2 if ids else 1])
        encoders.append(MoleculeEncoder(self.tower, self.layers, self.vector_size, self.tower_dropout))
        if ids:
            encoders.append(nn.Embedding(ids + 1, self.vector_size, padding_idx=0))
        return _Summed(encoders, [1, structure.size, 1][: len(encoders)])

    def _identity(self) -> Mapping[str, Any]:
        keys = [sorted((keys or {}).items()) for keys in (self.drug_keys, self.target_keys)]
        vectors = b"" if self.embedding is None else self.embedding.vectors.tobytes()
        return {"embedding": hashlib.sha256(vectors + repr(keys).encode()).hexdigest()}

    def _parameters(self) -> dict[str, Any]:
        left_out = {"embedding", "drug_keys", "target_keys"}
        return {name: value for name, value in super()._parameters().items() if name not in left_out}
