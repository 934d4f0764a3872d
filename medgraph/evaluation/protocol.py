"""The one way scores are judged: filtered ranks among all nodes of the type, beside baselines, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.sparse import csr_array

from medgraph.errors import SchemaError
from medgraph.evaluation.figures import BACKWARD, FORWARD, PAIRS
from medgraph.evaluation.flyers import frequent_flyers
from medgraph.evaluation.metrics import check_scores, rank_links, separate
from medgraph.evaluation.report import Report
from medgraph.evaluation.resampling import Interval, bootstrap, percentile_interval
from medgraph.evaluation.splits import EdgeSplit

__all__ = ["DEGREE_PRIOR", "RANDOM", "Resample", "degree_prior", "evaluate_links"]

DEGREE_PRIOR, RANDOM = "degree prior", "random"
Resample: TypeAlias = Literal["link", "source", "target"]
_Scores: TypeAlias = Float[np.ndarray, "s t"]
_Weights: TypeAlias = Float[np.ndarray, "b n"]


def evaluate_links(
    scores: _Scores,
    split: EdgeSplit,
    part: Literal["valid", "test"] = "test",
    baselines: Mapping[str, _Scores] | None = None,
    *,
    name: str = "model",
    topn: int = 10,
    n_bootstrap: int = 1000,
    resample: Resample = "link",
    seed: int = 0,
) -> Report:
    """How well do scores find the held-out links, and how much better than the baselines?

    In both directions every node of the type is a candidate, less all other known pairs of all parts ("filtered");
    ties get their mean rank. recall@n keeps the other links of the same part as answers to be found. AUROC and AUPRC
    are over all pairs that are no known link of another part. A symmetric link asks both its ends, in one direction's
    figures. A node paired with itself is no candidate unless the edge type links some node to itself.

    Args:
        scores: for every source (row) and target (column), higher = more likely.
        split: where the links are from.
        part: which links judge.
        baselines: further scores to stand beside; "degree prior" and "random" always do.
        name: what to call the scores in the report.
        topn: n of recall@n and of the frequent-flyer audit.
        n_bootstrap: samples for the 95 % intervals.
        resample: what the samples draw: links, or sources or targets with all their links, where links of one drug
            or disease are not independent.
        seed: of the samples and of the random baseline.

    Raises:
        SchemaError: scores of another shape, NaN, or unsymmetric for a symmetric edge type; an empty part; a baseline
            that takes a built-in's or the model's name.
    """
    if part not in ("valid", "test") or not split.part(part).size:
        raise SchemaError(f"part={part!r} holds no links to judge by; expected a filled 'valid' or 'test'.")
    if resample not in get_args(Resample):
        raise SchemaError(f"resample={resample!r}; expected one of {', '.join(get_args(Resample))}.")
    given = dict(baselines or {})
    if taken := {name, *given} & {DEGREE_PRIOR, RANDOM} or {name} & given.keys():
        raise SchemaError(f"The name {sorted(taken)[0]!r} is taken; call the scores something else.")
    task = _Task.of(split, part)
    methods = {name: scores, **given, DEGREE_PRIOR: degree_prior(split), RANDOM: _random(split, seed)}
    out, _ = _training_degrees(split)
    ids, names = _sources(split)
    nodes = list(zip(ids, names, out.tolist(), strict=True))
    labels: list[tuple[str, str]] = []
    statistics, flyers = {}, {}
    for method, given_scores in methods.items():
        matrix = _check(given_scores, method, split)
        labels, statistics[method], mean_candidates = _statistics(matrix, task, topn)
        flyers[method] = frequent_flyers(matrix, task.excluded, nodes, topn)
    clusters = {"link": None, "source": task.links[0], "target": task.links[1]}[resample]

    def every(weights: _Weights) -> Float[np.ndarray, "b m"]:
        return np.concatenate([statistic(weights) for statistic in statistics.values()], axis=1)

    shape = (-1, len(methods), len(labels))
    values = every(np.ones((1, task.links.shape[1]))).reshape(shape)[0]
    samples = bootstrap(every, task.links.shape[1], n_bootstrap, seed, clusters).reshape(shape)
    return Report(
        name,
        split.edge_type,
        part,
        split.by,
        split.seed,
        split.report.links,
        task.candidates,
        mean_candidates,
        topn,
        n_bootstrap,
        resample,
        {method: _nested(labels, values[i], samples[:, i]) for i, method in enumerate(methods)},
        {
            method: _nested(labels, values[0] - values[i], samples[:, 0] - samples[:, i])
            for i, method in enumerate(methods)
            if i
        },
        flyers,
    )


def degree_prior(split: EdgeSplit) -> Float[np.ndarray, "s t"]:
    """(training links of s + 1) (training links of t + 1): what popularity alone knows.

    The 1 keeps a node without links from making all its partners equal.
    """
    out, into = _training_degrees(split)
    return np.outer(out + 1.0, into + 1.0)


@dataclass(frozen=True, eq=False)
class _Task:
    """What is asked: the judged links, what is no candidate, and the queries of each direction."""

    links: Int64[np.ndarray, "2 n"]
    excluded: Bool[np.ndarray, "s t"]  # all known pairs, and self pairs where there are none
    excluded_others: Bool[np.ndarray, "s t"]  # the same, but the judged part's links stay
    symmetric: bool
    two_way: bool

    @classmethod
    def of(cls, split: EdgeSplit, part: str) -> _Task:
        links = split.part(part)
        known, others = split.known(), split.known(*(p for p in ("train", "valid", "test") if p != part))
        one_type = split.edge_type.source == split.edge_type.target
        if one_type and not known.diagonal().any():
            np.fill_diagonal(known, True)
            np.fill_diagonal(others, True)
        return cls(links, known, others, split.symmetric, one_type and split.symmetric)

    @property
    def directions(self) -> dict[str, tuple[Int64[np.ndarray, "2 m"], Int64[np.ndarray, " m"], bool]]:
        """Direction -> queries (asked, answer), the link each belongs to, and whether the matrices are turned."""
        number = np.arange(self.links.shape[1])
        if self.symmetric:
            both = np.concatenate([self.links, self.links[::-1]], axis=1)
            return {FORWARD: (both, np.concatenate([number, number]), False)}
        return {FORWARD: (self.links, number, False), BACKWARD: (self.links[::-1], number, True)}

    @property
    def candidates(self) -> dict[str, int]:
        sources, targets = self.excluded.shape
        pairs = int((~self._half(self.excluded)).sum()) + self.links.shape[1]
        counts = {FORWARD: targets, BACKWARD: sources, PAIRS: pairs}
        return {key: count for key, count in counts.items() if key == PAIRS or key in self.directions}

    def _half(self, excluded: Bool[np.ndarray, "s t"]) -> Bool[np.ndarray, "s t"]:
        return excluded | ~np.triu(np.ones_like(excluded)) if self.symmetric else excluded

    def pairs(self, scores: _Scores) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " q"]]:
        """Scores of the judged links and of all pairs that are no link."""
        return scores[tuple(self.links)], scores[~self._half(self.excluded)]


def _statistics(
    scores: _Scores, task: _Task, topn: int
) -> tuple[list[tuple[str, str]], Callable[[_Weights], Float[np.ndarray, "b m"]], dict[str, float]]:
    """The figures' labels, the function from link weights to figures, and the mean number of candidates."""
    labels: list[tuple[str, str]] = []
    parts: list[Callable[[_Weights], Float[np.ndarray, "b k"]]] = []
    mean_candidates = {}
    for direction, (queries, link, turned) in task.directions.items():
        matrix, excluded, others = scores, task.excluded, task.excluded_others
        if turned:
            matrix, excluded, others = (np.ascontiguousarray(m.T) for m in (matrix, excluded, others))
        ranks = rank_links(matrix, queries, excluded)
        found = rank_links(matrix, queries, others).realistic <= topn
        rank = ranks.realistic[:, None]
        values = np.concatenate([1 / rank, rank <= np.array([1, 3, 10])], axis=1)
        mean_candidates[direction] = float(ranks.candidates.mean())
        labels += [(direction, m) for m in ("MRR", "hits@1", "hits@3", "hits@10", f"recall@{topn}")]
        parts += [_mean(values, link), _recall(found, queries[0], link)]
    separation = separate(*task.pairs(scores))
    labels += [(PAIRS, "AUPRC"), (PAIRS, "AUROC")]
    parts += [
        lambda weights: separation.weighted_auprc(weights)[:, None],
        _mean(separation.placements[:, None], np.arange(task.links.shape[1])),
    ]
    return labels, lambda weights: np.concatenate([part(weights) for part in parts], axis=1), mean_candidates


