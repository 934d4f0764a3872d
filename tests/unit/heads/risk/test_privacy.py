"""Differential privacy: the accountant against known values, the mechanism step by step, no other leak."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import norm

import medgraph as mg
from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.tasks import CodeWithin, TimeToEvent
from medgraph.errors import SchemaError
from medgraph.heads.risk.base import RiskHead
from medgraph.heads.risk.learning import Learning
from medgraph.heads.risk.privacy import DifferentialPrivacy, Spent, choose_codes, epsilon_of, gaussian_noise, noise_for
from medgraph.heads.risk.private_learning import PrivateLearning, Subjects
from medgraph.heads.risk.tensors import Batch

pytest.importorskip("opacus")
DAY = 86_400_000_000
INDEX = int(np.datetime64("2020-01-01", "us").astype(np.int64))
FIRST = 7_310_000_001
RARE = "R//ONLY-ONE-HAS-IT"
AT = AtDates(("2019-06-01", "2020-01-01"))  # two samples a subject


def people(n: int = 90, codes: int = 6, seed: int = 0) -> Cohort:
    """Codes and outcomes that have nothing to do with each other: what is learned is who is there."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, str, float | None]] = []
    for number in range(n):
        who = FIRST + number
        for _ in range(4):
            when = INDEX - int(rng.integers(230, 700)) * DAY
            rows.append((who, when, f"C//{rng.integers(codes)}", float(rng.normal(5, 2))))
        if number == 0:
            rows.append((who, INDEX - 300 * DAY, RARE, None))
        if rng.random() < 0.5:
            rows.append((who, INDEX + int(rng.integers(5, 300)) * DAY, "O//OUT", None))
        rows.append((who, INDEX + 900 * DAY, "C//0", None))
    who_, when_, what, value = zip(*sorted(rows, key=lambda r: r[:2]), strict=True)
    table = pa.table(
        {
            "subject_id": pa.array(who_, pa.int64()),
            "time": pa.array(when_, pa.timestamp("us")),
            "code": pa.array(what, pa.string()),
            "numeric_value": pa.array(value, pa.float32()),
        }
    )
    return (
        Cohort.of(table)
        .split((0.6, 0.1, 0.3), seed=1)
        .with_tasks(
            out=CodeWithin(("O//OUT",), 600, AT),
            when=TimeToEvent({"out": ("O//OUT",)}, AT, horizon_days=600),
            endless=TimeToEvent({"out": ("O//OUT",)}, AT),
        )
    )


def public(codes: int = 6) -> CodeVocabulary:
    """Known from elsewhere."""
    ones = np.ones(codes, dtype=np.int64)
    return CodeVocabulary(tuple(f"C//{i}" for i in range(codes)), ones, ones, np.full(codes, 5.0), np.full(codes, 2.0))


def head(privacy: DifferentialPrivacy | None, **more: object) -> RiskHead:
    plain = {"vector_size": 4, "filters": 4, "batch_size": 18, "epochs": 2, "dropout": 0.0, "bins": 4}
    return mg.Deepr(**{**plain, **more}, privacy=privacy)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return people()


# How much noise ------------------------------------------------------------------------------------------------------


def test_epsilon_is_the_published_one() -> None:
    """Abadi et al. (2016), section 5.1: q = .01, σ = 4, 10,000 steps, δ = 1e-5 give 1.26; later bounds are tighter."""
    assert 0.9 < epsilon_of(4.0, 0.01, 10_000, 1e-5) <= 1.26


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_epsilon_without_sampling_is_not_below_the_exact_one(accountant: str) -> None:
    """T steps with everyone are one Gaussian mechanism with μ = √T / σ, whose δ(ε) is exact (Balle & Wang 2018)."""
    noise, steps, delta = 5.0, 20, 1e-5
    mu = math.sqrt(steps) / noise

    def exact(epsilon: float) -> float:
        return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu))

    told = epsilon_of(noise, 1.0, steps, delta, accountant)  # type: ignore[arg-type]
    assert exact(told) <= delta
    assert exact(0.8 * told) > delta  # and not by far


def test_noise_is_the_least_that_is_enough() -> None:
    noise = noise_for(2.0, 1e-5, 0.05, 300)
    assert epsilon_of(noise, 0.05, 300, 1e-5) <= 2.0 < epsilon_of(noise * 0.99, 0.05, 300, 1e-5)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (0.9, 1e-5), (5.0, 1e-3)])
