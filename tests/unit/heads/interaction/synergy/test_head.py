"""DeepSynergy: two drugs without an order, learned, saved, resumed, and honest about what it has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from combinations import planted

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.synergies import Synergies
from medgraph.errors import ArtefactError, NotFittedError, SchemaError
from medgraph.heads.interaction.synergy.baselines import SynergyEffects
from medgraph.heads.interaction.synergy.head import DeepSynergy
from medgraph.heads.interaction.synergy.inputs import SynergyInputs, SynergyTensors, blocks_of_pairs
from medgraph.heads.interaction.synergy.network import SynergyNetwork

SMALL = {"hidden": (32, 16), "width": 16, "cell_size": 8, "bits": 128, "batch_size": 32, "device": "cpu"}


def small(**given: object) -> DeepSynergy:
    return DeepSynergy(**{**SMALL, "epochs": 3, **given})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data() -> Synergies:
    return planted()


@pytest.fixture(scope="module")
def head(data: Synergies) -> DeepSynergy:
    split = data.split("pair")
    return small(members=2).fit(split.train, split.valid, progress=False)


def test_a_swap_changes_no_bit_of_the_network(data: Synergies) -> None:
    inputs = SynergyInputs.of(data, 3, 256)
    torch.manual_seed(0)
    network = SynergyNetwork(inputs.columns.size, 6, 0, 24, 8, (32, 16), (0.2, 0.5), 0.1).eval()
    batch = SynergyTensors.of(inputs, data, torch.device("cpu")).batch(np.arange(len(data)))
    with torch.no_grad():
        one, other = network(batch), network(batch._replace(first=batch.second, second=batch.first))
    assert torch.equal(one, other)
    assert one.unique().numel() > len(data) / 2  # it does tell them apart


def test_which_drug_is_asked_first_changes_no_bit(head: DeepSynergy) -> None:
    one, two = ["d0", "d3", "CCCCCCO", "c1ccccc1"], ["d5", "CCN(C)C", "d1", "c1ccncc1"]
    cells = ["c0", "c1", "elsewhere", "c2"]
    a = head.predict(first=one, second=two, cells=cells)
    b = head.predict(first=two, second=one, cells=cells)
    assert (a.value == b.value).all()
    assert a.low is not None
    assert b.low is not None
    assert (a.low == b.low).all()
    assert (a.first_seen == b.second_seen).all()
    assert a.first_seen.tolist() == [True, True, True, False]
    assert a.second_seen.tolist() == [True, False, True, False]


def test_training_with_drugs_swapped_gives_the_same_weights(data: Synergies) -> None:
    split = data.split("pair")
    turned = replace(split.train, first=split.train.second, second=split.train.first)
    one = small(epochs=2).fit(split.train, split.valid, progress=False)
    two = small(epochs=2).fit(turned, split.valid, progress=False)
    assert (one.scores(split.test) == two.scores(split.test)).all()


def test_each_drug_and_pair_stands_once_in_a_batch(data: Synergies) -> None:
    tensors = SynergyTensors.of(SynergyInputs.of(data, 3, 128), data, torch.device("cpu"))
    rows = np.arange(0, len(data), 3)
    batch = tensors.batch(rows)
    assert len(batch.drugs) == np.union1d(data.first[rows], data.second[rows]).size
    assert len(batch.first) == np.unique(data.pair[rows]).size
    np.testing.assert_array_equal(batch.drugs[batch.first][batch.pair], tensors.drugs[tensors.first[rows]])
    np.testing.assert_array_equal(batch.drugs[batch.second][batch.pair], tensors.drugs[tensors.second[rows]])


def test_once_a_drug_is_the_same_as_once_a_row(data: Synergies) -> None:
    """Values and gradients in float64, against the network fed with every drug of every row."""
    tensors = SynergyTensors.of(SynergyInputs.of(data, 3, 128), data, torch.device("cpu"))
    torch.manual_seed(1)
    network = SynergyNetwork(tensors.drugs.shape[1], 6, 0, 24, 8, (32, 16), (0.0, 0.0), 0.0).double()
    rows = np.arange(0, len(data), 2)
    batch = tensors.batch(rows)
    batch = batch._replace(drugs=batch.drugs.double())
    n = np.arange(rows.size)
    naive = batch._replace(
        drugs=torch.cat([batch.drugs[batch.first][batch.pair], batch.drugs[batch.second][batch.pair]]),
        first=torch.from_numpy(n), second=torch.from_numpy(n + rows.size), pair=torch.from_numpy(n),
    )  # fmt: skip
    found = []
    for given in (batch, naive):
        network.zero_grad()
        answer = network(given)
        (answer**2).sum().backward()
        found.append((answer.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-12, atol=1e-12)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_blocks_hold_every_row_once_and_keep_pairs_together() -> None:
    pair = np.repeat(np.arange(50), 12)
    batches = blocks_of_pairs(pair, 4, 40, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(600))
    assert max(map(len, batches)) == 40
    assert np.mean([np.unique(pair[rows]).size for rows in batches]) < 12
    alone = blocks_of_pairs(pair, 1, 40, np.random.default_rng(0))
    assert np.mean([np.unique(pair[rows]).size for rows in alone]) > 20


def test_inputs_are_those_of_the_paper_and_of_train_alone(data: Synergies) -> None:
    from medgraph.data.molecules import morgan

    split = data.split("drug", (0.6, 0.2, 0.2))
    there = np.union1d(split.train.first, split.train.second)
    inputs = SynergyInputs.of(split.train, 3, 128)
    counts = morgan([data.smiles[row] for row in there], 3, 128, counts=True).toarray().astype(np.float64)
    varied = counts.std(axis=0) > 0
    expected = np.tanh((counts - counts.mean(axis=0))[:, varied] / counts.std(axis=0)[varied])
    np.testing.assert_allclose(inputs.drugs([data.smiles[row] for row in there]), expected, atol=1e-6)


def test_likeness_to_trainings_drugs_can_stand_for_the_fingerprint(data: Synergies, tmp_path: Path) -> None:
    from rdkit import Chem, DataStructs
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    split = data.split("drug", (0.6, 0.2, 0.2))
    there = np.union1d(split.train.first, split.train.second).tolist()
    prints = [GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(t)) for t in data.smiles]
    expected = [[6 * DataStructs.TanimotoSimilarity(one, prints[row]) for row in there] for one in prints]
    inputs = SynergyInputs.of(split.train, 3, 128, similarity=True)
    np.testing.assert_allclose(inputs.drugs(data.smiles), expected, rtol=1e-6)
    head = small(epochs=1, similarity=True).fit(split.train, split.valid, progress=False)
    head.save(tmp_path / "saved")
    assert (DeepSynergy.load(tmp_path / "saved").scores(data) == head.scores(data)).all()


def test_it_learns_what_no_additive_model_can(data: Synergies) -> None:
    """One alcohol and one amine work together: neither drug's own effect says so."""
    split = data.split("pair", (0.6, 0.2, 0.2))
    head = DeepSynergy(**{**SMALL, "epochs": 30, "learning_rate": 5e-3, "dropout": 0.1})  # type: ignore[arg-type]
    head.fit(split.train, split.valid, progress=False)
    report = head.evaluate(split.test, baselines=(SynergyEffects(),), threshold=1.0, n_bootstrap=50)
    assert report.metrics["MSE"] < 0.5
    assert report.estimates["drug + drug + cell"]["MSE"].value > 3
    assert report.gains["drug + drug + cell"]["MSE"].high < 0
    assert "by pair" in str(report)


