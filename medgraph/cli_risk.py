"""The verbs `medgraph risk ...`: fit a risk head on a cohort, ask it, judge it, see what moved a risk."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from medgraph import console
from medgraph.errors import LoaderError, SchemaError

if TYPE_CHECKING:
    from medgraph.data.cohort import Cohort
    from medgraph.data.task import Task
    from medgraph.heads.risk.base import RiskHead

__all__ = ["app"]

app = typer.Typer(name="risk", help="What is a patient's risk, and what moves it?", no_args_is_help=True)

HEADS = {
    "Deepr": "cnn",
    "VisitLSTM": "lstm",
    "VisitGRU": "lstm",
    "RETAIN": "retain",
    "GRUD": "grud",
    "DeepPatient": "deep_patient",
    "DynamicDeepHit": "survival",
}

Source = Annotated[str, typer.Argument(help="A MEDS folder, or the name of a loader of cohorts.")]
Saved = Annotated[Path, typer.Argument(help="A fitted head's folder.")]
PathOption = Annotated[Path | None, typer.Option(help="The loader's files.")]
Label = Annotated[str | None, typer.Option(help="A task by name, such as a label file of the MEDS folder.")]
Outcome = Annotated[
    list[str] | None, typer.Option(help="Or: a code of the outcome, * for any ending; may be repeated.")
]
Within = Annotated[float, typer.Option(min=0.001, help="How many days the outcome may take.")]
On = Annotated[
    list[str] | None, typer.Option(help="Predict on this date; may be repeated. Else at the end of every visit.")
]
After = Annotated[str | None, typer.Option(help="Predict at each subject's first event with this code.")]
Survival = Annotated[bool, typer.Option("--survival", help="Ask when, not whether.")]
Part = Annotated[Literal["train", "tuning", "held_out", "all"], typer.Option(help="Whose risks.")]
SplitSeed = Annotated[int | None, typer.Option(help="Of the split, if the folder has none; else the head's own.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.callback()
def risk() -> None:
    """What is a patient's risk, and what moves it?"""


