"""Graphs on which a batch done twice, or not at all, shows; and a port on which nobody listens."""

from __future__ import annotations

import socket

import numpy as np
import pyarrow as pa

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.stores.neo4j import Neo4jStore

KNOWS = EdgeType("Person", "knows", "Person")


def people(prefix: str, rows: int) -> KnowledgeGraph:
    """Three edges a person, some of them parallel."""
    rng = np.random.default_rng(rows)
    nodes = pa.table({"id": [f"{prefix}:{row}" for row in range(rows)], "name": [f"name {row}" for row in range(rows)]})
    ends = {"source": rng.integers(0, rows, 3 * rows), "target": rng.integers(0, rows, 3 * rows)}
    return KnowledgeGraph({"Person": nodes}, {KNOWS: pa.table({**ends, "weight": np.arange(3 * rows)})})


OLD, NEW = people("OLD", 30), people("NEW", 80)


def assert_holds(store: Neo4jStore, graph: KnowledgeGraph) -> None:
    """The server has this graph, each node and edge once, and nothing else."""
    assert store.read().fingerprint == graph.fingerprint
    assert store.query("MATCH (n) WHERE NOT n:_Medgraph RETURN count(n) AS n")["n"].to_pylist() == [graph.num_nodes]
    assert store.query("MATCH ()-[r]->() RETURN count(r) AS n")["n"].to_pylist() == [graph.num_edges]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
