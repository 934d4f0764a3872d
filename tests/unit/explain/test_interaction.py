"""Integrated gradients beside captum; planted atoms and residues found; what is taken out moves the prediction."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from binders import GROUP, MOTIF, affinities, deep_dta

from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError, UnknownIdentifierError
from medgraph.explain.interaction import Deletion, explain_interaction
from medgraph.heads.interaction.attribution import explain_pair, integrated_gradients, read_pair
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.knowledge import KnowledgeDTA
from medgraph.heads.interaction.lstm import PairLSTM
from medgraph.heads.interaction.mlp import FingerprintMLP

Chem = pytest.importorskip("rdkit.Chem")


@pytest.fixture(scope="module")
def head() -> InteractionHead:
    return deep_dta()


@pytest.fixture(scope="module")
def binders() -> tuple[list[str], list[str]]:
    """Drugs with the group, and sequences with the motif, as training had them."""
    data = affinities()
    group = Chem.MolFromSmarts(GROUP)
    drugs = [smiles for smiles in data.smiles if Chem.MolFromSmiles(smiles).HasSubstructMatch(group)]
    return drugs, [sequence for sequence in data.sequences if MOTIF in sequence]


def test_it_is_captums(head: InteractionHead, binders: tuple[list[str], list[str]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import IntegratedGradients
    smiles, sequence = binders[0][0], binders[1][0]
    pair = read_pair(head, smiles, sequence)
    ((network, drug, target),) = pair.members
    state = head._fitted()
    letters = drug.inputs[0].long(), target.inputs[0].long()
    vectors = [network.drugs.embedding(letters[0]).detach(), network.targets.embedding(letters[1]).detach()]

    def forward(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:  # captum's first dimension is of examples
        found = []
        for one, other in zip(first, second, strict=True):
            d = network.drugs(*drug.inputs, vectors=one)
            t = network.targets(*target.inputs, vectors=other)
            found.append(network.join(d, t)[0, 0] * state.scale.std + state.scale.mean)
        return torch.stack(found)

    there = [(letters[0] > 0)[:, None], (letters[1] > 0)[:, None]]  # padding stands in the baseline too
    bases = tuple((v * ~mask)[None] for v, mask in zip(vectors, there, strict=True))
    ours = explain_pair(head, smiles, sequence, tolerance=0.0, max_steps=180)
    found = IntegratedGradients(forward).attribute(
        tuple(v[None] for v in vectors), bases, method="riemann_middle", n_steps=180, internal_batch_size=1
    )
    residues = found[1][0].sum(dim=1).numpy()[: len(sequence)]
    np.testing.assert_allclose(ours.residues, residues, atol=1e-5)
    from medgraph.data.smiles_atoms import atom_shares

    by_letter = found[0][0].sum(dim=1).numpy()[: len(smiles)]
    np.testing.assert_allclose(ours.atoms, atom_shares(smiles).T @ by_letter, atol=1e-5)
    assert np.abs(residues).max() > 0.1


def test_exact_where_it_can_be_by_hand() -> None:
    """f = x y: the path from 0 shares it half and half; what a tensor does not touch has none."""
    x, y, z = torch.tensor([[3.0]]), torch.tensor([[2.0]]), torch.ones(2, 2)
    shares = integrated_gradients(
        lambda t: (t[0] * t[1]).sum((1, 2)), [x, y, z], [torch.zeros_like(t) for t in (x, y, z)]
    )
    assert [float(share.sum()) for share in shares] == pytest.approx([3.0, 3.0, 0.0])
    kink = integrated_gradients(lambda t: torch.relu(t[0] - 0.7).sum((1, 2)), [torch.ones(1, 1)], [torch.zeros(1, 1)])
    assert float(kink[0]) == pytest.approx(0.3, abs=0.002)


@pytest.mark.parametrize("ids", [True, False])
def test_fingerprints_give_their_shares_to_the_atoms_of_their_environments(ids: bool) -> None:
    split = affinities().split(seed=0)
    head = FingerprintMLP(
        ids=ids, epochs=30, batch_size=64, block=8, device="cpu", tower=64, hidden=(64,), vector_size=16, dropout=0.1
    ).fit(split.train, split.valid, progress=False)
    group = Chem.MolFromSmarts(GROUP)
    drugs = [smiles for smiles in split.train.smiles if Chem.MolFromSmiles(smiles).HasSubstructMatch(group)]
    sequences = [sequence for sequence in split.train.sequences if MOTIF in sequence]
    for smiles, sequence in zip(drugs[:3], sequences[:3], strict=True):
        found = head.explain(smiles, sequence)
        assert abs(found.residual) < 0.01
        assert (found.other != 0) == ids
        assert found.value == pytest.approx(head.predict(smiles=smiles, sequences=sequence).value[0], abs=1e-3)
        planted = set(Chem.MolFromSmiles(smiles).GetSubstructMatch(group))
        assert set(np.argsort(-found.atoms)[:3].tolist()) <= planted
        place = sequence.index(MOTIF)
        window = max(found.windows(len(MOTIF) + 2), key=lambda w: w.contribution)
        assert max(0, min(window.last, place + 4) - max(window.first - 1, place)) >= 2
    check = explain_interaction(head, drugs[:4], sequences[:4], draws=20).deletions[0]
    assert check.more.low > 0
    nothing = read_pair(head, drugs[0], sequences[0])
    atoms = Chem.MolFromSmiles(drugs[0]).GetNumAtoms()
    whole, bare = nothing.without([np.ones(atoms), np.zeros(atoms)], [])
    assert whole == pytest.approx(head.predict(smiles=drugs[0], sequences=sequences[0]).value[0], abs=1e-3)
    assert bare < whole - 0.5


@pytest.mark.parametrize("name", ["DeepDTA", "PairLSTM", "KnowledgeDTA", "members", "binary", "short"])
def test_the_parts_add_up_to_what_the_head_says(name: str) -> None:
    data = affinities(drugs=16, targets=6, kind="binary" if name == "binary" else "regression")
    small = {"vector_size": 8, "epochs": 2, "device": "cpu", "hidden": (16,), "batch_size": 32, "learning_rate": 0.02}
    if name == "PairLSTM":
        head: InteractionHead = PairLSTM(hidden_size=8, stride=3, **small)  # type: ignore[arg-type]
    elif name == "KnowledgeDTA":  # atoms, bonds and graph vectors
        pytest.importorskip("torch_geometric")
        ids = [str(i) for i in (*data.drugs["id"].to_pylist(), *data.targets["id"].to_pylist())]
        vectors = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32)
        graph = Embedding(ids, ["A"] * len(ids), ids, vectors)
        head = KnowledgeDTA(embedding=graph, structure="graph", ids=True, tower=8, **small)  # type: ignore[arg-type]
    else:
        windows = {"filters": (4, 8), "drug_windows": (3, 3), "target_windows": (3, 3)}
        more = {"members": {"members": 2}, "short": {"max_smiles": 6, "max_sequence": 20}}.get(name, {})
        head = DeepDTA(**small, **windows, **more)  # type: ignore[arg-type]
    head.fit(data, progress=False)
    found = head.explain(data.smiles[0], data.sequences[1])
    assert abs(found.residual) < 0.005
    assert abs(found.atoms).max() > 0
    assert abs(found.residues).max() > 0
    said = head.predict(smiles=data.smiles[0], sequences=data.sequences[1]).value[0]
    if name == "binary":
        assert found.unit == "log-odds"
    else:
        assert found.value == pytest.approx(said, abs=1e-4)
    assert (found.other != 0) == (name == "KnowledgeDTA")
    if name == "short":
        letters, residues = len(data.smiles[0]) - 6, len(data.sequences[1]) - 20
        assert (found.unseen_letters, found.unseen_residues) == (letters, residues)
        assert not found.residues[20:].any()
    by_id = head.explain(drug=str(data.drugs["id"][0]), target=str(data.targets["id"][1]))
    np.testing.assert_allclose(by_id.atoms, found.atoms)
    assert (by_id.drug, by_id.target) == ("D0", "T1")


def test_it_names_the_planted_atoms_and_residues(head: InteractionHead, binders: tuple[list[str], list[str]]) -> None:
    group = Chem.MolFromSmarts(GROUP)
    for smiles, sequence in zip(binders[0][:3], binders[1][:3], strict=True):
        found = head.explain(smiles, sequence)
        planted = set(Chem.MolFromSmiles(smiles).GetSubstructMatch(group))
        assert set(np.argsort(-found.atoms)[:2].tolist()) <= planted
        place = sequence.index(MOTIF)
        window = max(found.windows(len(MOTIF) + 2), key=lambda w: w.contribution)
        assert max(0, min(window.last, place + 4) - max(window.first - 1, place)) >= 3  # three of the motif's four


def test_taking_out_what_counts_moves_the_prediction(
    head: InteractionHead, binders: tuple[list[str], list[str]]
) -> None:
    found = explain_interaction(head, binders[0][:4], binders[1][:4], draws=20, seed=1)
    assert [d.part for d in found.deletions] == ["atoms", "residues"]
    for d in found.deletions:
        assert (d.pairs, d.draws, d.share) == (4, 20, 0.1)
        assert d.more.low > 0
        assert d.more.value == pytest.approx(d.moved - d.moved_random)
        assert d.beaten > 0.8
    again = explain_interaction(head, binders[0][:4], binders[1][:4], draws=20, seed=1)
    assert found.deletions == again.deletions
    assert "10% of the residues" in str(found)
    assert found.to_pandas()["part"].tolist() == ["atoms", "residues"]
    assert len(found.to_dict()["explanations"]) == 4


def test_what_is_taken_out_is_what_the_head_says_of_masked_vectors(
    head: InteractionHead, binders: tuple[list[str], list[str]]
) -> None:
    smiles, sequence = binders[0][0], binders[1][0]
    pair = read_pair(head, smiles, sequence)
    kept = np.ones(len(sequence))
    kept[[3, 9]] = 0
    state = head._fitted()
    (network,) = state.networks
    with torch.no_grad():
        ((_, drug, target),) = pair.members
        vectors = network.targets.embedding(target.inputs[0].long())
        vectors[[3, 9]] = 0
        raw = network.join(network.drugs(*drug.inputs), network.targets(*target.inputs, vectors=vectors))
    by_hand = float(raw) * state.scale.std + state.scale.mean
    assert pair.without([], [kept])[0] == pytest.approx(by_hand, abs=1e-5)
    assert pair.without([np.ones(Chem.MolFromSmiles(smiles).GetNumAtoms())], [])[0] == pytest.approx(
        head.predict(smiles=smiles, sequences=sequence).value[0], abs=1e-5
    )


def test_one_pair_has_an_interval_over_draws(head: InteractionHead, binders: tuple[list[str], list[str]]) -> None:
    found = explain_interaction(head, binders[0][0], binders[1][0], draws=40)
    deletion = found.deletions[1]
    assert isinstance(deletion, Deletion)
    assert deletion.more.low <= deletion.more.value <= deletion.more.high <= deletion.moved + 1e-9
    assert "by nothing" in str(found)


def test_refuses(head: InteractionHead, binders: tuple[list[str], list[str]]) -> None:
    smiles, sequence = binders[0][0], binders[1][0]
    with pytest.raises(SchemaError, match="share=1"):
        explain_interaction(head, smiles, sequence, share=1.0)
    with pytest.raises(SchemaError, match="one or equally many"):
        explain_interaction(head, [smiles] * 2, [sequence] * 3)
    with pytest.raises(SchemaError, match="one or equally many"):
        explain_interaction(head, [], [sequence])
    with pytest.raises(UnknownIdentifierError, match="'T77'"):
        explain_interaction(head, smiles, targets="T77")
    with pytest.raises(SchemaError, match="RDKit"):
        head.explain("C(", sequence)
    with pytest.raises(NotFittedError):
        explain_interaction(DeepDTA(), smiles, sequence)
