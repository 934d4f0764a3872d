"""Skip-gram against gensim, against autograd, and against itself interrupted."""

from __future__ import annotations

import signal

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.corpus import SequenceCorpus
from medgraph.embeddings.skipgram import GensimBackend, SkipGram, TorchBackend
from medgraph.embeddings.walks import UniformWalks
from medgraph.errors import NotFittedError, SchemaError
from medgraph.training import TrainingInterrupted

SMALL = {"vector_size": 16, "window": 3, "epochs": 2, "device": "cpu", "sample": 0.0}


@pytest.fixture(scope="module")
def planted() -> tuple[KnowledgeGraph, np.ndarray]:
    """Four communities of forty nodes."""
    graph = nx.planted_partition_graph(4, 40, 0.25, 0.02, seed=1)
    source, target = np.array(graph.edges).T
    n = graph.number_of_nodes()
    nodes = pa.table({"id": [f"N:{i}" for i in range(n)], "name": [f"node {i}" for i in range(n)]})
    edge_type = EdgeType("Node", "knows", "Node")
    edges = pa.table({"source": source, "target": target})
    return KnowledgeGraph({"Node": nodes}, {edge_type: edges}, frozenset({edge_type})), np.arange(n) // 40


def accuracy(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Of a logistic regression that has seen five nodes of each community."""
    seen = np.arange(len(labels)) % 40 < 5
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(LogisticRegression(C=10).fit(scaled[seen], labels[seen]).score(scaled[~seen], labels[~seen]))


def test_both_backends_find_planted_communities_equally_well(planted):
    graph, labels = planted
    settings = {**SMALL, "walks": UniformWalks(20, 20), "epochs": 3}
    found = {}
    for backend in (TorchBackend(batch_tokens=2048), GensimBackend(workers=1)):
        scores, losses = [], []
        for seed in range(3):
            model = SkipGram(**settings, seed=seed, backend=backend).fit(graph)
            assert model.embedding_.ids == graph.ids
            scores.append(accuracy(model.embedding_.vectors, labels))
            losses.append([row["loss"] for row in model.history_])
        found[type(backend)] = np.mean(scores)
        assert all(loss[0] > loss[-1] for loss in losses)
    assert min(found.values()) > 0.9
    assert abs(found[TorchBackend] - found[GensimBackend]) < 0.04


def test_one_step_is_the_gradient_of_the_objective():
    """A corpus of one batch: the written-out step against autograd of the formula, with the same pairs and noise."""
    sequences = [["a", "b", "c", "a", "d"], ["e", "b"], ["f"]]
    corpus = SequenceCorpus(sequences)
    backend = TorchBackend(block=4, noise=6, curvature=0.0)
    model = SkipGram(vector_size=8, window=2, shrink_windows=False, sample=0.0, alpha=0.1, negative=3)
    from medgraph.embeddings.skipgram_torch import _SkipGramTask

    counts = torch.tensor([2, 2, 1, 1, 1, 1])
    task = _SkipGramTask(model, backend, corpus, counts, torch.device("cpu"))
    task.module.output.normal_(generator=torch.Generator().manual_seed(1))
    v = task.module.input.detach().clone().requires_grad_()
    u = task.module.output.detach().clone().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        drawn = torch.rand(2, 6, dtype=torch.float64) * task._cumulative[-1]  # two blocks of four
        torch.manual_seed(3)
        reported = task.losses(0, 0.0)["loss"]
    noise = torch.searchsorted(task._cumulative, drawn)
    words = {word: number for number, word in enumerate(corpus.ids)}
    loss, pairs, place = torch.zeros(()), 0, 0
    for sequence in sequences:
        for i, centre in enumerate(sequence):
            for j, context in enumerate(sequence):
                if i != j and abs(i - j) <= 2:
                    here = v[words[centre]]
                    loss = loss - functional.logsigmoid(here @ u[words[context]])
                    against = functional.logsigmoid(-(u[noise[place // 4]] @ here))
                    loss = loss - 3 * against.mean()
                    pairs += 1
            place += 1
    loss.backward()
    assert pairs == 16
    assert reported.item() == pytest.approx(loss.item() / pairs, rel=1e-5)
    torch.testing.assert_close(task.module.input.detach(), v.detach() - 0.1 * v.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(task.module.output.detach(), u.detach() - 0.1 * u.grad, rtol=1e-4, atol=1e-6)


def test_first_vectors_and_noise_are_gensims(planted):
    graph, _ = planted
    model = SkipGram(**{**SMALL, "alpha": 0.0, "min_alpha": 0.0}).fit(graph)
    assert np.abs(model.embedding_.vectors).max() <= 0.5 / 16
    assert not model.context_embedding_.vectors.any()


def test_frequent_ids_are_subsampled_as_in_word2vec():
    """Kept with probability sqrt(sample / share) + sample / share."""
    from medgraph.embeddings.corpus import Stream
    from medgraph.embeddings.skipgram_torch import _SkipGramTask

    corpus = SequenceCorpus([["a"] * 90_000 + ["b"] * 9_000 + ["c"] * 1_000])
    counts = torch.tensor([90_000, 9_000, 1_000])
    task = _SkipGramTask(SkipGram(sample=0.01), TorchBackend(), corpus, counts, torch.device("cpu"))
    stream = corpus.batch(0, 10**6, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = task._subsampled(Stream(stream.tokens, stream.sequences)).tokens.bincount() / counts
    share = counts / counts.sum()
    expected = ((0.01 / share).sqrt() + 0.01 / share).clamp(max=1)
    torch.testing.assert_close(kept, expected, rtol=0.06, atol=0.0)


@pytest.mark.parametrize("at", [3, 8])
def test_an_interrupted_training_resumes_to_the_same_bits(planted, tmp_path, monkeypatch, at):
    graph, _ = planted
    backend = TorchBackend(batch_tokens=512)
    settings = {**SMALL, "sample": 0.01, "walks": UniformWalks(2, 10), "backend": backend}
    whole = SkipGram(**settings).fit(graph)

    from medgraph.embeddings.skipgram_torch import _SkipGramTask

    steps, losses = [], _SkipGramTask.losses

    def interrupting(self, batch, progress):
        steps.append(batch)
        if len(steps) == at:
            signal.raise_signal(signal.SIGINT)
        return losses(self, batch, progress)

    monkeypatch.setattr(_SkipGramTask, "losses", interrupting)
    file = tmp_path / "skipgram.safetensors"
    with pytest.raises(TrainingInterrupted, match="resume=True"):
        SkipGram(**settings).fit(graph, checkpoint=file)
    monkeypatch.undo()
    resumed = SkipGram(**settings).fit(graph, checkpoint=file, resume=True)
    assert (resumed.embedding_.vectors == whole.embedding_.vectors).all()
    assert (resumed.context_embedding_.vectors == whole.context_embedding_.vectors).all()
    assert resumed.history_ == whole.history_
    with pytest.raises(SchemaError, match="window"):
        SkipGram(**{**settings, "window": 4}).fit(graph, checkpoint=file, resume=True)


def test_the_same_seed_gives_the_same_vectors_and_another_seed_others(planted):
    graph, _ = planted
    one, same, other = (SkipGram(**SMALL, seed=seed).fit(graph).embedding_.vectors for seed in (4, 4, 5))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("backend", [TorchBackend(), GensimBackend(workers=1)])
def test_it_fits_sequences_of_ids(backend):
    """Two groups of codes that never share a history; one code below min_count."""
    generator = np.random.default_rng(0)
    groups = [[f"ICD10CM:A{i}" for i in range(10)], [f"ICD10CM:B{i}" for i in range(10)]]
    sequences = (list(generator.choice(groups[row % 2], 12)) for row in range(600))
    rare = [["ICD10CM:Z9", "ICD10CM:A1"]]
    settings = {**SMALL, "min_count": 2, "epochs": 10}
    model = SkipGram(**settings, backend=backend).fit([*sequences, *rare, []])
    emb = model.embedding_
    assert sorted(emb.ids) == sorted(groups[0] + groups[1])
    assert emb.metadata["metrics"]["ids_below_min_count"] == 1
    nearest = {id_ for id_, _ in emb.most_similar("ICD10CM:A3", topn=9)}
    assert nearest == set(groups[0]) - {"ICD10CM:A3"}


def test_sequences_are_cut_into_batches_at_their_ends():
    corpus = SequenceCorpus([["a"] * 5, ["b"] * 3, ["c"] * 25, [], ["d"]])
    sizes = [corpus.batch(i, 10, torch.device("cpu")).tokens.tolist() for i in range(corpus.cut(10))]
    assert sizes == [[0] * 5 + [1] * 3, [2] * 10, [2] * 10, [2] * 5 + [3]]
    assert [len(sequence) for sequence in corpus] == [5, 3, 25, 0, 1]


def test_an_embedding_says_how_it_was_made(planted):
    graph, _ = planted
    model = SkipGram(**SMALL, seed=9).fit(graph)
    metadata = model.embedding_.metadata
    assert metadata["encoder"] == "SkipGram"
    assert metadata["seed"] == 9
    assert metadata["parameters"]["vector_size"] == 16
    assert metadata["graph"]["fingerprint"] == graph.fingerprint


@pytest.mark.parametrize(
    "wrong", [{"vector_size": 0}, {"window": 0}, {"epochs": 0}, {"alpha": 0.01, "min_alpha": 0.1}, {"sample": -1.0}]
)
def test_bad_parameters_are_refused(wrong):
    with pytest.raises(SchemaError, match=next(iter(wrong))):
        SkipGram(**wrong)


def test_what_cannot_be_learned_from_is_refused(planted, tmp_path):
    graph, _ = planted
    with pytest.raises(NotFittedError):
        _ = SkipGram().embedding_
    for data, text in (
        (graph.without({graph.edge_types[0]: None}), "no edges"),
        (["DOID:1", "DOID:2"], "list of ids"),
        ([], "no id"),
    ):
        with pytest.raises(SchemaError, match=text):
            SkipGram().fit(data)
    with pytest.raises(SchemaError, match="min_count=5"):
        SkipGram(min_count=5).fit([["a", "b"]])
    with pytest.raises(SchemaError, match="TorchBackend"):
        SkipGram(backend=GensimBackend()).fit(graph, checkpoint=tmp_path / "x")


@pytest.mark.parametrize("sequences", [[["a", "b"], ["b", "c"], ["c", "a"]], [["a"]], [["a", "a", "a"]]])
def test_a_handful_of_words_will_do(sequences):
    model = SkipGram(vector_size=4, device="cpu").fit(sequences)
    assert np.isfinite(model.embedding_.vectors).all()
