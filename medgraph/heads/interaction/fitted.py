"""What a fitted head knows, how it answers, and how it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from medgraph.artefact import Artefact, read_artefact, write_artefact
from medgraph.data.affinities import Affinities
from medgraph.evaluation.calibration import TemperatureCalibrator
from medgraph.heads.interaction.card import card_of
from medgraph.heads.interaction.features import Entities, Features, Saved
from medgraph.heads.interaction.losses import Loss
from medgraph.heads.interaction.members import member_weights, restored_members
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.heads.interaction.uncertainty import Conformal
from medgraph.training import History

__all__ = ["Fitted", "NetworkMaker", "Scale", "Vectors", "entity_table", "load_fitted", "save_fitted"]

Vectors: TypeAlias = tuple[Tensor, ...]  # one (m, d) a member
NetworkMaker: TypeAlias = Callable[[Features, Features, int], PairNetwork]
_LETTERS = 100_000  # of texts encoded at a time: bounds the memory, some 100 MB


@dataclass(frozen=True)
class Scale:
    """(value - mean) / std: what the loss sees of a measured value."""

    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """What `fit` found.

    Args:
        networks: the trained members.
        drug_features: how drugs become tensors.
        target_features: how targets do.
        loss: what the outputs mean.
        scale: of the values.
        kind: of the values.
        unit: of the values; "probability" of a binary head.
        limit: values at or below it mean "at most this".
        conformal: of regression, from valid.
        calibrator: of a binary head, from valid.
        drugs: id, smiles, sha256 of it, seen (occurs in a training pair).
        targets: id, sequence, sha256 of it, seen.
        history: of each member.
        counts: of pairs and entities.
        notes: what a reader should know.
        source: fingerprint and provenance of the affinities.
        train: in memory only, for the baselines; None after `load`.
        valid: in memory only; None after `load`.
    """

    networks: tuple[PairNetwork, ...]
    drug_features: Features
    target_features: Features
    loss: Loss
    scale: Scale
    kind: str
    unit: str
    limit: float | None
    conformal: Conformal | None
    calibrator: TemperatureCalibrator | None
    drugs: pa.Table
    targets: pa.Table
    history: tuple[History, ...]
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]
    source: Mapping[str, Any]
    train: Affinities | None = None
    valid: Affinities | None = None

    @property
    def device(self) -> torch.device:
        """Where the members are."""
        return next(self.networks[0].parameters()).device

    def vectors(self, side: Literal["drugs", "targets"], entities: Entities, size: int) -> Vectors:
        """Each entity through its encoder once, those of like length together, at most `size` at a time."""
        features = self.drug_features if side == "drugs" else self.target_features
        encoded = features.of(entities)
        order = np.argsort([len(text) for text in entities.texts], kind="stable").astype(np.int64)
        place = torch.from_numpy(np.argsort(order))
        found: list[list[Tensor]] = [[] for _ in self.networks]
        with torch.no_grad():
            for rows in _chunks(order, [len(text) for text in entities.texts], size):
                inputs = encoded.tensors(rows, self.device)
                for member, network in zip(found, self.networks, strict=True):
                    encoder: nn.Module = getattr(network.eval(), side)
                    member.append(encoder(*inputs))
        if not len(entities):
            return tuple(torch.zeros(0, 0, device=self.device) for _ in found)
        return tuple(torch.cat(member)[place.to(self.device)] for member in found)

    def answer(
        self,
        drugs: Vectors,
        targets: Vectors,
        drug: Int64[np.ndarray, " n"],
        target: Int64[np.ndarray, " n"],
        size: int,
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"] | None]:
        """Value and standard deviation of each pair of rows, in the values' unit; of a binary head, log-odds.

        Members are averaged; the variance is the mean of theirs plus that of their means.
        """
        values = np.zeros((len(self.networks), drug.size))
        variances = np.zeros_like(values)
        limit = None if self.limit is None else (self.limit - self.scale.mean) / self.scale.std
        own = False
        with torch.no_grad():
            for start in range(0, drug.size, size):
                part = slice(start, start + size)
                rows, columns = (torch.from_numpy(rows[part]).to(self.device) for rows in (drug, target))
                for number, (network, d, t) in enumerate(zip(self.networks, drugs, targets, strict=True)):
                    raw = network.eval().join(d[rows], t[columns])
                    value, std = self.loss.answer(raw, network.learned, limit)
                    values[number, part] = value.double().cpu().numpy()
                    if std is not None:
                        own = True
                        variances[number, part] = std.double().cpu().numpy() ** 2
        std_ = None
        if own or len(self.networks) > 1:
            std_ = np.sqrt(variances.mean(axis=0) + values.var(axis=0)) * self.scale.std
        return values.mean(axis=0) * self.scale.std + self.scale.mean, std_

    def seen(self, side: Literal["drugs", "targets"], texts: Sequence[str]) -> Bool[np.ndarray, " m"]:
        """Was the same molecule (standardised SMILES) or sequence in a training pair?"""
        known = self._trained_on[side]
        return np.array([text in known for text in texts], dtype=bool)

    @cached_property
    def _trained_on(self) -> Mapping[str, frozenset[str]]:
        sides = (("drugs", self.drugs, "smiles"), ("targets", self.targets, "sequence"))
        return {side: frozenset(table.filter(table["seen"])[text].to_pylist()) for side, table, text in sides}


def _chunks(order: Int64[np.ndarray, " m"], lengths: Sequence[int], size: int) -> Iterator[Int64[np.ndarray, " k"]]:
    """At most `size` entities and `_LETTERS` letters at a time, or one."""
    start = letters = 0
    for end, row in enumerate(order.tolist()):
        letters += lengths[row]
        if end > start and (end - start == size or letters > _LETTERS):
            yield order[start:end]
            start, letters = end, lengths[row]
    if start < len(order):
        yield order[start:]


def entity_table(table: pa.Table, text: str, rows: Int64[np.ndarray, " n"]) -> pa.Table:
    """id, text, its sha256, and whether it is among `rows`."""
    texts = table[text].to_pylist()
    seen = np.zeros(len(texts), dtype=bool)
    seen[rows] = True
    digests = [hashlib.sha256(str(t).encode()).hexdigest() for t in texts]
    return pa.table({"id": table["id"], text: table[text], "sha256": pa.array(digests, pa.string()), "seen": seen})


def save_fitted(folder: str | Path, kind: str, parameters: Mapping[str, Any], state: Fitted, seed: int) -> None:
    """Write the artefact."""
    tensors: dict[str, Mapping[str, np.ndarray]] = {"weights": member_weights(state.networks)}
    if state.conformal is not None:
        tensors["conformal"] = {"errors": state.conformal.errors}
    tables = {"drugs": state.drugs, "targets": state.targets}
    features: dict[str, Any] = {}
    for side, found in (("drug", state.drug_features), ("target", state.target_features)):
        saved = found.saved()
        features[side] = {"class": type(found).__name__, **saved.parameters}
        if saved.arrays:
            tensors[f"{side}_features"] = saved.arrays
        tables |= {f"{side}_features.{name}": table for name, table in saved.tables.items()}
    write_artefact(
        folder,
        Artefact(
            kind=kind,
            parameters={
                **parameters,
                "fitted_loss": state.loss.to_dict(),
                "features": features,
                "scale": [state.scale.mean, state.scale.std],
                "values": {"kind": state.kind, "unit": state.unit, "limit": state.limit},
                "normalised": state.conformal is not None and state.conformal.normalised,
                "temperature": None if state.calibrator is None else state.calibrator.temperature_,
                "notes": list(state.notes),
            },
            tensors=tensors,
            tables=tables,
            graph=state.source,
            metrics={"history": [list(history)[-1:] for history in state.history], "counts": state.counts},
            seed=seed,
            card=card_of(kind, parameters, state),
        ),
    )


def load_fitted(
    folder: str | Path, kind: str
) -> tuple[Mapping[str, Any], Callable[[NetworkMaker, torch.device], Fitted]]:
    """Hyper-parameters, and what makes the fitted state once it is told how to build the network."""
    saved = read_artefact(folder, kind)
    given = saved.parameters

    def features_of(side: str) -> Features:
        parameters = dict(given["features"][side])
        start = f"{side}_features."
        tables = {name.removeprefix(start): table for name, table in saved.tables.items() if name.startswith(start)}
        own = Features.named(parameters.pop("class"))
        return own.restore(Saved(parameters, saved.tensors.get(f"{side}_features", {}), tables))

    def make(network_of: NetworkMaker, device: torch.device) -> Fitted:
        drugs, targets = features_of("drug"), features_of("target")
        loss = Loss.from_dict(given["fitted_loss"])

        def draw() -> PairNetwork:
            return network_of(drugs, targets, loss.outputs).with_learned(loss.learned).to(device)

        networks = restored_members(saved.tensors["weights"], len(saved.metrics["history"]), draw)
        conformal = calibrator = None
        if "conformal" in saved.tensors:
            conformal = Conformal(saved.tensors["conformal"]["errors"], given["normalised"])
        if given["temperature"] is not None:
            calibrator = TemperatureCalibrator()
            calibrator.temperature_ = given["temperature"]
        return Fitted(
            networks, drugs, targets, loss, Scale(*given["scale"]), given["values"]["kind"],
            given["values"]["unit"], given["values"]["limit"], conformal, calibrator, saved.tables["drugs"],
            saved.tables["targets"], tuple(History(h) for h in saved.metrics["history"]), saved.metrics["counts"],
            tuple(given["notes"]), saved.graph,
        )  # fmt: skip

    return given, make
