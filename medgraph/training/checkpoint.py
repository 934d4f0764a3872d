"""A checkpoint is one safetensors file with JSON in its header: replaced in one step, never half written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgraph.errors import ArtefactError, FormatVersionError

__all__ = ["flatten_optimiser", "read", "restore_optimiser", "write"]

FORMAT_VERSION = 1


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Save tensors and JSON facts to `path`; a crash leaves the earlier file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    header = {"format": "medgraph checkpoint", "format_version": str(FORMAT_VERSION), "facts": json.dumps(facts)}
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, beside, header
        )
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `write` saved.

    Raises:
        ArtefactError: the file is damaged or no checkpoint.
        FormatVersionError: it was written by a newer medgraph.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path} is not a readable checkpoint ({error}). Delete it to start again.") from error
    if header.get("format") != "medgraph checkpoint":
        raise ArtefactError(f"{path} is a safetensors file, but not a medgraph checkpoint.")
    if (version := int(header["format_version"])) > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has checkpoint format {version}; this medgraph reads up to {FORMAT_VERSION}. Upgrade medgraph."
        )
    return tensors, json.loads(header["facts"])


def flatten_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state as named tensors and JSON."""
    saved = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, state in saved["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}/{name}"] = value
            else:
                numbers.setdefault(str(parameter), {})[name] = value
    return tensors, {"param_groups": saved["param_groups"], "numbers": numbers}


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Bring `optimiser` to the state that `flatten_optimiser` took."""
    state: dict[int, dict[str, Any]] = {int(key): dict(values) for key, values in facts["numbers"].items()}
    for key, tensor in tensors.items():
        parameter, _, name = key.partition("/")
        state.setdefault(int(parameter), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": facts["param_groups"]})
