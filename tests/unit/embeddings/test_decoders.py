"""The decoders on cases worked by hand, and on what each can and cannot express."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from medgraph.embeddings.decoders import Bilinear, ComplEx, Decoder, DistMult, InnerProduct
from medgraph.errors import SchemaError

S, T = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([5.0, -1.0, 0.5, 2.0])


@pytest.mark.parametrize(
    ("decoder", "relation", "score"),
    [
        (InnerProduct(), torch.empty(0), 5 - 2 + 1.5 + 8),
        (DistMult(), torch.tensor([2.0, 0.0, -1.0, 0.5]), 10 + 0 - 1.5 + 4),
        # s = (1 + 3i, 2 + 4i), r = (1 + 2i, -1), t = (5 + 0.5i, -1 + 2i):
        # (1 + 3i)(1 + 2i)(5 - 0.5i) = (-5 + 5i)(5 - 0.5i), real part -25 + 2.5; -(2 + 4i)(-1 - 2i), real part -6
        (ComplEx(), torch.tensor([1.0, -1.0, 2.0, 0.0]), -22.5 - 6),
        # s M = (1 * 1 + 2 * 3, 1 * 2, 0, 0) for M with M[0, 0] = 1, M[1, 0] = 3, M[0, 1] = 2
        (Bilinear(), torch.tensor([[1.0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), 35 - 2),
    ],
    ids=lambda value: str(value) if isinstance(value, Decoder) else "",
)
def test_by_hand(decoder: Decoder, relation: torch.Tensor, score: float) -> None:
    assert decoder.score(S, relation, T).item() == pytest.approx(score)


def test_complex_is_complex_arithmetic() -> None:
    generator = torch.Generator().manual_seed(0)
    s, r, t = (torch.randn(7, 10, generator=generator) for _ in range(3))
    as_complex = [torch.complex(*v.chunk(2, dim=-1)) for v in (s, r, t)]
    expected = (as_complex[0] * as_complex[1] * as_complex[2].conj()).sum(-1).real
    torch.testing.assert_close(ComplEx().score(s, r, t), expected)


def test_which_scores_are_symmetric() -> None:
    generator = torch.Generator().manual_seed(0)
    for decoder, symmetric in ((InnerProduct(), True), (DistMult(), True), (ComplEx(), False), (Bilinear(), False)):
        relation = torch.randn(*decoder.shape(4), generator=generator)
        there, back = decoder.score(S, relation, T), decoder.score(T, relation, S)
        assert torch.allclose(there, back) is symmetric
    real = torch.cat([torch.randn(2, generator=generator), torch.zeros(2)])
    imaginary = real.roll(2)
    assert ComplEx().score(S, real, T).item() == pytest.approx(ComplEx().score(T, real, S).item())
    assert ComplEx().score(S, imaginary, T).item() == pytest.approx(-ComplEx().score(T, imaginary, S).item())


def test_distmult_is_a_diagonal_bilinear() -> None:
    relation = torch.tensor([2.0, 0.0, -1.0, 0.5])
    assert torch.equal(DistMult().score(S, relation, T), Bilinear().score(S, relation.diag(), T))


def test_complex_refuses_an_odd_size() -> None:
    with pytest.raises(SchemaError, match="even"):
        ComplEx().initial(2, 5)


def test_ridge_is_ridge_regression_on_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = (3 * torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (9, 7))
    links = (torch.rand(9, 7, generator=generator) < 0.3).double()
    relation = Bilinear().ridge(source, target, links, penalty=0.2)
    pairs = np.einsum("ia,jb->ijab", *(x / x.norm(dim=1).max() for x in (source, target))).reshape(63, 16)
    model = Ridge(alpha=0.2, fit_intercept=False).fit(pairs, links.flatten())
    scores = Bilinear().score_all(source, relation, target)
    np.testing.assert_allclose(scores.flatten(), model.predict(pairs), atol=1e-8)
