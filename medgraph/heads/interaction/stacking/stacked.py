"""What a fitted stack knows, how it answers, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from medgraph.artefact import Artefact, read_artefact, write_artefact
from medgraph.data.affinities import Affinities
from medgraph.data.graph import Provenance
from medgraph.errors import ArtefactError, SchemaError
from medgraph.heads.interaction.asking import Asked
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.baselines.base import Baseline
from medgraph.heads.interaction.baselines.similarity import Similarity
from medgraph.heads.interaction.stacking.out_of_fold import Member, member_name
from medgraph.heads.interaction.stacking.surroundings import Surroundings
from medgraph.heads.interaction.stacking.trees import BoostedTrees
from medgraph.heads.interaction.uncertainty import Conformal

if TYPE_CHECKING:
    from medgraph.heads.interaction.stacking.stack import InteractionStack

__all__ = [
    "NAMELESS",
    "Join",
    "Linear",
    "Stacked",
    "error_of",
    "joined",
    "load_stack",
    "pairs_of",
    "probability",
    "save_stack",
]

NAMELESS = "?"  # begins the id that an entity without one is given


@dataclass(frozen=True, eq=False)
class Linear:
    """weights . columns + intercept."""

    weights: Float64[np.ndarray, " k"]
    intercept: float

    @classmethod
    def fitted(cls, columns: Float64[np.ndarray, "n k"], y: Float64[np.ndarray, " n"], ridge: float) -> Linear:
        """By ridge regression on standardised columns."""
        mean, sd = columns.mean(axis=0), columns.std(axis=0)
        sd = np.where(sd > 0, sd, 1.0)
        x = (columns - mean) / sd
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - y.mean())) / sd
        return cls(weights, float(y.mean() - weights @ mean))

    def predict(self, columns: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
        """Row-wise."""
        return np.asarray(columns @ self.weights + self.intercept)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for an artefact."""
        return {"weights": self.weights, "intercept": np.array([self.intercept])}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Linear:
        """The reverse of `arrays`."""
        return cls(arrays["weights"], float(arrays["intercept"][0]))


Join: TypeAlias = tuple[BoostedTrees | Linear, ...]


@dataclass(frozen=True, eq=False)
class Stacked:
    """What `fit` found.

    Args:
        members: fitted.
        surroundings: of a pair.
        join: what makes one of them; several are averaged.
        chosen: its name.
        errors: on valid.
        conformal: from valid; None for binary values.
        train: what was learnt from.
    """

    members: tuple[Member, ...]
    surroundings: Surroundings
    join: Join
    chosen: str
    errors: Mapping[str, float]
    conformal: Conformal | None
    train: Affinities

    def values(self, pairs: Affinities) -> Float64[np.ndarray, " n"]:
        """What is predicted."""
        scores = [one.scores(pairs) for one in self.members]
        return joined(self.join, np.column_stack([*scores, self.surroundings.columns(pairs)]), self.train)


def joined(join: Join, columns: Float64[np.ndarray, "n k"], like: Affinities) -> Float64[np.ndarray, " n"]:
    """One value a row; no less than what can be recorded."""
    value = np.mean([one.predict(columns) for one in join], axis=0)
    if like.kind == "binary":
        return probability(value)
    return np.asarray(value if like.limit is None else np.maximum(value, like.limit))


