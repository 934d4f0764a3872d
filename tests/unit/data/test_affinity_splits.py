"""Splits of affinities: what may not cross them does not, and what crosses is told."""

from __future__ import annotations

import gzip
import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_leaks import affinity_leaks
from medgraph.errors import SchemaError
from medgraph.loaders import davis


@pytest.fixture(scope="module", name="pairs")
def davis_pairs(shared_data: Path) -> Affinities:
    return davis.load(shared_data / "dta" / "davis")


WAYS = ("pair", "drug", "target", "both", "scaffold")
SMILES = [  # twice the same molecule, stereo-isomers, shared scaffolds, no rings
    "CCO", "OCC", "CCN", "C[C@H](N)O", "C[C@@H](N)O", "c1ccccc1C", "c1ccccc1CC", "Cc1ccccc1", "C1CCCCC1O", "C1CCCCC1N",
    "c1ccncc1", "Cc1ccncc1", "CCCC", "CCCl", "c1ccc2ccccc2c1", "CC#N",
]  # fmt: skip
BASE = "MKVLAAGIVGCDEFHWYRSTNQPLKMAVDEGHIRWSTYNQ"
SEQUENCES = [
    BASE,
    BASE,
    BASE + "A",
    "MWWYRSTNQPLKIVGCDEFHGAVDEGHNQMKVLAATYPPC",
    "MCDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY",
    "MYYYTTTSSSSRRRQQQPPPNNNMMMLLLKKKIIIHHHGGG",
]


def whole(seed: int = 0, measured: float = 0.8) -> Affinities:
    rng = np.random.default_rng(seed)
    rows = [
        (f"d{i}", smiles, f"t{j}", sequence, float(rng.integers(50, 60)) / 10)
        for (i, smiles), (j, sequence) in product(enumerate(SMILES), enumerate(SEQUENCES))
        if rng.random() < measured
    ]
    return Affinities.of(pd.DataFrame(rows, columns=["Drug_ID", "Drug", "Target_ID", "Target", "Y"]), unit="pKd")


def used(part: Affinities, what: str) -> set[str]:
    rows = {"drug": part.drug, "target": part.target}["target" if what == "sequence" else "drug"]
    table, column = (part.targets, "sequence") if what == "sequence" else (part.drugs, what)
    return {table[column][int(row)].as_py() for row in rows}


def overlaps(split, what: str) -> int:
    parts = [used(part, what) for part in (split.train, split.valid, split.test)]
    return sum(len(a & b) for a, b in ((parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2])))


def pairs_of(part: Affinities) -> list[tuple[int, int, float]]:
    return list(zip(part.drug.tolist(), part.target.tolist(), part.value.tolist(), strict=True))


