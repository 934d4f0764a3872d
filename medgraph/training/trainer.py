"""The one training loop: epochs, early stopping, mixed precision, exact resume, progress, Ctrl-C, several processes."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from medgraph.errors import MedgraphError, SchemaError
from medgraph.training import checkpoint, distributed
from medgraph.training.progress import progress_bar

__all__ = ["EarlyStopping", "History", "Task", "Trainer", "TrainingInterrupted", "resolve_device"]


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended the training; the message says where it was saved and how to go on."""


class History(list[dict[str, float]]):
    """What was measured, one dict per epoch."""

    def to_pandas(self) -> pd.DataFrame:
        """As a data frame, one row per epoch."""
        return pd.DataFrame(list(self))


@runtime_checkable
class Task(Protocol):
    """What is learned: subclass it, and give it to `Trainer.run`.

    Draw random numbers from torch's global generators inside `losses` and `validate`: the trainer seeds them, keeps the
    caller's state apart, and saves them with the weights. What `batches` draws must follow from its arguments alone.

    Attributes:
        module: the weights (and buffers) that are trained and saved.
        optimiser: takes the steps; None if `losses` changes the weights itself.
        settings: what a resumed run must have in common with the saved one, as plain JSON values.
    """

    module: nn.Module
    optimiser: torch.optim.Optimizer | None = None
    settings: Mapping[str, Any] = {}

    def batches(self, epoch: int) -> Sequence[Any]:
        """The epoch's batches (or their numbers), the same at every call with the same epoch."""
        ...

    def losses(self, batch: Any, progress: float) -> Mapping[str, Tensor]:
        """Named scalars of one batch, each averaged over the epoch; `"loss"` is descended.

        Args:
            batch: one of `batches`.
            progress: share of the training already done, in [0, 1): for rates that decay and penalties that warm up.
        """
        ...

    def validate(self) -> Mapping[str, float]:
        """Named figures after an epoch, for the history and for early stopping."""
        return {}


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs, and keep the best epoch's weights."""

    monitor: str = "loss"
    patience: int = 10
    min_delta: float = 0.0
    maximise: bool = False

    def better(self, value: float, best: float | None) -> bool:
        """Is `value` an improvement on `best`?"""
        if best is None:
            return True
        return value > best + self.min_delta if self.maximise else value < best - self.min_delta


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Which device does `device` name? "auto" is a GPU where there is one; under torchrun each process has its own.

    Raises:
        SchemaError: a device that torch does not know or that is not there.
    """
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        if str(resolved) == "cuda":
            resolved = torch.device("cuda", distributed.local_rank())
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise SchemaError(f"device={device!r} cannot be used here. Try 'auto' or 'cpu'. ({error})") from error
    return resolved


@dataclass
class _State:
    """Where the run stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] | None = None
    best: float | None = None
    best_epoch: int = -1
    finished: bool = False


@dataclass(frozen=True)
class Trainer:
    """Run a task for some epochs, and come back to exactly the same weights if it is interrupted and resumed.

    Under `torchrun` every process takes its share of each epoch's batches (all of them, with random numbers of its own,
    if there are fewer batches than processes), gradients are averaged, and only the first process writes.

    Args:
        epochs: how many passes.
        seed: of torch's generators during the run.
        early_stopping: when to stop sooner.
        clip_norm: largest norm of all gradients together.
        mixed_precision: bfloat16 autocast, where the device has it.
        checkpoint: file to save to, every `every` epochs and at Ctrl-C.
        resume: go on from `checkpoint`.
        progress: show a progress bar once the run takes more than two seconds, on a terminal.
        description: the progress bar's text.

    Raises:
        SchemaError: a parameter out of range, `checkpoint` is there and `resume` is not set, or it was saved by a task
            with other settings.
        MedgraphError: a loss is no longer finite.
        TrainingInterrupted: Ctrl-C.
    """

    epochs: int
    seed: int = 0
    early_stopping: EarlyStopping | None = None
    clip_norm: float | None = None
    mixed_precision: bool = False
    checkpoint: Path | str | None = None
    every: int = 1
    resume: bool = False
    progress: bool = True
    description: str = "training"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.every < 1:
            raise SchemaError(f"epochs={self.epochs}, every={self.every}: both must be at least 1.")
        if self.resume and self.checkpoint is None:
            raise SchemaError("resume=True needs the checkpoint= to go on from.")

    def run(self, task: Task) -> History:
        """Train `task.module` in place; returns what was measured in each epoch."""
        path = None if self.checkpoint is None else Path(self.checkpoint)
        if path is not None and path.exists() and not self.resume:
            raise SchemaError(f"{path} exists. Pass resume=True to go on from it, or delete it to start again.")
        device = next((t.device for t in task.module.state_dict().values()), torch.device("cpu"))
        gpus = [device] if device.type == "cuda" else []
        distributed.join(device)
        with torch.random.fork_rng(devices=gpus), _deferred_interrupt() as stop:
            torch.manual_seed(self.seed + 1_000_003 * distributed.rank())
            run = _Run(self, task, device, path)
            if self.resume and path is not None and path.exists():
                run.restore()
            distributed.broadcast(task.module)
            run.loop(stop)
        return run.history


