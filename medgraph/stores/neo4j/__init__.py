"""The Neo4j store."""

from medgraph.stores.neo4j.connection import Credentials
from medgraph.stores.neo4j.store import Neo4jStore

__all__ = ["Credentials", "Neo4jStore"]
