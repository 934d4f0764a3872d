"""Do predictions of a fitted head move when its strongest atoms and residues are taken out?

medgraph interact fit davis --path PATH/TO/davis --head DeepDTA --to artefacts/davis
python benchmarks/deletion.py artefacts/davis davis --path PATH/TO/davis

Pairs are drawn from the test part's actives (given fold 0), as many random deletions are made of each.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import medgraph as mg
from medgraph.artefact import kind_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path)
    parser.add_argument("loader")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--above", type=float, default=7.0, help="actives have a value above this")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--draws", type=int, default=50)
    arguments = parser.parse_args()
    head = getattr(mg, kind_of(arguments.head)).load(arguments.head)
    test = mg.load(arguments.loader, path=arguments.path).split(by="given", fold=0).test
    active = np.flatnonzero(test.value > arguments.above)
    rows = np.random.default_rng(0).choice(active, min(arguments.pairs, active.size), replace=False)
    started = time.process_time()
    found = mg.explain_interaction(
        head,
        drugs=test.drugs["id"].take(test.drug[rows]).to_pylist(),
        targets=test.targets["id"].take(test.target[rows]).to_pylist(),
        draws=arguments.draws,
    )
    seconds = time.process_time() - started
    print(found)
    worst = max(abs(each.residual) for each in found.explanations)
    print(json.dumps({"largest_residual": round(worst, 4), "cpu_seconds_a_pair": round(seconds / rows.size, 2)}))


if __name__ == "__main__":
    main()