def _mean(
    values: Float[np.ndarray, "m k"], link: Int64[np.ndarray, " m"]
) -> Callable[[_Weights], Float[np.ndarray, "b k"]]:
    def mean(weights: _Weights) -> Float[np.ndarray, "b k"]:
        drawn = weights[:, link]
        return np.asarray(drawn @ values / drawn.sum(axis=1, keepdims=True))

    return mean


def _recall(
    found: Bool[np.ndarray, " m"], asked: Int64[np.ndarray, " m"], link: Int64[np.ndarray, " m"]
) -> Callable[[_Weights], Float[np.ndarray, "b 1"]]:
    query = np.unique(asked, return_inverse=True)[1]
    member = csr_array((np.ones(query.size), (np.arange(query.size), query)))

    def recall(weights: _Weights) -> Float[np.ndarray, "b 1"]:
        drawn = weights[:, link]
        hits, total = (drawn * found) @ member, drawn @ member
        shares = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
        return np.asarray(shares.sum(axis=1, keepdims=True) / (total > 0).sum(axis=1, keepdims=True))

    return recall


def _nested(
    labels: list[tuple[str, str]], values: Float[np.ndarray, " m"], samples: Float[np.ndarray, "b m"]
) -> dict[str, dict[str, Interval]]:
    nested: dict[str, dict[str, Interval]] = {}
    for number, (direction, metric) in enumerate(labels):
        nested.setdefault(direction, {})[metric] = percentile_interval(samples[:, number], float(values[number]))
    return nested


