"""How a head is fitted under differential privacy: what else `fit_head` takes from the data is left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.data.cohort import Cohort
from medgraph.data.events import VITAL
from medgraph.data.task import Task
from medgraph.errors import SchemaError
from medgraph.heads.risk.fitted import Fitted
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.privacy import DifferentialPrivacy, Spent, choose_codes, epsilon_of, noise_for
from medgraph.heads.risk.private_learning import PrivateLearning, Subjects
from medgraph.training import History, Trainer, distributed, resolve_device

if TYPE_CHECKING:
    from medgraph.heads.risk.base import RiskHead

__all__ = ["fit_privately"]


def fit_privately(
    head: RiskHead,
    privacy: DifferentialPrivacy,
    cohort: Cohort,
    label: str | Task,
    checkpoint: str | Path | None,
    resume: bool,
    progress: bool,
) -> Fitted:
    """See `RiskHead.fit` and `DifferentialPrivacy`."""
    from medgraph.heads.risk.fitting import code_vectors

    task = cohort.task(label)
    _refuse(head, privacy, task, checkpoint)
    vocabulary = privacy.vocabulary or _choose(head, privacy, cohort.train, task)
    train = Subjects(cohort.train.timelines(task, vocabulary, head.visit))
    if privacy.delta >= 1 / len(train):
        raise SchemaError(
            f"delta={privacy.delta:g} protects nobody among {len(train):,} subjects; take a tenth of 1/n."
        )
    steps, rate = PrivateLearning.plan(len(train), head.batch_size)
    epsilon, delta = privacy.for_training
    noise = noise_for(epsilon, delta, rate, steps * head.epochs, privacy.accountant)
    target = head._target(task.kind, task.names, _public_labels(task, head.bins))
    device = resolve_device(head.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(head.seed)
        codes, matched = code_vectors(head, vocabulary, cohort)
        network = head._network(codes, Person(len(vocabulary)), target.outputs).to(device)
    learning = PrivateLearning(
        head, network, target, train, privacy, noise,
        {**head._parameters(), "codes": len(vocabulary), "noise_multiplier": noise, "sample_rate": rate},
    )  # fmt: skip
    ran = Trainer(
        epochs=head.epochs,
        seed=head.seed,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        description=f"{type(head).__name__}, private",
    ).run(learning)
    network.eval()
    taken = steps * head.epochs
    spent = Spent(
        privacy.for_codes[0] + epsilon_of(noise, rate, taken, delta, privacy.accountant),
        privacy.delta, *privacy.for_codes, noise, privacy.max_grad_norm, rate, taken, privacy.accountant,
    )  # fmt: skip
    notes = [
        f"trained under differential privacy, {spent}",
        "tuning was not read: no early stopping, no calibration; counts, losses and fingerprint of the training data "
        "are withheld",
    ]
    if privacy.noise_seed is not None:
        notes.append("NOT PRIVATE against who knows noise_seed: this training was a test")
    source = {"fingerprint": "withheld", "provenance": [{**vars(s), "sha256": ""} for s in cohort.provenance]}
    return Fitted(
        network, vocabulary, target, None, task, label if isinstance(label, str) else None, repr(task),
        History({"epoch": row["epoch"]} for row in ran), {}, tuple(notes), matched, source, cohort, spent,
    )  # fmt: skip


def _refuse(head: RiskHead, privacy: DifferentialPrivacy, task: Task, checkpoint: str | Path | None) -> None:
    from medgraph.heads.risk.base import RiskHead

    name = type(head).__name__
    if type(head)._pretrain is not RiskHead._pretrain:
        raise SchemaError(
            f"{name} takes more from the training samples than gradients (before training), which DP-SGD does not "
            "cover. Private training is there for Deepr, VisitLSTM, VisitGRU and RETAIN."
        )
    if head.balance:
        raise SchemaError(f"{name}: balance=True reads the class counts, which private training does not.")
    if distributed.world_size() > 1:
        raise SchemaError("Private training runs in one process.")
    if checkpoint is not None and privacy.vocabulary is None:
        raise SchemaError("A run that goes on would choose its codes twice: give DifferentialPrivacy a vocabulary=.")
    if task.kind == "survival" and getattr(task, "horizon_days", None) is None:
        raise SchemaError("Private training takes its bins of time from the task's horizon_days; this one has none.")


def _public_labels(task: Task, bins: int) -> np.ndarray:
    """Labels that say no more than the task does: bins become equal parts of its horizon."""
    if task.kind != "survival":
        return np.zeros((1, len(task.names)), dtype=np.float32)
    days = float(getattr(task, "horizon_days", 0.0)) * np.arange(1, bins + 1) / bins
    return np.stack([days, np.ones(bins)], axis=1)


def _choose(head: RiskHead, privacy: DifferentialPrivacy, train: Cohort, task: Task) -> CodeVocabulary:
    """Codes that enough training subjects have, with noisy counts; without the values that came with them."""
    roll_up = dict(head.roll_up or {})
    vital = train.index.match(VITAL)
    names = tuple(sorted({roll_up.get(c, c) for c, v in zip(train.shards.codes, vital, strict=True) if not v}))
    none, zero = np.full(len(names), np.nan), np.zeros(len(names), dtype=np.int64)
    every = Subjects(train.timelines(task, CodeVocabulary(names, zero, zero, none, none, roll_up), head.visit)).samples
    sizes = np.diff(every.event_offsets), np.diff(every.static_offsets)
    subject = np.concatenate([np.repeat(every.subject_id, size) for size in sizes])
    code = np.concatenate([every.codes, every.static_codes]).astype(np.int64)
    rng = np.random.default_rng([privacy.secret, 0])
    rows, counts = choose_codes(subject, code, len(names), *privacy.for_codes, privacy.codes_per_subject, rng)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= head.min_count]
    if not order.size:
        raise SchemaError(
            "No code is had by enough subjects to be told of privately. Give DifferentialPrivacy a vocabulary=, a "
            "larger epsilon or vocabulary_share, or a smaller codes_per_subject."
        )
    kept = none[: order.size]
    return CodeVocabulary(tuple(names[row] for row in rows[order]), counts[order], counts[order], kept, kept, roll_up)
