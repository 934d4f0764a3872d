"""Conjugate gradients for several shifts at once against solving each system."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgraph.heads.interaction.baselines.shifted import solve_shifted


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 25), st.lists(st.floats(0.05, 50), min_size=1, max_size=5), st.integers(0, 1000))
def test_each_shift_is_solved_exactly(n: int, shifts: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    K, b = root @ root.T, rng.normal(size=n)
    found = solve_shifted(lambda x: K @ x, b, shifts, 20 * n, 1e-13)
    for shift, x in zip(shifts, found, strict=True):
        np.testing.assert_allclose(x, np.linalg.solve(K + shift * np.eye(n), b), rtol=1e-6, atol=1e-8)


def test_a_far_larger_shift_is_not_lost_while_the_smallest_goes_on() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(80, 80))
    K, b = root @ root.T / 80, rng.normal(size=80)
    found = solve_shifted(lambda x: K @ x, b, (1e-3, 1e6), 2000, 1e-12)
    np.testing.assert_allclose(found[1], np.linalg.solve(K + 1e6 * np.eye(80), b), rtol=1e-9)
    assert np.isfinite(found).all()


def test_it_stops_when_told_and_where_it_meets_what_is_indefinite() -> None:
    asked = []

    def product(x: np.ndarray) -> np.ndarray:
        asked.append(1)
        return np.array([3.0, 1.0]) * x

    solve_shifted(product, np.array([1.0, 1.0]), (0.1,), 1, 1e-12)
    assert len(asked) == 1
    found = solve_shifted(lambda x: np.array([1.0, -5.0]) * x, np.array([1.0, 1.0]), (0.1, 1.0), 50, 1e-12)
    assert not found.any()
    found = solve_shifted(lambda x: np.array([1.0, -0.5]) * x, np.array([1.0, 3.0]), (0.1, 2.0), 50, 1e-12)
    assert found[1] == pytest.approx([1 / 3, 2])
    assert not solve_shifted(product, np.zeros(2), (0.1,), 50, 1e-12).any()
    assert solve_shifted(product, np.ones(2), (1.0,), 50, 1e-12)[0] == pytest.approx([0.25, 0.5])
