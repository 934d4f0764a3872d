"""Why this drug for this disease? The paths that join them, weighed, sourced, and deleted to see what they carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.evaluation.leaks import inverse_types
from medgraph.heads.repurposing.metapaths import Metapath, MetapathCounter, Step, metapaths_between

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Evidence", "EvidencePath", "MetapathEvidence", "PairScorer", "explain_paths"]

MAX_LENGTH = 4
SHOWN_KINDS = 10  # of path, in the printed table


@runtime_checkable
class PairScorer(Protocol):
    """What the deletion check asks of a predictor, such as `LinkPredictor`."""

    relation: EdgeType

    def log_odds(self, graph: KnowledgeGraph, source: str, target: str) -> float:
        """The pair's score when `graph` is all that is known, the pair itself taken as unknown."""
        ...


@dataclass(frozen=True)
class EvidencePath:
    """One concrete path.

    Args:
        metapath: its kind.
        ids, names, node_types: of the nodes, the asked pair at the ends.
        relations: between them, one fewer.
        forward: is the edge stored in the direction in which the path walks it?
        contribution: product over its edges of the two degrees to the power -w.
        share: of the sum of all paths of all metapaths looked at.
        sources: for each edge, where the graph has it from.
        pmids: for each edge, the PubMed ids that the graph has.
        score_drop: by how much the predictor's log-odds of the pair falls when the path's edges are removed.
    """

    metapath: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    node_types: tuple[str, ...]
    relations: tuple[str, ...]
    forward: tuple[bool, ...]
    contribution: float
    share: float
    sources: tuple[tuple[str, ...], ...]
    pmids: tuple[tuple[str, ...], ...]
    score_drop: float | None = None

    def __str__(self) -> str:
        text = self.names[0]
        for relation, forward, name in zip(self.relations, self.forward, self.names[1:], strict=True):
            text += f" —{relation}→ {name}" if forward else f" ←{relation}— {name}"
        return text


@dataclass(frozen=True)
class MetapathEvidence:
    """How much one kind of path joins the pair.

    Args:
        metapath: the kind.
        length: steps.
        paths: how many concrete paths.
        dwpc: their contributions' sum, the degree-weighted path count.
        share: of the sum over all metapaths.
    """

    metapath: str
    length: int
    paths: int
    dwpc: float
    share: float


