"""Histories as sentences: worked by hand, the same whatever the batches, blind to the future, silent on subjects."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from medgraph.data import shards as shards_module
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.guard import POISON, poisoned
from medgraph.data.prediction_times import AfterVisit, AtDates
from medgraph.data.schema import EdgeType
from medgraph.data.tasks import CodeWithin
from medgraph.embeddings.joint import JointSequences
from medgraph.embeddings.skipgram import Fit, GensimBackend, SkipGram
from medgraph.embeddings.skipgram_torch import _SkipGramTask
from medgraph.embeddings.visits import VisitCorpus, VisitSequences
from medgraph.embeddings.walks import UniformWalks
from medgraph.errors import SchemaError, UnknownIdentifierError
from medgraph.training import TrainingInterrupted
from tests.unit.embeddings.histories import ZERO, cohort_of, planted_cohort

CPU = torch.device("cpu")
ROWS = [
    (1, None, "GENDER//F", None),
    (1, -900.0, "MEDS_BIRTH", None),
    (1, 0.0, "A", 7),
    (1, 0.1, "B", 7),
    (1, 0.2, "A", 7),
    (1, 5.0, "C", 8),
    (1, 5.0, "A", 8),
    (1, 9.0, "MEDS_DEATH", None),
    (2, 1.0, "B", None),
    (2, 1.5, "D", None),
    (2, 3.0, "B", None),
    (3, -800.0, "MEDS_BIRTH", None),
]
SMALL = {"vector_size": 8, "window": 4, "epochs": 2, "device": "cpu", "sample": 0.0}


def sentences(sequences: VisitSequences, epoch: int = 0, seed: int = 0) -> list[list[str]]:
    corpus = VisitCorpus(sequences, seed)
    return [[corpus.ids[token] for token in row] for row in corpus.passage(epoch)]


@pytest.mark.parametrize(
    ("context", "repeats", "expected"),
    [
        ("visit", False, ["AB", "AC", "BD", "B"]),
        ("visit", True, ["AAB", "AC", "BD", "B"]),
        ("visits", False, ["ABAC", "BDB"]),
        ("visits", True, ["AABAC", "BDB"]),
        ("subject", False, ["ABC", "BD"]),
        ("subject", True, ["AAABC", "BBD"]),
    ],
)
def test_sentences_by_hand(context, repeats, expected):
    found = sentences(VisitSequences(cohort_of(ROWS), context=context, repeats=repeats))
    assert [sorted(one) for one in found] == [sorted(one) for one in expected]
    if context == "visits":  # visits stay in order of time
        first = 3 if repeats else 2
        assert [sorted(found[0][:first]), sorted(found[0][first:])] == [list("AAB" if repeats else "AB"), list("AC")]
        assert [sorted(found[1][:2]), found[1][2:]] == [list("BD"), ["B"]]


def test_days_may_be_visits_and_codes_may_be_rolled_up():
    days = VisitSequences(cohort_of(ROWS), context="visit", visit="time", roll_up={"C": "A", "D": "B"})
    assert sorted(map(sorted, sentences(days))) == [["A"], ["A"], ["A"], ["B"], ["B"], ["B"], ["B"]]
    assert VisitCorpus(days).ids == ("B", "A")  # four and three of them: the commonest first


def test_order_within_a_visit_is_drawn_anew_in_every_epoch():
    cohort = cohort_of([(1, float(visit), code, visit) for visit in range(300) for code in "ABC"])
    sequences = VisitSequences(cohort)
    one, again, other = sentences(sequences, 0), sentences(sequences, 0), sentences(sequences, 1)
    assert one == again
    assert one != other
    assert one != sentences(sequences, 0, seed=1)
    orders = Counter("".join(one[0][i : i + 3]) for i in range(0, 900, 3))
    assert set(orders) == {"ABC", "ACB", "BAC", "BCA", "CAB", "CBA"}
    chi2 = sum((n - 50) ** 2 / 50 for n in orders.values())
    assert chi2 < 20.5  # 5 degrees of freedom, p = .001


@pytest.mark.parametrize("context", ["visit", "visits", "subject"])
def test_what_is_read_does_not_depend_on_batches_or_blocks(context, monkeypatch):
    sequences = VisitSequences(planted_cohort(), context=context)
    corpus = VisitCorpus(sequences, seed=3)
    whole = corpus.batch(0, 10**9, CPU, epoch=2)
    for size in (1, 50, 1000):
        parts = [corpus.batch(number, size, CPU, epoch=2) for number in range(corpus.cut(size))]
        assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
        assert max(part.tokens.numel() for part in parts) <= corpus.largest(size)
    assert torch.equal(corpus.counts(), torch.bincount(whole.tokens))
    assert (corpus.counts().diff() <= 0).all()
    assert len(corpus) == whole.tokens.numel()
    monkeypatch.setattr(shards_module, "_BLOCK", 64)
    small = VisitCorpus(VisitSequences(planted_cohort(), context=context), seed=3)
    assert small.ids == corpus.ids
    assert torch.equal(small.batch(0, 10**9, CPU, epoch=2).tokens, whole.tokens)


def test_only_train_is_read():
    cohort = planted_cohort().split(seed=0)
    for part in (cohort, cohort.tuning, cohort.held_out):
        with pytest.raises(SchemaError, match=r"use cohort\.train"):
            VisitSequences(part)
    kept = {code for row in sentences(VisitSequences(cohort.train, repeats=True)) for code in row}
    assert kept <= set(cohort.codes["code"].to_pylist())
    alone = cohort_of([(1, 0.0, "A", 1), (1, 0.0, "B", 1), (2, 0.0, "ONLY", 2), (2, 0.0, "TUNED", 2)])
    train = replace(alone, splits={"train": np.array([1]), "tuning": np.array([2])}).train
    assert VisitCorpus(VisitSequences(train)).ids == ("A", "B")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("context", ["visit", "visits", "subject"])
def test_nothing_after_the_last_prediction_time_is_read(context, strict):
    out = CodeWithin(("T1*",), 10, AfterVisit(2), strict=strict)
    cohort = planted_cohort().with_tasks(out=out)
    future, given = poisoned(cohort, "out")
    assert any(code.startswith(POISON) for code in future.shards.codes)
    settings = {**SMALL, "seed": 5}
    clean = SkipGram(**settings).fit(VisitSequences(cohort, label=given, context=context), progress=False)
    other = SkipGram(**settings).fit(VisitSequences(future, label="out", context=context), progress=False)
    assert clean.embedding_.ids == other.embedding_.ids
    np.testing.assert_array_equal(clean.embedding_.vectors, other.embedding_.vectors)
    blind = VisitCorpus(VisitSequences(future, context=context))  # the test can fail: whole histories see it
    assert any(id_.startswith(POISON) for id_ in blind.ids)


def test_a_label_cuts_at_the_last_prediction_time_by_hand():
    rows = [(s, float(d), code, None) for s in (1, 2) for d, code in enumerate(["A", "B", "C", "D"])]
    rows.append((3, 1000.0, "LATE", None))
    task = CodeWithin(("D",), 365, AtDates(("2010-01-02", "2010-01-03")))
    assert ZERO.year == 2010
    found = sentences(VisitSequences(cohort_of(rows), label=task, context="visits"))
    assert found == [["A", "B", "C"]] * 2  # day 2 is 2010-01-03; subject 3 has no history by then


def test_histories_are_learned_and_say_nothing_of_subjects(tmp_path):
    cohort = planted_cohort()
    model = SkipGram(vector_size=16, window=10, epochs=20, alpha=0.2, sample=0, device="cpu", seed=1)
    emb = model.fit(VisitSequences(cohort, context="subject"), progress=False).embedding_
    topic = np.array([id_.split(":")[0] for id_ in emb.ids])
    near = [emb.most_similar(id_, topn=5) for id_ in emb.ids]
    right = np.mean([[other.split(":")[0] == mine for other, _ in row] for mine, row in zip(topic, near, strict=True)])
    assert right > 0.9
    assert model.summed_embedding_.vectors == pytest.approx(emb.vectors + model.context_embedding_.vectors)
    emb.save(tmp_path / "emb")
    written = b""  # Parquet compresses: what it holds is read, the rest searched as it lies
    for file in sorted((tmp_path / "emb").rglob("*.*")):
        table = pq.read_table(file) if file.suffix == ".parquet" else None
        written += file.read_bytes() if table is None else repr((table.to_pylist(), table.schema.metadata)).encode()
    assert b"T1:3" in written
    for subject in cohort.subjects.tolist():
        assert str(subject).encode() not in written
        assert int(subject).to_bytes(8, "little") not in written
    days = {str(ZERO.date()), "2010", "1982"}
    assert not any(day.encode() in written for day in days)


def test_gensim_reads_the_same_sentences_each_epoch_in_another_order():
    seen: list[list[list[int]]] = []

    class Listening(VisitCorpus):
        def passage(self, epoch: int = 0):
            seen.append(list(super().passage(epoch)))
            return iter(seen[-1])

    corpus = Listening(VisitSequences(planted_cohort(20), context="subject"))
    model = SkipGram(**SMALL, backend=GensimBackend(workers=1))
    model.backend.train(model, corpus, corpus.counts(), Fit(CPU, progress=False))
    assert len(seen) == 2
    assert [sorted(row) for row in seen[0]] == [sorted(row) for row in seen[1]]
    assert seen[0] != seen[1]


@pytest.mark.parametrize("joint", [False, True])
def test_an_interrupted_training_resumes_to_the_same_bits(joint, tmp_path, monkeypatch):
    visits = VisitSequences(planted_cohort(40), context="subject")
    data = JointSequences(graph_of([("T0:0", "G:0"), ("T1:1", "G:1")]), visits) if joint else visits
    settings = {**SMALL, "epochs": 4, "walks": UniformWalks(20, 10)}
    whole = SkipGram(**settings).fit(data, progress=False)
    steps, losses = [], _SkipGramTask.losses

    def interrupting(self, batch, progress):
        steps.append(batch)
        if progress > 0.6 and len(steps) % 2:
            signal.raise_signal(signal.SIGINT)
        return losses(self, batch, progress)

    monkeypatch.setattr(_SkipGramTask, "losses", interrupting)
    with pytest.raises(TrainingInterrupted):
        SkipGram(**settings).fit(data, checkpoint=tmp_path / "run.safetensors", progress=False)
    monkeypatch.undo()
    resumed = SkipGram(**settings).fit(data, checkpoint=tmp_path / "run.safetensors", resume=True, progress=False)
    np.testing.assert_array_equal(resumed.embedding_.vectors, whole.embedding_.vectors)
    assert resumed.history_ == whole.history_
    other = SkipGram(**{**settings, "seed": 1}).fit(data, progress=False)
    assert not np.array_equal(other.embedding_.vectors, whole.embedding_.vectors)


def graph_of(edges: list[tuple[str, str]]) -> KnowledgeGraph:
    codes, genes = (sorted({edge[end] for edge in edges}) for end in (0, 1))
    nodes = {
        "Diagnosis": pa.table({"id": codes, "name": codes}),
        "Gene": pa.table({"id": genes, "name": genes}),
    }
    index = np.array([[codes.index(a), genes.index(b)] for a, b in edges]).T
    edge_type = EdgeType("Diagnosis", "linked_to", "Gene")
    return KnowledgeGraph(nodes, {edge_type: pa.table({"source": index[0], "target": index[1]})})


def test_a_graph_and_histories_share_one_space():
    cohort = planted_cohort()
    half = [(f"T{topic}:{n}", f"GENE:{topic}") for topic in range(4) for n in range(5)]  # the other codes are no nodes
    graph = graph_of(half)
    walks = UniformWalks(20, 6)
    settings = {**SMALL, "window": 5, "epochs": 12, "alpha": 0.2, "negative": 2}
    model = SkipGram(**settings, walks=walks, seed=0)
    emb = model.fit(JointSequences(graph, VisitSequences(cohort, context="subject")), progress=False).embedding_
    assert set(emb.ids) == set(graph.ids) | {f"T{topic}:{n}" for topic in range(4) for n in range(10)}
    assert emb.node_types[emb.index("GENE:2")] == "Gene"
    assert emb.node_types[emb.index("T2:9")] == ""  # known from histories alone
    assert len(emb.metadata["graph"]["cohort"]) == 64
    new = np.array(
        [[emb.similarity(f"GENE:{g}", f"T{t}:{n}") for n in range(5, 10)] for g in range(4) for t in range(4)]
    )
    mean = new.mean(axis=1).reshape(4, 4)  # of genes with codes that no edge joins to them
    assert (mean.argmax(axis=1) == np.arange(4)).all()
    assert (mean[np.eye(4, dtype=bool)].min() - mean[~np.eye(4, dtype=bool)].max()) > 0.2


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_of_histories_is_kept(share):
    source = JointSequences(graph_of([("T0:0", "G:0"), ("T1:1", "G:1")]), VisitSequences(planted_cohort()), share)
    reading = source.read(UniformWalks(500, 20), 0, CPU)
    corpus, size = reading.corpus, 300
    streams = [corpus.batch(number, size, CPU, 0) for number in range(corpus.cut(size))]
    walked = {"T0:0", "T1:1", "G:0", "G:1"}
    from_visits = [len({reading.ids[t] for t in s.tokens.tolist()} - walked) > 0 for s in streams]
    tokens = np.array([s.tokens.numel() for s in streams])
    assert tokens[from_visits].sum() / tokens.sum() == pytest.approx(share, abs=0.05)
    assert corpus.counts().sum() == pytest.approx(tokens.sum(), rel=0.1)
    runs = np.diff(np.flatnonzero(from_visits))
    assert runs.max() - runs.min() <= 1  # evenly mixed
    later = [corpus.batch(number, size, CPU, 1) for number in range(corpus.cut(size))]
    assert any(not torch.equal(a.tokens, b.tokens) for a, b in zip(streams, later, strict=True) if a is not None)


def test_bad_input_is_refused():
    cohort = planted_cohort(8)
    with pytest.raises(SchemaError, match="context"):
        VisitSequences(cohort, context="patient")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="visit of"):
        VisitSequences(cohort, visit="week")  # type: ignore[arg-type]
    with pytest.raises(UnknownIdentifierError, match="no task"):
        VisitSequences(cohort, label="mortality")
    with pytest.raises(SchemaError, match="no history"):
        VisitCorpus(VisitSequences(cohort_of([(1, None, "GENDER//F", None), (1, 0.0, "MEDS_BIRTH", None)])))
    with pytest.raises(SchemaError, match="share"):
        JointSequences(graph_of([("T0:0", "G:0")]), VisitSequences(cohort), share=1.0)
    with pytest.raises(SchemaError, match="Join codes"):
        SkipGram(**SMALL).fit(JointSequences(graph_of([("X:0", "G:0")]), VisitSequences(cohort)))
