"""The command line: thin verbs over the public names."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medgraph.errors import MedgraphError, SchemaError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.schema import EdgeType

__all__ = ["app", "main"]

app = typer.Typer(
    name="medgraph",
    help="What medicine knows, as one graph and one vector space, and answers with them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
out, err = Console(), Console(stderr=True)

Graph = Annotated[str, typer.Argument(help="A store (a folder made by `load`), or the name of a loader.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Topn = Annotated[int, typer.Option(help="How many answers.")]
PathOption = Annotated[Path | None, typer.Option(help="The source's files, where they are here already.")]
Relation = Annotated[str, typer.Option(help="Edge type as Source-relation-Target.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyper-parameter as name=value; may be repeated.")]
TREATS = "Compound-treats-Disease"


def _show(thing: Any, as_json: bool, plain: Callable[[], Any]) -> None:
    """A table for people, or JSON for machines."""
    if as_json:
        print(json.dumps(plain(), ensure_ascii=False, default=str))
    else:
        out.print(thing)


def _table(rows: pa.Table, title: str = "") -> Table:
    table = Table(*map(escape, rows.column_names), title=escape(title) or None, title_justify="left")
    for row in rows.to_pylist():
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    return table


def _graph(source: str, path: Path | None = None) -> KnowledgeGraph:
    """The graph in a store's folder, or of a loader."""
    from medgraph.loading import list_loaders, load
    from medgraph.stores import open_store

    if path is None and (Path(source).exists() or "/" in source or "\\" in source):
        with open_store(source, read_only=True) as store:
            return store.read()
    names = [loader.name for loader in list_loaders()]
    if source not in names:
        raise SchemaError(
            f"{source!r} is neither a store's folder nor a loader ({', '.join(names)}).{nearest(source, names)}"
        )
    graph: KnowledgeGraph = load(source, path)
    return graph


def _edge_type(text: str, graph: KnowledgeGraph) -> EdgeType:
    from medgraph.data.schema import EdgeType

    parts = text.split("-")
    if len(parts) != 3:
        raise SchemaError(f"{text!r} is no edge type; expected Source-relation-Target, such as {TREATS}.")
    return graph.schema.require(EdgeType(*parts))


def _encoder(name: str, settings: list[str] | None, **common: Any) -> Any:
    """An encoder by name, its dataclass fields set from name=value texts."""
    from medgraph.embeddings.skipgram import SkipGram
    from medgraph.embeddings.vgae import VGAE

    classes: dict[str, type[Any]] = {"skipgram": SkipGram, "vgae": VGAE}
    if name not in classes:
        raise SchemaError(f"{name!r} is no encoder; expected one of {', '.join(classes)}.{nearest(name, classes)}")
    return classes[name](**common, **_settings(classes[name], settings or []))


def _settings(cls: type[Any], texts: list[str]) -> dict[str, Any]:
    """name=value texts as keyword arguments of a dataclass; plain fields only."""
    types = {f.name: f.type for f in fields(cls) if f.init and str(f.type) in {"int", "float", "str", "bool"}}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in types:
            close = difflib.get_close_matches(name, types, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" It has {', '.join(types)}."
            raise SchemaError(f"--set {text}: {cls.__name__} has no plain parameter {name!r}.{hint}")
        kind = str(types[name])
        try:
            if kind == "bool":
                values[name] = {"true": True, "false": False}[value.lower()]
            else:
                values[name] = {"int": int, "float": float, "str": str}[kind](value)
        except (ValueError, KeyError):
            raise SchemaError(f"--set {text}: {value!r} is no {kind}.") from None
    return values


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to leave the results.")] = Path("medgraph-demo"),
    disease: Annotated[str, typer.Option(help="The disease to ask about.")] = "DOID:1612",
    seed: Seed = 0,
) -> None:
    """The whole way on the bundled graph: store, embeddings, candidates with reasons, evaluation, a picture.

    Example: medgraph demo --folder medgraph-demo
    """
    from medgraph.demo import run

    run(folder, disease, seed, out)


@app.command()
def loaders(as_json: Json = False) -> None:
    """Which sources can be loaded?

    Example: medgraph loaders
    """
    from medgraph.loading import list_loaders

    found = [{"name": x.name, "summary": x.summary, "licence": x.licence, "url": x.url} for x in list_loaders()]
    table = Table("name", "summary", "licence")
    for row in found:
        table.add_row(*(escape(row[key]) for key in ("name", "summary", "licence")))
    _show(table, as_json, lambda: found)


