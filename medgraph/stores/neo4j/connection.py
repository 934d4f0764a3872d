"""A connection to a Neo4j server: its address, who we are there, what it is, statements that end in bounded time."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from medgraph.errors import MissingExtraError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from neo4j import Driver, Session, Transaction

__all__ = ["SCHEMES", "Address", "Connection", "Credentials", "ServerInfo", "TooLargeError"]

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
OLDEST = (5, 26)  # scoped subqueries, full-text indexes over any analyser, vector indexes
Credentials: TypeAlias = Callable[[], tuple[str, str]]

_RETRY_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_TOO_LARGE = re.compile(r"MemoryPoolOutOfMemory|TransactionOutOfMemory|OutOfMemoryError|StackOverFlowError")
_UNKNOWN = re.compile(r"01N5[012] .*`(.+)` does not exist", re.DOTALL)  # label, relationship type, property key
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{2,62}")
_LACKS = {
    "community": (
        "more than one database",
        "roles: every user may write",
        "backup of a running server (medgraph export writes the graph out)",
    )
}

_log = logging.getLogger(__name__)


class TooLargeError(StoreError):
    """A transaction did not fit into the server's memory; a smaller one may."""


@dataclass(frozen=True)
class Address:
    """Where a server is: `scheme` says whether and how the way there is encrypted, `database` which one of it.

    neo4j, bolt: plain; +s: TLS with a certificate that a known authority signed; +ssc: TLS with any certificate.
    neo4j:// asks the server which members of its cluster to talk to, bolt:// talks to that one.
    """

    scheme: str
    host: str
    port: int
    database: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read neo4j[+s|+ssc]://host[:port][/database], or bolt in place of neo4j. Raises StoreError."""
        try:
            parts = urlsplit(url)
            port = parts.port or 7687
        except ValueError as fault:
            raise StoreError(f"No address of a Neo4j server: {fault}. Example: neo4j://localhost:7687") from None
        if parts.username is not None or parts.password is not None:
            raise StoreError(
                f"The address of {parts.hostname} holds a user or password, and addresses end up in logs. Set "
                "NEO4J_USERNAME and NEO4J_PASSWORD, or give open_store(..., credentials=function)."
            )
        database = parts.path.strip("/") or None
        if not parts.hostname or parts.query or parts.fragment or (database and not _DATABASE.fullmatch(database)):
            raise StoreError(f"{url!r} is no address of a Neo4j server. Example: neo4j://localhost:7687/neo4j")
        return cls(parts.scheme.lower(), parts.hostname, port, database)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (f"/{self.database}" if self.database else "")


@dataclass(frozen=True)
class ServerInfo:
    """What answered: its version, edition, database, and what medgraph's users may miss in this edition."""

    version: str
    edition: str
    database: str
    lacks: tuple[str, ...] = ()


def _from_environment() -> tuple[str, str]:
    return os.environ.get("NEO4J_USERNAME", "neo4j"), os.environ.get("NEO4J_PASSWORD", "")


