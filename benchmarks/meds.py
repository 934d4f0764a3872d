"""How fast, and in how much memory, is a MEDS data set of 100,000 subjects read as a head would?

python benchmarks/meds.py                                5,000 subjects
python benchmarks/meds.py --subjects 100_000             about 10 million events in 50 files
python benchmarks/meds.py --folder FOLDER --make-only    write the data set and stop
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CODES, SHARD, YEARS = 3000, 2000, 10
DAY = 86_400_000_000
START = int(np.datetime64("2010-01-01", "us").astype(np.int64))


def write(folder: Path, subjects: int, events: int, seed: int = 0) -> None:
    """Subjects of two kinds: those with the risk codes are admitted more often. Codes are as common as words are."""
    rng = np.random.default_rng(seed)
    names = np.array([f"SNOMEDCT:{100000 + code}" for code in range(CODES)], dtype=object)
    weight = 1 / np.arange(1, CODES + 1)
    weight /= weight.sum()
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, first in enumerate(range(0, subjects, SHARD)):
        ids = np.arange(first, min(first + SHARD, subjects)) + 1
        size = rng.geometric(1 / events, ids.size)
        subject = np.repeat(ids, size)
        days = rng.integers(0, YEARS * 365, subject.size)
        code = names[rng.choice(CODES, subject.size, p=weight)]
        ill = rng.random(ids.size) < 0.2
        admitted = rng.random(subject.size) < np.where(np.repeat(ill, size), 0.10, 0.02)
        code[admitted] = "HOSPITAL_ADMISSION//EMERGENCY"
        risk = np.repeat(ill, size) & (rng.random(subject.size) < 0.1) & ~admitted
        code[risk] = "SNOMEDCT:999999"
        value = np.where(rng.random(subject.size) < 0.3, rng.normal(100, 15, subject.size), np.nan).astype(np.float32)
        born = START - rng.integers(20 * 365, 90 * 365, ids.size) * DAY
        columns = {
            "subject_id": np.concatenate([ids, ids, subject]),
            "time": np.concatenate([np.full(ids.size, -1), born, START + days * DAY]),
            "code": np.concatenate(
                [np.where(rng.random(ids.size) < 0.5, "GENDER//F", "GENDER//M"), np.full(ids.size, "MEDS_BIRTH"), code]
            ),
            "numeric_value": np.concatenate([np.full(2 * ids.size, np.nan, dtype=np.float32), value]),
        }
        static = columns["time"] == -1
        order = np.lexsort((np.where(static, np.iinfo(np.int64).min, columns["time"]), columns["subject_id"]))
        table = pa.table(
            {
                "subject_id": columns["subject_id"][order],
                "time": pa.array(columns["time"][order], pa.int64(), mask=static[order]).cast(pa.timestamp("us")),
                "code": pa.array(columns["code"][order], pa.string()),
                "numeric_value": pa.array(
                    columns["numeric_value"][order], mask=np.isnan(columns["numeric_value"][order])
                ),
            }
        )
        pq.write_table(table, folder / "data" / f"{number}.parquet", compression="zstd")
    split = rng.choice(["train", "tuning", "held_out"], subjects, p=[0.8, 0.1, 0.1])
    splits = pa.table({"subject_id": np.arange(1, subjects + 1), "split": pa.array(split)})
    pq.write_table(splits, folder / "metadata" / "subject_splits.parquet")


def peak_mb() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=100, help="events a subject, on average")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="keep the data set here, or use the one that is here")
    parser.add_argument("--make-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "meds"
        if not (folder / "data").exists():
            write(folder, arguments.subjects, arguments.events)
        if arguments.make_only:
            return
        print(json.dumps(read(folder, arguments.batch), indent=2))


def read(folder: Path, batch: int) -> dict[str, float]:
    from medgraph.data.prediction_times import AtDates
    from medgraph.data.tasks import CodeWithin
    from medgraph.loading import load

    before = peak_mb()
    start = time.perf_counter()
    cohort = load("meds", path=folder)
    loaded = time.perf_counter()
    task = CodeWithin(("HOSPITAL_ADMISSION*",), 365, AtDates(("2015-01-01",)))
    train = cohort.train.timelines(task)
    fitted = time.perf_counter()
    samples = tokens = 0
    for part in train.batches(batch, seed=0):
        samples, tokens = samples + len(part), tokens + part.codes.size
    done = time.perf_counter()
    return {
        "subjects": cohort.num_subjects,
        "events": cohort.num_events,
        "load_seconds": round(loaded - start, 1),
        "vocabulary_seconds": round(fitted - loaded, 1),
        "epoch_seconds": round(done - fitted, 1),
        "train_samples": samples,
        "train_tokens": tokens,
        "tokens_per_second": round(tokens / (done - fitted)),
        "peak_rss_mb": peak_mb(),
        "peak_rss_before_loading_mb": before,
    }


if __name__ == "__main__":
    main()
