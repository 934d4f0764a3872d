"""What does privacy cost, and what does it hide? Risks and membership inference with and without DP-SGD.

python benchmarks/privacy.py                                    2,000 subjects, ε = 8 and 1
python benchmarks/privacy.py --subjects 20_000 --epsilon 8 3 1  --head VisitGRU
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from meds import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=2_000)
    parser.add_argument("--head", default="Deepr")
    parser.add_argument("--epochs", type=int, default=5, help="of private training")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=16, help="of code vectors")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[8.0, 1.0])
    parser.add_argument("--folder", type=Path, help="keep the data set here, or use the one that is here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "meds"
        if not (folder / "data").exists():
            write(folder, arguments.subjects, 100)
        compare(folder, arguments)


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    import medgraph as mg
    from medgraph.data.prediction_times import AtDates
    from medgraph.data.tasks import CodeWithin

    cohort = mg.load("meds", path=folder)
    task = CodeWithin(("HOSPITAL_ADMISSION*",), 365, AtDates(("2015-01-01",)))
    size = {"vector_size": arguments.size, "device": "cpu"}
    delta = 0.1 / len(cohort.splits["train"])
    plain = {"plain": {}, "plain, not stopped": {"patience": 30, "epochs": 30, "weight_decay": 0.0, "dropout": 0.0}}
    private = {
        f"epsilon {e:g}": {
            "privacy": mg.DifferentialPrivacy(epsilon=e, delta=delta),
            "epochs": arguments.epochs,
            "batch_size": arguments.batch,
            "learning_rate": 0.01,
        }
        for e in arguments.epsilon
    }
    for name, more in {**plain, **private}.items():
        start = time.perf_counter()
        head = getattr(mg, arguments.head)(**{**size, **more})
        if name == "plain, not stopped":
            keep_last(head.fit, cohort, task)
        else:
            head.fit(cohort, task, progress=False)
        seconds = time.perf_counter() - start
        report = head.evaluate(cohort.held_out, baselines=(), n_bootstrap=500)
        attack = head.membership(cohort)
        row = {
            "training": name,
            "privacy": None if head.privacy_ is None else head.privacy_.to_dict(),
            "codes": len(head._fitted().vocabulary),
            "AUROC": str(report.estimates[arguments.head]["AUROC"]),
            "membership AUROC": str(attack.auroc),
            "membership advantage": str(attack.advantage),
            "members": attack.members,
            "others": attack.others,
            "seconds": round(seconds, 1),
        }
        print(json.dumps(row), flush=True)


def keep_last(fit: object, cohort: object, task: object) -> None:
    """Train on without early stopping: what a careless training would give away."""
    from itertools import count
    from unittest.mock import patch

    from medgraph.heads.risk.learning import Learning

    epoch = count()
    with patch.object(Learning, "validate", lambda _: {"tuning_log_loss": -float(next(epoch))}):
        fit(cohort, task, progress=False)  # type: ignore[operator]


if __name__ == "__main__":
    main()
