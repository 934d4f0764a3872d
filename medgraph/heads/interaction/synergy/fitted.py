"""What a fitted DeepSynergy knows, how it answers, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from medgraph.artefact import Artefact, bullets, learned_from, read_artefact, settings, write_artefact
from medgraph.data.synergies import Synergies
from medgraph.heads.interaction.members import member_weights, restored_members
from medgraph.heads.interaction.synergy.inputs import SynergyInputs, SynergyTensors
from medgraph.heads.interaction.synergy.learning import answers
from medgraph.heads.interaction.synergy.network import SynergyNetwork
from medgraph.heads.interaction.uncertainty import Conformal
from medgraph.training import History

__all__ = ["FittedSynergy", "load_synergy", "save_synergy"]


@dataclass(frozen=True, eq=False, repr=False)
class FittedSynergy:
    """What `fit` found.

    Args:
        networks: the trained members.
        inputs: how drugs and cell lines become numbers.
        mean: of train's scores.
        std: of train's scores.
        score: what they are.
        conformal: from valid.
        drugs: id, smiles, names, seen (occurs in a training row).
        history: of each member.
        counts: of rows, pairs, drugs and cell lines.
        notes: what a reader should know.
        source: fingerprint and provenance of the synergies.
        train: in memory only, for the baselines; None after `load`.
        valid: in memory only; None after `load`.
    """

    networks: tuple[SynergyNetwork, ...]
    inputs: SynergyInputs
    mean: float
    std: float
    score: str
    conformal: Conformal | None
    drugs: pa.Table
    history: tuple[History, ...]
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]
    source: Mapping[str, Any]
    train: Synergies | None = None
    valid: Synergies | None = None

    def answer(self, data: Synergies) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"] | None]:
        """The mean of the members' scores of each row, and their standard deviation where there are several."""
        device = next(self.networks[0].parameters()).device
        tensors = SynergyTensors.of(self.inputs, data, device)
        each = np.stack([answers(network, tensors) for network in self.networks]) * self.std + self.mean
        return each.mean(axis=0), each.std(axis=0) if len(each) > 1 else None

    @property
    def names(self) -> dict[str, str]:
        """Every id and name that training knows, and its structure."""
        rows = zip(self.drugs["id"].to_pylist(), self.drugs["names"].to_pylist(), self.drugs["smiles"].to_pylist(),
                   strict=True)  # fmt: skip
        return {name: smiles for id_, names, smiles in rows for name in (*(names or ()), id_)}

    @property
    def seen(self) -> set[str]:
        """The structures that were trained on."""
        return set(self.drugs.filter(self.drugs["seen"])["smiles"].to_pylist())


def save_synergy(folder: str | Path, kind: str, parameters: Mapping[str, Any], state: FittedSynergy, seed: int) -> None:
    """Write the artefact."""
    tensors: dict[str, Mapping[str, np.ndarray]] = {
        "weights": member_weights(state.networks),
        "inputs": state.inputs.to_tensors(),
    }
    if state.conformal is not None:
        tensors["conformal"] = {"errors": state.conformal.errors}
    write_artefact(
        folder,
        Artefact(
            kind=kind,
            parameters={
                **parameters,
                "scale": [state.mean, state.std],
                "score": state.score,
                "normalised": state.conformal is not None and state.conformal.normalised,
                "notes": list(state.notes),
            },
            tensors=tensors,
            tables={"drugs": state.drugs, "cells": pa.table({"id": pa.array(state.inputs.cells, pa.string())})},
            graph=state.source,
            metrics={"history": [list(history)[-1:] for history in state.history], "counts": state.counts},
            seed=seed,
            card=_card(kind, parameters, state),
        ),
    )


def load_synergy(
    folder: str | Path, kind: str
) -> tuple[Mapping[str, Any], Callable[[Callable[[SynergyInputs], SynergyNetwork]], FittedSynergy]]:
    """Hyper-parameters, and what makes the fitted state once it is told how to build the network."""
    saved = read_artefact(folder, kind)
    given = saved.parameters

    def make(network_of: Callable[[SynergyInputs], SynergyNetwork]) -> FittedSynergy:
        inputs = SynergyInputs.from_artefact(saved)
        count = len(saved.metrics["history"])
        networks = restored_members(saved.tensors["weights"], count, lambda: network_of(inputs))
        conformal = None
        if "conformal" in saved.tensors:
            conformal = Conformal(saved.tensors["conformal"]["errors"], given["normalised"])
        return FittedSynergy(
            networks, inputs, given["scale"][0], given["scale"][1], given["score"], conformal,
            saved.tables["drugs"], tuple(History(h) for h in saved.metrics["history"]), saved.metrics["counts"],
            tuple(given["notes"]), saved.graph,
        )  # fmt: skip

    return given, make


def _card(kind: str, parameters: Mapping[str, Any], state: FittedSynergy) -> str:
    counts = "\n".join(
        f"| {part} | {found['rows']:,} | {found['pairs']:,} | {found['drugs']:,} | {found['cells']:,} |"
        for part, found in state.counts.items()
    )
    intervals = "none"
    if state.conformal is not None:
        half = state.conformal.quantile(0.9)
        intervals = f"split conformal on {len(state.conformal):,} valid rows; 90 %: ± {half:.3g}"
    return f"""# {kind}: {state.score}

Predicts for two drugs (SMILES) and a cell line how well they work together: {state.score}. Which drug stands first
makes no difference. Of a cell line that it does not know it says what it would say of the mean of those that it does.

- members: {len(state.networks)}
- intervals: {intervals}

| part | rows | pairs | drugs | cell lines |
|---|---|---|---|---|
{counts}

{learned_from("synergies", state.source)}

## Notes
{bullets(state.notes)}

## How
{settings(parameters)}

## Use
`medgraph.{kind}.load(folder).predict(first=[...], second=[...], cells=[...])`, drugs by name or SMILES. Intervals hold
for rows like those of valid; what training has not seen is flagged, and its prediction is worth less. Measured in cell
lines: it says nothing of dose, safety or effect in people.
"""