class Connection:
    """Statements to one database, each in a transaction of its own that is tried again where that may help.

    The user and password are asked for when a connection is made and kept nowhere here.

    Args:
        address: where.
        credentials: a function that returns user and password, such as a keyring's; without it they are read from
            NEO4J_USERNAME ("neo4j" if unset) and NEO4J_PASSWORD (no authentication if unset).
        retry_seconds: how long a statement is tried again while the server is away or busy.

    Raises:
        MissingExtraError: the driver is not installed.
        StoreUnavailableError: nobody answers, or they refuse us.
        StoreError: a version that is too old, or a database that is not there.
    """

    def __init__(
        self, address: Address, credentials: Credentials | None = None, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        try:
            import neo4j
            from neo4j.auth_management import AuthManagers
        except ImportError:
            raise MissingExtraError("neo4j", "neo4j", "open_store('neo4j://...')") from None
        self.address = address
        self.retry_seconds = retry_seconds
        ask = credentials or _from_environment

        def provide() -> Any:
            return neo4j.basic_auth(*pair) if (pair := ask())[1] else None

        self._driver: Driver = neo4j.GraphDatabase.driver(
            str(Address(address.scheme, address.host, address.port)),
            auth=AuthManagers.basic(provide),
            connection_timeout=_CONNECT_SECONDS,
            connection_acquisition_timeout=2 * _CONNECT_SECONDS,
            max_transaction_retry_time=0,
            notifications_min_severity="WARNING",
            notifications_disabled_classifications=[
                "DEPRECATION",
                "GENERIC",
                "HINT",
                "PERFORMANCE",
                "SECURITY",
                "TOPOLOGY",
                "UNSUPPORTED",
            ],
            telemetry_disabled=True,
            user_agent="medgraph",
        )
        self._database = address.database
        try:
            self.server = self._met()
        except BaseException:
            self.close()
            raise
        self._database = self.server.database
        _log.info("%s: Neo4j %s %s", address, self.server.version, self.server.edition)
        for missing in self.server.lacks:
            _log.info("%s: Neo4j %s lacks %s", address, self.server.edition, missing)

    def _met(self) -> ServerInfo:
        """Who is there? Asked once, without patience."""
        patience, self.retry_seconds = self.retry_seconds, 0.0
        try:
            rows = self.read("CALL dbms.components() YIELD name, versions, edition RETURN name, versions[0], edition")
            _, version, edition = next(row for row in rows if row[0] == "Neo4j Kernel")
            if not _at_least(version):
                raise StoreError(f"{self.address} is Neo4j {version}; medgraph needs {OLDEST[0]}.{OLDEST[1]} or later.")
            database = self.read("CALL db.info() YIELD name RETURN name")[0][0]
        finally:
            self.retry_seconds = patience
        return ServerInfo(str(version), str(edition), str(database), _LACKS.get(str(edition), ()))

    def read(self, cypher: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement that only reads; the server refuses any other. Raises StoreError."""
        return self.table(cypher, parameters)[1]

    def table(
        self, cypher: str, parameters: Mapping[str, Any], access: str = "READ"
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The column names and rows of one statement; with `access` READ it cannot write. Raises StoreError."""

        names, rows, _ = self.asked(cypher, parameters, access)
        return names, rows

    def asked(
        self, cypher: str, parameters: Mapping[str, Any], access: str = "READ"
    ) -> tuple[list[str], list[tuple[Any, ...]], list[str]]:
        """As `table`, and the labels, relations and properties in the statement that the database has never seen."""

        def work(transaction: Transaction) -> tuple[list[str], list[tuple[Any, ...]], list[str]]:
            result = transaction.run(cypher, dict(parameters))
            names, rows = list(result.keys()), [tuple(record.values()) for record in result]
            told = result.consume().gql_status_objects
            unknown = [
                found[1] for one in told if (found := _UNKNOWN.search(f"{one.gql_status} {one.status_description}"))
            ]
            return names, rows, unknown

        found: tuple[list[str], list[tuple[Any, ...]], list[str]] = self._patiently(work, access, cypher)
        return found

    def write(self, cypher: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement that may write. It may run twice: make it safe to repeat. Raises StoreError."""
        return self.write_all([(cypher, parameters)])[-1]

    def write_all(self, statements: list[tuple[str, Mapping[str, Any]]]) -> list[list[tuple[Any, ...]]]:
        """The rows of each of several statements, in one transaction: all take effect, or none. Raises StoreError."""

        def work(transaction: Transaction) -> list[list[tuple[Any, ...]]]:
            return [
                [tuple(record.values()) for record in transaction.run(cypher, dict(parameters))]
                for cypher, parameters in statements
            ]

        found: list[list[tuple[Any, ...]]] = self._patiently(work, "WRITE", statements[0][0])
        return found

    def _session(self, access: str) -> Session:
        return self._driver.session(database=self._database, default_access_mode=access, fetch_size=-1)

    def _patiently(self, work: Callable[[Transaction], Any], access: str, cypher: str) -> Any:
        from neo4j.exceptions import DriverError, Neo4jError

        until, pause = time.monotonic() + self.retry_seconds, 0.1
        while True:
            session = self._session(access)
            try:
                with session.begin_transaction() as transaction:
                    found = work(transaction)
                    transaction.commit()
                return found
            except (Neo4jError, DriverError, OSError, TypeError, ValueError, OverflowError) as fault:
                explained = self._explained(fault, cypher)
                again = (
                    fault.is_retryable() if isinstance(fault, Neo4jError | DriverError) else isinstance(fault, OSError)
                )
                if isinstance(explained, TooLargeError) or not again or time.monotonic() + pause > until:
                    raise explained from None
            finally:
                _close(session)
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _explained(self, fault: Exception, cypher: str) -> StoreError:
        """One clear error for what the driver or the server says; its own words hold no password."""
        from neo4j.exceptions import AuthError, ClientError, ConfigurationError, DriverError, Neo4jError

        code = getattr(fault, "code", "") or ""
        said = ((getattr(fault, "message", "") or str(fault)).splitlines() or [""])[0]
        if isinstance(fault, AuthError) or "Security" in code:
            return StoreUnavailableError(
                f"{self.address} refuses the user or password ({code.rpartition('.')[2] or 'no answer'}). They come "
                "from NEO4J_USERNAME and NEO4J_PASSWORD, or from open_store(..., credentials=function)."
            )
        if _TOO_LARGE.search(code) or _TOO_LARGE.search(said):
            return TooLargeError(
                f"{self.address} has too little memory for one transaction: {said} "
                "Its limits are db.memory.transaction.max and the heap."
            )
        if "DatabaseNotFound" in code:
            return StoreError(
                f"{self.address} has no such database. Community Edition has one, 'neo4j': leave the name out."
            )
        if "TransactionTimedOut" in code or "LockAcquisitionTimeout" in code:
            return StoreUnavailableError(f"{self.address}: {said}")
        if isinstance(fault, Neo4jError):
            missing = "AccessMode" in code or "access mode" in said
            hint = " To change the graph: store.write(graph), or store.execute(...)." if missing else ""
            kind = StoreError if isinstance(fault, ClientError) else StoreUnavailableError
            return kind(f"{self.address}: {said}{hint} In: {_short(cypher)}")
        if isinstance(fault, ConfigurationError | TypeError | ValueError | OverflowError):
            return StoreError(f"{self.address}: {said} In: {_short(cypher)}")
        if isinstance(fault, DriverError | OSError):
            return StoreUnavailableError(
                f"{self.address} does not answer: {said} Is the server running? `medgraph neo4j status` tells of one "
                "that `medgraph neo4j up` started."
            )
        return StoreError(f"{self.address}: {said}")

    def close(self) -> None:
        """Let go of all connections."""
        _close(self._driver)


def _close(opened: Session | Driver) -> None:
    """Close what may have lost its other end."""
    from neo4j.exceptions import DriverError, Neo4jError

    with suppress(DriverError, Neo4jError, OSError):
        opened.close()


def _at_least(version: str) -> bool:
    """Is this version new enough? Calendar versions (2025.01.0) come after 5.26."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return numbers >= OLDEST


def _short(cypher: str, most: int = 500) -> str:
    return cypher if len(cypher) <= most else f"{cypher[:most]}..."
