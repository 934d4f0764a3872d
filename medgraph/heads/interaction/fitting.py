"""How a head is fitted: encode each entity, train the members, stop by valid, learn the intervals from valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from medgraph.data.affinities import Affinities
from medgraph.errors import SchemaError
from medgraph.evaluation.calibration import TemperatureCalibrator
from medgraph.heads.interaction.batching import PairData
from medgraph.heads.interaction.features import Encoded, Entities, Features
from medgraph.heads.interaction.fitted import Fitted, Scale, entity_table
from medgraph.heads.interaction.learning import Learning
from medgraph.heads.interaction.losses import BinaryCrossEntropy, Loss, SquaredError
from medgraph.heads.interaction.members import fit_members
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.heads.interaction.uncertainty import Conformal
from medgraph.training import EarlyStopping, History, Trainer, resolve_device

if TYPE_CHECKING:
    from medgraph.heads.interaction.base import InteractionHead

__all__ = ["default_loss", "encode_parts", "fit_head"]


def fit_head(
    head: InteractionHead,
    train: Affinities,
    valid: Affinities | None,
    checkpoint: str | Path | None,
    resume: bool,
    progress: bool,
) -> Fitted:
    """See `InteractionHead.fit`."""
    whole, held_aside = train, valid is None
    if valid is None:
        train, valid = _hold_aside(train, head.seed)
    _check(train, valid)
    loss = head._loss_for(train)
    scale = Scale()
    if loss.kind == "regression":
        scale = Scale(float(train.value.mean()), float(train.value.std()) or 1.0)
    limit = None if train.limit is None else (train.limit - scale.mean) / scale.std
    device = resolve_device(head.device)
    drug_features, target_features = head._drugs(train), head._targets(train)
    data = encode_parts(drug_features, target_features, (train, valid), scale, device)
    settings = {
        **head._parameters(),
        "fitted_loss": loss.to_dict(),
        "train": train.fingerprint,
        "valid": valid.fingerprint,
        **head._identity(),
    }

    def draw() -> PairNetwork:
        return head._network(drug_features, target_features, loss.outputs).with_learned(loss.learned)

    def learn(network: PairNetwork, trainer: Trainer) -> History:
        task = Learning(head, network, loss, limit, *data, trainer.seed, settings)
        return replace(trainer, early_stopping=EarlyStopping(task.monitor, head.patience)).run(task)

    trainer = Trainer(
        head.epochs, head.seed, clip_norm=head.clip_norm, mixed_precision=head.mixed_precision, checkpoint=checkpoint,
        resume=resume, progress=progress, description=type(head).__name__,
    )  # fmt: skip
    networks, histories = fit_members(trainer, head.members, draw, learn, device)
    notes = [f"drugs: {note}" for note in data[0].drugs.notes] + [f"targets: {note}" for note in data[0].targets.notes]
    if held_aside:
        notes.append(f"no valid part was given: {len(valid):,} random ones of {len(whole):,} pairs were held aside")
    state = Fitted(
        networks, drug_features, target_features, loss, scale, train.kind,
        "probability" if train.kind == "binary" else train.unit, train.limit, None, None,
        entity_table(train.drugs, "smiles", train.drug), entity_table(train.targets, "sequence", train.target),
        histories, {"train": _counts(train), "valid": _counts(valid)}, tuple(notes),
        {"fingerprint": whole.fingerprint, "provenance": [vars(source) for source in train.provenance]}, train, valid,
    )  # fmt: skip
    return _calibrated(state, valid, head.predict_batch)


def _calibrated(state: Fitted, valid: Affinities, size: int) -> Fitted:
    """With what valid says of errors (regression), or of log-odds (binary)."""
    sides = [
        state.vectors("drugs", Entities.of_table(valid.drugs, "smiles"), size),
        state.vectors("targets", Entities.of_table(valid.targets, "sequence"), size),
    ]
    value, std = state.answer(sides[0], sides[1], valid.drug, valid.target, size)
    if state.kind == "regression":
        return replace(state, conformal=Conformal.fitted(valid.value, value, std))
    truth = valid.value == 1
    if not 0 < truth.sum() < truth.size:
        return replace(state, notes=(*state.notes, "not calibrated: all valid pairs have the same value"))
    return replace(state, calibrator=TemperatureCalibrator().fit(value, truth))


def encode_parts(
    drugs: Features, targets: Features, parts: tuple[Affinities, Affinities], scale: Scale, device: torch.device
) -> tuple[PairData, PairData]:
    """Both parts; tables that they share are encoded once."""
    found: list[PairData] = []
    known: dict[int, Encoded] = {}
    for part in parts:
        for table, features, text in ((part.drugs, drugs, "smiles"), (part.targets, targets, "sequence")):
            if id(table) not in known:
                known[id(table)] = features.of(Entities.of_table(table, text))
        value = (part.value - scale.mean) / scale.std
        encoded = (known[id(part.drugs)], known[id(part.targets)])
        found.append(PairData(*encoded, part.drug, part.target, value, part.censored, device))
    return found[0], found[1]


def _hold_aside(whole: Affinities, seed: int) -> tuple[Affinities, Affinities]:
    """A random tenth is valid."""
    if len(whole) < 10:
        raise SchemaError(f"{len(whole)} pairs are too few to hold a tenth aside; give the valid part.")
    order = np.random.default_rng(seed).permutation(len(whole))
    part = max(1, len(whole) // 10)
    return whole.take(np.sort(order[part:])), whole.take(np.sort(order[:part]))


def _check(train: Affinities, valid: Affinities) -> None:
    for name, part in (("train", train), ("valid", valid)):
        if not len(part):
            raise SchemaError(f"The {name} part has no pair.")
    for name in ("kind", "unit", "limit"):
        if (first := getattr(train, name)) != (second := getattr(valid, name)):
            raise SchemaError(f"train has {name}={first!r} and valid {second!r}: these are not parts of one data set.")


def _counts(part: Affinities) -> dict[str, int]:
    return {"pairs": len(part), "drugs": np.unique(part.drug).size, "targets": np.unique(part.target).size}


def default_loss(kind: str) -> Loss:
    """The plain one for values of this kind."""
    return BinaryCrossEntropy() if kind == "binary" else SquaredError()
