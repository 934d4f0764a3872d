"""A screen finds what a prediction of all rows finds; killed and resumed, it ends as if it had never stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from binders import MOTIF, affinities, deep_dta, molecules

from medgraph.data.molecules import Standardiser
from medgraph.data.smiles_files import SmilesFile
from medgraph.errors import LoaderError, NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.best import Best
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.screen import _duplicates, screen
from medgraph.heads.interaction.screening import Screening

pytest.importorskip("rdkit")
TARGET = "MKTAYIAKQRQISFVKSHFSRQ" + MOTIF + "LEERLGLIEVQAPILSRVGD"
BAD = {7: "C(", 100: "not a molecule", 205: "*CC", 310: "", 311: "c1cccc1"}
UNREADABLE = {row: text for row, text in BAD.items() if text not in {"", "*CC"}}


@pytest.fixture(scope="module")
def head() -> InteractionHead:
    return deep_dta()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every molecule with an id, some written in another order or as a salt, and the bad rows among them."""
    from rdkit import Chem

    rows = []
    for number, smiles in enumerate(molecules()):
        rows.append(smiles)
        if number % 5 == 0:
            rows.append(Chem.MolToSmiles(Chem.MolFromSmiles(smiles), rootedAtAtom=1, canonical=False))
        if number % 11 == 0:
            rows.append(f"{smiles}.Cl")
    for row, text in sorted(BAD.items()):
        rows.insert(row - 1, text)
    path = tmp_path_factory.mktemp("screen") / "library.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("Name", "SMILES"), *((f"m{i}", s) for i, s in enumerate(rows, start=1))])
    return path


def by_hand(head: InteractionHead, file: Path, top: int, sign: int = 1) -> pd.DataFrame:
    rows = pd.read_csv(file, keep_default_na=False)
    found = Standardiser().table(rows["SMILES"].tolist())
    table = pd.DataFrame({"row": np.arange(1, len(rows) + 1), "id": rows["Name"], "smiles": found.canonical})
    table = table.dropna().drop_duplicates("smiles")
    table["value"] = head.predict(smiles=table["smiles"].tolist(), sequences=TARGET).value
    order = np.lexsort((table["row"], -sign * table["value"].round(6)))[:top]
    return table.iloc[order].reset_index(drop=True)


@pytest.mark.parametrize("lowest", [False, True])
def test_it_finds_what_predicting_everything_finds(
    head: InteractionHead, file: Path, tmp_path: Path, lowest: bool
) -> None:
    found = screen(head, file, to=tmp_path / "s", sequence=TARGET, top=40, block=64, lowest=lowest, progress=False)
    wanted = by_hand(head, file, 40, -1 if lowest else 1)
    hits = found.to_pandas()
    np.testing.assert_allclose(hits["value"], wanted["value"], atol=1e-5)
    assert set(hits["smiles"][:30]) <= set(by_hand(head, file, 45, -1 if lowest else 1)["smiles"])
    assert hits["smiles"].is_unique
    again = head.predict(smiles=hits["smiles"].tolist(), sequences=TARGET)
    np.testing.assert_allclose(hits["low"], again.low, atol=1e-5)
    assert (hits["low"] <= hits["value"]).all()
    assert hits["drug_seen"].tolist() == again.drug_seen.tolist()
    assert hits["rank"].tolist() == list(range(1, 41))
    rows = pd.read_csv(file, keep_default_na=False).set_index("Name")["SMILES"]
    assert Standardiser().canonical(rows[hits["id"][0]]) == hits["smiles"][0]


