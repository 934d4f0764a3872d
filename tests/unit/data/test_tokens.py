"""Texts as tokens: DeepDTA's numbers, padding, what is unknown and what is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgraph.data.tokens import PROTEIN_TOKENS, SMILES_ATOMS, SMILES_TOKENS, Tokens
from medgraph.errors import SchemaError


def test_deepdtas_numbers() -> None:  # as published: CHARISOSMISET and CHARPROTSET
    assert (len(SMILES_TOKENS.symbols), len(PROTEIN_TOKENS.symbols)) == (64, 25)
    published = {"#": 29, "%": 30, ")": 31, "(": 1, "+": 32, "-": 33, "/": 34, ".": 2, "1": 35, "0": 3, "9": 39, "8": 7,
                 "=": 40, "A": 41, "@": 8, "C": 42, "Z": 19, "]": 54, "\\": 20, "a": 55, "c": 56, "y": 64}  # fmt: skip
    for symbol, number in published.items():
        assert SMILES_TOKENS.encode([symbol]).flat.tolist() == [number], symbol
    proteins = {"A": 1, "C": 2, "B": 3, "E": 4, "D": 5, "X": 24, "Z": 25, "Y": 23}
    assert PROTEIN_TOKENS.encode(["".join(proteins)]).flat.tolist() == list(proteins.values())
    assert (SMILES_TOKENS.size, SMILES_TOKENS.unknown) == (66, 65)


def test_padding_and_rows() -> None:
    found = PROTEIN_TOKENS.encode(["AC", "", "ACBED"])
    assert found.lengths.tolist() == [2, 0, 5]
    assert found.padded().tolist() == [[1, 2, 0, 0, 0], [0] * 5, [1, 2, 3, 4, 5]]
    assert found.padded(np.array([0, 0])).tolist() == [[1, 2], [1, 2]]
    assert found.padded(np.array([1]), length=3).tolist() == [[0, 0, 0]]
    assert found.padded(np.zeros(0, dtype=np.int64)).shape == (0, 0)
    assert found.padded().dtype == np.int64
    with pytest.raises(SchemaError, match="5 tokens"):
        found.padded(length=4)


def test_what_is_cut_is_counted() -> None:
    found = PROTEIN_TOKENS.encode(["A" * 10, "A" * 4, "A" * 7], max_length=5)
    assert (found.cut, found.cut_tokens, found.lengths.tolist()) == (2, 7, [5, 4, 5])
    assert "2 texts cut" in repr(found)
    with pytest.raises(SchemaError, match="at least 1"):
        PROTEIN_TOKENS.encode(["A"], max_length=0)


def test_what_is_unknown_is_counted() -> None:
    found = PROTEIN_TOKENS.encode(["AJ", "Ω"])
    assert (found.flat.tolist(), found.unknown) == ([1, 26, 26], 2)
    assert PROTEIN_TOKENS.decode(found.flat) == "A??"


def test_atoms_are_one_token() -> None:
    found = SMILES_ATOMS.encode(["ClC[C@@H](Br)%12.[Fe+2]"])
    words = [SMILES_ATOMS.decode([number]) for number in found.flat]
    assert words == ["Cl", "C", "[C@@H]", "(", "Br", ")", "%12", ".", "?"]
    assert len(set(SMILES_ATOMS.symbols)) == len(SMILES_ATOMS.symbols)


@given(st.lists(st.text("ACDEFGHIKLMNPQRSTVWYXUOBZ", max_size=40), max_size=6), st.integers(1, 50) | st.none())
def test_back_and_forth(texts: list[str], longest: int | None) -> None:
    found = PROTEIN_TOKENS.encode(texts, longest)
    assert [PROTEIN_TOKENS.decode(row) for row in found.padded()] == [text[:longest] for text in texts]
    assert found.cut == sum(len(text) > (longest or 99) for text in texts)


@pytest.mark.parametrize("symbols", [(), ("A", "A"), ("AB",)])
def test_bad_alphabets(symbols: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError):
        Tokens(symbols)
