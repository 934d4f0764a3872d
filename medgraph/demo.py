"""The newcomer's first minutes: the whole way through the house on the bundled graph."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import numpy as np
from rich.console import Console
from rich.markup import escape

from medgraph.data.schema import EdgeType
from medgraph.embeddings.skipgram import SkipGram
from medgraph.embeddings.vgae import VGAE
from medgraph.embeddings.walks import UniformWalks
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


def run(folder: Path, disease: str, seed: int, console: Console) -> None:
    """Load, store, embed, compare, predict, judge, explain and draw; leave everything in `folder`.

    Raises:
        UnknownIdentifierError: the disease is not in the starter graph.
    """
    started = monotonic()

    def say(text: str) -> None:
        console.print(f"\n[bold]{escape(text)}[/bold]  [dim]({monotonic() - started:.0f} s)[/dim]", highlight=False)

    say("1. A graph: genes, diseases, phenotypes, diagnoses and drugs, bundled and offline")
    graph = load("starter")
    name = graph.name(disease)
    store_folder = folder / "graph"
    with open_store(store_folder) as store:
        store.write(graph)
        console.print(f"   {graph!r}\n   kept in {store_folder}", highlight=False, markup=False)
        drugs = store.query(
            "MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.name ORDER BY c.name", id=disease
        )
    known = ", ".join(drugs.column(0).to_pylist())
    console.print(f"   known to treat {name}: {known}", highlight=False, markup=False)

    say("2. Some of what is known is hidden, so that the answers can be judged")
    split = split_edges(graph, TREATS, seed=seed)
    console.print(split.report)
    rest = split.graph.without({TREATS: None})

    say("3. Two embeddings, learned from everything but the indications")
    walks = UniformWalks(walks_per_node=5, length=20)
    skipgram = SkipGram(vector_size=64, window=4, walks=walks, seed=seed).fit(rest)
    skipgram.embedding_.save(folder / "skipgram")
    console.print(f"   {skipgram.embedding_!r} in {folder / 'skipgram'}", highlight=False, markup=False)
    vgae = VGAE(vector_size=64, hidden_size=64, epochs=40, seed=seed).fit(rest)
    vgae.embedding_.save(folder / "vgae")
    bound = vgae.history_[-1]
    console.print(
        f"   {vgae.embedding_!r} in {folder / 'vgae'}; ELBO {bound['elbo']:.3f}, KL {bound['kl']:.3f}",
        highlight=False, markup=False,
    )  # fmt: skip

    say(f"4. What is most like {name}?")
    for node_type in ("Disease", "Gene"):
        near = skipgram.embedding_.most_similar(disease, topn=5, node_type=node_type)
        told = ", ".join(f"{graph.name(i)} {s:.2f}" for i, s in near)
        console.print(f"   {node_type}: {told}", highlight=False, markup=False)

    say(f"5. Which drugs should be looked at for {name}?")
    predictor = LinkPredictor([skipgram, vgae], relation=TREATS, folds=5, seed=seed).fit(split)
    predictor.save(folder / "predictor")
    candidates = predictor.rank(disease, topn=10)
    console.print(candidates)
    held_out = {tuple(pair) for pair in np.concatenate([split.valid, split.test], axis=1).T.tolist()}
    row = graph.locate(disease).row
    found = [c.name for c in candidates if (graph.locate(c.id).row, row) in held_out]
    if found:
        console.print(f"   hidden indications among them: {', '.join(found)}", highlight=False, markup=False)

    say("6. How far can that be trusted? The hidden links, beside the baselines")
    report = predictor.evaluate()
    report.save(folder / "evaluation.json")
    console.print(report)

    say("7. Why? The paths behind the best new candidate")
    best = next(iter(predictor.rank(disease, topn=1, known=False)))
    evidence = explain_paths(split.graph, best.id, disease, predictor=predictor, check=2)
    console.print(evidence)

    say("8. Pictures")
    drawn = map_embedding(
        skipgram.embedding_, ["Compound", "Disease", "Gene", "Phenotype"],
        highlight=[disease, *(c.id for c in candidates[:5])], max_nodes=2000, title=f"around {name}", seed=seed,
    )  # fmt: skip
    around = neighbourhood(graph, disease)
    for picture, stem in ((drawn, "map"), (around, "neighbourhood")):
        for ending in ("html", "png"):
            picture.save(folder / f"{stem}.{ending}")
    HtmlReport(
        f"Which drugs for {name}?",
        ("Candidates", candidates),
        ("Evaluation", report),
        (f"Evidence for {best.name}", evidence),
        ("Map", drawn),
        ("Neighbourhood", around),
    ).save(folder / "report.html")
    console.print(f"   {folder}/report.html, map.html, map.png, neighbourhood.html", highlight=False, markup=False)

    say("Done. Try next:")
    console.print(
        f"   medgraph similar {folder}/skipgram DRUGBANK:DB00945 --node-type Compound\n"
        f"   medgraph repurpose {folder}/graph DOID:9352 --new\n"
        f"   medgraph explain {folder}/graph {best.id} {disease}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
