"""Features: the same tensors after they were saved, an entity's part untouched by the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medgraph.data.tokens import PROTEIN_TOKENS, SMILES_ATOMS
from medgraph.errors import ArtefactError, SchemaError
from medgraph.heads.interaction.features import Entities, Features, IdFeatures, JoinedFeatures
from medgraph.heads.interaction.pair_network import JoinedEncoder
from medgraph.heads.interaction.token_features import TokenFeatures

CPU = torch.device("cpu")
SOME = Entities(("a", "b", "", "d"), ("MKWV", "ACDEFGHIK", "M", "mB*"))
ROWS = np.array([1, 3, 0])


@pytest.mark.parametrize(
    "features",
    [
        TokenFeatures(PROTEIN_TOKENS, 6, 3),
        TokenFeatures(SMILES_ATOMS, None, 1, 4),
        IdFeatures(("b", "a")),
        JoinedFeatures((TokenFeatures(PROTEIN_TOKENS), IdFeatures(("d",)))),
    ],
    ids=lambda features: type(features).__name__,
)
def test_saved_and_restored(features: Features) -> None:
    again = Features.named(type(features).__name__).restore(features.saved())
    before, after = (one.of(SOME) for one in (features, again))
    assert len(before) == 4
    assert before.notes == after.notes
    assert len(before.tensors(ROWS, CPU)) == features.size
    for a, b in zip(before.tensors(ROWS, CPU), after.tensors(ROWS, CPU), strict=True):
        assert torch.equal(a, b)


def test_tokens_are_the_texts_end_to_end() -> None:
    encoded = TokenFeatures(PROTEIN_TOKENS, 6, 3).of(SOME)
    tokens, lengths = encoded.tensors(np.array([2, 0, 1]), CPU)
    assert lengths.tolist() == [3, 4, 6]
    assert PROTEIN_TOKENS.decode(tokens[3:7].tolist()) == "MKWV"
    assert tokens[:3].tolist() == [PROTEIN_TOKENS.encode(["M"]).flat[0], 0, 0]
    assert encoded.notes == ("1 of 4 texts cut to 6 tokens", "2 of 14 tokens are not in the alphabet")
    tokens, lengths = TokenFeatures(PROTEIN_TOKENS, multiple=4).of(SOME).tensors(np.array([0, 1]), CPU)
    assert lengths.tolist() == [4, 12]
    assert tokens[-3:].tolist() == [0, 0, 0]


def test_ids_that_were_not_trained_on_are_one() -> None:
    features = IdFeatures.fitted(SOME, np.array([3, 0, 0, 2]))
    assert features.ids == ("a", "d")
    assert features.of(SOME).tensors(np.arange(4), CPU)[0].tolist() == [1, 0, 0, 2]


def test_joined_encoders_take_their_own_tensors() -> None:
    features = JoinedFeatures((IdFeatures(("a",)), TokenFeatures(PROTEIN_TOKENS)))
    inputs = features.of(SOME).tensors(ROWS, CPU)

    class Lengths(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return lengths[:, None].float()

    encoder = JoinedEncoder([torch.nn.Embedding(2, 3), Lengths()], [part.size for part in features.parts])
    found = encoder(*inputs)
    assert found.shape == (3, 4)
    assert found[:, 3].tolist() == [9, 3, 4]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(SchemaError, match="2 ids and 1 texts"):
        Entities(("a", "b"), ("M",))
    with pytest.raises(ArtefactError, match="no known kind"):
        Features.named("Nothing")
