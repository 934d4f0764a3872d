"""Do two drugs work together in a cell line? DeepSynergy, with two drugs that have no order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from medgraph.data.synergies import Synergies
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.interaction.members import fit_members
from medgraph.heads.interaction.synergy.asking import asked_synergies, measured_synergies
from medgraph.heads.interaction.synergy.fitted import FittedSynergy, load_synergy, save_synergy
from medgraph.heads.interaction.synergy.inputs import SynergyInputs, SynergyTensors
from medgraph.heads.interaction.synergy.learning import SynergyLearning
from medgraph.heads.interaction.synergy.network import SynergyNetwork
from medgraph.heads.interaction.synergy.predictions import SynergyPredictions
from medgraph.heads.interaction.uncertainty import Conformal
from medgraph.training import EarlyStopping, History, Trainer, resolve_device

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.heads.interaction.synergy.baselines import SynergyBaseline
    from medgraph.heads.interaction.synergy.report import SynergyReport

__all__ = ["DeepSynergy"]


@dataclass(eq=False, kw_only=True)
class DeepSynergy:
    """MLP over two drugs' fingerprints and a cell line. Preuer et al. (2018), doi:10.1093/bioinformatics/btx806.

    Theirs: layers of 8192 and 4096 over [drug1, drug2, cell line], every pair trained on in both orders and the two
    answers averaged; counts of ECFP6, physico-chemical properties and toxicophores; gene expression; input dropout 0.2,
    hidden dropout 0.5, tanh of standardised inputs, SGD with momentum, squared error. Here as there: counts of ECFP6,
    tanh, both dropouts. Here otherwise: the two drugs share one encoder, and only their sum, product and absolute
    difference go on, so that a swap changes no bit; a factorised effect of each drug in each cell line stands beside
    the MLP; cell lines are learned vectors, unless features are given; layers are small enough for a CPU
    (`hidden=(8192, 4096)` are theirs); AdamW with a falling rate; Huber's loss, as a few scores are far out.

    Args:
        hidden: sizes of the layers after the two drugs are joined.
        width: of a drug's encoding.
        cell_size: of a cell line's vector.
        radius: of the fingerprints.
        bits: that they are folded to.
        similarity: read how like each of training's drugs a drug is, in place of its fingerprint. Better for new drugs,
            worse for known ones (benchmarks/RESULTS.md).
        input_dropout: share of a drug's features dropped in training.
        dropout: share of hidden numbers dropped in training.
        cell_dropout: share of rows, in training, whose cell line is taken for an unknown one.
        huber: from how many standard deviations on an error counts linearly; None for squared throughout.
        members: networks trained from different seeds and averaged; their spread is the std.
        epochs: at most; the epoch best on valid is kept.
        patience: epochs without an improvement before training stops.
        batch_size: rows in a step.
        block: rows of one pair that stay together in a step, where its encodings are joined once.
        learning_rate: of AdamW, at the start.
        weight_decay: of AdamW.
        device: "auto", "cpu", "cuda".
        seed: of weights, order and dropout.

    Attributes:
        history_: what was measured in each epoch, of the first member; `histories_` of all.
        counts_: rows, pairs, drugs and cell lines, of train and of valid.
        notes_: what a reader of the figures should know.

    Raises:
        SchemaError: a parameter out of range.
    """

    hidden: Sequence[int] = (512, 256)
    width: int = 128
    cell_size: int = 64
    radius: int = 3
    bits: int = 2048
    similarity: bool = False
    input_dropout: float = 0.2
    dropout: float = 0.5
    cell_dropout: float = 0.1
    huber: float | None = 3.0
    members: int = 1
    epochs: int = 20
    patience: int = 8
    batch_size: int = 512
    block: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    device: str = "auto"
    seed: int = 0

    _state: FittedSynergy | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.hidden = tuple(self.hidden)
        if not self.hidden or min(self.hidden) < 1:
            raise SchemaError(f"DeepSynergy: hidden={self.hidden}; expected sizes of at least 1.")
        for name in ("width", "cell_size", "bits", "members", "epochs", "patience", "batch_size", "block"):
            if getattr(self, name) < 1:
                raise SchemaError(f"DeepSynergy: {name}={getattr(self, name)}; expected at least 1.")
        for name in ("input_dropout", "dropout", "cell_dropout"):
            if not 0 <= getattr(self, name) <= 0.99:
                raise SchemaError(f"DeepSynergy: {name}={getattr(self, name)}; expected 0 to 0.99.")
        if self.radius < 0 or not 0 <= self.weight_decay < math.inf:
            raise SchemaError("DeepSynergy: radius and weight_decay must be at least 0.")
        if not self.learning_rate > 0 or (self.huber is not None and not self.huber > 0):
            raise SchemaError("DeepSynergy: learning_rate and huber must be above 0.")

    def fit(
        self,
        train: Synergies,
        valid: Synergies | None = None,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> DeepSynergy:
        """Learn from train; valid says when to stop and how wide intervals are.

        Args:
            train: measured combinations.
            valid: others of the same data set, held out as you will predict; without, a tenth of train's pairs.
            checkpoint: file to save the training to, to go on from after an interruption (one a member, numbered).
            resume: go on from `checkpoint`.
            progress: show a progress bar.

        Raises:
            SchemaError: no rows, or parts that hold the same pair in the same cell line.
        """
        whole, notes = train, list(train.notes)
        if valid is None:
            train, valid = _hold_aside(train, self.seed)
            notes.append(f"no valid part was given: {len(valid):,} of {len(whole):,} rows (a tenth of the pairs) were "
                         "held aside")  # fmt: skip
        _check(train, valid)
        device = resolve_device(self.device)
        inputs = SynergyInputs.of(train, self.radius, self.bits, self.similarity)
        mean, std = float(train.value.mean()), float(train.value.std()) or 1.0
        parts = [(SynergyTensors.of(inputs, part, device), (part.value - mean) / std) for part in (train, valid)]
        settings = {**self._parameters(), "train": train.fingerprint, "valid": valid.fingerprint}
        trainer = Trainer(
            self.epochs, self.seed, EarlyStopping("valid_mse", self.patience), checkpoint=checkpoint, resume=resume,
            progress=progress, description="DeepSynergy",
        )  # fmt: skip
        networks, histories = fit_members(
            trainer,
            self.members,
            draw=lambda: self._network(inputs),
            learn=lambda network, own: own.run(SynergyLearning(self, network, parts[0], parts[1], own.seed, settings)),
            device=device,
        )
        seen = np.zeros(train.drugs.num_rows, dtype=bool)
        seen[train.first] = seen[train.second] = True
        names = train.drugs["names"] if "names" in train.drugs.column_names else pa.array(
            [[name] for name in train.drugs["id"].to_pylist()]
        )  # fmt: skip
        drugs = pa.table({"id": train.drugs["id"], "smiles": train.drugs["smiles"], "names": names, "seen": seen})
        state = FittedSynergy(
            networks, inputs, mean, std, train.score, None, drugs, histories,
            {"train": _counts(train), "valid": _counts(valid)}, tuple(notes),
            {"fingerprint": whole.fingerprint, "provenance": [vars(source) for source in train.provenance]},
            train, valid,
        )  # fmt: skip
        found, _ = state.answer(valid)  # the spread of members says little of how far off they are: not normalised
        self._state = replace(state, conformal=Conformal.fitted(valid.value, found))
        return self

    @property
    def history_(self) -> History:
        """What was measured in each epoch, of the first member."""
        return self._fitted().history[0]

    @property
    def histories_(self) -> tuple[History, ...]:
        """What was measured in each epoch, of each member."""
        return self._fitted().history

    @property
    def counts_(self) -> dict[str, dict[str, int]]:
        """How many rows, pairs, drugs and cell lines."""
        return {part: dict(found) for part, found in self._fitted().counts.items()}

    @property
    def notes_(self) -> tuple[str, ...]:
        """What a reader of the figures should know."""
        return self._fitted().notes

    def predict(
        self,
        pairs: Synergies | None = None,
        *,
        first: str | Sequence[str] | None = None,
        second: str | Sequence[str] | None = None,
        cells: str | Sequence[str] | None = None,
        graph: KnowledgeGraph | None = None,
        level: float = 0.9,
    ) -> SynergyPredictions:
        """How well does each pair of drugs work together? Row by row; a single one goes with all of the others.

        Args:
            pairs: measured combinations, instead of all that follows.
            first: drugs by a name that training knows, by an id of `graph`, or by SMILES.
            second: likewise; which one stands first makes no difference.
            cells: cell lines; one that training does not know, or None, is answered by the mean of those it knows.
            graph: where ids are looked up that training does not know, in the column `smiles`.
            level: share of the intervals that shall hold the measured score.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: a drug that is neither known nor a SMILES (its row is named), lists of different lengths.
        """
        state = self._fitted()
        if pairs is None:
            asked = asked_synergies(first, second, cells, graph, state.names)
        elif first is not None or second is not None or cells is not None:
            raise SchemaError("Give measured combinations, or drugs and cell lines, not both.")
        else:
            asked = measured_synergies(pairs)
        value, std = state.answer(asked.data)
        low = high = None
        if state.conformal is not None:
            low, high = state.conformal.interval(value, None, level)
        known = state.seen
        one, two = (np.array([smiles in known for smiles in side], dtype=bool) for side in asked.structures)
        cell = state.inputs.cell_numbers(asked.data.cells["id"].to_pylist()) >= 0
        return SynergyPredictions(
            asked.first, asked.second, asked.cell, value, state.score, low, high, level, std, one, two,
            cell[asked.data.cell],
        )  # fmt: skip

    def scores(self, pairs: Synergies) -> Float64[np.ndarray, " n"]:
        """The predicted scores alone. Raises NotFittedError before `fit`."""
        return self._fitted().answer(pairs)[0]

    def evaluate(
        self,
        test: Synergies,
        *,
        baselines: Sequence[SynergyBaseline] | None = None,
        train: tuple[Synergies, Synergies] | None = None,
        threshold: float = 10.0,
        n_bootstrap: int = 500,
    ) -> SynergyReport:
        """How good are the scores of a part that was not trained on, beside plain models fitted on the same train?

        Args:
            test: the held-out part.
            baselines: None for all there are, () for none.
            train: train and valid, for the baselines of a loaded head.
            threshold: a score of at least this counts as synergy, for AUROC and AUPRC.
            n_bootstrap: samples that the 95 % intervals rest on: by pair, or by cell line where all are new. The errors
                of one new drug go together, so with few of them intervals are too narrow: look at several splits.

        Raises:
            NotFittedError: before `fit`, or baselines asked of a loaded head without `train`.
            SchemaError: rows that were trained on.
        """
        from medgraph.heads.interaction.synergy.report import judge_synergy

        return judge_synergy(self, test, baselines, train, threshold, n_bootstrap)

    def save(self, folder: str | Path) -> None:
        """Write the artefact: weights, inputs, intervals, the drugs and cell lines that it knows, a card.

        Raises:
            NotFittedError: before `fit`.
        """
        save_synergy(folder, type(self).__name__, self._parameters(), self._fitted(), self.seed)

    @classmethod
    def load(cls, folder: str | Path) -> DeepSynergy:
        """A head that predicts as the saved one did, on the CPU. Raises ArtefactError, FormatVersionError."""
        parameters, make = load_synergy(folder, cls.__name__)
        known = {f.name for f in fields(cls) if f.init}
        head = cls(**{name: value for name, value in parameters.items() if name in known})
        head._state = make(head._network)
        return head

    def _network(self, inputs: SynergyInputs) -> SynergyNetwork:
        features = 0 if inputs.cell_mean is None else inputs.cell_mean.size
        return SynergyNetwork(
            inputs.size, 0 if features else len(inputs.cells), features, self.width, self.cell_size,
            tuple(self.hidden), (self.input_dropout, self.dropout), self.cell_dropout,
        )  # fmt: skip

    def _fitted(self) -> FittedSynergy:
        if self._state is None:
            raise NotFittedError("This DeepSynergy has not been fitted; call fit(train, valid) first.")
        return self._state

    def _parameters(self) -> dict[str, Any]:
        """Hyper-parameters as plain JSON values."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != "device"}
        return {**found, "hidden": list(self.hidden)}


