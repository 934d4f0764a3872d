"""Which store is at an address?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores import open_store

SECRETS = ["hunter2", "hun", "ter2", "31337"]


@pytest.mark.parametrize(
    "address",
    [
        "neo4j://neo4j:hunter2@localhost:7687",
        "neo4j://neo4j:hun/ter2@localhost",  # a slash ends the host, so what stands before it looks like a port
        "bolt+s://neo4j:31337/hunter2@localhost",
        "neo4j://localhost:hunter2",
        "neo4j://localhost?password=hunter2",
        "neo4j://localhost/hunter2/neo4j#hunter2",
        "neo4j://[hunter2",
        "neo4j://",
    ],
)
def test_an_address_of_a_server_is_not_repeated_since_a_password_may_stand_in_it(address: str) -> None:
    with pytest.raises(StoreError, match=r"NEO4J_PASSWORD|scheme://host") as caught:
        open_store(address)
    error: BaseException | None = caught.value
    while error is not None:
        assert not [secret for secret in SECRETS if secret in str(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


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
