"""Anyone's graph in KGX: a node file and an edge file in the Biolink Model's terms, as TSV, JSON lines or Parquet.

Format: https://github.com/biolink/kgx. Terms: Unni et al. (2022), Biolink Model, doi:10.1111/cts.13302.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from medgraph.data.biolink import LISTS, SYMMETRIC, UMBRELLAS, plain_name
from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.growing import GrowingTable, split_lists
from medgraph.data.identifiers import normalise, normalise_column
from medgraph.data.records import SUFFIXES, Records, open_records
from medgraph.data.schema import EdgeType, check_label
from medgraph.errors import LoaderError, MalformedInputError, SchemaError
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_NEGATED, _MIRROR, _DANGLING = "negated edges", "second copies of symmetric edges", "edges to unknown nodes"
_GROUP = 1 << 20  # edges joined at once: each join hashes all node ids anew
_Rows = Int64[np.ndarray, " rows"]


def load(
    path: Path | None = None,
    nodes: str | Path | None = None,
    edges: str | Path | None = None,
    symmetric: Collection[str] = SYMMETRIC,
    edge_columns: Sequence[str] | None = None,
    skip_dangling: bool = False,
) -> KnowledgeGraph:
    """The graph in a KGX node file and edge file.

    A node's type is its category; of several, the first that is not one of Biolink's umbrella terms such as
    `NamedThing`. `biolink:` is dropped from categories and predicates. Ids are brought to their normal form. All
    columns that have a value are kept: Biolink's multi-valued slots are lists, `weight` is a number, and TSV's other
    columns are text.
    Edges with `negated` true say what is not so: they are left out and counted in `skipped`, as are the second copies
    of symmetric edges that a file holds in both directions. The edge file is streamed.

    Args:
        path: the folder of the two files, named `nodes.tsv` and `edges.tsv` or `<anything>_nodes.tsv` and so on; .tsv,
            .jsonl (either also .gz, .bz2, .zst) or .parquet.
        nodes: the node file, where it is not in `path`.
        edges: the edge file, where it is not in `path`.
        symmetric: predicates that hold both ways; they are stored once.
        edge_columns: which edge columns to keep besides subject, predicate and object; all by default.
        skip_dangling: leave edges out whose ends are not in the node file, and count them, instead of refusing.

    Raises:
        LoaderError: no such files.
        MalformedInputError: a file breaks its format; named with its line.
    """
    node_path, edge_path = (
        _find(path, part) if given is None else Path(given).expanduser()
        for part, given in (("nodes", nodes), ("edges", edges))
    )
    known = _Nodes.read(open_records(node_path, required=("id", "category")))
    builder = _Edges(known, frozenset(symmetric), skip_dangling)
    edge_file = open_records(edge_path, required=("subject", "predicate", "object"))
    only = None if edge_columns is None else ["subject", "predicate", "object", "negated", *edge_columns]
    first_row = 0
    for group in _groups(edge_file.batches(only)):
        builder.add(group, edge_file, first_row)
        first_row += group.num_rows
    tables = builder.tables(edge_file)
    hashes = " ".join(sha256_of(file) for file in (node_path, edge_path))
    provenance = Provenance(node_path.name.partition("nodes")[0].strip("_-.") or "KGX", sha256=hashes)
    both_ways = frozenset(edge_type for edge_type in tables if builder.is_symmetric(edge_type))
    try:
        return KnowledgeGraph(known.tables, tables, both_ways, (provenance,), builder.skipped)
    except SchemaError as fault:
        raise MalformedInputError(str(fault), edge_path) from None


def _find(folder: Path | None, part: str) -> Path:
    if folder is None:
        raise LoaderError(f"Loader 'kgx' needs path= (a folder that holds a node and an edge file) or {part}=.")
    if not folder.is_dir():
        raise LoaderError(f"{folder}: there is no such folder. Name the files by nodes= and edges=.")
    pattern = re.compile(rf"(?i)(.*[_.\-])?{part}({'|'.join(map(re.escape, SUFFIXES))})")
    found = sorted(file for file in folder.iterdir() if pattern.fullmatch(file.name) and file.is_file())
    if len(found) != 1:
        what = (
            f"several: {', '.join(file.name for file in found)}; choose one" if found else f"no {part}.tsv or the like"
        )
        raise LoaderError(f"{folder} holds {what}. Name the file by {part}=.")
    return found[0]


@dataclass(frozen=True)
class _Nodes:
    """The node file, read: tables by type, and where each node stands, by the row of the file."""

    tables: dict[str, pa.Table]
    node_types: tuple[str, ...]
    raw: pa.Array
    ids: pa.Array
    type_number: _Rows
    row: _Rows

    @classmethod
    def read(cls, file: Records) -> _Nodes:
        parts: dict[str, GrowingTable] = defaultdict(lambda: GrowingTable(("id", "name"), LISTS))
        raw_parts, id_parts, number_parts, row_parts = [], [], [], []
        numbers: dict[str, int] = {}
        first_row = 0
        for batch in file.batches():
            table = pa.table(batch)
            raw = _filled(table, "id", file, first_row)
            ids = normalise_column(raw)
            if (bad := _first(pc.is_null(ids))) is not None:
                raise _unreadable(raw[bad].as_py(), file, first_row + bad, "id")
            category, codes = _node_types(table, file, first_row)
            table = table.set_column(table.column_names.index("id"), "id", ids)
            if "name" not in table.column_names:
                table = table.append_column("name", pa.nulls(len(table), pa.string()))
            row = np.empty(len(table), dtype=np.int64)
            for code, node_type in enumerate(category):
                mine = np.flatnonzero(codes == code)
                row[mine] = parts[node_type].rows + np.arange(mine.size)
                parts[node_type].add(table.take(pa.array(mine)), file)
                numbers.setdefault(node_type, len(numbers))
            raw_parts.append(raw)
            id_parts.append(ids)
            number_parts.append(np.array([numbers[node_type] for node_type in category], dtype=np.int64)[codes])
            row_parts.append(row)
            first_row += len(table)
        raw, ids = (pa.chunked_array(part, pa.string()).combine_chunks() for part in (raw_parts, id_parts))
        if pc.count_distinct(ids).as_py() < len(ids):
            first = np.unique(ids.dictionary_encode().indices.to_numpy(), return_index=True)[1]
            again = int(np.setdiff1d(np.arange(len(ids)), first)[0])
            raise file.fault(f"{ids[again].as_py()!r} stands in the file twice; ids must be unique.", again, "id")
        try:
            tables = {node_type: columns.table() for node_type, columns in parts.items()}
        except pa.ArrowException as fault:
            raise MalformedInputError(f"the nodes do not fit in tables: {fault}", file.path) from None
        return cls(
            tables,
            tuple(numbers),
            raw,
            ids,
            np.concatenate(number_parts) if number_parts else np.empty(0, dtype=np.int64),
            np.concatenate(row_parts) if row_parts else np.empty(0, dtype=np.int64),
        )

    def find(self, ends: list[pa.Array]) -> list[_Rows]:
        """Which node is each end, by its row in the file? -1 where there is none."""
        text = pa.chunked_array(ends, pa.string())
        found = pc.index_in(text, self.raw).combine_chunks()  # both ends at once: every call hashes all ids anew
        if found.null_count:
            missing = pc.is_null(found)
            known = pc.index_in(normalise_column(text.filter(missing)), self.ids, skip_nulls=True)
            found = pc.replace_with_mask(found, missing, known)
        return np.split(found.fill_null(-1).to_numpy().astype(np.int64), [len(ends[0])])


@dataclass
class _Edges:
    """The edge tables, as they grow from the stream."""

    nodes: _Nodes
    symmetric: frozenset[str]
    skip_dangling: bool
    parts: dict[EdgeType, GrowingTable] = field(
        default_factory=lambda: defaultdict(lambda: GrowingTable(("source", "target"), LISTS))
    )
    skipped: Counter[str] = field(default_factory=Counter)
    relations: dict[str, str] = field(default_factory=dict)

    def is_symmetric(self, edge_type: EdgeType) -> bool:
        return edge_type.relation in self.symmetric and edge_type.source == edge_type.target

    def add(self, table: pa.Table, file: Records, first_row: int) -> None:
        if "weight" in table.column_names:
            weight = _numbers(table["weight"].combine_chunks(), file, first_row)
            table = table.set_column(table.column_names.index("weight"), "weight", weight)
        keep = np.ones(len(table), dtype=bool)
        if "negated" in table.column_names:
            negated = pc.is_in(pc.utf8_lower(table["negated"].cast(pa.string())), pa.array(["true", "1"]))
            self.skipped[_NEGATED] += pc.sum(negated).as_py() or 0
            keep &= ~negated.to_numpy()
        text = [_filled(table, column, file, first_row) for column in ("subject", "object")]
        ends = self.nodes.find(text)
        for column, values, end in zip(("subject", "object"), text, ends, strict=True):
            missing = end < 0
            if missing.any() and not self.skip_dangling:
                bad = int(missing.argmax())
                problem = f"{values[bad].as_py()[:80]!r} is not in the node file. Add it, or pass skip_dangling=True."
                raise file.fault(problem, first_row + bad, column)
            self.skipped[_DANGLING] += int((missing & keep).sum())
            keep &= ~missing
        predicates = _filled(table, "predicate", file, first_row).dictionary_encode()
        if not keep.any():
            return
        names = [self._relation(name, predicates, file, first_row) for name in predicates.dictionary.to_pylist()]
        kinds = len(self.nodes.node_types)
        kind = [self.nodes.type_number[end] for end in ends]
        key = (kind[0] * len(names) + predicates.indices.to_numpy()) * kinds + kind[1]
        used = {"subject", "predicate", "object", "negated"}  # of those that stay, none is negated
        rest = table.select([name for name in table.column_names if name not in used])
        rest = rest.rename_columns([f"{n}_stated" if n in {"source", "target"} else n for n in rest.column_names])
        order = np.argsort(key, kind="stable")
        order = order[keep[order]]
        cuts = np.flatnonzero(np.diff(key[order], prepend=-1))
        for start, stop in zip(cuts, [*cuts[1:], order.size], strict=True):
            mine = order[start:stop]
            first, target = divmod(int(key[mine[0]]), kinds)
            source, relation = divmod(first, len(names))
            edge_type = EdgeType(self.nodes.node_types[source], names[relation], self.nodes.node_types[target])
            part = {"source": self.nodes.row[ends[0][mine]], "target": self.nodes.row[ends[1][mine]]}
            properties = rest.take(pa.array(mine))
            columns = {name: properties[name] for name in rest.column_names}
            self.parts[edge_type].add(pa.table({**part, **columns}), file)

    def tables(self, file: Records) -> dict[EdgeType, pa.Table]:
        """The finished tables; consumes the parts."""
        result = {}
        for edge_type in list(self.parts):
            try:
                table = self.parts.pop(edge_type).table()
            except pa.ArrowException as fault:
                raise MalformedInputError(f"{edge_type} edges do not fit in a table: {fault}", file.path) from None
            if self.is_symmetric(edge_type):
                mirror = _mirrors(*(table[name].to_numpy() for name in ("source", "target")))
                if mirror.any():
                    self.skipped[_MIRROR] += int(mirror.sum())
                    table = table.filter(pa.array(~mirror))
            result[edge_type] = table
        self.skipped = +self.skipped
        return result

    def _relation(self, predicate: str, column: pa.DictionaryArray, file: Records, first_row: int) -> str:
        if predicate not in self.relations:
            try:
                self.relations[predicate] = check_label(plain_name(predicate), "relation")
            except SchemaError as fault:
                row = pc.index(column.cast(pa.string()), predicate).as_py()
                raise file.fault(f"{predicate[:80]!r}: {fault}", first_row + row, "predicate") from None
        return self.relations[predicate]


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for batch in batches:
        waiting.append(pa.table(batch))
        rows += batch.num_rows
        if rows >= _GROUP:
            yield pa.concat_tables(waiting, promote_options="default")
            waiting, rows = [], 0
    if rows:
        yield pa.concat_tables(waiting, promote_options="default")


def _node_types(table: pa.Table, file: Records, first_row: int) -> tuple[list[str], _Rows]:
    """Each row's node type, as a number into a list of names."""
    lists = split_lists(table["category"]) if "category" in table.column_names else pa.nulls(len(table), pa.string())
    text = pc.binary_join(lists, "|") if pa.types.is_list(lists.type) else lists
    if (bad := _first(pc.fill_null(pc.equal(text, ""), True))) is not None:
        raise file.fault("no category; expected one such as biolink:Disease.", first_row + bad, "category")
    encoded = text.dictionary_encode()
    names: dict[str, int] = {}
    number = []
    for given in encoded.dictionary.to_pylist():
        labels = [plain_name(part) for part in given.split("|") if part]
        best = next((label for label in labels if label not in UMBRELLAS), labels[0] if labels else "")
        try:
            number.append(names.setdefault(check_label(best), len(names)))
        except SchemaError as fault:
            raise file.fault(str(fault), first_row + pc.index(text, given).as_py(), "category") from None
    return list(names), np.array(number, dtype=np.int64)[encoded.indices.to_numpy()]


