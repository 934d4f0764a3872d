"""GRU-D beside a step worked by hand, and beside the paper's equations in a loop."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import CODES, NONE, samples_of

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin
from medgraph.errors import SchemaError
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.grud import FadingGRU
from medgraph.heads.risk.measurements import Measurements, Outline, presence
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch

HISTORIES = [
    [(10.0, [(1, 14.0)]), (8.0, [(0, NONE)]), (4.0, [(2, 3.0), (1, 6.0), (1, 8.0)]), (1.0, [(0, NONE), (2, NONE)])],
    [],
    [(3.0, [(2, -1.0), (3, NONE)])],
]  # b has mean 10 and deviation 2, c mean 0 and deviation 1


def measurements() -> Measurements:
    layer = Measurements(codes=4, variables=3)
    layer.column[1], layer.column[2] = 0, 1
    layer.used[:2] = 1
    layer.unit.fill_(2.0)
    return layer


def test_series_by_hand() -> None:
    series = measurements()(Batch.of(samples_of(HISTORIES)), torch.ones(9))
    b, c = (series.last[0, :, i].tolist() for i in (0, 1))
    assert b == [2.0, 2.0, -1.0, -1.0]  # (14 - 10) / 2, carried on, then the latest of two in a visit
    assert c == [0.0, 0.0, 3.0, 3.0]
    assert series.new[0, :, :2].tolist() == [[1, 0], [0, 0], [1, 1], [0, 0]]  # the last c has no number
    assert series.gap[0].tolist() == [0, 1, 2, 1.5]  # in units of two days
    assert series.age[0, :, 0].tolist() == [0, 1, 3, 1.5]  # since the measurement before this visit
    assert series.age[0, :, 1].tolist() == [0, 1, 3, 1.5]  # never measured until the third visit: since the first
    assert series.wait.tolist() == [0.5, 0, 1.5]
    assert series.final_age[:, :2].tolist() == [[2, 2], [0, 0], [1.5, 1.5]]
    for tensor in (series.last, series.new, series.age):
        assert not tensor[:, :, 2].any()  # a column without a code stays empty
        assert not tensor[1].any()
    assert series.last[2, 0].tolist() == [0, -1, 0]


def test_values_far_out_count_as_ten_deviations() -> None:
    series = measurements()(Batch.of(samples_of([[(1.0, [(2, 1e9), (1, -1e9)])]])), torch.ones(2))
    assert series.last[0, 0].tolist() == [-10, 10, 0]


def test_an_outline_is_numpys_means_and_a_fitted_line() -> None:
    history = [(30.0, [(2, 1.0)]), (21.0, [(2, -2.0), (1, 14.0)]), (9.0, [(0, NONE)]), (4.0, [(2, 0.5)])]
    layer = Outline(3, bent=True)
    found = layer(measurements()(Batch.of(samples_of([history, [], [(3.0, [(1, 7.0)])]]), width=6), torch.ones(6)))
    assert found.shape == (3, layer.size) == (3, 3 * 9 + 2)
    last, mean, trend, seen, *bends = (found[:, i * 3 : i * 3 + 3] for i in range(9))
    assert last.tolist() == [[2, 0.5, 0], [0, 0, 0], [-1.5, 0, 0]]
    np.testing.assert_allclose(mean[0], [2.0, np.mean([1, -2, 0.5]), 0], rtol=1e-6)
    days, values = np.array([0.0, 9.0, 26.0]) / 2, np.array([1, -2, 0.5])  # in units of two days
    slope = np.polyfit(days, values, 1)[0]
    spread = days.var() * 3
    np.testing.assert_allclose(trend[0], [0, slope * spread / (spread + 1), 0], rtol=1e-5)
    assert seen.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    for knot, bend in zip((-1.5, -0.75, 0.0, 0.75, 1.5), bends, strict=True):
        assert bend[0].tolist() == [2 - knot, max(0.0, 0.5 - knot), 0]
        assert bend[1:].tolist() == [[0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(found[:, -2:].exp() - 1, [[2, 15], [0, 0], [1.5, 1.5]], rtol=1e-5)


def network_of(hidden: int = 3) -> FadingGRU:
    torch.manual_seed(1)
    outline = Outline(3, bent=True)
    network = FadingGRU(CodeVectors.fresh(4, 2), Person(4), measurements(), outline, hidden, 2, dropout=0.5).eval()
    with torch.no_grad():
        network.readout.output.weight.normal_()
        network.input_rate.copy_(torch.tensor([0.3, 0.7, 0.2]))
        network.input_start.copy_(torch.tensor([0.1, -0.2, 0.0]))
        network.state_rate.weight.copy_(torch.randn(hidden, 4) * 0.3)
        network.state_rate.bias.copy_(torch.randn(hidden) * 0.1)
        network.codes.learned.mul_(5)
    return network


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_state_is_that_of_the_papers_equations_in_a_loop() -> None:
    """Che et al. 2018, equations 5 and 10 to 14, one sample, one step, one number at a time."""
    network, samples = network_of(), samples_of(HISTORIES)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    batch = Batch.of(samples)
    visits = torch.tanh(batch.per_visit(network.codes(batch.codes)))
    found = network.read(batch, network.measurements(batch, torch.ones(9)), visits).detach().numpy()
    mean, deviation, columns = {1: 10.0, 2: 0.0}, {1: 2.0, 2: 1.0}, {1: 0, 2: 1}

    def left(age: np.ndarray, gap: float) -> np.ndarray:
        rate = weights["state_rate.weight"] @ np.append(age, gap) + weights["state_rate.bias"]
        return np.exp(-np.maximum(0, rate))

    for row, history in enumerate(HISTORIES):
        h, before = np.zeros(3), None
        last, seen = {}, {}  # per variable: value, day
        for day, inside in history:
            gap = 0.0 if before is None else (before - day) / 2
            before = day
            first = history[0][0]
            age = np.array([(seen.get(i, first) - day) / 2 for i in (0, 1)] + [0.0])
            for code, value in inside:
                if code in columns and not math.isnan(value):
                    last[columns[code]] = (value - mean[code]) / deviation[code]
                    seen[columns[code]] = day
            mask = np.array([float(seen.get(i) == day) for i in range(3)])
            gamma = np.exp(-np.maximum(0, weights["input_rate"] * age + weights["input_start"]))
            carried = np.array([last.get(i, 0.0) for i in range(3)])
            x = mask * carried + (1 - mask) * gamma * carried  # the mean is 0
            visit = np.tanh(sum(weights["codes.learned"][1 + code] for code, _ in inside))
            z, r, c = np.split(weights["inputs.weight"] @ np.concatenate([x, mask, visit]) + weights["inputs.bias"], 3)
            h = left(age, gap) * h
            u_z, u_r = np.split(weights["states.weight"] @ h, 2)
            z, r = sigmoid(z + u_z), sigmoid(r + u_r)
            h = (1 - z) * h + z * np.tanh(c + weights["candidate.weight"] @ (r * h))
        if history:
            h = h * left(np.array([(seen.get(i, history[0][0])) / 2 for i in (0, 1)] + [0.0]), history[-1][0] / 2)
        np.testing.assert_allclose(found[row], h, rtol=1e-5, atol=1e-6)


def test_a_step_by_hand() -> None:
    network = network_of(hidden=1)
    with torch.no_grad():
        for layer in (network.states, network.candidate):
            layer.weight.fill_(2.0)
    known = torch.tensor([[0.0, math.log(3.0), 0.5]])
    # h = 0.5: z = s(0 + 1) = .731059, r = s(ln 3 + 1) = .890768, candidate = tanh(.5 + 2 * .890768 * .5) = .883340
    # (1 - z) * .5 + z * candidate = .134471 + .645773 = .780244
    r = 3 * math.e / (1 + 3 * math.e)
    z = math.e / (1 + math.e)
    wanted = (1 - z) * 0.5 + z * math.tanh(0.5 + r)
    assert wanted == pytest.approx(0.780244, abs=1e-6)
    assert network.step(known, torch.tensor([[0.5]])).item() == pytest.approx(wanted, abs=1e-6)


def test_an_event_without_its_vector_is_not_there() -> None:
    """Attributions rest on it: zero vectors give what a history of visits without codes and values gives."""
    network, samples = network_of(), samples_of(HISTORIES)
    batch = Batch.of(samples)
    own = network.codes(batch.codes)
    torch.testing.assert_close(presence(network.codes, batch, own), torch.ones(9))
    torch.testing.assert_close(presence(network.codes, batch, own * 0.25), torch.full((9,), 0.25))
    torch.testing.assert_close(network(batch, own), network(batch))
    emptied = samples_of([[(d, [(c, NONE) for c, _ in inside]) for d, inside in history] for history in HISTORIES])
    torch.testing.assert_close(network(batch, torch.zeros_like(own)), network(Batch.of(emptied), torch.zeros_like(own)))


DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))


def test_learns_from_values_that_are_often_missing() -> None:
    """A raised L//X a short while ago means O//OUT; the same codes come to all, half of them without a number."""
    rng = np.random.default_rng(0)
    rows = []
    for who in range(300):
        high = rng.random() < 0.5
        for day in np.sort(rng.choice(np.arange(2, 60), size=4, replace=False))[::-1].tolist():
            number = rng.normal(7.0 if high else 4.0, 1.0) if rng.random() < 0.6 else None
            rows.append((who, INDEX - day * DAY, "L//X", number))
            rows.append((who, INDEX - day * DAY, "L//Y", rng.normal(50, 10)))
        if rng.random() < (0.9 if high else 0.1):
            rows.append((who, INDEX + 20 * DAY, "O//OUT", None))
        rows.append((who, INDEX + 500 * DAY, "L//Y", None))
    who_, when, what, number_ = zip(*rows, strict=True)
    table = pa.table(
        {
            "subject_id": who_,
            "time": pa.array(when, pa.timestamp("us")),
            "code": what,
            "numeric_value": pa.array(number_, pa.float32()),
        }
    )
    cohort = Cohort.of(table).split(seed=0).with_tasks(out=CodeWithin(("O//OUT",), 365, AtDates(("2020-01-01",))))
    settings = {"vector_size": 4, "hidden_size": 8, "epochs": 15, "batch_size": 32, "learning_rate": 0.02}
    head = mg.GRUD(**settings, variables=4).fit(cohort, "out", progress=False)
    layer = head._fitted().network.measurements
    vocabulary = head._fitted().vocabulary
    assert {vocabulary.codes[i] for i in (layer.column >= 0).nonzero()[:, 0].tolist()} == {"L//X", "L//Y"}
    from sklearn.metrics import roc_auc_score

    found = head.predict_proba(cohort.held_out)
    assert roc_auc_score(found.label, found.probability) > 0.8
    plain = mg.VisitGRU(**settings, visit="time").fit(cohort, "out", progress=False).predict_proba(cohort.held_out)
    assert roc_auc_score(plain.label, plain.probability) < 0.7  # codes alone do not tell


def test_the_mean_gap_is_the_unit_of_time() -> None:
    class Train(Dataset):
        def __init__(self):
            self.timelines = SimpleNamespace(vocabulary=CODES)

        def in_order(self):
            return iter([samples_of(HISTORIES), samples_of(HISTORIES[:1])])

    layer = Measurements(4, 1)
    layer.learn(Train(), None)
    assert float(layer.unit) == 3.0  # 10 -> 8 -> 4 -> 1, twice
    assert layer.column.tolist() == [-1, 0, -1, -1]  # the commonest numeric code; there is room for one
    assert layer.used.tolist() == [1]


def test_refuses_sizes_below_one() -> None:
    with pytest.raises(SchemaError, match="variables=0"):
        mg.GRUD(variables=0)