@app.command()
def load(
    source: Annotated[str, typer.Argument(help="A loader's name; see `medgraph loaders`.")],
    store: Annotated[Path | None, typer.Option(help="The folder to write to; graphs/<source> by default.")] = None,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Load a source and keep it in a store.

    Example: medgraph load starter --store graphs/starter
    """
    from medgraph.stores import open_store

    folder = store or Path("graphs") / source
    with err.status(f"loading {source}"):
        graph = _graph(source, path) if path is None else _load(source, path)
    with err.status(f"writing {folder}"), open_store(folder) as opened:
        opened.write(graph)
    counts = Table("", "type", "count", title=escape(f"{graph} in {folder}"), title_justify="left")
    for node_type, nodes in graph.nodes.items():
        counts.add_row("nodes", node_type, f"{nodes.num_rows:,}")
    for edge_type, edges in graph.edges.items():
        counts.add_row("edges", str(edge_type), f"{edges.num_rows:,}")
    for reason, count in graph.skipped.items():
        if count:
            counts.add_row("left out", escape(reason), f"{count:,}")
    _show(
        counts,
        as_json,
        lambda: {
            "store": str(folder),
            "fingerprint": graph.fingerprint,
            "nodes": {t: n.num_rows for t, n in graph.nodes.items()},
            "edges": {str(t): e.num_rows for t, e in graph.edges.items()},
            "skipped": dict(graph.skipped),
        },
    )


def _load(source: str, path: Path) -> KnowledgeGraph:
    from medgraph.loading import load as load_source

    graph: KnowledgeGraph = load_source(source, path)
    return graph


@app.command()
def query(
    store: Annotated[Path, typer.Argument(help="A store's folder.")],
    cypher: Annotated[str, typer.Argument(help="One reading statement; values as $name.")],
    param: Annotated[list[str] | None, typer.Option(help="A value as name=value; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a store in Cypher.

    Example: medgraph query graphs/starter 'MATCH (d:Disease {id: $id}) RETURN d.name' --param id=DOID:1612
    """
    from medgraph.stores import open_store

    parameters = {}
    for text in param or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise SchemaError(f"--param {text}: expected name=value.")
        try:
            parameters[name] = json.loads(value)
        except json.JSONDecodeError:
            parameters[name] = value
    with open_store(store, read_only=True) as opened:
        answer = opened.query(cypher, **parameters)
    _show(_table(answer), as_json, answer.to_pylist)


@app.command()
def train(
    graph: Graph,
    to: Annotated[Path, typer.Option(help="The folder to save the embedding in.")] = Path("artefacts/embedding"),
    encoder: Annotated[str, typer.Option(help="skipgram or vgae.")] = "skipgram",
    without: Annotated[list[str] | None, typer.Option(help="An edge type to leave out; may be repeated.")] = None,
    settings: Set = None,
    resume: Annotated[bool, typer.Option(help="Go on from an interrupted training.")] = False,
    device: Device = "auto",
    seed: Seed = 0,
    path: PathOption = None,
) -> None:
    """Learn an embedding of a graph.

    Example: medgraph train graphs/starter --to artefacts/skipgram --set vector_size=64 --set epochs=2
    """
    loaded = _graph(graph, path)
    loaded = loaded.without(dict.fromkeys(_edge_type(text, loaded) for text in without or []))
    model = _encoder(encoder, settings, device=device, seed=seed)
    checkpoint = to.parent / f".{to.name}.checkpoint"
    to.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        checkpoint.unlink(missing_ok=True)
    model.fit(loaded, checkpoint=checkpoint, resume=resume)
    model.embedding_.save(to)
    checkpoint.unlink(missing_ok=True)
    out.print(f"{model.embedding_!r} saved in {to}", highlight=False, markup=False)


@app.command()
def similar(
    embedding: Annotated[Path, typer.Argument(help="An embedding's folder.")],
    id: Annotated[str, typer.Argument(help="A CURIE, such as DOID:1612.")],
    node_type: Annotated[str | None, typer.Option(help="Only this node type.")] = None,
    topn: Topn = 10,
    as_json: Json = False,
) -> None:
    """Which ids lie nearest?

    Example: medgraph similar artefacts/skipgram DOID:1612 --node-type Compound
    """
    from medgraph.embeddings.embedding import Embedding

    emb = Embedding.load(embedding)
    found = [
        {"id": i, "name": emb.names[emb.index(i)], "node_type": emb.node_types[emb.index(i)], "similarity": round(s, 4)}
        for i, s in emb.most_similar(id, topn=topn, node_type=node_type)
    ]
    table = Table("id", "name", "node type", "similarity", title=escape(f"nearest to {emb.names[emb.index(id)]}"))
    for row in found:
        table.add_row(*(escape(str(value)) for value in row.values()))
    _show(table, as_json, lambda: found)


Encoders = Annotated[list[str] | None, typer.Option("--encoder", help="skipgram, vgae or an embedding's folder.")]


def _predictor(relation: EdgeType, encoders: list[str] | None, device: str, seed: int) -> Any:
    from medgraph.embeddings.embedding import Embedding
    from medgraph.heads.repurposing.predictor import LinkPredictor

    given = [
        Embedding.load(text) if Path(text).is_dir() else _encoder(text, None, device=device, seed=seed)
        for text in encoders or []
    ]
    return LinkPredictor(given, relation=relation, seed=seed)


@app.command()
def repurpose(
    graph: Graph,
    id: Annotated[str, typer.Argument(help="A disease, or a drug.")],
    relation: Relation = TREATS,
    encoder: Encoders = None,
    predictor: Annotated[Path | None, typer.Option(help="Save to, or if it exists answer from, this folder.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Leave out what is known already.")] = False,
    topn: Topn = 20,
    device: Device = "auto",
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Which drugs for a disease, which diseases for a drug?

    Example: medgraph repurpose graphs/starter DOID:1612 --new --predictor artefacts/treats
    """
    from medgraph.heads.repurposing.predictor import LinkPredictor

    if predictor is not None and predictor.exists():
        model = LinkPredictor.load(predictor)
    else:
        loaded = _graph(graph, path)
        loaded.global_index(id)
        with err.status("learning which pairs are linked"):
            model = _predictor(_edge_type(relation, loaded), encoder, device, seed).fit(loaded)
        if predictor is not None:
            model.save(predictor)
    candidates = model.rank(id, topn=topn, known=not new)
    _show(candidates, as_json, candidates.to_dict)


@app.command()
def evaluate(
    graph: Graph,
    relation: Relation = TREATS,
    encoder: Encoders = None,
    by: Annotated[str, typer.Option(help="edge, source, target, area or time.")] = "edge",
    splits: Annotated[int, typer.Option(help="How many splits, seeded seed, seed + 1, ...")] = 1,
    save: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """How well are held-out links found, beside the baselines?

    Example: medgraph evaluate graphs/starter --by target --splits 3
    """
    from medgraph.evaluation.splits import SplitBy, split_edges
    from medgraph.evaluation.summary import combine

    if by not in get_args(SplitBy):
        raise SchemaError(f"--by {by}: expected one of {', '.join(get_args(SplitBy))}.")
    loaded = _graph(graph, path)
    edge_type = _edge_type(relation, loaded)
    reports = []
    for number in range(seed, seed + max(1, splits)):
        split = split_edges(loaded, edge_type, by=by, seed=number)  # type: ignore[arg-type]
        if not as_json:
            out.print(split.report)
        with err.status(f"split {number}: fitting"):
            reports.append(_predictor(edge_type, encoder, device, number).fit(split).evaluate())
    report = combine(reports) if len(reports) > 1 else reports[0]
    if save is not None:
        report.save(save)
    _show(report, as_json, report.to_dict)


@app.command()
def explain(
    graph: Graph,
    source: Annotated[str, typer.Argument(help="For example a drug.")],
    target: Annotated[str, typer.Argument(help="For example a disease.")],
    max_length: Annotated[int, typer.Option(help="Longest path, 1 to 4 steps.")] = 3,
    check: Annotated[int, typer.Option(help="Delete this many paths one by one and see the score fall.")] = 0,
    relation: Relation = TREATS,
    topn: Topn = 10,
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Which paths speak for a pair, and where do they come from?

    Example: medgraph explain graphs/starter DRUGBANK:DB00675 DOID:1612 --check 3
    """
    from medgraph.explain.paths import explain_paths

    loaded = _graph(graph, path)
    model = None
    if check > 0:
        with err.status("learning which pairs are linked"):
            model = _predictor(_edge_type(relation, loaded), None, "cpu", seed).fit(loaded)
    with err.status("looking for paths"):
        evidence = explain_paths(loaded, source, target, max_length, topn, model, check=check)
    _show(evidence, as_json, evidence.to_dict)


@app.command()
def explore(
    graph: Graph,
    id: Annotated[str, typer.Argument(help="The node in the middle, or to mark on the map.")],
    to: Annotated[Path, typer.Option(help="The picture: .html, .png or .svg.")] = Path("neighbourhood.html"),
    embedding: Annotated[Path | None, typer.Option(help="Draw this embedding's map instead.")] = None,
    path: PathOption = None,
) -> None:
    """Draw a node's neighbourhood, or a map of an embedding.

    Example: medgraph explore graphs/starter DOID:1612 --to breast_cancer.html
    """
    from medgraph.embeddings.embedding import Embedding
    from medgraph.explore.maps import map_embedding
    from medgraph.explore.neighbourhood import neighbourhood
    from medgraph.explore.picture import Picture

    picture: Picture
    if embedding is not None:
        with err.status("laying out the map"):
            picture = map_embedding(Embedding.load(embedding), highlight=[id])
    else:
        picture = neighbourhood(_graph(graph, path), id)
    out.print(f"{picture!r} drawn in {picture.save(to)}", highlight=False, markup=False)


def main() -> None:
    """Run the command line: exit 0, 1 for a MedgraphError (one clear line), 2 for wrong usage."""
    try:
        app()
    except MedgraphError as fault:
        err.print(f"[red]error:[/red] {escape(str(fault))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt as stop:
        err.print(escape(str(stop) or "interrupted"), highlight=False, soft_wrap=True)
        sys.exit(130)
