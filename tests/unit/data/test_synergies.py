"""Drug combinations: unordered pairs, one structure one drug, splits that hold out what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from medgraph.data.synergies import Synergies
from medgraph.errors import SchemaError

ASPIRIN, SODIUM = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]"
SMILES = {
    "aspirin": ASPIRIN,
    "Aspirin sodium": SODIUM,
    "ethanol": "CCO",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "arsenic": "[O-2].[O-2].[O-2].[As+3].[As+3]",
    "broken": "C1CC",
    "nothing": None,
}


def table(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """Rows of first, second, cell, score, fold."""
    frame = pd.DataFrame(rows, columns=["Drug1_ID", "Drug2_ID", "Cell_Line_ID", "Y", "fold"])
    return frame.assign(Drug1=frame.Drug1_ID.map(SMILES), Drug2=frame.Drug2_ID.map(SMILES))


def grid(drugs: int = 12, cells: int = 5, seed: int = 0) -> Synergies:
    """Every pair of some alkanes in every cell line."""
    rng = np.random.default_rng(seed)
    pairs = itertools.product(itertools.combinations(range(drugs), 2), range(cells))
    rows = [(f"d{a}", "C" * (a + 1), f"d{b}", "C" * (b + 1), f"c{c}", rng.normal()) for (a, b), c in pairs]
    return Synergies.of(pd.DataFrame(rows, columns=["Drug1_ID", "Drug1", "Drug2_ID", "Drug2", "Cell_Line_ID", "Y"]))


def test_a_pair_has_no_order_and_one_structure_is_one_drug() -> None:
    data = Synergies.of(table([
        ("aspirin", "ethanol", "A", 1.0, 0),
        ("ethanol", "Aspirin sodium", "A", 4.0, 1),  # the same pair and cell line: in both orders, under two names
        ("caffeine", "aspirin", "A", 2.0, 1),
        ("caffeine", "aspirin", "B", 3.0, 0),
    ]))  # fmt: skip
    assert len(data) == 3
    assert data.drugs["id"].to_pylist() == ["aspirin", "caffeine", "ethanol"]
    assert data.drugs["names"].to_pylist()[0] == ["aspirin", "Aspirin sodium"]
    assert (data.first < data.second).all()
    assert data.value.tolist() == [2.5, 2.0, 3.0]  # the mean of 1 and 4
    assert data.fold is not None
    assert data.fold.tolist() == [0, 1, 0]  # of the first row of each
    assert dict(data.skipped) == {"repeated measurements": 1}
    told = " ".join(data.notes)
    assert "1 names have the structure of another" in told
    assert "(1 in both orders), 1 of them with different scores" in told
    assert "half are more than 3 apart, the standard deviation of one measurement is 2.12" in told  # 3 / sqrt(2)
    assert "1 of them stood in two of the given folds" in told
    swapped = Synergies(data.drugs, data.cells, data.second, data.first, data.cell, data.value, fold=data.fold)
    assert swapped.fingerprint == data.fingerprint


@pytest.mark.parametrize(("rule", "value"), [("mean", 3.0), ("median", 2.0), ("first", 1.0)])
def test_repeats_are_resolved_by_the_rule(rule: str, value: float) -> None:
    rows = [("aspirin", "ethanol", "A", v, 0) for v in (1.0, 2.0, 6.0)]
    assert Synergies.of(table(rows), duplicates=rule).value.tolist() == [value]  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="measured more than once, up to 5 apart"):
        Synergies.of(table(rows), duplicates="refuse")


def test_what_cannot_be_used_is_counted() -> None:
    data = Synergies.of(table([
        ("aspirin", "ethanol", "A", 1.0, 0),
        ("aspirin", "arsenic", "A", 1.5, 0),  # no carbon, and a drug all the same
        ("aspirin", "broken", "A", 1.0, 0),
        ("nothing", "ethanol", "A", 1.0, 0),
        ("aspirin", "Aspirin sodium", "A", 1.0, 0),
        ("aspirin", "ethanol", None, 1.0, 0),
        ("aspirin", "caffeine", "A", "n/a", 0),
        ("aspirin", "caffeine", "A", np.inf, 0),
    ]))  # fmt: skip
    assert len(data) == 2
    assert "[As+3]" in data.smiles[data.drugs["id"].to_pylist().index("arsenic")]
    assert dict(data.skipped) == {
        "rows whose score is no number": 2,
        "rows without a cell line": 1,
        "rows with a drug that has no readable structure": 2,
        "rows of a drug with itself": 1,
    }
    assert any("broken: " in note and "nothing: there is no SMILES" in note for note in data.notes)
    kept = Synergies.of(table([("aspirin", "Aspirin sodium", "A", 1.0, 0)]), self_pairs="keep")
    assert kept.first.tolist() == kept.second.tolist() == [0]


def test_tables_that_make_no_sense_are_refused() -> None:
    good = table([("aspirin", "ethanol", "A", 1.0, 0)])
    with pytest.raises(SchemaError, match="Cell_Line_ID missing"):
        Synergies.of(good.drop(columns="Cell_Line_ID"))
    with pytest.raises(SchemaError, match="two structures"):
        Synergies.of(pd.concat([good, good.assign(Drug1="CCC")]))
    with pytest.raises(SchemaError, match="None of 1 rows"):
        Synergies.of(good.assign(Y=np.nan))
    with pytest.raises(SchemaError, match="one length, got 1, 2"):
        both = pd.concat([good, good.assign(Cell_Line_ID="B")])
        Synergies.of(both, features={"A": [1.0], "B": [1.0, 2.0]})
    with pytest.raises(SchemaError, match="duplicates='last'"):
        Synergies.of(good, duplicates="last")  # type: ignore[arg-type]


def test_features_of_cell_lines_stand_in_their_table() -> None:
    both = table([("aspirin", "ethanol", "A", 1.0, 0), ("aspirin", "ethanol", "B", 1.0, 0)])
    data = Synergies.of(both, features={"B": [1.0, 2.0]})
    np.testing.assert_array_equal(data.features, [[np.nan, np.nan], [1.0, 2.0]])
    assert Synergies.of(both).features is None


def test_it_goes_out_as_it_came_in() -> None:
    data = grid(4, 2)
    again = Synergies.of(data.to_pandas())
    assert again.to_pandas().equals(data.to_pandas())
    assert again.fingerprint == data.fingerprint


def held(split_part: Synergies, name: str) -> set[int]:
    drugs = np.union1d(split_part.first, split_part.second)
    return set({"pair": split_part.pair, "cell": split_part.cell, "drug": drugs}[name].tolist())


@pytest.mark.parametrize("seed", range(3))
def test_splits_hold_out_what_they_say(seed: int) -> None:
    data = grid()
    for by in ("pair", "cell"):
        split = data.split(by, (0.6, 0.2, 0.2), seed=seed)
        assert not held(split.train, by) & (held(split.valid, by) | held(split.test, by))
        assert not held(split.valid, by) & held(split.test, by)
        assert len(split.train) + len(split.valid) + len(split.test) == len(data)
        assert split.report.parts["test"].pair == (0 if by == "pair" else len(split.test))
    split = data.split("drug", (0.6, 0.2, 0.2), seed=seed)
    known = held(split.train, "drug")
    new = np.array([[row not in known for row in rows.tolist()] for rows in (split.test.first, split.test.second)])
    assert new.any(axis=0).all()  # at least one new drug in each row
    assert (split.both_new == new.all(axis=0)).all()
    assert 0 < split.both_new.sum() < len(split.test)
    first_seen = known | held(split.valid, "drug")
    assert all(
        (a not in first_seen) | (b not in first_seen)
        for a, b in zip(split.test.first.tolist(), split.test.second.tolist(), strict=True)
    )
    seen = split.report.parts["test"]
    assert (seen.both_drugs, seen.one_drug, seen.no_drug) == (0, (~new.all(axis=0)).sum(), new.all(axis=0).sum())
    assert seen.repeated == seen.pair == 0


def test_draws_follow_the_seed() -> None:
    data = grid()
    one, again, other = (data.split("pair", seed=seed).test.fingerprint for seed in (1, 1, 2))
    assert one == again != other


def test_given_folds_and_what_they_leak() -> None:
    data = grid(6, 4)
    folded = Synergies(data.drugs, data.cells, data.first, data.second, data.cell, data.value, fold=data.cell % 3)
    split = folded.split("given", fold=2)
    assert set(split.test.cell.tolist()) == {2}
    assert set(split.valid.cell.tolist()) == {0, 3}  # the next fold
    assert split.report.parts["test"].pair == len(split.test)  # every pair is in train, in another cell line
    assert "the pair, in another cell line" in str(split.report)
    with pytest.raises(SchemaError, match="there are 0, 1, 2"):
        folded.split("given", fold=7)
    with pytest.raises(SchemaError, match="without folds"):
        data.split("given")


def test_stereo_isomers_across_a_split_are_reported() -> None:
    pairs = [("L", "N[C@@H](C)C(=O)O"), ("D", "N[C@H](C)C(=O)O"), ("x", "CCO"), ("y", "CCCO"), ("z", "CCCCO")]
    rows = [(*a, *b, "A", 1.0) for a, b in itertools.combinations(pairs, 2)]
    columns = ["Drug1_ID", "Drug1", "Drug2_ID", "Drug2", "Cell_Line_ID", "Y"]
    data = Synergies.of(pd.DataFrame(rows, columns=columns))
    ids = data.drugs["id"].to_pylist()
    found = []
    for seed in range(20):
        split = data.split("drug", (0.6, 0.2, 0.2), seed=seed)
        known = {ids[row] for row in held(split.train, "drug")}
        row = {ids[row] for row in held(split.test, "drug")} - known
        twin = ("L" in row and "D" in known) or ("D" in row and "L" in known)
        found.append(twin)
        assert (split.report.parts["test"].twins > 0) == twin
    assert any(found)
    assert not all(found)


def test_rare_drugs_and_cells_can_be_left_out_until_none_is() -> None:
    frame = grid(6, 4).to_pandas()
    rare = pd.DataFrame([("z", "CCOC", "d0", "C", "c0", 1.0), ("d1", "CC", "d0", "C", "rare", 1.0)],
                        columns=["Drug1_ID", "Drug1", "Drug2_ID", "Drug2", "Cell_Line_ID", "Y"])  # fmt: skip
    data = Synergies.of(pd.concat([frame, rare]))
    common = data.at_least(drug=2, cell=2)
    assert len(common) == len(frame)
    assert sum(common.skipped.values()) == 2
    assert len(data.at_least(drug=21)) == 0  # d0 has 22, so has no partner left
    assert data.at_least() is not None


def test_bad_splits_are_refused() -> None:
    data = grid(4, 2)
    with pytest.raises(SchemaError, match="add up to 1"):
        data.split("pair", (0.5, 0.1, 0.1))
    with pytest.raises(SchemaError, match="has no rows"):
        data.split("cell", (0.5, 0.0, 0.5))
    with pytest.raises(SchemaError, match="one of pair, drug, cell, given"):
        data.split("row")  # type: ignore[arg-type]