def probability(log_odds: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def error_of(value: Float64[np.ndarray, " n"], pairs: Affinities) -> float:
    """The mean squared error; of probabilities, the log loss in nats."""
    if pairs.kind == "binary":
        p = np.clip(value, 1e-6, 1 - 1e-6)
        return float(-np.mean(np.where(pairs.value == 1, np.log(p), np.log(1 - p))))
    return float(np.mean((pairs.value - value) ** 2))


def pairs_of(wanted: Asked, like: Affinities) -> Affinities:
    """Pairs that are asked for, as members read them; values are not looked at."""
    tables = []
    for side, text in ((wanted.drugs, "smiles"), (wanted.targets, "sequence")):
        ids = [id_ or f"{NAMELESS}{number}" for number, id_ in enumerate(side.ids)]
        columns = {"id": pa.array(ids, pa.string()), text: pa.array(side.texts, pa.string())}
        tables.append(pa.table(columns | ({"given": columns[text]} if text == "smiles" else {})))
    value = np.zeros(wanted.drug.size)
    return Affinities(tables[0], tables[1], wanted.drug, wanted.target, value, unit=like.unit, kind=like.kind)


# Files ---------------------------------------------------------------------------------------------------------------


def save_stack(folder: str | Path, stack: InteractionStack, state: Stacked) -> None:
    """Write the artefact, heads in folders of their own within."""
    train = state.train
    drugs, drug = np.unique(train.drug, return_inverse=True)
    targets, target = np.unique(train.target, return_inverse=True)
    pairs: dict[str, Any] = {"drug": drug, "target": target, "value": train.value}
    if train.at_most is not None:
        pairs["at_most"] = train.at_most
    tensors: dict[str, Mapping[str, np.ndarray]] = {
        f"join{number}": one.arrays() for number, one in enumerate(state.join)
    }
    if state.conformal is not None:
        tensors["conformal"] = {"errors": state.conformal.errors}
    members: list[dict[str, Any]] = []
    for one in state.members:
        settings = {} if isinstance(one, InteractionHead) else _settings(one.chosen_)
        members.append({"class": type(one).__name__, **settings})
    given = {f.name: getattr(stack, f.name) for f in fields(stack) if f.init and f.name != "members"}
    write_artefact(
        folder,
        Artefact(
            kind="InteractionStack",
            parameters={
                **given,
                "members": members,
                "values": {"kind": train.kind, "unit": train.unit, "limit": train.limit},
                "chosen": state.chosen,
            },
            tensors=tensors,
            tables={
                "drugs": train.drugs.take(pa.array(drugs)),
                "targets": train.targets.take(pa.array(targets)),
                "pairs": pa.table(pairs),
            },
            graph={"fingerprint": train.fingerprint, "provenance": [vars(source) for source in train.provenance]},
            metrics={"errors on valid": dict(state.errors)},
            seed=stack.seed,
            card=_card(state),
        ),
    )
    for number, one in enumerate(state.members):
        if isinstance(one, InteractionHead):
            one.save(Path(folder) / f"member{number}")


def load_stack(folder: str | Path) -> tuple[dict[str, Any], Stacked]:
    """Hyper-parameters, and what was fitted; baselines are fitted again."""
    saved = read_artefact(folder, "InteractionStack")
    given = dict(saved.parameters)
    values, chosen, settings = given.pop("values"), given.pop("chosen"), given.pop("members")
    columns = {name: saved.tables["pairs"][name].to_numpy() for name in saved.tables["pairs"].column_names}
    train = Affinities(
        saved.tables["drugs"],
        saved.tables["targets"],
        **columns,
        **values,
        provenance=tuple(Provenance(**source) for source in saved.graph["provenance"]),
    )
    members: list[Member] = []
    for number, one in enumerate(settings):
        kind = _named(one["class"])
        if issubclass(kind, InteractionHead):
            members.append(kind.load(Path(folder) / f"member{number}"))
        else:
            members.append(_restored(kind, one).fit(train))
    joins = [saved.tensors[f"join{n}"] for n in range(sum(name.startswith("join") for name in saved.tensors))]
    join = tuple((Linear if "weights" in arrays else BoostedTrees).restore(arrays) for arrays in joins)
    conformal = Conformal(saved.tensors["conformal"]["errors"]) if "conformal" in saved.tensors else None
    errors = saved.metrics["errors on valid"]
    return given, Stacked(tuple(members), Surroundings.fitted(train), join, chosen, errors, conformal, train)


def _settings(baseline: Any) -> dict[str, Any]:
    """JSON values; a similarity as its class and fields."""
    found: dict[str, Any] = {}
    for f in fields(baseline):
        if f.init:
            value: Any = getattr(baseline, f.name)
            if isinstance(value, Similarity):
                value = _plain(value)
            found[f.name] = value
    return found


def _plain(similarity: Any) -> dict[str, Any]:
    if not is_dataclass(similarity):
        raise SchemaError(f"{type(similarity).__name__} is no dataclass: a stack with it cannot be saved.")
    own = {f.name: getattr(similarity, f.name) for f in fields(similarity)}
    return {"similarity": type(similarity).__name__, **own}


def _restored(kind: type[Baseline], settings: Mapping[str, Any]) -> Baseline:
    """The reverse of `_settings`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and "similarity" in value:
            rest = {key: inner for key, inner in value.items() if key != "similarity"}
            found[name] = _subclass(Similarity, value["similarity"])(**rest)
        elif name != "class":
            found[name] = value
    return kind(**found)


def _named(name: str) -> type[Baseline | InteractionHead]:
    try:
        return _subclass(Baseline, name)
    except ArtefactError:
        return _subclass(InteractionHead, name)


def _subclass(base: type[Any], name: str) -> type[Any]:
    """The subclass of that name, however deep."""
    found = list(base.__subclasses__())
    for kind in found:
        found += kind.__subclasses__()
    for kind in found:
        if kind.__name__ == name:
            return kind
    raise ArtefactError(f"{name!r} is no known {base.__name__}: import its module before loading.")


def _card(state: Stacked) -> str:
    train = state.train
    rows = "\n".join(f"| {name} | {error:.4f} |" for name, error in state.errors.items())
    what = "log loss" if train.kind == "binary" else f"mean squared error, {train.unit}"
    return f"""# InteractionStack: {train.unit}

Predicts for a drug (SMILES) and a target (amino-acid sequence), from {len(train):,} training pairs that lie in this
folder. Members: {", ".join(member_name(one) for one in state.members)}. Joined by: {state.chosen}.

| on valid | {what} |
|---|---|
{rows}

## Use
`medgraph.InteractionStack.load(folder).predict(smiles=[...], sequences=[...])`. Intervals hold for pairs like those of
valid. Measured in assays: it says nothing of dose, safety or effect in people.
"""
