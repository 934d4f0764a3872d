"""Constraints and indexes of a stored graph."""

from __future__ import annotations

from collections.abc import Sequence

from medgraph.data.schema import NodeType
from medgraph.stores.cypher import label, property_name
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import BOOKKEEPING, EMBEDDING, ROW, TEXT, TEXT_INDEX, VECTOR_INDEX

__all__ = ["prepare", "statements"]

_ONE_OF_A_NAME = f"CREATE CONSTRAINT medgraph_bookkeeping IF NOT EXISTS FOR (n:{BOOKKEEPING}) REQUIRE n.name IS UNIQUE"


def statements(node_types: Sequence[NodeType]) -> list[str]:
    """What makes the constraints and indexes for these node types, where they are not there yet."""
    made = [_ONE_OF_A_NAME]
    for node_type in node_types:
        node = f"FOR (n:{label(node_type)})"
        made.append(f"CREATE CONSTRAINT {_name('id', node_type)} IF NOT EXISTS {node} REQUIRE n.id IS UNIQUE")
        made.append(f"CREATE INDEX {_name('row', node_type)} IF NOT EXISTS {node} ON (n.{ROW})")
    if node_types:
        made.append(
            f"CREATE FULLTEXT INDEX {TEXT_INDEX} IF NOT EXISTS FOR (n:{'|'.join(map(label, node_types))}) "
            f"ON EACH [n.{TEXT}] OPTIONS {{indexConfig: {{`fulltext.analyzer`: 'whitespace'}}}}"
        )
    return made


def prepare(connection: Connection, node_types: Sequence[NodeType], dropped: Sequence[NodeType] = ()) -> None:
    """Constraints and indexes for these node types, and none for types and embeddings that went."""
    for node_type in dropped:
        connection.write(f"DROP CONSTRAINT {_name('id', node_type)} IF EXISTS")
        connection.write(f"DROP INDEX {_name('row', node_type)} IF EXISTS")
    there = connection.read(f"SHOW INDEXES YIELD name, labelsOrTypes WHERE name = '{TEXT_INDEX}' RETURN labelsOrTypes")
    _drop_vectors(connection)
    made = statements(node_types)
    if there and set(there[0][0]) != set(node_types):  # at once: killed between the two, nothing could be searched
        again = made[-1:] if node_types else []
        connection.write_all([(statement, {}) for statement in (f"DROP INDEX {TEXT_INDEX} IF EXISTS", *again)])
    for statement in made:
        connection.write(statement)


def _drop_vectors(connection: Connection) -> None:
    """Vector indexes whose embedding went with the graph it was written to."""
    found = connection.read(
        f"SHOW VECTOR INDEXES YIELD name WHERE name STARTS WITH '{VECTOR_INDEX}' RETURN collect(name)"
    )[0][0]
    if not found:
        return
    start = f"MATCH (m:{BOOKKEEPING}) WHERE m.name STARTS WITH '{EMBEDDING}' RETURN collect(m.name)"
    kept = {name.removeprefix(EMBEDDING) for name in connection.read(start)[0][0]}
    for name in found:
        if name.removeprefix(VECTOR_INDEX).rpartition(".")[0] not in kept:
            connection.write(f"DROP INDEX {property_name(name)} IF EXISTS")


def _name(what: str, node_type: NodeType) -> str:
    return property_name(f"medgraph_{what}_{node_type}")
