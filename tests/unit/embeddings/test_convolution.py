"""The convolution against PyTorch Geometric, dense algebra and numerical gradients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from medgraph.embeddings.convolution import Basis, BlockDiagonal, Diagonal, Full, RelationalConvolution, RelationWeights
from medgraph.embeddings.typed_edges import Normalisation, TypedEdges
from medgraph.errors import SchemaError

WEIGHTS: list[RelationWeights] = [Full(), Basis(2), BlockDiagonal(2), Diagonal()]
NODES = 30


def _triples(seed: int = 0) -> np.ndarray:
    """Type 0 from nodes 0-9 to 10-29, type 1 the other way, type 2 among 10-29, type 3 without edges."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, (sources, targets) in enumerate([((0, 10), (10, 30)), ((10, 30), (0, 10)), ((10, 30), (10, 30))]):
        pairs = np.unique(np.stack([rng.integers(*sources, 40), rng.integers(*targets, 40)], axis=1), axis=0)
        parts.append(np.insert(rng.permutation(pairs), 1, number, axis=1))
    return np.concatenate(parts).astype(np.int64)


def _dense(triples: np.ndarray, symmetric: frozenset[int], power: Normalisation) -> list[torch.Tensor]:
    """Every relation's (target, source) matrix, written the slow way."""
    forward, inverse = [], []
    for number in range(4):
        matrix = torch.zeros(NODES, NODES, dtype=torch.float64)
        for source, relation, target in triples.tolist():
            if relation == number:
                matrix[target, source] = 1
                if number in symmetric:
                    matrix[source, target] = 1
        forward.append(matrix)
        if number not in symmetric:
            inverse.append(matrix.T)
    return [
        m * m.sum(1, keepdim=True).clamp(min=1) ** -power.target * m.sum(0).clamp(min=1) ** -power.source
        for m in (*forward, *inverse)
    ]


@pytest.mark.parametrize("weights", WEIGHTS[:3], ids=str)
def test_same_numbers_as_pytorch_geometric(weights: RelationWeights) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch Geometric's own use of torch.jit
        nn = pytest.importorskip("torch_geometric.nn")
    bases = 2 if isinstance(weights, Basis) else None
    conv = nn.RGCNConv(8, 6, 8, num_bases=bases, num_blocks=2 if isinstance(weights, BlockDiagonal) else None)
    triples = _triples()
    ours = RelationalConvolution(8, 6, 8, weights, torch.Generator().manual_seed(0))
    with torch.no_grad():
        conv.weight.copy_(ours.relational["weight"])
        conv.root.copy_(ours.root)
        conv.bias.copy_(ours.bias.normal_())
        if isinstance(weights, Basis):
            conv.comp.copy_(ours.relational["coefficients"])
    source, relation, target = torch.from_numpy(triples).T
    index = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    x = torch.randn(NODES, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    theirs = conv(x, index, torch.cat([relation, relation + 4]))
    (theirs**2).sum().backward()
    expected_gradient, x.grad = x.grad, None
    result = ours(x, TypedEdges(triples, NODES, 4))
    (result**2).sum().backward()
    torch.testing.assert_close(result, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, expected_gradient, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.relational["weight"].grad, conv.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("power", [Normalisation(), Normalisation(0.5, 0.5), Normalisation(0, 0)], ids=str)
@pytest.mark.parametrize("symmetric", [frozenset(), frozenset({2})], ids=str)
def test_same_numbers_as_dense_matrices(power: Normalisation, symmetric: frozenset[int]) -> None:
    triples = _triples()
    triples[-1, 2] = triples[-1, 0]  # a loop counts once
    edges = TypedEdges(triples, NODES, 4, symmetric, power)
    matrices = _dense(triples, symmetric, power)
    assert len(edges) == len(matrices) == 8 - len(symmetric)
    layer = RelationalConvolution(5, 7, len(edges)).double()
    x = torch.randn(NODES, 5, dtype=torch.float64)
    expected = x @ layer.root + layer.bias
    for matrix, weight in zip(matrices, layer.relational["weight"], strict=True):
        expected = expected + matrix @ x @ weight
    torch.testing.assert_close(layer(x, edges), expected, rtol=1e-6, atol=1e-6)  # edge weights are single precision


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_gradients_are_the_numerical_ones(weights: RelationWeights) -> None:
    edges = TypedEdges(_triples(), NODES, 4, {2})
    layer = RelationalConvolution(4, 4, len(edges), weights).double()
    x = torch.randn(NODES, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def output(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, edges))

    assert torch.autograd.gradcheck(output, (x, *layer.parameters()))


def test_masked_edges_send_nothing_and_do_not_count() -> None:
    triples = _triples()
    keep = torch.rand(len(triples), generator=torch.Generator().manual_seed(3)) < 0.5
    power = Normalisation(0.5, 0.3)
    masked = TypedEdges(triples, NODES, 4, {2}, power).masked(keep)
    fewer = TypedEdges(triples[keep.numpy()], NODES, 4, {2}, power)
    layer = RelationalConvolution(4, 4, len(fewer)).double()
    x = torch.randn(NODES, 4, dtype=torch.float64, requires_grad=True)
    results = [layer(x, edges) for edges in (masked, fewer)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad((r**2).sum(), x)[0] for r in results))


def test_the_same_bits_for_any_thread_count() -> None:
    edges = TypedEdges(_triples(), NODES, 4)
    layer, x = RelationalConvolution(16, 16, len(edges)), torch.randn(NODES, 16)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(layer(x, edges))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_a_graph_without_edges() -> None:
    edges = TypedEdges(np.empty((0, 3), dtype=np.int64), 3, 1)
    layer, x = RelationalConvolution(2, 2, len(edges)), torch.randn(3, 2, requires_grad=True)
    torch.testing.assert_close(layer(x, edges), x @ layer.root)
    layer(x, edges).sum().backward()


@pytest.mark.parametrize(
    ("weights", "problem"),
    [(BlockDiagonal(3), "does not divide"), (Diagonal(), "as many outputs"), (Basis(0), "at least 1")],
    ids=str,
)
def test_weights_that_do_not_fit(weights: RelationWeights, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        RelationalConvolution(4, 8, 2, weights)


@pytest.mark.parametrize("bad", [[0, 0, 5], [-1, 0, 0], [0, 2, 0]])
def test_a_triple_out_of_range(bad: list[int]) -> None:
    with pytest.raises(SchemaError, match="triple 1"):
        TypedEdges(np.array([[0, 0, 1], bad], dtype=np.int64), 3, 2)
