"""Where a graph is kept: one protocol, several engines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from medgraph.errors import StoreError
from medgraph.stores.base import GraphStore

__all__ = ["GraphStore", "open_store"]

_SERVERS = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def open_store(
    url_or_path: str | os.PathLike[str],
    read_only: bool = False,
    credentials: Callable[[], tuple[str, str]] | None = None,
) -> GraphStore:
    """Which store is at this address? A folder is an embedded one, made by its first `write`; an URL is a server.

    Args:
        url_or_path: a folder, such as "graphs/starter", or a Neo4j server as neo4j://host:7687/database; neo4j+s:// is
            the same encrypted, bolt:// one machine of a cluster. Without a database it is the server's own choice.
        read_only: refuse to write, and raise at once where there is no graph.
        credentials: of a server: a function that returns user and password, such as one that asks a keyring. Without
            it they are NEO4J_USERNAME and NEO4J_PASSWORD of the environment.

    Raises:
        StoreUnavailableError: no graph is there to be read, or no server answers or lets us in.
        StoreError: the folder holds something else, or the address has a scheme that no store here answers to.
        FormatVersionError: written by a newer medgraph.
        MissingExtraError: the Neo4j driver is not installed.
    """
    address = os.fspath(url_or_path)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", address)
    if scheme and scheme[1].lower() in _SERVERS:
        from medgraph.stores.neo4j import Neo4jStore

        return Neo4jStore(address, read_only=read_only, credentials=credentials)
    if scheme:
        raise StoreError(f"{address}: no store answers to {scheme[1]}://. Give a folder, such as 'graphs/starter'.")
    if not address:
        raise StoreError("An empty address. Give a folder, such as 'graphs/starter'.")
    from medgraph.stores.ladybug import LadybugStore

    return LadybugStore(Path(address), read_only=read_only)
