"""One contract for every loader of affinities, and for what it says of files that are broken."""

from __future__ import annotations

import gzip
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgraph import loading
from medgraph.data.affinities import Affinities
from medgraph.errors import LoaderError, MalformedInputError

FUZZ = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TABLE = b"""Drug_ID,Drug,Target_ID,Target,Y
a,CCO,x,MKVLA,7.5
b,c1ccccc1C,x,MKVLA,5
b,c1ccccc1C,y,MKLLA,>6
"c, d",C[C@H](N)O,y,MKLLA,8.25
"""
BINDING = b"""BindingDB MonomerID\tLigand SMILES\tKd (nM)\t\
Number of Protein Chains in Target (>1 implies a multichain complex)\tBindingDB Target Chain Sequence 1
1\tCCO\t100\t1\tMKVLA
2\tCCN |r|\t>10000\t1\tMKVLA
3\tCCC\t5\t2\tMKVLA
"""
PAIRS = b"SMILES,Protein,Y\nCCO,MKV,1\nCCN,MKV,0\n"
FOLDER = {
    "ligands_iso.txt": json.dumps({"1": "CCO", "2": "C[C@H](N)O"}).encode(),
    "proteins.txt": json.dumps({"P1": "MKV", "P2": "MKL"}).encode(),
    "Y.tsv": b"10000\t100\nnan\t1\n",
    "train_fold_setting1.txt": b"[[0], [2]]",
    "test_fold_setting1.txt": b"[1]",
}


def as_parquet(table: bytes) -> bytes:
    header, *rows = (line.split(",") for line in table.decode().splitlines()[:4])
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(header, zip(*rows, strict=True), strict=True))), sink)
    return sink.getvalue()


@dataclass(frozen=True)
class Form:
    """One way in which a loader takes its input: files by name."""

    loader: str
    files: dict[str, bytes]
    options: dict[str, object] = field(default_factory=dict)

    def load(self, folder: Path) -> Affinities:
        path = folder / next(iter(self.files)) if len(self.files) == 1 else folder
        found = loading.load(self.loader, path=path, **self.options)
        assert isinstance(found, Affinities)
        return found

    def write(self, folder: Path, changed: dict[str, bytes] | None = None) -> Path:
        for name, content in {**self.files, **(changed or {})}.items():
            (folder / name).write_bytes(content)
        return folder


FORMS = {
    "davis": Form("davis", FOLDER),
    "kiba, gzip": Form("kiba", {f"{name}.gz": gzip.compress(text, mtime=0) for name, text in FOLDER.items()}),
    "table": Form("affinity_table", {"t.csv": TABLE}, {"unit": "pKd"}),
    "table, gzip": Form("affinity_table", {"t.csv.gz": gzip.compress(TABLE, mtime=0)}, {"unit": "pKd"}),
    "table, strict": Form("affinity_table", {"t.csv": TABLE}, {"unit": "pKd", "on_error": "raise"}),
    "table, Parquet": Form("affinity_table", {"t.parquet": as_parquet(TABLE)}, {"unit": "pKd"}),
    "BindingDB": Form("affinity_table", {"BindingDB_All.tsv": BINDING}, {"unit": "pKd"}),
    "human": Form(
        "human_dti",
        {"train.csv": PAIRS, "val.csv": PAIRS.replace(b"MKV", b"MKL"), "test.csv": PAIRS.replace(b"MKV", b"MKK")},
    ),
}


def affinities_or_error(form: Form, folder: Path) -> Affinities | LoaderError:
    """Affinities that hold together, or one LoaderError that says where; anything else fails the test."""
    error: LoaderError | None = None
    try:
        pairs = form.load(folder)
    except LoaderError as fault:
        error = fault
    if error is not None:
        assert len(str(error)) < 2000
        if isinstance(error, MalformedInputError):
            assert Path(error.file).name in form.files
        return error
    assert np.isfinite(pairs.value).all()
    assert all(isinstance(count, int) and count > 0 for count in pairs.skipped.values())
    assert all(pairs.smiles)
    assert all(re.fullmatch("[A-Z]+", sequence) for sequence in pairs.sequences)
    assert len(pairs.to_pandas()) == len(pairs)
    return pairs


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
class TestEveryAffinityLoader:
    def test_it_is_the_same_each_time_and_says_where_it_is_from(
        self, form: Form, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        pairs = form.load(form.write(tmp_path))
        assert len(pairs) >= 2
        assert pairs.provenance[0].name
        assert len(pairs.provenance[0].sha256.split()) == len(form.files)
        assert form.load(tmp_path).fingerprint == pairs.fingerprint
        assert Affinities.of(pairs.to_pandas(), pairs.unit, pairs.kind).value.tolist() == pairs.value.tolist()
        assert capfd.readouterr() == ("", "")

    @FUZZ
    @given(data=st.data())
    def test_flipped_bytes(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = bytearray(form.files[name])
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        form.write(tmp_path, {name: bytes(content)})
        affinities_or_error(form, tmp_path)

    @FUZZ
    @given(data=st.data())
    def test_pieces_cut_out_or_put_in(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = form.files[name]
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        odd = [b"", b",", b"\t", b"\n", b"\r\n", b'"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"-", b"[", b"9" * 400]
        piece = data.draw(st.sampled_from(odd) | st.binary(max_size=20))
        form.write(tmp_path, {name: content[:start] + piece + content[end:]})
        affinities_or_error(form, tmp_path)

    def test_truncated(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            for length in {*range(0, len(content), max(1, len(content) // 12)), len(content) - 1, len(content) - 9}:
                form.write(tmp_path, {name: content[:length]})
                found = affinities_or_error(form, tmp_path)
                if re.search(r"\.(gz|parquet)$", name) and length < len(content) - 1:
                    assert isinstance(found, MalformedInputError), (name, length)
            form.write(tmp_path)

    def test_other_encodings(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            if re.search(r"\.(csv|tsv|txt)$", name):
                for encoding in ("utf-16", "utf-32-le", "cp037"):
                    form.write(tmp_path, {name: content.decode().encode(encoding)})
                    assert isinstance(affinities_or_error(form, tmp_path), LoaderError), (name, encoding)
            form.write(tmp_path)

    def test_a_folder_where_a_file_should_be_or_none_at_all(self, form: Form, tmp_path: Path) -> None:
        assert isinstance(affinities_or_error(form, tmp_path), LoaderError)
        for name in form.files:
            (tmp_path / name).mkdir()
        assert isinstance(affinities_or_error(form, tmp_path), LoaderError)
