"""What a server answers, as an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from medgraph.errors import StoreError
from medgraph.stores.neo4j.layout import EXACT, ROW, TEXT, VECTOR

__all__ = ["to_table"]


def to_table(names: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    """One column a name.

    A node is a struct of its properties and `_labels`, an edge of its properties and `_relation`, a path of `nodes` and
    `edges`; what medgraph keeps for itself on them is left out, and there to be asked for by name. A point is a struct
    of `srid` and its coordinates; instants and dates are Arrow's (to the microsecond), durations too; a time of day
    with a zone is text, as Arrow has none.

    Raises:
        StoreError: a column whose values have no common type.
    """
    columns = []
    for number, name in enumerate(names):
        try:
            columns.append(pa.array(_alike([_plain(row[number]) for row in rows])))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as fault:
            raise StoreError(
                f"Column {name!r} holds values of several types ({str(fault).splitlines()[0]}): make them one in the "
                "statement, for example by toString(...)."
            ) from None
    return pa.Table.from_arrays(columns, names=names)


def _plain(value: Any) -> Any:
    """As pyarrow takes it."""
    from neo4j.graph import Node, Path, Relationship
    from neo4j.spatial import Point
    from neo4j.time import Duration, Time

    if isinstance(value, Node):
        return {"_labels": sorted(value.labels), **_shown(value.items())}
    if isinstance(value, Relationship):
        return {"_relation": value.type, **_shown(value.items())}
    if isinstance(value, Path):
        return {"nodes": list(map(_plain, value.nodes)), "edges": list(map(_plain, value.relationships))}
    if isinstance(value, Point):
        return {"srid": value.srid, **dict(zip("xyz", map(float, value), strict=False))}
    if isinstance(value, Duration):
        months, days, seconds, nanoseconds = value
        return pa.MonthDayNano((months, days, seconds * 10**9 + nanoseconds))
    if isinstance(value, Time) and value.tzinfo is not None:
        return value.iso_format()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return _alike([_plain(one) for one in value])
    if isinstance(value, bytearray):
        return bytes(value)
    return value.to_native() if hasattr(value, "to_native") else value


def _alike(values: list[Any]) -> list[Any]:
    """`values`, unless Arrow would make dates of instants, or move those without a zone."""
    kinds = {(type(one), getattr(one, "tzinfo", None) is None) for one in values if isinstance(one, date)}
    if len(kinds) > 1:
        raise pa.ArrowTypeError("dates, instants, or instants with and without a zone stand together")
    return values


def _shown(properties: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {
        key: _plain(value) for key, value in properties if key not in (ROW, TEXT, EXACT) and not key.startswith(VECTOR)
    }
