"""Where a graph is kept: one protocol, several engines."""

from __future__ import annotations

import os
import re
from pathlib import Path

from medgraph.errors import StoreError
from medgraph.stores.base import GraphStore

__all__ = ["GraphStore", "open_store"]

_SERVERS = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def open_store(url_or_path: str | os.PathLike[str], read_only: bool = False) -> GraphStore:
    """Which store is at this address? A folder is an embedded one, made by its first `write`.

    Args:
        url_or_path: a folder, such as "graphs/starter".
        read_only: refuse to write, and raise at once where there is no graph.

    Raises:
        StoreUnavailableError: no graph is there to be read.
        StoreError: the folder holds something else, or the address has a scheme that no store here answers to.
        FormatVersionError: written by a newer medgraph.
    """
    address = os.fspath(url_or_path)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", address)
    if scheme and scheme[1].lower() in _SERVERS:
        raise StoreError(
            f"{address} is a Neo4j server, and this version of medgraph has no server store yet: "
            "give a folder, such as 'graphs/starter', for an embedded one."
        )
    if scheme:
        raise StoreError(f"{address}: no store answers to {scheme[1]}://. Give a folder, such as 'graphs/starter'.")
    if not address:
        raise StoreError("An empty address. Give a folder, such as 'graphs/starter'.")
    from medgraph.stores.ladybug import LadybugStore

    return LadybugStore(Path(address), read_only=read_only)
