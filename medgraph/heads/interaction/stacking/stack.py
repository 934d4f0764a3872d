"""Several models as one: boosted trees over what they say of pairs that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from medgraph.errors import NotFittedError, SchemaError
from medgraph.heads.interaction.asking import asked
from medgraph.heads.interaction.baselines.base import Baseline
from medgraph.heads.interaction.fitted import entity_table
from medgraph.heads.interaction.interactions import Interactions
from medgraph.heads.interaction.stacking.out_of_fold import (
    FoldBy,
    Member,
    fit_member,
    member_name,
    out_of_fold,
    together,
)
from medgraph.heads.interaction.stacking.stacked import (
    NAMELESS,
    Join,
    Linear,
    Stacked,
    error_of,
    joined,
    load_stack,
    pairs_of,
    probability,
    save_stack,
)
from medgraph.heads.interaction.stacking.surroundings import Surroundings
from medgraph.heads.interaction.stacking.trees import BoostedTrees
from medgraph.heads.interaction.stacking.usual import usual_members
from medgraph.heads.interaction.uncertainty import Conformal

if TYPE_CHECKING:
    from typing import Self

    from medgraph.data.affinities import Affinities
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.heads.interaction.report import InteractionReport

__all__ = ["InteractionStack"]

_ROUNDS = (25, 50, 75, 100, 150, 200, 300, 400, 600)
_RIDGES = (1.0, 10.0, 100.0)


@dataclass(eq=False, kw_only=True)
class InteractionStack:
    """y = trees(what each member says, the pair's surroundings): stacked generalisation (Wolpert 1992).

    The trees learn from out-of-fold predictions: each member is fitted on all folds but one and predicts that one. How
    many trees there are, and whether a ridge regression takes their place or is averaged with them, is chosen on valid,
    whose predictions are by members that were fitted on train alone. Baselines choose their hyper-parameters on valid
    too, once; heads stop by it.

    Args:
        members: heads and baselines, unfitted; None: KronRLS, ALS, nearest neighbours and two KronRLS on
            profiles; by another thing than "pair", where ids and profiles tell little, two KronRLS and two nearest
            neighbours. Of two the second compares counted fragments and aligns sequences.
        by: what a fold holds out. Choose what you will predict: for new drugs "drug", so that the trees learn how far
            each member can be trusted there. One molecule, and near-identical sequences, are held out together.
        folds: by "both", drugs and targets each fall into so many groups, and a fold is a group of one by one of other.
        refit: once all is chosen, learn from train and valid together. The intervals stay those found before.
        bags: sets of trees from differently drawn folds, averaged.
        learning_rate: of the boosting.
        leaves: of a tree.
        smallest: pairs in a leaf, at least.
        seed: of the folds.

    Raises:
        SchemaError: a parameter out of range.
    """

    members: Sequence[Member] | None = None
    by: FoldBy = "pair"
    folds: int = 10
    refit: bool = False
    bags: int = 1
    learning_rate: float = 0.04
    leaves: int = 15
    smallest: int = 20
    seed: int = 0
    _state: Stacked | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.by not in ("pair", "drug", "target", "scaffold", "both"):
            raise SchemaError(f"by is pair, drug, target, scaffold or both, not {self.by!r}.")
        if self.folds < 2 or self.bags < 1:
            raise SchemaError(f"InteractionStack: folds={self.folds}, bags={self.bags}; expected at least 2 and 1.")

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(self, train: Affinities, valid: Affinities | None = None, *, progress: bool = False) -> Self:
        """Learn from train; valid chooses. Without it a random tenth of train chooses, and is learnt from afterwards.

        Raises:
            SchemaError: no pairs, or too few for the folds.
        """
        whole = train
        if valid is None:
            order = np.random.default_rng(self.seed).permutation(len(whole))
            held = max(1, len(whole) // 10)
            train, valid = whole.take(np.sort(order[held:])), whole.take(np.sort(order[:held]))
        elif self.refit:
            whole = together(train, valid)
        fitted = [fit_member(one, train, valid, progress) for one in self._unfitted()]
        settled = [one.settled() if isinstance(one, Baseline) else one for one in fitted]
        surroundings = Surroundings.fitted(train)
        looking = np.column_stack([*(one.scores(valid) for one in fitted), surroundings.columns(valid)])
        names = [member_name(one) for one in fitted]
        names = [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]
        errors = {name: error_of(looking[:, i], valid) for i, name in enumerate(names)}
        folded = [out_of_fold(settled, train, self.by, self.folds, self.seed + i, valid) for i in range(self.bags)]
        learning = [(columns, train.value[rows]) for columns, rows in folded]
        chosen, join, made = self._choose(learning, looking, valid)
        errors |= made
        values = joined(join, looking, train)
        conformal = None if train.kind == "binary" else Conformal.fitted(valid.value, values)
        if whole is not train:
            folded = [out_of_fold(settled, whole, self.by, self.folds, self.seed + i, None) for i in range(self.bags)]
            join = tuple(
                self._made(name, columns, whole.value[rows], train.kind)
                for name in chosen.split(", ")
                for columns, rows in folded
            )
            fitted = [fit_member(one, whole, None, progress) for one in settled]
            surroundings = Surroundings.fitted(whole)
        self._state = Stacked(tuple(fitted), surroundings, join, chosen, errors, conformal, whole)
        return self

    def _unfitted(self) -> Sequence[Member]:
        if self.members is None:
            return usual_members(self.by)
        if not self.members:
            raise SchemaError("There is nothing to stack: give members, heads or baselines.")
        return self.members

    def _choose(
        self, learning: list[tuple[np.ndarray, np.ndarray]], looking: np.ndarray, valid: Affinities
    ) -> tuple[str, Join, dict[str, float]]:
        """The way of joining that is best on valid, made, and the error of each."""
        errors: dict[str, float] = {}
        made: dict[str, Join] = {}
        most = f"{_ROUNDS[-1]} trees"
        made[most] = tuple(self._made(most, *one, valid.kind) for one in learning)
        staged = [one.staged(looking, list(_ROUNDS)) for one in made[most] if isinstance(one, BoostedTrees)]
        for number, rounds in enumerate(_ROUNDS):
            values = np.mean([one[number] for one in staged], axis=0)
            errors[f"{rounds} trees"] = error_of(probability(values) if valid.kind == "binary" else values, valid)
        if valid.kind == "regression":
            for strength in _RIDGES:
                name = f"ridge {strength:g}"
                made[name] = tuple(self._made(name, *one, valid.kind) for one in learning)
                errors[name] = error_of(joined(made[name], looking, valid), valid)

        def best(word: str) -> str:
            return min((name for name in errors if word in name), key=lambda name: errors[name], default="")

        trees, ridge = best("trees"), best("ridge")
        made[trees] = tuple(one.first(int(trees.split()[0])) for one in made[most] if isinstance(one, BoostedTrees))
        if ridge:
            made[f"{trees}, {ridge}"] = made[trees] + made[ridge]
            errors[f"{trees}, {ridge}"] = error_of(joined(made[f"{trees}, {ridge}"], looking, valid), valid)
        chosen: str = min(made, key=lambda way: errors[way])
        return chosen, made[chosen], errors

    def _made(self, name: str, columns: np.ndarray, y: np.ndarray, kind: str) -> BoostedTrees | Linear:
        """A way of joining, by its name: "200 trees", "ridge 10"."""
        first, second = name.split()
        if first == "ridge":
            return Linear.fitted(columns, y, float(second))
        return BoostedTrees.grown(
            columns, y, binary=kind == "binary", rounds=int(first), learning_rate=self.learning_rate,
            leaves=self.leaves, smallest=self.smallest,
        )  # fmt: skip

    # Asking ----------------------------------------------------------------------------------------------------------

    @property
    def errors_(self) -> Mapping[str, float]:
        """Mean squared error (binary: log loss) on valid: of each member alone, and of each way of joining them."""
        return self._fitted().errors

    @property
    def chosen_(self) -> str:
        """The way of joining that was taken."""
        return self._fitted().chosen

    def scores(self, pairs: Affinities) -> Float64[np.ndarray, " n"]:
        """The predicted value of each pair; of binary ones, the probability.

        Raises:
            NotFittedError: before `fit`.
        """
        state = self._fitted()
        return state.values(pairs) if len(pairs) else np.zeros(0)

    def predict(
        self,
        pairs: Affinities | None = None,
        *,
        smiles: str | Sequence[str] | None = None,
        sequences: str | Sequence[str] | None = None,
        drugs: str | Sequence[str] | None = None,
        targets: str | Sequence[str] | None = None,
        graph: KnowledgeGraph | None = None,
        level: float = 0.9,
    ) -> Interactions:
        """As `InteractionHead.predict`. Raises NotFittedError, SchemaError, UnknownIdentifierError."""
        state = self._fitted()
        train = state.train
        known = entity_table(train.drugs, "smiles", train.drug), entity_table(train.targets, "sequence", train.target)
        if pairs is None:
            pairs = pairs_of(asked(smiles, sequences, drugs, targets, graph, known), train)
        elif any(given is not None for given in (smiles, sequences, drugs, targets)):
            raise SchemaError("Give measured pairs, or drugs and targets, not both.")
        value = self.scores(pairs)
        low = high = None
        if state.conformal is not None:
            low, high = state.conformal.interval(value, None, level, train.limit)
        drug_ids, drug_seen = _told(pairs.drugs, "smiles", pairs.drug, known[0])
        target_ids, target_seen = _told(pairs.targets, "sequence", pairs.target, known[1])
        unit = "probability" if train.kind == "binary" else train.unit
        return Interactions(drug_ids, target_ids, value, unit, low, high, level, None, drug_seen, target_seen)

    def evaluate(
        self, test: Affinities, *, baselines: Sequence[Baseline] | None = None, n_bootstrap: int = 500
    ) -> InteractionReport:
        """How near are predictions to what was measured, beside plain baselines fitted on the same pairs?

        Args:
            test: pairs that were not trained on.
            baselines: None for those that suit the size of train, () for none.
            n_bootstrap: samples that the 95 % intervals rest on.

        Raises:
            NotFittedError: before `fit`.
            SchemaError: pairs that were trained on, another unit.
        """
        from medgraph.heads.interaction.judging import judge

        return judge(self, test, baselines, self._fitted().train, n_bootstrap)

    def _fitted(self) -> Stacked:
        if self._state is None:
            raise NotFittedError("This InteractionStack has not been fitted; call fit(train, valid) first.")
        return self._state

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the artefact: trees, heads, the training pairs and every setting of the baselines, a card.

        Baselines are fitted anew when loaded, which takes as long as it did. Raises NotFittedError before `fit`.
        """
        save_stack(folder, self, self._fitted())

    @classmethod
    def load(cls, folder: str | Path) -> InteractionStack:
        """A stack that predicts as the saved one did. Raises ArtefactError, FormatVersionError."""
        found, state = load_stack(folder)
        stack = cls(**found)
        stack._state = state
        return stack


def _told(
    table: pa.Table, text: str, rows: Int64[np.ndarray, " n"], known: pa.Table
) -> tuple[tuple[str, ...], Bool[np.ndarray, " n"]]:
    """The id of each pair's drug or target, and whether it was trained on."""
    ids, texts = table["id"].to_pylist(), table[text].to_pylist()
    trained = set(known.filter(known["seen"])[text].to_pylist())
    names = tuple("" if ids[row].startswith(NAMELESS) else ids[row] for row in rows.tolist())
    return names, np.array([texts[row] in trained for row in rows.tolist()], dtype=bool)
