"""The protocol against brute force, scikit-learn and cases worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from small_graphs import TREATS, build, pairs

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import ArtefactError, FormatVersionError, SchemaError
from medgraph.evaluation.figures import BACKWARD, FORWARD, PAIRS
from medgraph.evaluation.flyers import appearances, frequent_flyers
from medgraph.evaluation.protocol import degree_prior, evaluate_links
from medgraph.evaluation.report import Report
from medgraph.evaluation.splits import EdgeSplit, split_edges
from medgraph.evaluation.summary import combine

INTERACTS = EdgeType("Gene", "interacts", "Gene")


def some_split(seed: int = 0, n: int = 150) -> EdgeSplit:
    rng = np.random.default_rng(7)
    links = np.unique(np.stack([rng.integers(30, size=n), rng.integers(20, size=n)]), axis=1)
    graph = build({"Compound": 30, "Disease": 20}, {TREATS: links})
    return split_edges(graph, TREATS, fractions=(0.6, 0.1, 0.3), seed=seed)


def rank_by_hand(scores: np.ndarray, answer: int, allowed: np.ndarray) -> float:
    allowed = allowed | (np.arange(scores.size) == answer)
    return float(rankdata(-scores[allowed])[int(allowed[:answer].sum())])


@settings(max_examples=25, deadline=None)
@given(pairs(12, 9, least=30), st.integers(0, 99), st.sampled_from(["valid", "test"]))
def test_equals_brute_force(drawn, seed, part) -> None:
    split = split_edges(
        build({"Compound": 12, "Disease": 9}, {TREATS: drawn}), TREATS, fractions=(0.5, 0.2, 0.3), seed=seed
    )
    scores = np.random.default_rng(seed).integers(6, size=(12, 9)).astype(float)
    report = evaluate_links(scores, split, part, n_bootstrap=2, topn=3)
    known, links = split.known(), split.part(part)
    others = known & ~split.known(part)
    for direction, s, k, o, (asked, answers) in (
        (FORWARD, scores, known, others, links),
        (BACKWARD, scores.T, known.T, others.T, links[::-1]),
    ):
        ranks = np.array([rank_by_hand(s[a], b, ~k[a]) for a, b in zip(asked, answers, strict=True)])
        found = {}
        for a, b in zip(asked.tolist(), answers.tolist(), strict=True):
            found.setdefault(a, []).append(rank_by_hand(s[a], b, ~o[a]) <= 3)
        ours = report.metrics[direction]
        assert ours["MRR"] == pytest.approx((1 / ranks).mean())
        assert [ours[f"hits@{n}"] for n in (1, 3, 10)] == pytest.approx([(ranks <= n).mean() for n in (1, 3, 10)])
        assert ours["recall@3"] == pytest.approx(np.mean([np.mean(hits) for hits in found.values()]))
    keep = ~others
    truth = split.known(part)[keep]
    if not truth.all():
        assert report.metrics[PAIRS]["AUROC"] == pytest.approx(roc_auc_score(truth, scores[keep]))
        assert report.metrics[PAIRS]["AUPRC"] == pytest.approx(average_precision_score(truth, scores[keep]))
        assert report.candidates == {FORWARD: 9, BACKWARD: 12, PAIRS: int(keep.sum())}


@pytest.mark.parametrize("seed", range(3))
def test_degree_prior_counts_training_links_only(seed: int) -> None:
    split = some_split(seed)
    out, into = split.graph.degrees(TREATS)
    np.testing.assert_array_equal(degree_prior(split), np.outer(out + 1, into + 1))


def test_baselines_stand_beside_with_paired_gains() -> None:
    split = some_split()
    oracle = split.known().astype(float)
    report = evaluate_links(oracle, split, baselines={"worst": -oracle}, name="oracle", n_bootstrap=200)
    assert list(report.estimates) == ["oracle", "worst", "degree prior", "random"]
    assert list(report.gains) == ["worst", "degree prior", "random"]
    assert report.metrics[FORWARD] == {"MRR": 1, "hits@1": 1, "hits@3": 1, "hits@10": 1, "recall@10": 1}
    assert report.metrics[PAIRS] == {"AUPRC": 1, "AUROC": 1}
    for direction, row in report.gains["random"].items():
        for metric, gain in row.items():
            assert gain.value == pytest.approx(1 - report.estimates["random"][direction][metric].value)
            assert gain.low <= gain.value + 1e-9
            assert gain.high >= gain.value - 1e-9
    same = evaluate_links(oracle, split, baselines={"twin": oracle}, n_bootstrap=50).gains["twin"]
    assert all(gain == (0, 0, 0) for row in same.values() for gain in row.values())


def test_intervals_cover_and_clusters_widen_them() -> None:
    split = some_split(n=400)
    scores = degree_prior(split) + np.random.default_rng(0).random(split.shape)
    by_link = evaluate_links(scores, split, n_bootstrap=2000).estimates["model"][FORWARD]["MRR"]
    queries = split.test[0]
    ranks = [rank_by_hand(scores[a], b, ~split.known()[a]) for a, b in split.test.T]
    error = np.std(1 / np.array(ranks)) / np.sqrt(queries.size)
    assert (by_link.high - by_link.low) / 2 == pytest.approx(1.96 * error, rel=0.15)
    by_source = evaluate_links(scores, split, n_bootstrap=2000, resample="source").estimates["model"][FORWARD]["MRR"]
    assert by_source.value == by_link.value
    assert by_source != by_link


def test_symmetric_links_ask_both_ends_and_no_node_is_its_own_candidate() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.integers(15, size=(2, 60))
    drawn = np.unique(np.sort(drawn[:, drawn[0] != drawn[1]], axis=0), axis=1)
    split = split_edges(build({"Gene": 15}, {INTERACTS: drawn}, [INTERACTS]), INTERACTS, fractions=(0.6, 0.1, 0.3))
    scores = rng.integers(9, size=(15, 15)).astype(float)
    scores = scores + scores.T
    np.fill_diagonal(scores, 100)
    report = evaluate_links(scores, split, n_bootstrap=5)
    assert list(report.metrics) == [FORWARD, PAIRS]
    barred = split.known() | np.eye(15, dtype=bool)
    ranks = [rank_by_hand(scores[a], b, ~barred[a]) for a, b in [*split.test.T, *split.test[::-1].T]]
    assert report.metrics[FORWARD]["MRR"] == pytest.approx(np.mean(1 / np.array(ranks)))
    upper = np.triu(~(split.known("train", "valid") | np.eye(15, dtype=bool)))
    truth = split.known("test")[upper]
    assert report.metrics[PAIRS]["AUROC"] == pytest.approx(roc_auc_score(truth, scores[upper]))
    assert report.candidates[PAIRS] == upper.sum()
    with pytest.raises(SchemaError, match="differ between"):
        evaluate_links(rng.random((15, 15)), split)


def test_self_links_make_a_node_its_own_candidate() -> None:
    graph = build({"Gene": 6}, {INTERACTS: [[0, 1, 2, 3, 4, 5, 0, 1], [0, 1, 2, 3, 4, 5, 1, 2]]})
    split = split_edges(graph, INTERACTS, fractions=(0.5, 0.0, 0.5))
    report = evaluate_links(np.eye(6), split, n_bootstrap=5)
    self_links = split.test[0] == split.test[1]
    assert report.metrics[FORWARD]["hits@1"] == pytest.approx(self_links.mean())


def test_appearances_share_ties() -> None:
    scores = np.array([[3.0, 1.0], [2.0, 1.0], [2.0, 1.0], [0.0, 9.0]])
    none = np.zeros((4, 2), dtype=bool)
    assert appearances(scores, none, 2).tolist() == pytest.approx([1 + 1 / 3, 0.5 + 1 / 3, 0.5 + 1 / 3, 1])
    known = np.array([[True, False], [False, False], [False, False], [False, True]])
    assert appearances(scores, known, 2).tolist() == pytest.approx([2 / 3, 1 + 2 / 3, 1 + 2 / 3, 0])
    assert appearances(scores, ~none, 2).sum() == 0
    assert appearances(scores, none, 99).tolist() == [2, 2, 2, 2]


def test_frequent_flyers_at_both_ends_of_the_scale() -> None:
    nodes = [(f"C:{i}", f"drug {i}", i) for i in range(10)]
    none = np.zeros((10, 20), dtype=bool)
    one = frequent_flyers(np.repeat(np.arange(10.0)[:, None], 20, axis=1), none, nodes, topn=1)
    assert one.top[0] == ("C:9", "drug 9", 1.0, 9)
    assert (one.gini, one.effective) == pytest.approx((0.9, 1.0))
    all_alike = frequent_flyers(np.zeros((10, 20)), none, nodes, topn=1)
    assert (all_alike.gini, all_alike.effective, all_alike.expected_share) == pytest.approx((0.0, 10.0, 0.1))


def test_prints_one_table_that_names_the_candidates() -> None:
    split = some_split()
    text = str(evaluate_links(degree_prior(split) + 0.5, split, name="mine", n_bootstrap=20))
    for part in (
        "mine: Compound-treats-Disease",
        "20 candidates",
        "30 candidates",
        "degree prior",
        "gain in MRR",
        "Gini",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 124


def test_saves_and_loads(tmp_path) -> None:
    split = some_split()
    report = evaluate_links(split.known().astype(np.float32), split, n_bootstrap=20)
    path = report.save(tmp_path / "new" / "report.json")
    assert Report.load(path).to_dict() == report.to_dict()
    assert Report.load(path).metrics == report.metrics
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "format_version": 99}))
    with pytest.raises(FormatVersionError, match="version 99"):
        Report.load(path)
    for content in ("[]", "{", "{}", json.dumps({**plain, "estimates": 3})):
        path.write_text(content)
        with pytest.raises(ArtefactError, match="is no evaluation report"):
            Report.load(path)
    with pytest.raises(ArtefactError, match="no evaluation report"):
        Report.load(tmp_path / "nothing.json")


def test_deterministic() -> None:
    split = some_split()
    scores = np.random.default_rng(0).random(split.shape)
    first = evaluate_links(scores, split, n_bootstrap=50, seed=1)
    assert first.to_dict() == evaluate_links(scores, split, n_bootstrap=50, seed=1).to_dict()
    assert first.to_dict() != evaluate_links(scores, split, n_bootstrap=50, seed=2).to_dict()


def test_several_splits_in_one_table(tmp_path) -> None:
    reports = []
    for seed in range(4):
        split = some_split(seed)
        reports.append(evaluate_links(np.random.default_rng(seed).random(split.shape), split, n_bootstrap=20))
    summary = combine(reports)
    values = [report.metrics[FORWARD]["MRR"] for report in reports]
    assert summary.estimates["model"][FORWARD]["MRR"] == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    gains = np.array([r.gains["degree prior"][FORWARD]["MRR"].value for r in reports])
    gain = summary.gains["degree prior"][FORWARD]["MRR"]
    judged, trained = reports[0].links[2], reports[0].links[0]
    half = 3.182446 * gains.std(ddof=1) * np.sqrt(1 / 4 + judged / trained)  # t of 3 degrees of freedom
    assert gain == pytest.approx((gains.mean(), gains.mean() - half, gains.mean() + half))
    assert "4 splits by edge" in str(summary)
    assert json.loads(summary.save(tmp_path / "summary.json").read_text())["seeds"] == [0, 1, 2, 3]
    with pytest.raises(SchemaError, match="at least two"):
        combine(reports[:1])
    other = evaluate_links(np.zeros(split.shape), split, "valid", n_bootstrap=5)
    with pytest.raises(SchemaError, match="part is 'test' in one and 'valid'"):
        combine([reports[0], other])


def test_refusals() -> None:
    split = some_split()
    zeros = np.zeros(split.shape)
    for scores, options, message in (
        (zeros.T, {}, r"'model' have shape \(20, 30\); expected \(30, 20\)"),
        (zeros * np.nan, {}, "NaN"),
        (zeros, {"baselines": {"random": zeros}}, "'random' is taken"),
        (zeros, {"baselines": {"model": zeros}}, "'model' is taken"),
    ):
        with pytest.raises(SchemaError, match=message):
            evaluate_links(scores, split, **options)
    unchecked = getattr(evaluate_links, "__wrapped__", evaluate_links)
    for options, message in (({"part": "train"}, "part='train'"), ({"resample": "drug"}, "resample='drug'")):
        with pytest.raises(SchemaError, match=message):
            unchecked(zeros, split, **options)


def test_agrees_with_an_independent_evaluation_of_hetionet(shared_data) -> None:
    """The 755 indications of Hetionet: ranks counted pair by pair, areas by scikit-learn."""
    lines = (shared_data / "pharmacotherapydb" / "indications.tsv").read_text().splitlines()
    header, *rows = [line.split("\t") for line in lines]
    disease, drug, category = (header.index(name) for name in ("doid_id", "drugbank_id", "category"))
    found = [(row[drug], row[disease]) for row in rows if row[category] == "DM"]
    drugs, diseases = sorted({pair[0] for pair in found}), sorted({pair[1] for pair in found})
    links = np.array([[drugs.index(a), diseases.index(b)] for a, b in found]).T
    assert links.shape == (2, 755)
    split = split_edges(build({"Compound": len(drugs), "Disease": len(diseases)}, {TREATS: links}), TREATS, seed=1)
    scores = degree_prior(split)
    report = evaluate_links(scores, split, n_bootstrap=5)
    known = split.known()
    ranks = []
    for c, d in split.test.T:
        others = scores[c][~known[c]]
        ranks.append(1 + (others > scores[c, d]).sum() + (others == scores[c, d]).sum() / 2)
    assert report.metrics[FORWARD]["MRR"] == pytest.approx(np.mean(1 / np.array(ranks)), abs=1e-12)
    keep = ~split.known("train", "valid")
    truth = split.known("test")[keep]
    assert report.metrics[PAIRS]["AUROC"] == pytest.approx(roc_auc_score(truth, scores[keep]), abs=1e-12)
    assert 0.1 < report.metrics[FORWARD]["MRR"] < 0.35


def test_names_are_printed_as_they_are() -> None:
    names = [f"[/nope] [red]{i}" for i in range(30)]
    nodes = {
        "Compound": pa.table({"id": [f"[/C]:{i}" for i in range(30)], "name": names}),
        "Disease": pa.table({"id": [f"D:{i}" for i in range(20)], "name": [""] * 20}),
    }
    links = np.stack([np.arange(30), np.arange(30) % 20])  # a drug whose only link is hidden is left alone
    graph = KnowledgeGraph(nodes, {TREATS: pa.table({"source": links[0], "target": links[1]})})
    split = split_edges(graph, TREATS, fractions=(0.6, 0.1, 0.3))
    assert "[/C]:" in str(split.report)
    report = evaluate_links(np.random.default_rng(0).random((30, 20)), split, name="[/m]", n_bootstrap=5)
    assert "[/m]" in str(report)
    assert "[/nope] [red]" in str(report)
