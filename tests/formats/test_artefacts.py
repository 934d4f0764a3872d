"""Artefacts of older format versions still load. Each version keeps one of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.schema import EdgeType
from medgraph.data.tasks import CodeWithin
from medgraph.embeddings.embedding import Embedding
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.losses import Censored
from medgraph.heads.repurposing.predictor import LinkPredictor
from medgraph.heads.risk.cnn import Deepr

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


def test_a_risk_head_of_version_1_loads() -> None:
    head = Deepr.load(HERE / "risk_head_v1")
    assert (head.filters, head.window, head.seed) == (2, 3, 0)
    start, day = int(np.datetime64("2020-01-01", "us").astype(np.int64)), 86_400_000_000
    table = pa.table(
        {
            "subject_id": [1, 1, 2, 2, 3, 3],
            "time": pa.array([start - 9 * day, start + 500 * day] * 3, pa.timestamp("us")),
            "code": ["C//1", "OUT", "C//4", "OUT", "X", "OUT"],
        }
    )
    out = CodeWithin(("OUT",), 365, AtDates(("2020-01-01",)))
    found = head.predict_proba(Cohort.of(table).with_tasks(out=out))  # the task is found by its name
    np.testing.assert_allclose(found.probability, [0.967436, 0.000801, 0.967436], atol=1e-5)
    assert found.unseen == 1


def test_an_interaction_head_of_version_1_loads() -> None:
    head = DeepDTA.load(HERE / "interaction_head_v1")
    assert (head.filters, head.max_sequence, head.loss) == ((4, 4), 50, Censored())
    found = head.predict(smiles=["NCCc1ccccc1", "CCc1ccc(N)cc1"], sequences="MKWKWKACDEF", level=0.5)
    np.testing.assert_allclose(found.value, [5.940340, 5.939364], atol=1e-5)
    assert found.low is not None
    np.testing.assert_allclose(found.low, [5.385280, 5.384497], atol=1e-5)
    assert found.drug_seen.tolist() == [False, True]
    assert found.unit == "pKd"
