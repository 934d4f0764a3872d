"""Dynamic-DeepHit beside torch.distributions, a loop, and cases worked by hand."""

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
from medgraph.data.tasks import TimeToEvent
from medgraph.errors import SchemaError
from medgraph.evaluation.survival import censored_squared_errors, concordance_of
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.measurements import Measurements, Outline, presence
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.survival import JointTarget, Longitudinal, ranking_loss
from medgraph.heads.risk.tensors import Batch

TARGET = JointTarget("survival", ("death", "transplant"), (10.0, 20.0))
CHANCES = torch.tensor([[0.1, 0.2, 0.15, 0.05, 0.5]])  # death by 10, 20; transplant by 10, 20; none


@pytest.mark.parametrize(
    ("days", "event", "chance"),
    [
        (5, 1, 0.1),
        (10, 1, 0.1),  # a bin's right end belongs to it
        (15, 2, 0.05),
        (25, 1, 0.5),  # after the last bin: none within them
        (3, 0, 1.0),  # seen through no bin
        (10, 0, 0.75),  # seen through the first
        (12, 0, 0.75),
        (20, 0, 0.5),
        (99, 0, 0.5),
    ],
)
def test_the_likelihood_by_hand(days: float, event: int, chance: float) -> None:
    found = TARGET.log_loss(CHANCES.log() + 3, torch.tensor([[days, float(event)]]))
    assert found.item() == pytest.approx(-np.log(chance), abs=1e-6)


def test_the_likelihood_of_events_is_torchs_categorical() -> None:
    torch.manual_seed(0)
    logits, event, place = torch.randn(50, 5), torch.randint(1, 3, (50,)), torch.randint(0, 2, (50,))
    label = torch.stack([place * 10 + 4.0, event.float()], dim=1)
    wanted = -torch.distributions.Categorical(logits=logits).log_prob((event - 1) * 2 + place)
    torch.testing.assert_close(TARGET.log_loss(logits, label), wanted)
    torch.testing.assert_close(TARGET.loss(logits, label), wanted.mean())


def test_incidences_and_survival_add_up_to_one() -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 5) * 4
    incidence, survival = TARGET.incidence(logits), TARGET.survival(logits)
    torch.testing.assert_close(incidence.sum(dim=1) + survival, torch.ones(200, 2))
    assert (incidence.diff(dim=2) >= 0).all()
    torch.testing.assert_close(TARGET.incidence(CHANCES.log())[0], torch.tensor([[0.1, 0.3], [0.15, 0.2]]))
    torch.testing.assert_close(TARGET.survival(CHANCES.log())[0], torch.tensor([0.75, 0.5]))


def test_training_starts_from_everyones_share_where_no_one_is_lost() -> None:
    labels = np.array([[5.0, 1]] * 3 + [[15.0, 2]] * 2 + [[25.0, 0]] * 5)
    for many in (1, 1000):  # half a sample is added to each hazard
        chances = TARGET.base(np.tile(labels, (many, 1))).softmax(dim=0)
        torch.testing.assert_close(chances, torch.tensor([0.3, 0, 0, 0.2, 0.5]), atol=0.2 / many, rtol=0)
    network = network_of()
    with torch.no_grad():
        for layers in (*network.events, network.none):
            layers.output.weight.zero_()
    network.start(TARGET.base(labels))
    found = network(Batch.of(samples_of(HISTORIES)))
    torch.testing.assert_close(found, TARGET.base(labels).expand(3, 5))


def test_the_ranking_loss_by_hand() -> None:
    incidence = torch.tensor([[[0.5, 0.6], [0.1, 0.2]], [[0.2, 0.3], [0.4, 0.5]], [[0.3, 0.7], [0.1, 0.1]]])
    label = torch.tensor([[5.0, 1.0], [15.0, 2.0], [8.0, 0.0]])
    # i = 0, death in bin 0: .5 against .2 (seen longer) and .3 (seen longer); i = 1, transplant: no one is seen longer
    wanted = (np.exp(-0.3 / 0.1) + np.exp(-0.2 / 0.1)) / 2
    assert ranking_loss(TARGET, incidence, label, 0.1).item() == pytest.approx(wanted, rel=1e-5)
    assert ranking_loss(TARGET, incidence, torch.tensor([[5.0, 0.0]] * 3), 0.1).item() == 0
    turned = incidence.flip(0).requires_grad_()
    ranking_loss(TARGET, turned, label.flip(0), 0.1).backward()
    assert turned.grad is not None
    assert turned.grad[2, 0, 0] < 0  # descending raises the risk of who died first
    assert turned.grad[1, 0, 0] > 0


