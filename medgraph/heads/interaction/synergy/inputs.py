"""What a network of drug pairs reads: fingerprints and cell lines, standardised by training's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32, Float64, Int64

from medgraph.artefact import Artefact
from medgraph.data.molecules import morgan, tanimoto
from medgraph.data.synergies import Synergies
from medgraph.errors import SchemaError
from medgraph.heads.interaction.synergy.network import SynergyBatch

__all__ = ["SynergyInputs", "SynergyTensors", "blocks_of_pairs"]


@dataclass(frozen=True, eq=False)
class SynergyInputs:
    """tanh((x - mean) / sd), with the mean and the deviation of training's drugs, each counted once (Preuer 2018).

    Or, where `known` is given, how like each of training's drugs it is: 6 x Tanimoto's coefficient of ECFP4.

    Args:
        radius: of the circular neighbourhoods.
        bits: that they are folded to.
        columns: those that vary among training's drugs.
        mean: of these.
        deviation: of these.
        cells: cell lines that training has.
        cell_mean: of their features; None where vectors are learned.
        cell_deviation: of their features.
        cell_values: their features, as given.
        known: structures of training's drugs; () where features are fingerprints.
    """

    radius: int
    bits: int
    columns: Int64[np.ndarray, " f"]
    mean: Float64[np.ndarray, " f"]
    deviation: Float64[np.ndarray, " f"]
    cells: tuple[str, ...]
    cell_mean: Float64[np.ndarray, " g"] | None = None
    cell_deviation: Float64[np.ndarray, " g"] | None = None
    cell_values: Float64[np.ndarray, "c g"] | None = None
    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, train: Synergies, radius: int, bits: int, similarity: bool = False) -> SynergyInputs:
        """Fitted on what training has, and on nothing else.

        Raises:
            SchemaError: features of cell lines that no cell line of train has.
        """
        there = np.union1d(train.first, train.second)
        structures = train.smiles
        smiles = [structures[row] for row in there.tolist()]
        counts = morgan(smiles, radius, bits, counts=True).toarray().astype(np.float64)
        columns = np.flatnonzero(np.ptp(counts, axis=0) > 0)
        cells = np.unique(train.cell)
        ids = train.cells["id"].to_pylist()
        mean = deviation = values = None
        if train.features is not None:
            values = train.features[cells]
            known = values[~np.isnan(values).any(axis=1)]
            if not len(known):
                raise SchemaError(f"Cell lines have features, but none of the {cells.size} of train has all of them.")
            mean, deviation = known.mean(axis=0), known.std(axis=0)
            deviation = np.where(deviation > 1e-12 * np.maximum(1, np.abs(mean)), deviation, 1.0)
        return cls(
            radius, bits, columns, counts[:, columns].mean(axis=0), counts[:, columns].std(axis=0),
            tuple(ids[row] for row in cells.tolist()), mean, deviation, values,
            tuple(smiles) if similarity else (),
        )  # fmt: skip

    def drugs(self, smiles: Sequence[str]) -> Float32[np.ndarray, "u f"]:
        """The features of these structures."""
        if self.known:
            return np.asarray(6 * tanimoto(morgan(smiles), self._reference), dtype=np.float32)
        counts = morgan(smiles, self.radius, self.bits, counts=True)[:, self.columns].toarray().astype(np.float64)
        return np.asarray(np.tanh((counts - self.mean) / self.deviation), dtype=np.float32)

    @property
    def size(self) -> int:
        """How many features a drug has."""
        return len(self.known) or self.columns.size

    @cached_property
    def _reference(self) -> Any:
        return morgan(self.known)

    def cell_numbers(self, ids: Sequence[str]) -> Int64[np.ndarray, " c"]:
        """Which of training's cell lines each is; -1 for none of them."""
        place = {name: number for number, name in enumerate(self.cells)}
        return np.array([place.get(name, -1) for name in ids], dtype=np.int64)

    def cell_features(self, data: Synergies) -> Float32[np.ndarray, "c g"] | None:
        """Of the table of cell lines, standardised as training's; nan where unknown, None where vectors are learned."""
        if self.cell_mean is None or self.cell_values is None:
            return None
        given = data.features
        if given is None:
            given = np.full((data.cells.num_rows, self.cell_mean.size), np.nan)
        numbers = self.cell_numbers(data.cells["id"].to_pylist())
        known = np.where((numbers >= 0)[:, None] & np.isnan(given), self.cell_values[numbers], given)
        return np.asarray(np.tanh((known - self.cell_mean) / self.cell_deviation), dtype=np.float32)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """What an artefact keeps besides plain parameters."""
        found: dict[str, np.ndarray] = {"columns": self.columns, "mean": self.mean, "deviation": self.deviation}
        for name in ("cell_mean", "cell_deviation", "cell_values"):
            if (array := getattr(self, name)) is not None:
                found[name] = array
        return found

    @classmethod
    def from_artefact(cls, saved: Artefact) -> SynergyInputs:
        """The reverse."""
        arrays: Mapping[str, Any] = saved.tensors["inputs"]
        cells: pa.Table = saved.tables["cells"]
        drugs: pa.Table = saved.tables["drugs"]
        known = drugs.filter(drugs["seen"])["smiles"].to_pylist() if saved.parameters["similarity"] else ()
        return cls(
            int(saved.parameters["radius"]), int(saved.parameters["bits"]), arrays["columns"], arrays["mean"],
            arrays["deviation"], tuple(cells["id"].to_pylist()), arrays.get("cell_mean"), arrays.get("cell_deviation"),
            arrays.get("cell_values"), tuple(known),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SynergyTensors:
    """Synergies (or questions about them) on a device, of which batches are cut.

    Args:
        drugs: features of all drugs there are.
        first: rows of `drugs`.
        second: rows of `drugs`.
        cell: as in `SynergyBatch`.
        features: of the table of cell lines.
        place: row of `features` for each row.
    """

    drugs: torch.Tensor
    first: Int64[np.ndarray, " n"]
    second: Int64[np.ndarray, " n"]
    cell: Int64[np.ndarray, " n"]
    features: torch.Tensor | None
    place: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, inputs: SynergyInputs, data: Synergies, device: torch.device) -> SynergyTensors:
        """All rows of `data`; only the drugs that occur are encoded."""
        there, ends = np.unique(np.stack([data.first, data.second]), return_inverse=True)
        ends = ends.reshape(2, -1)
        smiles = data.smiles
        drugs = torch.from_numpy(inputs.drugs([smiles[row] for row in there.tolist()])).to(device)
        known = inputs.cell_numbers(data.cells["id"].to_pylist())
        features = inputs.cell_features(data)
        table = None if features is None else torch.from_numpy(features).to(device)
        return cls(drugs, ends[0], ends[1], known[data.cell], table, data.cell)

    def batch(self, rows: Int64[np.ndarray, " m"]) -> SynergyBatch:
        """These rows, with every drug and pair once."""
        device = self.drugs.device
        first, second = self.first[rows], self.second[rows]
        pairs, pair = np.unique(first * len(self.drugs) + second, return_inverse=True)
        drugs, ends = np.unique(np.stack(np.divmod(pairs, len(self.drugs))), return_inverse=True)
        ends = ends.reshape(2, -1)

        def there(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        return SynergyBatch(
            self.drugs[there(drugs)], there(ends[0]), there(ends[1]), there(pair), there(self.cell[rows]),
            None if self.features is None else self.features[there(self.place[rows])],
        )  # fmt: skip


def blocks_of_pairs(
    pair: Int64[np.ndarray, " n"], block: int, batch_size: int, rng: np.random.Generator
) -> list[Int64[np.ndarray, " _"]]:
    """All rows once, shuffled so that up to `block` rows of one pair stay together in a batch."""
    order = np.lexsort((rng.random(pair.size), pair))
    begins = np.flatnonzero(np.append(True, np.diff(pair[order]) != 0))
    within = np.arange(pair.size) - np.repeat(begins, np.diff(np.append(begins, pair.size)))
    number = np.cumsum((within % block) == 0) - 1
    shuffled = order[np.argsort(rng.permutation(int(number[-1]) + 1)[number], kind="stable")]
    return [shuffled[start : start + batch_size] for start in range(0, pair.size, batch_size)]
