"""Readers of published code files: what they read, and every fault with its file and line."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from medgraph.data import code_files, drug_files, group_files
from medgraph.data.code_sources import KINDS, find_sources
from medgraph.errors import LoaderError, MalformedInputError

MULTI = ",".join(f"'CCS LVL {n}{label}'" for n in range(1, 5) for label in ("", " LABEL"))
RANKS = ",".join(f"'CCSR CATEGORY {n}{label}'" for n in range(1, 7) for label in ("", " DESCRIPTION"))


def gem(path: Path) -> object:
    return code_files.read_gem(path, "ICD9CM", "ICD10CM")


@pytest.mark.parametrize(
    ("read", "text", "line", "problem"),
    [
        (gem, "0010 A000 00000\n0011 A001 0000\n", 2, "expected a code, a code and five flags"),
        (gem, "0010 A000 00000\n\n0011\n", 3, "expected a code, a code and five flags"),
        (gem, '"icd9cm","icd10cm","flags","a"\n"0010","A000","00000",1,0,0,0,0\n', 2, "at odds with its columns"),
        (gem, "0010 NoDx 10000\n", 1, "at odds with flags"),
        (gem, "0010 A000 11000\n", 1, "at odds with flags"),
        (gem, "0010 A000 00000\nA001 A000 00000\n", 2, "'A001' is no ICD9CM code"),
        (gem, "0010 A000 00000\n3605 00.1 00000\n", 2, "'00.1' is no ICD10CM code"),
        (gem, "36.05 A000 00000\n", 1, "'36.05' is no ICD9CM code"),
        (group_files.read_ccs, "Appendix\n     0010\n", 2, "codes before the first category"),
        (group_files.read_ccs, "Appendix\n", 1, "no category"),
        (group_files.read_ccs, "1  Tuberculosis\n     0010 X\n", 2, "'X' is no ICD9CM code"),
        (group_files.read_ccs_levels, f"'ICD-9-CM CODE',{MULTI}\n'0010','1',A,'2.1',B,,,,\n", 2, "does not lie in '1'"),
        (group_files.read_ccs_levels, f"'ICD-9-CM CODE',{MULTI}\n'0010',' ',,,,,,,\n", 2, "without a category"),
        (group_files.read_ccs_levels, f"'ICD-9-CM CODE',{MULTI}\n'0010'\n", 2, "1 cells, expected at least 9"),
        (group_files.read_ccs_levels, "'ICD-9-CM CODE','CCS LVL 1'\n", 1, "no column 'CCS LVL 1 LABEL'"),
        (lambda p: group_files.read_chronic(p, "ICD9CM"), "a,b\n1,2\n", 1, "no header with 'ICD-9-CM CODE'"),
        (
            lambda p: group_files.read_chronic(p, "ICD9CM"),
            "'ICD-9-CM CODE','ICD-9-CM CODE DESCRIPTION','CATEGORY DESCRIPTION','BODY SYSTEM'\n'0010',A,'2','1'\n",
            2,
            "chronic flag '2'",
        ),
        (
            lambda p: group_files.read_chronic(p, "ICD9CM"),
            "'ICD-9-CM CODE','ICD-9-CM CODE DESCRIPTION','CATEGORY DESCRIPTION','BODY SYSTEM'\n'0010',A,'1',' '\n",
            2,
            "body system ''",
        ),
        (code_files.read_tree, "1. A\n\tB (001-009)\n\t\tC\n", 3, "expected '(001.0) name'"),
        (
            lambda p: code_files.read_titles(p, "ICD10CM"),
            "A000 Cholera\n0010 Cholera\n",
            2,
            "'0010' is no ICD10CM code",
        ),
        (drug_files.read_atc, "atc_code,atc_name\nA10,X\nA1,Y\n", 3, "'A1' is no ATC code"),
        (drug_files.read_unii, "rxnorm_id\tfdasrs_id\n44\tX\nx\tY\n", 3, "'x' is no RXNORM code"),
    ],
)
def test_faults_have_their_line(
    tmp_path: Path, read: Callable[[Path], object], text: str, line: int, problem: str
) -> None:
    path = tmp_path / "file.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MalformedInputError, match=f"line {line}:") as caught:
        read(path)
    assert problem in str(caught.value)
    assert caught.value.file == str(path)


def test_no_json(tmp_path: Path) -> None:
    for text in ("[1]", "{", '{"A000": 1}', '{"\\ud800": "DIG001"}'):
        (tmp_path / "dx_cat1.json").write_text(text)
        with pytest.raises(MalformedInputError, match=r"dx_cat1\.json"):
            group_files.read_ccsr(tmp_path / "dx_cat1.json")


def test_both_forms_of_a_gem_agree(shared_data: Path, tmp_path: Path) -> None:
    """CMS' text, rebuilt from the published CSV file, reads as the CSV file does."""
    path = shared_data / "codes" / "icd9toicd10cmgem.csv.gz"
    with gzip.open(path, "rt") as lines:
        rows = [line.replace('"', "").split(",")[:3] for line in lines][1:]
    (tmp_path / "2018_I9gem.txt").write_text("".join(f"{a:<6}{b:<8}{flags}\n" for a, b, flags in rows))
    ours, theirs = gem(tmp_path / "2018_I9gem.txt"), gem(path)
    assert ours.drop_columns(["line"]).equals(theirs.drop_columns(["line"]))
    assert ours["line"].to_pylist() == [line - 1 for line in theirs["line"].to_pylist()]


