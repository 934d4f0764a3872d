"""What every graph store does. A new engine is one line in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError, UnknownIdentifierError
from medgraph.stores import GraphStore, open_store


def _emptied_server(request: pytest.FixtureRequest, _: Path) -> str:
    url: str = request.getfixturevalue("neo4j_url")
    with open_store(url) as store:
        store.execute("MATCH (n) DETACH DELETE n")
    return url


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "ladybug": lambda _, folder: str(folder / "graphs" / "store"),
    "neo4j": _emptied_server,
}
PARAMETERS = [pytest.param(name, marks=pytest.mark.neo4j if name == "neo4j" else ()) for name in STORES]

TREATS = EdgeType("Compound", "treats", "Disease")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")
BINDS = EdgeType("Compound", "binds", "Gene")
DISEASE_GENE = EdgeType("Disease", "associates", "Gene")
GENE_GENE = EdgeType("Gene", "associates", "Gene")  # one relation over two pairs of types

HOSTILE = [
    'O\'Reilly said "no" to `that`',
    "two\nlines\tand\\n a \\ backslash\r\n",
    "before\0after",
    "\u202eright to left\u202c שלום",
    "x" * 10_000,
    "",
    "'}) DETACH DELETE (n) //",
    "[a, b]",
    "{a: 1}",
    " spaces ",
    "NULL",
    "𝒳🧬",
]


def sample() -> KnowledgeGraph:
    rows = len(HOSTILE) + 1
    compounds = pa.table(
        {
            "id": [f"DRUGBANK:DB{row:05d}" for row in range(rows)],
            "name": [*HOSTILE, None],
            "synonyms": pa.array([[text, "b"] for text in HOSTILE[:-3]] + [None, [], [None, ""], ["Aspirin"]]),
            "mass": pa.array([1.5, None, float("nan"), float("inf"), -0.0] + [0.1] * (rows - 5)),
            "atoms": pa.array([1, None, 2**62, -(2**63)] + [0] * (rows - 4)),
            "approved": pa.array([True, None] + [False] * (rows - 2)),
            "nothing": pa.nulls(rows, pa.string()),
        }
    )
    diseases = pa.table(
        {
            "id": ["DOID:1612", "DOID:9351", "DOID:9352", "DOID:12894", "DOID:9744"],
            "name": [
                "breast cancer",
                "diabetes mellitus",
                "type 2 diabetes mellitus",
                "Sjögren's syndrome",
                "type 1 diabetes mellitus",
            ],
            "synonyms": pa.array([["mammary tumor", "malignant neoplasm of breast"], None, ["NIDDM"], [], ["IDDM"]]),
        }
    )
    genes = pa.table({"id": ["NCBIGENE:672", "NCBIGENE:7124"], "name": ["BRCA1", "TNF"]})
    edges = {
        TREATS: pa.table(
            {
                "source": [3, 0, 1, 1],
                "target": [0, 0, 0, 2],
                "sources": pa.array([["label"], None, [], ["a", "b"]]),
                "weight": [0.5, None, 1.0, 2.0],
            }
        ),
        RESEMBLES: pa.table({"source": [1, 2, 3], "target": [2, 4, 3]}),
        BINDS: pa.table({"source": pa.array([], pa.int64()), "target": pa.array([], pa.int64())}),
        DISEASE_GENE: pa.table({"source": [0, 3], "target": [0, 1], "pmids": pa.array([["1"], None])}),
        GENE_GENE: pa.table({"source": [1, 0, 0], "target": [0, 1, 0], "weight": [1, 2, 3]}),
    }
    return KnowledgeGraph(
        {"Compound": compounds, "Disease": diseases, "Gene": genes},
        edges,
        frozenset({RESEMBLES}),
        (Provenance("Sample", "1", "CC0", "https://example.org/graph", "0" * 64), Provenance("Other")),
        {"no target": 3},
    )


@pytest.fixture(params=PARAMETERS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](request, tmp_path)


@pytest.fixture
def store(address: str) -> Iterator[GraphStore]:
    with open_store(address) as opened:
        yield opened


@pytest.fixture(scope="module", params=PARAMETERS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
    with open_store(STORES[request.param](request, tmp_path_factory.mktemp("filled"))) as store:
        yield store


@pytest.fixture
def filled(opened: GraphStore) -> GraphStore:
    try:
        if opened.fingerprint == sample().fingerprint:
            return opened
    except StoreUnavailableError:
        pass
    opened.write(sample())  # a server's one database is shared with the tests that write
    return opened


def assert_same(read: KnowledgeGraph, written: KnowledgeGraph) -> None:
    assert read.fingerprint == written.fingerprint
    assert read.schema == written.schema
    assert read.provenance == written.provenance
    assert dict(read.skipped) == dict(written.skipped)
    for node_type, table in written.nodes.items():
        assert read.nodes[node_type].drop_columns(list(_floats(table))).equals(table.drop_columns(list(_floats(table))))
    for edge_type, table in written.edges.items():  # a server keeps no order of edges
        assert read.edges[edge_type].schema == table.schema
        assert _rows(read.edges[edge_type]) == _rows(table)


def _rows(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


def _floats(table: pa.Table) -> list[str]:
    """Columns where NaN makes Arrow's `equals` false; the fingerprint compares their bits."""
    return [field.name for field in table.schema if pa.types.is_floating(field.type)]


