"""The embedding answers by id, searches exactly, and survives its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from sklearn.metrics.pairwise import cosine_similarity

from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError, UnknownIdentifierError


@pytest.fixture
def emb() -> Embedding:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    vectors[3] = 0
    ids = [f"DOID:{i}" for i in range(20)] + [f"DRUGBANK:DB{i:05}" for i in range(20)]
    types = ["Disease"] * 20 + ["Compound"] * 20
    return Embedding(
        ids, types, ids, vectors, {"treats": np.ones(8)}, np.full_like(vectors, 0.1), {"encoder": "Test", "seed": 3}
    )


def test_most_similar_equals_scikit_learn(emb: Embedding) -> None:
    cosine = cosine_similarity(emb.vectors)[5]
    expected = [i for i in np.argsort(-cosine, kind="stable") if i != 5][:7]
    found = emb.most_similar("DOID:5", topn=7)
    assert [id_ for id_, _ in found] == [emb.ids[i] for i in expected]
    np.testing.assert_allclose([s for _, s in found], cosine[expected], atol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # gensim divides by the zero vector's norm
def test_most_similar_agrees_with_gensim(emb: Embedding, tmp_path: Path) -> None:
    emb.to_word2vec_format(tmp_path / "v.txt")
    theirs = KeyedVectors.load_word2vec_format(tmp_path / "v.txt")
    expected = theirs.most_similar(positive=["DOID:1", "DOID:2"], negative=["DOID:4"], topn=6)
    expected = [(i, s) for i, s in expected if i != "DOID:3"][:5]
    ours = emb.most_similar(["DOID:1", "DOID:2"], "DOID:4", topn=5)
    assert [i for i, _ in ours] == [i for i, _ in expected]
    np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], atol=1e-6)
    assert emb.similarity("DOID:1", "DOID:2") == pytest.approx(theirs.similarity("DOID:1", "DOID:2"), abs=1e-6)


def test_most_similar_keeps_to_a_node_type(emb: Embedding) -> None:
    found = emb.most_similar("DOID:5", topn=100, node_type="Compound")
    assert len(found) == 20
    assert {id_.split(":")[0] for id_, _ in found} == {"DRUGBANK"}
    assert emb.most_similar("DOID:5", topn=0) == []
    with pytest.raises(SchemaError, match="Nearest: Compound"):
        emb.most_similar("DOID:5", node_type="Compuond")


def test_a_zero_vector_is_similar_to_nothing(emb: Embedding) -> None:
    assert emb.similarity("DOID:3", "DOID:5") == 0
    assert all(score == 0 for _, score in emb.most_similar("DOID:3"))


def test_an_unknown_id_is_refused_with_the_nearest(emb: Embedding) -> None:
    with pytest.raises(UnknownIdentifierError, match=r"20 DOID ids of 40.*Nearest: DOID:1"):
        emb["DOID:1x"]


def test_saving_keeps_every_bit(emb: Embedding, tmp_path: Path) -> None:
    emb.save(tmp_path / "e")
    back = Embedding.load(tmp_path / "e")
    np.testing.assert_array_equal(back.vectors, emb.vectors)
    np.testing.assert_array_equal(back.std, emb.std)
    np.testing.assert_array_equal(back.relations["treats"], emb.relations["treats"])
    assert (back.ids, back.node_types, back.names) == (emb.ids, emb.node_types, emb.names)
    assert back.metadata["encoder"] == "Test"
    assert back.metadata["seed"] == 3
    card = (tmp_path / "e" / "card.md").read_text()
    assert "| Compound | 20 |" in card
    assert "Test embedding" in card


def test_bad_input_is_refused() -> None:
    with pytest.raises(SchemaError, match="do not belong together"):
        Embedding(["A:1"], ["T"], ["a"], np.ones((2, 3)))
    with pytest.raises(SchemaError, match="twice"):
        Embedding(["A:1", "A:1"], ["T", "T"], ["a", "b"], np.ones((2, 3)))
    with pytest.raises(SchemaError, match=r"A:2 is not finite"):
        Embedding(["A:1", "A:2"], ["T", "T"], ["a", "b"], np.array([[1.0], [np.nan]]))
    with pytest.raises(SchemaError, match="white space"):
        Embedding(["A:1 x"], ["T"], ["a"], np.ones((1, 3))).to_word2vec_format("unused")


def test_vectors_cannot_be_changed(emb: Embedding) -> None:
    with pytest.raises(ValueError, match="read-only"):
        emb.vectors[0, 0] = 1


def test_ties_keep_row_order_also_at_the_last_place() -> None:
    ids = [f"X:{i}" for i in range(500)]
    vectors = np.zeros((500, 4), dtype=np.float32)
    vectors[[0, 400]] = 1
    found = Embedding(ids, [""] * 500, ids, vectors).most_similar("X:0", topn=4)
    assert [id_ for id_, _ in found] == ["X:400", "X:1", "X:2", "X:3"]
