"""Conformal intervals hold as often as they say, whatever the errors look like."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from medgraph.errors import SchemaError
from medgraph.heads.interaction.uncertainty import Conformal


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("normalised", [False, True])
def test_coverage_is_as_promised(level: float, normalised: bool) -> None:
    """Over many draws of held-out and new pairs; errors are heavy-tailed and differ from pair to pair."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        std = rng.uniform(0.2, 3.0, size=200)
        value = rng.normal(size=200)
        measured = value + std * rng.standard_t(3, size=200)
        given_std = std if normalised else None
        fitted = Conformal.fitted(measured[:100], value[:100], None if given_std is None else std[:100])
        low, high = fitted.interval(value[100:], None if given_std is None else std[100:], level)
        held.append(((low <= measured[100:]) & (measured[100:] <= high)).mean())
    mean, error = float(np.mean(held)), float(np.std(held) / math.sqrt(len(held)))
    assert mean > level - 3 * error
    assert mean < level + 1 / 101 + 3 * error  # and no more than that: the rank is exact


def test_normalised_intervals_are_wide_where_it_is_unsure() -> None:
    fitted = Conformal.fitted(np.arange(10.0), np.arange(10.0) + 1, np.full(10, 0.5))
    low, high = fitted.interval(np.zeros(2), np.array([1.0, 3.0]), 0.5)
    assert_allclose(high - low, [4.0, 12.0])


def test_few_held_out_pairs_promise_nothing() -> None:
    fitted = Conformal.fitted(np.array([1.0, 2.0]), np.zeros(2))
    assert fitted.quantile(0.5) == 2.0
    assert fitted.quantile(0.9) == math.inf
    low, high = fitted.interval(np.zeros(1), None, 0.9, limit=5.0)
    assert_array_equal(low, [5.0])
    assert_array_equal(high, [np.inf])


@given(n=st.integers(1, 60), level=st.floats(0.01, 0.99))
def test_the_rank_is_that_of_the_definition(n: int, level: float) -> None:
    fitted = Conformal.fitted(np.arange(1.0, n + 1), np.zeros(n))
    found = fitted.quantile(level)
    rank = found if math.isfinite(found) else n + 1
    assert rank >= (n + 1) * level - 1e-6
    assert rank - 1 < (n + 1) * level


def test_a_level_is_a_share() -> None:
    with pytest.raises(SchemaError, match="level"):
        Conformal.fitted(np.zeros(3), np.zeros(3)).quantile(1.5)
