"""The VGAE: its bound against torch.distributions, its vectors on planted communities, its randomness, its refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from communities import TREATS, communities
from sklearn.metrics import roc_auc_score

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings import vgae as module
from medgraph.embeddings.convolution import BlockDiagonal, Diagonal
from medgraph.embeddings.decoders import Bilinear, ComplEx, DistMult, InnerProduct
from medgraph.embeddings.typed_edges import TypedEdges
from medgraph.embeddings.vgae import VGAE, gaussian_kl
from medgraph.errors import NotFittedError, SchemaError
from medgraph.training import TrainingInterrupted

SMALL = {"vector_size": 16, "hidden_size": 16, "epochs": 60, "learning_rate": 0.02, "device": "cpu"}


@pytest.fixture(scope="module")
def planted() -> tuple[KnowledgeGraph, np.ndarray]:
    return communities()


def test_kl_is_that_of_torch_distributions() -> None:
    mean, log_std = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    posterior = torch.distributions.Normal(mean, log_std.exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, log_std), expected)


def test_the_bound_is_its_two_terms(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    graph, _ = planted
    model = VGAE(**SMALL, beta=0.7, warm_up=0.0).fit(graph)
    for epoch in model.history_:
        kl = 0.7 * epoch["kl"] * graph.num_nodes / graph.num_edges
        assert epoch["elbo"] == pytest.approx(epoch["reconstruction"] - kl, rel=1e-5)
        assert epoch["loss"] == -epoch["elbo"]
        assert epoch["kl"] >= 0
    first, last = (np.mean([e["elbo"] for e in part]) for part in (model.history_[:5], model.history_[-5:]))
    assert last > first
    assert model.history_[-1]["reconstruction"] > 3 * math.log(0.5)  # better than scoring every pair 0


@pytest.mark.parametrize("decoder", [InnerProduct(), DistMult(), ComplEx(), Bilinear()], ids=str)
def test_held_out_edges_of_planted_communities_are_found(
    planted: tuple[KnowledgeGraph, np.ndarray], decoder: object
) -> None:
    graph, likely = planted
    held_out = graph.edge_index(TREATS)[:, ::5]
    scores = VGAE(**SMALL, decoder=decoder).fit(graph.without({TREATS: held_out})).score_all(TREATS)
    known = np.zeros_like(likely)
    known[tuple(graph.edge_index(TREATS))] = True
    truth = np.zeros_like(likely)
    truth[tuple(held_out)] = True
    rest = ~known | truth
    best = roc_auc_score(truth[rest], likely[rest])  # who knows the communities and nothing else
    assert roc_auc_score(truth[rest], scores[rest]) > best - 0.07
    assert best > 0.8


def test_what_has_no_edges_is_uncertain(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    embedding = VGAE(**SMALL).fit(planted[0]).embedding_
    assert embedding.std is not None
    lonely = np.array(embedding.node_types) == "Loner"
    assert embedding.std[lonely].mean() > 1.3 * embedding.std[~lonely].mean()
    assert np.abs(embedding.vectors[lonely]).mean() < 0.5 * np.abs(embedding.vectors[~lonely]).mean()
    assert set(embedding.relations) == {str(t) for t in planted[0].edge_types}


def test_no_edge_is_decoded_from_itself(
    planted: tuple[KnowledgeGraph, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every decoded edge is absent, in both directions, from the messages of its step."""
    kept, decoded = [], []
    masked, embedding = TypedEdges.masked, torch.nn.functional.embedding

    def spy_mask(self: TypedEdges, keep: torch.Tensor) -> TypedEdges:
        kept.append(keep.clone())
        edges = masked(self, keep)
        for relation in edges.relations:
            for segments in (relation.by_target, relation.by_source):
                assert (segments.weight[~keep[segments.edge]] == 0).all()
        return edges

    def spy_embedding(rows: torch.Tensor, *args: torch.Tensor) -> torch.Tensor:
        decoded.append(rows.clone())
        return embedding(rows, *args)

    monkeypatch.setattr(TypedEdges, "masked", spy_mask)
    monkeypatch.setattr(module.functional, "embedding", spy_embedding)
    graph, _ = planted
    VGAE(**{**SMALL, "epochs": 3}).fit(graph)
    triples = graph.triples()
    for keep, rows in zip(kept, decoded, strict=True):
        held = triples[~keep.numpy()]
        assert len(held) == sum(math.ceil(0.5 * graph.edges[t].num_rows) for t in graph.edge_types)
        expected = [part[:, side] for number in range(3) for part in [held[held[:, 1] == number]] for side in (0, 2)]
        parts = torch.split(rows, [n for e in expected[::2] for n in [len(e)] * 4])
        for number in range(3):
            found = torch.stack([parts[4 * number], parts[4 * number + 1]], 1).numpy()
            assert {*map(tuple, found)} == {*map(tuple, held[held[:, 1] == number][:, [0, 2]])}


