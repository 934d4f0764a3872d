"""What can go wrong, as one tree.

MedgraphError
├── SchemaError (ValueError)             data that do not fit the declared types, or a bad parameter
├── UnknownIdentifierError (KeyError)    an id that is not there; the nearest known ids are named
├── StoreError                           a graph store refused or failed
│   └── StoreUnavailableError            no store there, locked by another process, or the server is down
├── LoaderError                          a source could not be read
│   ├── ChecksumError                    the bytes are not the ones expected
│   └── MalformedInputError              a file whose content breaks its format; names file and row
├── ArtefactError                        a saved thing is incomplete, altered or of another kind
│   └── FormatVersionError               written by a newer medgraph
├── NotFittedError                       predict before fit
└── MissingExtraError (ImportError)      an optional dependency is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ArtefactError",
    "ChecksumError",
    "FormatVersionError",
    "LoaderError",
    "MalformedInputError",
    "MedgraphError",
    "MissingExtraError",
    "NotFittedError",
    "SchemaError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownIdentifierError",
    "nearest",
]


class MedgraphError(Exception):
    """Anything medgraph refuses: what came, what was expected, where, and what to do."""

    def __str__(self) -> str:
        return " ".join(str(part) for part in self.args)  # KeyError would quote its message


class SchemaError(MedgraphError, ValueError):
    """Data do not fit the declared node and edge types, or a parameter is out of range."""


class UnknownIdentifierError(MedgraphError, KeyError):
    """An id that is not there."""


class StoreError(MedgraphError):
    """A graph store refused or failed."""


class StoreUnavailableError(StoreError):
    """No store there, or it is locked by another process."""


class LoaderError(MedgraphError):
    """A source could not be read."""


class ChecksumError(LoaderError):
    """The bytes are not the ones expected."""


class MalformedInputError(LoaderError):
    """A file breaks its format.

    Args:
        problem: what came and what was expected.
        file: where.
        row: 1-based line of the file (the header is line 1), if known.
        column: column name, if known.
    """

    def __init__(
        self, problem: str, file: str | Path | None = None, row: int | None = None, column: str | None = None
    ) -> None:
        self.problem, self.row, self.column = problem, row, column
        self.file = None if file is None else str(file)
        where = [
            text
            for text, given in (
                (str(file), file is not None),
                (f"line {row}", row is not None),
                (f"column {column!r}", column is not None),
            )
            if given
        ]
        super().__init__(f"{', '.join(where)}: {problem}" if where else problem)


class ArtefactError(MedgraphError):
    """A saved thing is incomplete, altered or of another kind."""


class FormatVersionError(ArtefactError):
    """Written by a newer medgraph than this one."""


class NotFittedError(MedgraphError):
    """Asked for an answer before `fit`."""


class MissingExtraError(MedgraphError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed. Run: pip install 'medgraph[{extra}]'")


def nearest(wanted: str, known: Iterable[str], n: int = 3) -> str:
    """Which known names look most like `wanted`? A phrase for the end of an error message."""
    pool: dict[str, str] = {}
    for name in known:
        pool.setdefault(name.lower(), name)  # a slip of case is the nearest of all
    wanted = wanted.lower()
    if len(pool) > 20_000:  # difflib is quadratic: keep to ids that share a prefix
        start = wanted[: max(4, len(wanted) - 2)]
        pool = dict([item for item in pool.items() if item[0].startswith(start)][:20_000])
    close = [pool[name] for name in difflib.get_close_matches(wanted, pool, n=n, cutoff=0.6)]
    return f" Nearest: {', '.join(close)}." if close else ""
