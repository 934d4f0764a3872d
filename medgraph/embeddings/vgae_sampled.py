"""The variational graph autoencoder trained on neighbour samples, so that the graph is never all in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.embeddings.spectral import streamed_spectral_vectors
from medgraph.embeddings.typed_edges import TypedEdges
from medgraph.embeddings.vgae import VGAE, Encoder, gaussian_kl
from medgraph.errors import SchemaError
from medgraph.stores.access import RandomAccess, random_access
from medgraph.stores.base import GraphStore
from medgraph.stores.features import Features, NodeFeatures
from medgraph.stores.sampling import Sample, sample_neighbours
from medgraph.training import History, Task, Trainer, resolve_device
from medgraph.training.rates import set_rate, warmed_cosine

__all__ = ["SampledVGAE"]

ROWS = 4096  # nodes encoded at once when the training is over


@dataclass
class SampledVGAE(VGAE):
    """The VGAE for a graph in a store: each step draws some edges and what sends to their ends, not the whole graph.

    GraphSAGE's sampling (Hamilton et al. 2017, arXiv:1706.02216) under the model of `VGAE`, with the same decoders and
    the same bound, but kl the mean over the nodes of a step. In memory are the node table and a vector for each node;
    edges stay in the store. The edges that a step decodes are held out of its messages here too. The vectors at the end
    come from all neighbours, layer by layer, so for equal weights they are those of the whole graph.

    `layers` is the number of hops in `fan_out`, and `edge_dropout` has no meaning.

    Args:
        fan_out: edges per node and relation in each hop, -1 for all.
        steps: in an epoch.
        batch_size: edges decoded in a step, shared among the edge types as `balance` says.

    Raises:
        SchemaError: a parameter out of range, or a normalisation by the degrees of sources, which no sample shows.
    """

    fan_out: Sequence[int] = (10,)
    steps: int = 20

    def __post_init__(self) -> None:
        self.fan_out = tuple(self.fan_out)
        self.layers = len(self.fan_out)
        super().__post_init__()
        if self.steps < 1 or any(count < -1 for count in self.fan_out):
            raise SchemaError(
                f"SampledVGAE(steps={self.steps}, fan_out={self.fan_out}): expected 1 or more, -1 or more."
            )
        if self.normalisation.source:
            raise SchemaError(f"SampledVGAE: {self.normalisation} needs degrees of sources: set source=0.")

    def fit(
        self,
        graph: KnowledgeGraph | GraphStore,
        features: Features | None = None,
        checkpoint: Path | str | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> Self:
        """Learn a vector for every node of a graph in a store.

        Args:
            graph: a store, or a graph in memory: the result is the same. Held-out links leave it before.
            features: what nodes are known by, fetched for each step: see `NodeFeatures`.
            checkpoint: file to save to after each epoch and at Ctrl-C.
            resume: go on from `checkpoint`.
            progress: show a progress bar if it takes more than two seconds.

        Raises:
            SchemaError: a graph without edges, features that do not fit it, a checkpoint of other settings.
            StoreError: the store failed.
            TrainingInterrupted: Ctrl-C; the message says how to go on.
        """
        with random_access(graph) as access:
            task = _Sampling(self, access, NodeFeatures(access, features), graph.fingerprint)
            trainer = Trainer(
                self.epochs, seed=self.seed, checkpoint=checkpoint, resume=resume, progress=progress, description="VGAE"
            )
            self.history_: History = trainer.run(task)
            task.module.eval()
            with torch.no_grad():
                mean, log_std = task.encode_all()
        nodes = graph.subgraph(edge_types=()) if isinstance(graph, KnowledgeGraph) else graph.read(edge_types=())
        none = pa.table({end: pa.array([], pa.int64()) for end in ("source", "target")})
        schema = access.schema
        hollow = KnowledgeGraph(nodes.nodes, dict.fromkeys(schema.edge_types, none), schema.symmetric, nodes.provenance)
        origin = {"graph": {"fingerprint": graph.fingerprint, "provenance": [vars(one) for one in nodes.provenance]}}
        return self._keep(hollow, task.module, mean, log_std, origin)


class _Sampling(Task):
    """What one step does: draw edges and non-edges, sample what sends to their ends, encode, tell them apart."""

    def __init__(self, model: SampledVGAE, access: RandomAccess, features: NodeFeatures, fingerprint: str) -> None:
        self.model, self.access, self.features = model, access, features
        self.device = resolve_device(model.device)
        schema, generator = access.schema, torch.Generator().manual_seed(model.seed)
        self.edge_types = [
            (number, one, access.num_edges(one) ** model.balance)
            for number, one in enumerate(schema.edge_types)
            if access.num_edges(one)
        ]
        if not self.edge_types:
            raise SchemaError("This graph has no edges to learn from.")
        self.all_edges = sum(access.num_edges(one) for one in schema.edge_types)
        inputs = {
            name: torch.empty(0, features.size(name))
            if name in features
            else torch.from_numpy(
                streamed_spectral_vectors(access, name, model.hidden_size, model.seed) * model.hidden_size**0.5
            )
            for name in schema.node_types
        }
        self.module = Encoder(
            model,
            inputs,
            {name: name in features for name in inputs},
            len(access.relations),
            len(schema.edge_types),
            generator,
        ).to(self.device)
        self.optimiser: torch.optim.Adam = torch.optim.Adam(
            [p for p in self.module.parameters() if p.requires_grad], model.learning_rate
        )
        self.settings = {
            "graph": fingerprint,
            **{name: value for name, value in vars(model).items() if name in model.__dataclass_fields__},
        }

    def batches(self, epoch: int) -> Sequence[tuple[int, int]]:
        """Epoch and step: what the draws of a step follow from."""
        return [(epoch, step) for step in range(self.model.steps)]

    def losses(self, batch: tuple[int, int], progress: float) -> Mapping[str, Tensor]:
        """The negative evidence lower bound and its two terms."""
        model, counts = self.model, self.access.counts
        set_rate(self.optimiser, model.learning_rate * warmed_cosine(progress))
        draws = np.random.default_rng([model.seed, *batch])
        weights = sum(weight for *_, weight in self.edge_types)
        decoded: dict[EdgeType, Int64[np.ndarray, "2 n"]] = {}
        ends: list[tuple[NodeType, Int64[np.ndarray, " n"]]] = []
        for _, one, weight in self.edge_types:
            edges = draws.integers(0, self.access.num_edges(one), math.ceil(model.batch_size * weight / weights))
            pairs = np.stack([self.access.sources(one, edges), self.access.targets(one, edges)])
            other = (2, model.negative * edges.size)
            wrong = draws.integers(0, [[counts[one.source]], [counts[one.target]]], other)
            decoded[one] = pairs
            ends += [(one.source, pairs[0]), (one.target, pairs[1]), (one.source, wrong[0]), (one.target, wrong[1])]
        seeds = {
            name: np.unique(np.concatenate(rows))
            for name in counts
            if (rows := [rows for node_type, rows in ends if node_type == name])
        }
        sample = sample_neighbours(self.access, seeds, model.fan_out, seed=[model.seed, *batch, 1])
        mean, log_std, starts = self.encode(sample, decoded)
        own = np.concatenate([starts[name] + np.arange(rows.size) for name, rows in seeds.items()])
        kl = gaussian_kl(mean[own], log_std[own]).mean()
        z = mean + torch.randn_like(mean) * log_std.exp()
        places = [torch.from_numpy(starts[name] + np.searchsorted(seeds[name], rows)) for name, rows in ends]
        vectors = iter([functional.embedding(place.to(self.device), z) for place in places])
        total = z.new_zeros(())
        for number, _, weight in self.edge_types:
            s, t, other_s, other_t = next(vectors), next(vectors), next(vectors), next(vectors)
            relation, offset = self.module.relations[number], self.module.offsets[number]
            score, repeat = model.decoder.score, model.negative
            right = functional.logsigmoid(score(s, relation, t) + offset).mean()
            wrong_t = functional.logsigmoid(-score(s.repeat(repeat, 1), relation, other_t) - offset).mean()
            wrong_s = functional.logsigmoid(-score(other_s, relation, t.repeat(repeat, 1)) - offset).mean()
            total = total + weight * (right + repeat * (wrong_t + wrong_s))
        reconstruction = total / weights
        beta = model.beta * (min(1.0, progress / model.warm_up) if model.warm_up else 1.0)
        elbo = reconstruction - beta * kl * (sum(counts.values()) / self.all_edges)
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    def encode(
        self, sample: Sample, held_out: Mapping[EdgeType, Int64[np.ndarray, "2 n"]]
    ) -> tuple[Tensor, Tensor, dict[NodeType, int]]:
        """The posterior of a sample's nodes, which holds for its seeds, and where each node type starts."""
        edges, starts = self.messages(sample, held_out)
        x = torch.cat([self.entry(name, rows) for name, rows in sample.nodes.items()])
        for number in range(self.model.layers):
            x = self.module.step(number, x, edges)
        return (*self.module.posterior(x), starts)

    def entry(self, name: NodeType, rows: Int64[np.ndarray, " n"]) -> Tensor:
        """What some nodes of a type enter the first layer with."""
        if name in self.features:
            given = torch.from_numpy(self.features.rows(name, rows).astype(np.float32, copy=False)).to(self.device)
        else:
            given = functional.embedding(torch.from_numpy(rows).to(self.device), self.module.inputs[name])
        entered: Tensor = given @ self.module.entries[name]
        return entered

    def messages(
        self, sample: Sample, held_out: Mapping[EdgeType, Int64[np.ndarray, "2 n"]]
    ) -> tuple[TypedEdges, dict[NodeType, int]]:
        """The sampled edges less those between pairs that are held out, with node types in blocks."""
        sizes = [rows.size for rows in sample.nodes.values()]
        starts = dict(zip(sample.nodes, (np.cumsum(sizes) - sizes).tolist(), strict=True))
        sent = []
        for relation in self.access.relations:
            source, target, _ = sample.edges[relation]
            stored, back = self.access.stored(relation)
            if stored in held_out and source.size:
                pairs = sample.nodes[relation.source][source], sample.nodes[relation.target][target]
                width = self.access.counts[stored.target]
                first, second = held_out[stored]
                kept = ~np.isin(pairs[back] * width + pairs[not back], first * width + second)
                if stored in self.access.schema.symmetric:
                    kept &= ~np.isin(pairs[0] * width + pairs[1], second * width + first)
                source, target = source[kept], target[kept]
            sent.append((starts[relation.source] + source, starts[relation.target] + target))
        types = len(self.access.schema.edge_types)
        edges = TypedEdges.sent(sent, sum(sizes), types, self.model.normalisation)
        return edges.to(self.device), starts

    def encode_all(self) -> tuple[Tensor, Tensor]:
        """The posterior of every node, from all its neighbours: layer by layer, some nodes at a time."""
        pieces = [
            (name, np.arange(start, min(start + ROWS, count)))
            for name, count in self.access.counts.items()
            for start in range(0, count, ROWS)
        ]
        offsets = dict(zip(self.access.counts, np.cumsum([0, *self.access.counts.values()]).tolist(), strict=False))
        x = torch.cat([self.entry(name, rows) for name, rows in pieces])
        for number in range(self.model.layers):
            parts = []
            for name, rows in pieces:
                sample = sample_neighbours(self.access, {name: rows}, (-1,))
                edges, starts = self.messages(sample, {})
                index = np.concatenate([offsets[one] + found for one, found in sample.nodes.items()])
                after = self.module.step(number, x[torch.from_numpy(index).to(self.device)], edges)
                parts.append(after[starts[name] : starts[name] + rows.size])
            x = torch.cat(parts)
        return self.module.posterior(x)
