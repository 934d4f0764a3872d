"""What a Neo4j store keeps beside its graph: vectors on the nodes, predicted links between them."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from medgraph.data.schema import EdgeType, NodeType
from medgraph.stores.neo4j import predictions as links
from medgraph.stores.neo4j import vectors
from medgraph.stores.neo4j.connection import Connection
from medgraph.stores.neo4j.layout import Manifest
from medgraph.stores.neo4j.writing import Writer

__all__ = ["Attached"]


class Attached(ABC):
    """The part of `Neo4jStore` for embeddings and predictions, which `write` of another graph takes away."""

    _connection: Connection

    @abstractmethod
    def _writing(self) -> AbstractContextManager[tuple[Writer, Manifest]]:
        """The right to write, and what is stored."""

    @abstractmethod
    def _check_stored(self) -> None:
        """Is there a graph?"""

    def write_embedding(self, emb: vectors.Vectors, name: str = "skipgram") -> vectors.StoredEmbedding:
        """Put the vectors of `emb` on the nodes, and index them; nothing changes if they are there already.

        Raises:
            UnknownIdentifierError: ids that are not in the graph, with how many of each node type.
            SchemaError: no name, no embedding, or vectors that cannot be indexed.
        """
        with self._writing() as (writer, manifest):
            return vectors.write_embedding(self._connection, writer, manifest, emb, name)

    def embeddings(self) -> list[vectors.StoredEmbedding]:
        """Which embeddings are on the nodes?"""
        self._check_stored()
        return vectors.list_embeddings(self._connection)

    def remove_embedding(self, name: str) -> None:
        """Take an embedding off the nodes. Raises StoreError if there is none of that name."""
        with self._writing() as (writer, manifest):
            vectors.remove_embedding(self._connection, writer, manifest, name)

    def most_similar(
        self, id: str, topn: int = 10, node_type: NodeType | None = None, embedding: str = "skipgram"
    ) -> list[tuple[str, float]]:
        """Which ids lie nearest to `id`, by cosine? As `Embedding.most_similar`, from the index of the database.

        Raises:
            StoreError: no embedding of that name.
            SchemaError: a node type that has no vectors in it.
            UnknownIdentifierError: an id that has no vector in it.
        """
        self._check_stored()
        return vectors.most_similar(self._connection, id, topn, node_type, embedding)

    def write_predictions(
        self,
        predictions: links.Predictions,
        relation: EdgeType | None = None,
        *,
        model: str,
        date: datetime.date | str | None = None,
    ) -> int:
        """Write predicted links as edges of the relation `predicted_<relation>`; returns how many.

        Each is marked `predicted` and has `model`, `score`, `probability` (where there is one) and `date`. A model's
        second prediction of a pair takes the place of its first.

        Args:
            predictions: `LinkPredictor.rank(...)` or a list of them, a table with source, target (ids), score and
                perhaps probability, or rows of these.
            relation: what is predicted; ranked lists know it themselves.
            model: what made them, by whatever name it is to be found again.
            date: of the prediction, as 2026-01-31; today (UTC) by default.

        Raises:
            UnknownIdentifierError: ids that are not in the graph.
            SchemaError: no predictions, no relation, or scores that are not finite.
        """
        with self._writing() as (writer, manifest):
            return links.write_predictions(self._connection, writer, manifest, predictions, relation, model, date)

    def remove_predictions(self, model: str | None = None, relation: EdgeType | None = None) -> int:
        """Take predictions away: of one model, of one edge type, or all; returns how many."""
        with self._writing() as (writer, manifest):
            return links.remove_predictions(self._connection, writer, manifest, model, relation)
