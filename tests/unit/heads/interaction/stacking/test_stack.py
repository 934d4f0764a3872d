"""A stack learns from what members say of pairs they have not seen, and comes back from disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from bindings import planted
from numpy.testing import assert_allclose

import medgraph as mg
from medgraph.data.affinities import Affinities
from medgraph.data.affinity_groups import near_groups
from medgraph.data.affinity_splits import AffinitySplit
from medgraph.errors import ArtefactError, NotFittedError, SchemaError
from medgraph.heads.interaction.baselines.als import ALS
from medgraph.heads.interaction.baselines.base import Baseline, Cells
from medgraph.heads.interaction.baselines.kronrls import KronRLS
from medgraph.heads.interaction.baselines.means import PairMeans
from medgraph.heads.interaction.baselines.profiles import ProfileKronRLS
from medgraph.heads.interaction.stacking.out_of_fold import FoldBy, folds_of, out_of_fold, together
from medgraph.heads.interaction.stacking.stack import InteractionStack


@dataclass(eq=False, kw_only=True)
class Parrot(Baseline):
    """Knows by heart what it was told, and else says nought: any leak from a fold shows."""

    name: ClassVar[str] = "parrot"

    def _learn(self, cells: Cells) -> Any:
        keys = zip(cells.drugs.take(cells.drug).ids, cells.targets.take(cells.target).ids, strict=True)
        return dict(zip(keys, cells.value.tolist(), strict=True))

    def _score(self, model: Any, cells: Cells) -> Any:
        keys = zip(cells.drugs.take(cells.drug).ids, cells.targets.take(cells.target).ids, strict=True)
        return np.array([model.get(key, 0.0) for key in keys])


@pytest.fixture(scope="module")
def split() -> AffinitySplit:
    return planted().split("pair", fractions=(0.6, 0.2, 0.2), seed=1)


@pytest.fixture(scope="module")
def fitted(split: AffinitySplit) -> InteractionStack:
    members = (KronRLS(ridge=0.1), ProfileKronRLS(most=1), ALS(rank=3), PairMeans())
    return InteractionStack(members=members, folds=4, smallest=5).fit(split.train, split.valid)


def test_is_about_as_good_as_its_best_member(fitted: InteractionStack, split: AffinitySplit) -> None:
    def error(values: np.ndarray) -> float:
        return float(np.mean((values - split.test.value) ** 2))

    mine = error(fitted.scores(split.test))
    assert mine < 0.05 * split.test.value.var()
    assert mine < 1.6 * min(error(one.scores(split.test)) for one in fitted._fitted().members)
    assert fitted.errors_[fitted.chosen_] == min(v for k, v in fitted.errors_.items() if "tree" in k or "ridge" in k)
    assert (fitted.scores(split.test) >= 5.0).all()


def test_is_judged_beside_baselines_on_the_same_pairs(fitted: InteractionStack, split: AffinitySplit) -> None:
    report = fitted.evaluate(split.test, baselines=(PairMeans(),), n_bootstrap=20)
    assert report.metrics["MSE"] == pytest.approx(np.mean((fitted.scores(split.test) - split.test.value) ** 2))
    assert "means" in str(report)
    with pytest.raises(SchemaError, match="trained on"):
        fitted.evaluate(split.train)


def test_no_pair_is_told_to_the_member_that_predicts_it(split: AffinitySplit) -> None:
    columns, rows = out_of_fold([Parrot()], split.train, "pair", 4, 0, None)
    assert (columns[:, 0] == 0).all()
    assert sorted(rows.tolist()) == list(range(len(split.train)))
    knowing = Parrot().fit(split.train).scores(split.train)
    assert_allclose(knowing, split.train.value)


@pytest.mark.parametrize("by", ["drug", "target", "both"])
def test_folds_hold_out_what_they_say(by: str) -> None:
    pairs = planted()
    groups = near_groups(pairs.targets)
    for learn, look in folds_of(pairs, by, 2, 0):  # type: ignore[arg-type]
        if by in ("drug", "both"):
            assert not set(pairs.drug[learn]) & set(pairs.drug[look])
        if by in ("target", "both"):
            assert not set(groups[pairs.target[learn]]) & set(groups[pairs.target[look]])


def test_saved_and_loaded_it_predicts_the_same(fitted: InteractionStack, split: AffinitySplit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "stack")
    loaded = InteractionStack.load(tmp_path / "stack")
    assert_allclose(loaded.scores(split.test), fitted.scores(split.test), rtol=1e-7)
    assert loaded.errors_ == fitted.errors_
    before, after = fitted.predict(split.test), loaded.predict(split.test)
    assert_allclose(after.low, before.low, rtol=1e-7)
    with pytest.raises(ArtefactError, match="not a"):
        mg.DeepDTA.load(tmp_path / "stack")


@pytest.mark.parametrize("by", ["pair", "drug", "target", "both"])
def test_the_usual_members_are_written_and_read(by: FoldBy, tmp_path: Path) -> None:
    parts = planted().split("pair", fractions=(0.6, 0.2, 0.2), seed=2)
    stack = InteractionStack(by=by, folds=2, smallest=5).fit(parts.train, parts.valid)
    assert np.mean((stack.scores(parts.test) - parts.test.value) ** 2) < 0.2 * parts.test.value.var()
    stack.save(tmp_path / "stack")
    loaded = InteractionStack.load(tmp_path / "stack")
    assert_allclose(loaded.scores(parts.test), stack.scores(parts.test), rtol=1e-6)


def test_a_head_among_the_members(split: AffinitySplit, tmp_path: Path) -> None:
    head = mg.DeepDTA(vector_size=8, filters=(4, 8), drug_windows=(3, 3), target_windows=(3, 3), hidden=(8,), epochs=2,
                      batch_size=32, device="cpu")  # fmt: skip
    stack = InteractionStack(members=(head, PairMeans()), folds=2, smallest=5).fit(split.train, split.valid)
    assert "DeepDTA" in stack.errors_
    assert head._state is None  # what was given stays unfitted
    stack.save(tmp_path / "stack")
    loaded = InteractionStack.load(tmp_path / "stack")
    assert_allclose(loaded.scores(split.test), stack.scores(split.test), rtol=1e-6)


def test_answers_smiles_and_sequences(fitted: InteractionStack, split: AffinitySplit) -> None:
    row = split.test.take([0])
    known = fitted.predict(smiles=row.smiles[row.drug[0]], sequences=row.sequences[row.target[0]])
    assert_allclose(known.value, fitted.scores(row), rtol=1e-6)
    assert known.drug_seen.all()
    assert known.low is not None
    assert known.low[0] <= known.value[0]
    new = fitted.predict(smiles=["CCO", "CCN"], sequences="ACDEFGHIKL")
    assert new.drugs == ("", "")
    assert not new.drug_seen.any()
    assert not new.target_seen.any()
    with pytest.raises(SchemaError, match="not both"):
        fitted.predict(split.test, smiles="CCO")


def test_refit_learns_from_valid_too(split: AffinitySplit) -> None:
    stack = InteractionStack(members=(ProfileKronRLS(stages=1, ridge=0.1),), folds=3, smallest=5, refit=True)
    stack.fit(split.train, split.valid)
    assert len(stack._fitted().train) == len(split.train) + len(split.valid)
    both = together(split.train, split.valid)
    assert_allclose(both.value, np.append(split.train.value, split.valid.value))


def test_binary_values_give_probabilities() -> None:
    split = planted("binary").split("pair", fractions=(0.6, 0.2, 0.2), seed=1)
    stack = InteractionStack(members=(KronRLS(ridge=0.1), PairMeans()), folds=3, smallest=5)
    found = stack.fit(split.train, split.valid).predict(split.test)
    assert found.unit == "probability"
    assert ((found.value > 0) & (found.value < 1)).all()
    assert found.value[split.test.value == 1].mean() > found.value[split.test.value == 0].mean() + 0.5


def test_refusals(split: AffinitySplit) -> None:
    with pytest.raises(NotFittedError):
        InteractionStack().scores(split.test)
    with pytest.raises(SchemaError, match="folds"):
        InteractionStack(folds=1)
    with pytest.raises(SchemaError, match="nothing to stack"):
        InteractionStack(members=()).fit(split.train, split.valid)
    with pytest.raises(SchemaError, match="too few"):
        folds_of(Affinities.take(split.train, [0, 1]), "pair", 5, 0)
