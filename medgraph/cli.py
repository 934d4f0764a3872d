"""The command line: thin verbs over the public names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from medgraph import cli_export, cli_interact, cli_neo4j, cli_risk, console
from medgraph.errors import MedgraphError, SchemaError

__all__ = ["app", "main"]

app = typer.Typer(
    name="medgraph",
    help="What medicine knows, as one graph and one vector space, and answers with them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(cli_export.app)
app.add_typer(cli_interact.app)
app.add_typer(cli_neo4j.app)
app.add_typer(cli_risk.app)

Graph = Annotated[str, typer.Argument(help="A store (a folder, or neo4j://host:7687), or the name of a loader.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Topn = Annotated[int, typer.Option(min=1, help="How many answers.")]
PathOption = Annotated[Path | None, typer.Option(help="The loader's files, where they are here already.")]
Relation = Annotated[str, typer.Option(help="Edge type as Source-relation-Target.")]
Encoders = Annotated[
    list[str] | None, typer.Option("--encoder", help="skipgram, vgae or an embedding's folder; may be repeated.")
]
TREATS = "Compound-treats-Disease"


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to leave the results.")] = Path("medgraph-demo"),
    disease: Annotated[str, typer.Option(help="The disease to ask about.")] = "DOID:1612",
    seed: Seed = 0,
) -> None:
    """The whole way on the bundled graph: store, embeddings, candidates with reasons, evaluation, pictures.

    Example: medgraph demo --folder medgraph-demo
    """
    from medgraph.demo import run

    run(folder, disease, seed, console.out)


@app.command()
def loaders(as_json: Json = False) -> None:
    """Which sources can be loaded?

    Example: medgraph loaders
    """
    from medgraph.loading import list_loaders

    found = [{"name": x.name, "summary": x.summary, "licence": x.licence, "url": x.url} for x in list_loaders()]
    console.show(console.table(found, ("name", "summary", "licence")), as_json, lambda: found)


@app.command()
def load(
    source: Annotated[str, typer.Argument(help="A loader's name; see `medgraph loaders`.")],
    store: Annotated[
        str | None, typer.Option(help="Where to write: a folder, graphs/<source> by default, or neo4j://host:7687.")
    ] = None,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Load a source and keep it in a store.

    Example: medgraph load starter --store graphs/starter
    """
    from medgraph.stores import open_store

    folder = store or f"graphs/{source}"
    graph = console.graph_of(source, path)
    with console.busy(f"writing {folder}"), open_store(folder) as opened:
        opened.write(graph)
    rows = [{"": "nodes", "type": t, "count": n.num_rows} for t, n in graph.nodes.items()]
    rows += [{"": "edges", "type": str(t), "count": e.num_rows} for t, e in graph.edges.items()]
    rows += [{"": "left out", "type": reason, "count": count} for reason, count in graph.skipped.items() if count]
    console.show(
        console.table(rows, ("", "type", "count"), f"{graph} in {folder}"),
        as_json,
        lambda: {
            "store": folder,
            "fingerprint": graph.fingerprint,
            "nodes": {t: n.num_rows for t, n in graph.nodes.items()},
            "edges": {str(t): e.num_rows for t, e in graph.edges.items()},
            "skipped": dict(graph.skipped),
        },
    )


