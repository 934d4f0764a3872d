"""The sampled VGAE: the same from every store, exact where nothing is left out, and better than what it must beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from communities import INTERACTS, TREATS, communities
from sklearn.metrics import roc_auc_score

from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings import spectral
from medgraph.embeddings.typed_edges import Normalisation, TypedEdges
from medgraph.embeddings.vgae import VGAE
from medgraph.embeddings.vgae_sampled import SampledVGAE, _Sampling
from medgraph.errors import SchemaError
from medgraph.stores import open_store
from medgraph.stores.access import MemoryAccess
from medgraph.stores.features import NodeFeatures
from medgraph.stores.sampling import sample_neighbours
from medgraph.training import TrainingInterrupted

SMALL = {
    "vector_size": 16,
    "hidden_size": 16,
    "epochs": 10,
    "steps": 8,
    "batch_size": 300,
    "fan_out": (8,),
    "learning_rate": 0.02,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def planted() -> tuple[KnowledgeGraph, np.ndarray, np.ndarray]:
    """A graph of four communities less every fifth treats-edge; those; and which pairs share a community."""
    graph, likely = communities(weighted=True)
    held_out = graph.edge_index(TREATS)[:, ::5]
    return graph.without({TREATS: held_out}), held_out, likely


@pytest.mark.parametrize("address", ["folder", pytest.param("server", marks=pytest.mark.neo4j)])
def test_trained_from_a_store_it_is_the_one_trained_from_memory(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray],
    address: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    graph = planted[0]
    model = {**SMALL, "epochs": 2, "steps": 3, "fan_out": (5, 3)}
    features = {"Disease": np.random.default_rng(0).normal(size=(40, 6)), "Gene": ["weight"]}
    memory = SampledVGAE(**model).fit(graph, features)
    with open_store(tmp_path / "graph" if address == "folder" else request.getfixturevalue("emptied_neo4j")) as store:
        store.write(graph)
        stored = SampledVGAE(**model).fit(store, features)
    assert list(stored.history_) == list(memory.history_)
    np.testing.assert_array_equal(stored.embedding_.vectors, memory.embedding_.vectors)
    np.testing.assert_array_equal(stored.embedding_.std, memory.embedding_.std)
    np.testing.assert_array_equal(stored.score_all(TREATS), memory.score_all(TREATS))
    assert stored.embedding_.ids == graph.ids
    assert stored.embedding_.metadata["graph"]["fingerprint"] == graph.fingerprint
    assert stored.embedding_.metadata["encoder"] == "SampledVGAE"


def test_held_out_edges_are_found_better_than_untrained_by_degree_and_nearly_as_by_the_whole_graph(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    graph, held_out, likely = planted
    truth, known = np.zeros_like(likely), np.zeros_like(likely)
    truth[tuple(held_out)], known[tuple(graph.edge_index(TREATS))] = True, True
    rest = ~known

    def area(scores: np.ndarray) -> float:
        return float(roc_auc_score(truth[rest], scores[rest]))

    with open_store(tmp_path / "graph") as store:
        store.write(graph)
        trained = area(SampledVGAE(**SMALL).fit(store).score_all(TREATS))
        untrained = area(
            SampledVGAE(**{**SMALL, "epochs": 1, "steps": 1, "learning_rate": 1e-9}).fit(store).score_all(TREATS)
        )
    out, into = graph.degrees(TREATS)
    whole = {name: value for name, value in SMALL.items() if name not in {"steps", "fan_out", "batch_size"}}
    assert trained > area(out[:, None] * into) + 0.15
    assert trained > untrained + 0.15
    assert trained > area(VGAE(**{**whole, "epochs": 60}).fit(graph).score_all(TREATS)) - 0.05
    assert trained > area(likely) - 0.07  # who knows the communities and nothing else


def _task(graph: KnowledgeGraph, **settings: object) -> _Sampling:
    access = MemoryAccess(graph)
    return _Sampling(SampledVGAE(**{**SMALL, **settings}), access, NodeFeatures(access), graph.fingerprint)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_with_all_neighbours_the_seeds_are_encoded_as_in_the_whole_graph(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray], hops: int
) -> None:
    graph = planted[0]
    task = _task(graph, fan_out=(-1,) * hops)
    task.module.eval()
    with torch.no_grad():
        edges = TypedEdges(graph.triples(), graph.num_nodes, 3, [graph.edge_types.index(INTERACTS)])
        mean, log_std = task.module.encode(edges)
        everywhere = task.encode_all()
        seeds = {"Disease": np.array([7, 2]), "Gene": np.array([0, 79]), "Loner": np.array([1])}
        sample = sample_neighbours(task.access, seeds, (-1,) * hops)
        part, part_std, starts = task.encode(sample, {})
    torch.testing.assert_close(everywhere, (mean, log_std), rtol=1e-5, atol=1e-5)
    for name, rows in seeds.items():
        whole = graph.offsets[name] + rows
        here = slice(starts[name], starts[name] + rows.size)
        torch.testing.assert_close(part[here], mean[whole], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(part_std[here], log_std[whole], rtol=1e-5, atol=1e-5)


def test_no_edge_is_decoded_from_itself(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a decoded edge nor another between the same two nodes under its type is among a step's messages."""
    task = _task(planted[0], batch_size=60, fan_out=(-1,))
    sent = {}
    messages, made = _Sampling.messages, TypedEdges.sent

    def spy_sent(relations: list, *args: object) -> TypedEdges:
        sent["relations"] = relations
        return made(relations, *args)

    def spy(self: _Sampling, sample: object, held_out: dict) -> object:
        result = messages(self, sample, held_out)
        starts, checked = result[1], 0
        for relation, (source, target) in zip(self.access.relations, sent["relations"], strict=True):
            stored, back = self.access.stored(relation)
            rows = [
                sample.nodes[name][ends - starts[name]]
                for name, ends in ((relation.source, source), (relation.target, target))
            ]
            messages_ = set(zip(*(one.tolist() for one in (rows[::-1] if back else rows)), strict=True))
            decoded = set(map(tuple, held_out[stored].T.tolist()))
            if stored == INTERACTS:
                decoded |= {(b, a) for a, b in decoded}
            assert decoded
            assert not messages_ & decoded
            checked += len(messages_)
        assert checked
        return result

    monkeypatch.setattr(TypedEdges, "sent", spy_sent)
    monkeypatch.setattr(_Sampling, "messages", spy)
    task.losses((0, 0), 0.0)
    assert sent


