"""What binds alike is alike: KronRLS whose kernels also compare interaction profiles, filled in stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64

from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Baseline, Cells, squared_error
from medgraph.heads.interaction.baselines.shifted import solve_shifted
from medgraph.heads.interaction.baselines.similarity import KmerCosine, Similarity, Tanimoto, blocks

if TYPE_CHECKING:
    from typing import Self

    from scipy.sparse import csr_matrix

__all__ = ["ProfileKronRLS"]

_RIDGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_Table = Float64[np.ndarray, "_ _"]


class _Stage(NamedTuple):
    """One regression: the profiles that its kernels compared (none in the first), their scales, and its solution."""

    profiles: _Table | None
    scales: tuple[float, float]
    dual: _Table
    of_drugs: _Table  # dual K_target: what a drug's kernel row is multiplied by, for its values on known targets
    of_targets: _Table  # K_drug dual
    ridge: float


class _Known(NamedTuple):
    cells: Cells
    drugs: csr_matrix
    targets: csr_matrix
    mean: float
    stages: tuple[_Stage, ...]


class _Alike(NamedTuple):
    """Similarities to the known (to the power), and who is the same as whom."""

    drug: Float64[np.ndarray, "m d"]
    target: Float64[np.ndarray, "n t"]
    same_drug: np.ndarray
    same_target: np.ndarray


@dataclass(eq=False, kw_only=True)
class ProfileKronRLS(Baseline):
    """KronRLS with K = (1 - p - i) similarity^power + p exp(-|a - b|² / (width median|a - b|²)) + i [the same id].

    a and b are interaction profiles: what a drug does on every known target, what every known drug does on a target
    (van Laarhoven et al. 2011, doi:10.1093/bioinformatics/btr500). Cells that were not measured are filled in by the
    regression of the stage before, the first of which knows structures and ids alone, so a new drug or target gets a
    predicted profile too (after Mei et al. 2013, doi:10.1093/bioinformatics/bts670, who infer it from neighbours).

    Args:
        stages: regressions after the first; None: as many of `most` as valid finds best.
        most: stages that are tried.
        ridge: of every stage; None: chosen on valid, stage by stage.
        drug_profile: p of drugs.
        target_profile: p of targets.
        identity: i, on either side; the first stage, which has no profiles, takes p for it as well, at most a half.
        drug_width: of the profiles' kernel.
        target_width: likewise.
        drug_power: of the similarity.
        target_power: likewise.
        iterations: of conjugate gradients, at most.
        tolerance: they stop at this share of the first residual.
        drug_similarity: between SMILES.
        target_similarity: between sequences.
    """

    stages: int | None = None
    most: int = 4
    ridge: float | None = None
    drug_profile: float = 0.7
    target_profile: float = 0.5
    identity: float = 0.05
    drug_width: float = 0.7
    target_width: float = 0.7
    drug_power: float = 1.0
    target_power: float = 0.7
    iterations: int = 120
    tolerance: float = 1e-3
    drug_similarity: Similarity = field(default_factory=Tanimoto)
    target_similarity: Similarity = field(default_factory=KmerCosine)
    name: ClassVar[str] = "KronRLS on profiles"

    def __post_init__(self) -> None:
        for name in ("ridge", "drug_width", "target_width", "drug_power", "target_power", "iterations", "tolerance"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise SchemaError(f"ProfileKronRLS: {name} must be above 0, not {given}.")
        for name in ("drug_profile", "target_profile"):
            if not 0 <= getattr(self, name) <= 1 - self.identity <= 1:
                raise SchemaError(f"ProfileKronRLS: {name} and identity must be at least 0 and at most 1 together.")
        if self.most < 0 or (self.stages is not None and self.stages < 0):
            raise SchemaError(f"ProfileKronRLS: stages={self.stages}, most={self.most}; expected at least 0.")

    def _undecided(self) -> bool:
        return self.ridge is None or self.stages is None

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        errors: list[tuple[float, int, float]] = []
        self._staged(learning, looking, errors)
        _, stages, ridge = min(errors)
        return replace(self, stages=stages, ridge=ridge)

    def _learn(self, cells: Cells) -> _Known:
        return self._staged(cells, None, [])

    def _staged(self, cells: Cells, looking: Cells | None, errors: list[tuple[float, int, float]]) -> _Known:
        """All stages; with `looking`, each takes the ridge best there, and `errors` is told (error, stage, ridge)."""
        cells.check_size()
        encoded = self.drug_similarity.encode(cells.drugs.texts), self.target_similarity.encode(cells.targets.texts)
        mean = float(cells.value.mean())
        alike = self._alike(encoded, encoded, cells, cells)
        known = _Known(cells, *encoded, mean, ())
        asked = None if looking is None else self._asked(known, looking)
        profiles: _Table | None = None
        rows: _Table | None = None  # profiles of those looked at
        columns: _Table | None = None
        last = self.most if self.stages is None else self.stages
        for number in range(last + 1):
            scales = (1.0, 1.0)
            if profiles is not None:
                scales = self.drug_width * _spread(profiles), self.target_width * _spread(profiles.T)
            drug = self._kernel(alike.drug, alike.same_drug, profiles, profiles, self.drug_profile, scales[0])
            target = self._kernel(
                alike.target, alike.same_target, _turned(profiles), _turned(profiles), self.target_profile, scales[1]
            )
            ridges = _RIDGES if self.ridge is None else (self.ridge,)
            duals = self._solved((drug, target), cells, mean, ridges)
            best = 0
            if looking is not None and asked is not None:
                first, second = self._crossed(asked, profiles, rows, columns, scales)
                found = [(mean + first @ dual @ second.T)[looking.drug, looking.target] for dual in duals]
                each = [squared_error(looking, one) for one in found]
                best = int(np.argmin(each))
                errors.append((each[best], number, ridges[best]))
                rows = mean + first @ duals[best] @ target
                columns = mean + drug @ duals[best] @ second.T
            stage = _Stage(profiles, scales, duals[best], duals[best] @ target, drug @ duals[best], float(ridges[best]))
            known = known._replace(stages=(*known.stages, stage))
            profiles = mean + stage.of_targets @ target
            profiles[cells.drug, cells.target] = cells.value
        return known

    def _alike(
        self, asked: tuple[csr_matrix, csr_matrix], known: tuple[csr_matrix, csr_matrix], cells: Cells, to: Cells
    ) -> _Alike:
        return _Alike(
            self.drug_similarity.between(asked[0], known[0]) ** self.drug_power,
            self.target_similarity.between(asked[1], known[1]) ** self.target_power,
            cells.drugs.places_in(to.drugs), cells.targets.places_in(to.targets),
        )  # fmt: skip

    def _asked(self, model: _Known, cells: Cells) -> _Alike:
        encoded = self.drug_similarity.encode(cells.drugs.texts), self.target_similarity.encode(cells.targets.texts)
        return self._alike(encoded, (model.drugs, model.targets), cells, model.cells)

    def _kernel(
        self, alike: np.ndarray, same: np.ndarray, a: np.ndarray | None, b: np.ndarray | None, p: float, scale: float
    ) -> np.ndarray:
        identity = self.identity if a is not None else min(0.5, self.identity + p)
        kernel = (1 - identity - (p if a is not None else 0)) * alike
        if a is not None and b is not None:
            kernel += p * np.exp(-_distances(a, b) / scale)
        there = np.flatnonzero(same >= 0)
        kernel[there, same[there]] += identity
        return kernel

    def _crossed(
        self, alike: _Alike, profiles: _Table | None, rows: _Table | None, columns: _Table | None,
        scales: tuple[float, float],
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Kernels between those asked for and those known; the known keep the profiles they were trained with."""
        if profiles is not None and rows is not None and columns is not None:
            rows, columns = rows.copy(), columns.T.copy()
            for mine, same, own in ((rows, alike.same_drug, profiles), (columns, alike.same_target, profiles.T)):
                there = np.flatnonzero(same >= 0)
                mine[there] = own[same[there]]
        return (
            self._kernel(alike.drug, alike.same_drug, rows, profiles, self.drug_profile, scales[0]),
            self._kernel(alike.target, alike.same_target, columns, _turned(profiles), self.target_profile, scales[1]),
        )

    def _solved(
        self, kernels: tuple[np.ndarray, np.ndarray], cells: Cells, mean: float, ridges: tuple[float, ...]
    ) -> list[_Table]:
        """For each ridge the coefficients as a table."""
        kind = np.float32 if max(cells.shape) > 1000 else np.float64  # halves the time where it is long
        drug: np.ndarray = kernels[0].astype(kind)
        target: np.ndarray = kernels[1].astype(kind)
        table: np.ndarray = np.zeros(cells.shape, dtype=kind)

        def product(c: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
            table[cells.drug, cells.target] = c
            return np.asarray(np.matmul(drug, np.matmul(table, target))[cells.drug, cells.target], dtype=np.float64)

        found = solve_shifted(product, cells.value - mean, ridges, self.iterations, self.tolerance)
        return [cells.table(c) for c in found]

    def _score(self, model: _Known, cells: Cells) -> Float64[np.ndarray, " n"]:
        found = np.empty(len(cells))
        for pairs in blocks(cells.drug):
            part = cells.take(pairs)
            alike = self._asked(model, part)
            rows: _Table | None = None
            columns: _Table | None = None
            for stage in model.stages:
                drug, target = self._crossed(alike, stage.profiles, rows, columns, stage.scales)
                rows, columns = model.mean + drug @ stage.of_drugs, model.mean + stage.of_targets @ target.T
            found[pairs] = model.mean + (drug @ model.stages[-1].dual @ target.T)[part.drug, part.target]
        return found


def _turned(table: _Table | None) -> np.ndarray | None:
    return None if table is None else table.T


def _distances(a: Float64[np.ndarray, "m k"], b: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "m n"]:
    """Squared."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0))


def _spread(profiles: Float64[np.ndarray, "m k"]) -> float:
    """The median squared distance between two of them."""
    found = _distances(profiles, profiles)[np.triu_indices(len(profiles), 1)]
    return float(np.median(found)) or 1.0 if found.size else 1.0
