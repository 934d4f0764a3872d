"""A store on the shared server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from medgraph.stores.neo4j import Neo4jStore


@pytest.fixture
def url(neo4j_url: str) -> str:
    """A server that holds the graph OLD and nothing else."""
    from people import OLD

    from medgraph.stores.neo4j import Neo4jStore

    with Neo4jStore(neo4j_url) as store:
        store.execute("MATCH (n) DETACH DELETE n")
        store.write(OLD)
    return neo4j_url


@pytest.fixture
def store(url: str) -> Iterator[Neo4jStore]:
    from medgraph.stores.neo4j import Neo4jStore

    with Neo4jStore(url) as opened:
        yield opened
