"""The front door: few names, sorted, lazy, documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import medgraph as mg

ROOT = Path(__file__).resolve().parents[1]


def test_names_are_few_and_each_is_there_once() -> None:  # ruff keeps them sorted
    assert len(mg.__all__) <= 75  # three families of heads live behind this door, each with its baselines
    assert sorted(mg.__all__) == sorted(mg._HOME)


@pytest.mark.parametrize("name", mg.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    thing = getattr(mg, name)
    if not isinstance(thing, str):
        assert inspect.getdoc(thing), f"medgraph.{name} has no docstring"
        assert thing.__module__.startswith("medgraph.")


def test_static_and_lazy_names_agree() -> None:
    tree = ast.parse((ROOT / "medgraph" / "__init__.py").read_text(encoding="utf-8"))
    static = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medgraph."):
            static |= {alias.asname or alias.name: node.module for alias in node.names}
    assert static == mg._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mg.nothing


def test_dir_lists_the_names() -> None:
    assert set(mg.__all__) <= set(dir(mg))


def test_import_is_light() -> None:
    heavy = ["torch", "rdkit", "gensim", "pyarrow", "pandas", "sklearn", "scipy", "networkx", "matplotlib", "ladybug"]
    script = f"import sys, medgraph; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
