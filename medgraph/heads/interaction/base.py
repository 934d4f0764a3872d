"""The frame of every neural interaction head: learn from train, stop by valid, predict any pair with an interval."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float64, Int64
from torch import Tensor

from medgraph.data.affinities import Affinities
from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.interaction.answering import EncodedEntities, answer_pairs, encode_entities
from medgraph.heads.interaction.asking import asked, asked_of, known_ids, standard_sequences, standard_smiles
from medgraph.heads.interaction.batching import PairBatch
from medgraph.heads.interaction.features import Entities, Features
from medgraph.heads.interaction.fitted import Fitted, load_fitted, save_fitted
from medgraph.heads.interaction.fitting import default_loss, fit_head
from medgraph.heads.interaction.interactions import Interactions
from medgraph.heads.interaction.losses import Loss
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.training import History, resolve_device

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.heads.interaction.baselines.base import Baseline
    from medgraph.heads.interaction.explanation import Explanation
    from medgraph.heads.interaction.report import InteractionReport

__all__ = ["InteractionHead"]

_Head = TypeVar("_Head", bound="InteractionHead")


@dataclass(eq=False, kw_only=True)
class InteractionHead(ABC):
    """What all heads share; the fields are hyper-parameters. A head adds its own, and gives features and a network.

    Args:
        vector_size: of tokens, or what else the head learns vectors of.
        members: networks trained from different seeds and averaged; their spread is the std.
        loss: None is `SquaredError()`, or `BinaryCrossEntropy()` for binary values; `Censored()`, `Evidential()`.
        epochs: at most; the epoch best on valid is kept.
        patience: epochs without an improvement before training stops.
        batch_size: pairs in a step.
        block: targets in a step, about; each has batch_size / block pairs in it.
        predict_batch: pairs or entities at a time when predicting.
        dropout: share of numbers dropped in training.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        decay: let the learning rate fall to nought over `epochs`, as a cosine.
        clip_norm: largest norm of all gradients together; None for no bound.
        mixed_precision: bfloat16 where it is safe, while training.
        device: "auto", "cpu", "cuda".
        seed: of weights, order and dropout.

    Attributes:
        history_: what was measured in each epoch, of the first member; `histories_` of all.
        counts_: pairs, drugs and targets, of train and of valid.
        notes_: what a reader of the figures should know.

    Raises:
        SchemaError: a parameter out of range.
    """

    vector_size: int = 64
    members: int = 1
    loss: Loss | None = None
    epochs: int = 100
    patience: int = 10
    batch_size: int = 256
    block: int = 16
    predict_batch: int = 1024
    dropout: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    decay: bool = False
    clip_norm: float | None = None
    mixed_precision: bool = False
    device: str = "auto"
    seed: int = 0

    _state: Fitted | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("vector_size", "members", "epochs", "patience", "batch_size", "block", "predict_batch"):
            if getattr(self, name) < 1:
                raise SchemaError(f"{type(self).__name__}: {name}={getattr(self, name)}; expected at least 1.")
        for name, low, high in (("dropout", 0, 0.99), ("weight_decay", 0, math.inf)):
            if not low <= getattr(self, name) <= high:
                raise SchemaError(f"{type(self).__name__}: {name}={getattr(self, name)}; expected {low} to {high}.")
        if not self.learning_rate > 0 or (self.clip_norm is not None and not self.clip_norm > 0):
            raise SchemaError(f"{type(self).__name__}: learning_rate and clip_norm must be above 0.")

    # What a head gives -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _drugs(self, train: Affinities) -> Features:
        """How drugs become tensors, fitted on the training pairs alone (`train.drugs` may hold others too)."""

    @abstractmethod
    def _targets(self, train: Affinities) -> Features:
        """How targets do."""

    @abstractmethod
    def _network(self, drugs: Features, targets: Features, outputs: int) -> PairNetwork:
        """One member, freshly drawn. Widths and the like it reads off the features: loading gives it restored ones."""

    def _loss(self, network: PairNetwork, loss: Loss, batch: PairBatch) -> Tensor:
        """What training descends; a head may add to it."""
        return loss.loss(network(batch), batch.value, batch.limited, network.learned).mean()

    def _identity(self) -> Mapping[str, Any]:
        """What else a resumed training must share, such as a hash of given vectors; JSON values."""
        return {}

    def _loss_for(self, train: Affinities) -> Loss:
        loss = default_loss(train.kind) if self.loss is None else self.loss
        if loss.kind != train.kind:
            raise SchemaError(
                f"{type(loss).__name__} is for {loss.kind} values; these are {train.kind} ({train.unit})."
            )
        return loss

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(
        self: _Head,
        train: Affinities,
        valid: Affinities | None = None,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> _Head:
        """Learn from train; valid says when to stop, how wide intervals are, and calibrates probabilities.

        Args:
            train: measured pairs.
            valid: others of the same data set; without, a random tenth of train is held aside.
            checkpoint: file to save the training to, to go on from after an interruption (one a member, numbered).
            resume: go on from `checkpoint`.
            progress: show a progress bar.

        Raises:
            SchemaError: no pairs, parts that do not belong together, a loss for another kind of values.
        """
        self._state = fit_head(self, train, valid, checkpoint, resume, progress)
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
    def counts_(self) -> Mapping[str, Mapping[str, int]]:
        """How many pairs, drugs and targets."""
        return self._fitted().counts

    @property
    def notes_(self) -> tuple[str, ...]:
        """What a reader of the figures should know."""
        return self._fitted().notes

    def _fitted(self) -> Fitted:
        if self._state is None:
            raise NotFittedError(f"This {type(self).__name__} has not been fitted; call fit(train, valid) first.")
        return self._state

    # Asking ----------------------------------------------------------------------------------------------------------

    def predict(
        self,
        pairs: Affinities | None = None,
        *,
        smiles: str | Sequence[str] | None = None,
        sequences: str | Sequence[str] | None = None,
        drugs: str | Sequence[str] | None = None,
        targets: str | Sequence[str] | None = None,
        graph: KnowledgeGraph | None = None,
        level: float = 0.9,
    ) -> Interactions:
        """How strongly does each drug bind its target? Row by row; a single drug or target goes with all of the other.

        Args:
            pairs: measured pairs, instead of all that follows.
            smiles: drugs by structure; a molecule that was trained on is recognised, and gets its id.
            sequences: targets by amino acids; likewise, unless several training ids share the sequence.
            drugs: drugs by id, of training or of `graph`.
            targets: targets by id, likewise.
            graph: where ids are looked up that training does not know, in columns `smiles` and `sequence`.
            level: share of the intervals that shall hold the measured value.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: a SMILES or sequence that cannot be read (its row is named), lists of different lengths.
            UnknownIdentifierError: an id that neither training nor the graph knows.
        """
        state = self._fitted()
        if pairs is not None:
            if any(given is not None for given in (smiles, sequences, drugs, targets)):
                raise SchemaError("Give measured pairs, or drugs and targets, not both.")
            wanted = asked_of(pairs)
        else:
            wanted = asked(smiles, sequences, drugs, targets, graph, (state.drugs, state.targets))
        first, second = (self._encode("drugs", wanted.drugs), self._encode("targets", wanted.targets))
        return self.predict_encoded(first, second, wanted.drug, wanted.target, level=level)

    def scores(self, pairs: Affinities) -> Float64[np.ndarray, " n"]:
        """The predicted values alone (probabilities, of a binary head)."""
        return self.predict(pairs).value

    def encode_drugs(self, smiles: Sequence[str], ids: Sequence[str] | None = None) -> EncodedEntities:
        """Each drug once through its encoder, for `predict_encoded`.

        Raises:
            SchemaError: a SMILES that cannot be read; its row is named.
        """
        found = standard_smiles(smiles)
        names = known_ids(found, self._fitted().drugs, "smiles") if ids is None else tuple(ids)
        return self._encode("drugs", Entities(names, found))

    def encode_targets(self, sequences: Sequence[str], ids: Sequence[str] | None = None) -> EncodedEntities:
        """Each target once through its encoder, for `predict_encoded`.

        Raises:
            SchemaError: a sequence that cannot be read; its row is named.
        """
        found = standard_sequences(sequences)
        names = known_ids(found, self._fitted().targets, "sequence") if ids is None else tuple(ids)
        return self._encode("targets", Entities(names, found))

    def predict_encoded(
        self,
        drugs: EncodedEntities,
        targets: EncodedEntities,
        drug: Int64[np.ndarray, " n"],
        target: Int64[np.ndarray, " n"],
        *,
        level: float = 0.9,
    ) -> Interactions:
        """As `predict`, for pairs of rows of entities that are encoded already: a screen encodes its target once.

        Args:
            drugs: of `encode_drugs`.
            targets: of `encode_targets`.
            drug: (n,) rows of drugs.
            target: (n,) rows of targets.
            level: share of the intervals that shall hold the measured value.
        """
        return answer_pairs(self._fitted(), drugs, targets, drug, target, level, 8 * self.predict_batch)

    def evaluate(
        self,
        test: Affinities,
        *,
        baselines: Sequence[Baseline] | None = None,
        train: Affinities | None = None,
        n_bootstrap: int = 500,
    ) -> InteractionReport:
        """How near are predictions to what was measured, beside plain baselines fitted on the same train?

        Args:
            test: pairs that were not trained on.
            baselines: None for those that suit the size of train, () for none.
            train: what baselines are fitted on; a head fitted in this process has it.
            n_bootstrap: samples that the 95 % intervals rest on.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: pairs that were trained on, another unit, baselines asked of a loaded head without `train`.
        """
        from medgraph.heads.interaction.judging import judge

        state = self._fitted()
        if train is not None:
            return judge(self, test, baselines, train, n_bootstrap)
        return judge(self, test, baselines, state.train, n_bootstrap, valid=state.valid)

    def explain(
        self,
        smiles: str | None = None,
        sequence: str | None = None,
        *,
        drug: str | None = None,
        target: str | None = None,
        graph: KnowledgeGraph | None = None,
    ) -> Explanation:
        """What does each atom and each residue add to the predicted value? See `attribution.explain_pair`.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: a SMILES or sequence that cannot be read, not just one way of naming each.
            UnknownIdentifierError: an id that neither training nor the graph knows.
        """
        from medgraph.heads.interaction.attribution import explain_pair

        return explain_pair(self, smiles, sequence, drug=drug, target=target, graph=graph)

    def _encode(self, side: Literal["drugs", "targets"], entities: Entities) -> EncodedEntities:
        return encode_entities(self._fitted(), side, entities, self.predict_batch)

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the artefact: weights, features, intervals, the entities that it knows, a card.

        Raises:
            NotFittedError: before `fit`.
        """
        save_fitted(folder, type(self).__name__, self._parameters(), self._fitted(), self.seed)

    @classmethod
    def load(cls: type[_Head], folder: str | Path, *, device: str = "cpu") -> _Head:
        """A head that predicts as the saved one did. Raises ArtefactError, FormatVersionError."""
        parameters, make = load_fitted(folder, cls.__name__)
        known = {f.name for f in fields(cls) if f.init}
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items() if k in known}
        if given.get("loss") is not None:
            given["loss"] = Loss.from_dict(given["loss"])
        head = cls(**given, device=device)
        head._state = make(head._network, resolve_device(device))
        return head

    def _parameters(self) -> dict[str, Any]:
        """Hyper-parameters as plain JSON values."""
        found: dict[str, Any] = {}
        for f in fields(self):
            if f.init and f.name != "device":
                value = getattr(self, f.name)
                found[f.name] = value.to_dict() if isinstance(value, Loss) else value
        return found
