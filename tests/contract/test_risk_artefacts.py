"""No subject and no time of anyone stands in what a risk head writes: every head there is, every file, decoded."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

import medgraph as mg
from medgraph.data.cohort import Cohort
from medgraph.data.given_labels import GivenLabels
from medgraph.data.prediction_times import AtEvent
from medgraph.data.tasks import TimeToEvent
from medgraph.heads.risk.base import RiskHead

HEADS = [n for n in mg.__all__ if isinstance(getattr(mg, n), type) and issubclass(getattr(mg, n), RiskHead)]
SMALL = {"vector_size": 4, "hidden_size": 4, "filters": 4, "layers": 1, "pretrain_epochs": 1, "variables": 2,
         "alpha_size": 4, "beta_size": 4, "epochs": 2, "bins": 3}  # fmt: skip
DAY = 86_400_000_000
FIRST = 7_310_000_001
CASES = [(n, "plain") for n in HEADS] + [
    (n, "private") for n in HEADS if getattr(mg, n)._pretrain is RiskHead._pretrain
]


@pytest.fixture(scope="module")
def people() -> tuple[Cohort, pa.Table]:
    """Ids, and times to the microsecond, that no weight has by chance; predictions at a time of each subject's own."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, str, float | None]] = []
    labels = []
    start = int(np.datetime64("2019-03-01", "us").astype(np.int64))
    for who in range(FIRST, FIRST + 80):
        index = start + int(rng.integers(0, 300 * DAY))
        rows.append((who, index - int(rng.integers(30 * 365, 60 * 365)) * DAY - 12345, "MEDS_BIRTH", None))
        times = np.sort(rng.integers(1 * DAY, 400 * DAY, 5))[::-1]
        rows += [(who, index - int(t), f"C//{rng.integers(5)}", float(rng.normal(5, 2))) for t in times]
        out = bool(rng.random() < 0.5)
        rows.append((who, index + int(rng.integers(DAY, 300 * DAY)), "O//OUT" if out else "C//1", None))
        rows.append((who, index + 700 * DAY, "C//0", None))
        labels.append((who, index, out))
    who_, when, what, value = zip(*rows, strict=True)
    table = pa.table(
        {
            "subject_id": pa.array(who_, pa.int64()),
            "time": pa.array(when, pa.timestamp("us")),
            "code": pa.array(what, pa.string()),
            "numeric_value": pa.array(value, pa.float32()),
        }
    )
    subject, index_, out_ = zip(*labels, strict=True)
    given = {"subject_id": subject, "prediction_time": pa.array(index_, pa.timestamp("us")), "boolean_value": out_}
    cohort = Cohort.of(table).split((0.6, 0.2, 0.2), seed=1)
    return cohort.with_tasks(
        out=GivenLabels.from_table(pa.table(given)),
        when=TimeToEvent({"out": ("O//OUT",)}, AtEvent(("C//2",)), horizon_days=600),
    ), table


def decoded(path: Path) -> bytes:
    """A file's bytes, and those of the columns that Parquet has packed."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        chunks = [chunk for column in table.columns for chunk in column.chunks]
        buffers = [bytes(buffer) for chunk in chunks for buffer in chunk.buffers() if buffer is not None]
        content += b"".join(buffers) + json.dumps(table.to_pydict(), default=str).encode()
    return content


def found_in(folder: Path, table: pa.Table) -> list[str]:
    """Which file tells a subject or a time?"""
    ids = np.unique(table["subject_id"].to_numpy())
    times = np.unique(table["time"].cast(pa.int64()).to_numpy())
    numbers = np.concatenate([ids, times, times // 1000, times // 1_000_000])
    needles = {str(n).encode() for n in numbers} | {n.tobytes() for n in numbers.astype("<i8")}
    needles |= {n.tobytes() for n in numbers.astype(">i8")} | {n.tobytes() for n in numbers.astype("<f8")}
    moments = times.astype("datetime64[us]")
    needles |= {str(m)[:10].encode() for m in moments} | {str(m)[:10].replace("-", "").encode() for m in moments}
    told = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = decoded(path)
        told += [f"{path.name}: {needle!r}" for needle in needles if needle in content]
    return told


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_no_subject_and_no_time_in_any_file(
    name: str, mode: str, people: tuple[Cohort, pa.Table], tmp_path: Path
) -> None:
    cohort, table = people
    cls = getattr(mg, name)
    private = mode == "private"
    if private:
        pytest.importorskip("opacus")
    given = {key: value for key, value in SMALL.items() if key in {f.name for f in fields(cls)}}
    if private:
        given |= {"privacy": mg.DifferentialPrivacy(epsilon=90.0, delta=1e-2, codes_per_subject=6), "epochs": 1}
    label = "out" if "binary" in cls.kinds else "when"
    checkpoint = None if private else tmp_path / "checkpoint.safetensors"
    head = cls(**given).fit(cohort, label, checkpoint=checkpoint, progress=False)
    head.save(tmp_path / "head")
    head.evaluate(cohort.held_out, baselines=(), n_bootstrap=3).save(tmp_path / "report.json")
    told = [repr(head), repr(head.predict_proba(cohort.held_out)), str(head.membership(cohort, n_bootstrap=3)),
            repr(head.explain(cohort, int(cohort.subjects[0])))]  # fmt: skip
    (tmp_path / "shown.txt").write_text("\n".join(told), encoding="utf-8")
    files = {path.name for path in tmp_path.rglob("*")}
    assert {"manifest.json", "card.md", "weights.safetensors", "vocabulary.parquet", "report.json"} <= files
    assert found_in(tmp_path, table) == []


@pytest.mark.parametrize("form", ["parquet", "weights", "json", "date"])
def test_the_search_can_find(form: str, people: tuple[Cohort, pa.Table], tmp_path: Path) -> None:
    _, table = people
    who, when = table["subject_id"][3].as_py(), table["time"].cast(pa.int64()).to_numpy()
    if form == "parquet":
        pq.write_table(pa.table({"count": [1] * 5000 + [who]}), tmp_path / "x.parquet", compression="zstd")
    elif form == "weights":
        save_file({"w": when.astype(np.float64)}, tmp_path / "x.safetensors")
        assert load_file(tmp_path / "x.safetensors")["w"].size == len(when)
    elif form == "json":
        (tmp_path / "x.json").write_text(json.dumps({"row": [who]}))
    else:
        (tmp_path / "card.md").write_text(f"last seen {np.datetime64(int(when[7]), 'us').astype('datetime64[D]')}")
    assert found_in(tmp_path, table)
