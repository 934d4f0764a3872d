"""A process that outlives us, known by its number and the moment it began, so that a reused number is never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medgraph.artefact import atomic_file
from medgraph.errors import StoreError

__all__ = ["Process"]

_LAUNCH = '"$@" >>"$0" 2>&1 </dev/null & echo $!'  # the shell ends at once: nobody has to wait for the child
_POLL = 0.05


@dataclass(frozen=True)
class Process:
    """One process of this machine, while it lives.

    Args:
        pid: its number, which the system gives to another process after its end.
        began: when it began, as the system says it; with the number it names one process for ever.
    """

    pid: int
    began: str

    @classmethod
    def launch(cls, command: Sequence[str | Path], console: Path, env: Mapping[str, str]) -> Process:
        """Start a command in a session of its own; what it prints is added to the file `console`."""
        done = subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", _LAUNCH, str(console), *map(str, command)],
            capture_output=True,
            text=True,
            check=True,
            env=dict(env),
            start_new_session=True,
        )
        pid = int(done.stdout)
        return cls(pid, _began(pid) or "never seen alive")

    @property
    def alive(self) -> bool:
        """Does it run still, it and no other of the same number?"""
        return _began(self.pid) == self.began

    def end(self, patience: float) -> bool:
        """Ask it to end and wait; after `patience` seconds kill it. Did it end by itself?"""
        self._send(signal.SIGTERM)
        if self._gone(patience):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """Kill it where it stands, and wait until it is gone."""
        self._send(signal.SIGKILL)
        if not self._gone(30):
            raise StoreError(f"Process {self.pid} was killed, but the system still has it after 30 seconds.")

    def _send(self, what: signal.Signals) -> None:
        if self.alive:
            try:
                os.kill(self.pid, what)
            except ProcessLookupError:  # it ended just now
                return
            except PermissionError:
                raise StoreError(f"Process {self.pid} belongs to another user, who must stop it.") from None

    def _gone(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    # Kept in a file ---------------------------------------------------------------------------------------------------

    def write(self, file: Path, **more: Any) -> None:
        """Keep it, and what else is to be known of it, in a file."""
        with atomic_file(file) as part:
            part.write_text(json.dumps({**asdict(self), **more}), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> tuple[Process, dict[str, Any]] | None:
        """The process kept in a file, alive or not, and what else is known of it; None where there is no such file.

        Raises:
            StoreError: the file was damaged.
        """
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            return cls(int(kept.pop("pid")), str(kept.pop("began"))), kept
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise StoreError(f"{file} cannot be read ({fault}); delete it if no server runs there.") from None


def _began(pid: int) -> str | None:
    """When the live process of this number began; None where there is none, or only what is left of one."""
    return _began_linux(pid) if Path("/proc/self/stat").exists() else _began_elsewhere(pid)


def _began_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    threads = int(fields[16])  # the first may be dead while others hold files and ports for a moment
    return None if state in {"Z", "X"} and threads <= 1 else f"{fields[18]} ticks after {boot}"


def _began_elsewhere(pid: int) -> str | None:
    done = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    state, _, began = done.stdout.strip().partition(" ")
    return None if state.startswith("Z") else began.strip() or None
