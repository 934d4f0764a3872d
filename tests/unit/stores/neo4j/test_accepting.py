"""What stands in a database as the graph: edited by a team, or written by somebody who never heard of medgraph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreError, StoreUnavailableError
from medgraph.stores import open_store
from medgraph.stores.access import random_access
from medgraph.stores.neo4j import Neo4jStore

pytestmark = pytest.mark.neo4j

TREATS = EdgeType("Drug", "treats", "Disease")
RESEMBLES = EdgeType("Drug", "resembles", "Drug")
BINDS = EdgeType("Drug", "binds", "Drug")


@pytest.fixture
def store(neo4j_url: str) -> Iterator[Neo4jStore]:
    with Neo4jStore(neo4j_url) as opened:
        opened.execute("MATCH (n) DETACH DELETE n")
        for kind, name in _schema_left(opened):
            opened.execute(f"DROP {kind} `{name}`")
        yield opened
        opened.execute("MATCH (n) DETACH DELETE n")


def _schema_left(store: Neo4jStore) -> list[tuple[str, str]]:
    found = store._connection.read(
        "SHOW INDEXES YIELD name, labelsOrTypes, owningConstraint "
        "WHERE labelsOrTypes[0] IN ['A', 'B', 'C'] AND size(labelsOrTypes) = 1 RETURN name, owningConstraint"
    )
    return [("CONSTRAINT", owner) if owner else ("INDEX", name) for name, owner in found]


def sample() -> KnowledgeGraph:
    drugs = pa.table(
        {
            "id": ["DRUGBANK:DB3", "DRUGBANK:DB1", "DRUGBANK:DB2"],
            "name": ["metformin", "aspirin", None],
            "synonyms": pa.array([["Glucophage", None], None, [None]]),
            "mass": [129.2, None, float("inf")],
            "a\\b": pa.array([1, 2, None]),
            "nothing": pa.nulls(3, pa.int64()),
        }
    )
    diseases = pa.table({"id": ["DOID:2", "DOID:1"], "name": ["pain", "diabetes"], "ok": [True, None]})
    return KnowledgeGraph(
        {"Drug": drugs, "Disease": diseases, "Empty": pa.table({"id": pa.nulls(0, pa.string()), "name": []})},
        {
            TREATS: pa.table({"source": [0, 1], "target": [1, 0], "pmids": pa.array([["1", None], ["2"]])}),
            RESEMBLES: pa.table({"source": [0, 1], "target": [1, 1]}),
            BINDS: pa.table({"source": pa.array([], pa.int64()), "target": pa.array([], pa.int64())}),
        },
        frozenset({RESEMBLES}),
        (Provenance("Sample", "1", "CC0"),),
        {"no target": 3},
    )


def test_an_unaltered_graph_stays_as_it_is(store: Neo4jStore) -> None:
    store.write(sample())
    before = store.read()
    store.accept()
    after = store.read()
    assert store.fingerprint == after.fingerprint == sample().fingerprint
    assert (after.schema, after.provenance, dict(after.skipped)) == (before.schema, before.provenance, {"no target": 3})
    for node_type, table in before.nodes.items():
        assert after.nodes[node_type].equals(table)
    assert store.query("MATCH (n:Drug {id: 'DRUGBANK:DB3'}) RETURN n.`a_b` AS n")["n"].to_pylist() == [1]


def test_what_a_team_changed_is_the_graph(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (d:Disease {id: 'DOID:1'}) SET d.name = 'Diabète', d.seen = 7 REMOVE d.ok")
    store.execute("CREATE (:Drug {id: 'DRUGBANK:DB0', name: 'new', mass: 2})")
    store.execute("MATCH (n:Drug {id: 'DRUGBANK:DB1'}) DETACH DELETE n")
    store.execute("MATCH (a:Drug {id: 'DRUGBANK:DB0'}), (b:Disease) CREATE (a)-[:treats {source: 'PubMed'}]->(b)")
    store.execute("MATCH (a:Disease {id: 'DOID:1'}), (b:Disease {id: 'DOID:2'}) CREATE (a)-[:causes]->(b)")
    with pytest.raises(StoreError, match=r"store\.accept\(\)"):
        store.read()
    store.accept()
    store.accept()  # changes nothing more
    graph = store.read()
    expected = KnowledgeGraph(
        {
            "Drug": pa.table(
                {
                    "id": ["DRUGBANK:DB3", "DRUGBANK:DB2", "DRUGBANK:DB0"],
                    "name": ["metformin", None, "new"],
                    "synonyms": pa.array([["Glucophage", None], [None], None]),
                    "mass": [129.2, float("inf"), 2.0],
                    "a\\b": pa.array([1, None, None]),
                    "nothing": pa.nulls(3, pa.int64()),
                }
            ),
            "Disease": pa.table(
                {"id": ["DOID:2", "DOID:1"], "name": ["pain", "Diabète"], "ok": [True, None], "seen": [None, 7]}
            ),
            "Empty": sample().nodes["Empty"],
        },
        {
            TREATS: pa.table(
                {
                    "source": [0, 2, 2],
                    "target": [1, 0, 1],
                    "pmids": pa.array([["1", None], None, None]),
                    "source_": [None, "PubMed", "PubMed"],
                }
            ),
            BINDS: sample().edges[BINDS],
            EdgeType("Disease", "causes", "Disease"): pa.table({"source": [1], "target": [0]}),
        },
    )
    assert graph.fingerprint == store.fingerprint == expected.fingerprint
    for node_type, table in expected.nodes.items():
        assert graph.nodes[node_type].to_pylist() == table.to_pylist()  # in this order
    assert graph.symmetric == frozenset()  # the last edge that resembled is gone, and its type with it
    assert [one.name for one in graph.provenance] == ["Sample", "accepted from Neo4j"]
    assert store.search("diabete", topn=1)["id"].to_pylist() == ["DOID:1"]
    assert store.search("aspirin").num_rows == 0
    assert store.neighbours("DOID:1")["relation"].to_pylist() == ["causes", "treats", "treats"]
    store.write(graph)  # one more store that takes it
    assert store.read().fingerprint == expected.fingerprint


def test_what_is_new_is_not_read_before(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (d:Disease {id: 'DOID:1'}) SET d.seen = 7 CREATE (:Drug {id: 'DRUGBANK:DB0'})-[:new]->(d)")
    assert store.read().fingerprint == sample().fingerprint
    store.accept()
    assert store.read().num_nodes == sample().num_nodes + 1
    assert store.read().edges[EdgeType("Drug", "new", "Disease")].num_rows == 1


def test_symmetric_types_stay_so_while_they_have_edges(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (a:Drug)-[r:resembles]->(a) DELETE r")
    store.accept()
    assert store.read().symmetric == {RESEMBLES}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("SET n.synonyms = ['Diformin']", ["Diformin"]),
        ("SET n.synonyms = []", []),
        ("REMOVE n.synonyms", None),
        ("SET n._exact = 'no JSON'", ["Glucophage"]),
        ("SET n.name = 'x'", ["Glucophage", None]),
    ],
)
def test_a_changed_list_is_not_what_it_was(store: Neo4jStore, change: str, expected: list[str] | None) -> None:
    store.write(sample())
    store.execute(f"MATCH (n:Drug {{id: 'DRUGBANK:DB3'}}) {change}")
    store.execute("MATCH ()-[r:treats {pmids: ['1']}]->() SET r.pmids = ['9', '1']")
    store.accept()
    graph = store.read()
    assert graph.nodes["Drug"]["synonyms"].to_pylist() == [expected, None, [None]]
    assert graph.edges[TREATS]["pmids"].to_pylist() == [["9", "1"], ["2"]]


FOREIGN = """
CREATE (a:Person {id: 'p1', name: 'Ada', born: 1815, score: 1, tags: ['x'], alive: false, `full name`: 'A L'}),
       (b:Person:Admin {id: 'p2', score: 0.5, tags: [], _private: 1}), (c:City {id: 'c1', name: 'London'}),
       (:_Bloom_Perspective_ {id: 'b1'}), ({id: 'nobody'}),
       (a)-[:KNOWS {since: 1833}]->(b), (b)-[:KNOWS]->(a), (a)-[:LIVES_IN]->(c), (b)-[:predicted_LIVES_IN]->(c),
       (a)-[:_seen]->(c)
