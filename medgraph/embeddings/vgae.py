"""The relational variational graph autoencoder: a graph in, for every node a vector and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.embeddings.convolution import Full, RelationalConvolution, RelationWeights
from medgraph.embeddings.decoders import Decoder, DistMult
from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.spectral import spectral_vectors
from medgraph.embeddings.typed_edges import Normalisation, TypedEdges
from medgraph.errors import NotFittedError, SchemaError
from medgraph.training import History, Task, Trainer, resolve_device
from medgraph.training.rates import set_rate, warmed_cosine

__all__ = ["VGAE", "gaussian_kl"]


def gaussian_kl(mean: Float[Tensor, "n d"], log_std: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """KL(N(μ, diag σ²) || N(0, I)) = Σ_k (μ_k² + σ_k² - 1) / 2 - log σ_k, in nats, for each node."""
    return ((mean**2 + (2 * log_std).exp() - 1) / 2 - log_std).sum(1)


@dataclass
class VGAE:
    """max E_q[log p(A|Z)] - β KL(q(Z|X, A) || N(0, I)): a variational graph autoencoder over typed edges.

    Kipf & Welling 2016 (arXiv:1611.07308) with the relational encoder of Schlichtkrull et al. 2018 (arXiv:1703.06103)
    and a decoder that knows the relations. Where we differ: layers are residual and start near the identity, so that
    training starts at the given features or, without any, at `spectral_vectors`; the edges that a step decodes are held
    out of its messages, so no edge is recovered from itself; an edge type weighs as its number of edges ** `balance`.

    The bound is reported per edge and so is what is maximised:
    elbo = reconstruction - beta · kl · nodes / edges, with the reconstruction the mean log-likelihood of an edge and of
    its `negative` non-edges, which are drawn among pairs of the edge type's own node types, and kl the mean of a node.

    Args:
        vector_size: length of a vector.
        hidden_size: length of a vector inside the encoder.
        layers: of graph convolution, that is, how many steps a message travels.
        decoder: how two vectors score an edge: DistMult(), ComplEx(), Bilinear(), InnerProduct().
        weights: how a layer's relation matrices are parametrised: Full(), Basis(), BlockDiagonal(), Diagonal().
        normalisation: of messages by the degrees of their two ends.
        epochs: how often the whole graph is encoded; each epoch is one step.
        learning_rate: its highest value; it rises over the first tenth of the epochs and falls to zero as a cosine.
        batch_size: largest number of edges of each type decoded in an epoch.
        edge_dropout: largest share of a type's edges held out of the messages, and decoded, in an epoch.
        negative: non-edges per edge and end.
        balance: 1 gives every edge the same weight, 0 every edge type.
        beta: weight of the KL term; 1 is the evidence lower bound.
        warm_up: share of the training over which beta grows from 0.
        dropout: of the vectors that enter a layer.
        device: "auto", "cpu", "cuda".
        seed: of the first weights, the drawn edges and the noise.

    Attributes:
        embedding_: the posterior means, `std` their standard deviations, `relations` the decoder's tensors, flattened.
        history_: `elbo`, `reconstruction`, `kl` of each epoch.

    Raises:
        SchemaError: a parameter out of range.
    """

    vector_size: int = 128
    hidden_size: int = 128
    layers: int = 1
    decoder: Decoder = field(default_factory=DistMult)
    weights: RelationWeights = field(default_factory=Full)
    normalisation: Normalisation = field(default_factory=Normalisation)
    epochs: int = 60
    learning_rate: float = 0.005
    batch_size: int = 2000
    edge_dropout: float = 0.5
    negative: int = 1
    balance: float = 0.5
    beta: float = 1.0
    warm_up: float = 0.3
    dropout: float = 0.1
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("vector_size", "hidden_size", "layers", "epochs", "batch_size", "negative"):
            if getattr(self, name) < 1:
                raise SchemaError(f"VGAE({name}={getattr(self, name)}): must be at least 1.")
        for name in ("edge_dropout", "balance", "warm_up", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise SchemaError(f"VGAE({name}={getattr(self, name)}): expected a share between 0 and 1.")
        if self.edge_dropout == 0 or self.learning_rate <= 0 or self.beta < 0:
            raise SchemaError("VGAE: edge_dropout and learning_rate must be positive, beta at least 0.")
        self.decoder.shape(self.vector_size)

    def fit(
        self,
        graph: KnowledgeGraph,
        features: Mapping[NodeType, Float[np.ndarray, "_ _"]] | None = None,
        checkpoint: Path | str | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> VGAE:
        """Learn a vector for every node of `graph`.

        Args:
            graph: only edges that may be known: held-out links leave it before.
            features: node type -> one row per node. Types without features get learned vectors.
            checkpoint: file to save to after each epoch and at Ctrl-C.
            resume: go on from `checkpoint`; the result is, to the bit on a CPU, that of an uninterrupted run.
            progress: show a progress bar if it takes more than two seconds.

        Raises:
            SchemaError: a graph without edges, features that do not fit it, a checkpoint of other settings.
            TrainingInterrupted: Ctrl-C; the message says how to go on.
        """
        if not graph.num_edges:
            raise SchemaError(f"{graph} has no edges to learn from.")
        given = _checked(graph, features or {})
        device = resolve_device(self.device)
        task = _Fitting(self, graph, given, device)
        trainer = Trainer(
            self.epochs, seed=self.seed, checkpoint=checkpoint, resume=resume, progress=progress, description="VGAE"
        )
        self.history_: History = trainer.run(task)
        task.module.eval()
        with torch.no_grad():
            mean, log_std = task.module.encode(task.edges)
        return self._keep(graph, task.module, mean, log_std)

    def _keep(
        self, graph: KnowledgeGraph, module: Encoder, mean: Tensor, log_std: Tensor, origin: Mapping[str, Any] = {}
    ) -> Self:
        relations = module.relations.detach().flatten(1).cpu().numpy()
        self._graph, self._relations, self._offsets = graph, module.relations.detach().cpu(), module.offsets
        self._embedding = Embedding.of_graph(
            graph,
            mean.cpu().numpy(),
            std=log_std.exp().cpu().numpy(),
            relations={str(edge_type): relations[i] for i, edge_type in enumerate(graph.edge_types)},
            metadata={
                "encoder": type(self).__name__,
                **origin,
                "parameters": {
                    name: value if isinstance(value, int | float | str) else str(value)
                    for name, value in vars(self).items()
                    if name in self.__dataclass_fields__ and name != "seed"
                },
                "seed": self.seed,
                "metrics": self.history_[-1],
            },
        )
        return self

    @property
    def embedding_(self) -> Embedding:
        """The posterior means, with `std` and `relations`. Raises NotFittedError before `fit`."""
        if not hasattr(self, "_embedding"):
            raise NotFittedError("This VGAE has not been fitted: call fit(graph) first.")
        return self._embedding

    def score_all(self, edge_type: EdgeType) -> Float32[np.ndarray, "sources targets"]:
        """The decoder's log-odds of every possible edge of a type, at the posterior means.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: an edge type that the graph does not have.
        """
        embedding = self.embedding_
        number = self._graph.edge_types.index(self._graph.schema.require(edge_type))
        ends = []
        for node_type in (edge_type.source, edge_type.target):
            start = self._graph.offsets[node_type]
            ends.append(torch.tensor(embedding.vectors[start : start + self._graph.nodes[node_type].num_rows]))
        scores = self.decoder.score_all(ends[0], self._relations[number], ends[1])
        result: Float32[np.ndarray, "sources targets"] = (scores + self._offsets[number].item()).numpy()
        return result


def _checked(
    graph: KnowledgeGraph, features: Mapping[NodeType, Float[np.ndarray, "_ _"]]
) -> dict[NodeType, Float32[np.ndarray, "_ _"]]:
    result = {}
    for node_type, given in features.items():
        rows = graph.nodes[graph.schema.require_node_type(node_type)].num_rows
        array = np.asarray(given, dtype=np.float32)
        if array.ndim != 2 or array.shape[0] != rows:
            raise SchemaError(f"features[{node_type!r}] has shape {array.shape}; expected one row for each of {rows}.")
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise SchemaError(f"features[{node_type!r}], row {bad}, is not finite: fill in missing values first.")
        result[node_type] = array
    return result


class Encoder(nn.Module):
    """q(z|X, A), and the decoder's tensors. Nodes by global index, node types in blocks."""

    def __init__(
        self,
        model: VGAE,
        inputs: Mapping[NodeType, Tensor],
        given: Mapping[NodeType, bool],
        relations: int,
        edge_types: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        size = model.hidden_size
        self.dropout = model.dropout
        self.inputs = nn.ParameterDict(
            {name: nn.Parameter(tensor, requires_grad=not given[name]) for name, tensor in inputs.items()}
        )
        self.entries = nn.ParameterDict(
            {name: _orthogonal(tensor.shape[1], size, generator) for name, tensor in inputs.items()}
        )
        self.layers = nn.ModuleList(
            RelationalConvolution(size, size, relations, model.weights, generator) for _ in range(model.layers)
        )
        norms = [nn.LayerNorm(size) for _ in range(model.layers)]
        for norm in norms:
            nn.init.constant_(norm.weight, 0.1)  # so that the layers start near the identity
        self.norms = nn.ModuleList(norms)
        self.mean = nn.Parameter(_orthogonal(size, model.vector_size, generator))
        self.log_std = nn.Linear(size, model.vector_size)
        nn.init.zeros_(self.log_std.weight)
        nn.init.constant_(self.log_std.bias, -1.0)
        self.relations = nn.Parameter(model.decoder.initial(edge_types, model.vector_size, generator))
        self.offsets = nn.Parameter(torch.zeros(edge_types))

    def encode(self, edges: TypedEdges) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation of every node."""
        x = torch.cat([self.inputs[name] @ self.entries[name] for name in self.inputs])
        for number in range(len(self.layers)):
            x = self.step(number, x, edges)
        return self.posterior(x)

    def step(self, number: int, x: Tensor, edges: TypedEdges) -> Tensor:
        """The vectors after one layer."""
        sent = functional.dropout(x, self.dropout, self.training)
        return x + functional.relu(self.norms[number](self.layers[number](sent, edges)))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation, from the vectors after the last layer."""
        return x @ self.mean, self.log_std(x).clamp(-7, 3)


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)