def test_an_unknown_cell_line_is_the_mean_of_the_known(head: DeepSynergy) -> None:
    found = head.predict(first="d0", second="d3", cells=["c0", "nowhere", "elsewhere"])
    assert found.cell_seen.tolist() == [True, False, False]
    assert found.inferred.tolist() == [False, True, True]
    assert found.value[1] == found.value[2] != found.value[0]
    assert head.predict(first="d0", second="d3").value[0] == found.value[1]
    state = head._fitted()
    with torch.no_grad():
        for network in state.networks:
            assert network.vectors is not None
            network.vectors += 0.0
            mean = network.vectors.mean(dim=0)
            batch = SynergyTensors.of(state.inputs, state.train, torch.device("cpu")).batch(np.arange(3))  # type: ignore[arg-type]
            torch.testing.assert_close(network._cells(batch._replace(cell=torch.full((3,), -1))), mean.expand(3, -1))


def test_features_of_cell_lines_reach_new_ones() -> None:
    """The effect of a cell line is its first feature: a held-out one is answered from it, or else by the mean."""
    data = planted(drugs=8, cells=30, features=True)
    split = data.split("cell", (0.6, 0.2, 0.2))
    settings = {**SMALL, "epochs": 40, "learning_rate": 5e-3, "dropout": 0.1, "input_dropout": 0.0}
    head = DeepSynergy(**settings).fit(split.train, split.valid, progress=False)  # type: ignore[arg-type]
    given = split.test
    blind = replace(given, cells=given.cells.select(["id"]))
    errors = [float(np.mean((head.scores(part) - given.value) ** 2)) for part in (given, blind)]
    assert errors[0] < 0.5 * errors[1]
    known = split.train
    by_name = replace(known, cells=known.cells.select(["id"]))
    assert (head.scores(by_name) == head.scores(known)).all()  # features of known cell lines are remembered


