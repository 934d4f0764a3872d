"""Every scorer learns from the links it is given and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.heads.repurposing.baselines import DegreePrior, NearestNeighbour
from medgraph.heads.repurposing.kernels import KroneckerRidge, SharedNeighbours, aligned_weights
from medgraph.heads.repurposing.path_counts import BoostedPathCounts, MetapathCounts
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, cross_fit, log_like
from medgraph.heads.repurposing.similarity import Cosines, best_similarity, neighbour_cosines
from medgraph.heads.repurposing.vectors import VectorKernel, VectorNeighbour, VectorRidge

TREATS = EdgeType("Compound", "treats", "Disease")


@pytest.fixture(scope="module")
def task(planted: KnowledgeGraph) -> LinkTask:
    return LinkTask(planted.without({TREATS: None}), TREATS)


@pytest.fixture(scope="module")
def links(planted: KnowledgeGraph) -> np.ndarray:
    return planted.edge_index(TREATS)


def vectors(planted: KnowledgeGraph) -> Embedding:
    spread = np.eye(5)[[int(i.split(":")[1].removeprefix("DB")) % 5 for i in planted.ids]]
    noise = np.random.default_rng(0).normal(0, 0.3, spread.shape)
    return Embedding.of_graph(planted, (spread + noise).astype(np.float32))


def scorers(planted: KnowledgeGraph) -> list[LinkScorer]:
    return [
        DegreePrior(),
        NearestNeighbour(),
        MetapathCounts(),
        SharedNeighbours(),
        BoostedPathCounts(),
        VectorRidge(vectors(planted)),
        VectorKernel(vectors(planted)),
        VectorNeighbour(vectors(planted)),
    ]


@pytest.mark.parametrize("number", range(8))
def test_held_out_links_are_found_without_being_seen(
    planted: KnowledgeGraph, task: LinkTask, links: np.ndarray, number: int
) -> None:
    scorer = scorers(planted)[number]
    held_out = np.arange(links.shape[1]) % 4 == 0
    scores = scorer.prepare(task).score(links[:, ~held_out])
    assert scores.shape == task.shape
    assert np.isfinite(scores).all()
    answer, seen = task.matrix(links[:, held_out]) > 0, task.matrix(links[:, ~held_out]) > 0
    auroc = roc_auc_score(answer[~seen], scores[~seen])
    assert auroc > (0.45 if isinstance(scorer, DegreePrior) else 0.85)


@pytest.mark.parametrize("number", range(8))
def test_the_same_links_give_the_same_scores(
    planted: KnowledgeGraph, task: LinkTask, links: np.ndarray, number: int
) -> None:
    prepared = scorers(planted)[number].prepare(task)
    first = prepared.score(links[:, ::2])
    prepared.score(links[:, 1::2])
    np.testing.assert_array_equal(prepared.score(links[:, ::2]), first)


def test_a_task_refuses_a_graph_that_holds_the_answers(planted: KnowledgeGraph) -> None:
    with pytest.raises(SchemaError, match="still holds"):
        LinkTask(planted, TREATS)


def test_cross_fitting_hides_every_link_from_its_own_fold(task: LinkTask, links: np.ndarray) -> None:
    seen = []

    class Spy:
        def score(self, given: np.ndarray) -> np.ndarray:
            seen.append(given)
            return task.matrix(given)

    matrices, fold_of = cross_fit(Spy(), task, links, 4)
    own = np.stack(matrices)[fold_of, *np.indices(task.shape)]
    assert (own[links[0], links[1]] == 0).all()
    assert sorted(given.shape[1] for given in seen)[0] >= links.shape[1] * 3 // 4 - 1


def test_cosines_equal_scikit_learn(task: LinkTask) -> None:
    graph = task.graph
    (edge_type,) = [e for e in graph.edge_types if e.relation == "binds"]
    incidence = np.zeros((60, 60))
    incidence[tuple(graph.edge_index(edge_type))] = 1
    expected = cosine_similarity(incidence * np.log1p(60 / np.maximum(incidence.sum(0), 1)))
    np.fill_diagonal(expected, 0)
    found = neighbour_cosines(task, 0, [edge_type])
    np.testing.assert_allclose(found.to(np.arange(60)), expected, atol=1e-12)
    some = np.array([4, 9, 30])
    np.testing.assert_allclose(found._block(some), expected[:, some], atol=1e-12)


def test_best_similarity_by_hand() -> None:
    cosines = Cosines(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    linked = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(best_similarity(cosines, linked), [[0.0, 0], [0.8, 0], [0.0, 0]])


def test_kronecker_ridge_equals_the_full_regression(task: LinkTask, links: np.ndarray) -> None:
    """Against a plain solve of (K_s x K_t + lambda I) alpha = vec(A) on a small corner of the graph."""
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(n, 3)) for n in task.shape]
    unit = [np.abs(x) / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]
    scores = KroneckerRidge(task, [Cosines(unit[0])], [Cosines(unit[1])], ridge=0.7, mixing=0.5).score(links)
    left = unit[0] @ unit[0].T
    right = 0.5 * np.eye(task.shape[1]) + 0.5 * unit[1] @ unit[1].T
    kernel = np.kron(left, right)
    alpha = np.linalg.solve(kernel + 0.7 * np.eye(len(kernel)), task.matrix(links).ravel())
    np.testing.assert_allclose(scores, log_like((kernel @ alpha).reshape(task.shape)), atol=1e-8)


def test_landmarks_approach_the_full_answer(task: LinkTask, links: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SharedNeighbours().prepare(task).score(links)
    monkeypatch.setattr("medgraph.heads.repurposing.kernels.LANDMARKS", 45)
    part = SharedNeighbours().prepare(task).score(links)
    assert np.corrcoef(whole.ravel(), part.ravel())[0, 1] > 0.95


def test_alignment_finds_the_kernel_that_explains_the_links(task: LinkTask, links: np.ndarray) -> None:
    noise = np.random.default_rng(2).random((60, 60))
    useful = np.eye(5)[np.arange(60) % 5]
    weights = aligned_weights(
        [Cosines(noise / np.linalg.norm(noise, axis=1, keepdims=True)), Cosines(useful)], task.matrix(links)
    )
    assert weights[1] > 0.8
    assert weights.sum() == pytest.approx(1)


def test_path_counts_do_not_learn_from_a_links_own_edge(planted: KnowledgeGraph) -> None:
    """Random links have nothing to be learned from: held out ones must stay at chance."""
    task = LinkTask(planted.without(dict.fromkeys(planted.edge_types)), TREATS)
    rng = np.random.default_rng(0)
    cells = rng.choice(60 * 25, 150, replace=False)
    links = np.stack(np.divmod(cells, 25))
    scores = MetapathCounts().prepare(task).score(links[:, :100])
    seen = task.matrix(links[:, :100]) > 0
    answer = task.matrix(links[:, 100:]) > 0
    assert 0.3 < roc_auc_score(answer[~seen], scores[~seen]) < 0.7


def test_bad_parameters_are_refused(task: LinkTask) -> None:
    with pytest.raises(SchemaError, match="one to three"):
        MetapathCounts(max_length=4).prepare(task)
    with pytest.raises(SchemaError, match="ridge > 0"):
        SharedNeighbours(ridge=0.0).prepare(task)
    stranger = Embedding(["X:1"], ["X"], ["x"], np.ones((1, 2), np.float32))
    with pytest.raises(SchemaError, match="no vector for any"):
        VectorRidge(stranger).prepare(task)
