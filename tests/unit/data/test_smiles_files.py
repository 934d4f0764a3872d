"""Files of SMILES in every form hold the same rows; a bad row is told, a broken file is refused."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medgraph.data.smiles_files import LONGEST_LINE, SmilesFile, SmilesRow
from medgraph.errors import LoaderError, MalformedInputError

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "[Na+].[Cl-]", "N"]
IDS = ["ethanol", "benzene", "acetic acid", "salt", "ammonia"]
ROWS = [SmilesRow(i + 1, id_, smiles) for i, (id_, smiles) in enumerate(zip(IDS, SMILES, strict=True))]


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if ".smi" in name:
        text = "".join(f"{s}\t{i}\n" for s, i in zip(SMILES, IDS, strict=True))
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"name": IDS, "SMILES": SMILES}), path, row_group_size=2)
        return path
    else:
        mark = "\t" if ".tsv" in name else ","
        text = f"Drug_ID{mark}x{mark}Drug\n" + "".join(
            f'"{i}"{mark}{mark}{s}\r\n' for s, i in zip(SMILES, IDS, strict=True)
        )
    open_ = gzip.open if name.endswith(".gz") else bz2.open if name.endswith(".bz2") else open
    with open_(path, "wt", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("name", ["a.smi", "a.smi.gz", "a.csv", "a.csv.gz", "a.tsv.bz2", "a.parquet", "A.CSV"])
def test_every_form_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    file = SmilesFile(written(tmp_path, name))
    assert list(file.rows()) == ROWS
    for start in range(7):
        assert list(file.rows(start)) == ROWS[start:]
    assert [len(block) for block in file.blocks(2, start=1)] == [2, 2]


def test_a_header_in_a_smi_file_is_no_row_and_ids_may_have_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("smiles zinc_id\nCCO my ethanol \n\nC\n", encoding="utf-8")
    assert list(SmilesFile(tmp_path / "a.smi").rows()) == [
        SmilesRow(1, "my ethanol", "CCO"),
        SmilesRow(2, "2", "", "no SMILES"),
        SmilesRow(3, "3", "C"),
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,Code,smiles\nk1,CCO,CC\n", encoding="utf-8")
    assert list(SmilesFile(tmp_path / "a.csv", smiles="code", id="key").rows()) == [SmilesRow(1, "k1", "CCO")]
    assert list(SmilesFile(tmp_path / "a.csv").rows()) == [SmilesRow(1, "1", "CC")]
    with pytest.raises(MalformedInputError, match=r"line 1: no column 'kay' among .* Nearest: key"):
        list(SmilesFile(tmp_path / "a.csv", id="kay").rows())
    (tmp_path / "b.csv").write_text("CCO,1\n", encoding="utf-8")
    with pytest.raises(MalformedInputError, match=r"no column of SMILES .* among CCO, 1; name it with smiles="):
        list(SmilesFile(tmp_path / "b.csv").rows())


def test_bad_rows_are_told_and_the_next_is_read(tmp_path: Path) -> None:
    long = "C" * (3 * LONGEST_LINE)
    (tmp_path / "a.smi").write_bytes(f"{long} big\nCC ok\n".encode() + b"\xff\xfe caf\xe9\nN n\n")
    rows = list(SmilesFile(tmp_path / "a.smi").rows())
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert rows[0].problem == "a line of more than 100,000 letters"
    assert rows[1] == SmilesRow(2, "ok", "CC")
    assert rows[2].smiles == "\ufffd\ufffd"
    assert rows[3] == SmilesRow(4, "n", "N")
    (tmp_path / "a.csv").write_text('id,smiles\na\n\nb,"C\nC"\n"' + "x" * 140_000 + '",C\nc,N\n', encoding="utf-8")
    rows = list(SmilesFile(tmp_path / "a.csv").rows())
    assert [(row.number, row.id, row.problem) for row in rows] == [
        (1, "1", "1 cells; expected at least 2"),
        (2, "2", "no SMILES"),
        (3, "b", None),
        (4, "4", "a line of more than 100,000 letters"),
        (5, "c", None),
    ]
    open_quote = 'id,smiles\na,"C\n' + "b,CC\n" * 30_000 + "c,N\n"
    (tmp_path / "b.csv").write_text(open_quote, encoding="utf-8")
    rows = list(SmilesFile(tmp_path / "b.csv").rows())
    assert rows[0].problem == "lines 2 to 26217: field larger than field limit (131072)"
    assert rows[-1] == SmilesRow(len(rows), "c", "N")


def test_refuses_what_is_no_file_of_smiles(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="no such file"):
        list(SmilesFile(tmp_path / "none.smi").rows())
    with pytest.raises(LoaderError, match="no such file"):
        list(SmilesFile(tmp_path / "none.parquet").rows())
    with pytest.raises(LoaderError, match="a file of SMILES ends in"):
        SmilesFile(tmp_path / "a.sdf")
    with pytest.raises(LoaderError, match="has no columns to choose from"):
        SmilesFile(tmp_path / "a.smi", smiles="x")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(MalformedInputError, match="cannot be read as Parquet"):
        list(SmilesFile(tmp_path / "a.parquet").rows())
    whole = written(tmp_path, "b.smi.gz").read_bytes()
    (tmp_path / "c.smi.gz").write_bytes(whole[:-12])
    with pytest.raises(MalformedInputError, match="broken archive"):
        list(SmilesFile(tmp_path / "c.smi.gz").rows())
    (tmp_path / "d.csv").write_text("", encoding="utf-8")
    with pytest.raises(MalformedInputError, match="the file is empty"):
        list(SmilesFile(tmp_path / "d.csv").rows())
