"""A graph as a folder: a manifest that names one snapshot, and snapshots that are written whole and never changed.

    graph/  manifest.json    lock    graph-000001/  nodes/<NodeType>.parquet  edges/<Source>-<relation>-<Target>.parquet

A writer makes a new snapshot beside the old one, makes it durable, and swaps the manifest by one rename: whenever it is
killed, the manifest names a whole graph. Readers hold a shared lock on the snapshot they opened; a snapshot that nobody
names or holds is removed by the next writer. The locks are the operating system's: they end with their process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from medgraph.artefact import atomic_file
from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType, NodeType, Schema
from medgraph.errors import FormatVersionError, SchemaError, StoreError, StoreUnavailableError

__all__ = ["FORMAT_VERSION", "Snapshot", "current", "new_snapshot", "read_graph", "table_file", "write_graph"]

FORMAT = "medgraph graph"
FORMAT_VERSION = 1
_MANIFEST = "manifest.json"
_PREFIX = "graph-"


def _lock(file: IO[Any], exclusive: bool) -> bool:
    """Take the operating system's lock on an open file; False if another holds it."""
    if sys.platform == "win32":
        import msvcrt

        if not exclusive:  # an open file cannot be deleted there, which is all a reader needs
            return True
        file.seek(1 << 30)  # a byte that nobody reads: locks are mandatory there
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as fault:
        raise StoreError(f"{file.name} cannot be locked ({fault.strerror}): keep the store on a local disk.") from None
    return True


@dataclass(frozen=True)
class Snapshot:
    """One whole graph on disk, held against removal until `close`."""

    path: Path
    manifest: Mapping[str, Any]
    schema: Schema
    _held: IO[Any] = field(repr=False)

    def close(self) -> None:
        """Let go; a writer may then remove the snapshot once it is superseded."""
        self._held.close()

    def again(self) -> Snapshot:
        """The same snapshot, held a second time and let go on its own."""
        held = (self.path / "lock").open("rb")
        _lock(held, exclusive=False)  # shared with the hold that there is, so it cannot fail
        return replace(self, _held=held)


def _file_of(kind: NodeType | EdgeType) -> str:
    return f"edges/{kind}.parquet" if isinstance(kind, EdgeType) else f"nodes/{kind}.parquet"


def _edge_type(entry: Mapping[str, Any]) -> EdgeType:
    return EdgeType(entry["source"], entry["relation"], entry["target"])


def _schema(manifest: Mapping[str, Any]) -> Schema:
    edge_types = tuple(_edge_type(entry) for entry in manifest["edges"])
    symmetric = frozenset(_edge_type(entry) for entry in manifest["edges"] if entry["symmetric"])
    return Schema(tuple(manifest["nodes"]), edge_types, symmetric)


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in `folder`; None where there is no graph yet. Raises StoreError, FormatVersionError."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        ours = {"lock", *(path.name for path in folder.glob(f"{_PREFIX}*")), *(p.name for p in _unfinished(folder))}
        if folder.exists() and (others := sorted({path.name for path in folder.iterdir()} - ours)):
            raise StoreError(
                f"{folder} is no graph store: it has no {_MANIFEST}, but {others[0]!r}. Choose an empty or new folder."
            ) from None
        return None
    except NotADirectoryError:
        raise StoreError(f"{folder} is a file; a graph store is a folder.") from None
    except (OSError, ValueError) as fault:
        raise StoreError(f"{folder / _MANIFEST} cannot be read: {fault}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{folder} is no graph store: its {_MANIFEST} does not say format {FORMAT!r}.")
    if not isinstance(manifest.get("format_version"), int) or not isinstance(manifest.get("snapshot"), str):
        raise StoreError(f"{folder / _MANIFEST} was damaged: it names no format version or no snapshot.")
    if manifest["format_version"] > FORMAT_VERSION:
        raise FormatVersionError(
            f"{folder} has graph format {manifest['format_version']}, written by medgraph {manifest.get('medgraph')}; "
            f"this medgraph reads up to {FORMAT_VERSION}. Upgrade medgraph."
        )
    return manifest


def current(folder: Path) -> Snapshot | None:
    """The snapshot that `folder` names now; None where there is no graph yet.

    Raises:
        StoreError: the folder holds something else, or its snapshot is gone.
        FormatVersionError: written by a newer medgraph.
    """
    for _ in range(100):  # a writer may swap between our reading the manifest and our taking hold
        manifest = _read_manifest(folder)
        if manifest is None:
            return None
        path = folder / manifest["snapshot"]
        try:
            held = (path / "lock").open("rb")
        except FileNotFoundError:
            if _read_manifest(folder) == manifest:
                raise StoreError(f"{folder} names {path.name}, which is not there: the store was damaged.") from None
            continue
        except OSError as fault:
            raise StoreError(f"{path} cannot be opened: {fault.strerror}.") from None
        if _lock(held, exclusive=False) and (path / "lock").exists():
            try:
                return Snapshot(path, manifest, _schema(manifest), held)
            except (KeyError, TypeError, SchemaError) as fault:
                held.close()
                raise StoreError(f"{folder / _MANIFEST} was damaged: {fault!r}.") from None
        held.close()
    raise StoreUnavailableError(f"{folder} is being rewritten faster than it can be opened; try again.")


