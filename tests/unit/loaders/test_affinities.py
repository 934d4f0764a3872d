"""Loaders of affinities: DeepDTA's folders, tables in any unit, BindingDB's download, human pairs."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medgraph.data.affinities import Affinities
from medgraph.data.affinity_duplicates import Duplicates
from medgraph.data.tokens import SMILES_TOKENS
from medgraph.errors import LoaderError, MalformedInputError, SchemaError
from medgraph.loaders import affinity_table, davis, human_dti, kiba

SMALL = {
    "ligands_iso.txt": json.dumps({"11": "CCO", "12": "C[C@H](N)O", "13": "C[C@@H](N)O"}),
    "ligands_can.txt": json.dumps({"11": "CCO", "12": "CC(N)O", "13": "CC(N)O"}),
    "proteins.txt": json.dumps({"P1": "MKV", "P2": "MKL"}),
    "Y.tsv": "10000\t100\nnan\t1\n10\tnan\n",
    "train_fold_setting1.txt": "[[0, 2], [3]]",
    "test_fold_setting1.txt": "[1]",
}


def folder(tmp_path: Path, **changed: str | None) -> Path:
    names = {name.replace(".", "_"): name for name in SMALL}
    for key, text in {**{key: SMALL[name] for key, name in names.items()}, **changed}.items():
        if text is not None:
            (tmp_path / names[key]).write_text(text, encoding="utf-8")
    return tmp_path


class TestDeepDTAFolder:
    def test_davis_is_on_the_p_scale(self, tmp_path: Path) -> None:
        pairs = davis.load(folder(tmp_path))
        np.testing.assert_array_equal(pairs.matrix(), [[5.0, 7.0], [np.nan, 9.0], [8.0, np.nan]])
        assert (pairs.unit, pairs.limit, pairs.censored.tolist()) == ("pKd", 5.0, [True, False, False, False])
        assert [rows.tolist() for rows in pairs.folds["train"]] == [[0, 2], [3]]
        split = pairs.split("given", fold=1)
        assert (split.train.value.tolist(), split.valid.value.tolist(), split.test.value.tolist()) == (
            [5.0, 9.0], [8.0], [7.0],
        )  # fmt: skip

    def test_kiba_is_taken_as_it_is(self, tmp_path: Path) -> None:
        pairs = kiba.load(folder(tmp_path))
        assert (pairs.value.tolist(), pairs.unit, pairs.limit) == ([10000, 100, 1, 10], "KIBA score", None)
        assert len(set(pairs.smiles)) == 3
        assert len(set(kiba.load(tmp_path, stereo=False).smiles)) == 2

    def test_compressed_or_in_a_folder_of_folds_it_is_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "plain").mkdir()
        expected = davis.load(folder(tmp_path / "plain"))
        (tmp_path / "packed" / "folds").mkdir(parents=True)
        for name, text in SMALL.items():
            where = tmp_path / "packed" / ("folds" if "fold" in name else "")
            (where / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        found = davis.load(tmp_path / "packed")
        assert found.fingerprint == expected.fingerprint
        assert found.folds["test"][0].tolist() == [1]

    @pytest.mark.parametrize("matrix", ["10000,100\nnan,1\n10,NaN", "10000 100\n nan  1\n\n10 nan\n"])
    def test_the_matrix_may_have_other_separators(self, tmp_path: Path, matrix: str) -> None:
        expected = davis.load(folder(tmp_path)).fingerprint
        (tmp_path / "Y.tsv").rename(tmp_path / "drug-target_interaction_affinities_Kd__Davis_et_al.2011v1.txt")
        found = folder(tmp_path, Y_tsv=None)
        assert davis.load(found).fingerprint == expected
        (found / "Y.txt").write_text(matrix)
        assert davis.load(found).fingerprint == expected

    def test_without_folds_there_are_none(self, tmp_path: Path) -> None:
        assert dict(davis.load(folder(tmp_path, test_fold_setting1_txt=None)).folds) == {}

    def test_a_pickle_is_never_read(self, tmp_path: Path) -> None:
        folder(tmp_path, Y_tsv=None)
        (tmp_path / "Y").write_bytes(b"cos\nsystem\n(S'echo harm'\ntR.")
        for loader in (davis, kiba):
            with pytest.raises(LoaderError, match=r"pickle, which can run any code.*savetxt"):
                loader.load(tmp_path)

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"ligands_iso_txt": None}, "no ligands_iso.txt"),
            ({"proteins_txt": None}, "no proteins.txt"),
            ({"Y_tsv": None}, "no matrix of values; expected one of Y.tsv"),
            ({"ligands_iso_txt": '{"1": "C("}'}, "drug '1', 'C\\(': RDKit"),
            ({"ligands_iso_txt": '{"1": "C", "1": "CC"}'}, "id '1' stands twice"),
            ({"ligands_iso_txt": "[1, 2]"}, "expected one JSON object"),
            ({"ligands_iso_txt": '{"1": 2}'}, "expected one JSON object"),
            ({"ligands_iso_txt": "{"}, "no JSON"),
            ({"proteins_txt": '{"P1": "MKV", "P2": "MK1"}'}, "target 'P2': Letter 3"),
            ({"Y_tsv": "1\t2\n3\t4\n"}, "2 rows, expected one for each of 3 drugs"),
            ({"Y_tsv": "1\t2\n3\t4\n5\t6\t7\n"}, "line 3: 3 cells, expected one for each of 2"),
            ({"Y_tsv": "1\t2\n3\tx\n5\t6\n"}, "line 2, column '2': 'x' is no number"),
            ({"Y_tsv": "1\t2\n3\t0\n5\t6\n"}, "line 2, column '2': a Kd of 0 nM"),
            ({"Y_tsv": "1\t2\n3\t-4\n5\t6\n"}, "line 2, column '2': a Kd of -4 nM"),
            ({"Y_tsv": "1\t2\n3\tinf\n5\t6\n"}, "a Kd of inf nM"),
            ({"test_fold_setting1_txt": "[4]"}, "outside the 4 measured"),
            ({"test_fold_setting1_txt": "[0]"}, "two folds"),
            ({"test_fold_setting1_txt": '["0"]'}, "list of numbers"),
            ({"test_fold_setting1_txt": "1"}, "list of numbers"),
        ],
    )
    def test_what_is_broken_is_named(self, tmp_path: Path, changed: dict[str, str | None], says: str) -> None:
        with pytest.raises(LoaderError, match=says):
            davis.load(folder(tmp_path, **changed))

    @pytest.mark.parametrize("loader", [davis, kiba, affinity_table, human_dti])
    def test_nothing_is_downloaded(self, loader, tmp_path: Path) -> None:
        with pytest.raises(LoaderError, match="needs path="):
            loader.load()
        options = {"unit": "pKd"} if loader is affinity_table else {}
        with pytest.raises(LoaderError):
            loader.load(tmp_path / "nowhere.csv", **options)


class TestPublishedData:
    """Facts about the published files that models stumble over."""

    def test_davis(self, shared_data: Path) -> None:
        pairs = davis.load(shared_data / "dta" / "davis")
        assert (len(pairs), pairs.drugs.num_rows, pairs.targets.num_rows) == (30_056, 68, 442)
        assert len(set(pairs.sequences)) == 379
        assert (pairs.value == 5.0).sum() == pairs.censored.sum() == 20_931  # 69.6 %
        assert (pairs.value.min(), round(pairs.value.max(), 3)) == (5.0, 10.796)
        assert sum(len(sequence) > 1200 for sequence in pairs.sequences) == 61  # DeepDTA would cut these; we do not
        assert max(map(len, pairs.sequences)) == 2549
        again = Affinities.of(pairs.to_pandas(), unit="pKd", limit=5.0)
        assert again.fingerprint == pairs.fingerprint

    def test_kiba(self, shared_data: Path) -> None:
        pairs = kiba.load(shared_data / "dta" / "kiba")
        assert (len(pairs), pairs.drugs.num_rows, pairs.targets.num_rows) == (118_254, 2_111, 229)
        assert (len(set(pairs.smiles)), len(set(pairs.sequences))) == (2_111, 229)
        assert sum(len(sequence) > 1000 for sequence in pairs.sequences) == 44
        assert [len(rows) for rows in pairs.folds["train"]] == [19_709] * 5
        everywhere = np.concatenate([*pairs.folds["train"], *pairs.folds["test"]])
        assert sorted(everywhere.tolist()) == list(range(118_254))
        flat = pairs.drugs["flat"].to_pylist()
        assert len(set(flat)) == 2_067

    def test_kibas_ligands_without_stereo_contradict_each_other(self, shared_data: Path) -> None:
        folder = shared_data / "dta" / "kiba"
        with gzip.open(folder / "ligands_can.txt.gz", "rt") as file:
            given = list(json.load(file).values())
        scores = kiba.load(folder).matrix()
        first, contradicting = {}, 0
        for row, text in enumerate(given):
            twin = first.setdefault(text, row)
            both = ~np.isnan(scores[row]) & ~np.isnan(scores[twin])
            contradicting += bool(twin != row and (scores[row] != scores[twin])[both].any())
        assert len(given) - len(first) == 43
        assert contradicting > 30

    @pytest.mark.parametrize(("name", "length", "cut"), [("davis", 85, 3), ("kiba", 100, 57)])
    def test_deepdta_would_cut_these(self, shared_data: Path, name: str, length: int, cut: int) -> None:
        with gzip.open(shared_data / "dta" / name / "ligands_can.txt.gz", "rt") as file:
            given = list(json.load(file).values())
        assert SMILES_TOKENS.encode(given, length).cut == cut
        assert SMILES_TOKENS.encode(given).unknown == 0

    def test_human(self, shared_data: Path) -> None:
        pairs = human_dti.load(shared_data / "dti" / "human")
        assert {name: rows[0].size for name, rows in pairs.folds.items()} == {"train": 4197, "valid": 600, "test": 1200}
        assert (pairs.kind, pairs.unit, set(pairs.value.tolist())) == ("binary", "bound", {0.0, 1.0})
        split = pairs.split("given")
        frame = pd.read_csv(shared_data / "dti" / "human" / "test.csv.gz")
        assert split.test.value.tolist() == frame["Y"].tolist()
        assert [pairs.sequences[row] for row in split.test.target] == frame["Protein"].tolist()
        assert (len(split.train), len(split.valid)) == (4197, 600)


class TestHuman:
    def write(self, tmp_path: Path, **files: list[tuple[str, str, object]]) -> Path:
        for name in ("train", "val", "test"):
            rows = files.get(name, [("CCO", "MKV", 1)])
            pd.DataFrame(rows, columns=["SMILES", "Protein", "Y"]).to_csv(tmp_path / f"{name}.csv", index=False)
        return tmp_path

    def test_a_pair_in_two_files_stays_in_test(self, tmp_path: Path) -> None:
        self.write(
            tmp_path,
            train=[("OCC", "MKV", 1), ("CCN", "MKV", 0)],
            val=[("CCCl", "MKV", 1)],
            test=[("CCO", "MKV", 1)],
        )
        pairs = human_dti.load(tmp_path)
        split = pairs.split("given")
        assert [len(part) for part in (split.train, split.valid, split.test)] == [1, 1, 1]
        assert dict(pairs.skipped) == {"rows merged into an earlier one of the same pair": 1}
        assert pairs.smiles[int(split.test.drug[0])] == "CCO"

    def test_a_bad_row_is_named_with_its_file_and_line(self, tmp_path: Path) -> None:
        self.write(tmp_path, val=[("CCO", "MKL", 1), ("CCO", "MK1", 0)], test=[("CCN", "MKL", 1)])
        with pytest.raises(MalformedInputError, match=r"val\.csv, line 3, column 'Protein': Letter 3"):
            human_dti.load(tmp_path)
        (tmp_path / "val.csv").unlink()
        with pytest.raises(LoaderError, match=r"no val\.csv"):
            human_dti.load(tmp_path)


COLUMNS = ["Drug_ID", "Drug", "Target_ID", "Target", "Y"]
ROWS = [
    ("a", "CCO", "x", "MKV", "7.5"),
    ("b", "CCN", "x", "MKV", "5"),
    ("b", "CCN", "y", "MKL", "6.25"),
]


def write(path: Path, rows: list[tuple[object, ...]] = ROWS, columns: list[str] = COLUMNS) -> Path:
    frame = pd.DataFrame(rows, columns=columns)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if ".csv" in path.name else "\t")
    return path


class TestTables:
    @pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tab", "t.txt.bz2", "t.parquet"])
    def test_every_form_gives_the_same(self, tmp_path: Path, name: str) -> None:
        pairs = affinity_table.load(write(tmp_path / name), unit="pKd", limit=5.0)
        assert pairs.value.tolist() == [7.5, 5.0, 6.25]
        assert pairs.censored.tolist() == [False, True, False]
        assert pairs.limit == 5.0
        assert pairs.drugs["id"].to_pylist() == ["a", "b"]
        assert not pairs.skipped
        assert pairs.provenance[0].name == "t"

    def test_numbers_in_parquet_are_exact(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
        rows = [("a", "CCO", None, "MKV" + "A" * i, v) for i, v in enumerate(values)]
        assert affinity_table.load(write(tmp_path / "t.parquet", rows), unit="score").value.tolist() == values.tolist()

    def test_names_of_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", columns=["drug_id", "DRUG", " Target_ID", "target", "y"])
        assert len(affinity_table.load(path, unit="pKd")) == 3
        path = write(tmp_path / "u.csv", columns=["Drug_ID", "smiles", "Target_ID", "Sequence", "affinity"])
        names = {"Drug": "smiles", "Target": "sequence", "Y": "affinity"}
        assert len(affinity_table.load(path, unit="pKd", columns=names)) == 3
        with pytest.raises(MalformedInputError, match="no column 'Drug' among"):
            affinity_table.load(path, unit="pKd")
        with pytest.raises(SchemaError, match=r"columns names 'drug'.*Nearest: Drug"):
            affinity_table.load(path, unit="pKd", columns={"drug": "smiles"})

    def test_one_concentration(self, tmp_path: Path) -> None:
        cells = ["100", ">10000", "<0.1", "0", "-5", "n/a"]
        rows = [(f"d{i}", "C" * (i + 1), "x", "MKV", cell) for i, cell in enumerate(cells)]
        path = write(tmp_path / "t.csv", rows)
        pairs = affinity_table.load(path, unit="pKi", concentration="nM")
        assert (pairs.value.tolist(), pairs.censored.tolist(), pairs.limit) == ([7.0, 5.0], [False, True], None)
        assert dict(pairs.skipped) == {
            "values of which only a lower bound is known": 1,
            "concentrations that are not positive": 2,
            "values that are missing or no number": 1,
        }
        with pytest.raises(MalformedInputError, match=r"t\.csv, line 7, column 'Y': values that are missing"):
            affinity_table.load(path, unit="pKi", concentration="nM", on_error="raise")
        with pytest.raises(SchemaError, match="no unit of concentration"):
            affinity_table.load(path, unit="pKi", concentration="mg")
        with pytest.raises(SchemaError, match="not 'KIBA score'"):
            affinity_table.load(path, unit="KIBA score", concentration="nM")

    def test_bounds_on_the_p_scale_point_the_other_way(self, tmp_path: Path) -> None:
        rows = [("a", "CCO", "x", "MKV", "<5"), ("b", "CCN", "x", "MKV", ">9")]
        pairs = affinity_table.load(write(tmp_path / "t.csv", rows), unit="pKd")
        assert (pairs.value.tolist(), pairs.censored.tolist()) == ([5.0], [True])

    def test_mixed_units(self, tmp_path: Path) -> None:
        units = [("1e-6", "M"), ("0.001", "mM"), ("1", "uM"), ("1", "µM"), ("1000", "nM"), ("1000000", "pM"),
                 ("6", "pKd"), ("6", "-log10(M)"), ("1", "mg/ml"), ("1000", None)]  # fmt: skip
        rows = [(f"d{i}", "C" * (i + 1), "x", "MKV", value, unit, "=") for i, (value, unit) in enumerate(units)]
        path = write(tmp_path / "t.csv", rows, [*COLUMNS, "Unit", "Relation"])
        pairs = affinity_table.load(path, unit="pKd", concentration="nM")
        np.testing.assert_allclose(pairs.value, [6.0] * 9, atol=1e-12)
        assert dict(pairs.skipped) == {"units that are not known": 1}
        with pytest.raises(MalformedInputError, match="line 10, column 'Unit'"):
            affinity_table.load(path, unit="pKd", on_error="raise")

    def test_a_relation_in_its_own_column(self, tmp_path: Path) -> None:
        rows = [("a", "CCO", "x", "MKV", "10", ">"), ("b", "CCN", "x", "MKV", "10", "=")]
        path = write(tmp_path / "t.csv", rows, [*COLUMNS, "Relation"])
        pairs = affinity_table.load(path, unit="pIC50", concentration="uM")
        assert (pairs.value.tolist(), pairs.censored.tolist()) == ([5.0, 5.0], [True, False])

    def test_binary(self, tmp_path: Path) -> None:
        rows = [(*row[:4], str(i % 2)) for i, row in enumerate(ROWS)] + [("c", "CCC", "x", "MKV", "0.5")]
        pairs = affinity_table.load(write(tmp_path / "t.csv", rows), kind="binary")
        assert (pairs.unit, pairs.value.tolist()) == ("bound", [0.0, 1.0, 0.0])
        assert dict(pairs.skipped) == {"values that are neither 0 nor 1": 1}

    def test_duplicates(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", [*ROWS, ("a", "OCC", "x", "MKV", "5.5")])
        pairs = affinity_table.load(path, unit="pKd", duplicates=Duplicates("median"))
        assert pairs.value.tolist() == [6.5, 5.0, 6.25]
        with pytest.raises(MalformedInputError, match=r"t\.csv, line 5, column 'Y': this pair has another value"):
            affinity_table.load(path, unit="pKd", duplicates=Duplicates("refuse"))

    def test_uneven_rows_are_counted_or_named(self, tmp_path: Path) -> None:
        lines = ["Drug,Target,Y", "CCO,MKV,1", "CCO,MKV", "C(,MKL,1", "CCN,MKL,2,3", '"CC,C",MKL,1', "CCN,MKL,2"]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        pairs = affinity_table.load(tmp_path / "t.csv", unit="pKd")
        assert dict(pairs.skipped) == {"rows with too few or too many cells": 2, "SMILES that RDKit cannot read": 2}
        assert pairs.value.tolist() == [1.0, 2.0]
        with pytest.raises(MalformedInputError, match=r"t\.csv, line 3: a row that has not the 3 cells"):
            affinity_table.load(tmp_path / "t.csv", unit="pKd", on_error="raise")
        (tmp_path / "t.csv").write_text("\n".join([lines[0], lines[1], lines[3]]))
        with pytest.raises(MalformedInputError, match=r"t\.csv, line 3, column 'Drug': 'C\(': RDKit"):
            affinity_table.load(tmp_path / "t.csv", unit="pKd", on_error="raise")

    def test_stray_bytes_do_no_harm(self, tmp_path: Path) -> None:
        lines = ["Name,Drug,Target,Y", "M\xfcller,CCO,MKV,1", "\xb5,CCO,MKV", "\xe9,CCN,MKL,2", "d,C\xb5N,MKL,2"]
        (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("latin-1"))
        pairs = affinity_table.load(tmp_path / "t.csv", unit="pKd")
        assert pairs.value.tolist() == [1.0, 2.0]
        assert dict(pairs.skipped) == {
            "rows with too few or too many cells": 1,
            "characters that are not UTF-8": 4,
            "SMILES that RDKit cannot read": 1,
        }
        with pytest.raises(MalformedInputError, match=r"t\.csv: cannot be read: 'utf-8' codec"):
            affinity_table.load(tmp_path / "t.csv", unit="pKd", on_error="raise")

    def test_a_name_with_a_line_break_in_quotes(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text('Drug_ID,Drug,Target,Y\r\n"a\nb, ""c""",CCO,MKV,1\r\n')
        assert affinity_table.load(tmp_path / "t.csv", unit="pKd").drugs["id"].to_pylist() == ['a\nb, "c"']

    def test_bad_calls(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="Name what the values are in"):
            affinity_table.load(write(tmp_path / "t.csv"))
        (tmp_path / "t.xls").write_bytes(b"")
        with pytest.raises(LoaderError, match="expected a file that ends in"):
            affinity_table.load(tmp_path / "t.xls", unit="pKd")
        (tmp_path / "empty.csv").write_bytes(b"")
        with pytest.raises(MalformedInputError, match="empty"):
            affinity_table.load(tmp_path / "empty.csv", unit="pKd")

    def test_a_header_alone(self, tmp_path: Path) -> None:
        assert len(affinity_table.load(write(tmp_path / "t.csv", []), unit="pKd")) == 0


