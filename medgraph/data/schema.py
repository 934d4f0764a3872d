"""Which kinds of node and edge a graph may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from medgraph.errors import SchemaError, nearest

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph

__all__ = ["EdgeType", "NodeType", "Schema", "check_label"]

NodeType: TypeAlias = str
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


class EdgeType(NamedTuple):
    """A relation between two node types, PyG's triple: `EdgeType("Compound", "treats", "Disease")`."""

    source: NodeType
    relation: str
    target: NodeType

    def __str__(self) -> str:
        return f"{self.source}-{self.relation}-{self.target}"

    @classmethod
    def of(cls, given: Iterable[str]) -> EdgeType:
        """The edge type that a triple of strings names; SchemaError if it is none."""
        if isinstance(given, str) or len(triple := tuple(given)) != 3:
            raise SchemaError(f"{given!r} is no edge type; expected EdgeType(source, relation, target).")
        return cls(*triple)


def check_label(label: str, what: str = "node type") -> str:
    """Is this a name that every store takes unquoted? Returns it, or raises SchemaError.

    >>> check_label("SideEffect")
    'SideEffect'
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        shown = label if len(str(label)) < 80 else f"{str(label)[:77]}..."
        raise SchemaError(
            f"{shown!r} is no {what}: expected a letter, then at most 62 letters, digits or underscores, "
            "for example 'Compound' or 'side_effect'."
        )
    return label


@dataclass(frozen=True)
class Schema:
    """The declared node types, edge types, and which edge types are symmetric (stored once, true both ways).

    Raises:
        SchemaError: a label that is not a plain name, an edge type whose ends are not declared, or a symmetric edge
            type between two different node types.
    """

    node_types: tuple[NodeType, ...]
    edge_types: tuple[EdgeType, ...]
    symmetric: frozenset[EdgeType] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        object.__setattr__(self, "node_types", tuple(sorted(set(self.node_types))))
        object.__setattr__(self, "edge_types", tuple(sorted({EdgeType.of(edge) for edge in self.edge_types})))
        object.__setattr__(self, "symmetric", frozenset(EdgeType.of(edge) for edge in self.symmetric))
        for node_type in self.node_types:
            check_label(node_type)
        for edge_type in self.edge_types:
            check_label(edge_type.relation, "relation")
            for end in (edge_type.source, edge_type.target):
                if end not in self.node_types:
                    raise SchemaError(f"{edge_type} ends in {end!r}, which is not among {list(self.node_types)}.")
        for edge_type in self.symmetric:
            self.require(edge_type)
            if edge_type.source != edge_type.target:
                raise SchemaError(f"{edge_type} joins two node types, so it cannot be symmetric.")

    def require(self, edge_type: EdgeType) -> EdgeType:
        """The declared edge type equal to `edge_type`; SchemaError with the nearest if there is none."""
        wanted = EdgeType.of(edge_type)
        if wanted not in self.edge_types:
            hint = nearest(str(wanted), [str(known) for known in self.edge_types])
            raise SchemaError(f"{wanted} is not an edge type of this graph ({len(self.edge_types)} edge types).{hint}")
        return wanted

    def require_node_type(self, node_type: NodeType) -> NodeType:
        """`node_type`, if it is declared; SchemaError with the nearest if not."""
        if node_type not in self.node_types:
            hint = nearest(node_type, self.node_types)
            raise SchemaError(f"{node_type!r} is not a node type of this graph: {list(self.node_types)}.{hint}")
        return node_type

    def merge(self, other: Schema) -> Schema:
        """The union of two schemas; an edge type symmetric in one must be so in the other if both have it."""
        both = set(self.edge_types) & set(other.edge_types)
        if clash := sorted((self.symmetric ^ other.symmetric) & both):
            raise SchemaError(f"{clash[0]} is symmetric in one graph and directed in the other.")
        return Schema(
            self.node_types + other.node_types, self.edge_types + other.edge_types, self.symmetric | other.symmetric
        )

    def validate(self, graph: KnowledgeGraph) -> None:
        """Does `graph` hold only declared types? Raises SchemaError naming the first that is not."""
        for node_type in graph.nodes:
            self.require_node_type(node_type)
        for edge_type in graph.edges:
            self.require(edge_type)