def _make_durable(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        if sys.platform == "win32" and path.is_dir():
            continue
        handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unfinished(folder: Path) -> Iterator[Path]:
    return folder.glob(f".{_MANIFEST}.*.part")


def _retire(path: Path) -> bool:
    """May this snapshot go? If so its lock file is gone, and no reader can take hold any more."""
    lock = path / "lock"
    try:
        if sys.platform == "win32":
            lock.unlink()  # refused there while a reader has it open
        else:
            with lock.open("rb") as file:
                if not _lock(file, exclusive=True):
                    return False
                lock.unlink()
    except FileNotFoundError:  # cut off while it was made or removed: nobody can hold it
        return True
    except PermissionError:
        return False
    return True


def _clean(folder: Path, keep: str | None) -> None:
    """Remove what cut-off writers left, and superseded snapshots that no reader holds."""
    for path in _unfinished(folder):
        path.unlink()
    for path in folder.glob(f"{_PREFIX}*"):
        if path.name != keep and _retire(path):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def new_snapshot(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """An empty snapshot folder and its manifest entry to fill; on leaving well it becomes the current one.

    Raises:
        StoreUnavailableError: another process is writing here; it is named.
        StoreError: the folder holds something else.
    """
    _read_manifest(folder)  # refuses what is not ours before anything is made in it
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
        if not _lock(lock, exclusive=True):
            lock.seek(0)
            raise StoreUnavailableError(
                f"{folder} is being written by {lock.read().strip() or 'another process'}; try again when it is done."
            )
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        lock.flush()
        before = _read_manifest(folder)
        old = before["snapshot"] if before else None
        _clean(folder, keep=old)
        taken = [int(path.name.removeprefix(_PREFIX)) for path in folder.glob(f"{_PREFIX}*")]
        path = folder / f"{_PREFIX}{max(taken, default=0) + 1:06d}"
        path.mkdir()
        (path / "lock").touch()
        content: dict[str, Any] = {}
        try:
            yield path, content
            _make_durable(path)
            with atomic_file(folder / _MANIFEST) as temporary:
                head = {"format": FORMAT, "format_version": FORMAT_VERSION, "medgraph": version("medgraph")}
                manifest = {**head, "snapshot": path.name, **content}
                temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
                temporary.chmod(0o644)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        _clean(folder, keep=path.name)
        lock.truncate(0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_graph(path: Path, graph: KnowledgeGraph) -> dict[str, Any]:
    """Put the tables of `graph` under `path` as Parquet; returns what the manifest says of them."""
    (path / "nodes").mkdir()
    (path / "edges").mkdir()
    kinds: list[tuple[NodeType | EdgeType, pa.Table]] = [*graph.nodes.items(), *graph.edges.items()]
    for kind, table in kinds:
        ends = {"source", "target"} if isinstance(kind, EdgeType) else set()
        repeating = [
            f"{column.name}.list.element" if pa.types.is_list(column.type) else column.name
            for column in table.schema
            if column.name not in ends
        ]
        pq.write_table(
            table,
            path / _file_of(kind),
            compression="zstd",
            use_dictionary=repeating,
            column_encoding=dict.fromkeys(ends, "DELTA_BINARY_PACKED") or None,
        )

    def entry(kind: NodeType | EdgeType, table: pa.Table) -> dict[str, Any]:
        return {"rows": table.num_rows, "sha256": _sha256(path / _file_of(kind))}

    return {
        "fingerprint": graph.fingerprint,
        "provenance": [asdict(one) for one in graph.provenance],
        "skipped": dict(graph.skipped),
        "nodes": {node_type: entry(node_type, table) for node_type, table in graph.nodes.items()},
        "edges": [
            {**edge_type._asdict(), "symmetric": edge_type in graph.symmetric, **entry(edge_type, table)}
            for edge_type, table in graph.edges.items()
        ],
    }


def table_file(snapshot: Snapshot, kind: NodeType | EdgeType) -> Path:
    """The Parquet file of one type, whose bytes are those that were written.

    Raises:
        StoreError: the file is missing or altered.
    """
    if isinstance(kind, EdgeType):
        entry = next(entry for entry in snapshot.manifest["edges"] if _edge_type(entry) == kind)
    else:
        entry = snapshot.manifest["nodes"][kind]
    path = snapshot.path / _file_of(kind)
    try:
        sha256 = _sha256(path)
    except OSError as fault:
        raise StoreError(f"{path} cannot be read: {fault.strerror}.") from None
    if sha256 != entry["sha256"]:
        raise StoreError(f"{path} was altered since it was written (sha256 {sha256[:12]}…): write the graph anew.")
    return path


def _read_table(snapshot: Snapshot, kind: NodeType | EdgeType) -> pa.Table:
    with pq.ParquetFile(table_file(snapshot, kind)) as file:
        return file.read()


def read_graph(
    snapshot: Snapshot, node_types: Iterable[NodeType] | None = None, edge_types: Iterable[EdgeType] | None = None
) -> KnowledgeGraph:
    """The graph of a snapshot, or its part on some types (edges whose two ends are read). Reads no more than asked.

    Raises:
        SchemaError: a type that is not stored.
        StoreError: a file is missing or altered.
    """
    schema, manifest = snapshot.schema, snapshot.manifest
    types = schema.node_types if node_types is None else tuple(map(schema.require_node_type, node_types))
    wanted = schema.edge_types if edge_types is None else tuple(map(schema.require, edge_types))
    kept = {edge_type for edge_type in wanted if edge_type.source in types and edge_type.target in types}
    return KnowledgeGraph(
        nodes={one: _read_table(snapshot, one) for one in types},
        edges={one: _read_table(snapshot, one) for one in sorted(kept)},
        symmetric=schema.symmetric & kept,
        provenance=tuple(Provenance(**one) for one in manifest["provenance"]),
        skipped=manifest["skipped"],
    )
