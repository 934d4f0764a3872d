"""What the verbs of the command line share: reading their texts, finding graphs, showing answers."""

from __future__ import annotations

import difflib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medgraph.errors import LoaderError, SchemaError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.schema import EdgeType
    from medgraph.heads.repurposing.predictor import LinkPredictor

__all__ = [
    "busy",
    "edge_type",
    "encoder",
    "graph_in",
    "graph_of",
    "parameters",
    "predictor",
    "say",
    "settings",
    "show",
    "table",
    "write_frame",
]

out = Console(width=None if sys.stdout.isatty() else 140)  # a file or a pipe has no width of its own
err = Console(stderr=True)
ENCODERS = ("skipgram", "vgae")


# Showing -------------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """One line, as it is."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def show(thing: Any, as_json: bool, plain: Callable[[], Any]) -> None:
    """A table for people, or one JSON value for machines; a figure that is not a number is null."""
    if as_json:
        print(json.dumps(_finite(plain()), ensure_ascii=False, allow_nan=False, default=str))
    else:
        out.print(thing)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str = "") -> Table:
    """Rows of plain values as a table; figures stand to the right."""
    drawn = Table(title=escape(title) or None, title_justify="left")
    for column in columns:
        numeric = any(isinstance(row[column], int | float) for row in rows)
        drawn.add_column(escape(column), justify="right" if numeric else "left")
    for row in rows:
        drawn.add_row(*(_cell(row[column]) for column in columns))
    return drawn


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


@contextmanager
def busy(text: str, quiet: bool = False) -> Iterator[None]:
    """A sign of life on stderr while something takes its time; `quiet` where that has a progress bar of its own."""
    if quiet:
        yield
    else:
        with err.status(escape(text)):
            yield


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """The rows as .csv or else .parquet, whole or not at all."""
    from medgraph.artefact import atomic_file

    with atomic_file(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


# Reading -------------------------------------------------------------------------------------------------------------


def graph_of(loader: str, path: Path | None = None) -> KnowledgeGraph:
    """The graph that a loader brings. Raises LoaderError."""
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.loading import load

    with busy(f"loading {loader}"):
        graph = load(loader, path)
    if not isinstance(graph, KnowledgeGraph):
        raise LoaderError(f"Loader {loader!r} brings a {type(graph).__name__}, expected a graph.")
    return graph


def graph_in(source: str, path: Path | None = None) -> KnowledgeGraph:
    """The graph in a store's folder, or else of a loader. Raises StoreError, LoaderError, SchemaError."""
    from medgraph.loading import list_loaders
    from medgraph.stores import open_store

    names = [loader.name for loader in list_loaders()]
    if path is not None or (source in names and not Path(source).is_dir()):
        return graph_of(source, path)
    if not Path(source).exists() and "/" not in source:
        raise SchemaError(
            f"{source!r} is neither a store's folder nor a loader ({', '.join(names)}).{nearest(source, names)}"
        )
    with busy(f"reading {source}"), open_store(source, read_only=True) as store:
        return store.read()


def edge_type(text: str, graph: KnowledgeGraph) -> EdgeType:
    """Source-relation-Target as an edge type of the graph. Raises SchemaError."""
    from medgraph.data.schema import EdgeType

    parts = text.split("-")
    if len(parts) != 3:
        known = ", ".join(map(str, graph.edge_types))
        raise SchemaError(f"{text!r} is no edge type; expected Source-relation-Target, one of {known}.")
    return graph.schema.require(EdgeType(*parts))


def encoder(name: str, texts: Sequence[str] = (), **common: Any) -> Any:
    """An encoder by name, its fields set from name=value texts; a mistake in them is one of usage."""
    from medgraph.embeddings.skipgram import SkipGram
    from medgraph.embeddings.vgae import VGAE

    classes: dict[str, type[Any]] = dict(zip(ENCODERS, (SkipGram, VGAE), strict=True))
    if name not in classes:
        raise typer.BadParameter(
            f"{name!r} is neither an embedding's folder nor an encoder ({', '.join(classes)}).{nearest(name, classes)}"
        )
    return classes[name](**common, **settings(classes[name], texts))


def settings(cls: type[Any], texts: Sequence[str]) -> dict[str, Any]:
    """name=value texts as keyword arguments of a dataclass; fields that hold plain values only, several as 64,32."""
    readers: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": _true_or_false}
    readers |= {f"{kind} | None": _or_none(reader) for kind, reader in readers.items()}
    readers |= dict.fromkeys(("tuple[int, ...]", "Sequence[int]"), _whole_numbers)
    types = {f.name: str(f.type) for f in fields(cls) if f.init and str(f.type) in readers}
    types = {name: kind for name, kind in types.items() if name not in {"seed", "device"}}  # options of their own
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {text}: expected name=value.")
        if name not in types:
            close = difflib.get_close_matches(name, types, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"It has {', '.join(types)}."
            raise typer.BadParameter(f"--set {text}: {cls.__name__} has no parameter {name!r} to set here. {hint}")
        try:
            values[name] = readers[types[name]](value)
        except ValueError:
            raise typer.BadParameter(f"--set {text}: {value!r} is no {types[name]}.") from None
    return values


def _true_or_false(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _or_none(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.lower() == "none" else reader(text)


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def parameters(texts: Sequence[str]) -> dict[str, Any]:
    """name=value texts as a query's parameters; a value that reads as JSON is taken as such."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--param {text}: expected name=value.")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def predictor(relation: EdgeType, encoders: Sequence[str], device: str, seed: int) -> LinkPredictor:
    """A link predictor on encoders by name and embeddings by folder, besides its own scorers."""
    from medgraph.embeddings.embedding import Embedding
    from medgraph.heads.repurposing.predictor import LinkPredictor

    given = [
        Embedding.load(text) if Path(text).is_dir() else encoder(text, device=device, seed=seed) for text in encoders
    ]
    return LinkPredictor(given, relation=relation, seed=seed)