@app.command()
def query(
    store: Annotated[str, typer.Argument(help="A store: a folder, or neo4j://host:7687.")],
    cypher: Annotated[str, typer.Argument(help="One reading statement; values as $name.")],
    param: Annotated[list[str] | None, typer.Option(help="A value as name=value; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a store in Cypher.

    Example: medgraph query graphs/starter 'MATCH (d:Disease {id: $id}) RETURN d.name' --param id=DOID:1612
    """
    from medgraph.stores import open_store

    with open_store(store, read_only=True) as opened:
        answer = opened.query(cypher, **console.parameters(param or []))
    rows = answer.to_pylist()
    console.show(console.table(rows, answer.column_names), as_json, lambda: rows)


@app.command()
def train(
    graph: Graph,
    to: Annotated[Path, typer.Option(help="The folder to save the embedding in.")] = Path("artefacts/embedding"),
    encoder: Annotated[Literal["skipgram", "vgae"], typer.Option(help="What learns the vectors.")] = "skipgram",
    without: Annotated[list[str] | None, typer.Option(help="An edge type to leave out; may be repeated.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter as name=value; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted training.")] = False,
    device: Device = "auto",
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Learn an embedding of a graph.

    Example: medgraph train graphs/starter --to artefacts/skipgram --set vector_size=64 --set epochs=2
    """
    from medgraph.training import TrainingInterrupted

    model = console.encoder(encoder, settings or [], device=device, seed=seed)
    checkpoint = to.parent / f".{to.name}.checkpoint"
    if resume and not checkpoint.exists():
        raise SchemaError(f"There is no interrupted training of {to} to resume ({checkpoint} is not there).")
    loaded = console.graph_in(graph, path)
    loaded = loaded.without(dict.fromkeys(console.edge_type(text, loaded) for text in without or []))
    to.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        checkpoint.unlink(missing_ok=True)
    try:
        model.fit(loaded, checkpoint=checkpoint, resume=resume)
    except TrainingInterrupted:
        console.err.print(f"Interrupted; saved to {escape(str(checkpoint))}. To go on, add --resume.", soft_wrap=True)
        raise typer.Exit(130) from None
    emb = model.embedding_
    emb.save(to)
    checkpoint.unlink(missing_ok=True)
    last = model.history_[-1]
    if as_json:
        console.show(None, True, lambda: {"embedding": str(to), "size": list(emb.vectors.shape), "last_epoch": last})
    else:
        console.say(f"{emb!r} saved in {to}; {', '.join(f'{name} {value:.4g}' for name, value in last.items())}")


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
    columns = ("id", "name", "node_type", "similarity")
    console.show(console.table(found, columns, f"Nearest to {emb.names[emb.index(id)]}"), as_json, lambda: found)


@app.command()
def repurpose(
    graph: Graph,
    id: Annotated[str, typer.Argument(help="A disease, or a drug.")],
    relation: Relation = TREATS,
    encoder: Encoders = None,
    predictor: Annotated[
        Path | None, typer.Option(help="Answer from this folder; learn and save to it where it does not exist yet.")
    ] = None,
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
        if encoder:
            raise SchemaError(f"{predictor} is fitted already and takes no --encoder: name another folder to fit anew.")
        model = LinkPredictor.load(predictor)
        if str(model.relation) != relation:
            raise SchemaError(f"{predictor} predicts {model.relation}, not {relation}: add --relation {model.relation}")
    else:
        loaded = console.graph_in(graph, path)
        loaded.global_index(id)
        model = console.predictor(console.edge_type(relation, loaded), encoder or [], device, seed)
        with console.busy("learning which pairs are linked", quiet=bool(encoder)):
            model.fit(loaded)
        if predictor is not None:
            model.save(predictor)
    candidates = model.rank(id, topn=topn, known=not new)
    console.show(candidates, as_json, candidates.to_dict)


@app.command()
def evaluate(
    graph: Graph,
    relation: Relation = TREATS,
    encoder: Encoders = None,
    by: Annotated[
        Literal["edge", "source", "target", "area", "time"], typer.Option(help="What is held out together.")
    ] = "edge",
    areas: Annotated[str | None, typer.Option(help="For --by area: an edge type whose groups are the areas.")] = None,
    splits: Annotated[int, typer.Option(min=1, help="How many splits, seeded seed, seed + 1, ...")] = 1,
    save: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """How well are held-out links found, beside the baselines?

    Example: medgraph evaluate graphs/starter --by target --splits 3
    """
    from medgraph.evaluation.splits import split_edges
    from medgraph.evaluation.summary import combine

    loaded = console.graph_in(graph, path)
    wanted = console.edge_type(relation, loaded)
    reports = []
    for number in range(seed, seed + splits):
        groups = None if areas is None else console.edge_type(areas, loaded)
        split = split_edges(loaded, wanted, by=by, seed=number, areas=groups)
        if not as_json:
            console.out.print(split.report)
        with console.busy(f"split {number}: learning which pairs are linked", quiet=bool(encoder)):
            reports.append(console.predictor(wanted, encoder or [], device, number).fit(split).evaluate())
    report = combine(reports) if len(reports) > 1 else reports[0]
    if save is not None:
        report.save(save)
    console.show(report, as_json, report.to_dict)


@app.command()
def explain(
    graph: Graph,
    source: Annotated[str, typer.Argument(help="For example a drug.")],
    target: Annotated[str, typer.Argument(help="For example a disease.")],
    max_length: Annotated[int, typer.Option(min=1, max=4, help="Longest path, in steps.")] = 3,
    check: Annotated[int, typer.Option(min=0, help="Delete this many paths one by one, see the score fall.")] = 0,
    relation: Relation = TREATS,
    topn: Topn = 10,
    seed: Seed = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Which paths speak for a pair, and where do they come from?

    Example: medgraph explain graphs/starter DRUGBANK:DB00675 DOID:1612
    """
    from medgraph.explain.paths import explain_paths

    loaded = console.graph_in(graph, path)
    for end in (source, target):
        loaded.global_index(end)
    model = None
    if check:
        with console.busy("learning which pairs are linked"):
            model = console.predictor(console.edge_type(relation, loaded), [], "cpu", seed).fit(loaded)
    with console.busy("looking for paths"):
        evidence = explain_paths(loaded, source, target, max_length, topn, model, check=check)
    console.show(evidence, as_json, evidence.to_dict)


@app.command()
def explore(
    graph: Graph,
    id: Annotated[str, typer.Argument(help="The node in the middle, or to mark on the map.")],
    to: Annotated[Path, typer.Option(help="The picture: .html, .png or .svg.")] = Path("neighbourhood.html"),
    embedding: Annotated[Path | None, typer.Option(help="Draw this embedding's map instead.")] = None,
    path: PathOption = None,
    as_json: Json = False,
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
        with console.busy("laying out the map"):
            picture = map_embedding(Embedding.load(embedding), highlight=[id])
    else:
        picture = neighbourhood(console.graph_in(graph, path), id)
    picture.save(to)
    if as_json:
        console.show(None, True, lambda: {"picture": str(to), "shows": repr(picture)})
    else:
        console.say(f"{picture!r} drawn in {to}")


def main() -> None:
    """Run the command line: exit 0, 1 for what medgraph or the system refuses (one clear line), 2 for wrong usage."""
    try:
        app()
    except (MedgraphError, OSError) as fault:
        text = " ".join(str(fault).split()) or type(fault).__name__
        console.err.print(f"[red]error:[/red] {escape(text)}", highlight=False, soft_wrap=True)
        sys.exit(1)
