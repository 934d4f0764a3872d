"""What the nodes of a batch are known by: rows of a matrix in memory or on disk, or columns of numbers in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Num

from medgraph.data.schema import NodeType
from medgraph.errors import SchemaError
from medgraph.stores.access import RandomAccess

__all__ = ["Features", "NodeFeatures"]

Features = Mapping[NodeType, np.ndarray | Sequence[str] | str | Path]
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"}


class NodeFeatures:
    """The features of nodes, fetched by rows.

    Args:
        access: the graph.
        given: node type -> a matrix with one row per node (a memory-mapped one is read as needed), the .npy or
            .safetensors file that holds one, or names of columns of numbers in the store (float32, NaN where empty).

    Raises:
        SchemaError: a node type or column that is not there, a matrix that does not fit, a file that holds none.
    """

    def __init__(self, access: RandomAccess, given: Features | None = None) -> None:
        self.access = access
        self._given: dict[NodeType, np.ndarray | list[str]] = {}
        for node_type, what in (given or {}).items():
            count = access.counts[access.schema.require_node_type(node_type)]
            matrix = mapped_matrix(Path(what)) if isinstance(what, str | Path) else what
            if not isinstance(matrix, np.ndarray):
                self._given[node_type] = list(matrix)
                access.columns(node_type, list(matrix), np.arange(min(count, 1)))
            elif matrix.ndim != 2 or len(matrix) != count:
                raise SchemaError(
                    f"features[{node_type!r}] has shape {matrix.shape}; expected one row for each of {count:,} nodes."
                )
            else:
                self._given[node_type] = matrix

    def __contains__(self, node_type: object) -> bool:
        return node_type in self._given

    def size(self, node_type: NodeType) -> int:
        """How many features has a node of this type?"""
        given = self._given[node_type]
        return int(given.shape[1]) if isinstance(given, np.ndarray) else len(given)

    def rows(self, node_type: NodeType, rows: Int64[np.ndarray, " n"]) -> Num[np.ndarray, "n f"]:
        """The features of some nodes, as a new array in memory."""
        given = self._given[node_type]
        if isinstance(given, np.ndarray):
            found = np.array(given[rows])
            return found.astype(found.dtype.newbyteorder("="), copy=False)
        return self.access.columns(node_type, given, rows).astype(np.float32)


def mapped_matrix(path: Path) -> Num[np.ndarray, "n f"]:
    """The matrix in a .npy file, or the only one in a .safetensors file, mapped, not read. SchemaError if none."""
    try:
        if path.suffix == ".npy":
            matrix: Num[np.ndarray, "n f"] = np.load(path, mmap_mode="r", allow_pickle=False)
            return matrix
        with path.open("rb") as file:  # 8 bytes of length, a JSON header, the tensors
            length = int.from_bytes(file.read(8), "little")
            tensors = json.loads(file.read(length))
        tensors.pop("__metadata__", None)
        ((_, tensor),) = tensors.items()
        start = 8 + length + tensor["data_offsets"][0]
        return np.memmap(path, _KINDS[tensor["dtype"]], "r", start, tuple(tensor["shape"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as fault:
        raise SchemaError(f"{path} is no .npy or .safetensors file with one matrix of numbers: {fault!r}") from None
