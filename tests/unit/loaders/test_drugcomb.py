"""The DrugComb subset: its traps are counted, its faults name their lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loaders.drugcomb import load

PAIRS = "Drug1\tDrug2\tcell\tsynergy\tfold\nA\tB\tHL60\t1.5\t0\nB\tA\tHL60\t2.5\t1\nA\tC\tPC3\t-3\t2\nA\tX\tPC3\t1\t2\n"
STRUCTURES = ",drug_name,id,smiles\n0,A,0,CCO\n1,B,1,CCN\n2,C,2,CCC\n3,X,3,\n"


def written(folder: Path, pairs: str = PAIRS, structures: str = STRUCTURES) -> Path:
    with gzip.open(folder / "pairs.tsv.gz", "wt") as file:
        file.write(pairs)
    (folder / "drug_smiles.csv").write_text(structures)
    return folder


def test_pairs_and_structures_are_joined(tmp_path: Path) -> None:
    data = load(written(tmp_path))
    assert data.value.tolist() == [2.0, -3.0]
    assert data.fold is not None
    assert data.fold.tolist() == [0, 2]
    assert data.skipped["rows with a drug that has no readable structure"] == 1
    assert data.skipped["repeated measurements"] == 1
    assert data.score == "synergy score as given"
    assert len(data.provenance[0].sha256.split()) == 2


@pytest.mark.parametrize(
    ("pairs", "structures", "told"),
    [
        (PAIRS.replace("synergy", "score"), STRUCTURES, "no column 'synergy'"),
        (PAIRS.replace("\t0\n", "\tx\n"), STRUCTURES, "no whole number"),
        (PAIRS.replace("B\tA\t", "\tA\t"), STRUCTURES, "line 3.*Drug1|Drug1.*line 3"),
        (PAIRS, STRUCTURES + "4,A,4,CCCC\n", "second structure"),
        (PAIRS, STRUCTURES.replace("smiles", "structure"), "no column 'smiles'"),
    ],
)
def test_faults_are_named(tmp_path: Path, pairs: str, structures: str, told: str) -> None:
    with pytest.raises(MalformedInputError, match=told):
        load(written(tmp_path, pairs, structures))


def test_a_folder_with_one_file_of_each_kind_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="needs path="):
        load()
    with pytest.raises(LoaderError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(LoaderError, match=r"0 files \*.tsv"):
        load(tmp_path)
    written(tmp_path)
    (tmp_path / "more.tsv").write_text(PAIRS)
    with pytest.raises(LoaderError, match=r"more\.tsv, pairs\.tsv\.gz; expected one"):
        load(tmp_path)


def test_the_shared_subset_is_what_its_traps_say(shared_data: Path) -> None:
    """Counted again with pandas alone, by name; one structure under several names makes a few more repeats."""
    folder = shared_data / "synergy"
    raw = pd.read_csv(folder / "drugcombdb_small.tsv.gz", sep="\t")
    low, high = np.minimum(raw.Drug1, raw.Drug2), np.maximum(raw.Drug1, raw.Drug2)
    sizes = raw.groupby([low, high, raw.cell]).size()
    assert (len(raw), int((sizes == 2).sum()), int((raw.Drug1 == raw.Drug2).sum())) == (69_436, 2_589, 52)
    data = load(folder)
    assert data.skipped["rows of a drug with itself"] == 52
    assert data.skipped["rows with a drug that has no readable structure"] == 1  # RIFABUTIN
    assert data.skipped["repeated measurements"] == 2_629
    assert len(data) == 69_436 - 52 - 1 - 2_629
    assert sum(len(names) - 1 for names in data.drugs["names"].to_pylist()) == 42
    assert any("in two of the given folds" in note for note in data.notes)
    seen = data.split("given").report.parts["test"]
    assert seen.pair / seen.rows > 0.98  # the given folds hold out rows, not pairs
