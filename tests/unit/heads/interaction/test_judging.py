"""A head beside its baselines: the figures are the plain ones, parts are by what was seen, reports come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bindings import planted
from scipy import stats

from medgraph import Affinities, MedgraphError, PairMeans, PairNeighbours
from medgraph.data.affinity_splits import AffinitySplit
from medgraph.errors import ArtefactError, FormatVersionError, SchemaError
from medgraph.evaluation.agreement import r2m, r2m_deepdta
from medgraph.evaluation.concordance import concordance_index
from medgraph.evaluation.enrichment import enrichment_factor
from medgraph.evaluation.metrics import auprc, auroc
from medgraph.heads.interaction.judging import default_baselines, judge
from medgraph.heads.interaction.report import InteractionReport


class Noisy:
    """The truth, and noise."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def scores(self, pairs: Affinities) -> np.ndarray:
        return pairs.value + self.noise * np.random.default_rng(0).normal(size=len(pairs))


@pytest.fixture(scope="module")
def split() -> AffinitySplit:
    return planted(drugs=30, targets=20).split(by="pair", fractions=(0.5, 0.2, 0.3), seed=0)


@pytest.fixture(scope="module")
def report(split: AffinitySplit) -> InteractionReport:
    return judge(Noisy(0.3), split.test, (PairMeans(),), split.train, 200, valid=split.valid)


def test_figures_are_the_plain_ones(split: AffinitySplit, report: InteractionReport) -> None:
    y, p = split.test.value, Noisy(0.3).scores(split.test)
    strong = y > 5  # the limit
    expected = {
        "MSE": np.mean((y - p) ** 2),
        "CI": concordance_index(y, p),
        "RMSE": np.sqrt(np.mean((y - p) ** 2)),
        "Pearson": stats.pearsonr(y, p)[0],
        "Spearman": stats.spearmanr(y, p)[0],
        "r2m": r2m(y, p),
        "r2m of DeepDTA's code": r2m_deepdta(y, p),
        "AUPRC": auprc(strong, p),
        "EF 1%": enrichment_factor(strong, p),
        "active MSE": np.mean((y - p)[strong] ** 2),
        "active CI": concordance_index(y[strong], p[strong]),
        "active RMSE": np.sqrt(np.mean((y - p)[strong] ** 2)),
        "active Pearson": stats.pearsonr(y[strong], p[strong])[0],
        "active Spearman": stats.spearmanr(y[strong], p[strong])[0],
        "active r2m": r2m(y[strong], p[strong]),
        "active r2m of DeepDTA's code": r2m_deepdta(y[strong], p[strong]),
    }
    assert report.metrics == pytest.approx(expected)
    part = report.parts[0]
    assert (part.pairs, part.actives, part.resample) == (len(y), strong.sum(), "pair")


def test_intervals_hold_the_value_and_gains_are_differences(report: InteractionReport) -> None:
    (part,) = report.parts
    ours, theirs = part.estimates["Noisy"], part.estimates["drug and target means"]
    for name, interval in ours.items():
        assert interval.low <= interval.value <= interval.high, name
        gain = part.gains["drug and target means"][name]
        assert gain.value == pytest.approx(interval.value - theirs[name].value)
        assert gain.low <= gain.value <= gain.high


def test_an_interval_is_as_wide_as_theory_says(split: AffinitySplit) -> None:
    report = judge(Noisy(0.3), split.test, (), n_bootstrap=2000)
    squares = (split.test.value - Noisy(0.3).scores(split.test)) ** 2
    interval = report.parts[0].estimates["Noisy"]["MSE"]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * squares.std() / np.sqrt(squares.size), rel=0.1)


def test_parts_are_by_what_was_seen() -> None:
    pairs = planted(drugs=30, targets=20)
    train = pairs.take(np.flatnonzero((pairs.drug < 20) & (pairs.target < 12) & ((pairs.drug + pairs.target) % 2 == 0)))
    test = pairs.take(
        np.flatnonzero((pairs.drug >= 20) | (pairs.target >= 12) | ((pairs.drug + pairs.target) % 2 == 1))
    )
    report = judge(Noisy(0.3), test, (PairMeans(),), train, 20)
    sizes = {part.name: (part.pairs, part.drugs, part.targets, part.resample) for part in report.parts}
    assert sizes == {
        "all pairs": (len(test), 30, 20, "pair"),
        "drug seen, target seen": (120, 20, 12, "pair"),
        "drug seen, target new": (160, 20, 8, "target"),
        "drug new, target seen": (120, 10, 12, "drug"),
        "drug new, target new": (80, 10, 8, "drug"),
    }
    new = pairs.take(np.flatnonzero((pairs.drug < 20) & (pairs.target >= 12)))
    assert judge(Noisy(0.3), new, (), train, 20).notes[-1] == "All of them: drug seen, target new."
    assert report.part("drug new, target seen").pairs == 120


