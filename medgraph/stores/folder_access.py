"""An embedded store's edges by their targets: sorted once on disk, then mapped, so that memory stays flat.

    graph-000001/  access/  <Source>-<relation>-<Target>.bounds.npy  .sources.npy  <NodeType>.<column hash>.npy

These files can be made again from the snapshot at any time and go when it goes. Where the store may not be written to,
they are made in a temporary folder.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from medgraph.artefact import atomic_file
from medgraph.data.schema import EdgeType, NodeType
from medgraph.errors import StoreError
from medgraph.stores import folder as folders
from medgraph.stores.access import RandomAccess, check_numbers, numbers

__all__ = ["FolderAccess"]

CHUNK = 1 << 20  # edges in memory at once while they are sorted
_FOLDER = "access"


class FolderAccess(RandomAccess):
    """A snapshot of an embedded store, held until `close`.

    Args:
        snapshot: closed with this.
        keep: leave the sorted files in the snapshot for the next time; else they go with this object.
    """

    def __init__(self, snapshot: folders.Snapshot, keep: bool = True) -> None:
        super().__init__(
            snapshot.schema,
            {name: int(snapshot.manifest["nodes"][name]["rows"]) for name in snapshot.schema.node_types},
        )
        self._snapshot = snapshot
        self._folder = snapshot.path / _FOLDER
        self._sources: dict[EdgeType, np.ndarray] = {}
        self._columns: dict[tuple[NodeType, str], np.ndarray] = {}
        temporary = None
        try:
            if not keep:
                raise PermissionError
            self._folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError:
            temporary = tempfile.mkdtemp(prefix="medgraph-")
            self._folder = Path(temporary)
        self._finish = weakref.finalize(self, _finish, snapshot, temporary, os.getpid())

    def close(self) -> None:
        """Let go of the snapshot and of what was mapped. May be called twice."""
        self._bounds.clear()
        self._sources.clear()
        self._columns.clear()
        self._finish()

    def _find_bounds(self, relation: EdgeType, stored: EdgeType, inverse: bool) -> Int64[np.ndarray, " bounds"]:
        names = [self._folder / f"{relation}.{part}.npy" for part in ("sources", "bounds")]
        nodes = self.counts[relation.target]

        def whole() -> bool:
            bounds, sources = (np.load(name, mmap_mode="r", allow_pickle=False) for name in names[::-1])
            if bounds.shape != (nodes + 1,) or sources.shape != (bounds[-1],):
                return False
            self._sources[relation] = sources
            self._bounds[relation] = bounds
            return True

        self._made(whole, lambda: self._sort(relation, stored, inverse, names))
        return self._bounds[relation]

    def _find_sources(self, relation: EdgeType, edges: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        self.bounds(relation)
        found: Int64[np.ndarray, " n"] = self._sources[relation][edges].astype(np.int64)
        return found

    def _find_numbers(
        self, node_type: NodeType, column: str, rows: Int64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        key = node_type, column
        path = self._folder / f"{node_type}.{hashlib.sha256(column.encode()).hexdigest()[:16]}.npy"

        def whole() -> bool:
            self._columns[key] = np.load(path, mmap_mode="r", allow_pickle=False)
            return bool(self._columns[key].shape == (self.counts[node_type],))

        def make() -> None:
            with pq.ParquetFile(folders.table_file(self._snapshot, node_type)) as file:
                check_numbers(file.schema_arrow, node_type, column)
                values = numbers(file.read(columns=[column]), node_type, column)
            with atomic_file(path) as temporary, temporary.open("wb") as out:
                np.save(out, values, allow_pickle=False)

        if key not in self._columns:
            self._made(whole, make)
        return np.asarray(self._columns[key][rows])

    def _made(self, whole: Callable[[], bool], make: Callable[[], None]) -> None:
        """Map the files, made first if they are not there or were cut short."""
        try:
            for attempt in range(2):
                try:
                    if whole():
                        return
                except (FileNotFoundError, ValueError):
                    pass
                if attempt == 0:
                    make()
        except OSError as fault:
            raise StoreError(f"The edges could not be sorted in {self._folder}: {fault}") from fault
        raise StoreError(f"The sorted edges in {self._folder} do not fit {self._snapshot.path}: write the graph anew.")

    def _ends(self, stored: EdgeType, inverse: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with pq.ParquetFile(folders.table_file(self._snapshot, stored), pre_buffer=False) as file:
            for batch in file.iter_batches(CHUNK, columns=["source", "target"]):
                source, target = (batch.column(name).to_numpy() for name in ("source", "target"))
                if inverse:
                    source, target = target, source
                yield source, target
                if stored in self.schema.symmetric:
                    twice = source != target
                    yield target[twice], source[twice]
        pa.default_memory_pool().release_unused()

    def _sort(self, relation: EdgeType, stored: EdgeType, inverse: bool, names: list[Path]) -> None:
        """A counting sort by target over the file, then a sort by source within each target; never all in memory."""
        nodes = self.counts[relation.target]
        bounds = np.zeros(nodes + 1, dtype=np.int64)
        for _, target in self._ends(stored, inverse):
            bounds[1:] += np.bincount(target, minlength=nodes)
        np.cumsum(bounds, out=bounds)
        free = bounds[:-1].copy()
        kind = np.int32 if self.counts[relation.source] < 1 << 31 else np.int64
        with atomic_file(names[0]) as temporary:
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=kind, shape=(int(bounds[-1]),))
            for source, target in self._ends(stored, inverse):
                order = np.argsort(target, kind="stable")
                rows, first, counts = np.unique(target[order], return_index=True, return_counts=True)
                within = np.arange(target.size) - np.repeat(first, counts)
                out[np.repeat(free[rows], counts) + within] = source[order]
                free[rows] += counts
                _release(out)
            start = 0
            while start < nodes:
                stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + CHUNK, side="right")) - 1)
                own = slice(int(bounds[start]), int(bounds[stop]))
                rows = np.repeat(np.arange(start, stop), np.diff(bounds[start : stop + 1]))
                part = np.asarray(out[own])
                out[own] = part[np.lexsort((part, rows))]
                _release(out)
                start = stop
            out.flush()
            del out
        with atomic_file(names[1]) as temporary, temporary.open("wb") as file:
            np.save(file, bounds, allow_pickle=False)


def _finish(snapshot: folders.Snapshot, temporary: str | None, process: int) -> None:
    if os.getpid() == process:  # a loader's worker is a copy, and must not clear away what is still used
        snapshot.close()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _release(array: np.memmap) -> None:
    """Let the operating system take back the pages of a mapped array; it keeps their content in the file."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.flush()
        mapped.madvise(mmap.MADV_DONTNEED)