@dataclass(frozen=True, repr=False)
class Evidence:
    """Everything found between two nodes. Prints as two tables."""

    source: str
    target: str
    source_name: str
    target_name: str
    metapaths: tuple[MetapathEvidence, ...]
    paths: tuple[EvidencePath, ...]
    log_odds: float | None = None

    def __repr__(self) -> str:
        return f"Evidence({self.source_name} to {self.target_name}: {len(self.paths)} paths shown)"

    def __str__(self) -> str:
        lines = [f"{self.source_name} to {self.target_name}"]
        lines += [f"{m.share:6.1%}  {m.paths:>6} x {m.metapath}" for m in self.metapaths]
        for path in self.paths:
            drop = "" if path.score_drop is None else f"  [score falls by {path.score_drop:.3f}]"
            lines.append(f"{path.share:6.1%}  {path}{drop}")
        return "\n".join(lines)

    def __rich__(self) -> RenderableType:
        kinds = Table(title=escape(f"{self.source_name} to {self.target_name}: kinds of path"), title_justify="left")
        for column in ("share", "paths", "DWPC"):
            kinds.add_column(column, justify="right")
        kinds.add_column("metapath")
        for kind in self.metapaths[:SHOWN_KINDS]:
            kinds.add_row(f"{kind.share:.1%}", f"{kind.paths:,}", f"{kind.dwpc:.3g}", escape(kind.metapath))
        if rest := self.metapaths[SHOWN_KINDS:]:
            paths = sum(kind.paths for kind in rest)
            kinds.caption = (
                f"and {len(rest)} more kinds with {paths:,} paths, {sum(k.share for k in rest):.1%} together"
            )
        table = Table(title="strongest paths", title_justify="left")
        table.add_column("share", justify="right")
        table.add_column("path")
        table.add_column("sources")
        checked = any(path.score_drop is not None for path in self.paths)
        if checked:
            table.add_column("score falls by", justify="right")
        for path in self.paths:
            found = dict.fromkeys(s for edge in (*path.sources, *path.pmids) for s in edge)
            row = [f"{path.share:.1%}", escape(str(path)), escape(", ".join(found))]
            if checked:
                row.append("" if path.score_drop is None else f"{path.score_drop:.3f}")
            table.add_row(*row)
        return Group(kinds, table)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def explain_paths(
    graph: KnowledgeGraph,
    source: str,
    target: str,
    max_length: int = 3,
    topn: int = 10,
    predictor: PairScorer | None = None,
    damping: float = 0.4,
    check: int = 5,
) -> Evidence:
    """Which paths speak for a link between `source` and `target`, and what is each one worth?

    Every path of at most `max_length` steps is found; its contribution is that to the degree-weighted path count
    (Himmelstein & Baranzini 2015): paths through hubs count little. A path visits no node twice. With a `predictor`,
    an edge of its own relation between the two, or of its inverse, is no evidence for itself and left out, and the
    `check` strongest paths are deleted one by one to see by how much the score falls.

    Args:
        graph: where the evidence is.
        source: an id.
        target: another id.
        max_length: 1 to 4 steps.
        topn: how many paths to show.
        predictor: for the deletion check.
        damping: w of the path count.
        check: how many paths to delete.

    Raises:
        UnknownIdentifierError: an id that is not in the graph.
        SchemaError: a length out of range, the same node twice, or two ids that the predictor's relation cannot join.
    """
    if not 1 <= max_length <= MAX_LENGTH:
        raise SchemaError(f"max_length={max_length}: paths of 1 to {MAX_LENGTH} steps can be explained.")
    ends = graph.locate(source), graph.locate(target)
    if source == target:
        raise SchemaError(f"{source} was given as both ends; a path needs two nodes.")
    finder = _PathFinder(graph, damping)
    own = set() if predictor is None else {predictor.relation, *inverse_types(graph, predictor.relation)}
    kinds, frames = [], []
    for metapath in metapaths_between(graph.schema, ends[0].node_type, ends[1].node_type, max_length):
        if len(metapath) == 1 and metapath.steps[0].edge_type in own:
            continue
        found = finder.paths(metapath, ends[0].row, ends[1].row)
        if len(found):
            kinds.append((metapath, len(found), float(found["value"].sum())))
            frames.append((metapath, found.nlargest(topn, "value")))
    total = sum(dwpc for _, _, dwpc in kinds) or 1.0
    rows: list[tuple[Metapath, Any]] = [(metapath, row) for metapath, frame in frames for row in frame.itertuples()]
    shown = sorted(rows, key=lambda item: -float(item[1].value))[: max(0, topn)]
    paths = [finder.describe(metapath, row, total) for metapath, row in shown]
    log_odds = None
    if predictor is not None:
        log_odds = predictor.log_odds(graph, source, target)
        for place, (metapath, row) in enumerate(shown[: max(0, check)]):
            reduced = graph.without(finder.edges_of(metapath, row))
            drop = log_odds - predictor.log_odds(reduced, source, target)
            paths[place] = EvidencePath(**(paths[place].__dict__ | {"score_drop": drop}))
    return Evidence(
        source,
        target,
        graph.name(source),
        graph.name(target),
        tuple(
            MetapathEvidence(str(metapath), len(metapath), count, dwpc, dwpc / total)
            for metapath, count, dwpc in sorted(kinds, key=lambda kind: -kind[2])
        ),
        tuple(paths),
        log_odds,
    )