class _Run:
    """One call of `Trainer.run`."""

    def __init__(self, trainer: Trainer, task: Task, device: torch.device, path: Path | None) -> None:
        self.trainer, self.task, self.device, self.path = trainer, task, device, path
        self.state, self.history = _State(), History()
        self.best_weights: dict[str, Tensor] = {}

    def loop(self, stop: threading.Event) -> None:
        trainer, state = self.trainer, self.state
        with progress_bar(trainer.description, trainer.progress and distributed.rank() == 0) as bar:
            while state.epoch < trainer.epochs and not state.finished:
                batches = distributed.share(self.task.batches(state.epoch))
                sums: dict[str, Tensor] = {
                    name: torch.tensor(value, dtype=torch.float64) for name, value in (state.sums or {}).items()
                }
                for number in range(state.step, len(batches)):
                    progress = (state.epoch + number / len(batches)) / trainer.epochs
                    for name, value in self.step(batches[number], progress).items():
                        sums[name] = sums.get(name, 0.0) + value.detach().double()
                    bar(progress + 1 / len(batches) / trainer.epochs, self.history[-1] if self.history else {})
                    if distributed.any_true(stop.is_set(), self.device):
                        state.step = number + 1
                        state.sums = {name: float(value) for name, value in sums.items()}
                        self.interrupted()
                self.finish_epoch({name: float(value) / len(batches) for name, value in sums.items()})
        if self.best_weights:
            self.task.module.load_state_dict(self.best_weights)

    def step(self, batch: Any, progress: float) -> Mapping[str, Tensor]:
        task, optimiser = self.task, self.task.optimiser
        low = self.trainer.mixed_precision and self.device.type in {"cpu", "cuda"}
        task.module.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16) if low else nullcontext():
            losses = task.losses(batch, progress)
        if optimiser is not None:
            optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            distributed.average_gradients(task.module)
            if self.trainer.clip_norm is not None:
                nn.utils.clip_grad_norm_(task.module.parameters(), self.trainer.clip_norm)
            optimiser.step()
        return losses

    def finish_epoch(self, means: dict[str, float]) -> None:
        state, trainer = self.state, self.trainer
        means = distributed.average(means, self.device)
        for name, value in means.items():
            if not math.isfinite(value):
                raise MedgraphError(
                    f"{name} is {value} in epoch {state.epoch + 1}. Lower the learning rate, or set clip_norm."
                )
        self.task.module.eval()
        with torch.no_grad():
            means |= distributed.average(self.task.validate(), self.device)
        self.history.append({"epoch": float(state.epoch), **means})
        if (stopping := trainer.early_stopping) is not None:
            if stopping.monitor not in means:
                raise SchemaError(f"EarlyStopping monitors {stopping.monitor!r}, but the task reports {list(means)}.")
            if stopping.better(means[stopping.monitor], state.best):
                state.best, state.best_epoch = means[stopping.monitor], state.epoch
                self.best_weights = {name: t.detach().clone() for name, t in self.task.module.state_dict().items()}
            state.finished = state.epoch - state.best_epoch >= stopping.patience
        state.epoch, state.step, state.sums = state.epoch + 1, 0, None
        if self.path is not None and (state.epoch % trainer.every == 0 or state.epoch == trainer.epochs):
            self.save(self.path)

    def interrupted(self) -> None:
        where = f"Stopped in epoch {self.state.epoch + 1} of {self.trainer.epochs}, after step {self.state.step}."
        if self.path is None:
            raise TrainingInterrupted(f"{where} Nothing was saved: pass checkpoint= to be able to go on.")
        self.save(self.path)
        raise TrainingInterrupted(f"{where} Saved to {self.path}. To go on, make the same call with resume=True.")

    def save(self, path: Path) -> None:
        tensors = {f"module/{name}": tensor for name, tensor in self.task.module.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        tensors |= {f"rng/{name}": tensor for name, tensor in distributed.generator_states(self.device).items()}
        facts: dict[str, Any] = {
            "settings": _plain(self.task.settings),
            "state": asdict(self.state),
            "history": list(self.history),
            "seed": self.trainer.seed,
            "processes": distributed.world_size(),
        }
        if self.task.optimiser is not None:
            optimiser_tensors, facts["optimiser"] = checkpoint.flatten_optimiser(self.task.optimiser)
            tensors |= {f"optimiser/{name}": tensor for name, tensor in optimiser_tensors.items()}
        if distributed.rank() == 0:
            checkpoint.write(path, tensors, facts)

    def restore(self) -> None:
        assert self.path is not None
        tensors, facts = checkpoint.read(self.path)
        here = {"settings": _plain(self.task.settings), "seed": self.trainer.seed}
        here["processes"] = distributed.world_size()
        for name, value in _flat(here).items():
            if (saved := _flat({key: facts[key] for key in here}).get(name)) != value:
                raise SchemaError(f"{self.path} was saved with {name}={saved!r}; this run has {value!r}.")
        part = {kind: {} for kind in ("module", "best", "rng", "optimiser")}  # type: dict[str, dict[str, Tensor]]
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            part[kind][rest] = tensor
        self.task.module.load_state_dict(part["module"])
        self.best_weights = {name: tensor.to(self.device) for name, tensor in part["best"].items()}
        if self.task.optimiser is not None:
            checkpoint.restore_optimiser(self.task.optimiser, part["optimiser"], facts["optimiser"])
        distributed.restore_generator_states(part["rng"], self.device)
        self.state, self.history = _State(**facts["state"]), History(facts["history"])


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(settings), default=str)))


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in facts.items() if k != "settings"}, **facts["settings"]}


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that the step in hand is finished; a second Ctrl-C ends at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(_signal: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
