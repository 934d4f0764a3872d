"""What a fitted head knows, and how it is written: never a subject, never a date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from medgraph.artefact import Artefact, bullets, learned_from, read_artefact, settings, write_artefact
from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.evaluation.calibration import Calibrator, IsotonicCalibrator, PlattCalibrator, TemperatureCalibrator
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.privacy import Spent
from medgraph.heads.risk.targets import Target
from medgraph.heads.risk.wide import Wide, WideAndDeep
from medgraph.training import History

__all__ = ["Fitted", "load_fitted", "save_fitted"]

_CALIBRATORS: dict[str, type[Any]] = {
    c.__name__: c for c in (IsotonicCalibrator, PlattCalibrator, TemperatureCalibrator)
}


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """What `fit` found.

    Args:
        network: the trained weights.
        vocabulary: the codes it knows.
        target: what its outputs mean.
        calibrator: fitted on tuning, if there is one.
        task: what was asked; None after `load`.
        label: the task's name, if it was called by one.
        question: the task in words.
        history: of the training.
        counts: of samples.
        notes: what a reader should know.
        matched: how many codes had a given vector.
        source: fingerprint and provenance of the cohort.
        cohort: in memory only, for the baselines; None after `load`.
        privacy: what a private training may tell; None after any other.
    """

    network: nn.Module
    vocabulary: CodeVocabulary
    target: Target
    calibrator: Calibrator | None
    task: Task | None
    label: str | None
    question: str
    history: History
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]
    matched: Mapping[str, Any] | None
    source: Mapping[str, Any]
    cohort: Cohort | None = None
    privacy: Spent | None = None

    def task_for(self, cohort: Cohort, label: str | Task | None) -> Task:
        """The task to ask of a cohort. Raises SchemaError where it is not known, or of another kind."""
        if label is not None:
            task = cohort.task(label)
        elif self.task is not None:
            task = self.task
        elif self.label in cohort.tasks:
            task = cohort.tasks[str(self.label)]
        else:
            raise SchemaError(f"This head was loaded, and knows its task by words only: pass label=. {self.question}")
        if task.kind != self.target.kind or tuple(task.names) != self.target.names:
            raise SchemaError(
                f"The head was fitted on a {self.target.kind} task with {len(self.target.names)} outputs "
                f"({', '.join(self.target.names[:3])}); this one is {task.kind} with {', '.join(task.names[:3])}."
            )
        return task


def save_fitted(folder: str | Path, kind: str, parameters: Mapping[str, Any], state: Fitted, seed: int) -> None:
    """Write the artefact."""
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in state.network.state_dict().items()}
    found = {} if state.calibrator is None else {k: v for k, v in vars(state.calibrator).items() if k.endswith("_")}
    vocabulary = state.vocabulary
    tables = {"vocabulary": vocabulary.to_table()}
    if vocabulary.roll_up:
        pairs = vocabulary.roll_up
        tables["roll_up"] = pa.table({"code": list(pairs.keys()), "stands_for": list(pairs.values())})
    codes = next(module for module in state.network.modules() if isinstance(module, CodeVectors))
    measured: dict[str, Any] = {"history": list(state.history)[-1:], "counts": state.counts}
    if state.privacy is not None:
        measured["privacy"] = state.privacy.to_dict()
    write_artefact(
        folder,
        Artefact(
            kind=kind,
            parameters={
                **parameters,
                "target": state.target.to_dict(),
                "calibrator": None if state.calibrator is None else type(state.calibrator).__name__,
                "label": state.label,
                "question": state.question,
                "notes": list(state.notes),
                "matched": state.matched,
                "codes": {
                    "size": codes.size,
                    "learned": codes.learned.shape[0] - 1,
                    "given": codes.given is not None,
                },
            },
            tensors={
                "weights": weights,
                **({"calibration": {k: np.asarray(v, dtype=np.float64) for k, v in found.items()}} if found else {}),
            },
            tables=tables,
            graph=state.source,
            metrics=measured,
            seed=seed,
            card=_card(kind, parameters, state),
        ),
    )


def load_fitted(
    folder: str | Path, kind: str, targets: tuple[type[Target], ...]
) -> tuple[Mapping[str, Any], Callable[[Callable[[CodeVectors, Person, int], nn.Module]], Fitted]]:
    """Hyper-parameters, and what makes the fitted state once it is told how to build the network."""
    saved = read_artefact(folder, kind)
    parameters = saved.parameters
    roll_up: dict[str, str] | None = None
    if "roll_up" in saved.tables:
        table = saved.tables["roll_up"]
        roll_up = dict(zip(table["code"].to_pylist(), table["stands_for"].to_pylist(), strict=True))
    vocabulary = CodeVocabulary.from_table(saved.tables["vocabulary"], roll_up)
    target = Target.from_dict(parameters["target"], targets)
    calibrator = None
    if (name := parameters["calibrator"]) is not None:
        calibrator = _CALIBRATORS[name]()
        for key, value in saved.tensors["calibration"].items():
            setattr(calibrator, key, value if value.ndim else float(value))

    def make(network_of: Callable[[CodeVectors, Person, int], nn.Module]) -> Fitted:
        shape, n = parameters["codes"], len(vocabulary)
        given = torch.zeros(n, shape["size"]) if shape["given"] else None
        with torch.random.fork_rng(devices=[]):
            codes = CodeVectors(shape["size"], torch.zeros(n, dtype=torch.int64), shape["learned"], given)
            network = network_of(codes, Person(n), target.outputs)
        if "wide.bias" in saved.tensors["weights"]:
            network = WideAndDeep(network, Wide(n, target.outputs))
        network.load_state_dict({key: torch.from_numpy(array) for key, array in saved.tensors["weights"].items()})
        return Fitted(
            network.eval(), vocabulary, target, calibrator, None, parameters["label"], parameters["question"],
            History(saved.metrics["history"]), saved.metrics["counts"], tuple(parameters["notes"]),
            parameters["matched"], saved.graph,
            privacy=Spent.from_dict(saved.metrics["privacy"]) if "privacy" in saved.metrics else None,
        )  # fmt: skip

    return {**parameters, "roll_up": roll_up}, make


def _card(kind: str, parameters: Mapping[str, Any], state: Fitted) -> str:
    counts = "\n".join(
        f"| {part} | {found['samples']:,} | {found['no_known_code']:,} | {found['unknown_events']:,} |"
        for part, found in state.counts.items()
    )
    names = ", ".join(state.target.names[:10]) + (" ..." if len(state.target.names) > 10 else "")
    loss = state.history[-1].get("tuning_log_loss") if state.history else None
    privacy = (
        "none: what the weights may tell of a subject is not bounded" if state.privacy is None else str(state.privacy)
    )
    calibration = "none" if state.calibrator is None else f"{type(state.calibrator).__name__}, fitted on tuning"
    return f"""# {kind}: {state.label or state.target.kind}

A {state.target.kind} risk model over {len(state.vocabulary):,} codes. Outputs: {names}.

- question: {state.question}
- calibration: {calibration}
- log loss on tuning, last epoch: {"not measured" if loss is None else format(loss, ".4f")}
- differential privacy: {privacy}

| part | samples | without a known code | events of unknown codes |
|---|---|---|---|
{counts}

{learned_from("cohort", state.source)}

## Notes
{bullets(state.notes)}

## How
{settings(parameters)}

## Use
`medgraph.{kind}.load(folder).predict_proba(cohort)`. Trained and judged on recorded care: codes say what was billed or
written down, not what was the case. Not for decisions about a patient.
"""
