"""Who writes to a server's graph: one at a time, by a lease that ends when its holder dies or falls silent."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medgraph.errors import StoreError, StoreUnavailableError
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import BOOKKEEPING

__all__ = ["SILENCE", "Lease", "TakenOverError"]

SILENCE = 30  # seconds without a sign of life, after which another writer may take over

# The first SET locks the node: only then is what it says read, so that two who come at once come one after the other.
_LOCK = f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) SET w.seen = timestamp() WITH w WHERE w.token = $token "
_HELD: set[str] = set()  # tokens of this process that are in use: what else bears its number was left behind


class TakenOverError(StoreUnavailableError):
    """Another writer has the lease now."""


class Lease:
    """The right to write, held while `holding` is open, and the count of what was done under it.

    A batch is done with its number in one transaction, so that one sent again because its answer was lost is not done
    again, and none is done by a writer whose lease was taken.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._token = secrets.token_hex(8)
        self._number = 0

    @contextmanager
    def holding(self) -> Iterator[Lease]:
        """Take the lease and give it back. Raises StoreUnavailableError if another holds it."""
        _HELD.add(self._token)
        try:
            self._take()
            try:
                yield self
            except BaseException:
                self._give_back(retry_seconds=0)  # what went wrong has been tried long enough
                raise
            self._give_back()
        finally:
            _HELD.discard(self._token)

    def _take(self) -> None:
        run = self._connection.write
        run(f"CREATE CONSTRAINT medgraph_bookkeeping IF NOT EXISTS FOR (n:{BOOKKEEPING}) REQUIRE n.name IS UNIQUE")
        token, holder, beat, now = run(
            f"MERGE (w:{BOOKKEEPING} {{name: 'writer'}}) SET w.seen = timestamp() WITH w "
            "WITH w, w.token AS token, timestamp() - w.beat AS silence "
            "FOREACH (_ IN CASE WHEN token IS NULL OR token IN [$token, $dead] OR silence > $most "
            "THEN [1] ELSE [] END | SET w.token = $token, w.holder = $holder, w.done = 0, w.beat = timestamp()) "
            "RETURN w.token, w.holder, w.beat, timestamp()",
            token=self._token,
            holder=json.dumps({"process": os.getpid(), "host": socket.gethostname(), "machine": _machine()}),
            most=1000 * SILENCE,
            dead=self._dead(),
        )[0]
        if token != self._token:
            other = json.loads(holder)
            raise StoreUnavailableError(
                f"{self._connection.address} is being written by process {other['process']} on {other['host']}, last "
                f"heard of {max(now - beat, 0) / 1000:.0f} s ago; try again when it is done. If it died, its claim "
                f"ends after {SILENCE} s of silence."
            )

    def _dead(self) -> str:
        """The token of one who holds the lease and is no more, as far as this machine can tell; else none."""
        found = self._connection.read(f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) RETURN w.token, w.holder")
        if not found or not found[0][1]:
            return ""
        token, holder = str(found[0][0]), json.loads(found[0][1])
        if holder.get("machine") != _machine() or os.name != "posix":
            return ""
        if holder["process"] == os.getpid():
            return "" if token in _HELD else token
        try:
            os.kill(holder["process"], 0)
        except ProcessLookupError:
            return token
        except PermissionError:
            pass
        return ""

    def _give_back(self, retry_seconds: float | None = None) -> None:
        with suppress(StoreError):  # the server is away: the lease runs out
            self._connection.write_all(
                [(f"{_LOCK} REMOVE w.token, w.holder", {"token": self._token})], retry_seconds=retry_seconds
            )

    def beat(self) -> None:
        """Say that this writer is alive, where its work is done by the server."""
        self.held("RETURN 1")

    def held(self, cypher: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that may be repeated, run only while the lease is held."""
        return self._connection.write(
            f"{_LOCK} SET w.beat = timestamp() WITH w {cypher}", token=self._token, **parameters
        )

    def once(self, cypher: str, /, **parameters: Any) -> int | None:
        """The number that a statement returns, run under the lease, once; None if an earlier try had done it."""
        number = self._number + 1
        fence = f"{_LOCK} AND w.done = $number - 1 SET w.done = $number, w.beat = timestamp() WITH w "
        found = self._connection.write(fence + cypher, token=self._token, number=number, **parameters)[0][0]
        if not found:
            self._done(number)
        self._number = number
        return found or None

    def together(self, statements: list[tuple[str, dict[str, Any]]]) -> None:
        """Several statements in one transaction, run under the lease, once."""
        number = self._number + 1
        held = f"MATCH (w:{BOOKKEEPING} {{name: 'writer', token: $token, done: $number - 1}}) WITH w "
        fenced: list[tuple[str, dict[str, Any]]] = [(f"{_LOCK} SET w.beat = timestamp()", {})]
        fenced += [(held + cypher, parameters) for cypher, parameters in statements]
        fenced += [(f"{held} SET w.done = $number RETURN w.done", {})]  # last: what stands before it is done no more
        mine = {"token": self._token, "number": number}
        if not self._connection.write_all([(cypher, {**parameters, **mine}) for cypher, parameters in fenced])[-1]:
            self._done(number)
        self._number = number

    def check(self) -> None:
        """Raises TakenOverError unless the lease is held still."""
        self._done(self._number)

    def _done(self, number: int) -> None:
        """Is `number` what was done last, by us?"""
        found = self._connection.read(f"MATCH (w:{BOOKKEEPING} {{name: 'writer'}}) RETURN w.token, w.done")
        if not found or found[0] != (self._token, number):
            raise TakenOverError(
                f"{self._connection.address}: another writer took over, after {SILENCE} s without a sign of life from "
                "this one. Nothing of what this one was writing was put in place; write again."
            )


def _machine() -> str:
    """Where the number of a process means one process: this machine since its start, or this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return socket.gethostname()