# Writing and reading ------------------------------------------------------------------------------------------------


def test_follows_the_protocol(filled: GraphStore) -> None:
    assert isinstance(filled, GraphStore)


def test_reads_what_was_written(filled: GraphStore) -> None:
    assert_same(filled.read(), sample())
    assert filled.fingerprint == sample().fingerprint
    assert filled.schema == sample().schema


def test_another_handle_reads_it_too(address: str) -> None:
    graph = sample()
    with open_store(address) as store:
        store.write(graph)
    with open_store(address, read_only=True) as store:
        assert_same(store.read(), graph)


def test_a_second_write_replaces_the_first(store: GraphStore) -> None:
    store.write(sample())
    smaller = sample().subgraph(node_types=["Gene"])
    store.write(smaller)
    assert_same(store.read(), smaller)
    assert store.query("MATCH (n) WHERE n.id IS NOT NULL RETURN count(*) AS n")["n"].to_pylist() == [2]
    assert store.search("breast cancer").num_rows == 0


@pytest.mark.parametrize(
    "graph",
    [
        KnowledgeGraph({}),
        KnowledgeGraph({"Gene": pa.table({"id": pa.array([], pa.string()), "name": pa.array([], pa.string())})}),
        KnowledgeGraph({"Gene": pa.table({"id": ["A:1"], "name": ["a"]})}),
    ],
    ids=["nothing", "no rows", "no edges"],
)
def test_small_graphs(store: GraphStore, graph: KnowledgeGraph) -> None:
    store.write(graph)
    assert_same(store.read(), graph)
    assert store.query("RETURN 1 AS one")["one"].to_pylist() == [1]
    assert store.search("nobody").num_rows == 0
    with pytest.raises(UnknownIdentifierError, match="DOID:1"):
        store.neighbours("DOID:1")


def test_reads_a_part(filled: GraphStore) -> None:
    graph = sample()
    for node_types, edge_types in [
        (["Disease", "Gene"], None),
        (None, [TREATS]),
        (["Compound"], [TREATS]),
        (["Disease"], [RESEMBLES]),
        ([], None),
    ]:
        part = filled.read(node_types, edge_types)
        assert_same(part, graph.subgraph(node_types=node_types, edge_types=edge_types))


def test_a_part_that_is_not_there(filled: GraphStore) -> None:
    with pytest.raises(SchemaError, match=r"'Diseases' is not a node type.*Nearest: Disease"):
        filled.read(node_types=["Diseases"])
    with pytest.raises(SchemaError, match="Compound-treat-Disease is not an edge type"):
        filled.read(edge_types=[EdgeType("Compound", "treat", "Disease")])


