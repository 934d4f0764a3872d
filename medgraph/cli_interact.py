"""The verbs `medgraph interact ...`: fit heads on affinities and synergies, ask them, judge them, explain, screen."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medgraph import console
from medgraph.cli_interact_parts import (
    NEURAL,
    PAIRS,
    SYNERGY,
    check_ending,
    class_of,
    data_of,
    graph_of,
    is_synergy,
    loaded,
    show_rows,
    side_of,
    split_of,
)
from medgraph.errors import SchemaError

__all__ = ["app"]

app = typer.Typer(name="interact", help="Do drug and target, or two drugs, interact?", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="A loader of affinities or synergies, or a table: CSV, TSV, Parquet.")]
Saved = Annotated[Path, typer.Argument(help="A fitted head's folder.")]
PathOption = Annotated[Path | None, typer.Option(help="The loader's files.")]
Unit = Annotated[str | None, typer.Option(help="Of the values in a table: pKd, pIC50, 'KIBA score' ...")]
Binary = Annotated[bool, typer.Option("--binary", help="The values in a table are 0 and 1.")]
By = Annotated[
    Literal["given", "pair", "drug", "target", "both", "scaffold", "cell"] | None,
    typer.Option(help="What is held out together; the folds that came with the data, or else pairs."),
]
Fold = Annotated[int, typer.Option(help="Which given fold is valid (synergies: test).")]
SplitSeed = Annotated[int | None, typer.Option(help="Of the split; the head's own by default.")]
Smiles = Annotated[list[str] | None, typer.Option(help="A drug by structure; may be repeated.")]
Drug = Annotated[list[str] | None, typer.Option(help="A drug by id; may be repeated.")]
Sequence = Annotated[list[str] | None, typer.Option(help="A target by amino acids; may be repeated.")]
Target = Annotated[list[str] | None, typer.Option(help="A target by id; may be repeated.")]
Graph = Annotated[str | None, typer.Option(help="A store or loader: ids that training does not know are looked up.")]
Level = Annotated[float, typer.Option(min=0.01, max=0.999, help="Share of intervals that hold the measured value.")]
Written = Annotated[Path | None, typer.Option(help="Write all rows: .csv or .parquet.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.callback()
def interact() -> None:
    """How strongly does a drug bind a target, and do two drugs work together?"""


@app.command()
def fit(
    source: Source,
    head: Annotated[
        Literal["DeepDTA", "PairLSTM", "FingerprintMLP", "KnowledgeDTA", "InteractionStack", "DeepSynergy"] | None,
        typer.Option(help="What learns; DeepDTA, or DeepSynergy for synergies."),
    ] = None,
    to: Annotated[Path, typer.Option(help="The folder to save the head in.")] = Path("artefacts/interaction"),
    by: By = None,
    fold: Fold = 0,
    loss: Annotated[
        Literal["squared", "censored", "evidential"], typer.Option(help="Censored: 'at most' is taken as that.")
    ] = "squared",
    embedding: Annotated[Path | None, typer.Option(help="KnowledgeDTA: vectors of a graph, in this folder.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter as name=value; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything random, and of the split.")] = 0,
    unit: Unit = None,
    binary: Binary = False,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Learn from the training part of measured affinities or synergies; the valid part says when to stop.

    Example: medgraph interact fit davis --path data/davis --head DeepDTA --to artefacts/davis
    """
    data = data_of(source, path, unit, binary)
    combined = is_synergy(data)
    name = head or ("DeepSynergy" if combined else "DeepDTA")
    if (name == "DeepSynergy") != combined:
        raise typer.BadParameter(f"--head {name} is not for what {source} holds: {data!r}.")
    cls = class_of(name)
    given: dict[str, Any] = console.settings(cls, settings or []) | {"seed": seed}
    if name != "InteractionStack":
        given["device"] = device
    if loss != "squared":
        if name not in NEURAL:
            raise typer.BadParameter(f"--loss is for {', '.join(NEURAL)}.")
        given["loss"] = getattr(import_module("medgraph.heads.interaction.losses"), loss.capitalize())()
    if (embedding is None) == (name == "KnowledgeDTA"):
        raise typer.BadParameter("--embedding and --head KnowledgeDTA belong together.")
    if embedding is not None:
        given["embedding"] = import_module("medgraph.embeddings.embedding").Embedding.load(embedding)
    split = split_of(data, by, fold, seed)
    if not as_json:
        console.out.print(split.report)
    checkpoint = to.with_name(f"{to.name}.checkpoint")
    going_on = {} if name == "InteractionStack" else {"checkpoint": checkpoint, "resume": resume}
    model = cls(**given).fit(split.train, split.valid, progress=not as_json, **going_on)
    model.save(to)
    for file in checkpoint.parent.glob(f"{checkpoint.name}*"):
        file.unlink()
    told: dict[str, Any] = {"head": str(to), "kind": name}
    if name == "InteractionStack":
        told |= {"counts": {"train": {"pairs": len(split.train)}}, "notes": [], "last_epoch": dict(model.errors_)}
    else:
        told |= {"counts": model.counts_, "notes": list(model.notes_), "last_epoch": dict(model.history_[-1])}
    figures = ", ".join(f"{key} {value:.4g}" for key, value in told["last_epoch"].items())
    if as_json:
        console.show(None, True, lambda: told)
    else:
        console.say("\n".join([f"{name} saved in {to}; {figures}", *told["notes"]]))


