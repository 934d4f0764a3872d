"""Walks against NetworkX, against probabilities counted by hand, and against themselves on other thread counts."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
import torch

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.adjacency import Adjacency, Draws, PairSet, pick
from medgraph.embeddings.walks import ENDED, MetapathWalks, Node2VecWalks, RelationBalancedWalks, UniformWalks
from medgraph.errors import SchemaError

TREATS = EdgeType("Compound", "treats", "Disease")
BINDS = EdgeType("Compound", "binds", "Gene")
CAUSES = EdgeType("Gene", "causes", "Disease")
INTERACTS = EdgeType("Gene", "interacts", "Gene")


def triples(edges) -> torch.Tensor:
    return torch.tensor([(u, 0, v) for u, v in edges], dtype=torch.int64).reshape(-1, 3)


@pytest.fixture(scope="module")
def karate() -> nx.Graph:
    return nx.karate_club_graph()


@pytest.fixture(scope="module")
def drugs() -> KnowledgeGraph:
    """Compound c0 treats d0 and binds g0, g1, g2; c1 treats d1; g0 causes d0; g0-g1 interact; g3 is isolated."""

    def nodes(letter: str, n: int) -> pa.Table:
        return pa.table({"id": [f"{letter}:{i}" for i in range(n)], "name": [f"{letter}{i}" for i in range(n)]})

    def edges(pairs) -> pa.Table:
        source, target = zip(*pairs, strict=True)
        return pa.table({"source": source, "target": target})

    return KnowledgeGraph(
        {"Compound": nodes("C", 2), "Disease": nodes("D", 2), "Gene": nodes("G", 4)},
        {
            TREATS: edges([(0, 0), (1, 1)]),
            BINDS: edges([(0, 0), (0, 1), (0, 2)]),
            CAUSES: edges([(0, 0)]),
            INTERACTS: edges([(0, 1)]),
        },
        symmetric=frozenset({INTERACTS}),
    )


def transitions(walks: torch.Tensor, n: int) -> np.ndarray:
    counts = np.zeros((n, n))
    np.add.at(counts, (walks[:, :-1].ravel().numpy(), walks[:, 1:].ravel().numpy()), 1)
    return counts


def test_uniform_steps_have_networkx_transition_probabilities_and_stationary_distribution(karate):
    n = karate.number_of_nodes()
    walks = UniformWalks(walks_per_node=600, length=40).on(Adjacency.from_triples(triples(karate.edges), n)).sample()
    expected = nx.to_numpy_array(karate, weight=None)
    expected /= expected.sum(1, keepdims=True)
    counts = transitions(walks, n)
    steps = counts.sum(1, keepdims=True)
    error = np.sqrt(expected * (1 - expected) / steps)
    assert (np.abs(counts / steps - expected) <= 5 * error).all()
    degrees = np.array([degree for _, degree in karate.degree()])
    visits = np.bincount(walks[:, 20:].ravel(), minlength=n) / walks[:, 20:].numel()
    np.testing.assert_allclose(visits, degrees / degrees.sum(), rtol=0.05)


@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (4.0, 0.25), (1.0, 2.0), (3.0, 3.0)])
def test_node2vec_steps_have_the_probabilities_of_the_paper(p, q):
    graph = nx.lollipop_graph(5, 4)
    graph.add_edges_from([(0, 7), (2, 6)])
    n = graph.number_of_nodes()
    sampler = Node2VecWalks(walks_per_node=2000, length=12, p=p, q=q).on(
        Adjacency.from_triples(triples(graph.edges), n), seed=3
    )
    walks = sampler.sample().numpy()
    counts = np.zeros((n, n, n))
    np.add.at(counts, (walks[:, :-2].ravel(), walks[:, 1:-1].ravel(), walks[:, 2:].ravel()), 1)
    for before, here in itertools.permutations(range(n), 2):
        if not graph.has_edge(before, here):
            assert counts[before, here].sum() == 0
            continue
        weights = np.array(
            [
                0.0
                if not graph.has_edge(here, there)
                else 1 / p if there == before else 1.0 if graph.has_edge(before, there) else 1 / q
                for there in range(n)
            ]
        )  # fmt: skip
        expected, steps = weights / weights.sum(), counts[before, here].sum()
        error = np.sqrt(expected * (1 - expected) / steps)
        assert (np.abs(counts[before, here] / steps - expected) <= 5 * error + 1e-12).all()


def test_relation_balanced_steps_choose_the_edge_type_first(drugs):
    walks = RelationBalancedWalks(walks_per_node=30_000, length=2).on(drugs).sample()
    after = walks[walks[:, 0] == drugs.global_index("C:0"), 1]
    share = {id_: float((after == drugs.global_index(id_)).double().mean()) for id_ in ("D:0", "G:0", "G:1", "G:2")}
    assert share == pytest.approx({"D:0": 1 / 2, "G:0": 1 / 6, "G:1": 1 / 6, "G:2": 1 / 6}, abs=0.015)


def test_metapath_walks_follow_their_edge_types_in_turn_and_stop_where_there_is_none(drugs):
    walks = MetapathWalks(walks_per_node=200, length=7, metapaths=((BINDS, CAUSES, TREATS), (TREATS, TREATS))).on(drugs)
    sample = walks.sample()
    assert len(walks) == 200 * 4
    paths = {tuple(drugs.ids[i] for i in row if i != ENDED) for row in sample.tolist()}
    around = ("C:0", "G:0", "D:0", "C:0")
    assert paths == {
        ("C:0", "D:0", "C:0", "D:0", "C:0", "D:0", "C:0"),
        ("C:1", "D:1", "C:1", "D:1", "C:1", "D:1", "C:1"),
        ("C:1",),  # binds nothing
        ("C:0", "G:1"),
        ("C:0", "G:2"),  # cause nothing
        (*around, "G:1"),
        (*around, "G:2"),
        (*around, "G:0", "D:0", "C:0"),
    }


@pytest.mark.parametrize("walks", [UniformWalks(2, 5), Node2VecWalks(2, 5, p=0.5), RelationBalancedWalks(2, 5)])
def test_an_isolated_node_gives_walks_of_length_one(drugs, walks):
    alone = drugs.global_index("G:3")
    rows = [row.tolist() for row in walks.on(drugs) if row[0] == alone]
    assert rows == [[alone], [alone]]


@pytest.mark.parametrize(
    "walks", [UniformWalks(5, 20), Node2VecWalks(5, 20, p=0.5, q=2.0), RelationBalancedWalks(5, 20)]
)
def test_a_walk_depends_on_seed_and_number_alone(karate, walks):
    adjacency = Adjacency.from_triples(triples(karate.edges), karate.number_of_nodes())
    whole = walks.on(adjacency, seed=7).sample()
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            parts = torch.cat(list(walks.on(adjacency, seed=7).batches(17)))
            torch.testing.assert_close(parts, whole, rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)
    assert (walks.on(adjacency, seed=8).sample() != whole).any()
    starts = np.bincount(whole[:, 0], minlength=karate.number_of_nodes())
    assert (starts == 5).all()


def test_walks_do_not_depend_on_the_order_or_direction_of_edges(karate):
    edges = triples(karate.edges)
    n = karate.number_of_nodes()
    turned = edges.flip(0).clone()
    turned[::2] = turned[::2].flip(1)
    walks = UniformWalks(3, 10)
    torch.testing.assert_close(
        walks.on(Adjacency.from_triples(edges, n)).sample(), walks.on(Adjacency.from_triples(turned, n)).sample()
    )


def test_a_pair_set_knows_exactly_the_edges(karate):
    n = karate.number_of_nodes()
    joined = PairSet(Adjacency.from_triples(triples(karate.edges), n))
    rows, columns = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    found = joined(rows.ravel(), columns.ravel()).reshape(n, n)
    assert (found.numpy() == (nx.to_numpy_array(karate, weight=None) > 0)).all()


def test_draws_are_splitmix64():
    """The first outputs of the reference implementation (Vigna) for its state 1234567."""
    draws = Draws(0, torch.arange(1))
    draws._state = torch.tensor([1234567])
    for counter, expected in enumerate((6457827717110365317, 3203168211198807973, 9817491932198370423)):
        high, low = draws(counter)
        assert (int(high), int(low)) == (expected >> 33, expected & (2**31 - 1))


def test_pick_is_uniform():
    high, low = Draws(5, torch.arange(300_000))(9)
    for bits in (high, low):
        share = torch.bincount(pick(bits, torch.full_like(bits, 7))) / bits.numel()
        assert share.numel() == 7
        assert (share - 1 / 7).abs().max() < 5 * (1 / 7 / 300_000) ** 0.5


def test_a_self_loop_is_one_neighbour_and_parallel_edges_are_two():
    adjacency = Adjacency.from_triples(torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 1]]), 3)
    assert adjacency.degrees.tolist() == [3, 2, 0]
    assert adjacency.neighbours.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: UniformWalks(walks_per_node=0),
        lambda: UniformWalks(length=0),
        lambda: Node2VecWalks(p=0.0),
        lambda: MetapathWalks(),
        lambda: MetapathWalks(metapaths=((TREATS,),)),
        lambda: MetapathWalks(metapaths=((BINDS, TREATS),)),
        lambda: Adjacency.from_triples(torch.tensor([[0, 0, 5]]), 3),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(SchemaError):
        make()


def test_a_metapath_over_an_unknown_edge_type_is_refused(drugs):
    unknown = EdgeType("Gene", "regulates", "Gene")
    with pytest.raises(SchemaError, match="regulates"):
        MetapathWalks(metapaths=((unknown,),)).on(drugs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_walks_are_the_same_on_a_gpu(karate):
    edges, n = triples(karate.edges), karate.number_of_nodes()
    for walks in (UniformWalks(3, 10), Node2VecWalks(3, 10, p=0.5), RelationBalancedWalks(3, 10)):
        on_gpu = walks.on(Adjacency.from_triples(edges.cuda(), n)).sample()
        torch.testing.assert_close(on_gpu.cpu(), walks.on(Adjacency.from_triples(edges, n)).sample())
