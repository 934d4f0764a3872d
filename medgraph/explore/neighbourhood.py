"""What stands around a node? A picture of its typed neighbours."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, NodeType
from medgraph.explore.picture import Picture, colours, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as InteractiveFigure

__all__ = ["Neighbourhood", "neighbourhood"]


@dataclass(frozen=True, eq=False, repr=False)
class Neighbourhood(Picture):
    """A node, some of its neighbours and the edges between them, laid out in the plane.

    Args:
        ids, names, node_types: of the n nodes; the centre first.
        positions: (n, 2).
        links: (row, relation, row).
        left_out: edge type -> neighbours that were not drawn.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    node_types: tuple[NodeType, ...]
    positions: Float[np.ndarray, "n 2"]
    links: tuple[tuple[int, str, int], ...]
    left_out: dict[EdgeType, int]

    def __repr__(self) -> str:
        return f"Neighbourhood({self.names[0]}: {len(self.ids) - 1} neighbours, {len(self.links)} edges)"

    def figure(self) -> Figure:
        """As a matplotlib figure."""
        from matplotlib.figure import Figure as New
        from matplotlib.lines import Line2D

        figure = New(figsize=(11, 8), layout="constrained")
        axes = figure.add_subplot()
        colour = colours(self.node_types)
        labelled: set[tuple[str, str]] = set()
        for source, relation, target in self.links:
            ends = self.positions[[source, target]].T
            central = 0 in (source, target)
            axes.plot(*ends, color="#9aa0a6", lw=1.1 if central else 0.4, alpha=0.8 if central else 0.35, zorder=1)
            other = self.node_types[target if source == 0 else source]
            if central and (relation, other) not in labelled:  # one label per bundle keeps the picture readable
                labelled.add((relation, other))
                box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
                middle = (float(ends[0].mean()), float(ends[1].mean()))
                axes.annotate(plain(relation), middle, fontsize=7, color="#5f6368", ha="center", zorder=2, bbox=box)
        for row, (x, y) in enumerate(self.positions.tolist()):
            central = row == 0
            axes.scatter([x], [y], 260 if central else 70, colour[self.node_types[row]], edgecolors="white", zorder=3)
            name = self.names[row] if len(self.names[row]) <= 26 else f"{self.names[row][:25]}…"
            weight, size = ("bold", 10) if central else ("normal", 7)
            lift = (0, 9 if y >= 0 else -15)
            style: dict[str, Any] = {"fontsize": size, "fontweight": weight, "ha": "center", "zorder": 4}
            axes.annotate(plain(name), (x, y), xytext=lift, textcoords="offset points", **style)
        present = sorted(set(self.node_types))
        handles = [Line2D([], [], marker="o", ls="", color=colour[t], label=t) for t in present]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        axes.set(xticks=[], yticks=[])
        axes.margins(0.12)
        axes.set_axis_off()
        return figure

    def interactive(self) -> InteractiveFigure:
        """As a plotly figure: hover for names, ids and relations."""
        import plotly.graph_objects as go

        figure = go.Figure()
        xs: list[float | None] = []
        ys: list[float | None] = []
        for source, _, target in self.links:
            xs += [self.positions[source, 0], self.positions[target, 0], None]
            ys += [self.positions[source, 1], self.positions[target, 1], None]
        figure.add_scatter(
            x=xs, y=ys, mode="lines", line={"color": "#c4c7cc", "width": 1}, hoverinfo="skip", showlegend=False
        )
        told: dict[int, list[str]] = {row: [] for row in range(len(self.ids))}
        for source, relation, target in self.links:
            if 0 in (source, target):
                told[target if source == 0 else source].append(relation)
        colour = colours(self.node_types)
        for node_type in sorted(set(self.node_types)):
            rows = [i for i, t in enumerate(self.node_types) if t == node_type]
            figure.add_scatter(
                x=self.positions[rows, 0],
                y=self.positions[rows, 1],
                mode="markers+text",
                name=html.escape(node_type),
                marker={"color": colour[node_type], "size": [26 if i == 0 else 12 for i in rows]},
                text=[html.escape(self.names[i]) for i in rows],
                textposition="top center",
                textfont={"size": 10},
                customdata=[html.escape(f"{self.ids[i]} {', '.join(told[i])}") for i in rows],
                hovertemplate="<b>%{text}</b><br>%{customdata}<extra></extra>",
            )
        figure.update_layout(
            template="plotly_white", width=1000, height=750, xaxis={"visible": False}, yaxis={"visible": False}
        )
        return figure


def neighbourhood(
    graph: KnowledgeGraph, id: str, per_edge_type: int = 8, among_neighbours: bool = True
) -> Neighbourhood:
    """Which nodes stand around `id`, by which relations?

    Of each edge type and direction the `per_edge_type` neighbours with the fewest edges of that type are drawn: the
    most specific ones. How many were left out is in `left_out`.

    Args:
        graph: where to look.
        id: the centre.
        per_edge_type: how many neighbours to draw per edge type and direction.
        among_neighbours: draw the edges between the neighbours too.

    Raises:
        UnknownIdentifierError: the id is not in the graph.
    """
    node_type, row = graph.locate(id)
    centre = graph.global_index(id)
    nodes = {centre: 0}
    links: list[tuple[int, str, int]] = []
    left_out: dict[EdgeType, int] = {}
    sectors: list[tuple[str, list[int]]] = []
    for edge_type in graph.edge_types:
        index = graph.edge_index(edge_type)
        for side, end in ((0, edge_type.source), (1, edge_type.target)):
            if end != node_type:
                continue
            other_type = edge_type.target if side == 0 else edge_type.source
            others = np.unique(index[1 - side][index[side] == row])
            degree = graph.degrees(edge_type)[1 - side]
            chosen = others[np.argsort(degree[others], kind="stable")][:per_edge_type]
            if others.size > chosen.size:
                left_out[edge_type] = left_out.get(edge_type, 0) + int(others.size - chosen.size)
            members = []
            for other in chosen.tolist():
                place = other + graph.offsets[other_type]
                if place not in nodes:
                    nodes[place] = len(nodes)
                    members.append(nodes[place])
                pair = (0, nodes[place]) if side == 0 else (nodes[place], 0)
                links.append((pair[0], edge_type.relation, pair[1]))
            if members:
                sectors.append((other_type, members))
    if among_neighbours:
        part = graph.subgraph(nodes=[graph.ids[i] for i in nodes if i != centre])
        local = {graph.ids[place]: number for place, number in nodes.items()}
        for source, kind, target in part.triples().tolist():
            links.append((local[part.ids[source]], part.edge_types[kind].relation, local[part.ids[target]]))
    order = list(nodes)
    return Neighbourhood(
        tuple(graph.ids[i] for i in order),
        tuple(graph.names[i] for i in order),
        tuple(graph.types[i] for i in order),
        _rings(len(order), sectors),
        tuple(dict.fromkeys(links)),
        left_out,
    )


def _rings(n: int, sectors: list[tuple[str, list[int]]]) -> Float[np.ndarray, "n 2"]:
    """The centre in the middle, its neighbours around it by type; alternating radii keep labels apart."""
    positions = np.zeros((n, 2))
    members = [row for _, rows in sorted(sectors) for row in rows]
    for place, row in enumerate(members):
        angle = 2 * np.pi * place / max(1, len(members))
        radius = 1 + 0.38 * (place % 3)
        positions[row] = radius * np.cos(angle), radius * np.sin(angle)
    return positions
