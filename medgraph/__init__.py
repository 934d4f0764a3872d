"""What medicine knows, as one graph and one vector space, and answers with them.

Loaders bring data in, stores keep the graph, embeddings turn it into vectors, heads turn vectors into predictions,
evaluation judges them, explain says why, explore shows it. Names load on first use: importing medgraph loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph, Provenance
    from medgraph.data.schema import EdgeType, Schema
    from medgraph.embeddings.embedding import Embedding
    from medgraph.errors import MedgraphError

__version__ = "0.1.0"

_HOME = {
    "EdgeType": "medgraph.data.schema",
    "Embedding": "medgraph.embeddings.embedding",
    "KnowledgeGraph": "medgraph.data.graph",
    "MedgraphError": "medgraph.errors",
    "Provenance": "medgraph.data.graph",
    "Schema": "medgraph.data.schema",
}

__all__ = [
    "EdgeType",
    "Embedding",
    "KnowledgeGraph",
    "MedgraphError",
    "Provenance",
    "Schema",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medgraph' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