@app.command()
def predict(
    head: Saved,
    smiles: Smiles = None,
    drug: Drug = None,
    drugs: Annotated[Path | None, typer.Option(help="A file of drugs: .smi, .csv with a column smiles ...")] = None,
    sequence: Sequence = None,
    target: Target = None,
    targets: Annotated[Path | None, typer.Option(help="A file of targets: .fasta, .csv ...")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Or a table of pairs, row by row.")] = None,
    graph: Graph = None,
    level: Level = 0.9,
    to: Written = None,
    as_json: Json = False,
) -> None:
    """How strongly does each drug bind each target? Every drug with every target, or the pairs of a table.

    Example: medgraph interact predict artefacts/davis --smiles 'CC(=O)Oc1ccccc1C(=O)O' --target ABL1
    """
    check_ending(to)
    model = loaded(head, PAIRS)
    if pairs is not None:
        from medgraph.data.entity_files import read_pairs

        if any(given is not None for given in (smiles, drug, drugs, sequence, target, targets)):
            raise typer.BadParameter("--pairs holds both sides: leave the other options out.")
        sides = read_pairs(pairs)
        names = {"smiles": "smiles", "drug": "drugs", "sequence": "sequences", "target": "targets"}
        found = model.predict(
            **{names[kind]: texts for kind, texts in sides.items()}, graph=graph_of(graph), level=level
        )
        first = sides.get("smiles") or sides["drug"]
        second = sides.get("sequence") or sides["target"]
    else:
        one, first = side_of("drug", "smiles", smiles, drug, drugs)
        two, second = side_of("target", "sequence", sequence, target, targets)
        rows = [i for i in range(len(first)) for _ in second], list(range(len(second))) * len(first)
        asked = {name: [texts[i] for i in rows[0]] for name, texts in one.items()}
        asked |= {name: [texts[i] for i in rows[1]] for name, texts in two.items()}
        found = model.predict(**asked, graph=graph_of(graph), level=level)
        first, second = [first[i] for i in rows[0]], [second[i] for i in rows[1]]
    frame = found.to_pandas()
    frame["drug"] = [id_ or name for id_, name in zip(frame["drug"], first, strict=True)]
    frame["target"] = [id_ or name for id_, name in zip(frame["target"], second, strict=True)]
    show_rows(frame, found.unit, level, to, as_json, ("drug", "target"))


@app.command()
def evaluate(
    head: Saved,
    source: Source,
    by: By = None,
    fold: Fold = 0,
    baselines: Annotated[bool, typer.Option(help="Fit plain baselines on the same training pairs.")] = True,
    bootstrap: Annotated[int, typer.Option(min=1, help="Samples that intervals rest on.")] = 500,
    save: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    seed: SplitSeed = None,
    unit: Unit = None,
    binary: Binary = False,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """How good are the predictions of the test part, beside the baselines? Split as in `fit`: the same --by and --fold.

    Example: medgraph interact evaluate artefacts/davis davis --path data/davis --save report.json
    """
    model = loaded(head, PAIRS + SYNERGY)
    data = data_of(source, path, unit, binary)
    split = split_of(data, by, fold, model.seed if seed is None else seed)
    if type(model).__name__ == "InteractionStack":  # it has its training pairs with it
        given: dict[str, Any] = {}
    elif model._fitted().source["fingerprint"] == split.train.fingerprint:
        given = {"train": (split.train, split.valid) if is_synergy(data) else split.train}
    else:
        raise SchemaError(
            f"{head} was not fitted on this split's train: give the source, --by, --fold, --seed of `fit`."
        )
    with console.busy("judging the test part"):
        report = model.evaluate(split.test, baselines=None if baselines else (), n_bootstrap=bootstrap, **given)
    if save is not None:
        report.save(save)
    console.show(report, as_json, report.to_dict)


@app.command()
def explain(
    head: Saved,
    smiles: Annotated[str | None, typer.Option(help="The drug by structure.")] = None,
    drug: Annotated[str | None, typer.Option(help="Or by id.")] = None,
    sequence: Annotated[str | None, typer.Option(help="The target by amino acids.")] = None,
    target: Annotated[str | None, typer.Option(help="Or by id.")] = None,
    graph: Graph = None,
    draws: Annotated[int, typer.Option(min=1, help="Random deletions that the strongest are compared with.")] = 100,
    share: Annotated[float, typer.Option(min=0.001, max=0.9, help="Share of atoms and residues to delete.")] = 0.1,
    picture: Annotated[Path | None, typer.Option(help="Draw molecule and sequence: .svg, .png or .html.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Which atoms and residues make the predicted value, and does it move when just those are taken out?

    Example: medgraph interact explain artefacts/davis --drug 5291 --target ABL1 --picture why.svg
    """
    from medgraph.explain.interaction import explain_interaction
    from medgraph.explore.binding import binding

    model = loaded(head, NEURAL)
    found = explain_interaction(
        model, smiles, sequence, drugs=drug, targets=target, graph=graph_of(graph), share=share, draws=draws, seed=seed
    )
    if picture is not None:
        binding(found.explanations[0]).save(picture)
    console.show(found, as_json, found.to_dict)


@app.command()
def screen(
    head: Saved,
    file: Annotated[Path, typer.Argument(help="SMILES: .smi, .csv, .tsv (.gz, .bz2, .zst), .parquet.")],
    sequence: Annotated[str | None, typer.Option(help="The target by amino acids.")] = None,
    target: Annotated[str | None, typer.Option(help="Or by id.")] = None,
    graph: Graph = None,
    to: Annotated[Path, typer.Option(help="A new folder: hits.csv, refused.csv, screen.json.")] = Path("screen"),
    top: Annotated[int, typer.Option(min=1, help="How many are kept.")] = 1000,
    lowest: Annotated[bool, typer.Option("--lowest", help="The lowest values are the best.")] = False,
    column: Annotated[str | None, typer.Option(help="The column of SMILES; found by its name else.")] = None,
    id_column: Annotated[str | None, typer.Option(help="The column of ids; found by its name else.")] = None,
    level: Level = 0.9,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted screen.")] = False,
    as_json: Json = False,
) -> None:
    """Which molecules of a long file bind one target best?

    Example: medgraph interact screen artefacts/davis library.smi.gz --target ABL1 --top 500 --to abl1
    """
    from medgraph.data.smiles_files import SmilesFile
    from medgraph.heads.interaction.screen import screen as run

    if (sequence is None) == (target is None):
        raise typer.BadParameter("Name the target in one way: --sequence or --target.")
    model = loaded(head, PAIRS)
    found = run(
        model, SmilesFile(file, column, id_column), to=to, sequence=sequence, target=target, graph=graph_of(graph),
        top=top, lowest=lowest, level=level, resume=resume, progress=not as_json,
    )  # fmt: skip
    console.show(found, as_json, found.to_dict)


@app.command()
def synergy(
    head: Saved,
    first: Annotated[list[str], typer.Option(help="A drug: a name of training, an id or SMILES; may be repeated.")],
    second: Annotated[list[str], typer.Option(help="The other drug; may be repeated.")],
    cell: Annotated[list[str] | None, typer.Option(help="A cell line; may be repeated.")] = None,
    graph: Graph = None,
    level: Level = 0.9,
    to: Written = None,
    as_json: Json = False,
) -> None:
    """Do two drugs work together? Row by row: as many of each, or a single one that goes with all.

    Example: medgraph interact synergy artefacts/drugcomb --first DOXORUBICIN --second CISPLATIN --cell A2780
    """
    check_ending(to)
    model = loaded(head, SYNERGY)
    found = model.predict(first=first, second=second, cells=cell, graph=graph_of(graph), level=level)
    show_rows(found.to_pandas(), found.score, level, to, as_json, ("first", "second", "cell"))