def test_gaussian_noise_has_the_exact_delta(epsilon: float, delta: float) -> None:
    """δ = P(L > ε) - e^ε P(L' < -ε) of the privacy losses L ~ N(1/2σ², 1/σ²), here integrated."""
    sigma = gaussian_noise(epsilon, delta)
    x = np.linspace(-40 * sigma - 40, 40 * sigma + 40, 2_000_001)
    gap = norm.pdf(x, 1, sigma) - math.exp(epsilon) * norm.pdf(x, 0, sigma)
    assert trapezoid(np.maximum(gap, 0), x) == pytest.approx(delta, rel=5e-3)
    if epsilon < 1:
        assert sigma < math.sqrt(2 * math.log(1.25 / delta)) / epsilon  # Dwork & Roth (2014), theorem A.1


# The mechanism -------------------------------------------------------------------------------------------------------


def learning(cohort: Cohort, noise: float, clip: float = 0.05, **more: object) -> PrivateLearning:
    model = head(DifferentialPrivacy(epsilon=1.0, delta=1e-3, max_grad_norm=clip, noise_seed=3, **more))  # type: ignore[arg-type]
    fitted = head(None, epochs=1).fit(cohort, "out", progress=False)._fitted()
    subjects = Subjects(cohort.train.timelines("out", fitted.vocabulary))
    assert model.privacy is not None
    return PrivateLearning(model, fitted.network.train(), fitted.target, subjects, model.privacy, noise, {})


def flat(tensors: list[torch.Tensor]) -> np.ndarray:
    return torch.cat([t.detach().flatten() for t in tensors]).double().numpy()


def test_a_subject_is_clipped_with_all_its_samples(cohort: Cohort) -> None:
    task = learning(cohort, 0.0)
    assert len(task.subjects) == 54
    assert len(task.subjects.samples) == 108
    for number in range(5):
        samples = task.subjects.of(number)
        assert len(set(samples.subject_id)) == 1
        assert len(samples) == 2
        loss = task.head._loss(task.module, task.target, Batch.of(samples))
        by_hand = flat(list(torch.autograd.grad(loss, task.trained)))
        clipped = flat(task.clipped(number))
        assert np.linalg.norm(by_hand) > 0.05
        assert np.linalg.norm(clipped) == pytest.approx(0.05, rel=1e-4)
        assert clipped @ by_hand == pytest.approx(np.linalg.norm(by_hand) * 0.05, rel=1e-4)
    wide = learning(cohort, 0.0, clip=1e6)
    loss = wide.head._loss(wide.module, wide.target, Batch.of(wide.subjects.of(0)))
    np.testing.assert_allclose(flat(wide.clipped(0)), flat(list(torch.autograd.grad(loss, wide.trained))), rtol=1e-5)


def test_a_step_is_the_drawn_subjects_sum_and_noise(cohort: Cohort) -> None:
    quiet, loud = learning(cohort, 0.0), learning(cohort, 2.0)
    loud.module.load_state_dict(quiet.module.state_dict())
    steps = range(12)
    drawn = [np.flatnonzero(np.random.default_rng([3, step + 1]).random(54) < 18 / 54) for step in steps]
    by_hand = sum(flat(quiet.clipped(int(number))) for number in drawn[0]) / 18
    np.testing.assert_allclose(flat(quiet.gradient(0)), by_hand, atol=1e-7)
    noise = np.concatenate([flat(loud.gradient(step)) - flat(quiet.gradient(step)) for step in steps])
    noise = noise[noise != 0]  # the row of no code has none
    assert noise.std() == pytest.approx(2.0 * 0.05 / 18, rel=0.1)
    assert abs(noise.mean()) < 4 * noise.std() / math.sqrt(noise.size)
    sizes = np.array([(np.random.default_rng([3, step]).random(54) < 18 / 54).sum() for step in range(1, 2001)])
    assert sizes.mean() == pytest.approx(18, abs=0.4)  # Poisson sampling: batches differ in size, as a binomial does
    assert sizes.var() == pytest.approx(54 / 3 * 2 / 3, rel=0.1)


def test_the_optimiser_takes_just_that_gradient(cohort: Cohort) -> None:
    task = learning(cohort, 1.0)
    wanted = flat(task.gradient(4))
    task.optimiser.zero_grad()
    loss = task.losses(4, 0.0)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(flat([p.grad for p in task.trained]), wanted, rtol=1e-5)  # type: ignore[misc]


