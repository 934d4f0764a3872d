"""A real Neo4j Community server on this machine, for those who have no Docker and no server yet."""

from medgraph.server.jars import VERSIONS
from medgraph.server.neo4j import Neo4jServer, Running

__all__ = ["VERSIONS", "Neo4jServer", "Running"]
