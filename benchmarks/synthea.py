"""A cohort of synthetic patients of any size, made by Synthea, and how long that takes.

python benchmarks/synthea.py --patients 5_000 --folder FOLDER

Needs Java 17 or later and Maven, which fetches org.mitre.synthea:synthea:3.3.0 (Apache-2.0) and what it needs once,
some 200 MB. The files it writes are what `medgraph.load("synthea", path=FOLDER / "csv")` reads. The same seed gives the
same patients.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSION = "3.3.0"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>medgraph</groupId><artifactId>synthea-jars</artifactId><version>1</version>
<dependencies><dependency><groupId>org.mitre.synthea</groupId><artifactId>synthea</artifactId>
<version>{VERSION}</version></dependency></dependencies></project>
"""
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
OPTIONS = {
    "exporter.csv.export": "true",
    "exporter.fhir.export": "false",
    "exporter.hospital.fhir.export": "false",
    "exporter.practitioner.fhir.export": "false",
    "exporter.years_of_history": "10",
    "exporter.csv.included_files": "patients.csv,encounters.csv,conditions.csv,medications.csv,procedures.csv,"
    "careplans.csv,immunizations.csv,allergies.csv,devices.csv,observations.csv",
}


def jars(folder: Path) -> Path:
    """Synthea and what it needs, fetched once; the mark at the end makes an interrupted fetch start again."""
    if not (folder / ".done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pom.xml").write_text(POM, encoding="utf-8")
        command = ["mvn", "-q", "-B", "-f", str(folder / "pom.xml"), COPY, f"-DoutputDirectory={folder}"]
        subprocess.run([*command, "-DincludeScope=runtime"], check=True)
        (folder / ".done").touch()
    return folder


def generate(folder: Path, library: Path, patients: int, seed: int, threads: int) -> None:
    """Run Synthea; `-p` counts the living, so some dead come on top."""
    settings = {**OPTIONS, "exporter.baseDirectory": str(folder), "generate.thread_pool_size": str(threads)}
    command = ["java", "-Xmx3g", "-cp", f"{library}/*", "App", "-p", str(patients), "-s", str(seed), "-cs", str(seed)]
    command += ["-r", "20230101", "-e", "20230101", *(f"--{name}={value}" for name, value in settings.items())]
    with (folder / "synthea.log").open("wb") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--jars", type=Path, help="where to keep Synthea; by default in the folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed; Synthea needs Java 17 or later and Maven.")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    library = jars((arguments.jars or arguments.folder / "jars").resolve())
    start = time.perf_counter()
    generate(arguments.folder.resolve(), library, arguments.patients, arguments.seed, arguments.threads)
    made = time.perf_counter()

    from medgraph.loading import load

    cohort = load("synthea", path=arguments.folder / "csv")
    result = {
        "subjects": cohort.num_subjects,
        "events": cohort.num_events,
        "codes": len(cohort.shards.codes),
        "generate_seconds": round(made - start),
        "load_seconds": round(time.perf_counter() - made, 1),
        "fingerprint": cohort.fingerprint,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