"""


def test_a_database_of_others_becomes_a_graph(store: Neo4jStore, neo4j_url: str) -> None:
    store.execute(FOREIGN)
    knows = EdgeType("Person", "KNOWS", "Person")
    with pytest.raises(StoreError, match=r"Person-KNOWS-Person: 1 edges stand both ways.*DELETE s") as caught:
        store.accept(node_types=["Person", "City"], symmetric=[knows])
    store.execute(str(caught.value).rpartition("two: ")[2])  # as it is told
    store.accept(node_types=["Person", "City"], symmetric=[("Person", "KNOWS", "Person")])
    graph = store.read()
    assert graph.nodes["Person"].to_pylist() == [
        {"id": "p1", "name": "Ada", "alive": False, "born": 1815, "full name": "A L", "score": 1.0, "tags": ["x"]},
        {"id": "p2", "name": None, "alive": None, "born": None, "full name": None, "score": 0.5, "tags": []},
    ]
    assert graph.nodes["Person"].schema.field("score").type == pa.float64()
    assert graph.edges[knows].to_pylist() == [
        {"source": 0, "target": 1, "since": 1833},
    ]
    assert graph.edges[EdgeType("Person", "LIVES_IN", "City")].num_rows == 1
    assert graph.symmetric == {knows}
    assert dict(graph.skipped) == {
        "nodes without an accepted label": 2,
        "predicted edges": 1,
        "edges of a relation with an underscore in front": 1,
        "properties with an underscore in front": 1,
    }
    assert store.search("ada", topn=1)["id"].to_pylist() == ["p1"]
    (source,) = graph.provenance
    assert source.url.startswith(neo4j_url)
    assert "password" not in source.url
    assert graph.fingerprint == store.fingerprint


def test_a_part_of_the_labels(store: Neo4jStore) -> None:
    store.execute(FOREIGN)
    store.accept(node_types=["Person"])
    graph = store.read()
    assert graph.node_types == ("Person",)
    assert graph.skipped["edges with an end that was not accepted"] == 1
    assert graph.skipped["nodes without an accepted label"] == 3
    assert store.neighbours("p1")["relation"].to_pylist() == ["KNOWS", "KNOWS"]
    with random_access(store) as access:
        knows = EdgeType("Person", "KNOWS", "Person")
        assert access.sources(knows, np.arange(2)).tolist() == [1, 0]
    store.accept(node_types=["Person", "City"])  # thought better of it
    assert store.schema.node_types == ("City", "Person")
    assert "edges with an end that was not accepted" not in store.read().skipped


def test_edges_to_what_was_not_accepted_are_never_walked(store: Neo4jStore) -> None:
    store.execute("CREATE (a:A {id: 'a'})-[:r]->(b:A {id: 'b'}), (:X {id: 'x'})-[:r]->(b)")
    store.accept(node_types=["A"])
    relation = EdgeType("A", "r", "A")
    with random_access(store) as access:
        assert access.num_edges(relation) == 1
        assert access.sources(relation, np.arange(1)).tolist() == [0]


@pytest.mark.parametrize(
    ("cypher", "message"),
    [
        ("CREATE (:A {name: 'x'}), (:A {id: 'a'})", r"A: 1 of 2 nodes have no property `id`"),
        ("CREATE (:A {id: 1})", r"A\.id: 1 values are INTEGER.*toString"),
        ("CREATE (:A {id: ''})", r"empty `id`"),
        ("CREATE (:A {id: 'a', name: 3})", r"A\.name: 1 values are INTEGER"),
        ("CREATE (:A {id: 'a'}), (:A {id: 'a'})", r"1 ids.*'a' on 2 \(A\)"),
        ("CREATE (:A {id: 'a'}), (:B {id: 'a'})", r"'a' on 2 \(A, B\)"),
        ("CREATE (:A {id: 'a', day: date()})", r"A\.day: 1 values are DATE.*SET n\.`day` = toString\(n\.`day`\)"),
        ("CREATE (:A {id: 'a', at: point({x: 1, y: 2})})", r"A\.at: 1 values are POINT"),
        ("CREATE (:A {id: 'a', l: [1, 2]})", r"A\.l: 1 values are LIST<INTEGER.*\[x IN n\.`l` \| toString\(x\)\]"),
        ("CREATE (:A {id: 'a', v: 1}), (:A {id: 'b', v: 'x'})", r"A\.v holds.*INTEGER \(1\), STRING \(1\)"),
        ("CREATE (:A {id: 'a', v: 9007199254740993}), (:A {id: 'b', v: 0.5})", r"A\.v: 1 integers beyond 2\^53"),
        ("CREATE (:A {id: 'a'})-[:r {day: date()}]->(:B {id: 'b'})", r"A-r-B\.day: 1 values are DATE"),
        ("CREATE (:A {id: 'a', _row: 'mine'})", r"A\._row: 1 values are not medgraph's"),
        ("CREATE (:A {id: 'a'})-[:`is a`]->(:A {id: 'b'})", r"'is a' is no relation.*Rename it"),
        ("CREATE (a:A {id: 'a'}) SET a += {`x\\\\y`: 1}", r"A: a property is called.*backslash"),
        ("CREATE ({id: 'a'})", "nothing to accept"),
    ],
)
def test_what_is_no_graph_is_refused_and_left_alone(store: Neo4jStore, cypher: str, message: str) -> None:
    store.execute(cypher)
    with pytest.raises(StoreError, match=message):
        store.accept()
    left = "MATCH (n) WHERE NOT n:_Medgraph AND (n._text IS NOT NULL OR n._row IS :: INTEGER NOT NULL) RETURN n"
    assert store.execute(left).num_rows == 0
    with pytest.raises(StoreUnavailableError):
        store.read()


def test_every_fault_is_told_at_once(store: Neo4jStore) -> None:
    store.execute("CREATE (:A {day: date(), v: [1]}), (:B {id: 'b', at: time()})")
    with pytest.raises(StoreError) as caught:
        store.accept()
    assert len(str(caught.value).splitlines()) == 5


def test_labels_to_choose_from(store: Neo4jStore) -> None:
    store.execute(FOREIGN)
    with pytest.raises(StoreError, match=r"Admin\+Person \(1 nodes\).*accept\(node_types="):
        store.accept()
    with pytest.raises(SchemaError, match=r"'Persons'.*Nearest: Person"):
        store.accept(node_types=["Persons"])
    with pytest.raises(SchemaError, match=r"Person-LIKES-Person is not an edge type"):
        store.accept(node_types=["Person"], symmetric=[EdgeType("Person", "LIKES", "Person")])
    store.execute("CREATE (:`two words` {id: 'w'})")
    with pytest.raises(SchemaError, match=r"'two words'.*node_types"):
        store.accept()


def test_a_label_that_a_team_added_is_no_type(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (n:Drug {id: 'DRUGBANK:DB1'}) SET n:Approved")
    with pytest.raises(StoreError, match=r"accept\(node_types=\['Disease', 'Drug', 'Empty'\]\)"):
        store.accept()
    store.accept(node_types=["Disease", "Drug", "Empty"])
    assert store.fingerprint == store.read().fingerprint == sample().fingerprint


def test_an_index_in_the_way_is_named(store: Neo4jStore) -> None:
    store.execute("CREATE INDEX mine FOR (n:A) ON (n.id)")
    store.execute("CREATE (:A {id: 'a'})")
    with pytest.raises(StoreError, match="DROP INDEX `mine`"):
        store.accept()
    store.execute("DROP INDEX mine")
    store.accept()
    assert store.read().ids == ("a",)


def test_cut_off_at_any_batch_the_order_holds(store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from medgraph.stores.neo4j import accepting
    from medgraph.stores.neo4j.writing import Writer

    ids = [f"b{i}" for i in (5, 3, 4, 1, 2)]
    later = [f"c{i}" for i in (2, 1, 3)]
    first = {"A": pa.table({"id": ["a1"], "name": ["a"]}), "B": pa.table({"id": ids, "name": ids})}
    store.write(KnowledgeGraph({**first, "C": pa.table({"id": later, "name": later})}))
    store.execute("UNWIND ['a2', 'a3'] AS id CREATE (:A {id: id})")
    store.execute("MATCH (n) WHERE n.id IN ['b4', 'b1', 'b2', 'c1'] DELETE n")
    monkeypatch.setattr(accepting, "_BATCH", 1)
    whole, allowed = Writer.batches, 0
    sent = 0

    def cut(self: Writer, total: int, size: int, rows: object, cypher: str) -> None:
        nonlocal sent
        for at in range(total):
            if sent >= allowed:
                raise StoreError("cut off")
            sent += 1
            whole(self, 1, 1, lambda *_, at=at: rows(at, at + 1), cypher)  # type: ignore[operator]

    monkeypatch.setattr(Writer, "batches", cut)
    for allowed in range(1, 50):  # noqa: B007
        sent = 0
        try:
            store.accept()
        except StoreError as fault:
            assert "cut off" in str(fault)  # noqa: PT017
        else:
            break
    else:
        pytest.fail("never done")
    assert allowed > 1
    graph = store.read()
    assert graph.ids == ("a1", "a2", "a3", "b5", "b3", "c2", "c3")


def test_a_type_that_was_renamed(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (n:Drug) SET n:Compound REMOVE n:Drug")
    store.accept()
    graph = store.read()
    assert graph.node_types == ("Compound", "Disease", "Empty")
    assert graph.nodes["Compound"]["id"].to_pylist() == sample().nodes["Drug"]["id"].to_pylist()
    assert graph.num_edges == sample().num_edges
    stand = "MATCH (n:Compound) RETURN elementId(n) AS e ORDER BY n._row"
    before = store.query(stand)
    store.write(graph)  # is there already: no node is made anew
    assert store.query(stand).equals(before)


def test_who_may_not_write_may_not_accept(store: Neo4jStore, neo4j_url: str) -> None:
    store.write(sample())
    with open_store(neo4j_url, read_only=True) as reader, pytest.raises(StoreUnavailableError, match="read-only"):
        reader.accept()  # type: ignore[attr-defined]


def test_a_damaged_manifest_can_be_overcome_as_its_error_says(store: Neo4jStore) -> None:
    store.write(sample())
    store.execute("MATCH (m:_Medgraph {name: 'graph'}) SET m.manifest = '{\"format_version\": 1}'")
    for ask in (store.read, store.accept, lambda: store.write(sample())):
        with pytest.raises(StoreError, match=r"damaged.*DELETE m.*accept"):
            ask()
    store.execute("MATCH (m:_Medgraph {name: 'graph'}) DELETE m")
    store.accept(symmetric=[RESEMBLES])
    assert store.read().num_edges == sample().num_edges
    store.write(sample())
    assert store.read().fingerprint == sample().fingerprint
