"""Names and values that would be commands, and secrets that no error may tell."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from people import KNOWS, OLD, assert_holds, closed_port

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import MedgraphError, SchemaError, StoreError
from medgraph.stores.neo4j import Neo4jStore

neo4j = pytest.importorskip("neo4j")
pytestmark = pytest.mark.neo4j

# Hostile names --------------------------------------------------------------------------------------------------------

NAMES = [
    "`]->() DETACH DELETE n //",
    "`) DETACH DELETE n //",
    "\\u0060) DETACH DELETE n //",  # Cypher reads this as a backtick, wherever it stands
    "\\\\u0060 n",
    'quote\' and "quote"',
    "line\nline\r\ttab",
    "before\0after",
    "\u202eright to left\u202c שלום",
    "$token {a: 1}",
    "x" * 10_000,
]


def test_hostile_values_and_columns_come_back_as_they_were(store: Neo4jStore) -> None:
    rows = len(NAMES)
    lists = pa.array([[name, None, ""] for name in NAMES])
    nodes = pa.table({"id": [f"{row}:{name[:1000]}" for row, name in enumerate(NAMES)], "name": NAMES, "lists": lists})
    columns = dict.fromkeys(NAMES[:-1], NAMES) | {NAMES[-1][:1000]: NAMES}
    for name, values in columns.items():
        nodes = nodes.append_column(name, pa.array(values))
    ends = {"source": np.arange(rows), "target": np.arange(rows)[::-1]}
    edges = {KNOWS: pa.table({**ends, **columns, "lists": lists, "_exact": NAMES})}
    graph = KnowledgeGraph({"Person": nodes}, edges)
    store.write(graph)
    assert_holds(store, graph)
    for row, name in enumerate(NAMES):
        assert store.query("MATCH (n:Person {name: $name}) RETURN n._row AS row", name=name)["row"].to_pylist() == [row]
        assert store.neighbours(nodes["id"][row].as_py())["name"].to_pylist() == [NAMES[-1 - row]] * 2
    with store:
        assert store.search("right to left")["name"].to_pylist() == [NAMES[7]]


@pytest.mark.parametrize("name", [*NAMES, "", "_Staged", "é", "a b"])
def test_hostile_labels_are_refused(store: Neo4jStore, name: str) -> None:
    row = pa.table({"id": ["A:1"], "name": ["a"]})
    with pytest.raises(SchemaError, match="is no node type"):
        store.write(KnowledgeGraph({name: row}))
    edge = EdgeType("Person", name, "Person")
    with pytest.raises(SchemaError, match="is no relation"):
        store.write(KnowledgeGraph({"Person": row}, {edge: pa.table({"source": [0], "target": [0]})}))
    with pytest.raises(SchemaError):
        store.neighbours("OLD:1", [edge])
    with pytest.raises(SchemaError):
        store.search("name", node_type=name)
    with pytest.raises(SchemaError):
        store.read([name])


@pytest.mark.parametrize("letter", ["x", "é"])
def test_an_id_that_no_index_takes(store: Neo4jStore, letter: str) -> None:
    fits, too_long = (f"A:{letter * ((8_000 + more) // len(letter.encode()))}" for more in (-2, 2))
    with pytest.raises(StoreError, match=r"an id of Person has 8,00\d bytes.*up to 8,000"):
        store.write(KnowledgeGraph({"Person": pa.table({"id": [too_long], "name": ["a"]})}))
    assert_holds(store, OLD)
    graph = KnowledgeGraph({"Person": pa.table({"id": [fits], "name": ["a" * 100_000]})})
    store.write(graph)
    assert_holds(store, graph)


# Secrets --------------------------------------------------------------------------------------------------------------


def everything_told(error: BaseException | None) -> Iterator[str]:
    """What an error, and all it drags along, would say in the most talkative of tracebacks."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), repr(vars(one)))
        yield from traceback.TracebackException.from_exception(one, capture_locals=True).format()
        waiting += [one.__cause__, one.__context__]


def test_no_secret_is_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    host, password = url.removeprefix("neo4j://"), os.environ["NEO4J_PASSWORD"]
    secrets, told = [password, "hunter2"], []

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except MedgraphError as fault:
            told.extend(everything_told(fault))
        else:
            raise AssertionError("it should have failed")

    def ask_keyring() -> tuple[str, str]:
        return "neo4j", "hunter2"

    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "neo4j"),
        caplog.at_level(logging.DEBUG, "medgraph"),
    ):
        attempt(lambda: Neo4jStore(url, credentials=ask_keyring))
        attempt(lambda: Neo4jStore(f"bolt://127.0.0.1:{closed_port()}", credentials=ask_keyring))
        attempt(lambda: Neo4jStore(f"{url}/another"))
        attempt(lambda: Neo4jStore(f"neo4j+s://{host}"))
        with Neo4jStore(url, retry_seconds=0) as store:
            attempt(lambda: store.query("MATCH (n:Person) RETRN n"))
            attempt(lambda: store.execute("CREATE (:Person {id: 'OLD:1'})"))
            attempt(lambda: store.query("RETURN $x", x=object()))
            store.read()
            held = store._connection
            for thing in (store, vars(store), held, vars(held), store.server, held._driver, vars(held._driver)):
                told.append(repr(thing))
    assert len(caplog.records) > 50  # the driver told all it tells
    told += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    with Neo4jStore(url) as store:
        told.append(json.dumps(store.query("MATCH (n:_Medgraph) RETURN properties(n) AS p").to_pylist()))
    assert len(password) > 4
    assert not [text[:200] for text in told for secret in secrets if secret in text]


def test_the_driver_is_silent_unless_asked(url: str) -> None:
    code = (
        "import sys\nfrom medgraph.stores.neo4j import Neo4jStore\nfrom medgraph.errors import StoreError\n"
        "with Neo4jStore(sys.argv[1]) as store:\n"
        "    try:\n        store.query('MATCH (n:Nowhere) RETURN n.nothing')\n    except StoreError:\n        pass\n"
        "try:\n    Neo4jStore(sys.argv[2])\nexcept StoreError:\n    pass\n"
        "import logging\nlogging.basicConfig(format='asked: %(message)s')\n"
        "if len(sys.argv) > 3:\n    logging.getLogger('neo4j').warning('a warning')\n"
    )
    nobody = f"neo4j://127.0.0.1:{closed_port()}"
    for more, said in ([], ""), (["aloud"], "asked: a warning\n"):
        command = [sys.executable, "-W", "error", "-c", code, url, nobody, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
