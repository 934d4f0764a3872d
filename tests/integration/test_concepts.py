"""Vectors of codes from Synthea's patients: counts against another count of the raw files, learning beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.embeddings.cooccurrence import cooccurrence
from medgraph.evaluation.concepts import ConceptVectors, pair_hits

Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def cohort(shared_data: Path) -> Cohort:
    return mg.load("synthea", path=shared_data / "ehr" / "synthea1k")


@pytest.fixture(scope="module")
def questions(shared_data: Path) -> dict[str, tuple[set[tuple[str, str]], set[str]]]:
    """(drug or procedure, recorded reason), and the conditions to choose from; read by pandas."""
    pytest.importorskip("pandas")
    tables = {name: read(shared_data, name) for name in ("conditions", "medications", "procedures")}
    pool = {f"SNOMEDCT:{code}" for code in tables["conditions"].CODE}
    found = {}
    for name, prefix in (("medications", "RXNORM"), ("procedures", "SNOMEDCT")):
        rows = tables[name].dropna(subset=["REASONCODE"])
        found[name] = set(zip(prefix + ":" + rows.CODE, "SNOMEDCT:" + rows.REASONCODE, strict=True)), pool
    return found


def read(folder: Path, name: str):
    import pandas as pd
    import pyarrow as pa

    with pa.input_stream(folder / "ehr" / "synthea1k" / f"{name}.csv.zst") as file:
        return pd.read_csv(file, dtype=str)


def test_co_occurrence_of_conditions_is_that_of_the_raw_file(cohort, shared_data):
    import pandas as pd

    sequences = mg.VisitSequences(cohort, context="subject")
    counts = cooccurrence(sequences)
    rows = read(shared_data, "conditions")
    there = (pd.crosstab(rows.PATIENT, rows.CODE) > 0).astype(int)
    only = (
        set(there.columns)
        - {code for name in ("procedures", "careplans") for code in read(shared_data, name).CODE}
        - set(read(shared_data, "encounters").CODE)
    )
    codes = sorted(only)[:150]
    expected = (there[codes].T @ there[codes]).to_numpy(copy=True)
    np.fill_diagonal(expected, 0)
    place = {code: row for row, code in enumerate(sequences.codes)}
    mine = [place[f"SNOMEDCT:{code}"] for code in codes]
    np.testing.assert_array_equal(counts[mine][:, mine].toarray(), expected)
    assert expected.sum() > 10_000


def test_what_a_drug_was_given_for_is_found_by_counting(cohort, questions):
    model = mg.PPMI(vector_size=100).fit(mg.VisitSequences(cohort, context="subject"))
    value = ConceptVectors(model.ids, model.matrix_, given=True)
    drugs, procedures = (pair_hits(value, *questions[name]) for name in ("medications", "procedures"))
    assert (drugs.used, drugs.asked, procedures.used) == (116, 117, 202)
    assert drugs.value == pytest.approx(0.888, abs=5e-4)  # counted with scipy by a script of its own
    assert procedures.value == pytest.approx(0.832, abs=5e-4)


@pytest.mark.slow
def test_what_a_drug_was_given_for_is_found_by_learning(cohort, questions):
    model = mg.SkipGram(vector_size=64, window=20, negative=2, alpha=0.2, epochs=60, device="cpu", seed=0)
    model.fit(mg.VisitSequences(cohort, context="subject"), progress=False)
    for emb, least in ((model.embedding_, (0.87, 0.88)), (model.summed_embedding_, (0.90, 0.90))):
        space = ConceptVectors(emb.ids, emb.vectors)
        assert pair_hits(space, *questions["medications"]).value > least[0]
        assert pair_hits(space, *questions["procedures"]).value > least[1]