class TestEverySplit:
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(WAYS), st.integers(0, 50), st.booleans())
    def test_every_pair_is_in_one_part_or_counted(self, by: str, seed: int, group: bool) -> None:
        pairs = whole(seed, measured=1.0)
        split = pairs.split(by, (0.5, 0.25, 0.25), seed=seed, group=group)
        parts = [pair for part in (split.train, split.valid, split.test) for pair in pairs_of(part)]
        assert len(parts) == len(set(parts)) == len(pairs) - sum(split.dropped.values())
        assert set(parts) <= set(pairs_of(pairs))
        again = pairs.split(by, (0.5, 0.25, 0.25), seed=seed, group=group)
        assert [pairs_of(again.train), pairs_of(again.test)] == [pairs_of(split.train), pairs_of(split.test)]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 1000))
    def test_what_may_not_cross_does_not(self, seed: int) -> None:
        pairs = whole()
        drug = pairs.split("drug", seed=seed)
        assert overlaps(drug, "smiles") == 0  # under whatever id
        assert overlaps(pairs.split("scaffold", seed=seed), "flat") == 0
        rings = pairs.split("scaffold", seed=seed)
        parts = [used(part, "scaffold") - {""} for part in (rings.train, rings.valid, rings.test)]
        assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
        target = pairs.split("target", (0.5, 0.25, 0.25), seed=seed)
        assert overlaps(target, "sequence") == 0
        near = [{"near" if text.startswith(BASE) else text for text in used(p, "sequence")} for p in
                (target.train, target.valid, target.test)]  # fmt: skip
        assert not near[0] & near[1] | near[0] & near[2] | near[1] & near[2]

    @pytest.mark.parametrize("by", WAYS)
    def test_fractions_and_seeds(self, by: str, pairs: Affinities) -> None:
        split = pairs.split(by, (0.6, 0.2, 0.2), seed=1)
        rows = {"drug": "drug", "scaffold": "drug", "target": "target", "both": "drug"}
        sizes = [len(part) if by == "pair" else np.unique(getattr(part, rows[by])).size
                 for part in (split.train, split.valid, split.test)]  # fmt: skip
        np.testing.assert_allclose(np.array(sizes) / sum(sizes), [0.6, 0.2, 0.2], atol=0.02)
        assert pairs.split(by, (0.6, 0.2, 0.2), seed=1).test.fingerprint == split.test.fingerprint
        assert pairs.split(by, (0.6, 0.2, 0.2), seed=2).test.fingerprint != split.test.fingerprint

    @pytest.mark.parametrize("by", WAYS)
    def test_a_part_of_nothing_stays_empty(self, by: str) -> None:
        for seed in range(10):
            split = whole(measured=1.0).split(by, (0.75, 0.0, 0.25), seed=seed)
            assert len(split.valid) == 0 < len(split.test)
            assert split.report.valid.pairs == 0

    def test_both_ends_are_new(self) -> None:
        split = whole(measured=1.0).split("both", (0.5, 0.25, 0.25), seed=3)
        assert (overlaps(split, "smiles"), overlaps(split, "sequence")) == (0, 0)
        drugs, targets = np.unique(split.train.drug).size, np.unique(split.train.target).size
        assert len(split.train) == drugs * targets
        assert sum(split.dropped.values()) == 96 - len(split.train) - len(split.valid) - len(split.test) > 0

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"by": "molecule"}, "by is one of"),
            ({"fractions": (0.5, 0.4, 0.2)}, "add up to 1"),
            ({"fractions": (1.2, -0.1, -0.1)}, "add up to 1"),
            ({"by": "given"}, "without folds"),
        ],
    )
    def test_bad_parameters(self, options: dict[str, object], says: str) -> None:
        with pytest.raises(SchemaError, match=says):
            whole().split(**options)

    def test_too_few(self) -> None:
        one = whole().take(whole().target == 0)
        with pytest.raises(SchemaError, match="too few entities by target: valid is empty"):
            one.split("target")
        with pytest.raises(SchemaError, match="too few pairs"):
            one.take([0, 1]).split("pair")


