"""The frame of every risk head: learn from train, stop and calibrate by tuning, be judged on what is held out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from medgraph.data.cohort import Cohort
from medgraph.data.labels import Kind
from medgraph.data.samples import Samples
from medgraph.data.task import Task
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.calibration import Calibrator, TemperatureCalibrator
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.fitted import Fitted, load_fitted, save_fitted
from medgraph.heads.risk.fitting import fit_head
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.predictions import RiskPredictions
from medgraph.heads.risk.privacy import DifferentialPrivacy, Spent
from medgraph.heads.risk.targets import HazardTarget, LabelTarget, Target
from medgraph.heads.risk.tensors import Batch
from medgraph.training import History

if TYPE_CHECKING:
    from medgraph.evaluation.membership import MembershipReport
    from medgraph.heads.risk.attribution import Attribution
    from medgraph.heads.risk.baselines import Baseline
    from medgraph.heads.risk.judging import Costs
    from medgraph.heads.risk.report import RiskReport

__all__ = ["RiskHead"]

_Head = TypeVar("_Head", bound="RiskHead")


@dataclass(eq=False, kw_only=True)
class RiskHead(ABC):
    """What all heads share; the fields are hyper-parameters. A head adds its own, and gives its network.

    Args:
        embedding: vectors of codes to start from, by id; None learns them from nothing.
        fine_tune: let training change the given vectors; else they stay, and only codes without one are learned.
        min_match: share of the training events whose codes must have a vector in `embedding`.
        vector_size: of codes, where there is no embedding to say it.
        min_count: how many training events a code must have to be known.
        roll_up: code -> the code that stands for it, such as ICD-9-CM -> CCS.
        visit: what a visit is: the source's own ("visit"), a "day", a "time".
        max_visits: of each sample, the latest; None for all.
        dropout: share of numbers dropped before the last layer, in training.
        balance: let positives weigh as much as negatives in the loss; probabilities stay those of the data.
        bins: of time, for survival.
        calibrator: fitted on tuning (several labels share one); None leaves risks as they are. Survival has none.
        epochs: at most; the best epoch by tuning's log loss is kept.
        patience: epochs without an improvement before training stops.
        batch_size: samples in a step.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        clip_norm: largest norm of all gradients together.
        device: "auto", "cpu", "cuda".
        seed: of weights, order and dropout.
        privacy: train by DP-SGD, with these bounds on what may be told of a subject.

    Attributes:
        history_: what was measured in each epoch.
        counts_: samples, samples without a known code, events with an unknown code; of train and of tuning.
        notes_: what a reader of the figures should know.

    Raises:
        SchemaError: a parameter out of range.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "multilabel", "survival")

    embedding: Embedding | None = field(default=None, repr=False)
    fine_tune: bool = True
    min_match: float = 0.5
    vector_size: int = 64
    min_count: int = 1
    roll_up: Mapping[str, str] | None = field(default=None, repr=False)
    visit: Literal["visit", "day", "time"] = "visit"
    max_visits: int | None = 200
    dropout: float = 0.3
    balance: bool = False
    bins: int = 20
    calibrator: Calibrator | None = field(default_factory=TemperatureCalibrator)
    epochs: int = 50
    patience: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    device: str = "auto"
    seed: int = 0
    privacy: DifferentialPrivacy | None = None

    _state: Fitted | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("vector_size", "min_count", "bins", "epochs", "patience", "batch_size", "max_visits"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise SchemaError(f"{type(self).__name__}: {name}={value}; expected at least 1.")
        for name, low, high in (("min_match", 0, 1), ("dropout", 0, 0.99), ("weight_decay", 0, math.inf)):
            if not low <= getattr(self, name) <= high:
                raise SchemaError(f"{type(self).__name__}: {name}={getattr(self, name)}; expected {low} to {high}.")
        if not self.learning_rate > 0 or not self.clip_norm > 0:
            raise SchemaError(f"{type(self).__name__}: learning_rate and clip_norm must be above 0.")

    # What a head gives -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        """The network: forward(batch: Batch, vectors=None) -> (n, outputs).

        `vectors` (t, d) stand in for `codes(batch.codes)`: attributions change them. Whatever is padded must not
        change the result, and a sample without any visit must have one.
        """

    def _target(self, kind: Kind, names: tuple[str, ...], labels: np.ndarray) -> Target:
        """What the outputs mean, for these training labels."""
        if kind == "survival":
            return HazardTarget.of(names, labels, self.bins)
        return LabelTarget.of(kind, names, labels, self.balance)

    def _probabilities(self, target: Target, logits: Tensor) -> Tensor:
        """(n, e, b) for survival; only a head with a target of its own need say it."""
        assert isinstance(target, HazardTarget)
        return target.incidence(logits)

    def _loss(self, network: nn.Module, target: Target, batch: Batch) -> Tensor:
        """What training descends; a head may add to it."""
        return target.loss(network(batch), batch.label)

    def _pretrain(self, network: nn.Module, train: Dataset, progress: bool) -> None:  # noqa: B027 (a hook)
        """Learn from the training samples before their labels are looked at; nothing by default."""

    def _start(self, network: nn.Module, target: Target, train: Dataset) -> None:  # noqa: B027 (a hook)
        """Let the last layer start from what is plain in the training samples; nothing by default."""

    def _widened(self, network: nn.Module, target: Target, parts: Sequence[Dataset]) -> tuple[nn.Module, list[str]]:
        """The network with what stands beside it, fitted on train and tuning, and what to tell of that."""
        del target, parts
        return network, []

    def _contributions(self, network: nn.Module, batch: Batch, output: int) -> Tensor:
        """How much each event adds to an output (t,) of what `_network` made: integrated gradients by default."""
        from medgraph.heads.risk.attribution import integrated_gradients

        return integrated_gradients(network, batch, output)

    _targets: ClassVar[tuple[type[Target], ...]] = ()  # targets of a head's own, for `load`

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(
        self: _Head,
        cohort: Cohort,
        label: str | Task,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> _Head:
        """Learn a task from `cohort.train`; `cohort.tuning` says when to stop, and calibrates. Nothing else is read.

        Args:
            cohort: a split cohort.
            label: a task, or the name of one.
            checkpoint: file to save the training to, to go on from after an interruption.
            resume: go on from `checkpoint`.
            progress: show a progress bar.

        Raises:
            SchemaError: no split, a part of one, a kind of task this head does not do, no sample, one class only, an
                embedding that knows few of the codes.
        """
        self._state = fit_head(self, cohort, label, checkpoint, resume, progress)
        return self

    @property
    def history_(self) -> History:
        """What was measured in each epoch."""
        return self._fitted().history

    @property
    def counts_(self) -> Mapping[str, Mapping[str, int]]:
        """How many samples, and what they lack."""
        return self._fitted().counts

    @property
    def notes_(self) -> tuple[str, ...]:
        """What a reader of the figures should know."""
        return self._fitted().notes

    @property
    def privacy_(self) -> Spent | None:
        """What training may tell of a subject; None where nothing bounds it."""
        return self._fitted().privacy

    def _fitted(self) -> Fitted:
        if self._state is None:
            raise NotFittedError(f"This {type(self).__name__} has not been fitted; call fit(cohort, label) first.")
        return self._state

    # Asking ----------------------------------------------------------------------------------------------------------

    def predict_proba(self, cohort: Cohort, label: str | Task | None = None) -> RiskPredictions:
        """The risk of every sample that the task draws from this cohort, or part of one.

        Args:
            cohort: whose.
            label: the task, if it is not the one fitted, or if a loaded head meets a cohort without it.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: another kind of task than the one fitted.
        """
        state = self._fitted()
        task = state.task_for(cohort, label)
        scores, risks, blocks = [], [], []
        unseen = 0
        for samples in cohort.timelines(task, state.vocabulary, self.visit):
            for start in range(0, len(samples), self.batch_size):
                part = samples.take(np.arange(start, min(start + self.batch_size, len(samples))))
                score, risk = self._outputs(state.network, state.target, part, state.calibrator)
                scores.append(score)
                risks.append(risk)
            unseen += int((np.diff(samples.event_offsets) == 0).sum())
            blocks.append((samples.subject_id, samples.prediction_time, samples.label))
        if not blocks:
            raise SchemaError(f"The task leaves no sample in {cohort!r}.")
        subject, time, truth = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
        probability = np.concatenate(risks)
        binary, survival = task.kind == "binary", task.kind == "survival"
        return RiskPredictions(
            task.kind, state.target.names, subject, time, truth, probability[:, 0] if binary else probability,
            tuple(getattr(state.target, "edges", ())),
            None if survival else np.concatenate(scores)[:, 0] if binary else np.concatenate(scores), unseen,
        )  # fmt: skip

    def _outputs(
        self, network: nn.Module, target: Target, samples: Samples, calibrator: Calibrator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds and probabilities."""
        network.eval()
        device = next(network.parameters()).device
        with torch.no_grad():
            logits = network(Batch.of(samples, device, self.max_visits))
            if not isinstance(target, LabelTarget):
                risk = self._probabilities(target, logits).cpu().double().numpy()
                return risk, risk
            log_odds = target.log_odds(logits).cpu().double()
        scores = log_odds.numpy()
        return scores, log_odds.sigmoid().numpy() if calibrator is None else calibrator.predict_proba(scores)

    def evaluate(
        self,
        cohort: Cohort,
        *,
        baselines: Sequence[Baseline] | None = None,
        train: Cohort | None = None,
        label: str | Task | None = None,
        costs: Costs | None = None,
        n_bootstrap: int = 500,
    ) -> RiskReport:
        """How good are the risks of a part that was not trained on, beside plain baselines fitted on the same train?

        Args:
            cohort: the held-out part.
            baselines: None for those that suit the kind of task, () for none.
            train: the split cohort that baselines are fitted on; a head fitted in this process has it.
            label: as in `predict_proba`.
            costs: of a missed and of a false alarm; they set the threshold.
            n_bootstrap: samples, by subject, that the 95 % intervals rest on.

        Raises:
            NotFittedError: before `fit`, or baselines asked of a loaded head without `train`.
            SchemaError: subjects that were trained on.
        """
        from medgraph.heads.risk.judging import judge

        return judge(self, cohort, baselines, train, label, costs, n_bootstrap)

    def explain(
        self,
        cohort: Cohort,
        subject_id: int,
        *,
        label: str | Task | None = None,
        output: str | None = None,
        within: float | None = None,
    ) -> Attribution:
        """What moved this subject's risk: what each event adds to the log-odds of its latest sample.

        Args:
            cohort: where the subject is.
            subject_id: whose.
            label: as in `predict_proba`.
            output: which label or event of several; the first by default.
            within: how many days, of survival; by default all that the head looks ahead.

        Raises:
            UnknownIdentifierError: no sample of that subject, no such output.
            SchemaError: days that the head does not look ahead.
        """
        from medgraph.heads.risk.attribution import attribute

        return attribute(self, cohort, subject_id, label, output, within)

    def membership(
        self, cohort: Cohort, *, label: str | Task | None = None, n_bootstrap: int = 1000
    ) -> MembershipReport:
        """Do the losses tell who of this split cohort was trained on? `train` against `held_out`, by subject.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: a part of a cohort, or no sample in one of the two.
        """
        from medgraph.heads.risk.attack import attack

        return attack(self, cohort, label, n_bootstrap)

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the artefact: weights, vocabulary, calibration, a card. No subject and no date is in it.

        Raises:
            NotFittedError: before `fit`.
        """
        save_fitted(folder, type(self).__name__, self._parameters(), self._fitted(), self.seed)

    @classmethod
    def load(cls: type[_Head], folder: str | Path) -> _Head:
        """A head that predicts as the saved one did. Raises ArtefactError, FormatVersionError."""
        parameters, make = load_fitted(folder, cls.__name__, cls._targets)
        known = {f.name for f in fields(cls) if f.init}
        head = cls(**{name: value for name, value in parameters.items() if name in known})
        head._state = make(head._network)
        return head

    def _parameters(self) -> dict[str, Any]:
        """Hyper-parameters as plain JSON values."""
        left_out = {"embedding", "roll_up", "calibrator", "device", "privacy"}
        names = [f.name for f in fields(self) if f.init and f.name not in left_out]
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.embedding is not None:
            given["vector_size"] = self.embedding.vector_size
        return given
