"""The Cypher that every engine here accepts: quoting, parameters, and what counts as reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from medgraph.data.schema import EdgeType, check_label
from medgraph.errors import StoreError

__all__ = ["check_reading", "edge_pattern", "label", "plain_parameters", "property_name"]

_OPAQUE = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`(?:``|[^`])*`|//[^\n]*|/\*.*?\*/", re.DOTALL)
_OPENERS = ("MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL")
_REFUSED = re.compile(
    r"(?:^|[^\s.:|$&!])\s*\b(CREATE|MERGE|SET|DELETE|DETACH|REMOVE|FOREACH|DROP|ALTER|COPY|LOAD|INSTALL|ATTACH|EXPORT"
    r"|IMPORT|CHECKPOINT|CALL(?=\s*\w+\s*=))\b(?!\s*:)",
    re.IGNORECASE,
)


def label(name: str, what: str = "node type") -> str:
    """`name` as a quoted label, so that words of the language (Order, Group, Match) are labels too."""
    return f"`{check_label(name, what)}`"


def property_name(name: str) -> str:
    """`name` quoted; a property may be called anything that is not empty."""
    return "`" + name.replace("`", "``") + "`"


def edge_pattern(edge_type: EdgeType, source: str = "a", edge: str = "r", target: str = "b") -> str:
    """``(a:`Compound`)-[r:`treats`]->(b:`Disease`)``."""
    ends = label(edge_type.source), label(edge_type.target)
    return f"({source}:{ends[0]})-[{edge}:{label(edge_type.relation, 'relation')}]->({target}:{ends[1]})"


def _bare(cypher: str) -> str:
    """`cypher` without what is not language: comments, and what stands in quotes."""
    return _OPAQUE.sub(lambda found: " " if found[0].startswith("/") else "``", cypher)


def check_reading(cypher: str) -> None:
    """Does `cypher` only read the graph, in one statement? An engine's read-only mode stands behind this.

    That mode alone would not do: Ladybug's still reads and writes files (LOAD, COPY TO, EXPORT) and fetches extensions.

    Raises:
        StoreError: more than one statement, or one that writes, loads, exports or changes settings.
    """
    if not isinstance(cypher, str):
        raise StoreError(f"A query is a string of Cypher, not {type(cypher).__name__}.")
    bare = _bare(cypher).strip().rstrip(";").rstrip()
    words = re.sub(r"^(EXPLAIN|PROFILE)\b\s*", "", bare, flags=re.IGNORECASE)
    opener = re.match(r"\w*", words)
    assert opener is not None
    if ";" in bare:
        raise StoreError(f"One statement a query; this holds several: {cypher}")
    found = _REFUSED.search(words)
    if found or opener[0].upper() not in _OPENERS:
        word = found[1].upper() if found else opener[0].upper() or "nothing"
        raise StoreError(
            f"A query only reads and starts with {', '.join(_OPENERS[:-1])} or {_OPENERS[-1]}; this has {word}: "
            f"{cypher}\nTo change the graph: store.write(graph). A label or name of that spelling goes in backticks."
        )


def plain_parameters(cypher: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` with NumPy scalars and arrays as Python values, which is all that engines take.

    Raises:
        StoreError: `cypher` asks for a parameter that is not among them (Ladybug would take it for null).
    """
    if missing := sorted(set(re.findall(r"\$(\w+)", _bare(cypher))) - set(parameters)):
        given = ", ".join(parameters) or "none"
        raise StoreError(f"Parameter ${missing[0]} was not given (given: {given}). In: {cypher}")
    return {key: _plain(value) for key, value in parameters.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value
