"""The graph against NetworkX, PyG and hand-worked cases; its fingerprint against every way of saying the same."""

from __future__ import annotations

import copy
from collections import Counter

import networkx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgraph.data.graph import KnowledgeGraph, NodeRef, Provenance
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, UnknownIdentifierError

TREATS = EdgeType("Compound", "treats", "Disease")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")


def nodes(prefix: str, count: int, **columns: list[object]) -> pa.Table:
    ids = [f"{prefix}:{i}" for i in range(count)]
    return pa.table({"id": ids, "name": [f"{prefix} {i}" for i in range(count)], **columns})


def edges(pairs: list[tuple[int, int]], **columns: object) -> pa.Table:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return pa.table({"source": ends[:, 0], "target": ends[:, 1], **columns})


@pytest.fixture(name="graph")
def small_graph() -> KnowledgeGraph:
    return KnowledgeGraph(
        {"Disease": nodes("D", 4), "Compound": nodes("C", 3, smiles=["C", None, "O"])},
        {
            TREATS: edges([(0, 0), (0, 1), (2, 3)], pmids=[["1"], ["2", "3"], None]),
            RESEMBLES: edges([(1, 0), (2, 3)]),
        },
        symmetric=frozenset({RESEMBLES}),
        provenance=(Provenance("test", "1"),),
    )


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    sizes = {"Compound": draw(st.integers(1, 5)), "Disease": draw(st.integers(1, 5))}

    def pairs(source: str, target: str) -> list[tuple[int, int]]:
        pair = st.tuples(st.integers(0, sizes[source] - 1), st.integers(0, sizes[target] - 1))
        return draw(st.lists(pair, max_size=12))

    treats, resembles = pairs("Compound", "Disease"), pairs("Disease", "Disease")
    weights = draw(st.lists(st.sampled_from([None, 0.5, 1.0]), min_size=len(treats), max_size=len(treats)))
    return KnowledgeGraph(
        {kind: nodes(kind[0], size) for kind, size in sizes.items()},
        {TREATS: edges(treats, weight=pa.array(weights, pa.float64())), RESEMBLES: edges(resembles)},
        symmetric=frozenset({RESEMBLES}),
    )


def shuffled(graph: KnowledgeGraph, seed: int) -> KnowledgeGraph:
    """The same content: other row numbers, row orders, column orders, dictionary order, symmetric edges turned."""
    rng = np.random.default_rng(seed)
    tables, new_row = {}, {}
    for kind in rng.permutation(list(graph.nodes)).tolist():
        order = rng.permutation(graph.nodes[kind].num_rows)
        new_row[kind] = np.argsort(order)
        tables[kind] = graph.nodes[kind].take(pa.array(order)).select(graph.nodes[kind].column_names[::-1])
    moved = {}
    for edge_type in graph.edge_types[::-1]:
        order = rng.permutation(graph.edges[edge_type].num_rows)
        table = graph.edges[edge_type].take(pa.array(order))
        source = new_row[edge_type.source][table["source"].to_numpy()]
        target = new_row[edge_type.target][table["target"].to_numpy()]
        if edge_type in graph.symmetric:
            turn = rng.random(order.size) < 0.5
            source, target = np.where(turn, target, source), np.where(turn, source, target)
        rest = {name: table[name] for name in table.column_names if name not in {"source", "target"}}
        moved[edge_type] = pa.table({**rest, "target": target.astype(np.int64), "source": source.astype(np.int64)})
    return KnowledgeGraph(tables, moved, graph.symmetric)