TEXTS = st.one_of(st.none(), st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), st.sampled_from(HOSTILE))
COLUMNS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(TEXTS, min_size=1, max_size=6),
    columns=st.lists(
        COLUMNS.filter(lambda name: name not in ("id", "name", "source", "target")), unique=True, max_size=4
    ),
    seed=st.integers(0, 2**16),
)
def test_any_text_under_any_property_name(
    store: GraphStore, values: list[str | None], columns: list[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = len(values)
    nodes = {"id": [f"A:{row}" for row in range(rows)], "name": values} | dict.fromkeys(columns, values)
    ends = {"source": rng.integers(0, rows, 9), "target": rng.integers(0, rows, 9)}
    properties = {name: [values[row % rows] for row in range(9)] for name in columns}
    types = {"Group": pa.table(nodes)}
    graph = KnowledgeGraph(types, {EdgeType("Group", "Match", "Group"): pa.table({**ends, **properties})})
    store.write(graph)
    assert_same(store.read(), graph)
    found = store.query("MATCH (n:`Group`) RETURN n.name AS name ORDER BY n.id")
    assert found["name"].to_pylist() == values


# Asking -------------------------------------------------------------------------------------------------------------


def test_answers_the_example_of_the_design(filled: GraphStore) -> None:
    found = filled.query("MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.id, c.name", id="DOID:1612")
    assert found.column_names == ["c.id", "c.name"]
    assert sorted(found["c.id"].to_pylist()) == ["DRUGBANK:DB00000", "DRUGBANK:DB00001", "DRUGBANK:DB00003"]
    none = filled.query("MATCH (c:Compound)-[:treats]->(d:Disease {id: $id}) RETURN c.id, c.name", id="DOID:0")
    assert (none.num_rows, none.column_names) == (0, ["c.id", "c.name"])


@pytest.mark.parametrize("text", HOSTILE)
def test_values_are_found_by_parameter_as_they_are(filled: GraphStore, text: str) -> None:
    found = filled.query("MATCH (c:Compound) WHERE c.name = $name RETURN c.name AS name", name=text)
    assert found["name"].to_pylist() == [text]


def test_properties_are_there_to_ask_for(filled: GraphStore) -> None:
    found = filled.query(
        "MATCH (c:Compound)-[r:treats]->(d:Disease) RETURN c.id AS id, c.synonyms AS synonyms, c.atoms AS atoms, "
        "r.sources AS sources, r.weight AS weight, d.id AS disease ORDER BY id, disease"
    )
    assert found.to_pylist() == [
        {
            "id": "DRUGBANK:DB00000",
            "synonyms": [HOSTILE[0], "b"],
            "atoms": 1,
            "sources": None,
            "weight": None,
            "disease": "DOID:1612",
        },
        {
            "id": "DRUGBANK:DB00001",
            "synonyms": [HOSTILE[1], "b"],
            "atoms": None,
            "sources": [],
            "weight": 1.0,
            "disease": "DOID:1612",
        },
        {
            "id": "DRUGBANK:DB00001",
            "synonyms": [HOSTILE[1], "b"],
            "atoms": None,
            "sources": ["a", "b"],
            "weight": 2.0,
            "disease": "DOID:9352",
        },
        {
            "id": "DRUGBANK:DB00003",
            "synonyms": [HOSTILE[3], "b"],
            "atoms": -(2**63),
            "sources": ["label"],
            "weight": 0.5,
            "disease": "DOID:1612",
        },
    ]


def test_one_relation_joins_several_pairs_of_types(filled: GraphStore) -> None:
    found = filled.query("MATCH (a)-[r:associates]->(b:Gene) RETURN a.id AS a, b.id AS b, r.weight AS w, r.pmids AS p")
    rows = {(row["a"], row["b"], row["w"], tuple(row["p"] or ())) for row in found.to_pylist()}
    assert rows == {
        ("DOID:1612", "NCBIGENE:672", None, ("1",)),
        ("DOID:12894", "NCBIGENE:7124", None, ()),
        ("NCBIGENE:7124", "NCBIGENE:672", 1, ()),
        ("NCBIGENE:672", "NCBIGENE:7124", 2, ()),
        ("NCBIGENE:672", "NCBIGENE:672", 3, ()),
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (np.int64(3), 3), (0.5, 0.5), (True, True), (None, None), ("a", "a"), (["a", "b"], ["a", "b"]),
     (("a",), ["a"]), (np.array([1, 2]), [1, 2])],
)  # fmt: skip
def test_parameters_of_every_kind(filled: GraphStore, value: object, expected: object) -> None:
    assert filled.query("RETURN $value AS value", value=value)["value"].to_pylist() == [expected]


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800"])
def test_parameters_that_no_store_can_take(filled: GraphStore, value: object) -> None:
    with pytest.raises(StoreError, match="RETURN"):
        filled.query("RETURN $value AS value", value=value)


@pytest.mark.parametrize(
    "cypher",
    [
        "CREATE (n:Disease {id: 'DOID:0'})",
        "MATCH (n:Disease) SET n.name = 'x'",
        "MATCH (n:Disease)SET n.name = 'x' RETURN n",
        "MATCH (n) DETACH DELETE n",
        "MATCH (n:Gene) delete n",
        "MERGE (n:Gene {id: 'A:1'}) RETURN n",
        "MATCH (a:Gene), (b:Gene) CREATE (a)-[:associates]->(b)",
        "MATCH (n:Gene) REMOVE n.name",
        "EXPLAIN CREATE (n:Gene {id: 'A:1'})",
        "RETURN 1; MATCH (n) DETACH DELETE n",
        "/* MATCH */ DROP TABLE Gene",
        "// RETURN\nCREATE (n:Gene {id: 'A:1'})",
        "LOAD FROM '/etc/passwd' RETURN *",
        "MATCH (n:Gene) LOAD FROM '/etc/passwd' RETURN *",
        "COPY (MATCH (n) RETURN n.id) TO 'out.csv'",
        "EXPORT DATABASE 'out'",
        "INSTALL fts",
        "CALL threads=1",
        "RETURN 1 CALL threads=1",
        "",
        ";",
    ],
)
def test_queries_only_read(filled: GraphStore, cypher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"only reads|several"):
        filled.query(cypher)
    assert not list(tmp_path.iterdir())
    assert filled.query("MATCH (n) WHERE n.id IS NOT NULL RETURN count(*) AS n")["n"].to_pylist() == [
        sample().num_nodes
    ]


@pytest.mark.parametrize(
    "cypher",
    [
        "MATCH (n:Disease) WHERE n.name = 'CREATE; SET x' RETURN n.id",
        "MATCH (n:Disease) // SET everything; now\n RETURN n.id",
        "MATCH (n:Disease) /* DELETE */ RETURN n.id AS `set`;",
        "  optional match (n:Disease {id: $set}) return n.id",
        "WITH {set: 1, delete: 2} AS m RETURN m.set",
        "UNWIND [1, 2] AS x RETURN x",
    ],
)
def test_words_that_only_look_like_writing(filled: GraphStore, cypher: str) -> None:
    filled.query(cypher, **({"set": "DOID:1612"} if "$set" in cypher else {}))


@pytest.mark.parametrize(
    ("cypher", "message"),
    [
        ("MATCH (n:Diseases) RETURN n", "Diseases.*Nearest: Disease"),
        ("MATCH (n:Disease) RETRN n", "RETRN"),
        ("MATCH (n:Disease {id: $id}) RETURN n.id", r"Parameter \$id was not given"),
        ("MATCH (n:Disease) RETURN n.nme", "nme"),
    ],
)
def test_faulty_queries_are_quoted_with_their_fault(filled: GraphStore, cypher: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        filled.query(cypher)
    assert cypher in str(caught.value)


def test_words_of_the_language_are_labels(store: GraphStore) -> None:
    nodes = {name: pa.table({"id": [f"{name}:1"], "name": [name]}) for name in ("Order", "Group", "Match")}
    edges = {
        EdgeType("Order", "CREATE", "Match"): pa.table({"source": [0], "target": [0], "order": ["first"]}),
        EdgeType("Group", "all", "Order"): pa.table({"source": [0], "target": [0]}),
    }
    graph = KnowledgeGraph(nodes, edges)
    store.write(graph)
    assert_same(store.read(), graph)
    found = store.query("MATCH (a:`Order`)-[r:`CREATE`]->(b:`Match`) RETURN a.name AS a, r.`order` AS r, b.name AS b")
    assert found.to_pylist() == [{"a": "Order", "r": "first", "b": "Match"}]
    assert store.neighbours("Order:1")["relation"].to_pylist() == ["CREATE", "all"]


# Neighbours ---------------------------------------------------------------------------------------------------------


def neighbours_by_hand(graph: KnowledgeGraph, id: str) -> list[tuple[str, str, str, str | None, str]]:
    rows = []
    for edge_type in graph.edge_types:
        both = edge_type in graph.symmetric
        ids = [graph.nodes[one]["id"].to_pylist() for one in (edge_type.source, edge_type.target)]
        names = [graph.nodes[one]["name"].to_pylist() for one in (edge_type.source, edge_type.target)]
        for source, target in graph.edge_index(edge_type).T.tolist():
            if ids[0][source] == id:
                direction = "both" if both else "out"
                rows.append((edge_type.relation, direction, ids[1][target], names[1][target], edge_type.target))
            if ids[1][target] == id and not (both and ids[0][source] == id):
                direction = "both" if both else "in"
                rows.append((edge_type.relation, direction, ids[0][source], names[0][source], edge_type.source))
    return sorted(rows, key=lambda row: row[:3])


def test_neighbours_are_the_edges_of_a_node(filled: GraphStore) -> None:
    graph = sample()
    for id_ in graph.ids:
        found = filled.neighbours(id_)
        assert found.column_names == ["relation", "direction", "id", "name", "node_type"]
        assert [tuple(row.values()) for row in found.to_pylist()] == neighbours_by_hand(graph, id_)


def test_neighbours_by_some_edge_types(filled: GraphStore) -> None:
    every = filled.neighbours("DOID:9352")
    assert every["relation"].to_pylist() == ["resembles", "resembles", "treats"]
    assert filled.neighbours("DOID:9352", edge_types=[TREATS])["id"].to_pylist() == ["DRUGBANK:DB00001"]
    assert filled.neighbours("DOID:9352", edge_types=[]).num_rows == 0
    assert filled.neighbours("DOID:9352", limit=2).equals(every.slice(0, 2))


def test_neighbours_of_nobody(filled: GraphStore) -> None:
    with pytest.raises(
        UnknownIdentifierError, match=r"'DOID:161' is not in this store \(20 nodes\). Nearest: DOID:1612"
    ):
        filled.neighbours("DOID:161")
    with pytest.raises(SchemaError, match="cures"):
        filled.neighbours("DOID:1612", edge_types=[EdgeType("Compound", "cures", "Disease")])
    with pytest.raises(SchemaError, match="limit"):
        filled.neighbours("DOID:1612", limit=0)


# Search -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "id", "matched"),
    [
        ("breast cancer", "DOID:1612", "breast cancer"),
        ("BREAST Cancer", "DOID:1612", "breast cancer"),
        ("cancer, breast", "DOID:1612", "breast cancer"),
        ("DOID:1612", "DOID:1612", "DOID:1612"),
        ("doid 1612", "DOID:1612", "DOID:1612"),
        ("sjogren", "DOID:12894", "Sjögren's syndrome"),
        ("SJÖGREN", "DOID:12894", "Sjögren's syndrome"),
        ("diab", "DOID:9351", "diabetes mellitus"),
        ("diabetes melitus", "DOID:9351", "diabetes mellitus"),
        ("type 2 diabtes", "DOID:9352", "type 2 diabetes mellitus"),
        ("niddm", "DOID:9352", "NIDDM"),
        ("mamary tumour", "DOID:1612", "mammary tumor"),
        ("brca", "NCBIGENE:672", "BRCA1"),
        ("aspirin", f"DRUGBANK:DB{len(HOSTILE):05d}", "Aspirin"),
    ],
)
def test_search_finds(filled: GraphStore, text: str, id: str, matched: str) -> None:
    first = filled.search(text, topn=1).to_pylist()[0]
    assert (first["id"], first["matched"]) == (id, matched)
    graph = sample()
    assert (first["name"], first["node_type"]) == (graph.name(id), graph.locate(id).node_type)


def test_search_ranks_and_restricts(filled: GraphStore) -> None:
    found = filled.search("diabetes mellitus", topn=10)
    assert found.column_names == ["id", "name", "node_type", "matched", "score"]
    assert found["id"].to_pylist()[:3] == ["DOID:9351", "DOID:9352", "DOID:9744"]
    scores = found["score"].to_pylist()
    assert scores[0] == 1
    assert scores == sorted(scores, reverse=True)
    assert filled.search("diabetes mellitus", topn=1).num_rows == 1
    assert set(filled.search("b", node_type="Gene")["node_type"].to_pylist()) == {"Gene"}
    assert filled.search("breast cancer", node_type="Gene").num_rows == 0


@pytest.mark.parametrize("text", ["", "   ", "!?", "zzzzzzzzz", "\0", "x" * 100_000, "\ud800", "%_*?[a-z]"])
def test_search_for_nothing_sensible(filled: GraphStore, text: str) -> None:
    assert filled.search(text).column_names == ["id", "name", "node_type", "matched", "score"]


def test_search_with_a_wrong_question(filled: GraphStore) -> None:
    with pytest.raises(SchemaError, match="Diseas"):
        filled.search("x", node_type="Diseas")
    with pytest.raises(SchemaError, match="topn"):
        filled.search("x", topn=0)


# Several at once ----------------------------------------------------------------------------------------------------


def test_nothing_there_yet(address: str) -> None:
    with open_store(address) as store:
        for ask in (store.read, lambda: store.query("RETURN 1"), lambda: store.search("x"), lambda: store.schema):
            with pytest.raises(StoreUnavailableError, match="write"):
                ask()
    with pytest.raises(StoreUnavailableError, match="write"):
        open_store(address, read_only=True)


def test_read_only_does_not_write(address: str) -> None:
    with open_store(address) as store:
        store.write(sample())
    with open_store(address, read_only=True) as store:
        with pytest.raises(StoreUnavailableError, match="read-only"):
            store.write(sample())
        assert store.fingerprint == sample().fingerprint


def test_an_open_reader_keeps_its_graph(tmp_path: Path) -> None:
    address = tmp_path / "store"
    old, new = sample(), sample().subgraph(node_types=["Gene"])
    count = "MATCH (n) WHERE n.id IS NOT NULL RETURN count(*) AS n"
    with open_store(address) as writer:
        writer.write(old)
        with open_store(address, read_only=True) as early:
            writer.write(new)
            with open_store(address, read_only=True) as late:
                assert early.query(count)["n"].to_pylist() == [old.num_nodes]
                assert late.query(count)["n"].to_pylist() == [new.num_nodes]
                assert early.read().fingerprint == old.fingerprint
                assert late.read().fingerprint == writer.read().fingerprint == new.fingerprint
                assert early.search("breast cancer", topn=1)["id"].to_pylist() == ["DOID:1612"]


@pytest.mark.neo4j
def test_an_open_reader_of_a_server_sees_what_is_there_now(neo4j_url: str) -> None:
    with open_store(neo4j_url) as writer, open_store(neo4j_url) as reader:
        writer.write(sample())
        assert reader.fingerprint == sample().fingerprint
        new = sample().subgraph(node_types=["Gene"])
        writer.write(new)
        assert reader.read().fingerprint == reader.fingerprint == new.fingerprint
        assert reader.search("breast cancer").num_rows == 0


@pytest.mark.neo4j
def test_a_graph_goes_from_store_to_store(neo4j_url: str, tmp_path: Path) -> None:
    graph = sample()
    for address in (tmp_path / "first", neo4j_url, tmp_path / "second", neo4j_url):
        with open_store(address) as store:
            store.write(graph)
            graph = store.read()
        assert_same(graph, sample())


def test_a_closed_store_answers_no_more(address: str) -> None:
    store = open_store(address)
    store.write(sample())
    store.close()
    store.close()
    for ask in (store.read, lambda: store.query("RETURN 1"), lambda: store.search("x"), lambda: store.write(sample())):
        with pytest.raises(StoreError, match="closed"):
            ask()
