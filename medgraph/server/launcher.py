"""Neo4j's own classes on a Java, for one home: the server, and the administration tool."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medgraph.errors import StoreError
from medgraph.server.java import Java
from medgraph.server.process import Process

__all__ = ["Launcher", "told_lines"]

_OPENED = ("java.nio", "java.io", "java.lang", "sun.nio.ch")


@dataclass(frozen=True)
class Launcher:
    """What runs Neo4j's classes.

    Args:
        java: the Java to run them.
        jars: where they are.
        home: the server's folder.
        heap: memory for Java's objects.
        options: more for Java.
    """

    java: Java
    jars: Sequence[Path]
    home: Path
    heap: str
    options: Sequence[str] = ()

    @contextmanager
    def server(self, entry: str, console: Path) -> Iterator[Process]:
        """The server, just launched; leave when it is up."""
        arguments = [entry, f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}"]
        with self._arguments(arguments) as file:
            yield Process.launch([self.java.path, f"@{file}"], console, self._environment())

    def admin(self, arguments: Sequence[str], timeout: float | None = None) -> str:
        """What the administration tool prints.

        Raises:
            StoreError: it refused or failed, or did not end in time; what it printed is told.
        """
        with self._arguments(["org.neo4j.cli.AdminTool", *arguments]) as file:
            try:
                done = subprocess.run(  # noqa: S603
                    [self.java.path, f"@{file}"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="replace",
                    check=False,
                    timeout=timeout,
                    env=self._environment(),
                    cwd=self.home,
                )
            except subprocess.TimeoutExpired:
                raise StoreError(f"neo4j-admin {arguments[0]} had not ended after {timeout:g} seconds.") from None
        if done.returncode:
            raise StoreError(f"neo4j-admin {' '.join(arguments[:2])} failed: {told_lines(done.stdout)}")
        return done.stdout

    def _options(self) -> list[str]:
        """What Java is told before the class to run."""
        options = [
            f"-Xmx{self.heap}",
            "-XX:+UseG1GC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Dfile.encoding=UTF-8",
            "-Dio.netty.tryReflectionSetAccessible=true",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
            "--enable-native-access=ALL-UNNAMED",
        ]
        if self.java.vector:
            options.append("--add-modules=jdk.incubator.vector")
        return [
            *options,
            *self.options,
            "-cp",
            os.pathsep.join([str(self.home / "plugins" / "*"), *map(str, self.jars)]),
        ]

    def _environment(self) -> dict[str, str]:
        """Ours without the password, which no process has to carry."""
        kept = {name: value for name, value in os.environ.items() if name != "NEO4J_PASSWORD"}
        return {**kept, "NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}

    @contextmanager
    def _arguments(self, arguments: Sequence[str]) -> Iterator[Path]:
        """A file for `java @file`: arguments of any length that stand in no list of processes. Gone on leaving."""
        handle, name = tempfile.mkstemp(prefix=".arguments-", dir=self.home)  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                for argument in (*self._options(), *arguments):
                    quoted = argument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                    file.write(f'"{quoted}"\n')
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def told_lines(text: str, n: int = 10) -> str:
    """The two first and `n` last lines that a program printed, as one, without the frames of stack traces."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("at ", "WARNING: "))]
    if len(lines) > n + 2:
        lines = [*lines[:2], "...", *lines[-n:]]
    return " | ".join(lines) or "it printed nothing"
