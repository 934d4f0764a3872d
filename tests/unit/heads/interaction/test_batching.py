"""Blocks: every pair once an epoch, few targets in a batch, another order every epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from medgraph.heads.interaction.batching import Batches, PairData, blocks
from medgraph.heads.interaction.features import Entities, IdFeatures


@given(
    counts=st.lists(st.integers(1, 70), min_size=1, max_size=30), block=st.integers(1, 20), size=st.integers(1, 64),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_every_pair_once_and_full_batches(counts: list[int], block: int, size: int, seed: int) -> None:
    target = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    found = blocks(target, block, size, seed, 0)
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(target.size))
    assert all(len(rows) == size for rows in found[:-1])
    assert_array_equal(np.concatenate(found), np.concatenate(blocks(target, block, size, seed, 0)))


def test_few_targets_a_batch_and_epochs_differ() -> None:
    target = np.repeat(np.arange(442), 68).astype(np.int64)
    epochs = [blocks(target, 16, 256, 0, epoch) for epoch in range(3)]
    spread = [np.unique(target[rows]).size for rows in epochs[0]]
    assert np.mean(spread) < 18
    assert max(spread) <= 20
    random = np.random.default_rng(0).permutation(target.size)[:256]
    assert np.unique(target[random]).size > 150
    assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))
    partners = [{frozenset(rows.tolist()) for rows in epoch} for epoch in epochs]
    assert not partners[0] & partners[1]  # pairs meet others in every epoch


def test_targets_with_one_pair_each_still_fill_batches() -> None:
    found = blocks(np.arange(100, dtype=np.int64), 16, 32, 0, 0)
    assert [len(rows) for rows in found] == [32, 32, 32, 4]
    assert blocks(np.zeros(0, dtype=np.int64), 16, 32, 0, 0) == []


@pytest.fixture
def data() -> PairData:
    entities = Entities(("a", "b", "c"), ("", "", ""))
    features = IdFeatures.fitted(entities, np.array([0, 1, 2]))
    drug, target = np.array([2, 0, 2, 1]), np.array([1, 1, 0, 1])
    value, limited = np.array([0.5, 1.5, 2.5, 3.5]), np.array([True, False, False, False])
    return PairData(features.of(entities), features.of(entities), drug, target, value, limited, torch.device("cpu"))


def test_a_batch_has_each_entity_once(data: PairData) -> None:
    batch = data.batch(np.array([2, 0, 1]))
    assert batch.drug_inputs[0].tolist() == [1, 3]
    assert batch.target_inputs[0].tolist() == [1, 2]
    assert batch.drug_inputs[0][batch.drug].tolist() == [3, 3, 1]
    assert batch.target_inputs[0][batch.target].tolist() == [1, 2, 2]
    assert batch.value.tolist() == [2.5, 0.5, 1.5]
    assert batch.limited.tolist() == [False, True, False]
    batches = Batches(data, [np.array([0, 1]), np.array([2, 3])])
    assert [len(b.value) for b in batches] == [2, 2]
    assert len(batches[0:1]) == 1
    assert sum(len(b.value) for b in data.in_order(3)) == 4