def test_codes_that_few_have_are_not_chosen() -> None:
    subject = np.repeat(np.arange(1000), 3)
    code = np.concatenate([[0, 1, 2 + (i == 0)] for i in range(1000)])  # everyone has 0 and 1, one alone has 3
    passed = np.zeros(5, dtype=int)
    for seed in range(200):
        rows, counts = choose_codes(subject, code, 5, 1.0, 1e-3, 3, np.random.default_rng(seed))
        passed[rows] += 1
        assert counts == pytest.approx(np.full(3, 1000), abs=40)
    assert passed.tolist() == [200, 200, 200, 0, 0]


def test_a_lone_code_passes_as_rarely_as_delta_says() -> None:
    """One code, one subject: half of δ."""
    rng = np.random.default_rng(0)
    one = np.array([1])
    passed = sum(choose_codes(one, np.array([0]), 1, 2.0, 0.2, 1, rng)[0].size for _ in range(5000))
    assert passed / 5000 == pytest.approx(0.1, abs=0.015)


def test_a_subject_counts_for_so_many_codes_only() -> None:
    subject, code = np.repeat(np.arange(400), 10), np.tile(np.arange(10), 400)
    _, counts = choose_codes(subject, np.concatenate([code]), 10, 1e6, 1e-6, 2, np.random.default_rng(0))
    assert counts.sum() == pytest.approx(800, abs=1)


# A head --------------------------------------------------------------------------------------------------------------


def test_spent_is_reported_and_saved(cohort: Cohort, tmp_path: Path) -> None:
    model = head(DifferentialPrivacy(epsilon=3.0, delta=1e-3, vocabulary=public())).fit(cohort, "out", progress=False)
    spent = model.privacy_
    assert isinstance(spent, Spent)
    assert 2.9 < spent.epsilon <= 3
    assert (spent.delta, spent.codes_epsilon, spent.steps, spent.unit) == (1e-3, 0, 2 * 3, "subject")
    assert spent.sample_rate == pytest.approx(18 / 54)
    assert spent.epsilon == pytest.approx(epsilon_of(spent.noise_multiplier, 18 / 54, 6, 1e-3))
    model.save(tmp_path / "head")
    assert mg.Deepr.load(tmp_path / "head").privacy_ == spent
    manifest = json.loads((tmp_path / "head" / "manifest.json").read_text())
    assert manifest["metrics"]["privacy"]["epsilon"] == spent.epsilon
    card = (tmp_path / "head" / "card.md").read_text()
    assert "differential privacy: (ε = 3, δ = 0.001) for each subject: 6 steps" in card
    assert head(None, epochs=1).fit(cohort, "out", progress=False).privacy_ is None


def test_nothing_else_of_the_data_is_kept(cohort: Cohort, tmp_path: Path) -> None:
    private = DifferentialPrivacy(epsilon=50.0, delta=1e-2, codes_per_subject=5, vocabulary_share=0.5, noise_seed=0)
    model = head(private, epochs=1).fit(cohort, "out", progress=False)
    assert 0.5 * 50 < model.privacy_.epsilon <= 50  # type: ignore[union-attr]
    model.save(tmp_path / "head")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "head").iterdir())
    assert RARE.encode() not in everything
    assert cohort.fingerprint.encode() not in everything
    manifest = json.loads((tmp_path / "head" / "manifest.json").read_text())
    assert manifest["metrics"]["history"] == [{"epoch": 0.0}]
    assert manifest["metrics"]["counts"] == {}
    assert np.isnan(model._fitted().vocabulary.mean).all()
    assert "NOT PRIVATE" in model.notes_[-1]
    plain = head(None, epochs=1).fit(cohort, "out", progress=False)
    plain.save(tmp_path / "plain")
    assert RARE.encode() in b"".join(path.read_bytes() for path in (tmp_path / "plain").iterdir())  # it can fail


def test_tuning_is_not_read(cohort: Cohort) -> None:
    """Other tuning subjects, the same weights; the bins of survival are those of the task."""
    private = DifferentialPrivacy(epsilon=3.0, delta=1e-3, vocabulary=public(), noise_seed=5)
    other = Cohort(
        cohort.shards,
        splits={**cohort.splits, "tuning": cohort.splits["held_out"], "held_out": cohort.splits["tuning"]},
        tasks=cohort.tasks,
    )
    one, two = (head(private).fit(c, "when", progress=False)._fitted() for c in (cohort, other))
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, two.network.state_dict()[name])
    assert one.target.edges == (150.0, 300.0, 450.0, 600.0)  # type: ignore[attr-defined]
    assert one.calibrator is None