NEW = {
    "BindingDB MonomerID": "1", "Ligand SMILES": "CCO |r|", "Target Name": 'Kinase "A" [L1M]', "Ki (nM)": "",
    "IC50 (nM)": "", "Kd (nM)": " 100", "EC50 (nM)": "",
    "Number of Protein Chains in Target (>1 implies a multichain complex)": "1",
    "BindingDB Target Chain Sequence 1": "MKV", "UniProt (SwissProt) Primary ID of Target Chain 1": "P1",
    "UniProt (TrEMBL) Primary ID of Target Chain 1": "", "BindingDB Target Chain Sequence 2": "",
}  # fmt: skip
CHAINS, SEQUENCE = list(NEW)[7:9]
SWISSPROT, TREMBL, SECOND = list(NEW)[9:]


class TestBindingDB:
    ROWS = (
        {},
        {"Kd (nM)": ">10000", "Ligand SMILES": "CCN", "BindingDB MonomerID": "2"},
        {"Kd (nM)": "", "Ki (nM)": "5"},
        {"Kd (nM)": "<0.01", "Ligand SMILES": "CCCN", "BindingDB MonomerID": "3"},
        {CHAINS: "2", SECOND: "MMM"},
        {CHAINS: "", SECOND: "MMM"},
        {SEQUENCE: "MKVV"},  # a mutant, under the same id of UniProt
        {SEQUENCE: "MMMM", SWISSPROT: "", TREMBL: "Q1"},
        {SEQUENCE: "MMMMM", SWISSPROT: "", TREMBL: ""},
        {"Kd (nM)": "10"},
    )

    def write(self, path: Path, names: dict[str, str] | None = None) -> Path:
        header = [(names or {}).get(name, name) for name in NEW]
        lines = ["\t".join(header), *("\t".join({**NEW, **row}.values()) for row in self.ROWS)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def test_the_measure_is_chosen_by_unit(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "BindingDB_All.tsv")
        pairs = affinity_table.load(path, unit="pKd")
        assert pairs.value.tolist() == [7.5, 5.0, 7.0, 7.0, 7.0]  # the first is the mean of two
        assert pairs.censored.tolist() == [False, True, False, False, False]
        assert pairs.targets["id"].to_pylist()[:3] == ["P1", "P1#2", "Q1"]
        assert pairs.sequences == ["MKV", "MKVV", "MMMM", "MMMMM"]
        assert pairs.drugs["id"].to_pylist() == ["1", "2"]
        assert dict(pairs.skipped) == {
            "targets of several chains": 2,
            "rows without this measure": 1,
            "values of which only a lower bound is known": 1,
            "rows merged into an earlier one of the same pair": 1,
        }
        assert affinity_table.load(path, unit="pKi").value.tolist() == [pytest.approx(9 - np.log10(5))]
        assert len(affinity_table.load(path, unit="pIC50")) == 0
        with pytest.raises(SchemaError, match="pKd, pKi, pIC50, pEC50, not 'Kd'"):
            affinity_table.load(path, unit="Kd")

    def test_the_older_names_of_columns(self, tmp_path: Path) -> None:
        old = {
            SEQUENCE: "BindingDB Target Chain  Sequence", SECOND: "BindingDB Target Chain  Sequence",
            SWISSPROT: "UniProt (SwissProt) Primary ID of Target Chain",
            TREMBL: "UniProt (TrEMBL) Primary ID of Target Chain",
        }  # fmt: skip
        path = self.write(tmp_path / "old.tsv", old)
        pairs = affinity_table.load(path, unit="pKd")
        assert pairs.targets["id"].to_pylist()[:3] == ["P1", "P1#2", "Q1"]
        assert pairs.skipped["targets of several chains"] == 1  # the number of chains alone tells

    def test_chains_must_be_told(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "t.tsv", {CHAINS: "chains", SECOND: "other"})
        with pytest.raises(MalformedInputError, match=re.escape("targets of several chains cannot be told")):
            affinity_table.load(path, unit="pKd")
