"""How a head is fitted: match the codes, build the network, train it, stop by tuning's log loss, calibrate."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.heads.risk.batching import Dataset
from medgraph.heads.risk.code_vectors import CodeVectors, match_codes
from medgraph.heads.risk.fitted import Fitted
from medgraph.heads.risk.learning import Learning
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.private_fitting import fit_privately
from medgraph.heads.risk.targets import LabelTarget
from medgraph.heads.risk.wide import WideAndDeep
from medgraph.training import EarlyStopping, Trainer, resolve_device

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["code_vectors", "fit_head"]


def fit_head(
    head: RiskHead, cohort: Cohort, label: str | Task, checkpoint: str | Path | None, resume: bool, progress: bool
) -> Fitted:
    """See `RiskHead.fit`."""
    _check_split(cohort)
    task = cohort.task(label)
    if task.kind not in head.kinds:
        raise SchemaError(f"{type(head).__name__} does {', '.join(head.kinds)} tasks; this one is {task.kind}.")
    if head.privacy is not None:
        return fit_privately(head, head.privacy, cohort, label, checkpoint, resume, progress)
    vocabulary = cohort.train.vocabulary(task, head.min_count, head.roll_up)
    train, tuning = (
        Dataset(part.timelines(task, vocabulary, head.visit), head.batch_size, head.seed)
        for part in (cohort.train, cohort.tuning)
    )
    target = head._target(task.kind, task.names, train.labels)
    device = resolve_device(head.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(head.seed)
        codes, matched = code_vectors(head, vocabulary, cohort)
        network = head._network(codes, Person(len(vocabulary)), target.outputs).to(device)
        head._pretrain(network, train, progress)
        head._start(network, target, train)
    network, told = head._widened(network, target, (train, tuning))
    settings = {**head._parameters(), "codes": len(vocabulary), "cohort": cohort.fingerprint, **target.to_dict()}
    if head.embedding is not None:
        settings["embedding"] = hashlib.sha256(head.embedding.vectors.tobytes()).hexdigest()
    learning = Learning(head, network, target, train, tuning, settings)
    before = _loss(learning) if isinstance(network, WideAndDeep) else None
    history = Trainer(
        epochs=head.epochs,
        seed=head.seed,
        early_stopping=EarlyStopping("tuning_log_loss", head.patience),
        clip_norm=head.clip_norm,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        description=type(head).__name__,
    ).run(learning)
    network.eval()
    if isinstance(network, WideAndDeep) and before is not None and _loss(learning) >= before:
        network.silence()
        told.append("beside the wide part the network added nothing on tuning, and is left out")
    counts = {
        name: {"samples": len(data), "no_known_code": data.empty, "unknown_events": data.unknown}
        for name, data in (("train", train), ("tuning", tuning))
    }
    notes = [] if matched is None else [
        f"{matched['share']:.1%} of the training events have a code with a given vector ({matched['exact']:,} codes "
        f"exactly, {matched['inferred']:,} inferred from an ancestor, {matched['missing']:,} missing)"
    ]  # fmt: skip
    notes += told
    for name, found in counts.items():
        if found["no_known_code"]:
            notes.append(f"{found['no_known_code']:,} of {found['samples']:,} {name} samples have no known code")
    calibrator = None
    if isinstance(target, LabelTarget) and head.calibrator is not None:
        scores = np.concatenate([head._outputs(network, target, samples)[0] for samples in tuning.in_order()]).ravel()
        truth = np.concatenate([samples.label for samples in tuning.in_order()]).ravel() == 1
        if 0 < truth.sum() < truth.size:
            calibrator = copy.deepcopy(head.calibrator).fit(scores, truth)
        else:
            notes.append("not calibrated: all tuning samples have the same outcome")
    source = {"fingerprint": cohort.fingerprint, "provenance": [vars(source) for source in cohort.provenance]}
    called = label if isinstance(label, str) else None
    return Fitted(
        network, vocabulary, target, calibrator, task, called, _in_words(task), history, counts, tuple(notes), matched,
        source, cohort,
    )  # fmt: skip


def _loss(learning: Learning) -> float:
    """Tuning's log loss as the network stands."""
    learning.module.eval()
    with torch.no_grad():
        return float(learning.validate()["tuning_log_loss"])


def code_vectors(
    head: RiskHead, vocabulary: CodeVocabulary, cohort: Cohort
) -> tuple[CodeVectors, dict[str, Any] | None]:
    """The vectors that a head starts from, and how many of the codes had a given one."""
    if head.embedding is None:
        return CodeVectors.fresh(len(vocabulary), head.vector_size), None
    match = match_codes(vocabulary, head.embedding, _parents(cohort), head.min_match)
    return CodeVectors.started(match, head.fine_tune), {**match.counts(), "share": match.share}


def _in_words(task: Task, limit: int = 2000) -> str:
    """A task with many code sets is cut."""
    words = repr(task)
    return words if len(words) <= limit else f"{words[:limit]} ... ({len(words):,} characters)"


def _check_split(cohort: Cohort) -> None:
    if cohort.part is not None:
        raise SchemaError(
            f"fit() takes the whole split cohort, and this is its {cohort.part} part: it learns from cohort.train and "
            "looks at cohort.tuning itself."
        )
    if missing := [name for name in ("train", "tuning") if not len(cohort.splits.get(name, ()))]:
        raise SchemaError(f"This cohort has no subjects for {' and '.join(missing)}. Call cohort.split(seed=0) first.")


def _parents(cohort: Cohort) -> dict[str, list[str]]:
    table = cohort.codes
    rows = zip(table["code"].to_pylist(), table["parent_codes"].to_pylist(), strict=True)
    return {code: parents for code, parents in rows if parents}