class TestNumbering:
    def test_global_indices_follow_sorted_types(self, graph: KnowledgeGraph) -> None:
        assert graph.node_types == ("Compound", "Disease")
        assert graph.offsets == {"Compound": 0, "Disease": 3}
        assert graph.ids == ("C:0", "C:1", "C:2", "D:0", "D:1", "D:2", "D:3")
        assert graph.types[2:4] == ("Compound", "Disease")
        assert graph.global_index("D:1") == 4
        assert graph.locate("D:1") == NodeRef("Disease", 1)
        assert graph.name("D:1") == "D 1"
        assert "D:1" in graph
        assert "D:9" not in graph

    def test_triples_are_global(self, graph: KnowledgeGraph) -> None:
        assert graph.edge_types == (TREATS, RESEMBLES)
        assert graph.triples().tolist() == [[0, 0, 3], [0, 0, 4], [2, 0, 6], [4, 1, 3], [5, 1, 6]]

    def test_an_unknown_id_is_answered_with_the_nearest(self, graph: KnowledgeGraph) -> None:
        with pytest.raises(UnknownIdentifierError, match=r"'D:11' is not in this graph.*Nearest: D:1"):
            graph.global_index("D:11")

    def test_degrees_count_both_ends_of_symmetric_edges(self, graph: KnowledgeGraph) -> None:
        out, into = graph.degrees(TREATS)
        assert (out.tolist(), into.tolist()) == ([2, 0, 1], [1, 1, 0, 1])
        out, into = graph.degrees(RESEMBLES)
        assert out.tolist() == into.tolist() == [1, 1, 1, 1]

    def test_a_name_that_is_missing_is_the_id(self) -> None:
        graph = KnowledgeGraph({"Gene": pa.table({"id": ["G:1", "G:2"], "name": [None, "two"]})})
        assert graph.names == ("G:1", "two")


class TestRefusals:
    @pytest.mark.parametrize(
        ("table", "problem"),
        [
            (pa.table({"id": ["a"]}), "no column 'name'"),
            (pa.table({"id": ["a", "a"], "name": ["", ""]}), "'a' more than once"),
            (pa.table({"id": ["a", None], "name": ["", ""]}), "no id in row 1"),
            (pa.table({"id": ["a", ""], "name": ["", ""]}), "no id in row 1"),
            (pa.table({"id": [1], "name": [""]}), "expected strings"),
            (pa.table({"id": ["a"], "name": [""], "x": [{"y": 1}]}), "expected string, integer"),
        ],
    )
    def test_of_node_tables(self, table: pa.Table, problem: str) -> None:
        with pytest.raises(SchemaError, match=problem):
            KnowledgeGraph({"Gene": table})

    @pytest.mark.parametrize(
        ("table", "problem"),
        [
            (pa.table({"source": [0]}), "no column 'target'"),
            (edges([(0, 0), (0, 4)]), r"row 1: target 4 is no row of Disease, which has 4 rows"),
            (edges([(-1, 0)]), "row 0: source -1"),
            (pa.table({"source": [0.5], "target": [0.5]}), "int64"),
            (pa.table({"source": pa.array([None], pa.int64()), "target": [0]}), "no nulls"),
        ],
    )
    def test_of_edge_tables(self, table: pa.Table, problem: str) -> None:
        with pytest.raises(SchemaError, match=problem):
            KnowledgeGraph({"Compound": nodes("C", 3), "Disease": nodes("D", 4)}, {TREATS: table})

    def test_of_an_id_in_two_types(self) -> None:
        with pytest.raises(SchemaError, match="more than one node type"):
            KnowledgeGraph({"Gene": nodes("X", 2), "Protein": nodes("X", 1)})

    def test_nothing_can_be_changed(self, graph: KnowledgeGraph) -> None:
        with pytest.raises(AttributeError):
            graph.nodes = {}  # type: ignore[misc]
        with pytest.raises(TypeError):
            graph.nodes["Gene"] = nodes("G", 1)  # type: ignore[index]
        with pytest.raises(ValueError, match="read-only"):
            graph.edge_index(TREATS)[0, 0] = 1
        with pytest.raises(TypeError, match="not pickled"):
            copy.copy(graph)  # which asks for the state that a pickle would hold