def test_a_structure_under_another_id_was_seen() -> None:
    pairs = planted(drugs=30, targets=20)
    train = pairs.take(np.flatnonzero(pairs.drug < 20))
    renamed = pairs.take(np.flatnonzero(pairs.drug < 5)).to_pandas()
    renamed["Drug_ID"] += " again"
    other = Affinities.of(pd.concat([renamed, pairs.take(np.flatnonzero(pairs.drug >= 20)).to_pandas()]), unit="pKd")
    report = judge(Noisy(0.3), other, (), train, 5)
    assert report.part("drug seen, target seen").pairs == 100


def test_pairs_of_new_drugs_are_drawn_by_drug_and_intervals_are_wider() -> None:
    split = planted(drugs=40, targets=40).split(by="drug", fractions=(0.6, 0.1, 0.3), seed=0)
    by = {
        drawn: judge(PairMeans().fit(split.train), split.test, (), split.train, 300, resample=drawn).parts[0]
        for drawn in (None, "pair", "drug")
    }
    assert by[None].resample == "drug"
    widths = {drawn: (i := part.estimates["drug and target means"]["MSE"]).high - i.low for drawn, part in by.items()}
    assert widths[None] == widths["drug"] > 1.5 * widths["pair"]


def test_binary_pairs_are_ranked() -> None:
    split = planted("binary").split(by="pair", seed=0)
    report = judge(Noisy(0.8), split.test, None, split.train, 20, valid=split.valid)
    y, p = split.test.value == 1, Noisy(0.8).scores(split.test)
    assert report.metrics == pytest.approx(
        {"AUROC": auroc(y, p), "AUPRC": auprc(y, p), "EF 1%": enrichment_factor(y, p)}
    )
    assert list(report.parts[0].estimates) == ["Noisy", "drug and target means", "nearest neighbours", "ALS", "KronRLS"]


def test_baselines_that_are_fitted_are_left_as_they_are(split: AffinitySplit) -> None:
    model = PairMeans(shrink=30.0).fit(split.train)
    before = model.predict(split.test)
    fresh = PairMeans(shrink=30.0)
    report = judge(Noisy(0.3), split.test, (model, fresh), split.train, 5)
    assert not fresh.is_fitted  # a copy was
    np.testing.assert_array_equal(model.predict(split.test), before)
    figures = report.parts[0].estimates
    assert figures["drug and target means"] == figures["drug and target means (2)"]


def test_faults(split: AffinitySplit) -> None:
    with pytest.raises(SchemaError, match="were trained on, such as D"):
        judge(Noisy(0.3), split.train, (), split.train, 5)
    with pytest.raises(SchemaError, match="nothing to judge"):
        judge(Noisy(0.3), split.test.take(np.array([], dtype=np.int64)), (), n_bootstrap=5)
    for baselines in ((PairMeans(),), None):
        with pytest.raises(SchemaError, match="learn from the head's training pairs: pass train="):
            judge(Noisy(0.3), split.test, baselines, n_bootstrap=5)
    with pytest.raises(SchemaError, match="Test is in 'pKd'"):
        judge(Noisy(0.3), split.test, (), replace(split.train, unit="pKi"), 5)


def test_the_default_ones_fit_the_size(split: AffinitySplit, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [one.name for one in default_baselines(split.train)]
    assert names == ["drug and target means", "nearest neighbours", "ALS", "KronRLS"]
    monkeypatch.setattr("medgraph.heads.interaction.judging._MOST", 10)
    assert [one.name for one in default_baselines(split.train)] == ["drug and target means"]


def test_a_report_comes_back_and_prints(tmp_path: Path, split: AffinitySplit, report: InteractionReport) -> None:
    assert InteractionReport.load(report.save(tmp_path / "report.json")) == report
    text = str(judge(PairNeighbours().fit(split.train), split.test, (PairMeans(),), split.train, 20))
    for word in ("nearest", "active", "gain in MSE", "180 pairs of 30 drugs and 20 targets", "above 5"):
        assert word in text, word
    flat = judge(Constant(), split.test, (), n_bootstrap=5)  # no correlation: null in JSON
    assert np.isnan(InteractionReport.load(flat.save(tmp_path / "flat.json")).metrics["Pearson"])


class Constant:
    """Always 6."""

    def scores(self, pairs: Affinities) -> np.ndarray:
        return np.full(len(pairs), 6.0)


def test_what_is_no_report_is_refused(tmp_path: Path, report: InteractionReport) -> None:
    path = report.save(tmp_path / "report.json")
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(FormatVersionError, match="version 99"):
        InteractionReport.load(path)
    path.write_text('{"format": "something"}')
    with pytest.raises(ArtefactError, match="no report of interactions"):
        InteractionReport.load(path)
    with pytest.raises(MedgraphError, match="no report"):
        InteractionReport.load(tmp_path / "absent.json")