def test_counts_bad_rows_and_duplicates(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    found = screen(head, file, to=tmp_path / "s", sequence=TARGET, top=3, block=50, progress=False)
    rows = pd.read_csv(file, keep_default_na=False)
    canonical = [text for text in Standardiser().table(rows["SMILES"].tolist()).canonical if text]
    assert dict(found.counts) == {
        "rows": len(rows),
        "scored": len(canonical),
        "refused": len(BAD),
        "duplicates": len(canonical) - len(set(canonical)),
    }
    assert found.counts["duplicates"] > 30
    refused = pd.read_csv(tmp_path / "s" / "refused.csv", keep_default_na=False)
    assert refused["row"].tolist() == sorted(BAD)
    assert refused["id"].tolist() == [f"m{row}" for row in sorted(BAD)]
    problems = dict(zip(refused["row"], refused["problem"], strict=True))
    assert all(problems[row].startswith("RDKit: ") for row in UNREADABLE)
    assert "kekulize" in problems[311]
    assert problems[310] == "no SMILES"
    assert "dummy atom" in problems[205]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["hits.csv", "refused.csv", "screen.json"]
    assert f"{len(rows):,} rows" in str(found)
    assert len(found.to_dict()["hits"]) == len(found) == 3


def test_every_form_of_file_gives_the_same_hits(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    table = pd.read_csv(file, keep_default_na=False)
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "a.parquet", row_group_size=100)
    (tmp_path / "a.smi").write_text(
        "".join(f"{s.replace(' ', '_')} {i}\n" for i, s in table.to_numpy()[:, :2]), "utf-8"
    )
    kept = [
        screen(head, path, to=tmp_path / f"hits{path.suffix}", sequence=TARGET, top=20, progress=False).to_pandas()
        for path in (file, tmp_path / "a.parquet")
    ]
    pd.testing.assert_frame_equal(*kept)
    columns = SmilesFile(file, smiles="smiles", id="name")
    third = screen(head, columns, to=tmp_path / "c", sequence=TARGET, top=20, progress=False)
    pd.testing.assert_frame_equal(kept[0], third.to_pandas())


def test_a_target_by_id(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    sequence = affinities().sequences[1]
    one = screen(head, file, to=tmp_path / "1", target="T1", top=5, progress=False)
    two = screen(head, file, to=tmp_path / "2", sequence=sequence, top=5, progress=False)
    assert one.target == two.target == "T1"
    pd.testing.assert_frame_equal(one.to_pandas(), two.to_pandas())
    with pytest.raises(UnknownIdentifierError, match="'T99'"):
        screen(head, file, to=tmp_path / "3", target="T99", progress=False)
    assert not (tmp_path / "3").exists()


SCRIPT = """
import sys
from pathlib import Path
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.screen import screen
folder, file, to, target = sys.argv[1:]
print(screen(DeepDTA.load(folder), file, to=to, sequence=target, top=25, block=16, every=16, progress=False,
             resume=Path(to).exists()).counts)
"""


def test_killed_and_resumed_it_ends_the_same(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    """SIGKILL, wherever it is; and leftovers of a later row behind the state are cut off."""
    head.save(tmp_path / "head")
    wanted = screen(head, file, to=tmp_path / "whole", sequence=TARGET, top=25, block=16, progress=False)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "head"), str(file), str(tmp_path / "cut"), TARGET]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    state = tmp_path / "cut" / "screen.json"
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if state.exists() and json.loads(state.read_text())["rows"] >= 120:
            os.kill(running.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    left = json.loads(state.read_text())
    assert 120 <= left["rows"] < wanted.counts["rows"]
    assert not left["finished"]
    with (tmp_path / "cut" / "refused.csv").open("ab") as stream:
        stream.write(b"999,x,C(,half a r")
    with (tmp_path / "cut" / "seen.bin").open("ab") as stream:
        stream.write(b"123")
    subprocess.run(command, check=True, capture_output=True)
    for name in ("hits.csv", "refused.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    resumed = screen(head, file, to=tmp_path / "cut", sequence=TARGET, top=25, block=16, resume=True, progress=False)
    assert resumed.counts == wanted.counts
    assert isinstance(resumed, Screening)


def test_resuming_something_else_is_refused(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    screen(head, file, to=tmp_path / "s", sequence=TARGET, top=5, progress=False)
    with pytest.raises(SchemaError, match="holds a screen already"):
        screen(head, file, to=tmp_path / "s", sequence=TARGET, top=5, progress=False)
    for change, words in (
        ({"top": 6}, "top 5, not 6"),
        ({"sequence": TARGET[::-1]}, "begun with"),
        ({"file": tmp_path / "other.smi"}, "begun with file"),
    ):
        (tmp_path / "other.smi").write_text("C\n")
        given = {"file": file, "sequence": TARGET, "top": 5, **change}
        with pytest.raises(SchemaError, match=words):
            screen(head, to=tmp_path / "s", resume=True, progress=False, **given)  # type: ignore[arg-type]
    (tmp_path / "s" / "refused.csv").write_text("row")
    with pytest.raises(SchemaError, match="shorter than its screen's state"):
        screen(head, file, to=tmp_path / "s", sequence=TARGET, top=5, resume=True, progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(SchemaError, match="holds no screen"):
        screen(head, file, to=tmp_path / "mine", sequence=TARGET, progress=False)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "screen.json").write_text("{}")
    with pytest.raises(SchemaError, match="is no state of a screen"):
        screen(head, file, to=tmp_path / "broken", sequence=TARGET, resume=True, progress=False)


def test_refuses(head: InteractionHead, file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        screen(DeepDTA(), file, to=tmp_path / "a", sequence=TARGET)
    with pytest.raises(SchemaError, match="top=0"):
        screen(head, file, to=tmp_path / "a", sequence=TARGET, top=0)
    with pytest.raises(LoaderError, match="no such file"):
        screen(head, tmp_path / "none.smi", to=tmp_path / "a", sequence=TARGET)
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty.smi").write_text("")
    nothing = screen(head, tmp_path / "empty.smi", to=tmp_path / "b", sequence=TARGET, progress=False)
    assert (len(nothing), nothing.counts["rows"]) == (0, 0)


def test_the_best_and_the_duplicates_by_brute_force(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, names = rng.integers(0, 40, 3000) / 4, rng.integers(0, 700, 3000)
    values = values[names]  # the same molecule has the same value
    best = Best(50)
    for row, (value, name) in enumerate(zip(values.tolist(), names.tolist(), strict=True), start=1):
        best.offer(value, row, f"i{row}", str(name))
    first: dict[str, tuple[float, int, str, str]] = {}
    for row, (value, name) in enumerate(zip(values.tolist(), names.tolist(), strict=True), start=1):
        first.setdefault(str(name), (value, row, f"i{row}", str(name)))
    assert best.ranked() == sorted(first.values(), key=lambda e: (-e[0], e[1]))[:50]
    other = Best(50)
    other.restore(json.loads(json.dumps(best.held())))
    assert other.ranked() == best.ranked()
    with pytest.raises(SchemaError, match="is nan"):
        best.offer(float("nan"), 1, "", "C")
    hashes = rng.integers(0, 5000, 20_000).astype(np.uint64)
    hashes.tofile(tmp_path / "seen.bin")
    assert _duplicates(tmp_path / "seen.bin") == 20_000 - np.unique(hashes).size
    import medgraph.heads.interaction.screen as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", 999)
        assert _duplicates(tmp_path / "seen.bin") == 20_000 - np.unique(hashes).size
