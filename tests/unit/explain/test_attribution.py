"""Integrated gradients beside captum, and planted codes and pairs found again."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.errors import NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.heads.risk.attribution import code_vectors_of, integrated_gradients
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.tensors import Batch

DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))
SMALL = {"vector_size": 8, "epochs": 25, "batch_size": 32, "learning_rate": 0.02, "dropout": 0.0, "seed": 0}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """D//DRUG and G//GUT together bring O//BLEED, each alone hardly; A//ALONE brings it by itself."""
    rng = np.random.default_rng(0)
    rows = []
    for who in range(600):
        drug, gut, alone = rng.random(3) < (0.5, 0.5, 0.2)
        for code in np.flatnonzero(rng.random(6) < 0.3):
            rows.append((who, INDEX - 100 * DAY, f"C//{code}"))
        for there, code in ((True, "C//VISIT"), (drug, "D//DRUG"), (gut, "G//GUT"), (alone, "A//ALONE")):
            if there:
                rows.append((who, INDEX - 10 * DAY, code))
        if rng.random() < (0.85 if alone or (drug and gut) else 0.08):
            rows.append((who, INDEX + 20 * DAY, "O//BLEED"))
        rows.append((who, INDEX + 500 * DAY, "C//0"))
    who_, when, what = zip(*rows, strict=True)
    table = pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what})
    task = CodeWithin(("O//BLEED",), 365, AtDates(("2020-01-01",)))
    return Cohort.of(table).split((0.6, 0.2, 0.2), seed=0).with_tasks(bleed=task)


@pytest.fixture(scope="module")
def head(cohort: Cohort) -> RiskHead:
    return mg.VisitGRU(**SMALL, hidden_size=16, wide=False).fit(cohort, "bleed", progress=False)


