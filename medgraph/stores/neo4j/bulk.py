"""A graph as files for `neo4j-admin database import`, the way into Neo4j for what is too much for a driver.

    nodes-0-Compound.csv ...                     `:ID`, `_row`, one column a property, `_text`, `_exact`
    edges-0-Compound-treats-Disease.csv ...      `:START_ID`, `:END_ID`, one column a property, `_exact`
    manifest.csv                                 the bookkeeping node
    import.sh                                    the command
    schema.cypher                                constraints and indexes, to be run after it

What is imported is laid out as `store.write` lays it out, but for a list without a single character (`[]`, `[""]`),
which the importer drops: it stands in `_exact` alone, where `store.read` finds it.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType, check_label
from medgraph.errors import StoreError
from medgraph.stores.neo4j.indexes import statements
from medgraph.stores.neo4j.layout import BOOKKEEPING, EXACT, ROW, TEXT, Manifest, Part
from medgraph.stores.search import folded_names

__all__ = ["AdminImport", "export_for_admin"]

_ROWS = 50_000  # of one piece
_BUFFER = 1 << 20  # bytes of a field, from which the importer needs more than its own 4 MiB
_UNSAID = re.compile(r'["{}\x00-\x1f\x7f]')  # what a header cannot carry in a name
_DELIMITERS = [*"\x1f\x1e\x1d\x1c", *map(chr, range(0xE000, 0xF900))]  # separators, then what nobody has assigned
_TYPES = {pa.string(): "string", pa.int64(): "long", pa.float64(): "double", pa.bool_(): "boolean"}
_Column = tuple[str, Any]


@dataclass(frozen=True)
class AdminImport:
    """Files to import, and how.

    Args:
        folder: where they are.
        database: which one is made.
        options: of the import.
        inputs: what each file holds, such as ("--nodes=Disease", "nodes-1-Disease.csv").
        num_nodes, num_edges: how many there are of the graph's.
    """

    folder: Path
    database: str
    options: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...]
    num_nodes: int
    num_edges: int

    def arguments(self, folder: Path | None = None) -> list[str]:
        """What `neo4j-admin` is called with: in the folder, or from anywhere if the folder's path is given."""
        files = [f"{what}={name if folder is None else folder / name}" for what, name in self.inputs]
        return ["database", "import", "full", self.database, *self.options, *files]

    @property
    def command(self) -> str:
        """The command, to be run in the folder while the server is stopped."""
        return shlex.join(["neo4j-admin", *self.arguments()])


def export_for_admin(graph: KnowledgeGraph, folder: str | Path, database: str = "neo4j") -> AdminImport:
    """Write the files, all of them or none.

    Raises:
        StoreError: the folder holds something already, or no character is left to stand between the items of lists.
    """
    folder = Path(folder)
    check_label(database, "name of a database")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already and is not empty: name another folder, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        part = Path(temporary) / folder.name
        part.mkdir()
        made = replace(_Export(graph, part, database).write(), folder=folder)
        part.replace(folder)
    return made


