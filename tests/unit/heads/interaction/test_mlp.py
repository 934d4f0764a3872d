"""The perceptron and the head on graph vectors: what each part is there for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bindings import planted
from numpy.testing import assert_array_equal

import medgraph as mg
from medgraph.data.affinities import Affinities
from medgraph.data.affinity_splits import AffinitySplit
from medgraph.errors import SchemaError
from medgraph.heads.interaction.mlp import ProductJoin

SMALL: dict[str, Any] = {
    "vector_size": 16, "tower": 16, "hidden": (32,), "epochs": 30, "batch_size": 32, "block": 4, "dropout": 0.0,
    "tower_dropout": 0.0, "learning_rate": 0.01, "device": "cpu",
}  # fmt: skip


def hidden_classes() -> Affinities:
    """Values that only ids can tell, or vectors that know the classes: structure says nothing of them."""
    shown = planted(drugs=24, targets=16)
    rng = np.random.default_rng(5)
    effect = rng.normal(size=(3, 3)) * 2
    value = effect[np.arange(24) % 3][:, np.arange(16) % 3][shown.drug, shown.target]
    return Affinities(shown.drugs, shown.targets, shown.drug, shown.target, value, unit="pKd")


def embedding_of_classes() -> mg.Embedding:
    ids = [f"D{i}" for i in range(24)] + [f"T{i}" for i in range(16)]
    vectors = np.eye(3, dtype=np.float32)[[i % 3 for i in range(24)] + [i % 3 for i in range(16)]]
    return mg.Embedding(ids, ["x"] * 40, ids, vectors)  # type: ignore[arg-type]


def error(head: Any, split: AffinitySplit) -> float:
    found = head.fit(split.train, split.valid, progress=False).scores(split.test)
    return float(np.mean((found - split.test.value) ** 2) / split.test.value.var())


def test_graph_vectors_tell_what_structure_of_new_entities_does_not() -> None:
    split = hidden_classes().split("both", fractions=(0.5, 0.25, 0.25), seed=0)
    without = error(mg.FingerprintMLP(ids=False, **SMALL), split)
    with_it = error(mg.KnowledgeDTA(embedding=embedding_of_classes(), graph_dropout=0.0, **SMALL), split)
    assert with_it < 0.5 * without


def test_molecular_graph_learns_and_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    split = planted().split("pair", fractions=(0.6, 0.2, 0.2), seed=1)
    head = mg.KnowledgeDTA(embedding=embedding_of_classes(), structure="graph", layers=2, ids=True, **SMALL)
    assert error(head, split) < 0.4
    assert "drugs: 24 of 24 drugs have a graph vector" in head.notes_
    head.save(tmp_path / "head")
    again = mg.KnowledgeDTA.load(tmp_path / "head")
    assert_array_equal(again.scores(split.test), head.scores(split.test))
    with pytest.raises(SchemaError, match="needs embedding="):
        again.fit(split.train, split.valid, progress=False)


def test_ids_part_what_has_one_sequence() -> None:
    """Two targets of one sequence and opposite values: structure alone can only say the mean."""
    shown = planted(drugs=20, targets=4)
    sequence = ["A" * 10 + "CDEFGHIKLM"] * 4
    targets = shown.targets.set_column(1, "sequence", [sequence])
    value = np.where(shown.target % 2 == 0, 5.0, 9.0)
    twins = Affinities(shown.drugs, targets, shown.drug, shown.target, value, unit="pKd")
    split = twins.split("pair", fractions=(0.6, 0.2, 0.2), seed=0)
    assert error(mg.FingerprintMLP(ids=True, **SMALL), split) < 0.1
    assert error(mg.FingerprintMLP(ids=False, **SMALL), split) > 0.8


def test_join_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    join = ProductJoin(3, 3, (5,), 1, 0.0).double()
    d, t = torch.randn(2, 4, 3, dtype=torch.float64)
    inner = d @ join.drug.weight.T + join.drug.bias + t @ join.target.weight.T + (d * t) @ join.product.weight.T
    out = join.layers[2]
    assert isinstance(out, torch.nn.Linear)
    wanted = (inner * torch.sigmoid(inner)) @ out.weight.T + out.bias
    wanted = wanted + d @ join.sides[0].weight.T + t @ join.sides[1].weight.T
    torch.testing.assert_close(join(d, t), wanted)


@pytest.mark.parametrize("head", [mg.FingerprintMLP, mg.KnowledgeDTA])
@pytest.mark.parametrize("wrong", [{"hidden": ()}, {"k": 0}, {"id_dropout": 1.0}])
def test_refuses_what_is_out_of_range(head: type[mg.FingerprintMLP], wrong: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=head.__name__):
        head(**wrong)


@pytest.mark.parametrize("wrong", [{"min_match": 2.0}, {"graph_dropout": -0.1}])
def test_graph_vectors_refuse_what_is_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="KnowledgeDTA"):
        mg.KnowledgeDTA(**wrong)
