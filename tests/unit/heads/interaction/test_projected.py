"""Dense features: projected counts keep all that training entities differ by; vectors by id are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bindings import planted
from numpy.testing import assert_allclose

from medgraph.data.molecules import morgan
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.heads.interaction.features import Entities, Features
from medgraph.heads.interaction.projected import ProjectedFeatures, VectorFeatures

CPU = torch.device("cpu")


def numbers(features: Features, entities: Entities) -> np.ndarray:
    rows = np.arange(len(entities))
    return np.asarray(features.of(entities).tensors(rows, CPU)[0].numpy())


def test_distances_of_training_entities_are_those_of_their_counts() -> None:
    entities = Entities.of_table(planted().drugs, "smiles")
    rows = np.arange(12)
    features = ProjectedFeatures.fitted("morgan", 2, entities, rows, 512)
    found = numbers(features, entities.take(rows))
    counts = np.log1p(morgan(entities.texts[:12], 2, 2048, counts=True).toarray())
    wanted = ((counts[:, None] - counts[None]) ** 2).sum(axis=2)
    mine = ((found[:, None, 1:] - found[None, :, 1:]) ** 2).sum(axis=2) * features.scale**2
    assert_allclose(mine, wanted, atol=1e-3)
    assert_allclose(found[:, 0], 0, atol=1e-2)  # nothing of them lies off the axes
    assert_allclose((found[:, 1:] ** 2).mean(), 1, rtol=1e-4)
    new = Entities(("",), ("CC(=O)Nc1ccc(Br)cc1P",))
    assert numbers(features, new)[0, 0] > 0.3


def test_restored_they_are_the_same() -> None:
    entities = Entities.of_table(planted().targets, "sequence")
    features = ProjectedFeatures.fitted("kmers", 3, entities, np.arange(8), 5)
    assert features.width == 6
    again = ProjectedFeatures.restore(features.saved())
    assert np.array_equal(numbers(features, entities), numbers(again, entities))


@pytest.fixture
def embedding() -> Embedding:
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32) * 5
    return Embedding(("G:1", "G:2", "G:3"), ("Gene",) * 3, ("a", "b", "c"), vectors)


def test_vectors_by_key_with_a_flag(embedding: Embedding) -> None:
    entities = Entities(("t1", "t2", "t3", ""), ("A", "C", "D", "E"))
    found = VectorFeatures.matched(embedding, entities, {"t1": "G:2", "t3": "G:9"}, "targets", 0.3, np.arange(3))
    table = numbers(found, entities)
    assert_allclose(table[:, 0], [1, 0, 0, 0])
    scale = table[0, 1:] / embedding.vectors[1]
    assert_allclose(scale, scale[0], rtol=1e-5)
    assert (table[1:] == 0).all()
    assert found.of(entities).notes == ("1 of 4 targets have a graph vector",)
    assert np.array_equal(numbers(VectorFeatures.restore(found.saved()), entities), table)


def test_too_few_matches_are_refused(embedding: Embedding) -> None:
    entities = Entities(("g:1", "t2"), ("A", "C"))
    with pytest.raises(SchemaError, match=r"0.0% of the 2 training targets.*target_keys=.*G:1"):
        VectorFeatures.matched(embedding, entities, None, "targets", 0.5, np.arange(2))
