"""No held-out link, nor its inverse, symmetric or near-synonym twin, is in what a model may learn from.

A model's own test stands below the split's: it is trained on `split.graph` and must not change when the held-out links
of the whole graph do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import medgraph as mg
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.evaluation.splits import EdgeSplit, split_edges
from medgraph.heads.repurposing.scorer import LinkScorer

TREATS = EdgeType("Compound", "treats", "Disease")
PALLIATES = EdgeType("Compound", "palliates", "Disease")
TREATED_BY = EdgeType("Disease", "treated_by", "Compound")
RESEMBLES = EdgeType("Compound", "resembles", "Compound")
INTERACTS = EdgeType("Compound", "interacts", "Compound")
SIMILAR_TO = EdgeType("Compound", "similar_to", "Compound")
SIZES = {"Compound": 40, "Disease": 30}


@pytest.fixture(scope="module")
def leaky() -> KnowledgeGraph:
    """Every link stands once more as its inverse, as a duplicate or under a relation of nearly the same meaning."""
    rng = np.random.default_rng(0)
    treats = np.unique(np.stack([rng.integers(40, size=200), rng.integers(30, size=200)]), axis=1)
    among = rng.integers(40, size=(2, 150))
    among = np.unique(np.sort(among[:, among[0] != among[1]], axis=0), axis=1)
    edges = {
        TREATS: np.concatenate([treats, treats[:, :20]], axis=1),
        PALLIATES: treats[:, ::2],
        TREATED_BY: treats[::-1],
        RESEMBLES: among,  # symmetric, stored once
        INTERACTS: np.concatenate([among, among[::-1]], axis=1),  # symmetric in truth, stored both ways, not declared
        SIMILAR_TO: among[::-1],  # RESEMBLES under another name, and swapped
    }
    return KnowledgeGraph(
        {t: pa.table({"id": [f"{t}:{i}" for i in range(n)], "name": [""] * n}) for t, n in SIZES.items()},
        {t: pa.table({"source": pairs[0], "target": pairs[1]}) for t, pairs in edges.items()},
        frozenset([RESEMBLES]),
    )


def stored(graph: KnowledgeGraph, *edge_types: EdgeType) -> set[tuple[str, str]]:
    """Linked pairs of ids, both ways round."""
    found = set()
    for edge_type in edge_types:
        source, target = graph.edge_index(edge_type)
        ids = [[graph.ids[graph.offsets[end] + i] for i in rows] for end, rows in
               ((edge_type.source, source.tolist()), (edge_type.target, target.tolist()))]  # fmt: skip
        found |= set(zip(*ids, strict=True)) | set(zip(*ids[::-1], strict=True))
    return found


def held_out(split: EdgeSplit) -> set[tuple[str, str]]:
    """Held-out pairs of ids, as the edge type has them."""
    source, target = np.concatenate([split.valid, split.test], axis=1)
    graph, (a, _, b) = split.graph, split.edge_type
    return {
        (graph.ids[graph.offsets[a] + s], graph.ids[graph.offsets[b] + t]) for s, t in zip(source, target, strict=True)
    }


WAYS = ["edge", "source", "target", "area"]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_held_out_links_and_their_inverses_are_gone(leaky: KnowledgeGraph, by: str, seed: int) -> None:
    areas = {f"Disease:{i}": f"area {i % 12}" for i in range(30)} if by == "area" else None
    split = split_edges(leaky, TREATS, by=by, seed=seed, areas=areas, also_remove=[PALLIATES])
    assert len(held_out(split)) == split.report.held_out > 0
    assert not held_out(split) & stored(split.graph, TREATS, TREATED_BY, PALLIATES)
    assert stored(split.graph, TREATS) == stored(leaky, TREATS) - held_out(split) - {p[::-1] for p in held_out(split)}
    kept = split_edges(leaky, TREATS, by=by, seed=seed, areas=areas)
    assert len(held_out(kept) & stored(kept.graph, PALLIATES)) == kept.report.same_pair[PALLIATES] > 0


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("edge_type", [RESEMBLES, INTERACTS])
def test_symmetric_twins_are_gone_declared_or_not(leaky: KnowledgeGraph, edge_type: EdgeType, by: str) -> None:
    areas = {f"Compound:{i}": f"area {i % 20}" for i in range(40)} if by == "area" else None
    others = [t for t in (RESEMBLES, INTERACTS, SIMILAR_TO) if t != edge_type]
    split = split_edges(leaky, edge_type, by=by, areas=areas, also_remove=others)
    assert held_out(split)
    assert not held_out(split) & stored(split.graph, RESEMBLES, INTERACTS, SIMILAR_TO)


def test_the_whole_graph_is_not_reachable_from_the_split(leaky: KnowledgeGraph) -> None:
    split = split_edges(leaky, TREATS)
    graphs = [value for value in vars(split).values() if isinstance(value, KnowledgeGraph)]
    assert graphs == [split.graph]
    assert split.graph is not leaky


# Models ------------------------------------------------------------------------------------------------------------


def scrambled(graph: KnowledgeGraph, split: EdgeSplit) -> KnowledgeGraph:
    """The same training links, and in place of each held-out one some other pair, with its twins nowhere."""
    rng = np.random.default_rng(1)
    free = np.argwhere(~split.known())
    fake = free[rng.choice(len(free), split.report.held_out, replace=False)].T
    links = np.concatenate([split.train, fake], axis=1)
    table = pa.table({"source": links[0], "target": links[1]})
    return KnowledgeGraph(graph.nodes, {**graph.edges, TREATS: table}, graph.symmetric)


def embedded(graph: KnowledgeGraph, encoder: str) -> np.ndarray:
    if encoder == "SkipGram":
        walks = mg.UniformWalks(walks_per_node=2, length=8)
        return mg.SkipGram(vector_size=8, walks=walks, device="cpu").fit(graph).embedding_.vectors
    return mg.VGAE(vector_size=8, hidden_size=8, epochs=2, device="cpu").fit(graph).embedding_.vectors


@pytest.fixture(scope="module")
def rich() -> KnowledgeGraph:
    """Enough besides the links to learn from: targets and disease genes."""
    rng = np.random.default_rng(3)
    sizes = {"Compound": 40, "Disease": 30, "Gene": 25}
    edges = {
        TREATS: np.unique(rng.integers([40, 30], size=(220, 2)), axis=0),
        EdgeType("Compound", "binds", "Gene"): np.unique(rng.integers([40, 25], size=(200, 2)), axis=0),
        EdgeType("Disease", "associates", "Gene"): np.unique(rng.integers([30, 25], size=(200, 2)), axis=0),
    }
    return KnowledgeGraph(
        {t: pa.table({"id": [f"{t}:{i}" for i in range(n)], "name": [""] * n}) for t, n in sizes.items()},
        {t: pa.table({"source": pairs[:, 0], "target": pairs[:, 1]}) for t, pairs in edges.items()},
    )


@pytest.mark.parametrize("encoder", ["SkipGram", "VGAE"])
def test_an_encoder_cannot_tell_which_links_were_held_out(rich: KnowledgeGraph, encoder: str) -> None:
    split = split_edges(rich, TREATS, seed=0)
    other = scrambled(rich, split)
    held = other.without({TREATS: np.argwhere(~split.known("train")).T})
    np.testing.assert_array_equal(embedded(split.graph, encoder), embedded(held, encoder))
    assert (embedded(split.graph, encoder) != embedded(other, encoder)).any(), "the test could not fail"


SCORERS = [
    mg.DegreePrior(),
    mg.NearestNeighbour(),
    mg.MetapathCounts(),
    mg.BoostedPathCounts(trees=5),
    mg.SharedNeighbours(),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: s.name)
def test_a_predictor_cannot_tell_which_links_were_held_out(rich: KnowledgeGraph, scorer: LinkScorer) -> None:
    """The split is given one test part, then another: nothing that is learned or scored may change."""
    split = split_edges(rich, TREATS, seed=0)
    model = mg.LinkPredictor(relation=TREATS, scorers=(scorer,), folds=3)
    honest = model.fit(split).score_matrix()
    free = np.argwhere(~split.known()).T
    false = replace(split, test=np.ascontiguousarray(free[:, :: free.shape[1] // split.test.shape[1]]))
    np.testing.assert_array_equal(model.fit(false).score_matrix(), honest)
    peeking = replace(split, train=np.concatenate([split.train, split.test], axis=1))
    assert (model.fit(peeking).score_matrix() != honest).any(), "the test could not fail"