def test_the_seed_decides(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    options = {**SMALL, "epochs": 5}
    first, second, other = (VGAE(**options, seed=seed).fit(planted[0]) for seed in (1, 1, 2))
    assert np.array_equal(first.embedding_.vectors, second.embedding_.vectors)
    assert np.array_equal(first.embedding_.std, second.embedding_.std)
    assert not np.allclose(first.embedding_.vectors, other.embedding_.vectors)


def test_an_interrupted_run_resumes_to_the_same_bits(
    planted: tuple[KnowledgeGraph, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, _ = planted
    options = {**SMALL, "epochs": 8}
    whole = VGAE(**options).fit(graph)
    losses, calls = module._Fitting.losses, []

    def interrupted(self: module._Fitting, batch: int, progress: float) -> dict[str, torch.Tensor]:
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return losses(self, batch, progress)

    monkeypatch.setattr(module._Fitting, "losses", interrupted)
    with pytest.raises((TrainingInterrupted, KeyboardInterrupt)):
        VGAE(**options).fit(graph, checkpoint=tmp_path / "run")
    resumed = VGAE(**options).fit(graph, checkpoint=tmp_path / "run", resume=True)
    assert np.array_equal(whole.embedding_.vectors, resumed.embedding_.vectors)
    assert whole.history_ == resumed.history_
    with pytest.raises(SchemaError, match="learning_rate"):
        VGAE(**{**options, "learning_rate": 0.5}).fit(graph, checkpoint=tmp_path / "run", resume=True)


def test_features_are_used(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    graph, likely = planted
    communities = likely.argmax(0)
    features = {"Disease": np.eye(60)[communities]}
    options = {**SMALL, "epochs": 10}
    with_features = VGAE(**options).fit(graph, features)
    assert not np.allclose(with_features.embedding_.vectors, VGAE(**options).fit(graph).embedding_.vectors)


def test_layers_and_relation_weights(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    for weights in (BlockDiagonal(4), Diagonal()):
        options = {**SMALL, "epochs": 3, "vector_size": 8}
        assert VGAE(**options, weights=weights, layers=2).fit(planted[0]).embedding_.vectors.shape == (183, 8)


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"Disease": np.zeros((3, 4))}, "one row for each of 40"),
        ({"Disese": np.zeros((40, 4))}, "Nearest: Disease"),
        ({"Disease": np.full((40, 4), np.nan)}, "row 0, is not finite"),
    ],
)
def test_features_that_do_not_fit(
    planted: tuple[KnowledgeGraph, np.ndarray], features: dict[str, np.ndarray], problem: str
) -> None:
    with pytest.raises(SchemaError, match=problem):
        VGAE(**SMALL).fit(planted[0], features)


@pytest.mark.parametrize(
    "options",
    [
        {"vector_size": 0},
        {"edge_dropout": 0.0},
        {"dropout": 1.5},
        {"vector_size": 5, "decoder": ComplEx()},
        {"beta": -1},
    ],
    ids=str,
)
def test_parameters_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(SchemaError):
        VGAE(**options)


def test_before_fit_and_without_edges(planted: tuple[KnowledgeGraph, np.ndarray]) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        VGAE().score_all(TREATS)
    with pytest.raises(SchemaError, match="no edges"):
        VGAE().fit(planted[0].without(dict.fromkeys(planted[0].edge_types)))
