"""Plain models of synergy: means, additive effects, neighbours, regressions. Each is chosen on valid alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.synergies import Synergies
from medgraph.errors import NotFittedError, SchemaError

__all__ = [
    "SynergyBaseline",
    "SynergyBoosting",
    "SynergyEffects",
    "SynergyMean",
    "SynergyNeighbours",
    "SynergyRidge",
    "synergy_baselines",
]


class SynergyBaseline(ABC):
    """Fit on train, choose on valid, score any rows. What training has not seen counts as the mean of what it has."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As it stands in reports."""

    @abstractmethod
    def fit(self, train: Synergies, valid: Synergies | None = None) -> SynergyBaseline:
        """Without valid, the first of each list of choices is taken."""

    @abstractmethod
    def scores(self, pairs: Synergies) -> Float64[np.ndarray, " n"]:
        """The predicted score of each row. Raises NotFittedError before `fit`."""


def _chosen(fits: list[Any], valid: Synergies | None) -> Any:
    """Of the functions from rows to scores, the one with the smallest squared error on valid."""
    if valid is None or len(fits) == 1:
        return fits[0]
    return min(fits, key=lambda one: float(np.mean((one(valid) - valid.value) ** 2)))


@dataclass
class _Choosing(SynergyBaseline):
    """A baseline whose fits differ in a number that valid chooses."""

    _found: Any = field(default=None, init=False, repr=False)

    @abstractmethod
    def _fits(self, train: Synergies) -> list[Any]:
        """One function from rows to scores for each choice."""

    def fit(self, train: Synergies, valid: Synergies | None = None) -> SynergyBaseline:
        """See `SynergyBaseline.fit`."""
        if not len(train):
            raise SchemaError(f"{self.name}: there is nothing to learn from.")
        self._found = _chosen(self._fits(train), valid)
        return self

    def scores(self, pairs: Synergies) -> Float64[np.ndarray, " n"]:
        """See `SynergyBaseline.scores`."""
        if self._found is None:
            raise NotFittedError(f"{self.name} has not been fitted; call fit(train, valid) first.")
        return np.asarray(self._found(pairs), dtype=np.float64)


@dataclass
class SynergyMean(_Choosing):
    """mean(train)."""

    @property
    def name(self) -> str:
        """As it stands in reports."""
        return "mean"

    def _fits(self, train: Synergies) -> list[Any]:
        mean = float(train.value.mean())
        return [lambda pairs: np.full(len(pairs), mean)]


@dataclass
class SynergyEffects(_Choosing):
    """mean + drug1 + drug2 + cell line, and maybe + pair, + drug in cell line: ridge regression on who is who.

    One effect for each, the two drugs' from the same table; all are shrunk by the same strength. Solved exactly, by
    conjugate gradients on the normal equations.

    Args:
        pair: an effect of each pair in all cell lines.
        drug_in_cell: an effect of each drug in each cell line.
        strengths: of shrinkage, to choose from.
    """

    pair: bool = False
    drug_in_cell: bool = False
    strengths: tuple[float, ...] = (3.0, 1.0, 10.0, 30.0, 100.0)

    @property
    def name(self) -> str:
        """As it stands in reports."""
        extra = " + pair" * self.pair + " + drug in cell" * self.drug_in_cell
        return f"drug + drug + cell{extra}"

    def design(self, pairs: Synergies) -> Any:
        """(n, d + c + ...) sparse: what each row has; each pair's column is its first x drugs + second."""
        from scipy.sparse import csr_matrix

        n, d, c = len(pairs), pairs.drugs.num_rows, pairs.cells.num_rows
        columns = [pairs.first, pairs.second, d + pairs.cell]
        width = d + c
        if self.pair:
            columns.append(width + pairs.pair)
            width += d * d
        if self.drug_in_cell:
            columns += [width + pairs.first * c + pairs.cell, width + pairs.second * c + pairs.cell]
            width += d * c
        flat = np.stack(columns, axis=1).ravel()
        ends = np.arange(n + 1) * len(columns)
        return csr_matrix((np.ones(flat.size), flat, ends), shape=(n, width))  # equal drugs add up

    def _fits(self, train: Synergies) -> list[Any]:
        from scipy.sparse import identity
        from scipy.sparse.linalg import cg

        X, mean = self.design(train), float(train.value.mean())
        used = np.flatnonzero(np.asarray(X.sum(axis=0)).ravel())
        X = X[:, used].tocsr()
        gram, right = (X.T @ X).tocsr(), X.T @ (train.value - mean)

        def solved(strength: float) -> Any:
            weights, failed = cg(gram + strength * identity(used.size), right, rtol=1e-8, maxiter=5000)
            if failed:
                raise SchemaError(f"{self.name}: no solution at strength {strength} in 5,000 steps; raise it.")

            def scores(pairs: Synergies) -> Float64[np.ndarray, " n"]:
                return np.asarray(mean + self.design(pairs)[:, used] @ weights)

            return scores

        return [solved(strength) for strength in self.strengths]


