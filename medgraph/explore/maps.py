"""What does the space look like? Two-dimensional maps of an embedding, coloured by node type."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from medgraph.data.schema import NodeType
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import SchemaError
from medgraph.explore.picture import Picture, colours, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as InteractiveFigure

__all__ = ["EmbeddingMap", "map_embedding"]


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingMap(Picture):
    """Positions in the plane, one per node; drawn on demand.

    Args:
        ids, names, node_types: of the n nodes drawn.
        positions: (n, 2).
        highlighted: ids drawn large and labelled.
        left_out: node type -> how many of its nodes were not drawn.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    node_types: tuple[NodeType, ...]
    positions: Float[np.ndarray, "n 2"]
    highlighted: frozenset[str] = frozenset()
    left_out: dict[NodeType, int] = field(default_factory=dict)
    title: str = ""

    def __repr__(self) -> str:
        return f"EmbeddingMap({len(self.ids):,} nodes; {sum(self.left_out.values()):,} left out)"

    def _rows_by_type(self) -> list[tuple[NodeType, np.ndarray]]:
        types = np.asarray(self.node_types)
        groups = [(str(t), np.flatnonzero(types == t)) for t in np.unique(types)]
        return sorted(groups, key=lambda group: -group[1].size)  # the rarest type is drawn last, on top

    def figure(self) -> Figure:
        """As a matplotlib figure."""
        from matplotlib.figure import Figure as New

        figure = New(figsize=(9, 7), layout="constrained")
        axes = figure.add_subplot()
        colour = colours(self.node_types)
        for node_type, rows in self._rows_by_type():
            label = f"{node_type} ({rows.size:,})"
            size = max(4, 14 - rows.size / 200)
            x, y = self.positions[rows].T
            axes.scatter(x, y, size, colour[node_type], label=label, alpha=0.75, linewidths=0)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}
        for row in (i for i, id_ in enumerate(self.ids) if id_ in self.highlighted):
            at = float(self.positions[row, 0]), float(self.positions[row, 1])
            axes.scatter([at[0]], [at[1]], 60, colour[self.node_types[row]], edgecolors="black", zorder=3)
            name = plain(self.names[row])
            axes.annotate(name, at, xytext=(5, 5), textcoords="offset points", fontsize=8, zorder=4, bbox=box)
        axes.set(xticks=[], yticks=[], title=plain(self.title))
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, markerscale=2)
        return figure

    def interactive(self) -> InteractiveFigure:
        """As a plotly figure: zoom, switch types on and off, hover for name and id."""
        import plotly.graph_objects as go

        figure = go.Figure()
        colour = colours(self.node_types)
        for node_type, rows in self._rows_by_type():
            text = [f"<b>{html.escape(self.names[i])}</b><br>{html.escape(self.ids[i])}" for i in rows]
            marked = [self.ids[i] in self.highlighted for i in rows]
            figure.add_scattergl(
                x=self.positions[rows, 0].round(3),
                y=self.positions[rows, 1].round(3),
                mode="markers",
                name=f"{html.escape(node_type)} ({rows.size:,})",
                text=text,
                hovertemplate="%{text}<extra></extra>",
                marker={
                    "color": colour[node_type],
                    "size": [12 if m else 5 for m in marked],
                    "line": {"width": [2 if m else 0 for m in marked], "color": "black"},
                    "opacity": 0.8,
                },
            )
        figure.update_layout(
            title=html.escape(self.title),
            template="plotly_white",
            width=950,
            height=700,
            xaxis={"visible": False},
            yaxis={"visible": False, "scaleanchor": "x"},
        )
        return figure


def _chosen(
    embedding: Embedding, node_types: Sequence[NodeType], highlight: frozenset[str], max_nodes: int, seed: int
) -> tuple[np.ndarray, dict[NodeType, int]]:
    """At most `max_nodes` rows: every highlighted one, small types whole, large ones sampled alike."""
    types = np.asarray(embedding.node_types)
    generator = np.random.default_rng(seed)
    must = [embedding.index(id_) for id_ in sorted(highlight)]
    groups = sorted((np.flatnonzero(types == t) for t in node_types), key=len)
    room, picked, left_out = max_nodes, [np.array(must, dtype=np.int64)], {}
    for position, rows in enumerate(groups):
        share = max(1, room // (len(groups) - position))
        taken = rows if rows.size <= share else generator.choice(rows, share, replace=False)
        room -= taken.size
        picked.append(taken)
        if taken.size < rows.size:
            left_out[str(types[rows[0]])] = int(rows.size - taken.size)
    return np.unique(np.concatenate(picked)), left_out


def map_embedding(
    embedding: Embedding,
    node_types: Iterable[NodeType] | None = None,
    highlight: Iterable[str] = (),
    max_nodes: int = 3000,
    title: str = "",
    seed: int = 0,
) -> EmbeddingMap:
    """Where do the nodes lie in the plane? t-SNE (van der Maaten & Hinton 2008) of unit vectors, started from PCA.

    Distances inside a cluster mean something, distances between clusters and their sizes do not.

    Args:
        embedding: what to draw.
        node_types: only these; all by default.
        highlight: ids to draw large, with their names.
        max_nodes: large node types are sampled to keep to about this many; how many were left out is in `left_out`.
        title: above the picture.
        seed: of the sample and of t-SNE.

    Raises:
        SchemaError: a node type that is not in the embedding, or fewer than three nodes.
        UnknownIdentifierError: a highlighted id without a vector.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    wanted = sorted(set(embedding.node_types)) if node_types is None else list(dict.fromkeys(node_types))
    for node_type in wanted:
        embedding.of_type(node_type)
    marked = frozenset(highlight)
    rows, left_out = _chosen(embedding, wanted, marked, max_nodes, seed)
    if rows.size < 3:
        raise SchemaError(f"A map needs at least three nodes; {rows.size} came.")
    vectors = embedding.vectors[rows]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    reduced = PCA(min(50, *unit.shape), random_state=seed).fit_transform(unit)
    start = reduced[:, :2] / (reduced[:, 0].std() or 1) * 1e-4
    tsne = TSNE(init=start, perplexity=min(30, (rows.size - 1) / 3), random_state=seed, learning_rate="auto")
    return EmbeddingMap(
        tuple(embedding.ids[i] for i in rows),
        tuple(embedding.names[i] for i in rows),
        tuple(embedding.node_types[i] for i in rows),
        tsne.fit_transform(reduced).astype(np.float64),
        marked,
        left_out,
        title,
    )
