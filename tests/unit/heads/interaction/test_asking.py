"""Pairs asked for by structure, by id and by graph, and the table that answers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from bindings import planted

from medgraph.data.graph import KnowledgeGraph
from medgraph.errors import SchemaError, UnknownIdentifierError
from medgraph.heads.interaction.asking import asked, asked_of, known_ids
from medgraph.heads.interaction.interactions import Interactions

KNOWN = (
    pa.table({"id": ["D1", "D2"], "smiles": ["CCO", "CCN"]}),
    pa.table({"id": ["T1", "T2", "T3"], "sequence": ["MKWV", "ACDE", "ACDE"]}),
)


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    return KnowledgeGraph(
        nodes={
            "Compound": pa.table({"id": ["X:1", "X:2"], "name": ["a", "b"], "smiles": ["OC(=O)C", None]}),
            "Gene": pa.table({"id": ["G:1", "G:2"], "name": ["c", "d"], "sequence": ["mkwv*", "M1"]}),
        },
        edges={},
    )


def test_one_drug_with_many_targets_and_the_reverse() -> None:
    found = asked("OCC", ["MKWV", "acde", "MKWV"], None, None, None, KNOWN)
    assert found.drugs.ids == ("D1",)
    assert found.drugs.texts == ("CCO",)
    assert found.targets.texts == ("MKWV", "ACDE")
    assert found.targets.ids == ("T1", "")  # two ids have that sequence
    assert found.drug.tolist() == [0, 0, 0]
    assert found.target.tolist() == [0, 1, 0]
    turned = asked(None, None, ["D2", "D1", "D2"], "T2", None, KNOWN)
    assert turned.drugs.ids == ("D2", "D1")
    assert turned.drug.tolist() == [0, 1, 0]
    assert turned.targets.ids == ("T2",)
    assert known_ids(["CCN", "C"], KNOWN[0], "smiles") == ("D2", "")


def test_ids_are_looked_up_in_the_graph(graph: KnowledgeGraph) -> None:
    found = asked(None, None, ["X:1", "D1"], ["G:1", "T1"], graph, KNOWN)
    assert found.drugs.texts == ("CC(=O)O", "CCO")
    assert found.targets.ids == ("G:1", "T1")
    assert found.targets.texts == ("MKWV", "MKWV")
    with pytest.raises(UnknownIdentifierError, match="no smiles for it"):
        asked(None, "MKWV", "X:2", None, graph, KNOWN)
    with pytest.raises(UnknownIdentifierError, match="no smiles for it"):
        asked(None, "MKWV", "G:1", None, graph, KNOWN)
    with pytest.raises(SchemaError, match="1"):
        asked("CCO", None, None, "G:2", graph, KNOWN)
    with pytest.raises(UnknownIdentifierError, match="X:9"):
        asked(None, "MKWV", "X:9", None, graph, KNOWN)
    with pytest.raises(UnknownIdentifierError, match="pass graph="):
        asked(None, "MKWV", "X:1", None, None, KNOWN)


def test_measured_pairs_keep_only_entities_that_occur() -> None:
    pairs = planted(drugs=6, targets=4).take([3, 20, 9])
    found = asked_of(pairs)
    assert len(found.drugs) == np.unique(pairs.drug).size
    ids = pairs.drugs["id"].to_pylist()
    assert [found.drugs.ids[i] for i in found.drug] == [ids[i] for i in pairs.drug]
    sequences = pairs.sequences
    assert [found.targets.texts[i] for i in found.target] == [sequences[i] for i in pairs.target]


def test_interactions_as_tables() -> None:
    n = 25
    flags = np.arange(n) % 2 == 0
    value = np.linspace(5, 7, n)
    found = Interactions(
        ("D1",) * n, ("",) * n, value, "pKd", value - 0.5, value + 0.5, 0.9, None, flags, ~flags
    )  # fmt: skip
    table = found.to_table()
    assert table.column_names == ["drug", "target", "value", "unit", "low", "high", "drug_seen", "target_seen"]
    assert found.to_pandas()["drug_seen"].tolist() == flags.tolist()
    text = str(found)
    assert "25 interactions, the first 20" in text
    assert "5.000" in text
    assert "4.500 to 5.500" in text
    assert text == repr(found)
