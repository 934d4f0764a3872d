"""Which store is at an address?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores import open_store


@pytest.mark.parametrize("address", ["neo4j://localhost:7687", "bolt://localhost", "neo4j+s://db.example.org"])
def test_servers_are_named_as_not_there_yet(address: str) -> None:
    with pytest.raises(StoreError, match="Neo4j server, and this version of medgraph has no server store yet"):
        open_store(address)


@pytest.mark.parametrize("address", ["http://localhost", "file:///graph", "s3://bucket/graph"])
def test_unknown_schemes(address: str) -> None:
    with pytest.raises(StoreError, match="no store answers to"):
        open_store(address)


def test_no_address() -> None:
    with pytest.raises(StoreError, match="empty"):
        open_store("")


def test_opening_makes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "a" / "b") as store, pytest.raises(StoreUnavailableError, match="does not exist"):
        store.read()
    assert not list(tmp_path.iterdir())


def test_the_engine_is_imported_only_when_a_store_is_opened() -> None:
    code = "import sys, medgraph.stores; assert 'ladybug' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
