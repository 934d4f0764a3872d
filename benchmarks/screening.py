"""How many molecules a second does a head screen against one target, and in how much memory?

python benchmarks/screening.py --drugs PATH/TO/kiba                     20,000 rows, DeepDTA and FingerprintMLP
python benchmarks/screening.py --drugs PATH/TO/kiba --rows 1_000_000    five minutes of CPU for DeepDTA

The molecules are parts of KIBA's put together anew; one in a hundred rows is broken. The heads have their default size;
they are fitted on few pairs for one epoch, which changes no speed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import medgraph as mg

RING = re.compile(r"\[[^\]]*\]|%\d\d|\d")
FIRST = re.compile(r"(\[[^\]]*\]|Br|Cl|.)(%\d\d|\d)*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drugs", type=Path, required=True, help="a folder with ligands_iso.txt[.gz]")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--heads", nargs="+", default=["DeepDTA", "FingerprintMLP"])
    parser.add_argument("--file", type=Path, help="keep the molecules here, or use those that are here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file or Path(folder) / "library.smi"
        if not file.exists():
            write(file, seeds(arguments.drugs), arguments.rows)
        for name in arguments.heads:
            if name in mg.__all__:
                print(json.dumps(screened(name, file, Path(folder) / name)), flush=True)


def seeds(folder: Path) -> list[str]:
    path = next(folder.glob("ligands_iso.txt*"))
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return sorted(json.loads(text).values())


def write(file: Path, drugs: list[str], rows: int) -> None:
    """Parts of the drugs (cut where one bond joins them to the rest, BRICS) put together two by two, as text."""
    from rdkit import Chem
    from rdkit.Chem import BRICS

    parts: set[str] = set()
    for smiles in drugs:
        for part in BRICS.BRICSDecompose(Chem.MolFromSmiles(smiles), minFragmentSize=4):
            molecule = Chem.MolFromSmiles(part)
            ends = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
            if len(ends) == 1:
                text = Chem.MolToSmiles(molecule, rootedAtAtom=ends[0]).partition("]")[2]
                parts |= {text} if text[:1].isalpha() else set()
        if len(parts) ** 2 > 4 * rows:
            break
    known = sorted(parts)
    inner = [RING.sub(lambda m: m[0] if m[0][0] == "[" else f"%{int(m[0].strip('%')) + 30}", part) for part in known]
    if len(known) ** 2 < rows:
        raise SystemExit(f"{len(known) ** 2:,} molecules can be made of these; ask for fewer rows.")
    with file.open("w", encoding="utf-8") as stream:
        for number, place in enumerate(np.random.default_rng(0).permutation(len(known) ** 2)[:rows].tolist(), start=1):
            outer = known[place // len(known)]
            first = len(FIRST.match(outer)[0])  # type: ignore[index]
            made = f"{outer[:first]}({inner[place % len(known)]}){outer[first:]}"
            stream.write(f"{made[:-1] + '(' if number % 100 == 0 else made} Z{number:08d}\n")


def screened(name: str, file: Path, folder: Path) -> dict[str, object]:
    rng = np.random.default_rng(0)
    targets = {f"T{i}": "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 800)) for i in range(8)}
    chosen = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines()[:64]]
    import pandas as pd

    rows = [(d, d, t, s, float(rng.normal(6, 1))) for d in chosen for t, s in targets.items()]
    table = pd.DataFrame(rows, columns=["Drug_ID", "Drug", "Target_ID", "Target", "Y"])
    head = getattr(mg, name)(epochs=1, device="cpu").fit(mg.Affinities.of(table, unit="pKd"), progress=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, processor = time.perf_counter(), time.process_time()
    found = mg.screen(head, file, to=folder, target="T0", top=1000, progress=False)
    seconds, used = time.perf_counter() - started, time.process_time() - processor
    return {
        "head": name,
        **found.counts,
        "seconds": round(seconds, 1),
        "rows_per_second": round(found.counts["rows"] / seconds),
        "rows_per_cpu_second": round(found.counts["rows"] / used),
        "peak_mb_before": round(before),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