def test_noise_is_new_in_each_fit_unless_a_test_fixes_it(cohort: Cohort) -> None:
    def weights(noise_seed: int | None) -> np.ndarray:
        private = DifferentialPrivacy(epsilon=3.0, delta=1e-3, vocabulary=public(), noise_seed=noise_seed)
        fitted = head(private, epochs=1).fit(cohort, "out", progress=False)._fitted()
        return flat(list(fitted.network.state_dict().values()))

    assert not np.allclose(weights(None), weights(None))
    np.testing.assert_array_equal(weights(4), weights(4))


def test_resumed_it_comes_to_the_same_weights(cohort: Cohort, tmp_path: Path) -> None:
    private = DifferentialPrivacy(epsilon=3.0, delta=1e-3, vocabulary=public(), noise_seed=4)
    whole = head(private).fit(cohort, "out", checkpoint=tmp_path / "a", progress=False)
    again = head(private).fit(cohort, "out", checkpoint=tmp_path / "a", resume=True, progress=False)
    for name, tensor in whole._fitted().network.state_dict().items():
        assert torch.equal(tensor, again._fitted().network.state_dict()[name])
    with pytest.raises(SchemaError, match="epochs"):  # more epochs need more noise from the start
        head(private, epochs=9).fit(cohort, "out", checkpoint=tmp_path / "a", resume=True, progress=False)


def test_an_overfitted_head_gives_its_members_away_and_a_private_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of codes, each had by few, and outcomes at random: only memory can tell them."""
    crowd = people(240, codes=400, seed=3)
    size = {"vector_size": 16, "filters": 32, "batch_size": 36, "learning_rate": 0.02, "calibrator": None}
    epoch = itertools.count()
    monkeypatch.setattr(Learning, "validate", lambda self: {"tuning_log_loss": -next(epoch)})  # never stops early
    memory = head(None, **size, epochs=25).fit(crowd, "out", progress=False).membership(crowd)
    private = head(DifferentialPrivacy(epsilon=1.0, delta=1e-3, vocabulary=public(400)), **size, epochs=3)
    bounded = private.fit(crowd, "out", progress=False).membership(crowd)
    assert memory.auroc.low > 0.75
    assert bounded.auroc.low < 0.5 < bounded.auroc.high
    assert bounded.auroc.value < memory.auroc.value - 0.2


def test_refusals(cohort: Cohort) -> None:
    private = DifferentialPrivacy(epsilon=1.0, delta=1e-3, vocabulary=public())
    small = {"epochs": 1, "vector_size": 4}
    for name in ("GRUD", "DeepPatient"):
        with pytest.raises(SchemaError, match=f"{name} takes more from the training samples"):
            getattr(mg, name)(**small, privacy=private).fit(cohort, "out", progress=False)
    with pytest.raises(SchemaError, match="DynamicDeepHit takes more"):
        mg.DynamicDeepHit(**small, privacy=private).fit(cohort, "when", progress=False)
    with pytest.raises(SchemaError, match="class counts"):
        head(private, balance=True).fit(cohort, "out", progress=False)
    with pytest.raises(SchemaError, match="horizon_days"):
        head(private).fit(cohort, "endless", progress=False)
    with pytest.raises(SchemaError, match="protects nobody among 54"):
        head(DifferentialPrivacy(epsilon=1.0, delta=0.1, vocabulary=public())).fit(cohort, "out", progress=False)
    with pytest.raises(SchemaError, match="choose its codes twice"):
        head(DifferentialPrivacy(epsilon=1.0, delta=1e-3)).fit(cohort, "out", checkpoint="x", progress=False)
    with pytest.raises(SchemaError, match="No code is had by enough subjects"):
        head(DifferentialPrivacy(epsilon=0.1, delta=1e-6)).fit(cohort, "out", progress=False)
    with pytest.raises(SchemaError, match="whole split cohort"):
        head(None, epochs=1).fit(cohort, "out", progress=False).membership(cohort.train)
    for wrong in ({"epsilon": 0.0}, {"delta": 1.0}, {"max_grad_norm": 0.0}, {"vocabulary_share": 1.0}):
        with pytest.raises(SchemaError, match="DifferentialPrivacy"):
            DifferentialPrivacy(**{"epsilon": 1.0, "delta": 1e-3, **wrong})  # type: ignore[arg-type]
