"""What the verbs of `medgraph interact` share: which heads there are, what they are fitted on and asked about."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medgraph import console
from medgraph.errors import LoaderError, SchemaError

if TYPE_CHECKING:
    from medgraph.data.affinities import Affinities
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.synergies import Synergies

__all__ = [
    "NEURAL",
    "PAIRS",
    "SYNERGY",
    "check_ending",
    "class_of",
    "data_of",
    "graph_of",
    "is_synergy",
    "loaded",
    "show_rows",
    "side_of",
    "split_of",
]

HEADS = {
    "DeepDTA": "deepdta",
    "PairLSTM": "lstm",
    "FingerprintMLP": "mlp",
    "KnowledgeDTA": "knowledge",
    "InteractionStack": "stacking.stack",
    "DeepSynergy": "synergy.head",
}
NEURAL = ("DeepDTA", "PairLSTM", "FingerprintMLP", "KnowledgeDTA")
PAIRS = (*NEURAL, "InteractionStack")
SYNERGY = ("DeepSynergy",)
WAYS = ("given", "pair", "drug", "target", "both", "scaffold")
WRITTEN = (".csv", ".parquet")


def class_of(name: str) -> Any:
    """The head of that name."""
    return getattr(import_module(f"medgraph.heads.interaction.{HEADS[name]}"), name)


def data_of(source: str, path: Path | None, unit: str | None, binary: bool) -> Affinities | Synergies:
    """What a loader brings, or the affinities in a table."""
    from medgraph.data.affinities import Affinities
    from medgraph.data.synergies import Synergies
    from medgraph.loading import load

    with console.busy(f"reading {source}"):
        if path is None and Path(source).exists():
            found = load("affinity_table", source, unit=unit, kind="binary" if binary else "regression")
        else:
            given = {"unit": unit, "kind": "binary" if binary else "regression"} if source == "affinity_table" else {}
            found = load(source, path, **given)
    if not isinstance(found, Affinities | Synergies):
        raise LoaderError(f"Loader {source!r} brings a {type(found).__name__}, expected affinities or synergies.")
    return found


def is_synergy(data: Affinities | Synergies) -> bool:
    """Drug pairs in cell lines, not drugs and targets?"""
    return not hasattr(data, "targets")


def split_of(data: Any, by: str | None, fold: int, seed: int) -> Any:
    """The given folds, where there are some, or else pairs at random; a way that the data have not is wrong usage."""
    folds = data.fold is not None if is_synergy(data) else "test" in data.folds
    way = by or ("given" if folds else "pair")
    ways = ("given", "pair", "drug", "cell") if is_synergy(data) else WAYS
    if way not in ways:
        raise typer.BadParameter(f"--by {way}: these can be held out by {', '.join(ways)}.")
    return data.split(by=way, seed=seed, fold=fold)


def loaded(folder: Path, kinds: tuple[str, ...]) -> Any:
    """The head in a folder. Raises SchemaError where it is none of these kinds."""
    from medgraph.artefact import kind_of

    if (kind := kind_of(folder)) not in kinds:
        raise SchemaError(f"{folder} holds a {kind}; this verb asks a {' or '.join(kinds)}.")
    return class_of(kind).load(folder)


def graph_of(source: str | None) -> KnowledgeGraph | None:
    """The graph in a store or of a loader, if one is named."""
    return None if source is None else console.graph_in(source)


def side_of(
    word: str, text: str, texts: list[str] | None, ids: list[str] | None, file: Path | None
) -> tuple[dict[str, list[str]], list[str]]:
    """What `predict` is asked for on one side, and what to call each."""
    if sum(given is not None for given in (texts, ids, file)) != 1:
        raise typer.BadParameter(f"Name each {word} in one way: --{text}, --{word} or --{word}s; or give --pairs.")
    plural = "smiles" if word == "drug" else "sequences"
    if file is not None:
        from medgraph.data import entity_files

        names, found = (entity_files.read_drugs if word == "drug" else entity_files.read_targets)(file)
        return {plural: found}, names
    if ids is not None:
        return {f"{word}s": ids}, ids
    assert texts is not None
    return {plural: texts}, texts


def check_ending(to: Path | None) -> None:
    """Before any work: can rows be written there?"""
    if to is not None and to.suffix not in WRITTEN:
        raise typer.BadParameter(f"--to {to}: expected a name that ends in {' or '.join(WRITTEN)}.")


def show_rows(frame: Any, unit: str, level: float, to: Path | None, as_json: bool, ends: tuple[str, ...]) -> None:
    """The rows, written if that is asked for, the first of them shown."""
    if to is not None:
        console.write_frame(frame, to)
    rows: list[dict[str, Any]] = frame.to_dict("records")
    if as_json:
        console.show(None, True, lambda: {"unit": unit, "level": level, "predictions": rows})
        return
    shown = frame.head(50).round(3).copy()
    for name in ends:
        shown[name] = [text if len(text) <= 40 else f"{text[:37]}..." for text in shown[name]]
    title = f"{len(frame):,} predictions, {unit}; low and high: {level:.0%} interval"
    title += (f", in {to}" if to else "") + ("" if len(frame) <= 50 else "; the first 50")
    console.show(console.table(shown.to_dict("records"), list(shown.columns), title), False, lambda: rows)
