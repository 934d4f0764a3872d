"""Affinities from tables: what is kept, what is left out and counted, duplicates, units, parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.affinity_units import (
    concentration_of,
    factor_to,
    is_logarithm,
    negative_log,
    read_measures,
    read_numbers,
)
from medgraph.data.molecules import Standardiser
from medgraph.errors import SchemaError

ROWS = [
    ("a", "CCO", "x", "MKV", 5.0),
    ("b", "c1ccccc1", "x", "MKV", 6.5),
    ("a", "OCC", "y", "MKL", 7.0),
    ("c", "CCN", "y", "mkl*", 5.0),
]
COLUMNS = ["Drug_ID", "Drug", "Target_ID", "Target", "Y"]


def table(rows: list[tuple[object, ...]] = ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


class TestOfATable:
    def test_ids_structures_and_values(self) -> None:
        found = Affinities.of(table(), unit="pKd", limit=5.0)
        assert found.drugs["id"].to_pylist() == ["a", "b", "c"]
        assert (found.smiles, found.drugs["given"].to_pylist()) == (
            ["CCO", "c1ccccc1", "CCN"],
            ["CCO", "c1ccccc1", "CCN"],
        )
        assert found.sequences == ["MKV", "MKL"]
        assert (found.drug.tolist(), found.target.tolist()) == ([0, 1, 0, 2], [0, 0, 1, 1])
        assert found.censored.tolist() == [True, False, False, True]
        assert not found.skipped
        assert "4 pairs of 3 drugs and 2 targets, pKd, 2 of them bounds" in repr(found)

    def test_there_and_back(self) -> None:
        found = Affinities.of(table(), unit="pKd")
        again = Affinities.of(found.to_pandas(), unit="pKd")
        assert found.to_pandas().columns.tolist() == COLUMNS
        assert again.fingerprint == found.fingerprint
        assert Affinities.of(pa.Table.from_pandas(table()), unit="pKd").fingerprint == found.fingerprint

    def test_without_ids_structure_and_sequence_are_the_names(self) -> None:
        rows = table().drop(columns=["Drug_ID", "Target_ID"])
        found = Affinities.of(rows, unit="pKd")
        assert found.drugs["id"].to_pylist() == ["CCO", "c1ccccc1", "CCN"]
        assert all(name.startswith("sequence:") for name in found.targets["id"].to_pylist())
        assert len(found) == 4

    def test_every_bad_row_is_counted_once(self) -> None:
        bad = [
            ("d", "C(", "x", "MKV", 1.0),
            ("e", None, "x", "MKV", 1.0),
            ("f", "CC.CCC", "x", "MKV", 1.0),
            ("g", "CCCC", "z", "MK1", 1.0),
            ("g", "CCCC", "w", "", 1.0),
            ("g", "CCCC", "x", "MKV", np.nan),
            ("g", "CCCC", "x", "MKV", np.inf),
            ("a", "CCCCC", "x", "MKV", 1.0),
            ("g", "CCCC", "x", "MKVV", 1.0),
            ("h", "C(", "z", "MK1", np.nan),  # all at once: counted for its value
        ]
        found = Affinities.of(table([*ROWS, *bad]), unit="pKd")
        assert found.fingerprint == Affinities.of(table(), unit="pKd").fingerprint
        assert found.drugs.num_rows == 3  # what no pair has is not listed
        assert dict(found.skipped) == {
            "values that are missing or no number": 3,
            "SMILES that RDKit cannot read": 1,
            "empty SMILES": 1,
            "mixtures of molecules": 1,
            "drug ids with another structure": 1,
            "sequences with what is no amino acid": 1,
            "empty sequences": 1,
            "target ids with another sequence": 1,
        }
        assert len(found) + sum(found.skipped.values()) == len(ROWS) + len(bad)

    @pytest.mark.parametrize(
        ("row", "says"),
        [
            (("d", "C(", "x", "MKV", 1.0), r"Row 4, column 'Drug': 'C\(': RDKit: SMILES Parse Error"),
            (("g", "CCCC", "z", "MK1", 1.0), "Row 4, column 'Target': Letter 3"),
            (("g", "CCCC", "x", "MKV", None), "Row 4, column 'Y'"),
            (("a", "CCCC", "x", "MKV", 1.0), "Row 4, column 'Drug': drug 'a' has another structure"),
            (("g", "CCCC", "x", "MKK", 1.0), "Row 4, column 'Target': target 'x' has another sequence"),
        ],
    )
    def test_or_is_an_error_that_names_it(self, row: tuple[object, ...], says: str) -> None:
        with pytest.raises(SchemaError, match=says):
            Affinities.of(table([*ROWS, row, ROWS[0]]), unit="pKd", on_error="raise")

    def test_two_ids_of_one_structure_stay_two(self) -> None:
        found = Affinities.of(table([*ROWS, ("d", "C(O)C", "x", "MKV", 5.5)]), unit="pKd")
        assert (found.drugs.num_rows, len(found), found.smiles.count("CCO")) == (4, 5, 2)

    def test_text_and_categories_are_read(self) -> None:
        rows = table().astype({"Y": str, "Drug": "category"})
        assert Affinities.of(rows, unit="pKd").value.tolist() == [5.0, 6.5, 7.0, 5.0]

    def test_objects_of_several_kinds_are_read(self) -> None:
        rows = [(1, "CCO", None, "MKV", "5"), ("b", "CCN", 2, "MKL", 6), (1, "CCO", 2, "MKL", None)]
        found = Affinities.of(table(rows), unit="pKd")
        assert (found.drugs["id"].to_pylist(), found.value.tolist()) == (["1", "b"], [5.0, 6.0])
        assert found.targets["id"].to_pylist()[1] == "2"
        lists = pa.table({"Drug": [["C"]], "Target": ["MKV"], "Y": [1.0]})
        with pytest.raises(SchemaError, match="cannot be read as text"):
            Affinities.of(lists, unit="pKd")

    def test_binary(self) -> None:
        rows = table([(*row[:4], float(row[4] > 6)) for row in ROWS])
        assert Affinities.of(rows, unit="bound", kind="binary").value.tolist() == [0, 1, 1, 0]
        found = Affinities.of(table(), unit="bound", kind="binary")
        assert (len(found), dict(found.skipped)) == (0, {"values that are neither 0 nor 1": 4})

    def test_none_at_all(self) -> None:
        found = Affinities.of(table([]), unit="pKd")
        assert (len(found), found.matrix().shape, len(found.fingerprint)) == (0, (0, 0), 64)

    def test_bad_tables(self) -> None:
        with pytest.raises(SchemaError, match=r"no column 'Drug'.*Drugs"):
            Affinities.of(table().rename(columns={"Drug": "Drugs"}), unit="pKd")
        with pytest.raises(SchemaError, match="the column 'Y' twice"):
            Affinities.of(table().set_axis(["Drug", "Target_ID", "Target", "Y", "Y"], axis=1), unit="pKd")
        with pytest.raises(SchemaError, match="on_error"):
            Affinities.of(table(), unit="pKd", on_error="stop")  # type: ignore[arg-type]

    def test_a_standardiser_of_ones_own(self) -> None:
        rows = table([("a", "C[C@H](N)O", "x", "MKV", 1.0), ("a", "C[C@@H](N)O", "y", "MKL", 1.0)])
        assert len(Affinities.of(rows, unit="pKd")) == 1
        assert len(Affinities.of(rows, unit="pKd", standardiser=Standardiser(stereo=False))) == 2


class TestDuplicates:
    REPEATED = (*[("a", "CCO", "x", "MKV", v) for v in (6.0, 7.0, 9.5)],)

    @pytest.mark.parametrize(("rule", "expected"), [("mean", 7.5), ("median", 7.0), ("first", 6.0)])
    def test_rules(self, rule: str, expected: float) -> None:
        found = Affinities.of(table([*self.REPEATED, ROWS[3]]), unit="pKd", duplicates=Duplicates(rule))
        assert found.value.tolist() == [expected, 5.0]
        assert dict(found.skipped) == {
            "rows merged into an earlier one of the same pair": 2,
            "pairs measured more than once with values more than 1 apart": 1,
        }

    def test_those_that_disagree_can_be_refused(self) -> None:
        with pytest.raises(SchemaError, match="Row 2, column 'Y': this pair has another value"):
            Affinities.of(table([ROWS[3], *self.REPEATED[1:]]), unit="pKd", duplicates=Duplicates("refuse"))
        close = [("a", "CCO", "x", "MKV", 6.0), ("a", "CCO", "x", "MKV", 6.5)]
        assert Affinities.of(table(close), unit="pKd", duplicates=Duplicates("refuse")).value.tolist() == [6.25]

    def test_exact_values_count_before_bounds_and_the_lowest_bound_says_most(self) -> None:
        merge = Duplicates("mean").merge
        pair, value = np.array([0, 0, 0, 1, 1]), np.array([5.0, 6.0, 7.0, 5.0, 4.0])
        found, _ = merge(pair, value, np.array([True, False, False, True, True]), False)
        assert (found.value.tolist(), found.at_most.tolist()) == ([6.5, 4.0], [False, True])

    def test_binary_pairs_go_by_majority(self) -> None:
        rows = [("a", "CCO", "x", "MKV", v) for v in (1, 1, 0)] + [("b", "CCN", "x", "MKV", v) for v in (0, 1)]
        found = Affinities.of(table(rows), unit="bound", kind="binary")
        assert (found.value.tolist(), found.skipped["pairs that are as often 0 as 1"]) == ([1.0], 1)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 5)), max_size=30),
        st.sampled_from(["mean", "median", "first"]),
    )
    def test_against_pandas(self, rows: list[tuple[int, float]], rule: str) -> None:
        frame = pd.DataFrame(rows, columns=["pair", "value"]).astype({"pair": int, "value": float})
        expected = frame.groupby("pair", sort=False)["value"].agg(rule)
        found, _ = Duplicates(rule).merge(
            frame["pair"].to_numpy(), frame["value"].to_numpy(), np.zeros(len(rows), dtype=bool), False
        )  # fmt: skip
        assert frame["pair"].to_numpy()[found.first].tolist() == expected.index.tolist()
        np.testing.assert_allclose(found.value, expected.to_numpy(), atol=1e-12)
        assert found.repeats == len(rows) - len(expected)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), min_size=1, max_size=25))
    def test_bounds_against_a_plain_loop(self, rows: list[tuple[int, int, bool]]) -> None:
        pair, value, at_most = (np.array(column) for column in zip(*rows, strict=True))
        found, _ = Duplicates("mean", agree=1).merge(pair, value.astype(float), at_most, False)
        disagreeing = 0
        for place, row in enumerate(found.first):
            mine = pair == pair[row]
            exact = value[mine & ~at_most]
            disagreeing += bool(exact.size and np.ptp(exact) > 1)
            assert found.at_most[place] == (exact.size == 0)
            assert found.value[place] == pytest.approx(exact.mean() if exact.size else value[mine].min())
        assert found.disagreeing == disagreeing
        assert sorted(found.first.tolist()) == found.first.tolist()

    def test_bad_rules(self) -> None:
        with pytest.raises(SchemaError, match="rule is"):
            Duplicates("last")  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match="negative"):
            Duplicates(agree=-1)


class TestParts:
    def test_take(self) -> None:
        whole = Affinities.of(table(), unit="pKd", limit=5.0)
        part = whole.take([2, 0])
        assert (part.value.tolist(), part.drug.tolist(), part.censored.tolist()) == ([7.0, 5.0], [0, 0], [False, True])
        assert part.drugs is whole.drugs
        assert whole.take(whole.value > 6).value.tolist() == [6.5, 7.0]
        assert len(whole.take([])) == 0
        assert part.fingerprint != whole.fingerprint
        for wrong in ([4], [-1]):
            with pytest.raises(SchemaError, match=f"no row {wrong[0]}"):
                whole.take(wrong)
        with pytest.raises(SchemaError, match="2 entries"):
            whole.take(np.array([True, False]))

    def test_matrix(self) -> None:
        whole = Affinities.of(table(), unit="pKd")
        np.testing.assert_array_equal(whole.matrix(), [[5.0, 7.0], [6.5, np.nan], [np.nan, 5.0]])
        with pytest.raises(SchemaError, match="more than once"):
            whole.take([0, 0]).matrix()

    @settings(max_examples=25, deadline=None)
    @given(st.permutations(range(4)))
    def test_order_is_no_content(self, order: list[int]) -> None:
        whole = Affinities.of(table(), unit="pKd", limit=5.0)
        assert Affinities.of(table([ROWS[i] for i in order]), unit="pKd", limit=5.0).fingerprint == whole.fingerprint
        assert whole.take(order).fingerprint == whole.fingerprint

    @pytest.mark.parametrize("change", [{"unit": "pKi"}, {"limit": 6.5}])
    def test_unit_and_bounds_are(self, change: dict[str, object]) -> None:
        options = {"unit": "pKd", "limit": 5.0}
        assert (
            Affinities.of(table(), **{**options, **change}).fingerprint != Affinities.of(table(), **options).fingerprint
        )

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"drug": np.array([3])}, "expected one for each value|no row"),
            ({"drug": np.array([0, 1, 0, 3])}, "no row of the table of drugs"),
            ({"target": np.array([0, -1, 0, 0])}, "no row of the table of targets"),
            ({"value": np.array([1.0, np.nan, 1.0, 1.0])}, "pair 1 is nan"),
            ({"kind": "binary"}, "expected 0 or 1"),
            ({"kind": "count"}, "'regression' or 'binary'"),
            ({"limit": 5.0, "at_most": np.zeros(4, dtype=bool)}, "not both"),
            ({"at_most": np.zeros(3, dtype=bool)}, "one entry for each"),
            ({"folds": {"test": (np.array([4]),)}}, "'test' names a row"),
            ({"targets": pa.table({"id": ["x", "x"], "sequence": ["M", "M"]})}, "stand once"),
            ({"drugs": pa.table({"id": ["a", "b", "c"], "smiles": ["C"] * 3})}, "no column 'given'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change: dict[str, object], says: str) -> None:
        good = Affinities.of(table(), unit="pKd")
        fields = {name: getattr(good, name) for name in ("drugs", "targets", "drug", "target", "value", "unit")}
        with pytest.raises(SchemaError, match=says):
            Affinities(**{**fields, **change})


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "value", "side"),
        [
            ("12", 12, 0), (" 0.5 ", 0.5, 0), (">10000", 10000, 1), ("> 1e4", 10000, 1), ("<0.1", 0.1, -1),
            (">=5.", 5, 1), ("≤ 3", 3, -1), ("~7", 7, 0), ("=7", 7, 0), ("+.5", 0.5, 0), ("-3e-2", -0.03, 0),
        ],
    )  # fmt: skip
    def test_measures(self, text: str, value: float, side: int) -> None:
        found = read_measures(pa.array([text]))
        assert (found.value[0], found.side[0]) == (pytest.approx(value), side)

    @pytest.mark.parametrize("text", ["", None, "n/a", "1,5", "1 2", "--1", "5 nM", "> ", "nan", "inf", "0x1"])
    def test_no_measures(self, text: str | None) -> None:
        assert np.isnan(read_measures(pa.array([text], pa.string())).value[0])

    def test_a_sign_may_stand_in_a_column_of_its_own(self) -> None:
        found = read_measures(pa.array(["1", "2", "<3", "4"]), pa.array([">", "=", ">", None]))
        assert found.side.tolist() == [1, 0, -1, 0]
        assert np.isnan(read_numbers(pa.array([">1"]))[0])

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_as_python_writes_them(self, number: float) -> None:
        assert read_measures(pa.array([repr(number)])).value[0] == number

    @pytest.mark.parametrize(
        ("unit", "value"),
        [("M", 1), ("mM", 1e-3), ("uM", 1e-6), ("µM", 1e-6), ("μM", 1e-6), ("nm", 1e-9), (" pM ", 1e-12),
         ("nmol/L", 1e-9), ("umol/l", 1e-6), ("mol/l", 1), ("nanomolar", None), ("mg/ml", None), ("", None)],
    )  # fmt: skip
    def test_concentrations(self, unit: str, value: float | None) -> None:
        assert concentration_of(unit) == value

    def test_logarithms(self) -> None:
        assert [is_logarithm(unit) for unit in ("pKd", "pIC50", "-log10(M)", "pM", "nM", "KIBA score", "p")] == [
            True, True, True, False, False, False, True,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("unit", "given", "expected"),
        [("pKd", "nM", 1e-9), ("pKd", "PKD", 0), ("pKd", "-log10(M)", 0), ("pKd", "p", 0), ("pKd", "pIC50", None),
         ("pKd", "%", None), ("KIBA score", "kiba score", 0), ("KIBA score", "nM", None)],
    )  # fmt: skip
    def test_units_into_one_another(self, unit: str, given: str, expected: float | None) -> None:
        assert factor_to(unit, given) == expected

    def test_ten_micromolar_is_five(self) -> None:
        found = negative_log(np.array([10_000.0, 1.0, 0.0, -1.0]), 1e-9)
        assert found[:2].tolist() == [5.0, 9.0]
        assert np.isnan(found[2:]).all()
