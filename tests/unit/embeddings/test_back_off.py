"""Vectors inferred from a hierarchy: by hand, flagged, and saved with their flag."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.back_off import back_off, parents_of
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError, UnknownIdentifierError

PARENTS = {"a1": ["a"], "a2": ["a"], "a11": ["a1"], "x": ["a", "b"], "y": ["nowhere"], "a": ["root"], "b": ["root"]}


def embedding(**vectors: list[float]) -> Embedding:
    ids = tuple(vectors)
    return Embedding(ids, ("",) * len(ids), ids, np.array(list(vectors.values()), np.float32))


def test_by_hand():
    given = embedding(a=[1, 0], b=[0, 1])
    found = back_off(given, ["a", "a1", "a11", "x", "y", "root"], PARENTS)
    assert found.ids == ("a", "b", "a1", "a11", "x", "root")
    np.testing.assert_array_equal(found["a1"], [1, 0])
    np.testing.assert_array_equal(found["a11"], [1, 0])  # two steps up: an inferred vector infers no other
    np.testing.assert_array_equal(found["x"], [0.5, 0.5])
    np.testing.assert_array_equal(found["root"], [0.5, 0.5])
    assert dict(found.inferred) == {"a1": "above: a", "a11": "above: a", "x": "above: a, b", "root": "below: a, b"}
    assert found.metadata["back_off"] == {"above": 3, "below": 1, "unreached": 1}
    np.testing.assert_array_equal(found.vectors[:2], given.vectors)
    with pytest.raises(UnknownIdentifierError):
        found["y"]


def test_the_nearest_level_counts_and_circles_end():
    far = embedding(root=[4, 4], a2=[0, 2])
    found = back_off(far, ["a", "a1"], PARENTS)
    np.testing.assert_array_equal(found["a"], [4, 4])  # above before below
    np.testing.assert_array_equal(found["a1"], [4, 4])
    loop = back_off(embedding(z=[1, 1]), ["p"], {"p": ["q"], "q": ["p"]})
    assert loop.metadata["back_off"]["unreached"] == 1
    assert loop.ids == ("z",)
    many = back_off(embedding(**{f"c{n}": [n, 0] for n in range(5)}), ["p"], {f"c{n}": ["p"] for n in range(5)})
    assert many.inferred["p"] == "below: c0, c1, c2 and 2 more"
    np.testing.assert_array_equal(many["p"], [2, 0])


def test_a_graph_is_a_hierarchy_too_and_the_flag_is_kept(tmp_path):
    nodes = {
        "Diagnosis": pa.table({"id": ["D:1", "D:1.1", "D:2"], "name": ["one", "one point one", "two"]}),
        "Category": pa.table({"id": ["C:9"], "name": ["group"]}),
    }
    edges = {
        EdgeType("Diagnosis", "is_a", "Diagnosis"): pa.table({"source": [1], "target": [0]}),
        EdgeType("Diagnosis", "in_category", "Category"): pa.table({"source": [0, 1, 2], "target": [0, 0, 0]}),
    }
    graph = KnowledgeGraph(nodes, edges)
    assert parents_of(graph) == {"D:1.1": ["D:1"], "D:1": ["C:9"], "D:2": ["C:9"]}
    ones = np.ones((1, 2), np.float32)
    learned = Embedding(("D:1",), ("Diagnosis",), ("one",), ones, std=ones)
    found = back_off(learned, ["D:1.1", "C:9", "D:3"], graph)
    assert found.node_types == ("Diagnosis", "Diagnosis", "Category")
    assert found.names == ("one", "one point one", "group")
    found.save(tmp_path / "emb")
    loaded = Embedding.load(tmp_path / "emb")
    assert dict(loaded.inferred) == dict(found.inferred) == {"D:1.1": "above: D:1", "C:9": "below: D:1"}
    assert "2 of them inferred" in (tmp_path / "emb" / "card.md").read_text()
    assert dict(loaded.of_type("Category").inferred) == {"C:9": "below: D:1"}
    flat = KnowledgeGraph({"Category": nodes["Category"]}, {})
    with pytest.raises(SchemaError, match="no hierarchy"):
        back_off(learned, ["C:9"], flat)
