"""RETAIN beside torch's GRU run backwards, and its sum that is exact."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import NONE, samples_of
from torch import nn

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.errors import SchemaError, UnknownIdentifierError
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.retain import ReverseTimeAttention, backwards
from medgraph.heads.risk.tensors import Batch

HISTORIES = [
    [(400.0, [(0, NONE), (1, 12.0)]), (90.0, [(2, NONE)]), (40.0, [(0, NONE), (0, NONE), (3, NONE)])],
    [],
    [(3.0, [(1, NONE)])],
    [(9.0, [(3, NONE)]), (8.0, [(2, NONE), (1, 7.0)])],
]


@pytest.fixture
def network() -> ReverseTimeAttention:
    torch.manual_seed(0)
    codes = CodeVectors.fresh(4, 5)
    with torch.no_grad():
        codes.learned.mul_(20)  # so that attention and contributions are far from even
    return ReverseTimeAttention(codes, Person(4), outputs=2, alpha_size=3, beta_size=4, dropout=0.5).eval()


def torch_gru(cell: nn.Module) -> nn.GRU:
    oracle = nn.GRU(cell.inputs.in_features, cell.hidden, batch_first=True)
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(cell.inputs.weight)
        oracle.bias_ih_l0.copy_(cell.inputs.bias)
        oracle.weight_hh_l0.copy_(cell.states.weight)
        oracle.bias_hh_l0.copy_(cell.states.bias)
    return oracle


def test_logits_and_contributions_are_the_papers_one_sample_at_a_time(network: ReverseTimeAttention) -> None:
    batch = Batch.of(samples_of(HISTORIES))
    logits, contributions = network(batch), network.contributions(batch)
    alphas, betas = torch_gru(network.alpha_states), torch_gru(network.beta_states)
    vectors = network.codes.learned[1:]
    expected = []
    rest = network.output.bias + network.rest(network.person(batch))
    for row, history in enumerate(HISTORIES):
        total = rest[row]
        if history:
            visits = torch.stack([sum(vectors[code] for code, _ in inside) for _, inside in history])
            days = torch.tensor([day for day, _ in history])
            reverse = torch.cat([visits, torch.log1p(days)[:, None]], dim=1).flip(0)[None]
            alpha = torch.softmax(network.alpha(alphas(reverse)[0][0].flip(0))[:, 0], dim=0)
            beta = torch.tanh(network.beta(betas(reverse)[0][0].flip(0)))
            for j, (_, inside) in enumerate(history):
                for code, _ in inside:
                    each = alpha[j] * (network.output.weight @ (beta[j] * vectors[code]))
                    expected.append(each)
                    total = total + each
        torch.testing.assert_close(logits[row], total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(contributions, torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_contributions_and_the_rest_add_up_to_the_logits(network: ReverseTimeAttention) -> None:
    batch = Batch.of(samples_of(HISTORIES))
    rest = network(batch, torch.zeros(len(batch.codes), 5))
    sample = batch.visit_sample[batch.code_visit]
    total = rest.index_add(0, sample, network.contributions(batch))
    assert network.contributions(batch).abs().max() > 0.3
    torch.testing.assert_close(total, network(batch), rtol=0, atol=1e-5)
    torch.testing.assert_close(rest[1], network(batch)[1])  # who has no visit has no contribution


def test_visit_attention_adds_up_to_one_whatever_stands_beside(network: ReverseTimeAttention) -> None:
    samples = samples_of(HISTORIES)
    for width in (None, 30):
        batch = Batch.of(samples, width=width)
        alpha, _ = network.attention(batch, batch.per_visit(network.codes(batch.codes)))
        np.testing.assert_allclose(batch.per_sample(alpha[:, None])[:, 0].detach(), [1, 0, 1, 1], rtol=1e-6)


def test_backwards_by_hand() -> None:
    assert backwards(Batch.of(samples_of(HISTORIES))).tolist() == [2, 1, 0, 3, 5, 4]


def test_refuses_sizes_below_one() -> None:
    with pytest.raises(SchemaError, match="beta_size=0"):
        mg.RETAIN(beta_size=0)


DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """B//AD makes O//OUT likely, whatever else is there; who is odd has it."""
    rng = np.random.default_rng(0)
    rows = []
    for who in range(1, 161):
        for day in rng.choice(np.arange(5, 600), size=4, replace=False).tolist():
            rows.append((who, INDEX - day * DAY, f"C//{rng.integers(6)}"))
            if who % 2 and rng.random() < 0.7:
                rows.append((who, INDEX - day * DAY, "B//AD"))
        if rng.random() < (0.95 if who % 2 else 0.05):
            rows.append((who, INDEX + 30 * DAY, "O//OUT"))
        rows.append((who, INDEX + 500 * DAY, "C//0"))
    rows.append((999, INDEX + 10 * DAY, "C//0"))  # born too late to have a sample
    who_, when, what = zip(*rows, strict=True)
    table = pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what})
    return Cohort.of(table).split(seed=0).with_tasks(mortality=CodeWithin(("O//OUT",), 365, AtDates(("2020-01-01",))))


@pytest.fixture(scope="module")
def risk(cohort: Cohort) -> mg.RETAIN:
    head = mg.RETAIN(vector_size=8, alpha_size=8, beta_size=8, epochs=15, batch_size=32, learning_rate=0.02, seed=0)
    return head.fit(cohort, label="mortality", progress=False)


def test_the_explanation_names_what_was_planted_and_adds_up(risk: mg.RETAIN, cohort: Cohort) -> None:
    odd = [int(who) for who in cohort.held_out.subjects if who % 2 and who != 999]
    planted = []
    for who in odd:
        found = risk.explain(cohort.held_out, subject_id=who)
        assert found.rest + found.contribution.sum() == pytest.approx(found.logit, abs=1e-5)
        by_code = found.to_pandas().groupby("code")["contribution"].sum()
        planted.append("B//AD" in by_code and by_code.idxmax() == "B//AD")
        assert list(found.days) == sorted(found.days, reverse=True)
        assert found.output == "mortality"
        assert str(who) not in repr(found)
    assert np.mean(planted) > 0.8


def test_a_subject_without_a_sample_is_refused_without_being_named(risk: mg.RETAIN, cohort: Cohort) -> None:
    for who in (999, 123_456_789):
        with pytest.raises(UnknownIdentifierError, match="no sample") as caught:
            risk.explain(cohort, subject_id=who)
        assert str(who) not in str(caught.value)