class _PathFinder:
    """Concrete paths of a metapath between two nodes: forward from one, backward from the other, met in the middle."""

    def __init__(self, graph: KnowledgeGraph, damping: float) -> None:
        self.graph = graph
        self.counter = MetapathCounter(graph, damping)

    def paths(self, metapath: Metapath, source: int, target: int) -> pd.DataFrame:
        """One row per path: columns n0..nL of local rows, and `value`."""
        middle = (len(metapath) + 1) // 2
        front = self._grow(metapath.steps[:middle], source, 0, 1)
        back_steps = tuple(Step(step.edge_type, not step.forward) for step in reversed(metapath.steps[middle:]))
        back_steps = tuple(self._stored(step) for step in back_steps)
        back = self._grow(back_steps, target, len(metapath), -1)
        found = front.merge(back, on=f"n{middle}", suffixes=("", "_back"))
        found["value"] = found["value"] * found["value_back"]
        types = metapath.node_types
        distinct = np.ones(len(found), dtype=bool)
        for i in range(len(types)):
            for j in range(i + 1, len(types)):
                if types[i] == types[j]:
                    distinct &= (found[f"n{i}"] != found[f"n{j}"]).to_numpy()
        return found[distinct].drop(columns="value_back").reset_index(drop=True)

    def _stored(self, step: Step) -> Step:
        return Step(step.edge_type, True) if step.edge_type in self.graph.symmetric else step

    def _grow(self, steps: Iterable[Step], start: int, place: int, direction: int) -> pd.DataFrame:
        frame = pd.DataFrame({f"n{place}": [start], "value": [1.0]})
        for step in steps:
            matrix = self.counter.step(step)
            rows = frame[f"n{place}"].to_numpy()
            counts = np.diff(matrix.indptr)[rows]
            repeated = np.repeat(np.arange(len(frame)), counts)
            inside = np.arange(repeated.size) - np.repeat(np.cumsum(counts) - counts, counts)
            cells = np.repeat(matrix.indptr[rows], counts) + inside
            frame = frame.iloc[repeated].reset_index(drop=True)
            place += direction
            frame[f"n{place}"] = matrix.indices[cells].astype(np.int64)
            frame["value"] = frame["value"].to_numpy() * matrix.data[cells]
        return frame

    def _pairs(self, metapath: Metapath, row: Any) -> list[tuple[Step, int, int]]:
        """For each step, its edge's stored (source, target) rows."""
        nodes = [int(getattr(row, f"n{i}")) for i in range(len(metapath) + 1)]
        return [
            (step, a, b) if step.forward else (step, b, a)
            for step, a, b in zip(metapath.steps, nodes, nodes[1:], strict=False)
        ]

    def edges_of(self, metapath: Metapath, row: Any) -> dict[EdgeType, np.ndarray]:
        """The path's edges, as `KnowledgeGraph.without` takes them."""
        edges: dict[EdgeType, list[tuple[int, int]]] = {}
        for step, a, b in self._pairs(metapath, row):
            edges.setdefault(step.edge_type, []).append((a, b))
        return {edge_type: np.array(pairs, dtype=np.int64).T for edge_type, pairs in edges.items()}

    def describe(self, metapath: Metapath, row: Any, total: float) -> EvidencePath:
        """The path in ids, names, sources and PubMed ids."""
        places = [
            self.graph.offsets[node_type] + int(getattr(row, f"n{i}"))
            for i, node_type in enumerate(metapath.node_types)
        ]
        properties = [self._properties(step.edge_type, a, b) for step, a, b in self._pairs(metapath, row)]
        return EvidencePath(
            metapath=str(metapath),
            ids=tuple(self.graph.ids[i] for i in places),
            names=tuple(self.graph.names[i] for i in places),
            node_types=metapath.node_types,
            relations=tuple(step.edge_type.relation for step in metapath.steps),
            forward=tuple(step.forward for step in metapath.steps),
            contribution=float(row.value),
            share=float(row.value / total),
            sources=tuple(p.get("sources", ()) for p in properties),
            pmids=tuple(tuple(f"PMID:{x.removeprefix('PMID:')}" for x in p.get("pmids", ())) for p in properties),
        )

    def _properties(self, edge_type: EdgeType, source: int, target: int) -> dict[str, tuple[str, ...]]:
        """What the edge's rows say in their list-valued columns, and in KGX's knowledge sources."""
        index = self.graph.edge_index(edge_type)
        here = (index[0] == source) & (index[1] == target)
        if edge_type in self.graph.symmetric:
            here |= (index[0] == target) & (index[1] == source)
        table = self.graph.edges[edge_type].take(np.flatnonzero(here))
        found = {}
        for name, columns in {
            "sources": ("sources", "primary_knowledge_source", "knowledge_source", "source_database"),
            "pmids": ("pmids", "publications"),
        }.items():
            values = [v for c in columns if c in table.column_names for v in table.column(c).to_pylist() if v]
            flat = [x for v in values for x in (v if isinstance(v, list) else [str(v)])]
            found[name] = tuple(dict.fromkeys(flat))
        return found
