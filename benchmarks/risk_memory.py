"""How much memory, and how long, does a head need for one epoch over 100,000 subjects?

python benchmarks/risk_memory.py                          5,000 subjects
python benchmarks/risk_memory.py --subjects 100_000       about 10 million events in 50 files
python benchmarks/risk_memory.py --subjects 100_000 --stream   no sample is held, every pass reads the files
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from meds import peak_mb, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=100, help="events a subject, on average")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--head", default="VisitGRU")
    parser.add_argument("--folder", type=Path, help="keep the data set here, or use the one that is here")
    parser.add_argument("--stream", action="store_true", help="read the files in every pass, whatever their size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "meds"
        if not (folder / "data").exists():
            write(folder, arguments.subjects, arguments.events)
        print(json.dumps(fit(folder, arguments.head, arguments.batch, arguments.stream), indent=2))


def fit(folder: Path, head: str, batch: int, stream: bool) -> dict[str, object]:
    import torch

    import medgraph as mg
    from medgraph.data.prediction_times import AtDates
    from medgraph.data.tasks import CodeWithin
    from medgraph.heads.risk import batching
    from medgraph.heads.risk.learning import Learning

    if stream:
        batching.Dataset.__init__.__defaults__ = (0,)
    before, imported = peak_mb(), time.perf_counter()
    spent = {"steps": 0, "tokens": 0, "first": 0.0, "last": 0.0}
    losses = Learning.losses

    def counted(self: Learning, samples: object, progress: float) -> object:
        spent["first"] = spent["first"] or time.perf_counter()
        spent["steps"] += 1
        spent["tokens"] += int(np.diff(samples.event_offsets).sum())  # type: ignore[attr-defined]
        found = losses(self, samples, progress)  # type: ignore[arg-type]
        spent["last"] = time.perf_counter()
        return found

    Learning.losses = counted  # type: ignore[assignment,method-assign]
    cohort = mg.load("meds", path=folder)
    task = CodeWithin(("HOSPITAL_ADMISSION*",), 365, AtDates(("2015-01-01",)))
    model = getattr(mg, head)(epochs=1, batch_size=batch, device="cpu").fit(cohort, task, progress=False)
    done = time.perf_counter()
    epoch = spent["last"] - spent["first"]
    return {
        "head": head,
        "subjects": cohort.num_subjects,
        "events": cohort.num_events,
        "held_in_memory": not stream,
        "train_samples": model.counts_["train"]["samples"],
        "train_tokens": spent["tokens"],
        "steps": spent["steps"],
        "epoch_seconds": round(epoch, 1),
        "tokens_per_second": round(spent["tokens"] / epoch),
        "fit_seconds": round(done - imported, 1),
        "tuning_log_loss": round(model.history_[-1]["tuning_log_loss"], 4),
        "threads": torch.get_num_threads(),
        "peak_rss_mb": peak_mb(),
        "peak_rss_before_loading_mb": before,
    }


if __name__ == "__main__":
    main()
