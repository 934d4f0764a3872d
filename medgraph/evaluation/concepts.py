"""How well do vectors of clinical concepts put together what belongs together? Pure functions on vectors and pairs.

The benchmarks of Choi, Chiu and Sontag (2016) and of Beam et al. (2020, cui2vec), on what coded data themselves record.
Every score says how many pairs it rests on: half of a published benchmark may be missing from a vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.sparse import csr_array
from scipy.stats import rankdata

from medgraph.errors import SchemaError

__all__ = [
    "ConceptScore",
    "ConceptVectors",
    "class_auroc",
    "halves",
    "neighbour_overlap",
    "neighbour_precision",
    "pair_hits",
    "scrambled",
]

Pair = tuple[str, str]


@dataclass(frozen=True)
class ConceptScore:
    """One figure.

    Args:
        value: nan where nothing could be asked.
        used: how many queries (or pairs) it rests on.
        asked: how many there were; the rest have no vector.
    """

    value: float
    used: int
    asked: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.used:,} of {self.asked:,})"


@dataclass(frozen=True, eq=False, repr=False)
class ConceptVectors:
    """Vectors by id, compared by cosine; or scores of all pairs that were given.

    Args:
        ids: n unique ids.
        vectors: (n, d), dense or sparse; with `given`, (n, n): how near is row i to column j?
        given: `vectors` are the scores themselves.

    Raises:
        SchemaError: lengths that disagree.
    """

    ids: tuple[str, ...]
    vectors: Float[np.ndarray, "n d"] | csr_array
    given: bool = False

    def __post_init__(self) -> None:
        rows, columns = self.vectors.shape
        if rows != len(self.ids) or (self.given and columns != rows) or len(self._rows) != rows:
            raise SchemaError(f"{len(self.ids):,} ids, {len(self._rows):,} of them distinct, and {self.vectors.shape}.")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _unit(self) -> Float64[np.ndarray, "n d"] | csr_array:
        if isinstance(self.vectors, np.ndarray):
            dense = self.vectors.astype(np.float64)
            norms = np.linalg.norm(dense, axis=1, keepdims=True)
            return np.asarray(dense / np.where(norms > 0, norms, 1))
        sparse = csr_array(self.vectors, dtype=np.float64)
        norms = np.sqrt(np.asarray(sparse.multiply(sparse).sum(axis=1)).ravel())
        sparse.data /= np.repeat(np.where(norms > 0, norms, 1), np.diff(sparse.indptr))
        return sparse

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    def rows(self, ids: Iterable[str]) -> Int64[np.ndarray, " k"]:
        """The rows of ids that are here."""
        return np.array([self._rows[id_] for id_ in ids], dtype=np.int64)

    def over(self, ids: Iterable[str]) -> ConceptVectors:
        """The same over these ids alone, zeros where there is no vector: to ask several spaces the same questions."""
        wanted = tuple(ids)
        here = np.array([(new, self._rows[id_]) for new, id_ in enumerate(wanted) if id_ in self], np.int64)
        new, old = here.reshape(-1, 2).T
        pick = csr_array((np.ones(new.size), (new, old)), shape=(len(wanted), len(self.ids)))
        table = pick @ self.vectors
        return ConceptVectors(wanted, table @ pick.T if self.given else table, self.given)

    def scores(self, query: int, candidates: Int64[np.ndarray, " c"]) -> Float64[np.ndarray, " c"]:
        """How near is row `query` to these rows?"""
        table = self.vectors if self.given else self._unit
        if isinstance(table, np.ndarray):
            found = table[query, candidates] if self.given else table[candidates] @ table[query]
        elif self.given:
            found = table[[query]].toarray()[0, candidates]
        else:
            found = (table[candidates] @ table[[query]].T).toarray()[:, 0]
        return np.asarray(found, dtype=np.float64)


def pair_hits(
    vectors: ConceptVectors, pairs: Iterable[Pair], candidates: Iterable[str] | None = None, k: int = 10
) -> ConceptScore:
    """For which share of queries is any of its partners among the k nearest candidates?

    Each query stands once, with all its partners (a drug with its recorded reasons). Ties share their mean rank, so
    that equal scores earn nothing; the query is no candidate of its own.

    Args:
        vectors: what is judged.
        pairs: (query, partner).
        candidates: ids to rank, such as all conditions; None: all ids with a vector.
        k: how many count.
    """
    partners = _partners(pairs)
    pool = [id_ for id_ in dict.fromkeys(vectors.ids if candidates is None else candidates) if id_ in vectors]
    rows, place = vectors.rows(pool), {id_: i for i, id_ in enumerate(pool)}
    hits = []
    for query, wanted in partners.items():
        mine = [place[id_] for id_ in wanted if id_ in place and id_ != query]
        if query not in vectors or not mine:
            continue
        scores = vectors.scores(int(vectors.rows([query])[0]), rows)
        if query in place:
            scores[place[query]] = -np.inf
        hits.append(rankdata(-scores)[mine].min() <= k)
    return ConceptScore(float(np.mean(hits)) if hits else float("nan"), len(hits), len(partners))


def class_auroc(vectors: ConceptVectors, classes: Mapping[str, str | Collection[str]]) -> ConceptScore:
    """P(two that share a class are nearer than two that share none), over all pairs of ids; ties count half.

    The area under the ROC curve (Hanley and McNeil 1982). `used` and `asked` count pairs that share a class.

    Args:
        vectors: what is judged.
        classes: id -> its class or classes, such as those of the third level of ATC.
    """
    asked = int(np.triu(_shared(list(classes.values())), 1).sum())
    ids = [id_ for id_ in classes if id_ in vectors]
    left, right = np.triu_indices(len(ids), 1)
    same = _shared([classes[id_] for id_ in ids])[left, right]
    positive, negative = int(same.sum()), int((~same).sum())
    if not positive or not negative:
        return ConceptScore(float("nan"), positive, asked)
    rows = vectors.rows(ids)
    table = np.stack([vectors.scores(int(row), rows) for row in rows])
    ranks = rankdata((table + table.T)[left, right])  # given scores need not be symmetric
    area = (ranks[same].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return ConceptScore(float(area), positive, asked)


def neighbour_precision(
    vectors: ConceptVectors, groups: Mapping[str, str | Collection[str]], k: int = 1
) -> ConceptScore:
    """Of the k nearest grouped ids, which share is of a group of the query's? The mean over ids not alone in theirs.

    Where a query has fewer than k others in its groups, all of them can be found at most, and that many count as k.
    """
    asked = int((_shared(list(groups.values())).sum(axis=1) > 1).sum())
    ids = [id_ for id_ in groups if id_ in vectors]
    rows, shared = vectors.rows(ids), _shared([groups[id_] for id_ in ids])
    found = []
    for place in np.flatnonzero(shared.sum(axis=1) > 1):
        scores = vectors.scores(int(rows[place]), rows)
        scores[place] = -np.inf
        most = min(k, int(shared[place].sum()) - 1)
        near = np.argsort(-scores, kind="stable")[:most]
        found.append(shared[place, near].mean())
    return ConceptScore(float(np.mean(found)) if found else float("nan"), len(found), asked)


def neighbour_overlap(one: ConceptVectors, other: ConceptVectors, k: int = 10) -> ConceptScore:
    """Which share of an id's k nearest neighbours are the same in both spaces? The mean over the ids of both.

    How steady vectors are between two seeds (Antoniak and Mimno 2018).
    """
    ids = [id_ for id_ in one.ids if id_ in other]
    most = min(k, len(ids) - 1)
    if most < 1:
        return ConceptScore(float("nan"), 0, len(one.ids))
    near = []
    for space in (one, other):
        rows = space.rows(ids)
        chosen = []
        for place, row in enumerate(rows):
            scores = space.scores(int(row), rows)
            scores[place] = -np.inf
            chosen.append(set(np.argsort(-scores, kind="stable")[:most].tolist()))
        near.append(chosen)
    shared = [len(a & b) / most for a, b in zip(*near, strict=True)]
    return ConceptScore(float(np.mean(shared)), len(ids), len(one.ids))


def halves(pairs: Iterable[Pair]) -> tuple[list[Pair], list[Pair]]:
    """The pairs in two halves with no query in both, every other one of them sorted: to tune on, and to report on."""
    partners = _partners(pairs)
    split: tuple[list[Pair], list[Pair]] = [], []
    for number, query in enumerate(sorted(partners)):
        split[number % 2].extend((query, partner) for partner in partners[query])
    return split


def scrambled(vectors: ConceptVectors, seed: int = 0) -> ConceptVectors:
    """The same vectors, each under another id: what a score is worth that knows nothing."""
    order = np.random.default_rng(seed).permutation(len(vectors.ids))
    return ConceptVectors(tuple(vectors.ids[i] for i in order), vectors.vectors, vectors.given)


def _partners(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for query, partner in pairs:
        found.setdefault(query, {})[partner] = None
    return {query: list(partners) for query, partners in found.items()}


def _shared(classes: Sequence[str | Collection[str]]) -> Bool[np.ndarray, "n n"]:
    """Which have a class in common? Each with itself, too."""
    sets = [(one,) if isinstance(one, str) else tuple(one) for one in classes]
    index = {name: column for column, name in enumerate(dict.fromkeys(name for one in sets for name in one))}
    table = np.zeros((len(sets), max(len(index), 1)), dtype=np.float32)
    for row, one in enumerate(sets):
        table[row, [index[name] for name in one]] = 1
    return np.asarray(table @ table.T > 0)
