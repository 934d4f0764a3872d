"""Evidence paths are all there, add up to the path count, and fall when deleted."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, UnknownIdentifierError
from medgraph.explain.paths import explain_paths
from medgraph.heads.repurposing.metapaths import MetapathCounter, metapaths_between

TREATS = EdgeType("Compound", "treats", "Disease")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")
BINDS = EdgeType("Compound", "binds", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")


@pytest.fixture
def graph() -> KnowledgeGraph:
    rng = np.random.default_rng(5)
    sizes = {"Compound": 8, "Disease": 7, "Gene": 9}
    nodes = {
        t: pa.table({"id": [f"{t}:{i}" for i in range(n)], "name": [f"{t} {i}" for i in range(n)]})
        for t, n in sizes.items()
    }

    def edges(edge_type: EdgeType) -> pa.Table:
        mask = rng.random((sizes[edge_type.source], sizes[edge_type.target])) < 0.4
        if edge_type == RESEMBLES:
            mask = np.triu(mask, 1)
        source, target = np.nonzero(mask)
        papers = [[str(100 + i)] for i in range(source.size)]
        return pa.table({"source": source, "target": target, "pmids": papers, "sources": [["label"]] * source.size})

    types = (TREATS, RESEMBLES, BINDS, ASSOCIATES)
    return KnowledgeGraph(nodes, {t: edges(t) for t in types}, frozenset({RESEMBLES}))


class PathSum:
    """A transparent scorer: the log of the summed path counts, the pair's own link left out."""

    relation = TREATS

    def log_odds(self, graph: KnowledgeGraph, source: str, target: str) -> float:
        s, t = graph.locate(source).row, graph.locate(target).row
        rest = graph.without({TREATS: np.array([[s], [t]])})
        counter = MetapathCounter(rest)
        return float(sum(counter.count(m)[s, t] for m in metapaths_between(graph.schema, "Compound", "Disease", 3)))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_every_simple_path_is_found(graph: KnowledgeGraph, length: int) -> None:
    whole = nx.MultiGraph()
    for edge_type in graph.edge_types:
        for source, target in graph.edge_index(edge_type).T.tolist():
            whole.add_edge(f"{edge_type.source}:{source}", f"{edge_type.target}:{target}", key=edge_type.relation)
    expected = list(nx.all_simple_edge_paths(whole, "Compound:1", "Disease:2", cutoff=length))
    evidence = explain_paths(graph, "Compound:1", "Disease:2", max_length=length, topn=10_000)
    assert sum(m.paths for m in evidence.metapaths) == len(evidence.paths) == len(expected)
    theirs = {tuple(v for _, v, _ in path) for path in expected}
    assert {path.ids[1:] for path in evidence.paths} == theirs


def test_contributions_add_up_to_the_path_count(graph: KnowledgeGraph) -> None:
    evidence = explain_paths(graph, "Compound:1", "Disease:2", topn=10_000)
    counter = MetapathCounter(graph, 0.4)
    counts = {str(m): counter.count(m)[1, 2] for m in metapaths_between(graph.schema, "Compound", "Disease", 3)}
    assert {m.metapath: pytest.approx(m.dwpc) for m in evidence.metapaths} == {k: v for k, v in counts.items() if v}
    assert sum(p.share for p in evidence.paths) == pytest.approx(1)
    ordered = [p.contribution for p in evidence.paths]
    assert ordered == sorted(ordered, reverse=True)


def test_a_path_says_where_it_comes_from(graph: KnowledgeGraph) -> None:
    path = explain_paths(graph, "Compound:1", "Disease:2").paths[0]
    assert all(p[0].startswith("PMID:1") for p in path.pmids)
    assert path.sources == (("label",),) * len(path.relations)
    assert str(path).startswith("Compound 1 ")


def test_deleting_a_path_lowers_the_score(graph: KnowledgeGraph) -> None:
    known = graph.edge_index(TREATS)[:, 0]
    pair = f"Compound:{known[0]}", f"Disease:{known[1]}"
    evidence = explain_paths(graph, *pair, predictor=PathSum(), check=3)
    assert evidence.log_odds is not None
    assert all(len(p.relations) > 1 for p in evidence.paths), "the link itself is no evidence for itself"
    drops = [p.score_drop for p in evidence.paths[:3]]
    assert all(drop is not None and drop > 0 for drop in drops)
    assert all(p.score_drop is None for p in evidence.paths[3:])
    assert explain_paths(graph, *pair, max_length=1).paths, "without a predictor the link is shown"


def test_the_inverse_of_the_link_is_no_evidence_for_it_either(graph: KnowledgeGraph) -> None:
    known = graph.edge_index(TREATS)
    inverse = EdgeType("Disease", "treated_by", "Compound")
    more = {inverse: pa.table({"source": known[1], "target": known[0]})}
    whole = KnowledgeGraph(graph.nodes, {**graph.edges, **more}, graph.symmetric)
    pair = f"Compound:{known[0, 0]}", f"Disease:{known[1, 0]}"
    assert len(explain_paths(whole, *pair, max_length=1).paths) == 2
    assert explain_paths(whole, *pair, max_length=1, predictor=PathSum()).paths == ()


def test_bad_questions_are_refused(graph: KnowledgeGraph) -> None:
    with pytest.raises(SchemaError, match="1 to 4"):
        explain_paths(graph, "Compound:1", "Disease:2", max_length=5)
    with pytest.raises(UnknownIdentifierError, match="Nearest: Disease"):
        explain_paths(graph, "Compound:1", "Disease:22")
    with pytest.raises(SchemaError, match="both ends"):
        explain_paths(graph, "Compound:1", "Compound:1")


def test_nothing_between_is_an_empty_answer() -> None:
    nodes = {t: pa.table({"id": [f"{t}:0"], "name": ["x"]}) for t in ("Compound", "Disease")}
    lonely = KnowledgeGraph(
        nodes, {TREATS: pa.table({"source": pa.array([], pa.int64()), "target": pa.array([], pa.int64())})}
    )
    evidence = explain_paths(lonely, "Compound:0", "Disease:0")
    assert evidence.paths == evidence.metapaths == ()
    assert evidence.to_dict()["paths"] == ()