class TestFingerprint:
    @settings(deadline=None, max_examples=60)
    @given(graphs(), st.integers(0, 2**32))
    def test_order_does_not_count(self, graph: KnowledgeGraph, seed: int) -> None:
        assert shuffled(graph, seed).fingerprint == graph.fingerprint

    def test_content_counts(self, graph: KnowledgeGraph) -> None:
        others = [
            graph.without({TREATS: np.array([[0], [0]])}),
            graph.without({RESEMBLES: None}),
            graph.subgraph(edge_types=[TREATS]),
            graph.subgraph(node_types=["Disease"]),
            KnowledgeGraph(graph.nodes, graph.edges),  # directed
            KnowledgeGraph({**graph.nodes, "Gene": nodes("G", 0)}, graph.edges, graph.symmetric),
            KnowledgeGraph({**graph.nodes, "Disease": nodes("E", 4)}, graph.edges, graph.symmetric),
            KnowledgeGraph(
                graph.nodes, {**graph.edges, TREATS: graph.edges[TREATS].drop_columns("pmids")}, graph.symmetric
            ),
        ]
        prints = [graph.fingerprint, *(other.fingerprint for other in others)]
        assert len(set(prints)) == len(prints)

    def test_provenance_and_types_of_storage_do_not_count(self, graph: KnowledgeGraph) -> None:
        tables = dict(graph.nodes)
        tables["Disease"] = tables["Disease"].set_column(
            1, "name", tables["Disease"]["name"].dictionary_encode().cast(pa.dictionary(pa.int8(), pa.large_string()))
        )
        assert KnowledgeGraph(tables, graph.edges, graph.symmetric).fingerprint == graph.fingerprint

    def test_null_is_not_the_empty_string(self) -> None:
        names = [None, ""]
        prints = {
            KnowledgeGraph({"G": pa.table({"id": ["a"], "name": pa.array([n], pa.string())})}).fingerprint
            for n in names
        }
        assert len(prints) == 2

    def test_values_do_not_run_into_each_other(self) -> None:
        prints = {
            KnowledgeGraph({"G": pa.table({"id": ["a", "b"], "name": names})}).fingerprint
            for names in (["xy", "z"], ["x", "yz"])
        }
        assert len(prints) == 2


class TestWithout:
    @settings(deadline=None, max_examples=60)
    @given(graphs(), st.data())
    def test_removed_pairs_are_gone_both_ways_and_the_rest_stays(
        self, graph: KnowledgeGraph, data: st.DataObject
    ) -> None:
        index = graph.edge_index(RESEMBLES)
        chosen = data.draw(st.lists(st.integers(0, max(0, index.shape[1] - 1)), unique=True)) if index.size else []
        removed = index[::-1, chosen]  # named the other way round
        rest = graph.without({RESEMBLES: removed})
        gone = {frozenset(pair) for pair in removed.T.tolist()}
        wanted = [pair for pair in index.T.tolist() if frozenset(pair) not in gone]
        assert rest.edge_index(RESEMBLES).T.tolist() == wanted
        assert rest.edges[TREATS].equals(graph.edges[TREATS])
        assert rest.ids == graph.ids
        assert rest.edge_types == graph.edge_types

    def test_directed_pairs_keep_their_twins(self) -> None:
        directed = EdgeType("Disease", "is_a", "Disease")
        graph = KnowledgeGraph({"Disease": nodes("D", 3)}, {directed: edges([(0, 1), (1, 0)])})
        assert graph.without({directed: np.array([[0], [1]])}).edge_index(directed).tolist() == [[1], [0]]

    def test_an_unknown_edge_type_is_refused(self, graph: KnowledgeGraph) -> None:
        with pytest.raises(SchemaError, match="not an edge type"):
            graph.without({EdgeType("Compound", "cures", "Disease"): None})