@dataclass
class SynergyNeighbours(_Choosing):
    """The weighted mean score of the k nearest training pairs in the same cell line; of an unknown one, in all.

    Two pairs are as near as the better way of matching their drugs: max(T(a, c) T(b, d), T(a, d) T(b, c)), T Tanimoto's
    coefficient of Morgan fingerprints; the weight is its square.

    Args:
        neighbours: how many, to choose from.
    """

    neighbours: tuple[int, ...] = (10, 3, 30)

    @property
    def name(self) -> str:
        """As it stands in reports."""
        return "nearest pairs"

    def _fits(self, train: Synergies) -> list[Any]:
        bits = morgan(train.smiles)
        near = tanimoto(bits, bits)
        return [lambda pairs, k=k: _nearest(train, pairs, near, k) for k in self.neighbours]


def _nearest(train: Synergies, asked: Synergies, near: Float64[np.ndarray, "d d"], k: int) -> Float64[np.ndarray, " n"]:
    """See `SynergyNeighbours`; train's and the asked pairs share their tables."""
    _same_tables(train, asked)
    pairs, rows = np.unique(train.pair, return_inverse=True)
    table = np.full((pairs.size, train.cells.num_rows), np.nan)
    table[rows, train.cell] = train.value
    cell_mean = np.where(np.isnan(table), 0, table).sum(axis=0)
    known = ~np.isnan(table)
    in_cell = known.sum(axis=0)
    overall = float(train.value.mean())
    cell_mean = np.where(in_cell > 0, cell_mean / np.maximum(in_cell, 1), overall)
    pair_mean = np.nanmean(table, axis=1)
    wanted, at = np.unique(asked.pair, return_inverse=True)
    a, b = np.divmod(wanted, train.drugs.num_rows)
    c, d = np.divmod(pairs, train.drugs.num_rows)
    found = np.empty(len(asked))
    for start in range(0, wanted.size, 256):
        part = slice(start, start + 256)
        one, two = a[part, None], b[part, None]
        likeness = np.maximum(near[one, c] * near[two, d], near[one, d] * near[two, c]) ** 2
        for cell in np.unique(asked.cell[(at >= start) & (at < start + 256)]).tolist():
            mine = np.flatnonzero((at >= start) & (at < start + 256) & (asked.cell == cell))
            there = np.flatnonzero(known[:, cell]) if in_cell[cell] else np.arange(pairs.size)
            values = table[there, cell] if in_cell[cell] else pair_mean[there]
            weight = likeness[:, there]
            if there.size > k:
                top = np.argpartition(-weight, k - 1, axis=1)[:, :k]
                weight, values = np.take_along_axis(weight, top, axis=1), values[top]
            else:
                values = np.broadcast_to(values, weight.shape)
            total = weight.sum(axis=1)
            mean = np.where(total > 0, (weight * values).sum(axis=1) / np.maximum(total, 1e-12), cell_mean[cell])
            found[mine] = mean[at[mine] - start]
    return found