def test_shared_times_leave_all_bins_there() -> None:
    labels = np.array([[4.0, 1], [4.0, 1], [4.0, 2], [40.0, 1], [9.0, 0]])
    target = JointTarget.of(("death", "transplant"), labels, 4)
    assert target.edges == (4.0, 13.0, 22.0, 40.0)
    assert target.outputs == 9
    assert JointTarget.from_dict(target.to_dict(), (JointTarget,)) == target


HISTORIES = [
    [(10.0, [(1, 14.0)]), (8.0, [(0, NONE)]), (4.0, [(2, 3.0), (1, 8.0)])],
    [],
    [(3.0, [(2, -1.0), (3, NONE)])],
]


def network_of(outlined: bool = False) -> Longitudinal:
    torch.manual_seed(0)
    measured = Measurements(4, 2)
    measured.column[1], measured.column[2] = 0, 1
    measured.used.fill_(1)
    codes = CodeVectors.fresh(4, 3)
    with torch.no_grad():
        codes.learned.mul_(10)
    outline = Outline(2, bent=False) if outlined else None
    network = Longitudinal(codes, Person(4), measured, outline, events=2, bins=2, hidden=4, dropout=0.5).eval()
    with torch.no_grad():
        for layers in (*network.events, network.none):
            layers.output.weight.normal_()
    return network


@pytest.mark.parametrize("outlined", [False, True])
def test_logits_are_those_of_a_loop_over_samples(outlined: bool) -> None:
    network, batch = network_of(outlined), Batch.of(samples_of(HISTORIES))
    gru = nn.GRU(3 + 6 + 1, 4, batch_first=True)
    with torch.no_grad():
        for name, layer in (("ih", network.cell.inputs), ("hh", network.cell.states)):
            getattr(gru, f"weight_{name}_l0").copy_(layer.weight)
            getattr(gru, f"bias_{name}_l0").copy_(layer.bias)
    vectors = network.codes.learned[1:]
    numbers = {  # last b, last c, new b, new c, age b, age c, gap
        0: [[2, 0, 1, 0, 0, 0, 0], [2, 0, 0, 0, 2, 2, 2], [-1, 3, 1, 1, 6, 6, 4]],
        2: [[0, -1, 0, 1, 0, 0, 0]],
    }
    for row, history in enumerate(HISTORIES):
        context, last, wait = torch.zeros(4), torch.zeros(10), torch.zeros(1)
        if history:
            known = torch.tensor(numbers[row], dtype=torch.float32)
            known[:, 4:] = torch.log1p(known[:, 4:])
            visits = torch.stack([torch.tanh(sum(vectors[code] for code, _ in inside)) for _, inside in history])
            seen = torch.cat([visits, known], dim=1)
            states, last = gru(seen[None])[0][0], seen[-1]
            wait = torch.log1p(torch.tensor([history[-1][0]]))
            if len(history) > 1:
                energies = torch.stack([network.attention(torch.cat([h, last]))[0] for h in states[:-1]])
                context = torch.softmax(energies, dim=0) @ states[:-1]
        known = [network.person(batch)[row], last, wait]
        if network.outline is not None:
            plain = network.measurements(batch, presence(network.codes, batch, None))
            known.append(network.outline(plain)[row])
        shared = torch.cat([*known, context])
        outcome = []
        for layers in network.events:
            hidden = torch.relu(layers.deep[0](shared))
            outcome.append(layers.output(torch.cat([shared, hidden]) if outlined else hidden))
        wanted = torch.cat([*outcome, network.none.output(shared)])
        torch.testing.assert_close(network(batch)[row], wanted, rtol=1e-5, atol=1e-5)


def test_foresight_by_hand() -> None:
    network, batch = network_of(), Batch.of(samples_of(HISTORIES))
    with torch.no_grad():
        for layer in (network.next_codes, network.next_values):
            layer.weight.zero_()
        network.next_codes.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
        network.next_values.bias.copy_(torch.tensor([0.5, 1.0]))
    assert network.read(batch)[1].item() == 0  # only training foresees
    s = lambda x: np.log1p(np.exp(-x))  # noqa: E731  -log sigmoid(x)
    # the second visit of the first history has code a; the third b and c, with b = -1 and c = 3
    wrong = (s(0) + s(-1) + s(1) + s(-2) + s(0) + s(1) + s(-1) + s(-2)) / 8
    error = ((0.5 + 1) ** 2 + (1 - 3) ** 2) / 2
    network.train()
    assert network.read(batch)[1].item() == pytest.approx(wrong + error, rel=1e-5)


DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """A rising L//X brings death, soon; S//LISTED brings a transplant; a third is lost to follow-up."""
    rng = np.random.default_rng(0)
    rows = []
    for who in range(300):
        slope, listed = rng.normal(0, 1), rng.random() < 0.3
        for step, day in enumerate((400, 300, 200, 100, 20)):
            rows.append((who, INDEX - day * DAY, "L//X", slope * step + rng.normal(0, 0.3)))
        if listed:
            rows.append((who, INDEX - 20 * DAY, "S//LISTED", None))
        death = rng.exponential(300 * np.exp(-1.5 * slope))
        transplant = rng.exponential(200) if listed else np.inf
        lost = rng.uniform(50, 1200)
        first = min(death, transplant, lost)
        if first < lost:
            code = "O//DEATH" if death < transplant else "O//TRANSPLANT"
            rows.append((who, INDEX + int(first * DAY) + DAY, code, None))
        rows.append((who, INDEX + int(max(first, 2) * DAY) + 2 * DAY, "C//LAST", None))
    who_, when, what, number = zip(*rows, strict=True)
    table = pa.table(
        {
            "subject_id": who_,
            "time": pa.array(when, pa.timestamp("us")),
            "code": what,
            "numeric_value": pa.array(number, pa.float32()),
        }
    )
    task = TimeToEvent({"death": ("O//DEATH",), "transplant": ("O//TRANSPLANT",)}, AtDates(("2020-01-01",)))
    return Cohort.of(table).split((0.5, 0.2, 0.3), seed=0).with_tasks(end=task)


@pytest.fixture(scope="module")
def head(cohort: Cohort) -> mg.DynamicDeepHit:
    small = {"vector_size": 4, "hidden_size": 16, "variables": 2, "bins": 8, "dropout": 0.1}
    return mg.DynamicDeepHit(**small, epochs=15, learning_rate=0.01, batch_size=32).fit(cohort, "end", progress=False)


def test_orders_each_event_by_its_own_cause(head: mg.DynamicDeepHit, cohort: Cohort) -> None:
    found = head.predict_proba(cohort.held_out)
    days = found.label[:, 0].astype(np.float64)
    for number, (name, least) in enumerate({"death": 0.75, "transplant": 0.7}.items(), start=1):
        event, risk = found.label[:, 1] == number, found.within(365.0, name)
        ours = concordance_of(days, event, risk)(np.ones((1, days.size))).item()
        pairs = [(i, j) for i in np.flatnonzero(event) for j in np.flatnonzero(days > days[i])]
        right = [(risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]) for i, j in pairs]
        assert ours == pytest.approx(np.mean(right), abs=1e-9)
        assert ours > least
        censored = found.label[:, 1] == 0
        score = censored_squared_errors(days, event, censored, risk, 365.0).mean()
        share = ((days <= 365) & event).mean()
        base = censored_squared_errors(days, event, censored, np.full(days.size, share), 365.0).mean()
        assert score < base


def test_what_moved_a_death_is_its_measurement_and_adds_up(head: mg.DynamicDeepHit, cohort: Cohort) -> None:
    found = head.predict_proba(cohort.held_out)
    who = int(found.subject_id[np.argmax(found.within(365.0, "death"))])
    why = head.explain(cohort.held_out, who, output="death", within=365.0)
    assert why.within == 365.0
    assert why.probability == pytest.approx(found.within(365.0, "death").max(), abs=1e-5)
    assert why.rest + why.contribution.sum() == pytest.approx(why.logit, abs=0.01)
    assert why.codes[int(np.argmax(why.contribution))] == "L//X"
    with pytest.raises(SchemaError, match=r"from 0 to .* days ahead"):
        head.explain(cohort.held_out, who, within=1e6)


def test_without_the_ranking_and_foresight_it_still_learns_and_settings_are_checked(cohort: Cohort) -> None:
    plain = mg.DynamicDeepHit(
        vector_size=4, hidden_size=8, variables=2, bins=4, epochs=2, ranking=0.0, foresight=0.0
    ).fit(cohort, "end", progress=False)
    assert plain.history_[1]["loss"] < plain.history_[0]["loss"]
    for wrong in ({"sigma": 0.0}, {"ranking": -1.0}, {"hidden_size": 0}):
        with pytest.raises(SchemaError, match=next(iter(wrong))):
            mg.DynamicDeepHit(**wrong)
