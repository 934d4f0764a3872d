"""The verbs `medgraph interact ...`: fit heads on affinities and synergies, ask them, judge them, explain, screen."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from medgraph import console
from medgraph.errors import LoaderError, SchemaError

if TYPE_CHECKING:
    from medgraph.data.affinities import Affinities
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.synergies import Synergies

__all__ = ["app"]

app = typer.Typer(name="interact", help="Do drug and target, or two drugs, interact?", no_args_is_help=True)

HEADS = {"DeepDTA": "deepdta", "PairLSTM": "lstm", "DeepSynergy": "synergy"}
_SYNERGY = ("DeepSynergy",)
_PAIRS = tuple(name for name in HEADS if name not in _SYNERGY)
_WAYS = ("given", "pair", "drug", "target", "both", "scaffold")
_WRITTEN = (".csv", ".parquet")

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
    head: Annotated[Literal["DeepDTA", "PairLSTM", "DeepSynergy"] | None, typer.Option(help="What learns.")] = None,
    to: Annotated[Path, typer.Option(help="The folder to save the head in.")] = Path("artefacts/interaction"),
    by: By = None,
    fold: Fold = 0,
    loss: Annotated[
        Literal["squared", "censored", "evidential"], typer.Option(help="Censored: 'at most' is taken as that.")
    ] = "squared",
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
    data = _data(source, path, unit, binary)
    synergy = _is_synergy(data)
    name = head or ("DeepSynergy" if synergy else "DeepDTA")
    if (name == "DeepSynergy") != synergy:
        raise typer.BadParameter(f"--head {name} is not for what {source} holds: {data!r}.")
    cls = _class(name)
    given: dict[str, Any] = console.settings(cls, settings or []) | {"device": device, "seed": seed}
    if loss != "squared":
        if synergy:
            raise typer.BadParameter("--loss is for affinities.")
        losses = import_module("medgraph.heads.interaction.losses")
        given["loss"] = losses.Censored() if loss == "censored" else losses.Evidential()
    split = _split(data, by, fold, seed)
    checkpoint = to.with_name(f"{to.name}.checkpoint")
    if not as_json:
        console.out.print(split.report)
    model = cls(**given).fit(split.train, split.valid, checkpoint=checkpoint, resume=resume, progress=not as_json)
    model.save(to)
    for file in checkpoint.parent.glob(f"{checkpoint.name}*"):
        file.unlink()
    told = {"head": str(to), "kind": name, "counts": model.counts_, "notes": list(model.notes_)}
    told["last_epoch"] = last = dict(model.history_[-1])
    if as_json:
        console.show(None, True, lambda: told)
        return
    figures = ", ".join(f"{key} {value:.4g}" for key, value in last.items())
    console.say("\n".join([f"{name} saved in {to}; {figures}", *model.notes_]))


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
    _check_ending(to)
    model = _loaded(head, _PAIRS)
    if pairs is not None:
        from medgraph.data.entity_files import read_pairs

        if any(given is not None for given in (smiles, drug, drugs, sequence, target, targets)):
            raise typer.BadParameter("--pairs holds both sides: leave the other options out.")
        sides = read_pairs(pairs)
        names = {"smiles": "smiles", "drug": "drugs", "sequence": "sequences", "target": "targets"}
        found = model.predict(**{names[kind]: texts for kind, texts in sides.items()}, graph=_graph(graph), level=level)
        first = sides.get("smiles") or sides["drug"]
        second = sides.get("sequence") or sides["target"]
    else:
        one, first = _side("drug", "smiles", smiles, drug, drugs)
        two, second = _side("target", "sequence", sequence, target, targets)
        rows = np.repeat(np.arange(len(first)), len(second)), np.tile(np.arange(len(second)), len(first))
        asked = {name: [texts[i] for i in rows[0]] for name, texts in one.items()}
        asked |= {name: [texts[i] for i in rows[1]] for name, texts in two.items()}
        found = model.predict(**asked, graph=_graph(graph), level=level)
        first, second = [first[i] for i in rows[0]], [second[i] for i in rows[1]]
    frame = found.to_pandas()
    frame["drug"] = [id_ or name for id_, name in zip(frame["drug"], first, strict=True)]
    frame["target"] = [id_ or name for id_, name in zip(frame["target"], second, strict=True)]
    _show(frame, found.unit, level, to, as_json, ("drug", "target"))


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
    model = _loaded(head, _PAIRS + _SYNERGY)
    data = _data(source, path, unit, binary)
    split = _split(data, by, fold, model.seed if seed is None else seed)
    if model._fitted().source["fingerprint"] != split.train.fingerprint:
        raise SchemaError(
            f"{head} was not fitted on this split's train: give the source, --by, --fold, --seed of `fit`."
        )
    train: Any = (split.train, split.valid) if _is_synergy(data) else split.train
    with console.busy("judging the test part"):
        report = model.evaluate(split.test, baselines=None if baselines else (), train=train, n_bootstrap=bootstrap)
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

    model = _loaded(head, _PAIRS)
    found = explain_interaction(
        model, smiles, sequence, drugs=drug, targets=target, graph=_graph(graph), share=share, draws=draws, seed=seed
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
    model = _loaded(head, _PAIRS)
    found = run(
        model, SmilesFile(file, column, id_column), to=to, sequence=sequence, target=target, graph=_graph(graph),
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
    _check_ending(to)
    model = _loaded(head, _SYNERGY)
    found = model.predict(first=first, second=second, cells=cell, graph=_graph(graph), level=level)
    _show(found.to_pandas(), found.score, level, to, as_json, ("first", "second", "cell"))


# What the verbs share ------------------------------------------------------------------------------------------------


def _class(name: str) -> Any:
    return getattr(import_module(f"medgraph.heads.interaction.{HEADS[name]}"), name)


def _data(source: str, path: Path | None, unit: str | None, binary: bool) -> Affinities | Synergies:
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


def _is_synergy(data: Affinities | Synergies) -> bool:
    return not hasattr(data, "targets")


def _split(data: Any, by: str | None, fold: int, seed: int) -> Any:
    folds = data.fold is not None if _is_synergy(data) else "test" in data.folds
    way = by or ("given" if folds else "pair")
    ways = ("given", "pair", "drug", "cell") if _is_synergy(data) else _WAYS
    if way not in ways:
        raise typer.BadParameter(f"--by {way}: these can be held out by {', '.join(ways)}.")
    return data.split(by=way, seed=seed, fold=fold)


def _loaded(folder: Path, kinds: tuple[str, ...]) -> Any:
    from medgraph.artefact import kind_of

    if (kind := kind_of(folder)) not in kinds:
        raise SchemaError(f"{folder} holds a {kind}; this verb asks a {' or '.join(kinds)}.")
    return _class(kind).load(folder)


def _graph(source: str | None) -> KnowledgeGraph | None:
    return None if source is None else console.graph_in(source)


def _side(
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


def _check_ending(to: Path | None) -> None:
    if to is not None and to.suffix not in _WRITTEN:
        raise typer.BadParameter(f"--to {to}: expected a name that ends in {' or '.join(_WRITTEN)}.")


def _show(frame: Any, unit: str, level: float, to: Path | None, as_json: bool, ends: tuple[str, ...]) -> None:
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
