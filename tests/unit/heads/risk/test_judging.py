"""Evaluation: figures beside scikit-learn's, costs by hand, subgroups, baselines on planted data, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.prediction_times import AtDates
from medgraph.data.samples import Samples
from medgraph.data.tasks import CodeWithin, TimeToEvent
from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.survival import concordance_of
from medgraph.heads.risk.baselines import (
    AgeSex,
    CountBoosting,
    CountCox,
    CountLogistic,
    LastValues,
    Popularity,
    default_baselines,
)
from medgraph.heads.risk.cnn import Deepr
from medgraph.heads.risk.groups import age_bands, sexes
from medgraph.heads.risk.judging import Costs, decide, report_of, statistics_of
from medgraph.heads.risk.predictions import RiskPredictions
from medgraph.heads.risk.targets import HazardTarget, LabelTarget

RNG = np.random.default_rng(0)
CODES = ("GENDER//F", "GENDER//M", "lab", "x", "y")


def samples_of(n: int, seed: int) -> tuple[Samples, np.ndarray]:
    """One visit each, of two events; women, the old, and those whose last lab is high are at risk."""
    rng = np.random.default_rng(seed)
    sex, age, lab, x = rng.integers(2, size=n), rng.uniform(20, 90, n), rng.normal(size=n), rng.integers(3, 5, size=n)
    risk = 1 / (1 + np.exp(-(1.5 * (sex == 0) + 1.5 * (age > 60) + 2 * lab + 2 * (x == 3) - 2.5)))
    vocabulary = CodeVocabulary(
        CODES, np.full(5, n), np.full(5, n), np.array([np.nan] * 2 + [0.0] + [np.nan] * 2), np.array([np.nan] * 5)
    )
    samples = Samples(
        vocabulary,
        np.arange(n, dtype=np.int64) // 2,
        np.full(n, np.datetime64("2020-01-01", "us")),
        (rng.random(n) < risk).astype(np.float32),
        age.astype(np.float32),
        np.arange(n + 1, dtype=np.int64),
        np.arange(0, 2 * n + 1, 2, dtype=np.int64),
        np.column_stack([np.full(n, 2), x]).ravel().astype(np.int32),
        np.column_stack([lab, np.full(n, np.nan)]).ravel().astype(np.float32),
        np.full(2 * n, 3.0, dtype=np.float32),
        np.arange(n + 1, dtype=np.int64),
        sex.astype(np.int32),
        np.zeros(n, dtype=np.int64),
    )
    return samples, risk


TRAIN, TUNING = samples_of(800, 1)[0], samples_of(400, 2)[0]
SEEN, RISK = samples_of(600, 3)
BINARY = LabelTarget("binary", ("out",), (1.0,))


def found_of(samples: Samples, risk: np.ndarray, kind: str = "binary") -> RiskPredictions:
    names = ("out",) if kind == "binary" else ("a", "b")
    return RiskPredictions(kind, names, samples.subject_id, samples.prediction_time, samples.label, risk)


def test_a_report_has_scikit_learns_figures_and_says_who_is_worse_off(tmp_path: Path) -> None:
    rivals = {"model": RISK, "coin": RNG.random(600)}
    report = report_of(found_of(SEEN, RISK), rivals, SEEN, Costs(), 100, 0, "held_out", "Will it?", {"odd": 3}, ())
    assert report.metrics["AUROC"] == pytest.approx(roc_auc_score(SEEN.label, RISK))
    assert report.metrics["AUPRC"] == pytest.approx(average_precision_score(SEEN.label, RISK))
    gain = report.gains["coin"]["AUROC"]
    assert gain.value == pytest.approx(report.metrics["AUROC"] - report.estimates["coin"]["AUROC"].value)
    assert gain.low > 0
    women = next(g for g in report.subgroups if g.name == "F")
    mine = sexes(SEEN) == "F"
    assert women.observed == pytest.approx(SEEN.label[mine].mean())
    assert women.discrimination is not None
    assert women.discrimination.value == pytest.approx(roc_auc_score(SEEN.label[mine], RISK[mine]))
    assert {g.name for g in report.subgroups if g.by == "age"} == {"18-39", "40-64", "65-79", "80+"}
    assert report.subjects == 300
    assert "3 odd" in str(report)
    plain = json.loads(report.save(tmp_path / "r.json").read_text(encoding="utf-8"))
    assert plain["estimates"]["model"]["AUROC"]["value"] == report.metrics["AUROC"]
    assert "subject_id" not in str(plain)


def test_the_order_of_a_whole_follow_up_rests_on_the_mean_risk_over_the_bins() -> None:
    """Risks cross: at any one day a pair is ordered wrongly or not at all; their means order all."""
    label = np.array([[5.0, 1], [18.0, 1], [25.0, 1], [40.0, 0]], dtype=np.float32)
    risk = np.array([[0.6, 0.7, 0.8], [0.1, 0.7, 0.9], [0.1, 0.2, 0.95], [0.05, 0.1, 0.3]])[:, None]
    one = ("survival", ("death",), np.arange(4), np.full(4, np.datetime64("2020-01-01", "us")), label)
    told = statistics_of(RiskPredictions(*one, risk, (10.0, 20.0, 30.0)), risk)
    assert told["C death"](np.ones((1, 4))).item() == 1.0
    assert told["Brier death, 20 d"](np.ones((1, 4))).item() == pytest.approx((0.3**2 * 2 + 0.2**2 + 0.1**2) / 4)
    for column in range(3):
        alone = concordance_of(label[:, 0].astype(np.float64), label[:, 1] == 1, risk[:, 0, column])
        assert alone(np.ones((1, 4))).item() < 1.0


def test_one_class_cannot_be_judged() -> None:
    found = found_of(SEEN, RISK)
    object.__setattr__(found, "label", np.ones(600, dtype=np.float32))
    with pytest.raises(SchemaError, match="same outcome"):
        report_of(found, {"m": RISK}, SEEN, Costs(), 10, 0, "", "", {}, ())


def test_costs_by_hand() -> None:
    assert Costs(missed=4.0, false_alarm=1.0).threshold == 0.2
    truth = np.array([True, True, False, False, False])
    found = decide(truth, np.array([0.9, 0.1, 0.5, 0.05, 0.2]), Costs(4.0, 1.0))
    assert (found.alarms, found.sensitivity, found.specificity, found.precision) == (0.4, 0.5, 2 / 3, 0.5)
    assert (found.cost, found.cost_none, found.cost_all) == pytest.approx((1.0, 1.6, 0.6))
    with pytest.raises(SchemaError, match="above 0"):
        Costs(missed=0.0)


def test_true_probabilities_make_the_threshold_the_cheapest() -> None:
    costs = Costs(3.0, 1.0)
    samples, risk = samples_of(4000, 9)
    truth = samples.label == 1
    at = {t: np.where(risk > t, ~truth * 1.0, truth * 3.0).mean() for t in np.arange(0.05, 1, 0.1)}
    assert decide(truth, risk, costs).cost <= min(at.values()) + 0.01


@pytest.mark.parametrize(
    ("baseline", "low", "high"),
    [(AgeSex(), 0.6, 0.75), (CountLogistic(), 0.68, 0.82), (CountBoosting(), 0.68, 0.82), (LastValues(), 0.8, 0.92)],
    ids=lambda value: type(value).__name__ if not isinstance(value, float) else "",
)
def test_baselines_find_what_is_theirs_to_find(baseline: AgeSex, low: float, high: float) -> None:
    p = baseline.fit(TRAIN, TUNING, BINARY, 0)(SEEN)
    assert p.shape == (600,)
    assert low < roc_auc_score(SEEN.label, p) < high
    assert p.mean() == pytest.approx(SEEN.label.mean(), abs=0.06)


def test_popularity_is_the_share_of_the_group() -> None:
    labels = np.column_stack([TRAIN.label, 1 - TRAIN.label])
    object.__setattr__(train := TRAIN.take(np.arange(800)), "label", labels)
    target = LabelTarget("multilabel", ("a", "b"), (1.0, 1.0))
    found = Popularity(prior=0.0).fit(train, train, target, 0)(SEEN)
    old = (age_bands(TRAIN) == "65-79") & (sexes(TRAIN) == "F")
    mine = (age_bands(SEEN) == "65-79") & (sexes(SEEN) == "F")
    np.testing.assert_allclose(found[mine], np.tile(labels[old].mean(axis=0), (mine.sum(), 1)), rtol=1e-6)
    linear = CountLogistic().fit(train, train, target, 0)(SEEN)
    np.testing.assert_allclose(linear.sum(axis=1), 1, atol=0.02)


def test_cox_orders_competing_events_and_its_risks_are_right_on_average() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for seed, n in ((1, 800), (2, 300), (3, 600)):
        samples, _ = samples_of(n, seed)
        x = (samples.codes.reshape(n, 2)[:, 1] == 3).astype(float)
        times = rng.exponential([np.exp(-1.2 * x) * 30, np.full(n, 60.0), np.full(n, 80.0)]).T
        label = np.column_stack([times.min(axis=1), [1, 2, 0] @ np.eye(3)[times.argmin(axis=1)].T]).astype(np.float32)
        object.__setattr__(samples, "label", label)
        parts.append(samples)
    target = HazardTarget.of(("death", "other"), parts[0].label, 5)
    risk = CountCox().fit(parts[0], parts[1], target, 0)(parts[2])
    assert risk.shape == (600, 2, 5)
    x = parts[2].codes.reshape(600, 2)[:, 1] == 3
    edge = target.edges[2]
    rates = np.where(x, np.exp(1.2) / 30, 1 / 30)
    total = rates + 1 / 60
    true = rates / total * (1 - np.exp(-total * edge))  # P(death by the edge, before the other event)
    assert risk[x, 0, 2].mean() == pytest.approx(true[x].mean(), abs=0.06)
    assert risk[~x, 0, 2].mean() == pytest.approx(true[~x].mean(), abs=0.06)


def test_baselines_that_suit_the_task() -> None:
    assert [b.name for b in default_baselines(BINARY, TRAIN)] == [
        "age and sex", "last values", "logistic regression", "gradient boosting"
    ]  # fmt: skip
    assert default_baselines(LabelTarget("multilabel", ("a",), (1.0,)), TRAIN)[0] == Popularity()
    names = [b.name for b in default_baselines(HazardTarget("survival", ("a",), (1.0,)), TRAIN)]
    assert names == ["Cox, age and sex", "Cox"]


def test_risks_within_days_are_linear_between_the_horizons() -> None:
    found = found_of(SEEN.take(np.arange(2)), np.array([[[0.2, 0.4]] * 2, [[0.0, 1.0]] * 2]), "survival")
    object.__setattr__(found, "days", (10.0, 20.0))
    np.testing.assert_allclose(found.within(5.0), [0.1, 0])
    np.testing.assert_allclose(found.within(15.0, "b"), [0.3, 0.5])
    np.testing.assert_allclose(found.within(99.0), [0.4, 1])
    assert list(found.to_pandas().columns) == ["subject_id", "prediction_time", "a", "b"]
    with pytest.raises(SchemaError, match="survival"):
        found_of(SEEN, RISK).within(3.0)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("GENDER//F", "F"),
        ("SEX//female", "female"),
        ("MEDS_SEX//M", "M"),
        ("Gender/8507", "8507"),
        ("SEXUAL//x", "unknown"),
    ],
)
def test_sex_is_read_from_codes_without_a_time(code: str, wanted: str) -> None:
    samples = SEEN.take(np.arange(3))
    vocabulary = CodeVocabulary((code, *CODES[1:]), *(np.zeros(5),) * 4)
    object.__setattr__(samples, "vocabulary", vocabulary)
    object.__setattr__(samples, "static_codes", np.array([0, 0, 3], dtype=np.int32))
    assert sexes(samples).tolist() == [wanted, wanted, "unknown"]


def cohort_of(n: int = 150) -> Cohort:
    start, day = int(np.datetime64("2020-01-01", "us").astype(np.int64)), 86_400_000_000
    rows = []
    for who in range(n):
        rows += [(who, start - day * (9 + who % 50), f"C//{who % 5}"), (who, start + 500 * day, "END")]
        if who % 5 < 2 or who % 7 == 0:
            rows.append((who, start + day * (5 + who % 30), "OUT"))
    who_, when, what = zip(*rows, strict=True)
    table = pa.table({"subject_id": who_, "time": pa.array(when, pa.timestamp("us")), "code": what})
    at = AtDates(("2020-01-01",))
    tasks = {"out": CodeWithin(("OUT",), 365, at), "when": TimeToEvent({"out": ("OUT",)}, at, 365)}
    return Cohort.of(table).split((0.5, 0.2, 0.3), seed=0).with_tasks(**tasks)


def test_trained_subjects_are_refused_and_a_loaded_head_asks_for_train(tmp_path: Path) -> None:
    cohort = cohort_of()
    head = Deepr(vector_size=4, filters=4, epochs=2, device="cpu").fit(cohort, "out", progress=False)
    with pytest.raises(SchemaError, match="75 of these 75 subjects were trained on"):
        head.evaluate(cohort.train)
    report = head.evaluate(cohort.held_out, n_bootstrap=20)
    assert list(report.estimates) == ["Deepr", "age and sex", "logistic regression", "gradient boosting"]
    assert report.part == "held_out"
    head.save(tmp_path / "head")
    loaded = Deepr.load(tmp_path / "head")
    with pytest.raises(NotFittedError, match="pass train=cohort"):
        loaded.evaluate(cohort.held_out)
    again = loaded.evaluate(cohort.held_out, train=cohort, n_bootstrap=20)
    assert again.to_dict() == report.to_dict()
    assert list(loaded.evaluate(cohort.held_out, baselines=(), n_bootstrap=20).estimates) == ["Deepr"]
