"""How near are predicted interactions to measured ones? All figures beside the baselines', on the known and the new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from medgraph.data.affinities import Affinities
from medgraph.errors import SchemaError
from medgraph.evaluation.agreement import (
    mean_squared_error_of,
    pearson_of,
    r2m_deepdta_of,
    r2m_of,
    root_mean_squared_error_of,
    spearman_of,
)
from medgraph.evaluation.concordance import concordance_index_of
from medgraph.evaluation.enrichment import enrichment_factor_of
from medgraph.evaluation.resampled import auprc_of, auroc_of, estimate_beside
from medgraph.evaluation.resampling import Statistic
from medgraph.heads.interaction.baselines.als import ALS
from medgraph.heads.interaction.baselines.base import Baseline, Cells
from medgraph.heads.interaction.baselines.kronrls import KronRLS
from medgraph.heads.interaction.baselines.means import PairMeans
from medgraph.heads.interaction.baselines.neighbours import PairNeighbours
from medgraph.heads.interaction.report import ACTIVE, InteractionReport, Part

__all__ = ["Resample", "Scorer", "default_baselines", "judge", "report_of", "statistics_of"]

Resample: TypeAlias = Literal["pair", "drug", "target"]
_FEWEST = 10  # pairs, of which a part is judged by itself
_MOST = 14_000  # drugs or targets whose similarities are held whole
_ACTIVE = {"pKd": 7.0, "pKi": 7.0, "pIC50": 7.0, "pEC50": 7.0, "KIBA score": 12.1}  # those of DeepDTA


@runtime_checkable
class Scorer(Protocol):
    """Whatever scores pairs: a head, a stack, a baseline that was fitted."""

    def scores(self, pairs: Affinities) -> Float64[np.ndarray, " n"]:
        """The predicted value of each pair."""
        ...


def default_baselines(train: Affinities) -> tuple[Baseline, ...]:
    """Those that suit the size of train: all four where similarities of all its drugs and targets can be held."""
    few = max(np.unique(train.drug).size, np.unique(train.target).size) <= _MOST
    return (PairMeans(), PairNeighbours(), ALS(), KronRLS()) if few else (PairMeans(),)


def judge(
    head: Scorer,
    test: Affinities,
    baselines: Sequence[Baseline] | None = None,
    train: Affinities | None = None,
    n_bootstrap: int = 500,
    *,
    valid: Affinities | None = None,
    active: float | None = None,
    resample: Resample | None = None,
    seed: int = 0,
) -> InteractionReport:
    """The head beside its baselines on pairs that were not trained on, all and by what was seen in training.

    Args:
        head: whatever has `scores`.
        test: pairs with what was measured.
        baselines: None: the default ones. Those that are not fitted are, as copies, on train.
        train: what the head learnt from; without it no baseline can be fitted, and nothing is known to be new.
        n_bootstrap: how many samples the 95 % intervals rest on.
        valid: what baselines choose on; None: a tenth of train.
        active: pairs above this are actives; None: above the limit of measurement, or what DeepDTA takes for the unit.
        resample: what the bootstrap draws; None: drugs where all of a part are new, else targets where all are, else
            pairs. Pairs of one new drug share its errors, so that drawing pairs would tell too narrow intervals.
        seed: of the bootstrap.

    Raises:
        SchemaError: no pairs, some that were trained on, or baselines to be fitted without train.
    """
    if not len(test):
        raise SchemaError("No pairs: there is nothing to judge.")
    if train is None and (baselines is None or not all(one.is_fitted for one in baselines)):
        raise SchemaError("Baselines learn from the head's training pairs: pass train=, fitted ones, or baselines=().")
    if train is not None and (train.unit, train.kind) != (test.unit, test.kind):
        raise SchemaError(f"Test is in {test.unit!r} ({test.kind}), train in {train.unit!r} ({train.kind}).")
    drug_seen, target_seen = _seen(test, train)
    if baselines is None and train is not None:
        baselines = default_baselines(train)
    scores = {_name(head): np.asarray(head.scores(test), dtype=np.float64)}
    for one in baselines or ():
        fitted = one if one.is_fitted or train is None else replace(one).fit(train, valid)
        scores[one.name if one.name not in scores else f"{one.name} ({len(scores)})"] = fitted.scores(test)
    return report_of(test, scores, drug_seen, target_seen, n_bootstrap, active, resample, seed)


def report_of(
    test: Affinities,
    scores: Mapping[str, Float64[np.ndarray, " n"]],
    drug_seen: Bool[np.ndarray, " n"] | None = None,
    target_seen: Bool[np.ndarray, " n"] | None = None,
    n_bootstrap: int = 500,
    active: float | None = None,
    resample: Resample | None = None,
    seed: int = 0,
) -> InteractionReport:
    """The report on some methods' scores of the same pairs; the first is the model. See `judge`."""
    for name, given in scores.items():
        if given.shape != (len(test),):
            raise SchemaError(f"{name} gave scores of shape {given.shape} for {len(test):,} pairs.")
    if active is None:
        active = 0.5 if test.kind == "binary" else test.limit if test.limit is not None else _ACTIVE.get(test.unit)
    drug_seen = np.ones(len(test), dtype=bool) if drug_seen is None else drug_seen
    target_seen = np.ones(len(test), dtype=bool) if target_seen is None else target_seen
    kinds = {
        f"drug {'seen' if d else 'new'}, target {'seen' if t else 'new'}": np.flatnonzero(
            (drug_seen == d) & (target_seen == t)
        )
        for d in (True, False)
        for t in (True, False)
    }
    there = {name: rows for name, rows in kinds.items() if rows.size}
    judged = {"all pairs": np.arange(len(test))} | ({} if len(there) < 2 else there)
    parts, notes = [], list(test.notes)
    for name, rows in judged.items():
        drawn = resample or _resample(drug_seen[rows], target_seen[rows])
        mine = test.take(rows)
        statistics = {method: statistics_of(mine, given[rows], active) for method, given in scores.items()}
        if name != "all pairs" and (rows.size < _FEWEST or not next(iter(statistics.values()))):
            notes.append(f"{rows.size} pairs with {name}: too few, or too alike, to judge by themselves.")
            continue
        clusters = {"pair": None, "drug": mine.drug, "target": mine.target}[drawn]
        estimates, gains = estimate_beside(statistics, rows.size, n_bootstrap, seed, clusters)
        actives = 0 if active is None else int((mine.value > active).sum())
        sizes = np.unique(mine.drug).size, np.unique(mine.target).size
        parts.append(Part(name, rows.size, *sizes, actives, drawn, estimates, gains))
    if len(there) == 1 and not (drug_seen.all() and target_seen.all()):
        notes.append(f"All of them: {next(iter(there))}.")
    return InteractionReport(next(iter(scores)), test.kind, test.unit, active, n_bootstrap, tuple(parts), tuple(notes))


