"""Pictures show what they say, escape what they are given, and save whole files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError, UnknownIdentifierError
from medgraph.explore.maps import map_embedding
from medgraph.explore.neighbourhood import neighbourhood
from medgraph.explore.picture import colours

TREATS = EdgeType("Compound", "treats", "Disease")
HOSTILE = "<script>alert(1)</script> $x_1$"


@pytest.fixture
def graph() -> KnowledgeGraph:
    compounds = pa.table({"id": [f"DRUGBANK:DB{i:05}" for i in range(30)], "name": [HOSTILE, *map(str, range(29))]})
    diseases = pa.table({"id": ["DOID:1", "DOID:2"], "name": ["first", "second"]})
    treats = pa.table({"source": [*range(30), 0, 1], "target": [0] * 30 + [1, 1]})
    return KnowledgeGraph({"Compound": compounds, "Disease": diseases}, {TREATS: treats})


@pytest.fixture
def emb(graph: KnowledgeGraph) -> Embedding:
    return Embedding.of_graph(graph, np.random.default_rng(0).normal(size=(graph.num_nodes, 6)).astype(np.float32))


def test_a_map_separates_planted_clusters() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(0, 0.1, (60, 8)) + centre for centre in (np.eye(8)[0], np.eye(8)[1])])
    ids = [f"X:{i}" for i in range(120)]
    emb = Embedding(ids, ["A"] * 60 + ["B"] * 60, ids, vectors.astype(np.float32))
    xy = map_embedding(emb).positions
    a, b = xy[:60], xy[60:]
    between = np.linalg.norm(a.mean(0) - b.mean(0))
    within = max(np.linalg.norm(p - p.mean(0), axis=1).mean() for p in (a, b))
    assert between > 1.5 * within


def test_a_map_samples_large_types_and_says_so(emb: Embedding) -> None:
    drawn = map_embedding(emb, max_nodes=12, highlight=["DRUGBANK:DB00007"])
    assert "DRUGBANK:DB00007" in drawn.ids
    assert {"DOID:1", "DOID:2"} <= set(drawn.ids)
    assert drawn.left_out["Compound"] + len(drawn.ids) >= emb.vectors.shape[0] - 1
    again = map_embedding(emb, max_nodes=12, highlight=["DRUGBANK:DB00007"])
    np.testing.assert_array_equal(drawn.positions, again.positions)


def test_a_map_refuses_what_it_cannot_draw(emb: Embedding) -> None:
    with pytest.raises(SchemaError, match="no node type"):
        map_embedding(emb, node_types=["Drug"])
    with pytest.raises(UnknownIdentifierError):
        map_embedding(emb, highlight=["DOID:999"])
    with pytest.raises(SchemaError, match="at least three"):
        map_embedding(emb, node_types=["Disease"])


def test_a_neighbourhood_shows_the_most_specific_neighbours_and_counts_the_rest(graph: KnowledgeGraph) -> None:
    around = neighbourhood(graph, "DOID:1", per_edge_type=8)
    assert around.ids[0] == "DOID:1"
    assert len(around.ids) == 9
    assert around.left_out == {TREATS: 22}
    assert "DRUGBANK:DB00000" not in around.ids, "it also treats DOID:2, so it is less specific"
    with pytest.raises(UnknownIdentifierError, match="Nearest: DOID:"):
        neighbourhood(graph, "DOID:11")


@pytest.mark.parametrize("ending", ["html", "png", "svg"])
def test_pictures_are_saved_and_hostile_names_are_escaped(
    graph: KnowledgeGraph, emb: Embedding, tmp_path: Path, ending: str
) -> None:
    for picture in (neighbourhood(graph, "DOID:2"), map_embedding(emb, highlight=["DRUGBANK:DB00000"], title=HOSTILE)):
        path = picture.save(tmp_path / f"picture.{ending}")
        content = path.read_bytes()
        assert len(content) > 5_000
        assert b"<script>alert(1)" not in content
        assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[ending])
    assert [p.name for p in tmp_path.iterdir()] == [f"picture.{ending}"]


def test_an_unknown_ending_is_refused(graph: KnowledgeGraph, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"saved as \.html, \.png or \.svg"):
        neighbourhood(graph, "DOID:2").save(tmp_path / "x.bmp")


def test_a_notebook_gets_both_forms(graph: KnowledgeGraph) -> None:
    bundle = neighbourhood(graph, "DOID:2")._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["application/vnd.plotly.v1+json"]["data"]


def test_a_type_keeps_its_colour() -> None:
    assert colours(["Disease", "Zebra"])["Disease"] == colours(["Disease"])["Disease"]
    assert colours(["Zebra"])["Zebra"].startswith("#")
