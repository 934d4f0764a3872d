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

from medgraph.errors import MissingExtraError, StoreError
from medgraph.stores.neo4j.address import Address
from medgraph.stores.neo4j.failures import TooLargeError, explained, is_refusal, may_pass

if TYPE_CHECKING:
    from neo4j import Driver, Session, Transaction

__all__ = ["Connection", "Credentials", "ServerInfo"]


OLDEST = (5, 26)  # scoped subqueries, full-text indexes over any analyser, vector indexes
Credentials: TypeAlias = Callable[[], tuple[str, str]]

_RETRY_SECONDS = 15.0
_CONNECT_SECONDS = 5.0


_UNKNOWN = re.compile(r"01N5[012] .*`(.+)` does not exist", re.DOTALL)  # label, relationship type, property key

_LACKS = {
    "community": (
        "more than one database",
        "roles: every user may write",
        "backup of a running server (medgraph export writes the graph out)",
    )
}

_log = logging.getLogger(__name__)


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
        _hush()
        self.address = address
        self.retry_seconds = retry_seconds
        self._nameless = False
        ask = credentials or _from_environment

        def provide() -> Any:
            user, password = _asked(ask)
            self._nameless = not password
            return neo4j.basic_auth(user, password) if password else None

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

        found: tuple[list[str], list[tuple[Any, ...]], list[str]] = self._patiently(
            work, access, cypher, repeatable=access == "READ"
        )
        return found

    def write(self, cypher: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement that may write. It may run twice: make it safe to repeat. Raises StoreError."""
        return self.write_all([(cypher, parameters)])[-1]

    def write_all(
        self, statements: list[tuple[str, Mapping[str, Any]]], retry_seconds: float | None = None
    ) -> list[list[tuple[Any, ...]]]:
        """The rows of each of several statements, in one transaction: all take effect, or none. Raises StoreError.

        They may run twice, as those of `write`.
        """

        def work(transaction: Transaction) -> list[list[tuple[Any, ...]]]:
            return [
                [tuple(record.values()) for record in transaction.run(cypher, dict(parameters))]
                for cypher, parameters in statements
            ]

        found: list[list[tuple[Any, ...]]] = self._patiently(
            work, "WRITE", statements[0][0], retry_seconds=retry_seconds
        )
        return found

    def _session(self, access: str) -> Session:
        return self._driver.session(database=self._database, default_access_mode=access, fetch_size=-1)

    def _patiently(
        self,
        work: Callable[[Transaction], Any],
        access: str,
        cypher: str,
        repeatable: bool = True,
        retry_seconds: float | None = None,
    ) -> Any:
        """Do `work` in a transaction; again, while that may help, and where it may be done twice or was not done."""
        until = time.monotonic() + (self.retry_seconds if retry_seconds is None else retry_seconds)
        pause, refused = 0.1, False
        while True:
            done, found = self._attempt(work, access)
            if done:
                return found
            told = explained(found, self.address, cypher, repeatable, self._nameless)
            again = may_pass(found, repeatable) and not (refused and is_refusal(found))
            refused = refused or is_refusal(found)
            if isinstance(told, TooLargeError) or not again or time.monotonic() + pause > until:
                # Not raised where the driver's error is caught: its frames, with the rows in them, would come along.
                raise told
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _attempt(self, work: Callable[[Transaction], Any], access: str) -> tuple[bool, Any]:
        """True and what `work` found, or False and the error."""
        from neo4j.exceptions import DriverError, Neo4jError

        session = self._session(access)
        try:
            with session.begin_transaction() as transaction:
                found = work(transaction)
                transaction.commit()
            return True, found
        except (Neo4jError, DriverError, OSError, TypeError, ValueError, OverflowError) as fault:
            return False, fault
        finally:
            _close(session)

    def close(self) -> None:
        """Let go of all connections."""
        _close(self._driver)


def _close(opened: Session | Driver) -> None:
    """Close what may have lost its other end."""
    from neo4j.exceptions import DriverError, Neo4jError

    with suppress(DriverError, Neo4jError, OSError):
        opened.close()


def _asked(credentials: Credentials) -> tuple[str, str]:
    """What the function says; of its own errors only the kind, since their words may hold what it keeps."""
    try:
        pair = credentials()
        if len(pair) == 2 and all(isinstance(part, str) for part in pair):
            return pair
        kind = "something else"
    except Exception as fault:
        kind = type(fault).__name__
    pair = ("", "")  # what a traceback would show
    raise StoreError(f"The function for credentials gave no user and password, two strings, but {kind}.")


def _hush() -> None:
    """What the driver logs goes where the user sends it, and to the screen only if they ask: errors are raised."""
    logger = logging.getLogger("neo4j")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _at_least(version: str) -> bool:
    """Is this version new enough? Calendar versions (2025.01.0) come after 5.26."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return numbers >= OLDEST