def _check(scores: Any, method: str, split: EdgeSplit) -> _Scores:
    matrix = np.asarray(scores)
    if matrix.dtype.kind != "f":
        matrix = matrix.astype(np.float64)
    if matrix.shape != split.shape:
        source, _, target = split.edge_type
        raise SchemaError(
            f"The scores of {method!r} have shape {matrix.shape}; expected {split.shape}: "
            f"a row for every {source}, a column for every {target}."
        )
    if split.symmetric and not np.allclose(matrix, matrix.T, rtol=1e-4, equal_nan=True):
        raise SchemaError(
            f"The scores of {method!r} differ between (a, b) and (b, a), but {split.edge_type} is symmetric. "
            "Average them first: (scores + scores.T) / 2."
        )
    return check_scores(matrix)


def _training_degrees(split: EdgeSplit) -> tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " t"]]:
    sources, targets = split.shape
    out, into = np.bincount(split.train[0], minlength=sources), np.bincount(split.train[1], minlength=targets)
    return (out + into, out + into) if split.symmetric else (out, into)


def _random(split: EdgeSplit, seed: int) -> _Scores:
    scores = np.random.default_rng(seed).random(split.shape)
    return (scores + scores.T) / 2 if split.symmetric else scores


def _sources(split: EdgeSplit) -> tuple[list[str], list[str]]:
    first = split.graph.offsets[split.edge_type.source]
    rows = slice(first, first + split.shape[0])
    return list(split.graph.ids[rows]), list(split.graph.names[rows])