@dataclass
class SynergyRidge(_Choosing):
    """mean + w (x1 + x2) + cell line: ridge regression on summed fingerprints.

    Args:
        radius: of the fingerprints.
        bits: that they are folded to.
        strengths: of shrinkage, to choose from.
    """

    radius: int = 3
    bits: int = 2048
    strengths: tuple[float, ...] = (300.0, 30.0, 3000.0)

    @property
    def name(self) -> str:
        """As it stands in reports."""
        return "ridge on fingerprints"

    def _fits(self, train: Synergies) -> list[Any]:
        from scipy.sparse import csr_matrix, hstack

        bits = morgan(train.smiles, self.radius, self.bits)
        mean = float(train.value.mean())

        def design(pairs: Synergies) -> Any:
            _same_tables(train, pairs)
            n, c = len(pairs), pairs.cells.num_rows
            cells = csr_matrix((np.ones(n), pairs.cell, np.arange(n + 1)), shape=(n, c))
            return hstack([bits[pairs.first] + bits[pairs.second], cells]).tocsr()

        X = design(train)
        values, vectors = np.linalg.eigh((X.T @ X).toarray().astype(np.float64))
        right = vectors.T @ (X.T @ (train.value - mean))

        def solved(strength: float) -> Any:
            weights = vectors @ (right / (np.maximum(values, 0) + strength))
            return lambda pairs: mean + design(pairs) @ weights

        return [solved(strength) for strength in self.strengths]


@dataclass
class SynergyBoosting(_Choosing):
    """Gradient boosted trees on the sum and the |difference| of the drugs' fingerprints, and the cell line.

    Fingerprints are brought to `components` numbers by principal components of training's drugs (each counted once).

    Args:
        components: of the fingerprints.
        rounds: how many trees, to choose from.
        learning_rate: of each.
        leaves: of each.
        seed: of the trees.
    """

    components: int = 24
    rounds: tuple[int, ...] = (300, 100)
    learning_rate: float = 0.1
    leaves: int = 31
    seed: int = 0

    @property
    def name(self) -> str:
        """As it stands in reports."""
        return "boosting on fingerprints"

    def _fits(self, train: Synergies) -> list[Any]:
        from sklearn.ensemble import HistGradientBoostingRegressor

        bits = np.asarray(morgan(train.smiles, 3, 2048, counts=True).toarray(), dtype=np.float64)
        there = np.union1d(train.first, train.second)
        centre = bits[there].mean(axis=0)
        axes = np.linalg.svd(bits[there] - centre, full_matrices=False)[2][: self.components]
        drugs = (bits - centre) @ axes.T
        cells = np.unique(train.cell)
        if cells.size > 255:
            raise SchemaError(f"{self.name}: {cells.size} cell lines; at most 255 can be told apart.")

        def design(pairs: Synergies) -> Float64[np.ndarray, "n k"]:
            _same_tables(train, pairs)
            a, b = drugs[pairs.first], drugs[pairs.second]
            place = np.minimum(np.searchsorted(cells, pairs.cell), cells.size - 1)
            known = np.where(cells[place] == pairs.cell, place, np.nan)  # what trees have not seen is missing to them
            return np.column_stack([a + b, np.abs(a - b), known])

        X = design(train)
        most = max(self.rounds)
        model = HistGradientBoostingRegressor(
            max_iter=most, learning_rate=self.learning_rate, max_leaf_nodes=self.leaves, early_stopping=False,
            categorical_features=[X.shape[1] - 1], random_state=self.seed,
        ).fit(X, train.value)  # fmt: skip

        def after(rounds: int) -> Any:
            def scores(pairs: Synergies) -> Float64[np.ndarray, " n"]:
                stages = model.staged_predict(design(pairs))
                return np.asarray(next(found for number, found in enumerate(stages, 1) if number == rounds))

            return scores

        return [after(rounds) for rounds in self.rounds]


def _same_tables(train: Synergies, pairs: Synergies) -> None:
    """Baselines know drugs and cell lines by their rows."""
    if train.drugs is not pairs.drugs and not train.drugs.equals(pairs.drugs):
        raise SchemaError("Baselines score parts of the synergies that they were fitted on; these are others.")


def synergy_baselines(seed: int = 0) -> tuple[SynergyBaseline, ...]:
    """Those that a report has beside a head."""
    return (
        SynergyMean(),
        SynergyEffects(),
        SynergyEffects(pair=True),
        SynergyEffects(pair=True, drug_in_cell=True),
        SynergyNeighbours(),
        SynergyRidge(),
        SynergyBoosting(seed=seed),
    )