def test_intervals_hold_as_often_as_they_say(data: Synergies) -> None:
    split = data.split("pair", (0.4, 0.3, 0.3))
    head = small(epochs=5).fit(split.train, split.valid, progress=False)
    found = head.predict(split.test, level=0.8)
    assert found.low is not None
    assert found.high is not None
    inside = (found.low <= split.test.value) & (split.test.value <= found.high)
    assert 0.65 < inside.mean() < 0.95


def test_it_comes_back_from_its_folder(head: DeepSynergy, data: Synergies, tmp_path: Path) -> None:
    head.save(tmp_path / "saved")
    loaded = DeepSynergy.load(tmp_path / "saved")
    one, two = head.predict(data), loaded.predict(data)
    for name in ("value", "low", "high", "std", "first_seen", "second_seen", "cell_seen"):
        assert (getattr(one, name) == getattr(two, name)).all(), name
    assert loaded.notes_ == head.notes_
    assert loaded.counts_ == head.counts_
    assert "Which drug stands first" in (tmp_path / "saved" / "card.md").read_text()
    assert not list((tmp_path / "saved").glob("*.p*kl"))
    with pytest.raises(NotFittedError, match="pass train="):
        loaded.evaluate(data)
    (tmp_path / "saved" / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(ArtefactError, match="sha256 differs"):
        DeepSynergy.load(tmp_path / "saved")


def test_features_come_back_too(tmp_path: Path) -> None:
    data = planted(drugs=8, features=True)
    head = small(epochs=1).fit(data, progress=False)
    head.save(tmp_path / "saved")
    asked = {"first": "d0", "second": "d1", "cells": ["c0", "c5", "new"]}
    assert (DeepSynergy.load(tmp_path / "saved").predict(**asked).value == head.predict(**asked).value).all()


def test_an_interrupted_training_comes_to_the_same_weights(
    data: Synergies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = data.split("pair")
    whole = small(members=2, epochs=4).fit(split.train, split.valid, progress=False)

    class StopsError(Exception):
        pass

    from medgraph.heads.interaction.synergy.learning import SynergyLearning

    plain, calls = SynergyLearning.validate, []

    def stops(self: SynergyLearning) -> object:
        calls.append(1)
        if len(calls) == 6:  # in the second member's second epoch
            raise StopsError
        return plain(self)

    monkeypatch.setattr(SynergyLearning, "validate", stops)
    with pytest.raises(StopsError):
        small(members=2, epochs=4).fit(split.train, split.valid, checkpoint=tmp_path / "run", progress=False)
    monkeypatch.setattr(SynergyLearning, "validate", plain)
    again = small(members=2, epochs=4)
    again.fit(split.train, split.valid, checkpoint=tmp_path / "run", resume=True, progress=False)
    assert (again.scores(split.test) == whole.scores(split.test)).all()
    with pytest.raises(SchemaError, match="width"):
        other = small(members=2, epochs=4, width=8)
        other.fit(split.train, split.valid, checkpoint=tmp_path / "run", resume=True, progress=False)


def test_seeds_settle_everything(data: Synergies) -> None:
    split = data.split("pair")
    fits = [small(seed=seed, epochs=1).fit(split.train, split.valid, progress=False) for seed in (0, 0, 1)]
    values = [fit.scores(split.test) for fit in fits]
    assert (values[0] == values[1]).all()
    assert (values[0] != values[2]).any()
    assert head_std(small(members=2, epochs=1).fit(split.train, split.valid, progress=False), split.test) > 0


def head_std(head: DeepSynergy, data: Synergies) -> float:
    std = head.predict(data).std
    return 0.0 if std is None else float(std.min())


def test_nothing_of_test_is_looked_at(data: Synergies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other scores in test, and other structures of drugs that train has not, change nothing that is learned."""
    split = data.split("drug", (0.6, 0.2, 0.2))
    one = small(epochs=1).fit(split.train, split.valid, progress=False)
    known = np.union1d(
        np.union1d(split.train.first, split.train.second), np.union1d(split.valid.first, split.valid.second)
    )
    smiles = [text if row in known else "BrC(Br)(Br)C" for row, text in enumerate(data.smiles)]
    drugs = data.drugs.set_column(1, "smiles", pa.array(smiles))
    two = small(epochs=1).fit(replace(split.train, drugs=drugs), replace(split.valid, drugs=drugs), progress=False)
    assert (one.scores(split.train) == two.scores(split.train)).all()


def test_drugs_by_id_of_a_graph(head: DeepSynergy) -> None:
    nodes = {"Compound": pa.table({"id": ["DRUGBANK:DB00898"], "name": ["ethanol"], "smiles": ["OCC"]})}
    graph = KnowledgeGraph(nodes, {})
    found = head.predict(first="DRUGBANK:DB00898", second="d4", graph=graph)
    assert found.value == head.predict(first="CCO", second="d4").value
    assert found.first_seen.tolist() == [True]


def test_what_cannot_be_asked_is_refused(head: DeepSynergy, data: Synergies) -> None:
    with pytest.raises(SchemaError, match=r"second\[1\], 'd99': neither a drug .* nor a SMILES"):
        head.predict(first="d0", second=["d1", "d99"])
    with pytest.raises(SchemaError, match="2 first, 3 second"):
        head.predict(first=["d0", "d1"], second=["d1", "d2", "d3"])
    with pytest.raises(SchemaError, match="Name both drugs"):
        head.predict(first="d0")
    with pytest.raises(SchemaError, match="not both"):
        head.predict(data, first="d0")
    with pytest.raises(NotFittedError, match="call fit"):
        small().predict(data)
    with pytest.raises(SchemaError, match="were trained on"):
        head.evaluate(data)


@pytest.mark.parametrize("wrong", [{"hidden": ()}, {"dropout": 1.0}, {"huber": 0.0}, {"members": 0}, {"radius": -1}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match="DeepSynergy"):
        DeepSynergy(**wrong)  # type: ignore[arg-type]


def test_parts_that_do_not_belong_together_are_refused(data: Synergies) -> None:
    with pytest.raises(SchemaError, match="stand in train and in valid"):
        small().fit(data, data.take(np.arange(5)), progress=False)
    with pytest.raises(SchemaError, match="not parts of one data set"):
        small().fit(data, planted(drugs=6), progress=False)
    with pytest.raises(SchemaError, match="has no rows"):
        small().fit(data, data.take(np.arange(0)), progress=False)


def test_without_valid_pairs_are_held_aside(data: Synergies) -> None:
    head = small(epochs=1).fit(data, progress=False)
    assert head.counts_["valid"] == {"rows": 72, "pairs": 12, "drugs": head.counts_["valid"]["drugs"], "cells": 6}
    assert any("72 of 720 rows (a tenth of the pairs) were held aside" in note for note in head.notes_)


def test_predictions_print_and_become_tables(head: DeepSynergy) -> None:
    found = head.predict(first="d0", second=["d1", "CCOCCO"], cells="c0")
    assert isinstance(found.to_pandas(), pd.DataFrame)
    assert found.to_table().column_names[:4] == ["first", "second", "cell", "value"]
    assert "second" in str(found).splitlines()[-2]  # what is new to the head
    assert len(found) == 2
