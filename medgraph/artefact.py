"""A trained thing is a folder: manifest.json, safetensors, Parquet, a card. Whole or not at all, never pickled."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medgraph.errors import ArtefactError, FormatVersionError

__all__ = [
    "FORMAT_VERSION",
    "Artefact",
    "atomic_file",
    "atomic_folder",
    "bullets",
    "kind_of",
    "learned_from",
    "read_artefact",
    "settings",
    "write_artefact",
]

FORMAT = "medgraph artefact"
FORMAT_VERSION = 1
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artefact:
    """What a saved thing consists of.

    Args:
        kind: class name, such as "Embedding".
        parameters: hyper-parameters, JSON values only.
        tensors: file stem -> name -> array; `{"vectors": {"vectors": ...}}` becomes vectors.safetensors.
        tables: file stem -> table; `{"nodes": ...}` becomes nodes.parquet.
        graph: fingerprint and provenance of the graph it was learned from.
        metrics: what was measured on it.
        seed: the seed it was trained with.
        card: a model card a person can read, Markdown.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    graph: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    card: str = ""


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if path.is_file():  # some systems cannot fsync a folder; a file they must
            raise
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    """A free hidden name in the same folder."""
    return path.parent / f".{path.name}.{secrets.token_hex(6)}.part"


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, fsynced, when the block ends well; else it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.touch(exist_ok=False)  # as any new file: who may read it is the user's umask
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.previous"


def _recover(folder: Path) -> None:
    """Finish a swap that was cut off between its two renames."""
    if not folder.exists() and _previous(folder).exists():
        _previous(folder).rename(folder)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place, fsynced, when the block ends well; else it is removed.

    Raises:
        ArtefactError: `folder` holds something that is not ours (no manifest.json), or is a file.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _recover(folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / _MANIFEST).exists())):
        raise ArtefactError(f"{folder} exists and is not an artefact; choose another folder or remove it first.")
    temporary = _beside(folder)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _fsync(path)
        previous = _previous(folder)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        temporary.rename(folder)
        _fsync(folder.parent)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for package in ("medgraph", "numpy", "pyarrow", "torch", "gensim", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_artefact(folder: str | Path, artefact: Artefact) -> None:
    """Save `artefact` as a folder; an older artefact there is replaced in one step.

    Raises:
        ArtefactError: the folder holds something else, or a parameter is not a JSON value.
    """
    from safetensors.numpy import save_file

    with atomic_folder(folder) as temporary:
        for stem, arrays in artefact.tensors.items():
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary / f"{stem}.safetensors")
        for stem, table in artefact.tables.items():
            pq.write_table(table, temporary / f"{stem}.parquet", compression="zstd")
        if artefact.card:
            (temporary / "card.md").write_text(artefact.card, encoding="utf-8")
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": artefact.kind,
            "parameters": dict(artefact.parameters),
            "graph": dict(artefact.graph),
            "seed": artefact.seed,
            "metrics": dict(artefact.metrics),
            "versions": _versions(),
            "sha256": {path.name: _sha256(path) for path in sorted(temporary.iterdir())},
        }
        try:
            text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as fault:
            raise ArtefactError(f"{artefact.kind}: the manifest takes JSON values only: {fault}.") from None
        (temporary / _MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_artefact(folder: str | Path, kind: str) -> Artefact:
    """Load the artefact in `folder`, every file checked against its sha256.

    Raises:
        ArtefactError: nothing there, another kind, a file missing or altered.
        FormatVersionError: written by a newer medgraph.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    _recover(folder)
    manifest = _read_manifest(folder)
    if manifest["kind"] != kind:
        raise ArtefactError(f"{folder} holds a {manifest['kind']}, not a {kind}.")
    for name, expected in manifest["sha256"].items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise ArtefactError(f"{folder} lacks {name}, which its manifest lists: the copy is incomplete.")
        if _sha256(path) != expected:
            raise ArtefactError(f"{path} is not the file its manifest describes (sha256 differs): copy it again.")
    files = [folder / name for name in manifest["sha256"]]
    card = folder / "card.md"
    return Artefact(
        kind=kind,
        parameters=manifest["parameters"],
        tensors={path.stem: load_file(path) for path in files if path.suffix == ".safetensors"},
        tables={path.stem: pq.read_table(path) for path in files if path.suffix == ".parquet"},
        graph=manifest["graph"],
        metrics=manifest["metrics"],
        seed=manifest["seed"],
        card=card.read_text(encoding="utf-8") if card in files else "",
    )


def kind_of(folder: str | Path) -> str:
    """The class name of what is saved there. Raises ArtefactError, FormatVersionError."""
    _recover(Path(folder))
    return str(_read_manifest(Path(folder))["kind"])


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise ArtefactError(f"{folder} holds no {_MANIFEST}: it is no medgraph artefact.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as fault:
        raise ArtefactError(f"{path} is not readable JSON: {fault}.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError(f"{path} does not describe a {FORMAT}.")
    if (found := manifest.get("format_version")) != FORMAT_VERSION:
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise FormatVersionError(
                f"{folder} has format version {found}; this medgraph reads up to {FORMAT_VERSION}. Upgrade medgraph."
            )
        raise ArtefactError(f"{path}: {found!r} is no known format version.")
    missing = {"kind", "parameters", "graph", "seed", "metrics", "sha256"} - manifest.keys()
    if missing or not isinstance(manifest["sha256"], dict):
        raise ArtefactError(f"{path} lacks {', '.join(sorted(missing)) or 'a table of sha256'}.")
    return manifest


def bullets(lines: Iterable[str], otherwise: str = "none") -> str:
    """A list on a card, Markdown; of one line that says `otherwise` if there are none."""
    return "\n".join(f"- {line}" for line in lines) or f"- {otherwise}"


def settings(parameters: Mapping[str, Any]) -> str:
    """The list of hyper-parameters on a card, Markdown."""
    return bullets((f"`{name}`: {value}" for name, value in parameters.items()), "not recorded")


def learned_from(what: str, source: Mapping[str, Any]) -> str:
    """The section of a card on what a thing was trained on: its sources, their licences, and its fingerprint."""
    sources = (
        f"{s['name']} {s['version']}".rstrip() + (f", {s['licence']}" if s.get("licence") else "")
        for s in source.get("provenance", [])
    )
    return f"""## Learned from
{bullets(sources, "not recorded")}
- {what} fingerprint: {source.get("fingerprint", "not recorded")}"""