def test_categories_that_hold_together(tmp_path: Path) -> None:
    path = tmp_path / "DXCCSR_v2026-1.csv"
    path.write_text(
        f"'ICD-10-CM CODE','ICD-10-CM CODE DESCRIPTION','Default CCSR CATEGORY IP',{RANKS}\n"
        "'E1010',\"Diabetes, type 1\",'END002',\"END002\",'With complication','END005','Type 1',' ',,' ',,' ',,' ',\n"
    )
    categories, members = group_files.read_ccsr(path)
    assert categories.to_pydict() == {"id": ["CCSR:END002", "CCSR:END005"], "name": ["With complication", "Type 1"]}
    assert members["default"].to_pylist() == [True, False]


def test_a_record_on_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "drugbank.tsv"
    path.write_text('drugbank_id\tname\tatc_codes\tinchikey\nDB00331\t"Metfor\nmin"\tA10BA02\t\nDB1\tx\t\t\n')
    with pytest.raises(MalformedInputError, match=r"line 4: 'DB1' is no DRUGBANK code"):
        drug_files.read_compounds(path)


def test_names_of_files() -> None:
    """Every kind is found by its name, and no name is of two kinds."""
    names = {
        "icd9cm": ["icd9dx2015.csv", "cms32_desc_long_dx.txt"],
        "gem_9_10": ["icd9toicd10cmgem.csv", "2018_i9gem.txt"],
        "gem_10_9": ["icd10cmtoicd9gem.csv", "2018_i10gem.txt"],
        "gem_9_pcs": ["gem_i9pcs.txt"],
        "ccsr": ["dxccsr_v2026-1.csv", "dx_cat1_mapping.json", "icd10cm_to_ccsr_dx_cat1.json"],
        "diseases": ["doid.obo", "humando_2016.obo", "doid-base.obo"],
        "disease_xrefs": ["doid_allxref_2026.tsv", "doid_slim_xrefs.tsv"],
        "compounds": ["drugbank vocabulary.csv", "drugbank_slim_hetionet.tsv"],
        "atc": ["who_atc-ddd_2026-04-25.csv"],
    }
    for kind, examples in names.items():
        for name in examples:
            assert [k for k, known in KINDS.items() if re.fullmatch(known.pattern, name)] == [kind], name


def test_a_folder_without_codes(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(LoaderError, match="holds no file of codes that is known by its name"):
        find_sources(tmp_path)
    with pytest.raises(LoaderError, match="no such file or folder"):
        find_sources(tmp_path / "nowhere")
    (tmp_path / "DOID.OBO.gz").write_bytes(b"")
    assert find_sources(tmp_path).skipped == {"file whose name is of no kind of code file": 1}