def test_resumed_it_is_the_uninterrupted_one(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = planted[0]
    settings = {**SMALL, "epochs": 3, "steps": 4}
    whole = SampledVGAE(**settings).fit(graph)
    losses, calls = _Sampling.losses, []

    def interrupted(self: _Sampling, batch: tuple[int, int], progress: float) -> object:
        calls.append(batch)
        if len(calls) == 6:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)
        return losses(self, batch, progress)

    monkeypatch.setattr(_Sampling, "losses", interrupted)
    with pytest.raises(TrainingInterrupted):
        SampledVGAE(**settings).fit(graph, checkpoint=tmp_path / "run")
    monkeypatch.undo()
    resumed = SampledVGAE(**settings).fit(graph, checkpoint=tmp_path / "run", resume=True)
    assert list(resumed.history_) == list(whole.history_)
    np.testing.assert_array_equal(resumed.embedding_.vectors, whole.embedding_.vectors)


@pytest.mark.parametrize(
    "given", [{"steps": 0}, {"fan_out": (-2,)}, {"fan_out": ()}, {"normalisation": Normalisation(0.5, 0.5)}]
)
def test_parameters_out_of_range_are_refused(given: dict) -> None:
    with pytest.raises(SchemaError):
        SampledVGAE(**given)


def test_a_graph_without_edges_is_refused(planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray]) -> None:
    graph = planted[0]
    with pytest.raises(SchemaError, match="no edges"):
        SampledVGAE(**SMALL).fit(graph.without(dict.fromkeys(graph.edge_types)))


def test_streamed_spectral_vectors_span_what_those_of_the_whole_graph_do(
    planted: tuple[KnowledgeGraph, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = planted[0]
    whole = spectral.spectral_vectors(graph, 40)
    monkeypatch.setattr(spectral, "_EDGES", 50)
    for name, table in graph.nodes.items():
        streamed = spectral.streamed_spectral_vectors(MemoryAccess(graph), name, 40)
        own = whole[graph.offsets[name] : graph.offsets[name] + table.num_rows]
        np.testing.assert_allclose(streamed @ streamed.T, own @ own.T, atol=0.05)
        np.testing.assert_allclose(np.linalg.norm(streamed, axis=0), np.linalg.norm(own, axis=0), rtol=0.01, atol=1e-3)
