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
from medgraph.heads.interaction.features import Entities, Features, IdFeatures, JoinedFeatures
from medgraph.heads.interaction.mlp import FingerprintMLP
from medgraph.heads.interaction.molecular_graph import MoleculeEncoder, MoleculeFeatures
from medgraph.heads.interaction.pair_network import JoinedEncoder
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
class KnowledgeDTA(FingerprintMLP):
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

    The other arguments are those of `FingerprintMLP`, but without `ids` unless asked for; `tower` is also the width of
    an atom.

    Raises:
        SchemaError: a parameter out of range; on `fit`: no embedding, or too few matches.
    """

    embedding: Embedding | None = field(default=None, repr=False)
    drug_keys: Mapping[str, str] | None = field(default=None, repr=False)
    target_keys: Mapping[str, str] | None = field(default=None, repr=False)
    min_match: float = 0.2
    graph_dropout: float = 0.1
    structure: Literal["fingerprint", "graph"] = "fingerprint"
    layers: int = 3
    ids: bool = False
    tower: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structure not in ("fingerprint", "graph"):
            raise SchemaError(f"KnowledgeDTA: structure is 'fingerprint' or 'graph', not {self.structure!r}.")
        for name in ("min_match", "graph_dropout"):
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

    def _encoder(self, features: Features) -> nn.Module:
        assert isinstance(features, JoinedFeatures)
        given, *own = features.parts
        assert isinstance(given, VectorFeatures)
        encoders: list[nn.Module] = [_VectorTower(given.width, self.vector_size, self.graph_dropout)]
        if isinstance(own[0], ProjectedFeatures):
            return _Summed([*encoders, super()._encoder(JoinedFeatures(tuple(own)))], [1, len(own)])
        encoders.append(MoleculeEncoder(self.tower, self.layers, self.vector_size, self.tower_dropout))
        if len(own) > 1 and isinstance(own[1], IdFeatures):
            encoders.append(nn.Embedding(len(own[1]) + 1, self.vector_size, padding_idx=0))
        return _Summed(encoders, [part.size for part in features.parts])

    def _identity(self) -> Mapping[str, Any]:
        keys = [sorted((keys or {}).items()) for keys in (self.drug_keys, self.target_keys)]
        vectors = b"" if self.embedding is None else self.embedding.vectors.tobytes()
        return {"embedding": hashlib.sha256(vectors + repr(keys).encode()).hexdigest()}

    def _parameters(self) -> dict[str, Any]:
        left_out = {"embedding", "drug_keys", "target_keys"}
        return {name: value for name, value in super()._parameters().items() if name not in left_out}
