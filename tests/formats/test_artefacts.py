"""Artefacts of older format versions still load. Each version keeps one of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.heads.repurposing.predictor import LinkPredictor

HERE = Path(__file__).parent


def test_an_embedding_of_version_1_loads() -> None:
    emb = Embedding.load(HERE / "embedding_v1")
    assert emb.ids == ("DOID:1612", "DRUGBANK:DB00945", "NCBIGENE:7157")
    assert emb.node_types == ("Disease", "Compound", "Gene")
    assert emb.names[1] == "Aspirin"
    np.testing.assert_array_equal(emb.vectors, np.array([[1, 2], [0.5, -1], [0, 0.25]], np.float32))
    np.testing.assert_array_equal(emb.relations["Compound-treats-Disease"], [1, 2])
    assert emb.std is not None
    assert emb.metadata["seed"] == 7
    assert emb.metadata["encoder"] == "VGAE"
    assert emb.metadata["parameters"] == {"vector_size": 2}
    assert emb.metadata["metrics"] == {"elbo": -1.5}


def test_a_link_predictor_of_version_1_loads() -> None:
    model = LinkPredictor.load(HERE / "predictor_v1")
    assert model.relation == EdgeType("Compound", "treats", "Disease")
    first = model.rank("DOID:3", topn=3)
    assert [c.id for c in first] == ["DRUGBANK:DB2", "DRUGBANK:DB1", "DRUGBANK:DB3"]
    assert [c.known for c in first] == [True, False, False]
    np.testing.assert_allclose([c.probability for c in first], [0.880797, 0.5, 0.119203], atol=1e-6)
    np.testing.assert_allclose([c.novelty for c in first], [0.5, 0.25, 1.0])
