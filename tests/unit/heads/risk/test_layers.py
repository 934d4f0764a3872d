"""The layers beside torch's own, and beside cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.samples import Samples
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.heads.risk.cnn import Convolution, gap_words, sentence_places
from medgraph.heads.risk.code_vectors import CodeVectors, match_codes
from medgraph.heads.risk.lstm import DecayGRU, DecayLSTM, decay, recency_pool
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch, age_features

VOCABULARY = CodeVocabulary(
    ("a", "b", "c", "d"),
    np.array([6, 3, 2, 1]),
    np.array([3, 2, 2, 1]),
    np.array([np.nan, 10.0, np.nan, 1.0]),
    np.array([np.nan, 2.0, np.nan, 0.0]),
)


def samples_of(histories: list[list[tuple[float, list[int]]]], values: list[float] | None = None) -> Samples:
    """Each history: visits as (days before the prediction, codes)."""
    visits = [visit for history in histories for visit in history]
    codes = [code for _, cs in visits for code in cs]
    n = len(histories)
    return Samples(
        VOCABULARY,
        np.arange(n, dtype=np.int64),
        np.full(n, np.datetime64("2020-01-01", "us")),
        np.zeros(n, dtype=np.float32),
        np.full(n, 25.0, dtype=np.float32),
        np.cumsum([0, *(len(history) for history in histories)]),
        np.cumsum([0, *(len(cs) for _, cs in visits)]),
        np.array(codes, dtype=np.int32),
        np.array(values if values is not None else [np.nan] * len(codes), dtype=np.float32),
        np.array([day for day, cs in visits for _ in cs], dtype=np.float32),
        np.array([0, *range(1, n + 1)]),
        np.full(n, 3, dtype=np.int32),
        np.zeros(n, dtype=np.int64),
    )


HISTORIES = [[(400.0, [0, 1]), (399.5, [2]), (40.0, [0, 0, 3])], [], [(3.0, [1])]]


def test_a_batch_by_hand() -> None:
    batch = Batch.of(samples_of(HISTORIES, [np.nan, 14.0, np.nan, np.nan, np.nan, 5.0, 8.0]))
    assert batch.codes.tolist() == [0, 1, 2, 0, 0, 3, 1]
    assert batch.code_visit.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert batch.visit_gaps.tolist() == [0, 0.5, 359.5, 0]
    assert batch.visit_sample.tolist() == [0, 0, 0, 2]
    assert batch.visit_place.tolist() == [0, 1, 2, 0]
    assert batch.visits.tolist() == [3, 0, 1]
    assert batch.mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    np.testing.assert_allclose(batch.values[[1, 5, 6]], [(14 - 10) / 2, 5 - 1, (8 - 10) / 2])
    rows = torch.arange(4.0)[:, None] + 1
    assert batch.pad(rows)[:, :, 0].tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert torch.equal(batch.unpad(batch.pad(rows)), rows)
    assert batch.per_sample(rows)[:, 0].tolist() == [6, 0, 4]
    assert batch.per_visit(torch.ones(7, 1))[:, 0].tolist() == [2, 1, 3, 1]


def test_the_latest_visits_are_kept_and_the_first_has_no_gap() -> None:
    batch = Batch.of(samples_of(HISTORIES), max_visits=2)
    assert batch.codes.tolist() == [2, 0, 0, 3, 1]
    assert batch.visit_gaps.tolist() == [0, 359.5, 0]


def test_age_is_shared_by_the_two_nearest_knots() -> None:
    features = age_features(np.array([25.0, np.nan, 0.0, 104.0]))
    np.testing.assert_allclose(features[0], [0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(features[1], [0] * 10 + [1])
    np.testing.assert_allclose(features[2:, [0, 9]], [[1, 0], [0, 1]])


@pytest.mark.parametrize(("ours", "theirs"), [(DecayLSTM, nn.LSTM), (DecayGRU, nn.GRU)])
def test_without_fading_the_cells_are_torchs_packed(ours: type[DecayLSTM], theirs: type[nn.LSTM]) -> None:
    torch.manual_seed(0)
    cell, oracle = ours(5, 3), theirs(5, 3, batch_first=True)
    with torch.no_grad():
        for name, layer in (("ih", cell.inputs), ("hh", cell.states)):
            getattr(oracle, f"weight_{name}_l0").copy_(layer.weight)
            getattr(oracle, f"bias_{name}_l0").copy_(layer.bias)
    batch = Batch.of(samples_of([[(9.0 - i, [0]) for i in range(n)] for n in (2, 5, 1, 5, 3)]))
    visits = torch.randn(16, 5)
    found = batch.pad(cell(visits, torch.ones(16), batch))
    packed = pack_padded_sequence(batch.pad(visits), batch.visits, batch_first=True, enforce_sorted=False)
    wanted, _ = pad_packed_sequence(oracle(packed)[0], batch_first=True)
    torch.testing.assert_close(found, wanted)


def test_one_visit_of_a_fading_lstm_by_hand() -> None:
    cell = DecayLSTM(1, 1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.inputs.bias.copy_(torch.tensor([100.0, 100.0, 100.0, 100.0]))  # every gate open, candidate 1
    batch = Batch.of(samples_of([[(90.0, [0]), (60.0, [0]), (0.0, [0])]]))
    left = torch.tensor([1.0, 0.5, 0.25])
    memories = [1.0, 1.0 * 0.5 + 1, 1.5 * 0.25 + 1]
    found = cell(torch.zeros(3, 1), left, batch)[:, 0]
    torch.testing.assert_close(found, torch.tensor(memories).tanh())


def test_one_visit_of_a_fading_gru_is_torchs_cell_on_the_faded_state() -> None:
    torch.manual_seed(0)
    cell, oracle = DecayGRU(2, 3), nn.GRUCell(2, 3)
    with torch.no_grad():
        oracle.weight_ih.copy_(cell.inputs.weight)
        oracle.bias_ih.copy_(cell.inputs.bias)
        oracle.weight_hh.copy_(cell.states.weight)
        oracle.bias_hh.copy_(cell.states.bias)
    batch = Batch.of(samples_of([[(9.0, [0]), (3.0, [0])]]))
    visits = torch.randn(2, 2)
    first = oracle(visits[:1])
    second = oracle(visits[1:], first * 0.3)
    torch.testing.assert_close(cell(visits, torch.tensor([1.0, 0.3]), batch), torch.cat([first, second]))


def test_memory_fades_with_the_months() -> None:
    found = decay(torch.tensor([0.0, 30.4375, 365.25]))
    np.testing.assert_allclose(found, [1, 1 / np.log(np.e + 1), 1 / np.log(np.e + 12)], rtol=1e-6)


def test_pooling_by_recency_by_hand() -> None:
    month = 30.4375
    batch = Batch.of(samples_of([[(30 * month, [0]), (18 * month, [0]), (0.0, [0])], []]))
    w = [1 / (1 + np.log(31)), 1 / (1 + np.log(19)), 1.0]
    pooled = recency_pool(torch.tensor([[1.0], [2.0], [4.0]]), batch)
    wanted = [4.0, (2 * w[1] + 4) / (w[1] + 1), (w[0] + 2 * w[1] + 4) / sum(w)]
    np.testing.assert_allclose(pooled, [wanted, [0, 0, 0]], rtol=1e-6)


def test_a_sentence_by_hand() -> None:
    batch = Batch.of(samples_of(HISTORIES))
    assert gap_words(batch).tolist() == [0, 4, 2, 1]  # transfer, up to 12 months, up to 3, up to 1
    events, gaps, length = sentence_places(batch)
    assert events.tolist() == [0, 1, 3, 5, 6, 7, 0]
    assert gaps.tolist() == [2, 4, 8, 1]
    assert length.tolist() == [9, 0, 2]


def test_the_convolution_is_the_largest_answer_over_a_samples_own_words() -> None:
    torch.manual_seed(0)
    network = Convolution(CodeVectors.fresh(4, 3), Person(4), 2, filters=6, window=3, max_words=5, dropout=0.5).eval()
    batch = Batch.of(samples_of(HISTORIES))
    weight, bias = network.filters.weight, network.filters.bias
    vectors = network.codes.learned[1:]
    words = [  # the latest five of: a b . c . a a d .
        [network.gaps[4], vectors[0], vectors[0], vectors[3], network.gaps[2]],
        [],
        [vectors[1], network.gaps[1]],
    ]
    pooled = []
    for sentence in words:
        best = torch.zeros(6)
        for place in range(len(sentence)):
            answer = bias.clone()
            for offset in (-1, 0, 1):
                if 0 <= place + offset < len(sentence):
                    answer = answer + weight[:, :, offset + 1] @ sentence[place + offset]
            best = torch.maximum(best, answer)
        pooled.append(best)
    wanted = network.output(torch.cat([torch.stack(pooled), network.person(batch)], dim=1))
    torch.testing.assert_close(network(batch), wanted)


def test_vectors_of_codes_exact_inferred_and_missing() -> None:
    given = Embedding(("a", "up"), ("", ""), ("", ""), np.array([[1.0, -1.0], [3.0, 1.0]], dtype=np.float32))
    parents = {"b": ["between"], "between": ["up"], "c": ["nowhere"]}
    match = match_codes(VOCABULARY, given, parents)
    assert match.found.tolist() == [1, 2, 0, 0]
    assert match.share == (6 + 3) / 12
    assert match.counts() == {"exact": 1, "inferred": 1, "missing": 2}
    frozen = CodeVectors.started(match, fine_tune=False)
    scale = 0.1 / np.array([1.0, -1.0, 3.0, 1.0]).std()
    rows = frozen(torch.tensor([0, 1, 2, 3]))
    np.testing.assert_allclose(rows[:2].detach(), np.array([[1, -1], [3, 1]]) * scale, rtol=1e-6)
    rows.sum().backward()  # only the missing two learn
    assert frozen.learned.grad is not None
    assert frozen.learned.grad.tolist() == [[0, 0], [1, 1], [1, 1]]
    tuned = CodeVectors.started(match, fine_tune=True)
    np.testing.assert_allclose(tuned(torch.tensor([0, 1])).detach(), rows[:2].detach())
    with pytest.raises(SchemaError, match=r"Only 2 of 4 codes \(75.0% of the training events\).*asks for 80%"):
        match_codes(VOCABULARY, given, parents, min_match=0.8)