def statistics_of(test: Affinities, scores: Float64[np.ndarray, " n"], active: float | None) -> dict[str, Statistic]:
    """The figures of a kind of affinity, each as a function of how often a pair was drawn; none if nothing varies."""
    y, strong = test.value, np.zeros(len(test), dtype=bool) if active is None else test.value > active
    some = bool(strong.any()) and not strong.all()
    if test.kind == "binary":
        if not some:
            return {}
        return {
            "AUROC": auroc_of(strong, scores),
            "AUPRC": auprc_of(strong, scores),
            "EF 1%": enrichment_factor_of(strong, scores),
        }
    found = _agreement(y, scores)
    if not some:
        return found
    found |= {"AUPRC": auprc_of(strong, scores), "EF 1%": enrichment_factor_of(strong, scores)}
    rows = np.flatnonzero(strong)
    return found | {ACTIVE + name: _among(rows, one) for name, one in _agreement(y[rows], scores[rows]).items()}


def _agreement(y: Float64[np.ndarray, " n"], scores: Float64[np.ndarray, " n"]) -> dict[str, Statistic]:
    return {
        "MSE": mean_squared_error_of(y, scores),
        "CI": concordance_index_of(y, scores),
        "RMSE": root_mean_squared_error_of(y, scores),
        "Pearson": pearson_of(y, scores),
        "Spearman": spearman_of(y, scores),
        "r2m": r2m_of(y, scores),
        "r2m of DeepDTA's code": r2m_deepdta_of(y, scores),
    }


def _among(rows: np.ndarray, statistic: Statistic) -> Statistic:
    """A figure that is taken on some of the observations; nan where none of them was drawn."""

    def chosen(weights: Float64[np.ndarray, "b n"]) -> Float64[np.ndarray, "b 1"]:
        mine = weights[:, rows]
        drawn = mine.sum(axis=1) > 0
        found = np.full((len(weights), 1), np.nan)
        if drawn.any():
            found[drawn] = statistic(mine[drawn])
        return found

    return chosen


def _resample(drug_seen: Bool[np.ndarray, " n"], target_seen: Bool[np.ndarray, " n"]) -> Resample:
    if not drug_seen.any():
        return "drug"
    return "pair" if target_seen.any() else "target"


def _seen(
    test: Affinities, train: Affinities | None
) -> tuple[Bool[np.ndarray, " n"] | None, Bool[np.ndarray, " n"] | None]:
    """Of each pair: was a drug of this structure trained on, was a target of this sequence?"""
    if train is None:
        return None, None
    asked, known = Cells.of(test), Cells.of(train)
    drug = asked.drugs.places_in(known.drugs, exactly=True)[asked.drug]
    target = asked.targets.places_in(known.targets, exactly=True)[asked.target]
    width = len(known.targets)
    met = (drug >= 0) & (target >= 0) & np.isin(drug * width + target, known.drug * width + known.target)
    if met.any():
        first = int(met.argmax())
        raise SchemaError(
            f"{int(met.sum()):,} of these {len(test):,} pairs were trained on, such as "
            f"{asked.drugs.ids[asked.drug[first]]} with {asked.targets.ids[asked.target[first]]}. Judge held-out pairs."
        )
    structures, sequences = set(known.drugs.texts), set(known.targets.texts)
    return (
        np.array([text in structures for text in asked.drugs.texts])[asked.drug],
        np.array([text in sequences for text in asked.targets.texts])[asked.target],
    )


def _name(head: Scorer) -> str:
    return head.name if isinstance(head, Baseline) else type(head).__name__
