"""Similar drugs bind similar targets: ridge regression with a Kronecker product of kernels, missing cells left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from medgraph.errors import SchemaError
from medgraph.heads.interaction.baselines.base import Baseline, Cells, squared_error
from medgraph.heads.interaction.baselines.shifted import solve_shifted
from medgraph.heads.interaction.baselines.similarity import KmerCosine, Similarity, Tanimoto, blocks

if TYPE_CHECKING:
    from typing import Self

    from scipy.sparse import csr_matrix

__all__ = ["KronRLS"]

_Kernel = Float64[np.ndarray, "_ _"]
_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_TRIES = {"target_power": (0.7, 0.5, 1.0), "drug_power": (1.0, 1.5), "identity": (0.1, 0.3, 0.03)}


_Encoded: TypeAlias = "tuple[csr_matrix, csr_matrix]"


class _Known(NamedTuple):
    cells: Cells
    drugs: csr_matrix
    targets: csr_matrix
    mean: float
    dual: Float64[np.ndarray, "d t"]


@dataclass(eq=False, kw_only=True)
class KronRLS(Baseline):
    """y = mean + sum over known pairs of c' K_drug(d, d') K_target(t, t'), where (K + ridge) c = y - mean.

    Kronecker regularised least squares (Pahikkala et al. 2015, doi:10.1093/bib/bbu010) on any set of cells: conjugate
    gradients, where the product with K is two products of small matrices (the vec trick). Each kernel is
    (similarity^power + constant + identity x [the same id]) / (1 + constant + identity): the constants bring in what a
    drug or a target does on average, the identities what is its own, which no structure tells. On new ones these are 0.
    A power below 1 may leave a kernel indefinite; iterations then stop where they meet it.

    Args:
        drug_power: of the drug similarity; None: chosen on valid.
        target_power: of the target similarity; None: chosen on valid.
        identity: weight of the id itself, on either side or (of drugs, of targets); None: chosen on valid. 0 for
            structure alone.
        constant: weight of a constant, likewise.
        ridge: None: chosen on valid.
        iterations: of conjugate gradients, at most.
        tolerance: they stop at this share of the first residual.
        drug_similarity: between SMILES.
        target_similarity: between sequences.
    """

    drug_power: float | None = None
    target_power: float | None = None
    identity: float | Sequence[float] | None = None
    constant: float | Sequence[float] = 0.2
    ridge: float | None = None
    iterations: int = 200
    tolerance: float = 1e-4
    drug_similarity: Similarity = field(default_factory=Tanimoto)
    target_similarity: Similarity = field(default_factory=KmerCosine)
    name: ClassVar[str] = "KronRLS"

    def __post_init__(self) -> None:
        for name in ("drug_power", "target_power", "ridge", "iterations", "tolerance"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise SchemaError(f"KronRLS: {name} must be above 0, not {given}.")
        for name in ("identity", "constant"):
            given = getattr(self, name)
            if given is not None and not (len(_sides(given)) == 2 and min(_sides(given)) >= 0):
                raise SchemaError(f"KronRLS: {name} must be at least 0, one number or two, not {given}.")

    def _undecided(self) -> bool:
        return None in (self.ridge, *(getattr(self, name) for name in _TRIES))

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        """One setting after the other, from the first value of each; all ridges at once."""
        for cells in (learning, looking):
            cells.check_size()
        encoded = self._encoded(learning)
        inner, outer = self._alike(encoded, encoded), self._alike(self._encoded(looking), encoded)
        ridges = _RIDGES if self.ridge is None else (self.ridge,)

        def tried(one: Self) -> tuple[float, Self]:
            kernels, crossed = one._kernels(inner, learning, learning), one._kernels(outer, looking, learning)
            mean, duals = one._solved(kernels, learning, ridges)
            errors = [
                squared_error(looking, mean + (crossed[0] @ dual @ crossed[1].T)[looking.drug, looking.target])
                for dual in duals
            ]
            least = int(np.argmin(errors))
            return errors[least], replace(one, ridge=ridges[least])

        undecided = [name for name in _TRIES if getattr(self, name) is None]
        first: dict[str, Any] = {name: _TRIES[name][0] for name in undecided}
        least, best = tried(replace(self, **first))
        for name in undecided:
            for value in _TRIES[name][1:]:
                change: dict[str, Any] = {name: value}
                error, one = tried(replace(best, **change))
                if error < least:
                    least, best = error, one
        return best

    def _encoded(self, cells: Cells) -> _Encoded:
        return self.drug_similarity.encode(cells.drugs.texts), self.target_similarity.encode(cells.targets.texts)

    def _alike(self, asked: _Encoded, known: _Encoded) -> tuple[_Kernel, _Kernel]:
        """The similarities of drugs, and of targets."""
        return self.drug_similarity.between(asked[0], known[0]), self.target_similarity.between(asked[1], known[1])

    def _kernels(self, alike: tuple[np.ndarray, np.ndarray], asked: Cells, known: Cells) -> tuple[_Kernel, _Kernel]:
        """The kernels between those asked for and those known, from their similarities."""
        assert self.drug_power is not None
        assert self.target_power is not None
        assert self.identity is not None
        weights = list(zip(_sides(self.constant), _sides(self.identity), strict=True))
        return (
            _kernel(alike[0] ** self.drug_power, *weights[0], asked.drugs.places_in(known.drugs)),
            _kernel(alike[1] ** self.target_power, *weights[1], asked.targets.places_in(known.targets)),
        )

    def _solved(
        self, kernels: tuple[_Kernel, _Kernel], cells: Cells, ridges: tuple[float, ...]
    ) -> tuple[float, list[Float64[np.ndarray, "d t"]]]:
        """The mean, and for each ridge the coefficients as a table."""
        mean = float(cells.value.mean())

        def product(c: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
            return np.asarray((kernels[0] @ cells.table(c) @ kernels[1])[cells.drug, cells.target])

        found = solve_shifted(product, cells.value - mean, ridges, self.iterations, self.tolerance)
        return mean, [cells.table(c) for c in found]

    def _learn(self, cells: Cells) -> _Known:
        assert self.ridge is not None
        cells.check_size()
        encoded = self._encoded(cells)
        kernels = self._kernels(self._alike(encoded, encoded), cells, cells)
        mean, (dual,) = self._solved(kernels, cells, (self.ridge,))
        return _Known(cells, *encoded, mean, dual)

    def _score(self, model: _Known, cells: Cells) -> Float64[np.ndarray, " n"]:
        found = np.empty(len(cells))
        for pairs in blocks(cells.drug):
            part = cells.take(pairs)
            alike = self._alike(self._encoded(part), (model.drugs, model.targets))
            drug, target = self._kernels(alike, part, model.cells)
            found[pairs] = model.mean + (drug @ model.dual @ target.T)[part.drug, part.target]
        return found


def _sides(given: float | Sequence[float]) -> tuple[float, ...]:
    """Of drugs, and of targets."""
    return tuple(given) if isinstance(given, Sequence) else (given, given)


def _kernel(
    alike: Float64[np.ndarray, "m d"], constant: float, identity: float, place: Int64[np.ndarray, " m"]
) -> Float64[np.ndarray, "m d"]:
    """The similarities with a constant and, where row and column are the same entity, the identity; 1 at most."""
    kernel = alike + constant
    same = np.flatnonzero(place >= 0)
    kernel[same, place[same]] += identity
    return np.asarray(kernel / (1 + constant + identity))