def test_integrated_gradients_are_captums(head: RiskHead, cohort: Cohort) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import IntegratedGradients
    state = head._fitted()
    network = state.network.eval()
    batch = Batch.of(cohort.held_out.timelines("bleed", state.vocabulary).all().take(np.array([4])))
    vectors = code_vectors_of(network)(batch.codes).detach()

    def forward(flat: torch.Tensor) -> torch.Tensor:  # captum's first dimension is one of examples
        return torch.cat([network(batch, each)[:, 0] for each in flat])

    found, gap = IntegratedGradients(forward).attribute(
        vectors[None], method="riemann_middle", n_steps=256, internal_batch_size=1, return_convergence_delta=True
    )
    ours = integrated_gradients(network, batch, 0, tolerance=0.0, max_steps=256)
    assert abs(gap.item()) < 1e-3
    torch.testing.assert_close(ours, found[0].sum(dim=1).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Deepr", "VisitLSTM", "GRUD", "DeepPatient"])
def test_attributions_add_up_to_the_difference_from_the_baseline(name: str, cohort: Cohort) -> None:
    head = getattr(mg, name)(**{**SMALL, "epochs": 2}).fit(cohort, "bleed", progress=False)
    state = head._fitted()
    network = state.network.eval()
    batch = Batch.of(cohort.held_out.timelines("bleed", state.vocabulary, head.visit).all().take(np.arange(20)))
    shares = integrated_gradients(network, batch, 0)
    with torch.no_grad():
        wanted = (network(batch) - network(batch, torch.zeros_like(code_vectors_of(network)(batch.codes))))[:, 0]
    total = torch.zeros(20).index_add(0, batch.visit_sample[batch.code_visit], shares)
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(total, wanted, rtol=0, atol=0.002)


def test_it_names_the_planted_code_and_the_planted_pair(head: RiskHead, cohort: Cohort) -> None:
    found = mg.explain_risk(head, cohort)
    assert found.samples == 600
    assert set(found.codes["code"][:4]) == {"C//VISIT", "D//DRUG", "G//GUT", "A//ALONE"}
    pairs = {frozenset(pair): value for *pair, _, value, _ in found.pairs.itertuples(index=False)}
    together = pairs[frozenset({"D//DRUG", "G//GUT"})]
    noise = [abs(value) for pair, value in pairs.items() if any(code[-1].isdigit() for code in pair)]
    assert together > 1
    assert together > 3 * max(noise)
    for one in ("D//DRUG", "G//GUT"):  # neither adds much to what comes anyway
        assert pairs[frozenset({"A//ALONE", one})] < -0.5
    assert "D//DRUG" in str(found)


def test_a_pair_that_the_wide_part_weighs_is_told_however_few_codes_are_looked_at(cohort: Cohort) -> None:
    settings = {**SMALL, "epochs": 1}
    found = mg.explain_risk(
        mg.VisitGRU(**settings, hidden_size=4).fit(cohort, "bleed", progress=False), cohort, max_codes=1
    )
    one, other, samples, interaction, error = found.pairs.iloc[0]
    assert {one, other} == {"D//DRUG", "G//GUT"}
    assert samples > 100
    assert interaction > 0.5
    assert interaction > 10 * error


def test_removal_and_interaction_are_what_the_head_says(head: RiskHead, cohort: Cohort) -> None:
    found = mg.explain_risk(head, cohort.held_out, min_samples=5)
    state = head._fitted()
    batch = Batch.of(cohort.held_out.timelines("bleed", state.vocabulary).all())
    vectors = code_vectors_of(state.network)(batch.codes).detach()
    sample = batch.visit_sample[batch.code_visit]

    def logit(*codes: str) -> np.ndarray:
        rows = torch.tensor([state.vocabulary.index(code) for code in codes], dtype=torch.int64)
        with torch.no_grad():
            kept = vectors * ~torch.isin(batch.codes, rows)[:, None]
            return state.network(batch, kept)[:, 0].double().numpy()

    def having(code: str) -> np.ndarray:
        return np.isin(np.arange(len(batch)), sample[batch.codes == state.vocabulary.index(code)].numpy())

    row = found.codes[found.codes["code"] == "D//DRUG"].iloc[0]
    drug, both = having("D//DRUG"), having("D//DRUG") & having("G//GUT")
    assert row["samples"] == drug.sum()
    assert row["removal"] == pytest.approx((logit() - logit("D//DRUG"))[drug].mean(), abs=1e-5)
    pair = found.pairs[found.pairs[["code", "other"]].apply(set, axis=1) == {"D//DRUG", "G//GUT"}].iloc[0]
    each = logit() - logit("D//DRUG") - logit("G//GUT") + logit("D//DRUG", "G//GUT")
    assert pair["interaction"] == pytest.approx(each[both].mean(), abs=1e-5)
    assert pair["error"] == pytest.approx(each[both].std(ddof=1) / np.sqrt(both.sum()), abs=1e-5)


def test_rare_codes_are_not_told_and_draws_repeat(head: RiskHead, cohort: Cohort) -> None:
    found = mg.explain_risk(head, cohort, max_samples=100, min_samples=30, max_codes=2)
    assert found.samples == 100
    assert (found.codes["samples"] >= 30).all()
    assert len(found.pairs) <= 1
    again = mg.explain_risk(head, cohort, max_samples=100, min_samples=30, max_codes=2)
    assert found.codes.equals(again.codes)


def test_refuses(head: RiskHead, cohort: Cohort) -> None:
    with pytest.raises(SchemaError, match="min_samples=0"):
        mg.explain_risk(head, cohort, min_samples=0)
    with pytest.raises(SchemaError, match="is for survival tasks"):
        mg.explain_risk(head, cohort, within=30.0)
    with pytest.raises(UnknownIdentifierError, match="'blood' is no output"):
        mg.explain_risk(head, cohort, output="blood")
    with pytest.raises(NotFittedError):
        mg.explain_risk(mg.VisitGRU(), cohort)