def _hold_aside(whole: Synergies, seed: int) -> tuple[Synergies, Synergies]:
    """A random tenth of the pairs is valid."""
    pairs = np.unique(whole.pair)
    if pairs.size < 10:
        raise SchemaError(f"{pairs.size} pairs are too few to hold a tenth aside; give the valid part.")
    aside = np.isin(whole.pair, np.random.default_rng(seed).permutation(pairs)[: pairs.size // 10])
    return whole.take(np.flatnonzero(~aside)), whole.take(np.flatnonzero(aside))


def _check(train: Synergies, valid: Synergies) -> None:
    for name, part in (("train", train), ("valid", valid)):
        if not len(part):
            raise SchemaError(f"The {name} part has no rows.")
    if train.score != valid.score or not train.drugs.equals(valid.drugs):
        raise SchemaError("train and valid are not parts of one data set.")
    both = np.isin(*(part.pair * part.cells.num_rows + part.cell for part in (train, valid)))
    if both.any():
        raise SchemaError(f"{int(both.sum()):,} rows stand in train and in valid: split with Synergies.split.")


def _counts(part: Synergies) -> dict[str, int]:
    drugs = np.union1d(part.first, part.second).size
    return {"rows": len(part), "pairs": np.unique(part.pair).size, "drugs": drugs, "cells": np.unique(part.cell).size}
