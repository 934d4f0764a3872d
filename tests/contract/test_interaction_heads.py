"""Every interaction head: learns, repeats, resumes, saves, is not moved by company, refuses what it cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bindings import planted
from numpy.testing import assert_allclose, assert_array_equal

import medgraph as mg
from medgraph.data.affinity_splits import AffinitySplit
from medgraph.errors import ArtefactError, NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.losses import BinaryCrossEntropy, Censored, Evidential, Loss, SquaredError
from medgraph.training import TrainingInterrupted

# A new head is one row: its class, and what makes it small.
HEADS = {
    "DeepDTA": {"vector_size": 16, "filters": (8, 16, 24), "hidden": (32, 16)},
    "PairLSTM": {"vector_size": 16, "hidden_size": 12, "hidden": (32,), "stride": 3},
}
KNOWN = mg.Embedding(  # of every drug but one, and of half the targets
    [f"D{i}" for i in range(1, 24)] + [f"T{i}" for i in range(0, 16, 2)],
    ["node"] * 31,
    [""] * 31,
    np.random.default_rng(0).normal(size=(31, 5)).astype(np.float32),
)  # type: ignore[arg-type]
MLP = {"vector_size": 16, "tower": 16, "tower_dropout": 0.0, "hidden": (32,)}
HEADS |= {"FingerprintMLP": MLP, "KnowledgeDTA": {**MLP, "embedding": KNOWN}}
SMALL = {"epochs": 12, "batch_size": 32, "block": 4, "learning_rate": 0.01, "dropout": 0.0, "device": "cpu"}
LOSSES: dict[str, Loss] = {"squared": SquaredError(), "censored": Censored(), "evidential": Evidential()}


@pytest.fixture(scope="module")
def split() -> AffinitySplit:
    return planted().split(by="pair", fractions=(0.6, 0.2, 0.2), seed=1)


def make(name: str, **more: object) -> InteractionHead:
    head = getattr(mg, name)(**{**SMALL, **HEADS[name], **more})
    assert isinstance(head, InteractionHead)
    return head


@pytest.fixture(scope="module", params=HEADS)
def fitted(request: pytest.FixtureRequest, split: AffinitySplit) -> InteractionHead:
    return make(request.param).fit(split.train, split.valid, progress=False)


def test_finds_what_was_planted(fitted: InteractionHead, split: AffinitySplit) -> None:
    found = fitted.predict(split.test)
    error = float(np.mean((found.value - split.test.value) ** 2))
    assert error < 0.4 * split.test.value.var()
    assert found.low is not None
    assert found.high is not None
    held = (found.low <= split.test.value) & (split.test.value <= found.high)
    assert held.mean() > 0.75
    assert (found.low >= 5.0).all()  # nothing is recorded below the limit
    assert found.unit == "pKd"
    assert found.drug_seen.all()
    assert found.target_seen.all()
    assert_array_equal(fitted.scores(split.test), found.value)


def test_same_seed_same_numbers_and_another_seed_others(fitted: InteractionHead, split: AffinitySplit) -> None:
    name = type(fitted).__name__
    before = torch.get_rng_state()
    again = make(name).fit(split.train, split.valid, progress=False).scores(split.test)
    assert torch.equal(before, torch.get_rng_state())
    assert_array_equal(again, fitted.scores(split.test))
    other = make(name, seed=1, epochs=1).fit(split.train, split.valid, progress=False).scores(split.test)
    assert not np.allclose(again, other)


def test_saved_and_loaded_it_predicts_the_same(fitted: InteractionHead, split: AffinitySplit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "head")
    loaded = type(fitted).load(tmp_path / "head")
    before, after = (head.predict(split.test) for head in (fitted, loaded))
    assert before.to_table().equals(after.to_table())
    assert loaded._parameters() == fitted._parameters()
    assert loaded.notes_ == fitted.notes_
    assert loaded.counts_ == fitted.counts_
    card = (tmp_path / "head" / "card.md").read_text(encoding="utf-8")
    assert "split conformal on" in card
    assert not [path for path in (tmp_path / "head").iterdir() if path.suffix not in {".json", ".md", ".parquet"}
                and path.suffix != ".safetensors"]  # fmt: skip
    with pytest.raises(ArtefactError, match="not a"):
        next(getattr(mg, name) for name in HEADS if name != type(fitted).__name__).load(tmp_path / "head")


def test_interrupted_and_resumed_it_comes_to_the_same_numbers(
    fitted: InteractionHead, split: AffinitySplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = type(fitted).__name__
    head = make(name)
    steps = iter(range(1000))
    plain = head._loss

    def interrupted(*given: object) -> torch.Tensor:
        if next(steps) == 11:  # in the middle of an epoch
            import signal

            signal.raise_signal(signal.SIGINT)
        return plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(head, "_loss", interrupted)
    with pytest.raises(TrainingInterrupted, match="resume=True"):
        head.fit(split.train, split.valid, checkpoint=tmp_path / "c", progress=False)
    resumed = make(name).fit(split.train, split.valid, checkpoint=tmp_path / "c", resume=True, progress=False)
    assert_array_equal(resumed.scores(split.test), fitted.scores(split.test))
    with pytest.raises(SchemaError, match="learning_rate"):
        make(name, learning_rate=0.5).fit(split.train, split.valid, checkpoint=tmp_path / "c", resume=True)
    with pytest.raises(SchemaError, match="train"):
        make(name).fit(split.valid, split.valid, checkpoint=tmp_path / "c", resume=True)


def test_company_in_a_batch_does_not_change_a_row(fitted: InteractionHead, split: AffinitySplit) -> None:
    together = fitted.scores(split.test)
    alone = np.concatenate([fitted.scores(split.test.take([i])) for i in range(0, len(split.test), 7)])
    assert_allclose(alone, together[::7], rtol=1e-5)
    one = split.test.take([3])
    long = "ACDEFGHIKL" * 60
    smiles, sequence = split.test.smiles[one.drug[0]], split.test.sequences[one.target[0]]
    padded = fitted.predict(smiles=[smiles, "C" * 90], sequences=[sequence, long])
    assert_allclose(padded.value[:1], fitted.scores(one), rtol=1e-5)


def test_each_entity_once_is_the_pairwise_form(fitted: InteractionHead, split: AffinitySplit) -> None:
    """Numbers and gradients, in float64, against a copy of drug and target for every pair."""
    import copy

    from medgraph.heads.interaction.fitting import encode_parts

    state = fitted._fitted()
    network = copy.deepcopy(state.networks[0]).double()
    scale = state.scale
    data, _ = encode_parts(state.drug_features, state.target_features, (split.test, split.valid), scale, state.device)
    rows = np.arange(24)
    drugs, targets = (side.tensors(all_[rows], state.device) for side, all_ in
                      ((data.drugs, data.drug), (data.targets, data.target)))  # fmt: skip
    torch.set_default_dtype(torch.float64)
    try:
        batch = data.batch(rows)
        assert len(batch.drug) == 24
        once, pairwise = (
            network(batch),
            network.join(network.drugs(*_double(drugs)), network.targets(*_double(targets))),
        )
        assert float((once - pairwise).detach().abs().max()) < 1e-12
        weights = [p for p in network.parameters() if p.requires_grad and p.numel()]
        first, second = (torch.autograd.grad((out**2).sum(), weights) for out in (once, pairwise))
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(first, second, strict=True):
        assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12 * float(a.abs().max()))


def _double(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", HEADS)
def test_every_loss_and_an_ensemble(name: str, loss: str, split: AffinitySplit, tmp_path: Path) -> None:
    head = make(name, loss=LOSSES[loss], members=2, epochs=2, decay=True)
    head.fit(split.train, split.valid, checkpoint=tmp_path / "c", progress=False)
    assert len(head.histories_) == 2
    found = head.predict(split.test)
    assert found.std is not None
    assert (found.std > 0).all()
    head.save(tmp_path / "head")
    assert type(head).load(tmp_path / "head").predict(split.test).to_table().equals(found.to_table())
    again = make(name, loss=LOSSES[loss], members=2, epochs=2, decay=True)
    again.fit(split.train, split.valid, checkpoint=tmp_path / "c", resume=True, progress=False)
    assert_array_equal(again.scores(split.test), found.value)


@pytest.mark.parametrize("name", HEADS)
def test_binary_values_give_calibrated_probabilities(name: str, tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    pairs = planted("binary").split(by="pair", fractions=(0.6, 0.2, 0.2), seed=1)
    head = make(name).fit(pairs.train, pairs.valid, progress=False)
    found = head.predict(pairs.test)
    assert found.unit == "probability"
    assert found.low is None
    assert ((found.value >= 0) & (found.value <= 1)).all()
    assert roc_auc_score(pairs.test.value, found.value) > 0.9
    head.save(tmp_path / "head")
    assert_array_equal(type(head).load(tmp_path / "head").scores(pairs.test), found.value)
    with pytest.raises(SchemaError, match="SquaredError is for regression"):
        make(name, loss=SquaredError()).fit(pairs.train, pairs.valid)


def test_asked_by_structure_by_id_or_by_pair(fitted: InteractionHead, split: AffinitySplit) -> None:
    one = split.train.take([0])
    smiles, sequence = one.smiles[one.drug[0]], one.sequences[one.target[0]]
    drug, target = one.drugs["id"][one.drug[0]].as_py(), one.targets["id"][one.target[0]].as_py()
    expected = fitted.scores(one)
    for given in (
        {"smiles": smiles, "sequences": sequence},
        {"drugs": drug, "targets": [target]},
        {"smiles": [smiles], "targets": target},
    ):
        found = fitted.predict(**given)
        assert_allclose(found.value, expected, rtol=1e-5)
        assert found.drugs == (drug,)
        assert found.targets == (target,)
    both = fitted.predict(smiles=[smiles, "CCCCO", "OCCCC"], sequences=sequence.lower())
    assert both.drug_seen.tolist() == [True, False, False]
    assert both.value[1] == both.value[2]  # one molecule, written twice
    assert both.target_seen.all()
    encoded = fitted.encode_drugs([smiles, "CCCCO"]), fitted.encode_targets([sequence])
    screened = fitted.predict_encoded(*encoded, np.array([0, 1, 0]), np.array([0, 0, 0]))
    assert_allclose(screened.value[:2], both.value[:2], rtol=1e-5)
    assert screened.value[0] == screened.value[2]


def test_what_cannot_be_asked_is_refused(fitted: InteractionHead, split: AffinitySplit) -> None:
    with pytest.raises(SchemaError, match=r"smiles\[1\]"):
        fitted.predict(smiles=["CCO", "C1CC"], sequences="MKWK")
    with pytest.raises(SchemaError, match=r"sequences\[0\]"):
        fitted.predict(smiles="CCO", sequences="M1KWK")
    with pytest.raises(SchemaError, match="row-wise"):
        fitted.predict(smiles=["CCO", "CCN"], sequences=["MKWK"] * 3)
    with pytest.raises(SchemaError, match="in one way"):
        fitted.predict(smiles="CCO", drugs="D1", sequences="MKWK")
    with pytest.raises(UnknownIdentifierError, match="Nearest"):
        fitted.predict(drugs="D99", sequences="MKWK")
    with pytest.raises(SchemaError, match="not both"):
        fitted.predict(split.test, smiles="CCO")
    with pytest.raises(SchemaError, match="level"):
        fitted.predict(split.test, level=1.0)
    assert len(fitted.predict(smiles=[], sequences=[])) == 0


@pytest.mark.parametrize("name", HEADS)
def test_what_cannot_be_fitted_is_refused(name: str, split: AffinitySplit) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        make(name).predict(split.test)
    with pytest.raises(SchemaError, match="epochs=0"):
        make(name, epochs=0)
    with pytest.raises(SchemaError, match="dropout"):
        make(name, dropout=1.5)
    with pytest.raises(SchemaError, match="BinaryCrossEntropy is for binary"):
        make(name, loss=BinaryCrossEntropy()).fit(split.train, split.valid)
    with pytest.raises(SchemaError, match="no pair"):
        make(name).fit(split.train, split.valid.take([]))
    with pytest.raises(SchemaError, match="too few"):
        make(name).fit(split.train.take(np.arange(5)))
    other = planted("binary")
    with pytest.raises(SchemaError, match="not parts of one data set"):
        make(name).fit(split.train, other)


def test_without_valid_a_tenth_of_train_is_held_aside(split: AffinitySplit) -> None:
    name = next(iter(HEADS))
    head = make(name, epochs=1).fit(split.train, progress=False)
    assert head.counts_["valid"]["pairs"] == len(split.train) // 10
    assert any("held aside" in note for note in head.notes_)


def test_judged_beside_baselines_that_it_fits_itself(
    fitted: InteractionHead, split: AffinitySplit, tmp_path: Path
) -> None:
    from medgraph.heads.interaction.baselines.means import PairMeans

    report = fitted.evaluate(split.test, baselines=(PairMeans(),), n_bootstrap=20)
    mine = report.parts[0].estimates[type(fitted).__name__]["MSE"]
    assert mine.value == pytest.approx(np.mean((fitted.scores(split.test) - split.test.value) ** 2))
    assert "means" in str(report).lower()
    with pytest.raises(SchemaError, match="trained on"):
        fitted.evaluate(split.train.take([0, 1, 2]), baselines=())
    fitted.save(tmp_path / "head")
    loaded = type(fitted).load(tmp_path / "head")
    with pytest.raises(SchemaError, match="train"):
        loaded.evaluate(split.test, baselines=(PairMeans(),))
    again = loaded.evaluate(split.test, baselines=(PairMeans(),), train=split.train, n_bootstrap=20)
    assert again.parts[0].estimates[type(fitted).__name__]["MSE"].value == mine.value


@pytest.mark.parametrize("name", HEADS)
def test_mixed_precision_learns_the_same(name: str, split: AffinitySplit) -> None:
    plain, mixed = (
        make(name, epochs=3, mixed_precision=low).fit(split.train, split.valid, progress=False) for low in (False, True)
    )
    a, b = plain.scores(split.test), mixed.scores(split.test)
    assert not np.array_equal(a, b)
    assert np.corrcoef(a, b)[0, 1] > 0.9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", HEADS)
def test_a_gpu_gives_the_numbers_of_the_cpu(name: str, split: AffinitySplit, tmp_path: Path) -> None:
    head = make(name, device="cuda").fit(split.train, split.valid, progress=False)
    found = head.scores(split.test)
    assert float(np.mean((found - split.test.value) ** 2)) < 0.4 * split.test.value.var()
    head.save(tmp_path / "head")
    for device, close in (("cpu", 1e-3), ("cuda", 1e-5)):
        assert_allclose(type(head).load(tmp_path / "head", device=device).scores(split.test), found, rtol=close)
