"""KGX in its three forms: the same graph from each, and every fault with its file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medgraph.data.schema import EdgeType
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loaders.kgx import load

INTERACTS = EdgeType("Gene", "interacts_with", "Gene")
TREATS = EdgeType("SmallMolecule", "treats", "Disease")
LISTS = {"category", "xref", "publications"}
NODES = [
    {"id": "MONDO:0005015", "name": "diabetes", "category": "biolink:NamedThing|biolink:Disease", "xref": "a:1|b:2"},
    {"id": "NCBIGene:3630", "name": "INS", "category": "biolink:Gene"},
    {"id": "NCBIGene:3640", "name": "INSL3", "category": "biolink:Gene"},
    {"id": "CHEBI:6801", "name": 'so-called "metformin"', "category": "biolink:SmallMolecule|biolink:Drug"},
]
EDGES = [
    {
        "subject": "CHEBI:6801",
        "predicate": "biolink:treats",
        "object": "MONDO:0005015",
        "primary_knowledge_source": "infores:drugcentral",
        "publications": "PMID:1|PMID:2",
        "weight": "0.5",
        "negated": "False",
    },
    {"subject": "NCBIGene:3640", "predicate": "biolink:interacts_with", "object": "NCBIGene:3630"},
    {"subject": "Entrez:3630", "predicate": "biolink:interacts_with", "object": "NCBIGene:3640"},
    {"subject": "CHEBI:6801", "predicate": "biolink:treats", "object": "NCBIGene:3640", "negated": "true"},
]
Rows = list[dict[str, str]]


def columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def tsv(rows: Rows, end: str = "\n") -> str:
    names = columns(rows)
    return end.join("\t".join(cells) for cells in [names, *([row.get(n, "") for n in names] for row in rows)]) + end


def objects(rows: Rows) -> list[dict[str, Any]]:
    def value(key: str, text: str) -> Any:
        if key in LISTS:
            return text.split("|")
        return {"weight": float, "negated": lambda t: t.lower() == "true"}.get(key, str)(text)

    return [{key: value(key, text) for key, text in row.items()} for row in rows]


def write_tsv(folder: Path, nodes: Rows, edges: Rows) -> None:
    (folder / "nodes.tsv").write_text(tsv(nodes), encoding="utf-8")
    (folder / "edges.tsv").write_text(tsv(edges), encoding="utf-8")


def write_windows_tsv(folder: Path, nodes: Rows, edges: Rows) -> None:
    (folder / "kg_nodes.tsv.gz").write_bytes(gzip.compress(("\ufeff" + tsv(nodes, "\r\n")).encode()))
    (folder / "kg_edges.tsv.gz").write_bytes(gzip.compress(("\ufeff" + tsv(edges, "\r\n\r\n")).encode()))


def write_json_lines(folder: Path, nodes: Rows, edges: Rows) -> None:
    for name, rows in (("nodes", nodes), ("edges", edges)):
        text = "\n".join(json.dumps(row) for row in objects(rows))
        (folder / f"my-{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def write_parquet(folder: Path, nodes: Rows, edges: Rows) -> None:
    for name, rows in (("nodes", nodes), ("edges", edges)):
        full = [{key: row.get(key) for key in columns(rows)} for row in objects(rows)]
        pq.write_table(pa.Table.from_pylist(full), folder / f"{name}.parquet")


@pytest.mark.parametrize("write", [write_tsv, write_windows_tsv, write_json_lines, write_parquet])
def test_every_form_holds_the_same_graph(tmp_path: Path, write: Callable[[Path, Rows, Rows], None]) -> None:
    write(tmp_path, NODES, EDGES)
    graph = load(tmp_path)
    assert set(graph.ids) == {"MONDO:0005015", "NCBIGENE:3630", "NCBIGENE:3640", "CHEBI:6801"}
    assert graph.name("CHEBI:6801") == 'so-called "metformin"'
    assert graph.node_types == ("Disease", "Gene", "SmallMolecule")
    assert graph.edge_types == (INTERACTS, TREATS)
    assert graph.symmetric == {INTERACTS}
    assert graph.edge_index(INTERACTS).tolist() == [[0], [1]]
    assert graph.skipped == {"negated edges": 1, "second copies of symmetric edges": 1}
    row = graph.edges[TREATS].to_pylist()[0]
    assert row["primary_knowledge_source"] == "infores:drugcentral"
    assert row["publications"] == ["PMID:1", "PMID:2"]
    assert row["weight"] == 0.5
    disease = graph.nodes["Disease"].to_pylist()[0]
    assert disease["category"] == ["biolink:NamedThing", "biolink:Disease"]
    assert disease["xref"] == ["a:1", "b:2"]
    assert len(graph.provenance[0].sha256.split()) == 2


def test_order_of_rows_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_tsv(tmp_path / "a", NODES, EDGES)
    write_json_lines(tmp_path / "b", NODES[::-1], EDGES[::-1])
    graphs = [load(tmp_path / name, edge_columns=["publications"]) for name in "ab"]
    assert graphs[0].edges[TREATS].column_names == ["source", "target", "publications"]
    assert graphs[0].fingerprint == graphs[1].fingerprint


def test_which_predicates_are_symmetric_can_be_said(tmp_path: Path) -> None:
    write_tsv(tmp_path, NODES, EDGES)
    graph = load(tmp_path, symmetric=())
    assert graph.symmetric == frozenset()
    assert graph.edges[INTERACTS].num_rows == 2


def test_dangling_edges_can_be_counted_instead(tmp_path: Path) -> None:
    write_tsv(tmp_path, NODES[:3], EDGES[:3])
    with pytest.raises(MalformedInputError, match=r"'CHEBI:6801' is not in the node file") as refused:
        load(tmp_path)
    assert (refused.value.row, refused.value.column) == (2, "subject")
    graph = load(tmp_path, skip_dangling=True)
    assert graph.skipped == {"edges to unknown nodes": 1, "second copies of symmetric edges": 1}
    assert graph.num_edges == 1


def test_nothing_but_what_is_left_out(tmp_path: Path) -> None:
    write_tsv(tmp_path, NODES, EDGES[3:])
    assert load(tmp_path).skipped == {"negated edges": 1}
    (tmp_path / "nodes.tsv").write_text("id\tname\tcategory\n")
    graph = load(tmp_path, skip_dangling=True)
    assert (graph.num_nodes, graph.num_edges) == (0, 0)


def test_files_can_be_named_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "n.tsv").write_text(tsv(NODES))
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects(EDGES)))
    assert load(nodes=tmp_path / "n.tsv", edges=str(tmp_path / "e.jsonl")).num_edges == 2


def test_files_that_are_not_there_or_not_clear(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="needs path="):
        load()
    with pytest.raises(LoaderError, match=r"no nodes.tsv"):
        load(tmp_path)
    with pytest.raises(LoaderError, match="no such folder"):
        load(tmp_path / "nowhere")
    write_tsv(tmp_path, NODES, EDGES)
    write_json_lines(tmp_path, NODES, EDGES)
    with pytest.raises(LoaderError, match=r"several: my-nodes.jsonl.gz, nodes.tsv; choose one"):
        load(tmp_path)
    with pytest.raises(LoaderError, match="no such file"):
        load(nodes=tmp_path / "x.tsv", edges=tmp_path / "y.tsv")
    with pytest.raises(LoaderError, match="expected a file that ends in"):
        load(nodes=tmp_path / "x.docx", edges=tmp_path / "y.tsv")


def changed(rows: Rows, number: int, **values: str) -> Rows:
    return [{**row, **values} if i == number else row for i, row in enumerate(rows)]


def lacking(rows: Rows, key: str) -> Rows:
    return [{k: v for k, v in row.items() if k != key} for row in rows]


FAULTS = [
    (changed(NODES, 1, id="NCBIGene:INS"), EDGES, "nodes", 1, "id", "no NCBIGENE id"),
    (changed(NODES, 1, id="INS"), EDGES, "nodes", 1, "id", "no prefix"),
    (changed(NODES, 1, id=""), EDGES, "nodes", 1, "id", "empty"),
    (changed(NODES, 2, id="entrez:3630"), EDGES, "nodes", 2, "id", "twice"),
    (changed(NODES, 3, category=""), EDGES, "nodes", 3, "category", "category"),
    (changed(NODES, 3, category="biolink:7"), EDGES, "nodes", 3, "category", "expected a letter"),
    (changed(NODES, 1, name="S" * 10_000_000), EDGES, "nodes", 1, None, r"10,000,000"),
    (NODES, changed(EDGES, 2, object="NCBIGene:1"), "edges", 2, "object", "not in the node file"),
    (NODES, changed(EDGES, 2, subject="nonsense"), "edges", 2, "subject", "not in the node file"),
    (NODES, changed(EDGES, 3, predicate=""), "edges", 3, "predicate", "empty"),
    (NODES, changed(EDGES, 3, predicate="1st"), "edges", 3, "predicate", "expected a letter"),
]


@pytest.mark.parametrize("write", [write_tsv, write_windows_tsv, write_json_lines, write_parquet])
@pytest.mark.parametrize(("nodes", "edges", "part", "row", "column", "problem"), FAULTS)
def test_a_fault_is_named_with_file_and_row(
    tmp_path: Path,
    write: Callable[[Path, Rows, Rows], None],
    nodes: Rows,
    edges: Rows,
    part: str,
    row: int,
    column: str | None,
    problem: str,
) -> None:
    write(tmp_path, nodes, edges)
    if write is write_parquet and "10,000,000" in problem:
        assert load(tmp_path).num_nodes == 4  # Parquet says how long a value is: nothing to protect
        return
    with pytest.raises(MalformedInputError, match=problem) as refused:
        load(tmp_path)
    assert refused.value.file is not None
    assert part in Path(refused.value.file).name
    line = {write_tsv: row + 2, write_windows_tsv: row + 2 + (part == "edges") * (row + 1)}.get(write, row + 1)
    assert refused.value.row == line
    if column is not None:
        assert refused.value.column == column
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("write", [write_tsv, write_parquet])
@pytest.mark.parametrize("key", ["subject", "predicate", "object"])
def test_a_missing_column_is_named(tmp_path: Path, write: Callable[[Path, Rows, Rows], None], key: str) -> None:
    write(tmp_path, NODES, lacking(EDGES, key))
    with pytest.raises(MalformedInputError, match=f"no column '{key}'"):
        load(tmp_path)


def test_weights_are_numbers(tmp_path: Path) -> None:
    write_tsv(tmp_path, NODES, changed(EDGES, 0, weight="heavy"))
    with pytest.raises(MalformedInputError, match="heavy") as refused:
        load(tmp_path)
    assert (refused.value.row, refused.value.column) == (2, "weight")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"id": "MONDO:1"', "no JSON"),
        (b"[1, 2]", "expected a JSON object"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b'{"id": "\\ud800", "category": "biolink:Gene"}', "surrogate"),
        (b'{"id": 7, "category": "biolink:Gene"}', "no prefix"),
        (b'{"name": "no id", "category": "biolink:Gene"}', "empty"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    write_json_lines(tmp_path, NODES, EDGES)
    (tmp_path / "my-nodes.jsonl.gz").unlink()
    good = b"".join(json.dumps(row).encode() + b"\n" for row in objects(NODES))
    (tmp_path / "nodes.jsonl").write_bytes(good + b"\n" + line + b"\n")
    with pytest.raises(MalformedInputError, match=problem) as refused:
        load(tmp_path)
    assert refused.value.row == 6


def test_json_values_of_mixed_types_are_united(tmp_path: Path) -> None:
    nodes = [
        {"id": "A:1", "category": "biolink:Gene", "xref": "x", "score": 1, "seen": "2020-01-01", "more": {"a": [1]}},
        {"id": "A:2", "category": ["biolink:Gene"], "xref": ["y", "z"], "score": 0.5, "seen": "2021-01-01 10:00:00"},
    ]
    (tmp_path / "nodes.jsonl").write_text("\n".join(map(json.dumps, nodes)))
    (tmp_path / "edges.jsonl").write_text("")
    table = load(tmp_path).nodes["Gene"].to_pylist()
    assert [row["xref"] for row in table] == [["x"], ["y", "z"]]
    assert [row["score"] for row in table] == [1.0, 0.5]
    assert [row["seen"] for row in table] == ["2020-01-01", "2021-01-01 10:00:00"]
    assert table[0]["more"] == '{"a": [1]}'
