"""Relations among nodes of one type: the two ends cannot be told apart, so a link must not tell of its own reverse."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.evaluation.splits import split_edges
from medgraph.explain.paths import explain_paths
from medgraph.heads.repurposing.predictor import LinkPredictor
from medgraph.heads.repurposing.scorer import LinkTask, cross_fit

INTERACTS = EdgeType("Gene", "interacts", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")


def graph_of(symmetric: bool) -> KnowledgeGraph:
    """Genes of one group interact; declared symmetric and stored once, or stored both ways and not declared."""
    rng = np.random.default_rng(0)
    genes, diseases = np.arange(40) % 4, np.arange(20) % 4
    inside = genes[:, None] == genes[None]
    pairs = np.stack(np.nonzero(np.triu(rng.random((40, 40)) < np.where(inside, 0.6, 0.03), 1)))
    source, target = np.nonzero(rng.random((20, 40)) < np.where(diseases[:, None] == genes[None], 0.5, 0.03))
    stored = pairs if symmetric else np.concatenate([pairs, pairs[::-1]], axis=1)
    return KnowledgeGraph(
        {
            name: pa.table({"id": [f"{name}:{i}" for i in range(n)], "name": [""] * n})
            for name, n in (("Gene", 40), ("Disease", 20))
        },
        {
            INTERACTS: pa.table({"source": stored[0], "target": stored[1]}),
            ASSOCIATES: pa.table({"source": source, "target": target}),
        },
        frozenset([INTERACTS] if symmetric else []),
    )


def test_a_symmetric_relation_has_one_score_a_pair() -> None:
    graph = graph_of(symmetric=True)
    model = LinkPredictor(relation=INTERACTS, folds=3).fit(split_edges(graph, INTERACTS, fractions=(0.6, 0.2, 0.2)))
    np.testing.assert_allclose(model.score_matrix(), model.score_matrix().T)
    assert model.evaluate(n_bootstrap=10).metrics["pairs"]["AUROC"] > 0.75
    assert "Gene:3" not in {c.id for c in model.rank("Gene:3", topn=100)}


def test_a_symmetric_link_that_is_stored_both_ways_counts_once() -> None:
    once = graph_of(symmetric=True)
    source, target = once.edge_index(INTERACTS)
    both = pa.table({"source": np.append(source, target[:30]), "target": np.append(target, source[:30])})
    twice = KnowledgeGraph(once.nodes, {**once.edges, INTERACTS: both}, once.symmetric)
    models = [LinkPredictor(relation=INTERACTS, folds=3).fit(graph) for graph in (once, twice)]
    np.testing.assert_array_equal(models[0].score_matrix(), models[1].score_matrix())


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_link_and_its_reverse_share_a_fold(symmetric: bool) -> None:
    graph = graph_of(symmetric)
    links, seen = graph.edge_index(INTERACTS), []

    class Spy:
        def score(self, links: np.ndarray) -> np.ndarray:
            seen.append({*map(tuple, links.T.tolist()), *map(tuple, links[::-1].T.tolist())})
            return np.zeros((40, 40))

    task = LinkTask(graph.without({INTERACTS: None}), INTERACTS)
    _, fold_of = cross_fit(Spy(), task, links, 4)
    np.testing.assert_array_equal(fold_of, fold_of.T)
    for source, target in links.T.tolist():
        assert (source, target) not in seen[fold_of[source, target]]
    assert sum(map(len, seen)) == 3 * 2 * links.shape[1] // (1 if symmetric else 2)


def test_a_node_and_itself_are_no_pair_unless_one_is_linked_to_itself() -> None:
    graph = graph_of(symmetric=True)
    task = LinkTask(graph.without({INTERACTS: None}), INTERACTS)
    assert not task.unlinked(np.array([[0], [1]])).diagonal().any()
    assert task.unlinked(np.array([[0, 2], [1, 2]])).diagonal().sum() == 39


def test_a_pair_may_be_explained_from_either_end() -> None:
    graph = graph_of(symmetric=True)
    model = LinkPredictor(relation=ASSOCIATES, folds=3).fit(graph)
    there = explain_paths(graph, "Disease:1", "Gene:35", predictor=model, check=0)
    back = explain_paths(graph, "Gene:35", "Disease:1", predictor=model, check=0)
    assert there.log_odds == back.log_odds is not None
    with pytest.raises(SchemaError, match="are no Disease and Gene"):
        model.log_odds(graph, "Gene:3", "Gene:4")


def test_a_relation_without_an_open_pair_is_refused() -> None:
    graph = graph_of(symmetric=True)
    every = np.stack(np.divmod(np.arange(800), 40))
    full = KnowledgeGraph(graph.nodes, {ASSOCIATES: pa.table({"source": every[0], "target": every[1]})})
    with pytest.raises(SchemaError, match="Every pair is linked"):
        LinkPredictor(relation=ASSOCIATES, folds=3).fit(full)