class _Fitting(Task):
    """What one epoch does: encode the graph less some edges of every type, then tell these from non-edges."""

    def __init__(
        self,
        model: VGAE,
        graph: KnowledgeGraph,
        given: Mapping[NodeType, Float32[np.ndarray, "_ _"]],
        device: torch.device,
    ) -> None:
        self.model = model
        triples = graph.triples()
        symmetric = [number for number, edge_type in enumerate(graph.edge_types) if edge_type in graph.symmetric]
        edges = TypedEdges(triples, graph.num_nodes, len(graph.edge_types), symmetric, model.normalisation)
        self.edges = edges.to(device)
        inputs = {}
        if len(given) < len(graph.nodes):
            start = spectral_vectors(graph, model.hidden_size, model.seed) * model.hidden_size**0.5
        for name in graph.node_types:
            own = slice(graph.offsets[name], graph.offsets[name] + graph.nodes[name].num_rows)
            inputs[name] = torch.from_numpy(given[name] if name in given else start[own].copy())
        self.module = Encoder(
            model,
            inputs,
            {name: name in given for name in inputs},
            len(edges),
            len(graph.edge_types),
            torch.Generator().manual_seed(model.seed),
        ).to(device)
        self.optimiser: torch.optim.Adam = torch.optim.Adam(
            [p for p in self.module.parameters() if p.requires_grad], model.learning_rate
        )
        self.triples = torch.from_numpy(triples).to(device)
        bounds = np.searchsorted(triples[:, 1], np.arange(len(graph.edge_types) + 1))
        self.types = [
            (number, int(start), int(stop), graph.offsets[t.source], graph.nodes[t.source].num_rows,
             graph.offsets[t.target], graph.nodes[t.target].num_rows)
            for number, (t, start, stop) in enumerate(zip(graph.edge_types, bounds[:-1], bounds[1:], strict=True))
            if stop > start
        ]  # fmt: skip
        self.kl_scale = graph.num_nodes / len(triples)
        self.settings = {
            "graph": graph.fingerprint,
            **{name: value for name, value in vars(model).items() if name in model.__dataclass_fields__},
        }

    def batches(self, epoch: int) -> Sequence[int]:
        """One step."""
        return [epoch]

    def losses(self, batch: int, progress: float) -> Mapping[str, Tensor]:
        """The negative evidence lower bound and its two terms."""
        del batch  # there is one
        model, device = self.model, self.triples.device
        set_rate(self.optimiser, model.learning_rate * warmed_cosine(progress))
        keep = torch.ones(len(self.triples), dtype=torch.bool, device=device)
        drawn, rows = [], []
        for _, start, stop, source, sources, target, targets in self.types:
            count = min(model.batch_size, math.ceil(model.edge_dropout * (stop - start)))
            edges = start + torch.randperm(stop - start, device=device)[:count]
            keep[edges] = False
            other = (model.negative * count,)
            drawn.append(count)
            rows += [
                self.triples[edges, 0],
                self.triples[edges, 2],
                source + torch.randint(sources, other, device=device),
                target + torch.randint(targets, other, device=device),
            ]
        mean, log_std = self.module.encode(self.edges.masked(keep))
        z = mean + torch.randn_like(mean) * log_std.exp()
        # embedding() rather than z[rows]: its gradient is summed in one order whatever the thread count
        ends = iter(torch.split(functional.embedding(torch.cat(rows), z), [len(r) for r in rows]))
        total, weights = z.new_zeros(()), 0.0
        for number, start, stop, *_ in self.types:
            s, t, other_s, other_t = next(ends), next(ends), next(ends), next(ends)
            relation, offset = self.module.relations[number], self.module.offsets[number]
            score = model.decoder.score
            repeat = model.negative
            positive = functional.logsigmoid(score(s, relation, t) + offset).mean()
            wrong_t = functional.logsigmoid(-score(s.repeat(repeat, 1), relation, other_t) - offset).mean()
            wrong_s = functional.logsigmoid(-score(other_s, relation, t.repeat(repeat, 1)) - offset).mean()
            weight = float(stop - start) ** model.balance
            total = total + weight * (positive + repeat * (wrong_t + wrong_s))
            weights += weight
        reconstruction = total / weights
        kl = gaussian_kl(mean, log_std).mean()
        beta = model.beta * (min(1.0, progress / model.warm_up) if model.warm_up else 1.0)
        elbo = reconstruction - beta * kl * self.kl_scale
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}
