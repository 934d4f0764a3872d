"""The newcomer's first minutes: the whole way through the house on the bundled graph."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import numpy as np
from rich.console import Console
from rich.markup import escape

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.skipgram import SkipGram
from medgraph.embeddings.vgae import VGAE
from medgraph.embeddings.walks import UniformWalks
from medgraph.errors import SchemaError
from medgraph.evaluation.splits import split_edges
from medgraph.explain.paths import explain_paths
from medgraph.explore.maps import map_embedding
from medgraph.explore.neighbourhood import neighbourhood
from medgraph.explore.report import HtmlReport
from medgraph.heads.repurposing.predictor import LinkPredictor
from medgraph.loading import load
from medgraph.stores import open_store

__all__ = ["run"]

TREATS = EdgeType("Compound", "treats", "Disease")
TARGETS = EdgeType("Compound", "targets", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")
PRESENTS = EdgeType("Disease", "presents", "Phenotype")


def run(folder: Path, disease: str, seed: int, console: Console) -> None:
    """Load, store, embed, compare, predict, judge, explain and draw; leave everything in `folder`.

    Raises:
        UnknownIdentifierError: the disease is not in the starter graph.
        SchemaError: it is there, but it is no disease.
    """
    started = monotonic()

    def step(text: str) -> None:
        console.print(f"\n[bold]{escape(text)}[/bold]  [dim]({monotonic() - started:.0f} s)[/dim]", highlight=False)

    def say(text: str) -> None:
        console.print(f"   {text}", highlight=False, markup=False, soft_wrap=True)

    step("1. A graph: genes, diseases, phenotypes, diagnoses and drugs, bundled and offline")
    graph = load("starter")
    if (node_type := graph.locate(disease).node_type) != "Disease":
        raise SchemaError(f"{disease} ({graph.name(disease)}) is a {node_type}; the demo asks about a disease.")
    name = graph.name(disease)
    with open_store(folder / "graph") as store:
        store.write(graph)
        drugs = store.query(
            "MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.name ORDER BY c.name", id=disease
        )
    say(f"{graph!r}, kept in {folder / 'graph'}")
    say(f"Known to treat {name}: {', '.join(drugs.column(0).to_pylist()) or 'none of these drugs'}.")
    near = within_reach(graph, disease)
    say(f"To be quick, the demo learns from what lies within reach of a drug: {near!r}")

    step("2. Some of what is known is hidden, so that the answers can be judged")
    split = split_edges(near, TREATS, seed=seed)
    console.print(split.report)
    rest = split.graph.without({TREATS: None})

    step("3. Two embeddings, learned from everything but the indications")
    walks = UniformWalks(walks_per_node=10, length=20)
    skipgram = SkipGram(vector_size=64, alpha=0.1, epochs=1, walks=walks, seed=seed).fit(rest)
    skipgram.embedding_.save(folder / "skipgram")
    say(f"{skipgram.embedding_!r} in {folder / 'skipgram'}; loss {skipgram.history_[-1]['loss']:.3f}")
    vgae = VGAE(vector_size=64, hidden_size=64, seed=seed).fit(rest)
    vgae.embedding_.save(folder / "vgae")
    last = vgae.history_[-1]
    say(f"{vgae.embedding_!r} in {folder / 'vgae'}; ELBO {last['elbo']:.3f} per edge, KL {last['kl']:.2f} per node")

    step(f"4. What is most like {name}?")
    for node_type in ("Disease", "Gene", "Phenotype", "Compound"):
        alike = skipgram.embedding_.most_similar(disease, topn=5, node_type=node_type)
        say(f"{node_type + ':':<11}{', '.join(f'{graph.name(i)} {s:.2f}' for i, s in alike)}")

    step(f"5. Which drugs should be looked at for {name}?")
    with console.status("learning which drugs treat which diseases"):
        predictor = LinkPredictor([skipgram, vgae], relation=TREATS, folds=5, seed=seed).fit(split)
    predictor.save(folder / "predictor")
    candidates = predictor.rank(disease, topn=10)
    console.print(candidates)
    hidden = {tuple(pair) for pair in np.concatenate([split.valid, split.test], axis=1).T.tolist()}
    row = near.locate(disease).row
    found = [c.name for c in candidates if (near.locate(c.id).row, row) in hidden]
    if found:
        say(f"Hidden indications among them: {', '.join(found)}.")

    step("6. How far can that be trusted? The hidden links, beside the baselines")
    with console.status("ranking the hidden links"):
        report = predictor.evaluate()
    report.save(folder / "evaluation.json")
    console.print(report)
    say(f"All of it is in {folder / 'evaluation.json'}; the predictor itself in {folder / 'predictor'}.")

    best = predictor.rank(disease, topn=1, known=False)[0]
    step(f"7. Why {best.name}, the best of those not known? The paths that speak for it")
    with console.status("looking for paths, and deleting them"):
        evidence = explain_paths(split.graph, best.id, disease, predictor=predictor, check=2)
    console.print(evidence)

    step("8. Pictures")
    with console.status("laying out the map"):
        drawn = map_embedding(
            skipgram.embedding_, highlight=[disease, *(c.id for c in candidates[:5])], max_nodes=3000,
            title=f"{name} and the drugs ranked first for it, among what lies within reach of a drug", seed=seed,
        )  # fmt: skip
    around = neighbourhood(near, disease)
    pictures = [
        picture.save(folder / f"{stem}.{ending}")
        for picture, stem in ((drawn, "map"), (around, "neighbourhood"))
        for ending in ("html", "png")
    ]
    page = HtmlReport(
        f"Which drugs for {name}?",
        ("Candidates", candidates),
        (f"Why {best.name}?", evidence),
        ("How far can that be trusted?", report),
        ("The space", drawn),
        (f"Around {name}", around),
    ).save(folder / "report.html")
    say(f"{page} holds all of this; also {', '.join(path.name for path in pictures)}")

    step("Done. Try next:")
    for command in (
        f"medgraph similar {folder / 'skipgram'} DRUGBANK:DB00945 --node-type Compound",
        f"medgraph repurpose {folder / 'graph'} DOID:9352 --new --predictor {folder / 'predictor'}",
        f"medgraph explain {folder / 'graph'} {best.id} {disease}",
    ):
        say(command)


def within_reach(graph: KnowledgeGraph, disease: str) -> KnowledgeGraph:
    """The common diseases, those associated with a drug's target, and what they touch."""
    associated, presented = graph.edge_index(ASSOCIATES), graph.edge_index(PRESENTS)
    ids = np.asarray(graph.nodes["Disease"].column("id").to_pylist())
    targets = graph.edge_index(TARGETS)[1]
    near = np.char.startswith(ids, "DOID:") | (ids == disease)
    near[associated[0][np.isin(associated[1], targets)]] = True
    rows = {
        "Compound": np.arange(graph.nodes["Compound"].num_rows),
        "Disease": np.flatnonzero(near),
        "Gene": np.union1d(targets, associated[1][near[associated[0]]]),
        "Phenotype": np.unique(presented[1][near[presented[0]]]),
    }
    chosen = np.concatenate([graph.offsets[node_type] + found for node_type, found in rows.items()])
    return graph.subgraph(nodes=[graph.ids[i] for i in chosen.tolist()], node_types=rows)