class _Export:
    def __init__(self, graph: KnowledgeGraph, folder: Path, database: str) -> None:
        self._graph, self._folder, self._database = graph, folder, database
        self._delimiter = _free_character(graph)
        self._inputs: list[tuple[str, str]] = []
        self._longest = 0
        self._lines = False

    def write(self) -> AdminImport:
        graph, found = self._graph, Manifest.of(self._graph)
        manifest = replace(
            found,
            nodes={node_type: _carried(part) for node_type, part in found.nodes.items()},
            edges={edge_type: _carried(part) for edge_type, part in found.edges.items()},
        )
        for number, (node_type, table) in enumerate(graph.nodes.items()):
            ids = np.arange(table.num_rows) + graph.offsets[node_type]
            own = [(":ID", ids), (f"{ROW}:long", ids), (f"{TEXT}:string", pa.array(folded_names(table), pa.string()))]
            part = manifest.nodes[node_type]
            self._file(f"--nodes={node_type}", f"nodes-{number}-{node_type}.csv", table, part, own)
        for number, (edge_type, table) in enumerate(graph.edges.items()):
            source, target = graph.edge_index(edge_type)
            ends = source + graph.offsets[edge_type.source], target + graph.offsets[edge_type.target]
            own = [(":START_ID", ends[0]), (":END_ID", ends[1])]
            part = manifest.edges[edge_type]
            self._file(_relation(edge_type), f"edges-{number}-{edge_type}.csv", table, part, own)
        about = pa.table({"name": ["graph"], "manifest": [manifest.to_json()]})
        own = [(":ID", np.array([graph.num_nodes]))]
        self._file(f"--nodes={BOOKKEEPING}", "manifest.csv", about, Part.of(about), own)
        options = ["--id-type=integer", f"--array-delimiter=U+{ord(self._delimiter):04X}", "--bad-tolerance=0"]
        if self._lines:
            options.append("--multiline-fields=true")
        if self._longest > _BUFFER:
            options.append(f"--read-buffer-size={4 * self._longest}")
        made = AdminImport(
            self._folder, self._database, tuple(options), tuple(self._inputs), graph.num_nodes, graph.num_edges
        )
        self._write_commands(made)
        return made

    def _file(self, what: str, name: str, table: pa.Table, part: Part, own: list[_Column]) -> None:
        """One CSV file: our own columns, the table's, and the lists that it cannot say."""
        if not table.num_rows:
            return
        self._inputs.append((what, name))
        fields = [field for field in part.columns if field.name not in ("source", "target")]
        header = [title for title, _ in own] + [_title(part.properties[field.name], field.type) for field in fields]
        lists = any(pa.types.is_list(field.type) for field in fields)
        header += [f"{EXACT}:string"] if lists else []
        given = pa.table({str(i): values for i, (_, values) in enumerate(own)})
        with (self._folder / name).open("wb") as file:
            file.write((",".join(_quoted(title) for title in header) + "\n").encode())
            for start in range(0, table.num_rows, _ROWS):
                piece, exact = table.slice(start, _ROWS), dict[int, dict[str, Any]]()
                columns = list(given.slice(start, _ROWS).columns)
                columns += [self._column(piece.column(field.name), field.name, exact) for field in fields]
                if lists:
                    texts = [
                        json.dumps(exact[i], ensure_ascii=False) if i in exact else None for i in range(len(piece))
                    ]
                    columns.append(pa.array(texts, pa.string()))
                for column in columns:
                    self._measure(column)
                plain = pa.Table.from_arrays(columns, [str(i) for i in range(len(columns))])
                options = pacsv.WriteOptions(include_header=False, quoting_style="needed")
                pacsv.write_csv(plain, file, options)

    def _column(self, column: pa.ChunkedArray, name: str, exact: dict[int, dict[str, Any]]) -> pa.Array:
        """A column as CSV holds it; what it cannot hold goes to `exact`, by row."""
        whole = column.combine_chunks()
        whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
        if pa.types.is_floating(whole.type):
            return _doubles(whole)
        if not pa.types.is_list(whole.type):
            return whole
        parents = pc.list_parent_indices(whole).to_numpy()
        values = pc.list_flatten(whole)
        there = pc.is_valid(values).to_numpy(zero_copy_only=False)
        sizes = np.bincount(parents[there], minlength=len(whole))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, values.filter(pa.array(there))), self._delimiter)
        given = pc.is_valid(whole).to_numpy(zero_copy_only=False)
        unsaid = given & pc.equal(joined, "").to_numpy(zero_copy_only=False)
        for row in np.union1d(np.flatnonzero(unsaid), parents[~there]).tolist():
            exact.setdefault(row, {})[name] = whole[row].as_py()
        return pc.if_else(pa.array(given & ~unsaid), joined, pa.scalar(None, pa.string()))

    def _measure(self, column: pa.ChunkedArray) -> None:
        if pa.types.is_string(column.type):
            self._longest = max(self._longest, pc.max(pc.binary_length(column)).as_py() or 0)
            self._lines = self._lines or bool(pc.any(pc.match_substring_regex(column, r"[\r\n]")).as_py())

    def _write_commands(self, made: AdminImport) -> None:
        script = self._folder / "import.sh"
        command = " \\\n  ".join(shlex.quote(one) for one in made.arguments()[3:])
        script.write_text(
            "#!/bin/sh\n"
            f"# Makes the database {made.database}: {made.num_nodes:,} nodes, {made.num_edges:,} edges.\n"
            "# Stop the server first.\n# A database of that name is replaced if you add: --overwrite-destination=true\n"
            "# Afterwards start the server and run schema.cypher: cypher-shell -f schema.cypher\nset -e\n"
            f'cd "$(dirname "$0")"\nexec "${{NEO4J_ADMIN:-neo4j-admin}}" database import full {command} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
        text = ";\n".join(statements(self._graph.node_types)) + ";\nCALL db.awaitIndexes(3600);\n"
        (self._folder / "schema.cypher").write_text(text, encoding="utf-8")


def _free_character(graph: KnowledgeGraph) -> str:
    """A character that stands in no item of any list."""
    lists = list(_list_items([*graph.nodes.values(), *graph.edges.values()]))
    for character in _DELIMITERS:
        if not any(pc.any(pc.match_substring(items, character)).as_py() for items in lists):
            return str(character)
    raise StoreError(f"The lists of {graph!r} use all {len(_DELIMITERS):,} characters that could stand between items.")


def _list_items(tables: Sequence[pa.Table]) -> Iterator[pa.ChunkedArray]:
    for table in tables:
        for column in table.columns:
            if pa.types.is_list(column.type):
                yield pc.list_flatten(column)


def _carried(part: Part) -> Part:
    """The part, under property names that a header can carry."""
    names: dict[str, str] = {}
    for column, name in part.properties.items():
        told = _UNSAID.sub("_", name).strip() or "unnamed"
        while told in names.values():
            told += "_"
        names[column] = told
    return replace(part, properties=names)


def _relation(edge_type: EdgeType) -> str:
    return f"--relationships={edge_type.relation}"


def _title(name: str, kind: pa.DataType) -> str:
    return f"{name}:string[]" if pa.types.is_list(kind) else f"{name}:{_TYPES[kind]}"


def _quoted(text: str) -> str:
    return f'"{text}"'  # names hold no quotes any more


def _doubles(column: pa.Array) -> pa.Array:
    """As Java reads them: what is not finite by its name there."""
    if pc.all(pc.is_finite(column)).as_py() in (True, None):
        return column
    texts = column.cast(pa.string())
    names: Mapping[str, str] = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    for ours, theirs in names.items():
        texts = pc.if_else(pc.equal(texts, ours), theirs, texts)
    return texts
