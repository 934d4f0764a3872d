"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets that stands beside the project; skipped where it is absent, except in CI."""
    folder = Path(os.environ.get("MEDGRAPH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "INDEX.md").exists():
        reason = f"no shared data at {folder}; set MEDGRAPH_SHARED_DATA"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
