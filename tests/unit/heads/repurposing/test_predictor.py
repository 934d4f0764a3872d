"""The predictor finds what was planted, says how sure it is, and cannot be fed the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from medgraph.artefact import read_artefact
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.vgae import VGAE
from medgraph.errors import NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.evaluation.splits import EdgeSplit, split_edges
from medgraph.explain.paths import explain_paths
from medgraph.heads.repurposing.baselines import DegreePrior
from medgraph.heads.repurposing.negatives import DegreeMatchedNegatives, NearbyNegatives, TypedNegatives
from medgraph.heads.repurposing.predictor import LinkPredictor
from medgraph.heads.repurposing.vectors import TrainedDecoder

TREATS = EdgeType("Compound", "treats", "Disease")


@pytest.fixture(scope="module")
def split(planted: KnowledgeGraph) -> EdgeSplit:
    return split_edges(planted, TREATS, fractions=(0.6, 0.2, 0.2), seed=0)


@pytest.fixture(scope="module")
def fitted(split: EdgeSplit) -> LinkPredictor:
    return LinkPredictor(relation=TREATS, folds=4).fit(split)


class Groups:
    """A transparent encoder: the planted group, and what graph it was shown."""

    def __init__(self) -> None:
        self.shown: list[KnowledgeGraph] = []

    def fit(self, graph: KnowledgeGraph) -> Groups:
        self.shown.append(graph)
        spread = np.eye(5)[[int(i.split(":")[1].removeprefix("DB")) % 5 for i in graph.ids]]
        noise = np.random.default_rng(0).normal(0, 0.2, spread.shape)
        self.embedding_ = Embedding.of_graph(graph, (spread + noise).astype(np.float32))
        return self


def test_held_out_links_are_found_beside_the_baselines(fitted: LinkPredictor, split: EdgeSplit) -> None:
    report = fitted.evaluate(split.test, n_bootstrap=100)
    assert set(report.estimates) == {fitted.name, "metapath counts", "nearest neighbour", "degree prior", "random"}
    assert report.metrics["pairs"]["AUROC"] > 0.85
    assert report.metrics["pairs"]["AUPRC"] > 3 * report.estimates["random"]["pairs"]["AUPRC"].value
    with pytest.raises(SchemaError, match=r"Expected split\.valid"):
        fitted.evaluate(split.train)


def test_a_ranking_says_what_is_known_likely_and_new(fitted: LinkPredictor, split: EdgeSplit) -> None:
    drugs = fitted.rank("DOID:3", topn=60)
    assert len(drugs) == 60
    assert [c.score for c in drugs] == sorted((c.score for c in drugs), reverse=True)
    assert [c.probability for c in drugs] == sorted((c.probability for c in drugs), reverse=True)
    treated = {int(s) for s, t in split.train.T if t == 2}
    assert {c.id for c in drugs if c.known} == {f"DRUGBANK:DB{s + 1}" for s in treated}
    assert all(0 <= c.novelty <= 1 for c in drugs)
    assert not any(c.known for c in fitted.rank("DOID:3", known=False))
    assert "Which Compound treats Disease 3?" in str(drugs)
    diseases = fitted.rank("DRUGBANK:DB3", topn=5)
    assert len(diseases) == 5
    assert all(c.id.startswith("DOID:") for c in diseases)
    console = Console(record=True, width=120)
    console.print(drugs)
    assert "probability" in console.export_text()
    assert drugs.to_pandas().shape == (60, 7)


def test_probabilities_are_reliable_on_test_links(fitted: LinkPredictor, split: EdgeSplit) -> None:
    free = ~split.known("train", "valid")
    pairs = [
        (f"DRUGBANK:DB{s + 1}", f"DOID:{t + 1}")
        for s in range(free.shape[0])
        for t in range(free.shape[1])
        if free[s, t]
    ]
    probabilities = fitted.predict_proba(pairs)
    assert probabilities.sum() == pytest.approx(split.test.shape[1], rel=0.5)
    assert fitted.reliability_ is not None
    assert fitted.reliability_.ece < 0.03


def test_a_known_link_is_scored_as_if_it_were_new(planted: KnowledgeGraph) -> None:
    """Among links without any structure, known ones must not stand out: their scores have not seen them."""
    rng = np.random.default_rng(4)
    cells = rng.choice(60 * 25, 200, replace=False)
    chance = KnowledgeGraph(
        planted.nodes, {**planted.edges, TREATS: pa.table({"source": cells // 25, "target": cells % 25})}
    )
    model = LinkPredictor(relation=TREATS, folds=5).fit(chance)
    known = np.zeros((60, 25), dtype=bool)
    known[cells // 25, cells % 25] = True
    assert 0.35 < roc_auc_score(known.ravel(), model.score_matrix().ravel()) < 0.65


def test_an_encoder_is_fitted_without_the_links(split: EdgeSplit) -> None:
    encoder = Groups()
    model = LinkPredictor(encoder, relation=TREATS, scorers=(), folds=4).fit(split)
    assert encoder.shown[0].edges[TREATS].num_rows == 0
    assert not hasattr(encoder, "embedding_"), "the given encoder is left as it was"
    assert model.notes_ == ()
    assert model.evaluate(n_bootstrap=10).metrics["pairs"]["AUROC"] > 0.9


def test_vectors_that_saw_training_links_are_weighed_on_valid_ones(split: EdgeSplit, planted: KnowledgeGraph) -> None:
    seen = Groups().fit(split.graph)
    model = LinkPredictor(seen, relation=TREATS, folds=4).fit(split)
    assert "have seen the training links" in model.notes_[0]
    assert model.evaluate(n_bootstrap=10).metrics["pairs"]["AUROC"] > 0.85
    with pytest.raises(SchemaError, match="has seen the links it is to predict"):
        LinkPredictor(Groups().fit(planted), relation=TREATS, folds=4).fit(planted)


def test_a_vgae_fitted_with_the_links_adds_its_own_decoder(split: EdgeSplit) -> None:
    vgae = VGAE(vector_size=16, hidden_size=16, epochs=30, device="cpu", seed=0).fit(split.graph)
    model = LinkPredictor(vgae, relation=TREATS, scorers=(), folds=4).fit(split)
    assert isinstance(model._fitted_scorers[0], TrainedDecoder)
    assert model.evaluate(n_bootstrap=10).metrics["pairs"]["AUROC"] > 0.7


def test_vectors_that_may_have_seen_the_answers_are_refused(split: EdgeSplit, planted: KnowledgeGraph) -> None:
    leaked = Groups().fit(planted)
    with pytest.raises(SchemaError, match="learned from another graph"):
        LinkPredictor(leaked, relation=TREATS, folds=4).fit(split)


@pytest.mark.parametrize(
    "negatives", [TypedNegatives(limit=300), DegreeMatchedNegatives(per_link=10), NearbyNegatives()]
)
def test_negatives_of_either_kind_will_do(split: EdgeSplit, negatives: object) -> None:
    model = LinkPredictor(relation=TREATS, folds=3, negatives=negatives).fit(split)
    assert model.evaluate(n_bootstrap=10).metrics["pairs"]["AUROC"] > 0.85


def test_degree_matched_negatives_have_the_degrees_of_links(split: EdgeSplit) -> None:
    linked = split.known("train")
    pairs, weights = DegreeMatchedNegatives(per_link=20).draw(split.train, ~linked, 0)
    assert not linked[pairs[0], pairs[1]].any()
    assert weights.sum() == pytest.approx((~linked).sum())
    degree = linked.sum(axis=1)
    assert degree[pairs[0]].mean() == pytest.approx(degree[split.train[0]].mean(), rel=0.1)
    typed, _ = TypedNegatives().draw(split.train, ~linked, 0)
    assert degree[typed[0]].mean() < degree[pairs[0]].mean()


def test_a_loaded_predictor_answers_the_same(fitted: LinkPredictor, split: EdgeSplit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "p")
    loaded = LinkPredictor.load(tmp_path / "p")
    assert loaded.rank("DOID:3") == fitted.rank("DOID:3")
    assert loaded.rank("DRUGBANK:DB7") == fitted.rank("DRUGBANK:DB7")
    assert loaded.name == fitted.name
    assert str(loaded.reliability_) == str(fitted.reliability_)
    hidden = f"is one of {split.valid.shape[1]} links that\nwere hidden"
    assert hidden in read_artefact(tmp_path / "p", "LinkPredictor").card
    loaded.save(tmp_path / "again")
    assert hidden in read_artefact(tmp_path / "again", "LinkPredictor").card
    with pytest.raises(NotFittedError, match="Only a predictor fitted in this process"):
        loaded.log_odds(KnowledgeGraph({}), "a", "b")


def test_deleting_the_strongest_paths_lowers_a_planted_score(planted: KnowledgeGraph, tmp_path: Path) -> None:
    model = LinkPredictor(relation=TREATS, folds=4).fit(planted)
    model.save(tmp_path / "p")
    assert "had it been left out" in read_artefact(tmp_path / "p", "LinkPredictor").card
    best = model.rank("DOID:3", topn=1)[0]
    evidence = explain_paths(planted, best.id, "DOID:3", predictor=model, check=3)
    assert evidence.log_odds is not None
    assert max(p.score_drop for p in evidence.paths[:3] if p.score_drop is not None) > 0


def test_a_fit_that_fails_leaves_the_one_before_it(planted: KnowledgeGraph) -> None:
    model = LinkPredictor(Groups(), relation=TREATS, scorers=(DegreePrior(),), folds=4).fit(planted)
    scorers, stack, notes = model._fitted_scorers, model._stack, model.notes_
    model.encoder = Groups().fit(planted)
    with pytest.raises(SchemaError, match="has seen the links"):
        model.fit(planted)
    assert (model._fitted_scorers, model._stack, model.notes_) == (scorers, stack, notes)


def test_the_same_seed_gives_the_same_answers(split: EdgeSplit, fitted: LinkPredictor) -> None:
    again = LinkPredictor(relation=TREATS, folds=4).fit(split)
    np.testing.assert_array_equal(again.score_matrix(), fitted.score_matrix())


def test_bad_requests_are_refused(fitted: LinkPredictor, split: EdgeSplit, planted: KnowledgeGraph) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        LinkPredictor(relation=TREATS).rank("DOID:3")
    with pytest.raises(UnknownIdentifierError, match=r"Nearest: DOID:"):
        fitted.rank("DOID:33")
    with pytest.raises(SchemaError, match="at least two"):
        LinkPredictor(relation=TREATS, folds=1)
    with pytest.raises(SchemaError, match="Nothing to score with"):
        LinkPredictor(relation=TREATS, scorers=())
    with pytest.raises(SchemaError, match="cannot be cut"):
        LinkPredictor(relation=TREATS, folds=10_000).fit(planted)
    with pytest.raises(SchemaError, match="The split is of"):
        LinkPredictor(relation=EdgeType("Compound", "binds", "Gene"), scorers=(DegreePrior(),)).fit(split)
    with pytest.raises(NotFittedError, match="nothing was held out"):
        LinkPredictor(relation=TREATS, folds=4, scorers=(DegreePrior(),)).fit(planted).evaluate()