class TestMerge:
    @settings(deadline=None, max_examples=40)
    @given(graphs())
    def test_with_itself_nothing_changes(self, graph: KnowledgeGraph) -> None:
        assert graph.merge(graph).fingerprint == graph.fingerprint

    @settings(deadline=None, max_examples=60)
    @given(graphs(), graphs())
    def test_the_union_of_nodes_and_pairs(self, left: KnowledgeGraph, right: KnowledgeGraph) -> None:
        merged = left.merge(right)
        assert set(merged.ids) == set(left.ids) | set(right.ids)

        def pairs(graph: KnowledgeGraph, edge_type: EdgeType) -> set[object]:
            ends = [graph.nodes[kind]["id"].to_pylist() for kind in (edge_type.source, edge_type.target)]
            found = {(ends[0][s], ends[1][t]) for s, t in graph.edge_index(edge_type).T.tolist()}
            return {frozenset(pair) for pair in found} if edge_type in graph.symmetric else found

        for edge_type in merged.edge_types:
            assert pairs(merged, edge_type) == pairs(left, edge_type) | pairs(right, edge_type)

    def test_by_hand(self) -> None:
        left = KnowledgeGraph(
            {"Compound": nodes("C", 2, smiles=["C", None]), "Disease": nodes("D", 1)},
            {TREATS: edges([(0, 0)], pmids=[["1"]])},
            provenance=(Provenance("left"),),
            skipped={"negated": 2},
        )
        right = KnowledgeGraph(
            {
                "Compound": pa.table({"id": ["C:2", "C:1", "C:0"], "name": ["x", "y", "z"], "smiles": ["O", "N", "S"]}),
                "Disease": nodes("D", 1),
            },
            {TREATS: edges([(2, 0), (0, 0)], pmids=[["1", "2"], ["3"]])},
            provenance=(Provenance("right"), Provenance("left")),
            skipped={"negated": 1},
        )
        merged = left.merge(right)
        assert merged.nodes["Compound"].to_pylist() == [
            {"id": "C:0", "name": "C 0", "smiles": "C"},
            {"id": "C:1", "name": "C 1", "smiles": "N"},
            {"id": "C:2", "name": "x", "smiles": "O"},
        ]
        assert merged.edges[TREATS].to_pylist() == [
            {"source": 0, "target": 0, "pmids": ["1", "2"]},
            {"source": 2, "target": 0, "pmids": ["3"]},
        ]
        assert [source.name for source in merged.provenance] == ["left", "right"]
        assert merged.skipped == {"negated": 3}

    def test_refusals(self, graph: KnowledgeGraph) -> None:
        with pytest.raises(SchemaError, match="symmetric in one graph"):
            graph.merge(KnowledgeGraph(graph.nodes, graph.edges))
        with pytest.raises(SchemaError, match="more than one node type"):
            graph.merge(KnowledgeGraph({"Gene": nodes("C", 1)}))
        other = KnowledgeGraph({"Compound": nodes("C", 1, smiles=[1])})
        with pytest.raises(SchemaError, match=r"'smiles' is string in one graph and int64"):
            graph.merge(other)


class TestSubgraph:
    def test_on_nodes(self, graph: KnowledgeGraph) -> None:
        part = graph.subgraph(nodes=["C:0", "D:1", "D:0"])
        assert part.ids == ("C:0", "D:0", "D:1")
        assert part.edge_index(TREATS).tolist() == [[0, 0], [0, 1]]
        assert part.edge_index(RESEMBLES).tolist() == [[1], [0]]
        assert part.edges[TREATS]["pmids"].to_pylist() == [["1"], ["2", "3"]]
        assert part.symmetric == graph.symmetric
        assert part.provenance == graph.provenance

    def test_on_types(self, graph: KnowledgeGraph) -> None:
        assert graph.subgraph(node_types=["Disease"]).edge_types == (RESEMBLES,)
        assert graph.subgraph(edge_types=[TREATS]).edge_types == (TREATS,)
        assert graph.subgraph().fingerprint == graph.fingerprint

    def test_what_was_skipped_is_still_told(self) -> None:
        graph = KnowledgeGraph({"Disease": nodes("D", 2)}, skipped={"negated": 2})
        assert graph.subgraph(nodes=["D:0"]).skipped == {"negated": 2}

    def test_unknown_things_are_refused(self, graph: KnowledgeGraph) -> None:
        with pytest.raises(UnknownIdentifierError):
            graph.subgraph(nodes=["D:77"])
        with pytest.raises(SchemaError):
            graph.subgraph(node_types=["Gene"])

    @settings(deadline=None, max_examples=40)
    @given(graphs(), st.data())
    def test_against_networkx(self, graph: KnowledgeGraph, data: st.DataObject) -> None:
        chosen = data.draw(st.sets(st.sampled_from(graph.ids)))
        ours = graph.subgraph(nodes=chosen).to_networkx()
        theirs = graph.to_networkx().subgraph(chosen)
        assert set(ours) == set(theirs)
        assert Counter(ours.edges(data="relation")) == Counter(theirs.edges(data="relation"))


