"""What goes wrong at a Neo4j server, said once and clearly; and whether trying again may help."""

from __future__ import annotations

import re

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores.neo4j.address import Address

__all__ = ["TooLargeError", "explained", "is_refusal", "may_pass"]

_TOO_LARGE = re.compile(r"MemoryPoolOutOfMemory|TransactionOutOfMemory|OutOfMemoryError|StackOverFlowError")
_BROKEN = re.compile(
    r"critical error|panic|[Nn]o space left|File too large|TransactionLogError|TransactionCommitFailed"
)


class TooLargeError(StoreError):
    """A transaction did not fit into the server's memory; a smaller one may."""


def explained(
    fault: Exception, address: Address, cypher: str, repeatable: bool = True, nameless: bool = False
) -> StoreError:
    """One clear error for what the driver or the server says; its own words hold no password."""
    from neo4j.exceptions import ClientError, ConfigurationError, DriverError, IncompleteCommit, Neo4jError

    code = getattr(fault, "code", "") or ""
    said = _short(((getattr(fault, "message", "") or str(fault)).splitlines() or [""])[0].rstrip(" .:"))
    if is_refusal(fault) or "Security" in code:
        return StoreUnavailableError(f"{address} {_refusal(code, nameless)}")
    if _TOO_LARGE.search(code) or _TOO_LARGE.search(said):
        return TooLargeError(
            f"{address} has too little memory for one transaction: {said}. "
            "Its limits are db.memory.transaction.max, dbms.memory.transaction.total.max and the heap."
        )
    if "DatabaseNotFound" in code:
        return StoreError(f"{address} has no such database. Community Edition has one, 'neo4j': leave the name out.")
    if "TransactionTimedOut" in code or "LockAcquisitionTimeout" in code:
        return StoreUnavailableError(f"{address}: {said}.")
    if isinstance(fault, Neo4jError):
        missing = "AccessMode" in code or "access mode" in said
        hint = " To change the graph: store.write(graph), or store.execute(...)." if missing else ""
        if _BROKEN.search(said) or _BROKEN.search(code):
            hint = " Its disk may be full: its logs tell. When there is room, start it again."
        ours = isinstance(fault, ClientError) or "too large to index" in said
        return (StoreError if ours else StoreUnavailableError)(f"{address}: {said}.{hint} In: {_short(cypher)}")
    if isinstance(fault, ConfigurationError | TypeError | ValueError | OverflowError):
        return StoreError(f"{address}: {said}. In: {_short(cypher)}")
    if isinstance(fault, IncompleteCommit) and not repeatable:
        return StoreUnavailableError(
            f"{address} went away before it could say whether this was done; look before doing it again. "
            f"In: {_short(cypher)}"
        )
    if isinstance(fault, DriverError | OSError):
        encrypted = " If it has no TLS, the address begins with neo4j:// or bolt://." if address.encrypted else ""
        return StoreUnavailableError(
            f"{address} does not answer: {said}. Is the server running?{encrypted} `medgraph neo4j status` "
            "tells of one that `medgraph neo4j up` started."
        )
    return StoreError(f"{address}: {said}.")


def _refusal(code: str, nameless: bool) -> str:
    where = "NEO4J_USERNAME and NEO4J_PASSWORD, or open_store(..., credentials=function)"
    if "RateLimit" in code:
        return f"refused the user and password too often: wait some seconds, and look at {where}."
    if nameless:
        return f"wants a user and password, and none were given: set {where}."
    return f"refuses the user or password ({code.rpartition('.')[2] or 'no answer'}). They come from {where}."


def is_refusal(fault: Exception) -> bool:
    """Were we not let in?"""
    from neo4j.exceptions import AuthError

    return isinstance(fault, AuthError)


def may_pass(fault: Exception, repeatable: bool) -> bool:
    """May the same work do next time? After a commit without an answer it may have been done: only if repeatable."""
    from neo4j.exceptions import DriverError, IncompleteCommit, Neo4jError

    if isinstance(fault, IncompleteCommit):
        return repeatable
    return fault.is_retryable() if isinstance(fault, Neo4jError | DriverError) else isinstance(fault, OSError)


def _short(cypher: str, most: int = 500) -> str:
    return cypher if len(cypher) <= most else f"{cypher[:most]}..."