def _filled(table: pa.Table, column: str, file: Records, first_row: int) -> pa.Array:
    """A column of text that may not be empty."""
    if column not in table.column_names:
        raise file.fault(f"no {column}.", first_row, column)
    values = table[column].combine_chunks()
    if not pa.types.is_string(values.type):
        try:
            values = values.cast(pa.string())
        except pa.ArrowException:
            raise file.fault(f"expected text, not {values.type}.", first_row, column) from None
    if (bad := _first(pc.fill_null(pc.equal(values, ""), True))) is not None:
        raise file.fault("an empty cell.", first_row + bad, column)
    return values


def _numbers(values: pa.Array, file: Records, first_row: int) -> pa.Array:
    """The column `weight`, from numbers or from text."""
    if pa.types.is_string(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    try:
        return values.cast(pa.float64())
    except pa.ArrowException:
        for row, value in enumerate(values):
            try:
                value.cast(pa.float64())
            except pa.ArrowException:
                problem = f"expected a number, not {repr(value.as_py())[:80]}."
                raise file.fault(problem, first_row + row, "weight") from None
        raise MalformedInputError(f"expected numbers, not {values.type}.", file.path, None, "weight") from None


def _unreadable(text: str, file: Records, row: int, column: str) -> MalformedInputError:
    try:
        normalise(text)
    except MalformedInputError as fault:
        return file.fault(fault.problem, row, column)
    raise AssertionError(text)


def _first(bad: pa.Array) -> int | None:
    where: int = pc.index(bad, True).as_py()
    return None if where < 0 else where


def _mirrors(source: _Rows, target: _Rows) -> Bool[np.ndarray, " rows"]:
    """Which edges run from high to low where the same edge is there from low to high?"""
    width = int(max(source.max(initial=0), target.max(initial=0))) + 1
    backwards = source > target
    mirror = backwards.copy()
    mirror[backwards] = np.isin((target * width + source)[backwards], (source * width + target)[~backwards])
    return mirror


LOADER = Loader(
    "kgx",
    "Your own graph: KGX nodes and edges as TSV, JSON lines or Parquet",
    "the terms of your data",
    "https://github.com/biolink/kgx",
    load,
)