@app.command()
def fit(
    cohort: Source,
    label: Label = None,
    outcome: Outcome = None,
    within: Within = 365.0,
    on: On = None,
    after: After = None,
    survival: Survival = False,
    head: Annotated[
        Literal["Deepr", "VisitLSTM", "VisitGRU", "RETAIN", "GRUD", "DeepPatient", "DynamicDeepHit"],
        typer.Option(help="What learns."),
    ] = "VisitGRU",
    to: Annotated[Path, typer.Option(help="The folder to save the head in.")] = Path("artefacts/risk"),
    embedding: Annotated[Path | None, typer.Option(help="Start from the codes' vectors in this folder.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter as name=value; may be repeated.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="Train under differential privacy with this ε.")] = None,
    delta: Annotated[float, typer.Option(help="δ of it; below 1 / subjects.")] = 1e-5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything random, and of the split if the folder has none.")] = 0,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """Learn a risk from a cohort's training subjects.

    Example: medgraph risk fit data/meds --outcome 'MEDS_DEATH' --within 365 --head RETAIN --to artefacts/death
    """
    from medgraph.embeddings.embedding import Embedding
    from medgraph.heads.risk.privacy import DifferentialPrivacy

    cls = _class(head)
    given: dict[str, Any] = console.settings(cls, settings or []) | {"device": device, "seed": seed}
    if epsilon is not None:
        given["privacy"] = DifferentialPrivacy(epsilon=epsilon, delta=delta)
    if embedding is not None:
        given["embedding"] = Embedding.load(embedding)
    people = _cohort(cohort, path, seed)
    model = cls(**given).fit(people, _task(people, label, outcome, within, on, after, survival))
    model.save(to)
    told = {
        "head": str(to),
        "kind": head,
        "counts": model.counts_,
        "notes": model.notes_,
        "last_epoch": model.history_[-1],
        "privacy": None if model.privacy_ is None else model.privacy_.to_dict(),
    }
    if as_json:
        console.show(None, True, lambda: told)
        return
    figures = ", ".join(f"{name} {value:.4g}" for name, value in model.history_[-1].items())
    console.say("\n".join([f"{head} saved in {to}; {figures}", *model.notes_]))


@app.command()
def predict(
    head: Saved,
    cohort: Source,
    label: Label = None,
    outcome: Outcome = None,
    within: Within = 365.0,
    on: On = None,
    after: After = None,
    survival: Survival = False,
    part: Part = "held_out",
    to: Annotated[
        Path | None, typer.Option(help="Write one row a sample, subject ids with it: .csv or .parquet.")
    ] = None,
    seed: SplitSeed = None,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """How high are the risks? Shown as a distribution; rows of subjects go to a file, and only if asked for.

    Example: medgraph risk predict artefacts/death data/meds --outcome 'MEDS_DEATH' --to risks.csv
    """
    if to is not None and to.suffix not in {".csv", ".parquet"}:
        raise typer.BadParameter(f"--to {to}: expected a name that ends in .csv or .parquet.")
    model, people = _loaded(head, cohort, path, seed)
    task = _task(people, label, outcome, within, on, after, survival)
    found = model.predict_proba(_part(people, part), task)
    frame = found.to_pandas()
    if to is not None:
        console.write_frame(frame, to)
    columns = list(frame.columns)[2:]
    rows = [
        {"output": name, "mean": round(float(frame[name].mean()), 4)}
        | {f"{q:.0%}": round(float(frame[name].quantile(q)), 4) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
        for name in columns
    ]
    title = f"{found!r}, {part}" + (f", in {to}" if to is not None else "")
    told = {
        "kind": found.kind, "samples": len(found), "subjects": int(frame["subject_id"].nunique()),
        "without_a_known_code": found.unseen, "file": None if to is None else str(to), "risks": rows,
    }  # fmt: skip
    console.show(console.table(rows, list(rows[0]), title), as_json, lambda: told)


@app.command()
def evaluate(
    head: Saved,
    cohort: Source,
    label: Label = None,
    outcome: Outcome = None,
    within: Within = 365.0,
    on: On = None,
    after: After = None,
    survival: Survival = False,
    baselines: Annotated[bool, typer.Option(help="Fit plain baselines on the same training subjects.")] = True,
    missed: Annotated[float, typer.Option(help="Cost of a missed outcome.")] = 5.0,
    false_alarm: Annotated[float, typer.Option(help="Cost of a false alarm.")] = 1.0,
    bootstrap: Annotated[int, typer.Option(min=1, help="Samples, by subject, that intervals rest on.")] = 500,
    save: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    membership: Annotated[bool, typer.Option("--membership", help="Also: do losses tell who was trained on?")] = False,
    seed: SplitSeed = None,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """How good are the risks of held-out subjects, beside the baselines, by age and sex, at a price?

    Example: medgraph risk evaluate artefacts/death data/meds --outcome 'MEDS_DEATH' --save report.json
    """
    from medgraph.heads.risk.judging import Costs

    model, people = _loaded(head, cohort, path, seed)
    task = _task(people, label, outcome, within, on, after, survival)
    with console.busy("judging held-out subjects"):
        report = model.evaluate(
            people.held_out, baselines=None if baselines else (), train=people, label=task,
            costs=Costs(missed, false_alarm), n_bootstrap=bootstrap,
        )  # fmt: skip
        attack = model.membership(people, label=task, n_bootstrap=bootstrap) if membership else None
    if save is not None:
        report.save(save)
    more = {} if attack is None else {"membership": attack.to_dict()}
    console.show(report, as_json, lambda: report.to_dict() | more)
    if attack is not None and not as_json:
        console.say(str(attack))


@app.command()
def explain(
    head: Saved,
    cohort: Source,
    subject: Annotated[int, typer.Argument(help="Whose latest sample.")],
    label: Label = None,
    outcome: Outcome = None,
    within: Within = 365.0,
    on: On = None,
    after: After = None,
    survival: Survival = False,
    output: Annotated[str | None, typer.Option(help="Which label or event, of several.")] = None,
    topn: Annotated[int, typer.Option(min=1, help="How many events, those that move it most.")] = 20,
    picture: Annotated[Path | None, typer.Option(help="Draw the timeline: .html, .png or .svg.")] = None,
    seed: SplitSeed = None,
    path: PathOption = None,
    as_json: Json = False,
) -> None:
    """What moved this subject's risk? Each event with what it adds to the log-odds.

    Example: medgraph risk explain artefacts/death data/meds 1042 --outcome 'MEDS_DEATH' --picture timeline.html
    """
    from medgraph.explore.timeline import Timeline

    model, people = _loaded(head, cohort, path, seed)
    task = _task(people, label, outcome, within, on, after, survival)
    found = model.explain(people, subject, label=task, output=output)
    if picture is not None:
        Timeline(found).save(picture)
    frame = found.to_pandas().sort_values("contribution", key=abs, ascending=False, kind="stable").head(topn)
    frame = frame.round({"days": 1, "contribution": 4})
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    told = {"output": found.output, "logit": found.logit, "rest": found.rest, "probability": found.probability}
    title = f"{found.output}: log-odds {found.logit:.3f}, {found.rest:.3f} of them age, sex and intercept"
    columns = ("visit", "days", "code", "contribution")
    console.show(console.table(rows, columns, title), as_json, lambda: {**told, "events": rows})


# What the verbs share ------------------------------------------------------------------------------------------------


def _class(name: str) -> type[RiskHead]:
    return getattr(import_module(f"medgraph.heads.risk.{HEADS[name]}"), name)  # type: ignore[no-any-return]


def _cohort(source: str, path: Path | None, seed: int) -> Cohort:
    """The cohort in a MEDS folder, or of a loader; split, if it does not come with a split."""
    from medgraph.data.cohort import Cohort
    from medgraph.loading import load

    folder = path is None and Path(source).exists()
    with console.busy(f"looking through {source}"):
        found = load("meds", source) if folder else load(source, path)
    if not isinstance(found, Cohort):
        raise LoaderError(f"Loader {source!r} brings a {type(found).__name__}, expected a cohort.")
    if found.splits:
        return found
    console.err.print(f"{escape(source)} has no split: drawn with seed {seed}, 80/10/10 % of the subjects.")
    return found.split(seed=seed)


def _loaded(folder: Path, source: str, path: Path | None, seed: int | None) -> tuple[RiskHead, Cohort]:
    from medgraph.artefact import kind_of

    if (kind := kind_of(folder)) not in HEADS:
        raise SchemaError(f"{folder} holds a {kind}, not a risk head ({', '.join(HEADS)}).")
    model = _class(kind).load(folder)
    return model, _cohort(source, path, model.seed if seed is None else seed)


def _part(cohort: Cohort, part: str) -> Cohort:
    whole: Cohort = cohort if part == "all" else getattr(cohort, part)
    return whole


def _task(
    cohort: Cohort,
    label: str | None,
    outcome: list[str] | None,
    within: float,
    on: list[str] | None,
    after: str | None,
    survival: bool,
) -> str | Task:
    """The task that the options describe; a mistake in them is one of usage."""
    from medgraph.data.prediction_times import EVERY_VISIT, AtDates, AtEvent, PredictionTimes
    from medgraph.data.tasks import CodeWithin, TimeToEvent

    if label is not None:
        if outcome or on or after or survival:
            raise typer.BadParameter("--label names a whole task: leave --outcome, --on, --after and --survival out.")
        cohort.task(label)
        return label
    if not outcome or (on and after):
        there = f" Label files: {', '.join(cohort.tasks)}." if cohort.tasks else ""
        raise typer.BadParameter(f"Name a task with --label, or describe it with --outcome and --on or --after.{there}")
    at: PredictionTimes = AtDates(tuple(on)) if on else EVERY_VISIT if after is None else AtEvent((after,))
    if survival:
        return TimeToEvent({"outcome": tuple(outcome)}, at, horizon_days=within)
    return CodeWithin(tuple(outcome), within, at)
