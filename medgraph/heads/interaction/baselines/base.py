"""What any interaction head must beat, fitted on the same pairs: the contract of baselines, and how they see pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from medgraph.errors import NotFittedError, SchemaError

if TYPE_CHECKING:
    from typing import Self

    from medgraph.data.affinities import Affinities

__all__ = ["Baseline", "Cells", "Side"]

_MOST_CELLS = 200_000_000  # of a table that is held whole: 1.6 GB


@dataclass(frozen=True)
class Side:
    """The drugs, or the targets, of some pairs, each once."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Id and text of each."""
        return list(zip(self.ids, self.texts, strict=True))

    def places_in(self, known: Side, exactly: bool = False) -> Int64[np.ndarray, " m"]:
        """Which of the known ones each is; -1 for none.

        The same id with the same text; else, unless `exactly`, the same text, if one alone has it. Davis' mutants share
        a sequence, so a sequence without an id says no more than itself.
        """
        both = {key: place for place, key in enumerate(known.keys)}
        often = Counter(() if exactly else known.texts)
        alone = {text: place for place, text in enumerate(known.texts) if often[text] == 1}
        found = [both.get((id_, text), alone.get(text, -1)) for id_, text in self.keys]
        return np.array(found, dtype=np.int64)

    def take(self, rows: Int64[np.ndarray, " k"]) -> Side:
        """Some of them."""
        return Side(tuple(self.ids[i] for i in rows.tolist()), tuple(self.texts[i] for i in rows.tolist()))