class TestLeaks:
    def test_they_are_what_sets_of_python_say(self) -> None:
        pairs = whole(1)
        for by, group in product(WAYS, (True, False)):
            split = pairs.split(by, (0.5, 0.2, 0.3), seed=4, group=group)
            found, train, test = split.report.test, split.train, split.test
            for what, count in (("smiles", found.same_molecule), ("sequence", found.same_sequence)):
                ids = "drug" if what == "smiles" else "target"
                table = pairs.drugs if what == "smiles" else pairs.targets
                mine, known = set(getattr(test, ids).tolist()), set(getattr(train, ids).tolist())
                texts = {table[what][row].as_py() for row in known}
                assert count == sum(table[what][row].as_py() in texts for row in mine - known), (by, what)
                seen = found.drugs_seen if what == "smiles" else found.targets_seen
                assert seen == len(mine & known)
            molecules = used(train, "smiles")
            new = {row for row in test.drug.tolist() if pairs.smiles[row] not in molecules}
            flat, rings = used(train, "flat"), used(train, "scaffold") - {""}
            column = {name: pairs.drugs[name].to_pylist() for name in ("flat", "scaffold")}
            assert found.same_but_stereo == sum(column["flat"][row] in flat for row in new)
            assert found.same_scaffold == sum(
                column["scaffold"][row] in rings or (not column["scaffold"][row] and column["flat"][row] in flat)
                for row in new
            )
            known = {(train.smiles[d], train.sequences[t]): set() for d, t, _ in pairs_of(train)}
            for d, t, value in pairs_of(train):
                known[train.smiles[d], train.sequences[t]].add(value)
            twins = [(known.get((test.smiles[d], test.sequences[t])), value) for d, t, value in pairs_of(test)]
            assert found.repeated == sum(values is not None for values, _ in twins)
            assert found.repeated_value == sum(values is not None and value in values for values, value in twins)
            assert (found.pairs, split.report.train[0]) == (len(test), len(train))

    def test_near_sequences(self) -> None:
        pairs = whole(measured=1.0)
        train, test = pairs.take(pairs.target < 2), pairs.take(pairs.target == 2)
        assert affinity_leaks(train, test, test).test.near_sequence == 1
        test = pairs.take(pairs.target == 3)
        assert affinity_leaks(train, test, test).test.near_sequence == 0

    def test_it_prints_and_is_json(self) -> None:
        split = whole().split("both", (0.5, 0.25, 0.25), seed=3)
        text = str(split.report)
        assert "Split by both" in text
        assert "the same molecule under another id" in text
        assert "are in no part" in text
        assert json.loads(json.dumps(split.report.to_dict()))["test"]["pairs"] == len(split.test)
        assert repr(split).startswith("AffinitySplit(by both: ")

    def test_tables_without_flat_and_scaffold_give_the_same(self) -> None:
        pairs = whole()
        plain = Affinities(
            pairs.drugs.select(["id", "smiles", "given"]), pairs.targets, pairs.drug, pairs.target, pairs.value, "pKd"
        )
        for by in WAYS:
            one, two = (p.split(by, (0.5, 0.25, 0.25), seed=3) for p in (pairs, plain))
            assert one.report.to_dict() == two.report.to_dict()


class TestDavis:
    """Davis' mutants carry the sequence of the wild type: a split by target leaks if they are not grouped."""

    def test_ungrouped_targets_leak_and_the_report_says_so(self, pairs: Affinities) -> None:
        for seed in range(5):
            leaky, grouped = (pairs.split("target", seed=seed, group=group).report.test for group in (False, True))
            assert leaky.same_sequence > 0
            assert leaky.repeated == 68 * leaky.same_sequence
            assert leaky.repeated_value > leaky.repeated / 3
            assert (grouped.same_sequence, grouped.near_sequence, grouped.repeated, grouped.targets_seen) == (
                0,
                0,
                0,
                0,
            )

    def test_given_folds(self, pairs: Affinities, shared_data: Path) -> None:
        folder = shared_data / "dta" / "davis"
        with gzip.open(folder / "Y.tsv.gz", "rt") as file:
            matrix = -np.log10(np.loadtxt(file, delimiter="\t") / 1e9)
        rows, columns = np.nonzero(~np.isnan(matrix))
        lists = {}
        for name in ("train", "test"):
            with gzip.open(folder / f"{name}_fold_setting1.txt.gz", "rt") as file:
                lists[name] = json.load(file)
        for fold in range(5):
            split = pairs.split("given", fold=fold)
            train = [place for number, part in enumerate(lists["train"]) if number != fold for place in part]
            for part, places in (
                (split.train, train),
                (split.valid, lists["train"][fold]),
                (split.test, lists["test"]),
            ):
                assert (part.drug.tolist(), part.target.tolist()) == (rows[places].tolist(), columns[places].tolist())
                np.testing.assert_allclose(part.value, matrix[rows[places], columns[places]], rtol=1e-12)
        every = pairs.split("given", fold=None)
        assert (len(every.train), len(every.valid), len(every.test)) == (25_046, 0, 5_010)
        with pytest.raises(SchemaError, match="no fold 5"):
            pairs.split("given", fold=5)
        with pytest.raises(SchemaError, match="without folds"):
            every.train.split("given")
