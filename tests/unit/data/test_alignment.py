"""Local alignment against the recursion of Gotoh, written out, and BLOSUM62 by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scoring_matrices.lib import ScoringMatrix

from medgraph.data.alignment import Alignments
from medgraph.errors import MissingExtraError

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def gotoh(a: str, b: str) -> float:
    """The best local score where a gap costs 11, and 1 for each further letter."""
    table = ScoringMatrix.from_name("BLOSUM62")
    here, down = np.zeros(len(b) + 1), np.full(len(b) + 1, -np.inf)
    best = 0.0
    for one in a:
        before, right, last = here.copy(), -np.inf, 0.0
        for j, two in enumerate(b, start=1):
            down[j] = max(before[j] - 11, down[j] - 1)
            right = max(here[j - 1] - 11, right - 1)
            here[j] = max(0.0, before[j - 1] + table[one, two], down[j], right)
            last = max(last, here[j])
        best = max(best, last)
    return best


def test_the_score_is_that_of_the_recursion() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(RESIDUES), size=int(rng.integers(5, 60)))) for _ in range(8)]
    texts += [texts[0][:20] + texts[1][:9] + texts[0][20:], texts[2] * 2]  # a long gap, a repeat
    found = Alignments().likeness(texts[:6], texts)
    own = [gotoh(text, text) for text in texts]
    expected = [[gotoh(texts[i], two) / np.sqrt(own[i] * own[j]) for j, two in enumerate(texts)] for i in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[0, 8] > 0.5
    assert found.max() == pytest.approx(1.0)


def test_by_hand() -> None:
    """W with W is 11, H with H 8, W with H -2: the best part of WWH and WW is WW."""
    found = Alignments().likeness(["WWH"], ["WW", "H", "PPP"])
    np.testing.assert_allclose(found[0], [22 / np.sqrt(30 * 22), 8 / np.sqrt(30 * 8), 0])


def test_what_was_asked_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list(RESIDUES), size=30)) for _ in range(12)]
    fresh = Alignments().likeness(texts[:5], texts[5:])
    asked = Alignments()
    asked.likeness(texts[3:7], texts[:2])
    np.testing.assert_array_equal(asked.likeness(texts[:5], texts[5:]), fresh)
    monkeypatch.setattr("medgraph.data.alignment._MOST", 8)
    forgetful = Alignments()
    forgetful.likeness(texts[:3], texts[3:7])
    np.testing.assert_array_equal(forgetful.likeness(texts[:5], texts[5:]), fresh)
    assert Alignments().likeness([], texts).shape == (0, 12)


def test_rare_letters_are_read_as_their_likes_and_x_says_nothing() -> None:
    found = Alignments().likeness(["UWOJ", "XXX", "cwkl"], ["CWKL", "XXX"])
    np.testing.assert_allclose(found, [[1, 0], [0, 0], [1, 0]])


def test_without_pyopal_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopal", None)
    with pytest.raises(MissingExtraError, match="chem"):
        Alignments()
