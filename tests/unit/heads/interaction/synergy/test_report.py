"""The report on a synergy head: figures of others' making, parts by what was seen, plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from combinations import planted
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from medgraph.heads.interaction.synergy.baselines import SynergyEffects, SynergyMean
from medgraph.heads.interaction.synergy.head import DeepSynergy
from medgraph.heads.interaction.synergy.report import SynergyReport

TINY = DeepSynergy(hidden=(16,), width=8, cell_size=4, bits=64, batch_size=64, epochs=2, device="cpu")


@pytest.fixture(scope="module")
def fitted() -> tuple[DeepSynergy, object]:
    split = planted(noise=1.0).split("drug", (0.6, 0.2, 0.2))
    return TINY.fit(split.train, split.valid, progress=False), split


@pytest.fixture(scope="module")
def report(fitted: tuple[DeepSynergy, object]) -> SynergyReport:
    head, split = fitted
    return head.evaluate(split.test, baselines=(SynergyMean(), SynergyEffects()), threshold=2.0, n_bootstrap=100)  # type: ignore[attr-defined]


def test_figures_are_scipys_and_scikit_learns(fitted: tuple[DeepSynergy, object], report: SynergyReport) -> None:
    head, split = fitted
    y, p = split.test.value, head.scores(split.test)  # type: ignore[attr-defined]
    expected = {
        "MSE": np.mean((y - p) ** 2),
        "RMSE": np.sqrt(np.mean((y - p) ** 2)),
        "Pearson": pearsonr(y, p).statistic,
        "Spearman": spearmanr(y, p).statistic,
        "AUROC": roc_auc_score(y >= 2.0, p),
        "AUPRC": average_precision_score(y >= 2.0, p),
    }
    assert report.metrics == pytest.approx(expected)
    assert report.synergistic == np.mean(y >= 2.0)
    for interval in report.estimates["DeepSynergy"].values():
        assert interval.low <= interval.value <= interval.high
    mean = SynergyMean().fit(split.train).scores(split.test)  # type: ignore[attr-defined]
    assert report.gains["mean"]["MSE"].value == pytest.approx(expected["MSE"] - np.mean((y - mean) ** 2))


def test_parts_are_told_apart_by_what_was_seen(fitted: tuple[DeepSynergy, object], report: SynergyReport) -> None:
    head, split = fitted
    both = split.both_new  # type: ignore[attr-defined]
    y, p = split.test.value, head.scores(split.test)  # type: ignore[attr-defined]
    assert set(report.seen) == {"one new drug", "two new drugs"}
    rows, figures = report.seen["two new drugs"]
    assert rows == both.sum()
    assert figures["DeepSynergy"].value == pytest.approx(np.mean((y - p)[both] ** 2))
    assert f"MSE of the {rows:,} rows with two new drugs" in str(report)
    assert report.resample == "pair"


def test_new_cell_lines_are_drawn_whole() -> None:
    split = planted(drugs=8, cells=10, noise=1.0).split("cell", (0.6, 0.2, 0.2))
    head = DeepSynergy(hidden=(8,), width=4, cell_size=4, bits=64, epochs=1, device="cpu")
    head.fit(split.train, split.valid, progress=False)
    report = head.evaluate(split.test, baselines=(), n_bootstrap=20)
    assert report.resample == "cell line"
    assert report.seen == {}
    assert report.gains == {}
    assert "AUROC" not in report.metrics  # nothing scores 10


def test_it_is_plain_json(report: SynergyReport, tmp_path: Path) -> None:
    plain = json.loads(report.save(tmp_path / "report.json").read_text())
    assert plain["format"] == "medgraph synergy report"
    assert plain["estimates"]["mean"]["Pearson"] == {"value": None, "low": None, "high": None}
    assert plain["estimates"]["DeepSynergy"]["MSE"]["value"] == report.metrics["MSE"]
    assert plain["seen"]["one new drug"]["rows"] == report.seen["one new drug"][0]
