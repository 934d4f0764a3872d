"""What stands in a database, whoever put it there, as the manifest of a graph; or all that keeps it from being one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from medgraph.data.schema import EdgeType, NodeType, check_label
from medgraph.errors import SchemaError, StoreError, nearest
from medgraph.stores.cypher import edge_pattern, label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import (
    BOOKKEEPING,
    EXACT,
    PREDICTED,
    RETIRED,
    ROW,
    STAGED,
    TEXT,
    VECTOR,
    Manifest,
    Part,
)

__all__ = ["OTHER_EDGES", "REASONS", "Survey", "survey"]

OTHER_NODES = "nodes without an accepted label"
OTHER_EDGES = "edges with an end that was not accepted"
PREDICTIONS = "predicted edges"
HIDDEN_EDGES = "edges of a relation with an underscore in front"
HIDDEN_VALUES = "properties with an underscore in front"
REASONS = (OTHER_NODES, OTHER_EDGES, PREDICTIONS, HIDDEN_EDGES, HIDDEN_VALUES)  # why something was left out

_LIST = pa.list_(pa.field("element", pa.string()))
_KINDS = {
    "STRING": pa.string(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "LIST<STRING NOT NULL>": _LIST,
    "LIST<NOTHING>": _LIST,
}
_OURS = {ROW: "INTEGER", TEXT: "STRING", EXACT: "STRING"}
_SHOWN = 8  # faults in one message
_Kinds = Mapping[str, int]


@dataclass(frozen=True)
class Survey:
    """A manifest without its fingerprint, and which types have nodes or edges with `_exact`."""

    manifest: Manifest
    exact: frozenset[NodeType | EdgeType]


def survey(
    connection: Connection,
    old: Manifest | None,
    node_types: Iterable[NodeType] | None,
    symmetric: Iterable[EdgeType],
) -> Survey:
    """Look at every node and edge, and change nothing.

    Types and columns that were declared and empty stay declared; those that have become empty are gone.

    Args:
        connection: to the database.
        old: what it held when medgraph last looked.
        node_types: the labels that are node types; all without an underscore in front if not given.
        symmetric: edge types that are true both ways, beside those of `old`.

    Raises:
        SchemaError: a label or a symmetric edge type that is not there, or a label that no store takes.
        StoreError: nodes or properties that cannot be part of a graph: all that were found, with what to do.
    """
    look = _Look(connection, old)
    counts = look.choose(node_types)
    nodes = {node_type: look.part(node_type, rows) for node_type, rows in sorted(counts.items())}
    edges = {edge_type: look.part(edge_type, rows) for edge_type, rows in sorted(look.edge_types(counts).items())}
    kept = set(old.symmetric if old else ()) & set(edges)
    reasons = {reason: count for reason, count in (old.skipped if old else {}).items() if reason not in REASONS}
    found = Manifest(
        nodes,
        edges,
        frozenset(kept | set(map(EdgeType.of, symmetric))),
        old.provenance if old else (),
        reasons | {reason: look.skipped[reason] for reason in REASONS if look.skipped[reason]},
        "",
    )
    for edge_type in sorted(found.schema.symmetric - kept):
        look.check_symmetric(edge_type)
    if look.faults:
        more = f"\n... and {len(look.faults) - _SHOWN:,} more" if len(look.faults) > _SHOWN else ""
        shown = "\n".join(look.faults[:_SHOWN])
        raise StoreError(f"What is in {connection.address} is no graph yet:\n{shown}{more}")
    return Survey(found, frozenset(look.exact))


class _Look:
    """One look around: what was skipped, what was wrong."""

    def __init__(self, connection: Connection, old: Manifest | None) -> None:
        self._read = connection.read
        self._old = old
        self.skipped: Counter[str] = Counter()
        self.faults: list[str] = []
        self.exact: set[NodeType | EdgeType] = set()
        self._before: dict[NodeType | EdgeType, Part] = {}
        if old is not None:
            self._before.update(old.nodes.items())
            self._before.update(old.edges.items())

    def choose(self, node_types: Iterable[NodeType] | None) -> dict[NodeType, int]:
        """How many nodes has each label that is a node type?"""
        found = [
            ({one for one in labels if not one.startswith("_")}, rows)
            for labels, rows in self._read("MATCH (n) RETURN labels(n), count(*)")
            if not {BOOKKEEPING, STAGED, RETIRED} & set(labels)
        ]
        there = {one for labels, _ in found for one in labels}
        declared = {one for one, part in self._old.nodes.items() if not part.rows} if self._old else set()
        chosen = there | declared if node_types is None else set(node_types)
        if not chosen and self._old is None:
            raise StoreError("There is nothing to accept: no node here has a label.")
        for one in sorted(chosen):
            if one not in there | declared:
                raise SchemaError(f"No node here has the label {one!r}.{nearest(one, sorted(there))}")
            try:
                check_label(one)
            except SchemaError as fault:
                raise SchemaError(
                    f"{fault} Rename it (SET n:Better REMOVE n:...), or leave it out by accept(node_types=[...])."
                ) from None
        counts = dict.fromkeys(sorted(chosen), 0)
        several: Counter[tuple[str, ...]] = Counter()
        for labels, rows in found:
            mine = tuple(sorted(labels & chosen))
            if not mine:
                self.skipped[OTHER_NODES] += rows
            elif len(mine) > 1:
                several[mine] += rows
            else:
                counts[mine[0]] += rows
        if several:
            shown = ", ".join(f"{'+'.join(labels)} ({rows:,} nodes)" for labels, rows in several.most_common(_SHOWN))
            types = sorted(self._old.nodes) if self._old else [several.most_common(1)[0][0][0], "..."]
            raise StoreError(
                f"A node has one type, and some here have several labels: {shown}. Say which labels are types, for "
                f"example accept(node_types={types})."
            )
        return counts

    def edge_types(self, counts: Mapping[NodeType, int]) -> dict[EdgeType, int]:
        """How many edges has each pair of accepted types by each relation?"""
        old = self._old.edges.items() if self._old else ()
        ends = set(counts)
        result = {one: 0 for one, part in old if not part.rows and {one.source, one.target} <= ends}
        for (relation,) in self._read("CALL db.relationshipTypes() YIELD relationshipType RETURN relationshipType"):
            pattern = f"(a)-[r:{property_name(relation)}]->(b)"
            if relation.startswith(("_", PREDICTED)):
                reason = HIDDEN_EDGES if relation.startswith("_") else PREDICTIONS
                self.skipped[reason] += self._read(f"MATCH {pattern} RETURN count(r)")[0][0]
                continue
            pairs: Counter[tuple[str, str]] = Counter()
            for sources, targets, rows in self._read(f"MATCH {pattern} RETURN labels(a), labels(b), count(*)"):
                source, target = ends & set(sources), ends & set(targets)
                if source and target:
                    pairs[source.pop(), target.pop()] += rows
                else:
                    self.skipped[OTHER_EDGES] += rows
            try:
                check_label(relation, "relation")
            except SchemaError as fault:
                if pairs:
                    self.faults.append(
                        f"{fault} Rename it: MATCH {pattern} CREATE (a)-[s:better]->(b) SET s = properties(r) DELETE r"
                    )
                continue
            result |= {EdgeType(source, relation, target): rows for (source, target), rows in pairs.items()}
        return result

    def part(self, kind: NodeType | EdgeType, rows: int) -> Part:
        """The columns of one type."""
        is_edge = isinstance(kind, EdgeType)
        pattern = _pattern(kind)
        kinds: dict[str, Counter[str]] = {}
        for key, what, count in self._read(
            f"MATCH {pattern} UNWIND keys(n) AS key RETURN key, valueType(n[key]) AS kind, count(*) ORDER BY key, kind"
        ):
            kinds.setdefault(key, Counter())[what.removesuffix(" NOT NULL")] += count
        if EXACT in kinds:
            self.exact.add(kind)
        first = ("source", "target") if is_edge else ("id", "name")
        before = self._before.get(kind)
        fields = {name: pa.field(name, pa.int64() if is_edge else pa.string()) for name in first}
        properties, nulls = {name: name for name in first}, dict.fromkeys(first, 0 if is_edge else rows)
        if not is_edge:
            self._check_node(kind, pattern, rows, kinds)
        known = dict(before.properties) if before else {}
        for name in known:  # in the order there was
            if name in first:
                continue
            assert before is not None
            declared = before.columns.field(name)
            if known[name] in kinds or before.nulls[name] == before.rows:
                fields[name], properties[name] = declared, known[name]
        columns = {properties[name]: name for name in fields if not (is_edge and name in first)}
        for key, found in kinds.items():
            if key.startswith("_"):
                self._check_hidden(kind, pattern, key, found)
                continue
            if "\\" in key:
                self.faults.append(f"{kind}: a property is called {key!r}; a backslash cannot be: rename it.")
                continue
            name = columns.get(key, key)
            while key not in columns and name in fields:
                name += "_"
            given = fields[name].type if before is not None and name in known else None
            fields[name] = pa.field(name, self._type(kind, pattern, key, found, given))
            properties[name], nulls[name] = key, rows - found.total()
        nulls = {name: nulls.get(name, rows) for name in fields}
        return Part(rows, pa.schema(list(fields.values())), properties, nulls)

    def check_symmetric(self, edge_type: EdgeType) -> None:
        """A symmetric edge is stored once; stored both ways, hiding one of the two would hide nothing."""
        pattern = f"{edge_pattern(edge_type)} WHERE a.id < b.id"
        back = f"(b)-[s:{label(edge_type.relation, 'relation')}]->(a)"
        if twice := self._read(f"MATCH {pattern} AND EXISTS {{ {back} }} RETURN count(r)")[0][0]:
            self.faults.append(
                f"{edge_type}: {twice:,} edges stand both ways, and a symmetric edge is stored once. Keep one of the "
                f"two: MATCH {pattern} MATCH {back} DELETE s"
            )

    def _check_node(self, node_type: NodeType | EdgeType, pattern: str, rows: int, kinds: Mapping[str, _Kinds]) -> None:
        ids = kinds.get("id", {})
        if missing := rows - sum(ids.values()):
            self.faults.append(
                f"{node_type}: {missing:,} of {rows:,} nodes have no property `id`, which names a node for good, such "
                f"as 'DOID:1612'. Give them one: MATCH {pattern} WHERE n.id IS NULL SET n.id = ..."
            )
        for key in ("id", "name"):
            for what, count in kinds.get(key, {}).items():
                if what not in _KINDS:
                    continue  # told with the others
                if what != "STRING":
                    self.faults.append(
                        f"{node_type}.{key}: {count:,} values are {what}, and have to be strings. Convert them: "
                        f"MATCH {pattern} SET n.{key} = toString(n.{key})"
                    )

    def _check_hidden(self, kind: NodeType | EdgeType, pattern: str, key: str, found: _Kinds) -> None:
        """Ours, or somebody's that are left out."""
        if key.startswith(VECTOR):
            return
        if key not in _OURS:
            self.skipped[HIDDEN_VALUES] += sum(found.values())
        elif strange := sum(count for what, count in found.items() if what != _OURS[key]):
            self.faults.append(
                f"{kind}.{key}: {strange:,} values are not medgraph's, which needs this name. Move them: "
                f"MATCH {pattern} SET n.x{key} = n.{key} REMOVE n.{key}"
            )

    def _type(
        self, kind: NodeType | EdgeType, pattern: str, key: str, found: _Kinds, declared: pa.DataType | None
    ) -> pa.DataType:
        """The column type of the values; a whole number among fractions is one of them."""
        name = f"n.{property_name(key)}"
        strange = {what: count for what, count in found.items() if what not in _KINDS}
        for what, count in strange.items():
            converted = f"[x IN {name} | toString(x)]" if what.startswith("LIST") else f"toString({name})"
            self.faults.append(
                f"{kind}.{key}: {count:,} values are {what}; a column holds strings, integers, floats, booleans or "
                f"lists of strings. Convert them: MATCH {pattern} SET {name} = {converted}, or REMOVE {name}"
            )
        types = {_KINDS[what] for what in found if what in _KINDS}
        if pa.float64() in (types | {declared}) and types <= {pa.int64(), pa.float64()}:
            large = "INTEGER" in found and self._read(
                f"MATCH {pattern} WHERE {name} IS :: INTEGER NOT NULL AND NOT -$most <= {name} <= $most "
                "RETURN count(*)",
                most=2**53,
            )[0][0]  # fmt: skip
            if large:
                self.faults.append(
                    f"{kind}.{key}: {large:,} integers beyond 2^53 stand among floats and would lose digits. Make the "
                    f"column one type: MATCH {pattern} SET {name} = toString({name})"
                )
            return pa.float64()
        if len(types) > 1 and not strange:
            shown = ", ".join(f"{what} ({count:,})" for what, count in sorted(found.items()))
            self.faults.append(
                f"{kind}.{key} holds values of several types: {shown}. Make them one: "
                f"MATCH {pattern} SET {name} = toString({name})"
            )
        return types.pop() if types else pa.string()


def _pattern(kind: NodeType | EdgeType) -> str:
    return edge_pattern(kind, edge="n") if isinstance(kind, EdgeType) else f"(n:{label(kind)})"
