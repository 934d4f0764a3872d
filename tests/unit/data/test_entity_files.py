"""Short files of drugs, targets and pairs: read whole, or refused with the place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medgraph.data.entity_files import read_drugs, read_fasta, read_pairs, read_targets
from medgraph.errors import LoaderError, MalformedInputError


def test_fasta(tmp_path: Path) -> None:
    text = ">P1 first kinase\nMKT\nAYI\n\n>\nLL*\n"
    (tmp_path / "a.fasta").write_text(text)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.fasta", "a.fa.gz"):
        assert read_targets(tmp_path / name) == (["P1", "sequence 2"], ["MKTAYI", "LL*"])
    for text, words in (("MKT\n>a\n", "line 1: letters before"), (">a\n>b\nM\n", "'a' has no letters"), ("", "no seq")):
        (tmp_path / "b.fasta").write_text(text)
        with pytest.raises(MalformedInputError, match=words):
            read_fasta(tmp_path / "b.fasta")
    (tmp_path / "c.fasta").write_bytes(b">a\n\xff\xfe")
    with pytest.raises(MalformedInputError, match="cannot be read as text"):
        read_fasta(tmp_path / "c.fasta")
    with pytest.raises(LoaderError, match="no such file"):
        read_fasta(tmp_path / "none.fasta")


def test_tables_of_targets_and_drugs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ID,Sequence\n007,MKT\nb,AYI\n")
    assert read_targets(tmp_path / "t.csv") == (["007", "b"], ["MKT", "AYI"])
    pq.write_table(pa.table({"sequence": ["MKT"]}), tmp_path / "t.parquet")
    assert read_targets(tmp_path / "t.parquet") == (["1"], ["MKT"])
    (tmp_path / "d.smi").write_text("CCO ethanol\nC\n")
    assert read_drugs(tmp_path / "d.smi") == (["ethanol", "2"], ["CCO", "C"])
    (tmp_path / "d.smi").write_text("CCO ethanol\n\n")
    with pytest.raises(MalformedInputError, match="row 2: no SMILES"):
        read_drugs(tmp_path / "d.smi")
    (tmp_path / "u.csv").write_text("id,protein\na,MKT\n")
    with pytest.raises(MalformedInputError, match="no column sequence among id, protein"):
        read_targets(tmp_path / "u.csv")
    (tmp_path / "v.csv").write_text("id,sequence\na,MKT\nb,\n")
    with pytest.raises(MalformedInputError, match="row 2 has nothing there"):
        read_targets(tmp_path / "v.csv")
    with pytest.raises(LoaderError, match="ends in"):
        (tmp_path / "x.doc").write_text("x")
        read_targets(tmp_path / "x.doc")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("smiles,sequence\nC,M\n", {"smiles": ["C"], "sequence": ["M"]}),
        ("drug,sequence\nDB1,M\n", {"drug": ["DB1"], "sequence": ["M"]}),
        ("Drug_ID,Target_ID\n1,2\n", {"drug": ["1"], "target": ["2"]}),
        ("Drug_ID,Drug,Target_ID,Target,Y\n1,C,2,M,5\n", {"smiles": ["C"], "sequence": ["M"]}),
        ("drug,target\nDB1,P1\n", {"drug": ["DB1"], "target": ["P1"]}),
    ],
)
def test_pairs(text: str, wanted: dict[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    assert read_pairs(tmp_path / "p.csv") == wanted


def test_pairs_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("smiles,sequnce\nC,M\n")
    with pytest.raises(MalformedInputError, match=r"no column sequence .* Nearest: sequnce"):
        read_pairs(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("smiles,sequence\n")
    with pytest.raises(MalformedInputError, match="holds no row"):
        read_pairs(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("a,b\n1\n")
    with pytest.raises(MalformedInputError, match="cannot be read as a table"):
        read_pairs(tmp_path / "p.csv")
