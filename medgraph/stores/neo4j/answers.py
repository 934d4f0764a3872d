"""What a server answers, as an Arrow table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from medgraph.errors import StoreError

__all__ = ["to_table"]


def to_table(names: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    """One column a name. Raises StoreError for a column whose values have no common type."""
    columns = []
    for number, name in enumerate(names):
        try:
            columns.append(pa.array([_plain(row[number]) for row in rows]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as fault:
            raise StoreError(
                f"Column {name!r} holds values of several types ({str(fault).splitlines()[0]}): make them one in the "
                "statement, for example by toString(...)."
            ) from None
    return pa.Table.from_arrays(columns, names=names)


def _plain(value: Any) -> Any:
    """Nodes and edges as their properties, times as Python's, the rest as it is."""
    from neo4j.graph import Node, Path, Relationship

    if isinstance(value, Node):
        return {"_labels": sorted(value.labels), **{key: _plain(one) for key, one in value.items()}}
    if isinstance(value, Relationship):
        return {"_relation": value.type, **{key: _plain(one) for key, one in value.items()}}
    if isinstance(value, Path):
        return {"nodes": list(map(_plain, value.nodes)), "edges": list(map(_plain, value.relationships))}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.to_native() if hasattr(value, "to_native") else value
