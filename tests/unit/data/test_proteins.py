"""Sequences checked, counted and grouped, against scikit-learn and planted changes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from medgraph.data.proteins import AMINO_ACIDS, check_sequence, kmer_cosine, kmers, near_identical
from medgraph.errors import SchemaError

LETTERS = list(AMINO_ACIDS)


def drawn(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(LETTERS, length))


def changed(sequence: str, places: np.ndarray) -> str:
    letters = list(sequence)
    for place in places:
        letters[place] = LETTERS[(LETTERS.index(letters[place]) + 7) % 20]
    return "".join(letters)


class TestOneForm:
    def test_case_space_and_stop(self) -> None:
        assert check_sequence(" mkv\nLLA a*\n") == "MKVLLAA"
        assert check_sequence("UOXBZJ") == "UOXBZJ"

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("", "empty"),
            ("*", "empty"),
            ("MKV1LA", "Letter 4 of the sequence, '1'"),
            ("MK*LA", r"Letter 3 of the sequence, '\*'"),
            ("MK-LA", "a gap"),
            (">sp|P1\nMKV", "Letter 1 of the sequence, '>'"),
            ("MKÄ", "'Ä'"),
            ("A" * 1_000_001, "1,000,001 letters"),
        ],
    )
    def test_errors(self, given: str, says: str) -> None:
        with pytest.raises(SchemaError, match=says):
            check_sequence(given)

    def test_a_hundred_thousand_residues_are_fine(self) -> None:
        giant = drawn(100_000, 0)
        assert check_sequence(giant) == giant
        assert kmers([giant]).sum() == 99_998
        assert near_identical([giant, changed(giant, np.arange(0, 100_000, 50)), drawn(500, 1)]).tolist() == [0, 0, 1]


class TestKmers:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX", max_size=30), max_size=5), st.integers(1, 4))
    def test_counts(self, sequences: list[str], k: int) -> None:
        found = kmers(sequences, k)
        assert found.shape == (len(sequences), 21**k)
        for row, sequence in enumerate(sequences):
            expected = Counter(sequence[i : i + k] for i in range(len(sequence) - k + 1))
            assert sorted(found[row].data.tolist()) == sorted(expected.values())
            assert kmers(sequences, k, counts=False)[row].nnz == len(expected)

    def test_other_letters_are_one(self) -> None:
        assert (kmers(["AXC"]) != kmers(["AUC"])).nnz == 0
        assert (kmers(["AXC"]) != kmers(["AWC"])).nnz == 2

    def test_cosine_is_scikit_learns(self) -> None:
        sequences = [drawn(60, seed) for seed in range(6)]
        counts = CountVectorizer(analyzer="char", ngram_range=(3, 3), lowercase=False).fit_transform(sequences)
        ours = kmers(sequences)
        np.testing.assert_allclose(kmer_cosine(ours, ours[:4]), cosine_similarity(counts, counts[:4]), rtol=1e-12)

    def test_empty_rows_are_like_nothing(self) -> None:
        assert kmer_cosine(kmers(["MK", "MKV"]), kmers(["MKV"])).tolist() == [[0.0], [1.0]]

    def test_bad_input(self) -> None:
        with pytest.raises(SchemaError, match="1 to 6"):
            kmers(["MKV"], 7)
        with pytest.raises(SchemaError, match="same k"):
            kmer_cosine(kmers(["MKV"], 2), kmers(["MKV"], 3))


class TestNearIdentical:
    def test_the_estimate_finds_planted_identity(self) -> None:
        rng = np.random.default_rng(0)
        base = drawn(800, 3)
        for share, together in ((0.02, True), (0.06, True), (0.15, False), (0.3, False)):
            other = changed(base, rng.permutation(800)[: int(share * 800)])
            assert (near_identical([base, other]).tolist() == [0, 0]) is together, share

    def test_a_domain_is_joined_with_its_protein_and_chains_are_joined(self) -> None:
        whole, other = drawn(900, 1), drawn(900, 2)
        assert near_identical([whole, other, whole[200:500]]).tolist() == [0, 1, 0]
        assert near_identical([whole[:450], other, whole[450:], whole]).tolist() == [0, 1, 0, 0]

    def test_exactly_the_same_alone(self) -> None:
        base = drawn(200, 1)
        near = changed(base, np.array([5]))
        assert near_identical([base, near, base], least=1.0).tolist() == [0, 1, 0]
        assert near_identical([base, near, base]).tolist() == [0, 0, 0]
        assert near_identical([]).tolist() == []
        assert near_identical(["MK", "MK", "MV"]).tolist() == [0, 0, 1]  # too short for any k-mer

    def test_numbers_are_in_order_of_appearance_whatever_the_order(self) -> None:
        sequences = [drawn(100, seed) for seed in (1, 2, 3)]
        groups = near_identical([sequences[i] for i in (2, 0, 2, 1, 0)])
        assert groups.tolist() == [0, 1, 0, 2, 1]

    def test_bad_input(self) -> None:
        with pytest.raises(SchemaError, match="least"):
            near_identical(["MKV"], least=0)

    def test_davis(self, shared_data: Path) -> None:
        with gzip.open(shared_data / "dta" / "davis" / "proteins.txt.gz", "rt") as file:
            proteins: dict[str, str] = json.load(file)
        names = np.array(list(proteins))
        exact = near_identical(list(proteins.values()), least=1.0)
        assert (len(names), exact.max() + 1, len(set(proteins.values()))) == (442, 379, 379)
        for name, size in (("ABL1", 15), ("EGFR", 12), ("PIK3CA", 10)):
            mutants = names[exact == exact[list(names).index(name)]]
            assert (mutants.size, {m.partition("(")[0].removesuffix("p") for m in mutants}) == (size, {name})
        near = near_identical(list(proteins.values()))
        assert near.max() + 1 < 379
        together = near == near[list(names).index("CAMK2A")]
        assert set(names[together]) == {"CAMK2A", "CAMK2D"}