@dataclass(frozen=True, eq=False)
class Cells:
    """Pairs as cells of a table of their drugs by their targets."""

    drugs: Side
    targets: Side
    drug: Int64[np.ndarray, " n"]
    target: Int64[np.ndarray, " n"]
    value: Float64[np.ndarray, " n"]

    @classmethod
    def of(cls, pairs: Affinities) -> Cells:
        """Rows and columns of those that occur; pairs in their order."""
        sides, numbers = [], []
        for table, text, row in ((pairs.drugs, "smiles", pairs.drug), (pairs.targets, "sequence", pairs.target)):
            used, number = np.unique(row, return_inverse=True)
            part = table.select(["id", text]).take(pa.array(used))
            sides.append(Side(tuple(part["id"].to_pylist()), tuple(part[text].to_pylist())))
            numbers.append(number.astype(np.int64).reshape(-1))
        return cls(sides[0], sides[1], numbers[0], numbers[1], pairs.value)

    @classmethod
    def measured(cls, *parts: Affinities) -> Cells:
        """Those of several lists of pairs, each cell once: what was measured twice counts as its mean.

        Raises:
            SchemaError: no pairs.
        """
        cells = [cls.of(part) for part in parts]
        drugs, drug = _joined([(one.drugs, one.drug) for one in cells])
        targets, target = _joined([(one.targets, one.target) for one in cells])
        if not drug.size:
            raise SchemaError("No pairs: there is nothing to learn from.")
        cell, place = np.unique(drug * len(targets) + target, return_inverse=True)
        value = np.bincount(place, weights=np.concatenate([one.value for one in cells])) / np.bincount(place)
        return cls(drugs, targets, cell // len(targets), cell % len(targets), value)

    def __len__(self) -> int:
        return int(self.value.size)

    @property
    def shape(self) -> tuple[int, int]:
        """Drugs, targets."""
        return len(self.drugs), len(self.targets)

    def check_size(self) -> None:
        """Refuse what cannot be held whole: the table, or a square of its drugs or targets. Raises SchemaError."""
        if max(self.shape) ** 2 > _MOST_CELLS:
            raise SchemaError(
                f"{self.shape[0]:,} drugs by {self.shape[1]:,} targets: this baseline holds their table and their "
                f"similarities whole, at most {_MOST_CELLS:,} cells. Use fewer, or baselines=(PairMeans(),)."
            )

    def table(self, values: Float64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, "drugs targets"]:
        """One number a cell, in place; 0 in all others. Without `values`: 1 where there is a pair."""
        found = np.zeros(self.shape)
        found[self.drug, self.target] = 1.0 if values is None else values
        return found

    def take(self, rows: Int64[np.ndarray, " k"]) -> Cells:
        """Some of the pairs, and the drugs and targets that occur in them."""
        drugs, drug = np.unique(self.drug[rows], return_inverse=True)
        targets, target = np.unique(self.target[rows], return_inverse=True)
        return Cells(
            self.drugs.take(drugs), self.targets.take(targets), drug.astype(np.int64).reshape(-1),
            target.astype(np.int64).reshape(-1), self.value[rows],
        )  # fmt: skip


def _joined(parts: list[tuple[Side, np.ndarray]]) -> tuple[Side, Int64[np.ndarray, " n"]]:
    """Each entity of several lists once, and which one each pair has."""
    place: dict[tuple[str, str], int] = {}
    numbers = []
    for side, number in parts:
        mine = [place.setdefault(key, len(place)) for key in side.keys]
        numbers.append(np.array(mine, dtype=np.int64)[number])
    return Side(tuple(i for i, _ in place), tuple(t for _, t in place)), np.concatenate(numbers)


@dataclass(eq=False, kw_only=True)
class Baseline(ABC):
    """A plain model to stand beside a head: `fit`, then `predict`.

    To add one: subclass it, with `_learn` and `_score`, and `_choose` where a field may be None for "chosen on valid".

    Args:
        refit: once valid has chosen, fit on train and valid together. A head learns from train alone, so figures are
            then no like for like; published ones of such baselines often are of this kind.
        seed: of what is random, and of the tenth of train that stands in for a valid part that is not given.
    """

    refit: bool = False
    seed: int = 0
    name: ClassVar[str]
    chosen_: Any = field(default=None, init=False, repr=False)  # the same baseline, every choice made
    _model: Any = field(default=None, init=False, repr=False)

    def fit(self, train: Affinities, valid: Affinities | None = None) -> Self:
        """Learn from train; valid may choose among hyper-parameters that are None, nothing else.

        Without valid a random tenth of train chooses, and then all of train is learnt from.

        Raises:
            SchemaError: no pairs, or a field out of range.
        """
        learnt = Cells.measured(train)
        chosen = self
        if self._undecided():
            if valid is not None and len(valid):
                looking = Cells.of(valid)
                chosen = self._choose(learnt, looking)
            else:
                order = np.random.default_rng(self.seed).permutation(len(learnt))
                held = max(1, len(learnt) // 10)
                if len(learnt) < 2:
                    raise SchemaError(f"{self.name}: one pair alone; at least 2 are needed to choose by.")
                chosen = self._choose(learnt.take(np.sort(order[held:])), learnt.take(np.sort(order[:held])))
        if self.refit and valid is not None and len(valid):
            learnt = Cells.measured(train, valid)
        self.chosen_, self._model = chosen, chosen._learn(learnt)
        return self

    def predict(self, pairs: Affinities) -> Float64[np.ndarray, " n"]:
        """The value of each pair, in the unit of train.

        Raises:
            NotFittedError: before `fit`.
        """
        if self._model is None:
            raise NotFittedError(f"{type(self).__name__} has not been fitted. Call fit(train, valid) first.")
        if not len(pairs):
            return np.zeros(0)
        return self.chosen_._score(self._model, Cells.of(pairs))  # type: ignore[no-any-return]

    scores = predict

    @property
    def is_fitted(self) -> bool:
        """Whether `predict` can be called."""
        return self._model is not None

    def settled(self) -> Self:
        """A fresh one with the hyper-parameters that this one's valid part chose: fitting it again chooses nothing.

        Raises:
            NotFittedError: before `fit`.
        """
        if self.chosen_ is None:
            raise NotFittedError(f"{type(self).__name__} has not been fitted. Call fit(train, valid) first.")
        return replace(self.chosen_)  # type: ignore[no-any-return]

    @abstractmethod
    def _learn(self, cells: Cells) -> Any:
        """What is known after these cells; every choice is made."""

    @abstractmethod
    def _score(self, model: Any, cells: Cells) -> Float64[np.ndarray, " n"]:
        """The value of each pair."""

    def _undecided(self) -> bool:
        """Is there a choice to make?"""
        return False

    def _choose(self, learning: Cells, looking: Cells) -> Self:
        """The same with every choice made: learnt from the first, compared on the second."""
        del learning, looking
        return self


def squared_error(cells: Cells, predicted: Float64[np.ndarray, " n"]) -> float:
    """mean((y - p)²): what choices go by."""
    return float(np.mean((cells.value - predicted) ** 2))
