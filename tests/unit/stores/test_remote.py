"""PyG's loaders over a store: the tensors they get are the graph's, whichever store holds it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import save_file

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.stores import open_store
from medgraph.stores.base import GraphStore
from medgraph.stores.remote import link_loader, neighbour_loader, neighbour_sampler, remote_backend

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # PyTorch Geometric's own use of torch.jit
    geometric = pytest.importorskip("torch_geometric")
    from torch_geometric.transforms import ToUndirected

TREATS = EdgeType("Compound", "treats", "Disease")
INTERACTS = EdgeType("Gene", "interacts", "Gene")
TARGETS = EdgeType("Compound", "targets", "Gene")
SIZES = {"Compound": 30, "Disease": 12, "Gene": 25}


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    rng = np.random.default_rng(0)
    nodes = {
        name: pa.table(
            {
                "id": [f"{name}:{i}" for i in range(size)],
                "name": [f"{name} {i}" for i in range(size)],
                "mass": rng.normal(size=size),
                "year": pa.array(rng.integers(1900, 2020, size), mask=rng.random(size) < 0.3),
            }
        )
        for name, size in SIZES.items()
    }
    edges = {}
    for edge_type in (TREATS, INTERACTS, TARGETS):
        pairs = np.argwhere(rng.random((SIZES[edge_type.source], SIZES[edge_type.target])) < 0.2)
        if edge_type == INTERACTS:
            pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
        edges[edge_type] = pa.table({"source": pairs[:, 0], "target": pairs[:, 1]})
    return KnowledgeGraph(nodes, edges, frozenset({INTERACTS}))


@pytest.fixture(scope="module", params=["memory", "folder", pytest.param("server", marks=pytest.mark.neo4j)])
def source(
    request: pytest.FixtureRequest, graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KnowledgeGraph | GraphStore]:
    if request.param == "memory":
        yield graph
        return
    server = request.param == "server"
    address = request.getfixturevalue("emptied_neo4j") if server else tmp_path_factory.mktemp("store") / "graph"
    with open_store(address) as store:
        store.write(graph)
        yield store


def test_edges_are_those_of_pyg_made_undirected(source: KnowledgeGraph | GraphStore, graph: KnowledgeGraph) -> None:
    _, edges = remote_backend(source)
    data = ToUndirected(merge=True)(graph.to_pyg())
    assert {attr.edge_type for attr in edges.get_all_edge_attrs()} == set(data.edge_types)
    row, col, _ = edges.coo()
    for edge_type in data.edge_types:
        expected = sorted(map(tuple, data[edge_type].edge_index.T.tolist()))
        assert sorted(zip(row[edge_type].tolist(), col[edge_type].tolist(), strict=True)) == expected
        own, ends = edges.get_edge_index(edge_type, "coo")
        assert torch.equal(own, row[edge_type])
        assert torch.equal(ends, col[edge_type])
    row, col, perm = edges.csc()
    for edge_type in data.edge_types:
        assert perm[edge_type] is None
        assert col[edge_type].numel() == SIZES[edge_type[2]] + 1
        assert int(col[edge_type][-1]) == row[edge_type].numel() == data[edge_type].edge_index.shape[1]
    assert set(edges.csr()[0]) == set(data.edge_types)
    with pytest.raises(KeyError):
        edges.get_edge_index(("Compound", "cures", "Disease"), "csc")
    with pytest.raises(SchemaError, match=r"store\.write"):
        edges.put_edge_index((row, col), tuple(TREATS), "csc")


def test_features_are_fetched_by_rows(
    source: KnowledgeGraph | GraphStore, graph: KnowledgeGraph, tmp_path: Path
) -> None:
    matrix = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    save_file({"vectors": matrix}, tmp_path / "d.safetensors")
    np.save(tmp_path / "d.npy", matrix)
    index = torch.tensor([5, 0, 5])
    for given in (matrix, tmp_path / "d.safetensors", str(tmp_path / "d.npy")):
        features, _ = remote_backend(source, {"Disease": given, "Compound": ["mass", "year"]})
        attrs = {attr.group_name: attr.attr_name for attr in features.get_all_tensor_attrs()}
        assert attrs == {"Compound": "x", "Disease": "x", "Gene": "row"}
        np.testing.assert_array_equal(features.get_tensor("Disease", "x", index), matrix[[5, 0, 5]])
        np.testing.assert_array_equal(features["Disease", "x", None], matrix)
        np.testing.assert_array_equal(features["Disease", "x", 2:4], matrix[2:4])
        assert features.get_tensor_size("Disease", "x") == (12, 4)
    columns = graph.nodes["Compound"].select(["mass", "year"]).to_pandas().to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(features.get_tensor("Compound", "x", None), columns)
    assert np.isnan(columns).any()
    assert features.get_tensor("Gene", "row", index).tolist() == [5, 0, 5]
    assert features.get_tensor_size("Gene", "row") == (25,)
    assert features.get_tensor_size("Gene", "x") is None
    with pytest.raises(SchemaError, match="read only"):
        features["Gene", "row", None] = index


def test_a_batch_holds_its_seeds_their_neighbours_and_their_features(
    source: KnowledgeGraph | GraphStore, graph: KnowledgeGraph
) -> None:
    matrix = np.arange(12.0, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)
    loader = neighbour_loader(source, "Disease", (3, 2), batch_size=5, features={"Disease": matrix}, seed=1)
    data = ToUndirected(merge=True)(graph.to_pyg())
    edges = {t: set(map(tuple, data[t].edge_index.T.tolist())) for t in data.edge_types}
    seen = []
    for batch in loader:
        size = batch["Disease"].batch_size
        seen += batch["Disease"].n_id[:size].tolist()
        torch.testing.assert_close(batch["Disease"].x[:, 0], batch["Disease"].n_id.float())
        assert torch.equal(batch["Gene"].row, batch["Gene"].n_id)
        batch.validate()
        for edge_type in batch.edge_types:
            row, col = batch[edge_type].edge_index
            pairs = zip(batch[edge_type[0]].n_id[row].tolist(), batch[edge_type[2]].n_id[col].tolist(), strict=True)
            assert set(pairs) <= edges[edge_type]
            assert len(batch[edge_type].e_id.unique()) == row.numel()
        assert np.bincount(batch[TREATS].edge_index[1], minlength=size)[:size].max() <= 3
    assert sorted(seen) == list(range(12))


def test_every_store_gives_the_same_batches_and_every_epoch_others(
    source: KnowledgeGraph | GraphStore, graph: KnowledgeGraph
) -> None:
    loaders = [neighbour_loader(one, "Gene", (2, 2), batch_size=10, seed=3) for one in (source, graph)]
    epochs = [[[batch for batch in loader] for _ in range(2)] for loader in loaders]  # noqa: C416
    for mine, other in zip(*(one[0] + one[1] for one in epochs), strict=True):
        for edge_type in other.edge_types:
            assert torch.equal(mine[edge_type].edge_index, other[edge_type].edge_index)
            assert torch.equal(mine[edge_type].e_id, other[edge_type].e_id)
        for node_type in SIZES:
            assert torch.equal(mine[node_type].n_id, other[node_type].n_id)
    assert epochs[0][0][0]["Gene"].n_id.tolist() != epochs[0][1][0]["Gene"].n_id.tolist()


@pytest.mark.parametrize("pairs", [None, "given"])
def test_links_come_with_random_pairs(
    source: KnowledgeGraph | GraphStore, graph: KnowledgeGraph, pairs: str | None
) -> None:
    wanted = graph.edge_index(TREATS)[:, :20]
    torch.manual_seed(0)
    loader = link_loader(source, TREATS, (2,), None if pairs is None else wanted, batch_size=8, seed=1)
    found = []
    for batch in loader:
        index, label = batch[TREATS].edge_label_index, batch[TREATS].edge_label
        assert label.sum() * 2 == label.numel()
        ends = batch["Compound"].n_id[index[0]], batch["Disease"].n_id[index[1]]
        found += [pair for pair, one in zip(zip(*(e.tolist() for e in ends), strict=True), label, strict=True) if one]
    expected = graph.edge_index(TREATS) if pairs is None else wanted
    assert sorted(found) == sorted(map(tuple, expected.T.tolist()))


def test_pyg_s_output_has_the_lists_its_models_trim_by(graph: KnowledgeGraph) -> None:
    from torch_geometric.sampler import HeteroSamplerOutput, NodeSamplerInput

    sampler = neighbour_sampler(graph, (2, 2))
    out = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.tensor([3, 1]), input_type="Gene"))
    assert isinstance(out, HeteroSamplerOutput)
    for name, node in out.node.items():
        assert sum(out.num_sampled_nodes[name]) == node.numel()
        assert len(out.num_sampled_nodes[name]) == 3
    for edge_type, row in out.row.items():
        assert sum(out.num_sampled_edges[edge_type]) == row.numel() == out.edge[edge_type].numel()
        assert len(out.num_sampled_edges[edge_type]) == 2


def test_workers_share_a_folder(graph: KnowledgeGraph, tmp_path: Path) -> None:
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
        loader = neighbour_loader(store, "Gene", (2,), batch_size=10, num_workers=1, seed=3)
        assert sorted(i for b in loader for i in b["Gene"].n_id[: b["Gene"].batch_size].tolist()) == list(range(25))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Disease": np.zeros((3, 2))}, "expected one row for each of 12"),
        ({"Drug": np.zeros((3, 2))}, "not a node type"),
        ({"Disease": ["weight"]}, "no column 'weight'"),
        ({"Disease": ["name"]}, "expected numbers"),
        ({"Disease": "nowhere.npy"}, "is no .npy"),
        ({"Disease": Path("nowhere.safetensors")}, "is no .npy"),
    ],
)
def test_features_that_do_not_fit_are_refused(graph: KnowledgeGraph, given: dict, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        remote_backend(graph, given)


def test_seeds_and_sources_that_do_not_fit_are_refused(graph: KnowledgeGraph) -> None:
    with pytest.raises(SchemaError, match="12 rows"):
        neighbour_loader(graph, "Disease", (2,), rows=np.array([12]))
    with pytest.raises(SchemaError, match="expected for each hop"):
        neighbour_loader(graph, "Disease", (-3,))
    with pytest.raises(SchemaError, match="cannot be read by rows"):
        remote_backend("graph")
