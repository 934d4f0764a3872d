"""The enrichment factor against RDKit's, and ties and weights by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medgraph.errors import SchemaError
from medgraph.evaluation.enrichment import enrichment_factor, enrichment_factor_of


@pytest.mark.parametrize("n", [100, 1000, 1234])
@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.2])
def test_it_is_rdkits(n: int, fraction: float) -> None:
    scoring = pytest.importorskip("rdkit.ML.Scoring.Scoring")
    rng = np.random.default_rng(n)
    active = rng.random(n) < 0.1
    scores = rng.normal(size=n) + active
    ranked = [[bool(active[i])] for i in np.argsort(-scores)]
    assert enrichment_factor(active, scores, fraction) == pytest.approx(
        scoring.CalcEnrichment(ranked, 0, [fraction])[0]
    )


def test_places_are_shared_among_equals() -> None:
    active = np.array([True, False, False, True, False, False, False, False, False, False])
    scores = np.array([9.0, 5, 5, 5, 1, 1, 1, 1, 1, 1])
    assert enrichment_factor(active, scores, 0.2) == pytest.approx(((1 + 1 / 3) / 2) / 0.2)
    assert enrichment_factor(active, np.zeros(10), 0.1) == pytest.approx(1)  # no order, no enrichment


def test_a_weight_is_how_often_it_was_drawn() -> None:
    rng = np.random.default_rng(1)
    active, scores = rng.random(200) < 0.3, np.round(rng.normal(size=200), 1)
    weights = rng.integers(0, 4, size=(4, 200))
    again = [enrichment_factor(np.repeat(active, w), np.repeat(scores, w), 0.05) for w in weights]
    np.testing.assert_allclose(enrichment_factor_of(active, scores, 0.05)(weights.astype(float))[:, 0], again)
    assert np.isnan(enrichment_factor_of(active, scores)((~active).astype(float)[None])[0, 0])


def test_faults() -> None:
    with pytest.raises(SchemaError, match="No active among 3"):
        enrichment_factor(np.zeros(3, dtype=bool), np.arange(3.0))
    with pytest.raises(SchemaError, match="share of 0"):
        enrichment_factor(np.ones(3, dtype=bool), np.arange(3.0), 0.0)
    with pytest.raises(SchemaError, match="3 labels and 2 scores"):
        enrichment_factor(np.ones(3, dtype=bool), np.arange(2.0))
