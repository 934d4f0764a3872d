"""Files for Neo4j's own importer, read back from what it made of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from medgraph.cli import app
from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreError
from medgraph.server import Neo4jServer
from medgraph.stores import open_store
from medgraph.stores.neo4j import Neo4jStore
from medgraph.stores.neo4j.bulk import export_for_admin

TREATS = EdgeType("Compound", "treats", "Disease")
LIKE = EdgeType("Disease", "like", "Disease")
TEXTS = [
    'O\'Reilly said "no" to `that`',
    "two\nlines\tand\\n a \\ backslash\r\n",
    "before\0after",
    "\u202eright to left\u202c שלום",
    "x" * 10_000,
    "",
    "'}) DETACH DELETE (n) //",
    "a,b;c|d\x1fe",
    '"',
    '""',
    " spaces ",
    "NULL",
    "𝒳🧬",
    None,
]
LISTS = [
    [text, "b"] if text is not None else None for text in TEXTS[:-4]
] + [[], [""], [None], [None, "a", "", " c "]]  # fmt: skip
NAMES = ["a:b", "a,b", 'a"b', "a{b:c}", " a ", "a\nb", "x:ID", "n[]", ":c", "a:long", "a'`b", "é𝒳", "#d", "_row"]


def hostile() -> KnowledgeGraph:
    rows = len(TEXTS)
    compounds = pa.table(
        {
            "id": [f"A:{row}" for row in range(rows)],
            "name": TEXTS,
            "synonyms": pa.array(LISTS),
            "mass": pa.array([1.5, None, float("nan"), float("inf"), -float("inf"), -0.0, 1e-310] + [0.1] * (rows - 7)),
            "atoms": pa.array([1, None, 2**62, -(2**63), 2**63 - 1] + [0] * (rows - 5)),
            "approved": pa.array([True, None] + [False] * (rows - 2)),
            "nothing": pa.nulls(rows, pa.string()),
            **dict.fromkeys(NAMES, pa.array(TEXTS)),
        }
    )
    diseases = pa.table({"id": ["B:0", "B:1"], "name": ["one", "two"]})
    nobody = pa.table({"id": pa.array([], pa.string()), "name": pa.array([], pa.string())})
    none = pa.array([], pa.int64())
    edges = {
        TREATS: pa.table(
            {"source": list(range(rows)), "target": [0, 1] * (rows // 2), "why": pa.array(LISTS), "note": TEXTS}
        ),
        LIKE: pa.table({"source": [0, 0, 1], "target": [1, 1, 1], "weight": pa.array([0.5, 0.5, None])}),
        EdgeType("Nobody", "like", "Disease"): pa.table({"source": none, "target": none}),
    }  # fmt: skip
    return KnowledgeGraph(
        {"Compound": compounds, "Disease": diseases, "Nobody": nobody},
        edges,
        frozenset({LIKE}),
        (Provenance("Sample", "1", "CC0"),),
        {"no target": 3},
    )


def test_the_real_importer_makes_the_same_graph(own_neo4j: Callable[..., Neo4jServer], tmp_path: Path) -> None:
    graph = hostile()
    made = export_for_admin(graph, tmp_path / "files")
    server = own_neo4j()
    said = server.neo4j_admin(*made.arguments(made.folder), timeout=300)
    assert "IMPORT DONE" in said
    with server.start() as running, Neo4jStore(running.url) as store:
        read = store.read()
        assert read.fingerprint == graph.fingerprint == store.fingerprint
        assert (read.schema, read.provenance, dict(read.skipped)) == (graph.schema, graph.provenance, graph.skipped)
        found = store.query(
            "MATCH (n:Compound) RETURN n.name AS name, n.`a:b` AS other, n.mass AS mass ORDER BY n._row"
        )
        assert found["name"].to_pylist() == found["other"].to_pylist() == TEXTS
        assert str(found["mass"].to_pylist()[:7]) == "[1.5, None, nan, inf, -inf, -0.0, 1e-310]"
        for statement in (made.folder / "schema.cypher").read_text().split(";\n"):
            if statement:
                store.execute(statement)
        assert store.search("before after", topn=1)["id"].to_pylist() == ["A:2"]


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_what_the_files_hold(tmp_path: Path) -> None:
    diseases = pa.table(
        {"id": ["B:0", "B:1", "B:2"], "name": ['say "no"', "", None], "tags": pa.array([["a", None], ["b", "c"], []])}
    )
    graph = KnowledgeGraph(
        {"Disease": diseases, "Anatomy": pa.table({"id": ["C:0"], "name": ["skin"]})},
        {LIKE: pa.table({"source": [0, 2], "target": [1, 2], "weight": [float("nan"), 0.5]})},
    )
    made = export_for_admin(graph, tmp_path / "files", database="graph2")
    files = {path.name for path in made.folder.iterdir()}
    assert files == {
        "nodes-0-Anatomy.csv", "nodes-1-Disease.csv", "edges-0-Disease-like-Disease.csv", "manifest.csv", "import.sh",
        "schema.cypher",
    }  # fmt: skip
    header, *rows = rows_of(made.folder / "nodes-1-Disease.csv")
    assert header == [":ID", "_row:long", "_text:string", "id:string", "name:string", "tags:string[]", "_exact:string"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [row[4] for row in rows] == ['say "no"', "", ""]
    assert [row[5] for row in rows] == ["a", "b\x1fc", ""]
    assert [row[6] for row in rows] == ['{"tags": ["a", null]}', "", '{"tags": []}']
    assert ',"",' in (made.folder / "nodes-1-Disease.csv").read_text()  # the empty name, which is not the absent one
    assert rows_of(made.folder / "edges-0-Disease-like-Disease.csv") == [
        [":START_ID", ":END_ID", "weight:double"], ["1", "2", "NaN"], ["3", "3", "0.5"]
    ]  # fmt: skip
    assert made.command == (
        "neo4j-admin database import full graph2 --id-type=integer --array-delimiter=U+001F --bad-tolerance=0 "
        "--nodes=Anatomy=nodes-0-Anatomy.csv --nodes=Disease=nodes-1-Disease.csv "
        "--relationships=like=edges-0-Disease-like-Disease.csv --nodes=_Medgraph=manifest.csv"
    )
    script = (made.folder / "import.sh").read_text()
    assert all(part in script for part in ("import full graph2", "--nodes=Disease=nodes-1-Disease.csv", '"$@"'))
    assert (made.folder / "import.sh").stat().st_mode & 0o111


def test_items_stay_apart_whatever_they_hold(tmp_path: Path) -> None:
    tags = pa.array([["\x1f", "\x1e\x1d", "plain"]])
    graph = KnowledgeGraph({"Disease": pa.table({"id": ["B:0"], "name": ["one"], "tags": tags})})
    made = export_for_admin(graph, tmp_path / "files")
    assert "--array-delimiter=U+001C" in made.options
    assert rows_of(made.folder / "nodes-0-Disease.csv")[1][5] == "\x1f\x1c\x1e\x1d\x1cplain"


def test_options_that_the_content_asks_for(tmp_path: Path) -> None:
    def options(name: str, folder: str) -> str:
        graph = KnowledgeGraph({"Disease": pa.table({"id": ["B:0"], "name": [name]})})
        return " ".join(export_for_admin(graph, tmp_path / folder).options)

    assert "multiline" not in options("one line", "a")
    assert "--multiline-fields=true" in options("two\rlines", "b")
    assert "--read-buffer-size=" not in options("x" * 1000, "c")
    assert f"--read-buffer-size={8 * 2**20}" in options("x" * 2 * 2**20, "d")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty"):
        export_for_admin(KnowledgeGraph({}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(SchemaError, match="name of a database"):
        export_for_admin(KnowledgeGraph({}), tmp_path / "files", database="a; rm -rf /")
    assert export_for_admin(KnowledgeGraph({}), tmp_path / "empty").num_nodes == 0


def test_the_command_line_writes_the_same_files(tmp_path: Path) -> None:
    graph = KnowledgeGraph({"Disease": pa.table({"id": ["B:0"], "name": ["one"]})})
    with open_store(tmp_path / "graph") as store:
        store.write(graph)
    arguments = ["export", "neo4j-admin", str(tmp_path / "graph"), "--to"]
    plain = CliRunner().invoke(app, [*arguments, str(tmp_path / "a")])
    assert plain.exit_code == 0
    assert "1 nodes and 0 edges" in plain.stdout
    assert "\nneo4j-admin database import full neo4j --id-type=integer" in plain.stdout
    told = json.loads(CliRunner().invoke(app, [*arguments, str(tmp_path / "b"), "--json"]).stdout)
    assert (told["nodes"], told["edges"], told["fingerprint"]) == (1, 0, graph.fingerprint)
    assert told["command"] == export_for_admin(graph, tmp_path / "c").command
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes()
    again = CliRunner().invoke(app, [*arguments, str(tmp_path / "b")])
    assert isinstance(again.exception, StoreError)