class TestConversions:
    def test_pyg_shares_memory(self, graph: KnowledgeGraph) -> None:
        pytest.importorskip("torch_geometric")
        data = graph.to_pyg()
        assert data.validate()
        assert data.node_types == ["Compound", "Disease"]
        assert data["Compound"].num_nodes == 3
        index = data[tuple(TREATS)].edge_index
        assert index.data_ptr() == graph.edge_index(TREATS).ctypes.data
        assert index.tolist() == [[0, 0, 2], [0, 1, 3]]
        columns = graph.edges[TREATS]["source"].chunk(0), graph.edges[TREATS]["target"].chunk(0)
        assert [column.to_numpy().ctypes.data for column in columns] == [
            row.ctypes.data for row in graph.edge_index(TREATS)
        ]

    @settings(deadline=None, max_examples=40)
    @given(graphs())
    def test_networkx_has_the_same_degrees(self, graph: KnowledgeGraph) -> None:
        other = graph.to_networkx()
        assert set(other) == set(graph.ids)
        out, into = graph.degrees(TREATS)
        treats = networkx.MultiDiGraph([(s, t) for s, t, r in other.edges(data="relation") if r == "treats"])
        treats.add_nodes_from(graph.ids)
        assert [treats.out_degree(id_) for id_ in graph.nodes["Compound"]["id"].to_pylist()] == out.tolist()
        assert [treats.in_degree(id_) for id_ in graph.nodes["Disease"]["id"].to_pylist()] == into.tolist()

    def test_networkx_keeps_columns_and_turns_symmetric_edges(self, graph: KnowledgeGraph) -> None:
        other = graph.to_networkx()
        assert other.nodes["C:0"]["node_type"] == "Compound"
        assert other.nodes["C:0"]["smiles"] == "C"
        assert other.has_edge("D:0", "D:1")
        assert other.has_edge("D:1", "D:0")
        assert [data["pmids"] for _, _, data in other.edges("C:0", data=True)] == [["1"], ["2", "3"]]
        key = next(iter(other["C:0"]["D:0"]))
        assert key == "treats" or other["C:0"]["D:0"][key]["relation"] == "treats"

    def test_pandas_has_ids_at_the_ends(self, graph: KnowledgeGraph) -> None:
        node_frame, edge_frame = graph.to_pandas()
        assert node_frame["id"].tolist() == list(graph.ids)
        first = edge_frame.iloc[1]
        assert (first["source"], first["relation"], first["target"]) == ("C:0", "treats", "D:1")
        assert len(edge_frame) == graph.num_edges

    def test_an_empty_graph(self) -> None:
        graph = KnowledgeGraph({})
        assert (graph.num_nodes, graph.num_edges, graph.ids) == (0, 0, ())
        assert graph.triples().shape == (0, 3)
        assert [len(frame) for frame in graph.to_pandas()] == [0, 0]
        assert len(graph.fingerprint) == 64
        assert KnowledgeGraph({"Gene": nodes("G", 0)}).merge(graph).node_types == ("Gene",)


@pytest.mark.parametrize("pairs", [[[0], [4]], [[-1], [0]], [[0, 0], [0, 1], [2, 3]], [0, 0]])
def test_only_rows_of_the_graph_can_be_removed(graph: KnowledgeGraph, pairs: list[object]) -> None:
    with pytest.raises(SchemaError, match=r"expected \(2, n\), rows of 3 sources and 4 targets"):
        graph.without({TREATS: np.array(pairs)})
    assert graph.without({TREATS: np.empty((0,), dtype=np.int64)}).fingerprint == graph.fingerprint


def test_edge_columns_may_be_called_what_networkx_calls_its_own() -> None:
    table = edges([(0, 1)], relation=["stated"], key=["k"])
    (edge,) = KnowledgeGraph({"Disease": nodes("D", 2)}, {RESEMBLES: table}).to_networkx().edges(data=True)
    assert edge == ("D:0", "D:1", {"relation": "resembles", "key": "k"})


def test_an_empty_graph_has_no_offsets_and_a_list_of_lists_is_refused() -> None:
    assert KnowledgeGraph({}).offsets == {}
    with pytest.raises(SchemaError, match="cannot be read as list"):
        KnowledgeGraph({"Disease": nodes("D", 1, parts=[[["a"]]])})
