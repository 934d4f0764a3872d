"""The one training loop, its checkpoints, and its processes."""

from medgraph.training.trainer import EarlyStopping, History, Task, Trainer, TrainingInterrupted, resolve_device

__all__ = ["EarlyStopping", "History", "Task", "Trainer", "TrainingInterrupted", "resolve_device"]
