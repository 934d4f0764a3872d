"""What pyproject.toml says is what the folders hold."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_packaged() -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "medgraph").rglob("*.py")}
    found = {".".join(folder.parts) for folder in folders} | {"medgraph.loaders"}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


def test_version_is_one() -> None:
    import medgraph

    assert medgraph.__version__ == PROJECT["project"]["version"]
    assert f"## {medgraph.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_entry_point_exists() -> None:
    points = {**PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]["medgraph.loaders"]}
    for target in points.values():
        module, _, attribute = target.partition(":")
        assert hasattr(importlib.import_module(module), attribute), target


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[dependency-groups]")]
    unexplained = [line for line in block.splitlines() if re.match(r'\s*"', line) and "#" not in line]
    assert [line for line in unexplained if "medgraph[" not in line] == []


def test_loaders_is_not_importable_under_its_folder_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import loaders"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Import medgraph.loaders, not loaders" in done.stderr


def test_constraints_hold_names_and_numbers_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [
        line for line in lines if line and not line.startswith("#") and not re.fullmatch(r"[\w.\-]+==[\w.+!]+", line)
    ]
    assert wrong == []


@pytest.mark.slow
def test_a_built_wheel_holds_the_whole_house(tmp_path: Path) -> None:
    source = tmp_path / "source"  # the build leaves folders behind
    keep = shutil.ignore_patterns(".*", "tests", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=keep)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "medgraph").rglob("*.py")}
    expected |= {f"medgraph/{p.relative_to(ROOT)}" for p in (ROOT / "loaders").rglob("*.py")}
    expected |= {f"medgraph/{p.relative_to(ROOT)}" for p in (ROOT / "loaders" / "starter_data").glob("*.tsv")}
    assert expected - names == set()
    assert not [n for n in names if n.startswith(("loaders/", "tests/"))]
