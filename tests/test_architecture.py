"""Imports go down the floors of the house only; nothing happens on import; a file stays one noun long."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = [
    "cli",
    "cli_export",
    "cli_interact",
    "cli_interact_parts",
    "cli_neo4j",
    "cli_risk",
    "console",
    "demo",
    "explore",
    "explain",
    "heads",
    "embeddings",
    "training",
    "stores",
    "server",
    "loading",
    "evaluation",
    "data",
    "artefact",
    "errors",
]
FILES = sorted((ROOT / "medgraph").rglob("*.py")) + sorted((ROOT / "loaders").rglob("*.py"))
MAX_LINES = 360


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "loaders":
        parts = ["medgraph", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int | None:
    """The floor's number from the top; None for the front door (`medgraph`) and the loaders."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "loaders":
        return None
    return FLOORS.index(parts[1])


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            submodules = [f"{module}.{a.name}" for a in node.names]
            exists = {module_of(f) for f in FILES}
            found += [(node.lineno, s if s in exists else module) for s in submodules]
    return found


def faults(path: Path, module: str, imports: list[tuple[int, str]]) -> list[str]:
    """What breaks the house's rules in these imports?"""
    wrong = []
    here = floor_of(module)
    for line, target in imports:
        if target.split(".")[0] == "loaders":
            wrong.append(f"{path.name}:{line} imports plain `loaders`")
        if target.split(".")[0] != "medgraph":
            continue
        if module.startswith("medgraph.loaders"):
            if floor_of(target) is not None and floor_of(target) < FLOORS.index("loading"):  # type: ignore[operator]
                wrong.append(f"{module}:{line} (a loader) imports {target}")
            continue
        if target.startswith("medgraph.loaders"):
            wrong.append(f"{module}:{line} imports the loader {target}")
        there = floor_of(target)
        if here is None:
            continue
        if there is None:
            wrong.append(f"{module}:{line} imports the front door {target}")
        elif there < here:
            wrong.append(f"{module}:{line} imports up: {target}")
        elif module.startswith("medgraph.heads.") and there == here:
            mine, theirs = module.split(".")[2], [*target.split("."), ""][2]
            if theirs not in {mine, ""}:
                wrong.append(f"{module}:{line} imports across: {target}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    assert faults(path, module_of(path), imports_of(path)) == []


def test_the_rule_can_fail() -> None:
    path = Path("x.py")
    assert faults(path, "medgraph.data.graph", [(1, "medgraph.stores.base")])
    assert faults(path, "medgraph.heads.risk.cnn", [(1, "medgraph.heads.repurposing.predictor")])
    assert faults(path, "medgraph.cli", [(1, "medgraph.loaders.starter")])
    assert faults(path, "medgraph.data.graph", [(1, "medgraph")])
    assert faults(path, "medgraph.loaders.kgx", [(1, "medgraph.embeddings.vgae")])
    assert not faults(path, "medgraph.stores.ladybug", [(1, "medgraph.data.graph")])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_noun(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES, f"{len(lines)} lines: split it"
    assert path.read_text(encoding="utf-8").lstrip().startswith('"""'), "no docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_pickle_and_no_unsafe_load(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name.split(".")[0] for _, name in imports_of(path)}
    assert not names & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            owner = ast.unparse(node.func.value)
            if owner == "torch":
                assert any(k.arg == "weights_only" for k in node.keywords), f"torch.load at line {node.lineno}"


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    modules = [module_of(path) for path in FILES]
    script = (
        "import importlib, logging, pathlib, sys, warnings\n"
        "warnings.simplefilter('error', UserWarning)\n"
        f"[importlib.import_module(m) for m in {modules!r}]\n"
        "print(logging.getLogger('medgraph').handlers, list(pathlib.Path('.').iterdir()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] []\n", "")
