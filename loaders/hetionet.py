"""Hetionet v1.0: 47,031 nodes of 11 kinds and 2,250,197 edges of 24, the network behind Project Rephetio.

Himmelstein et al. (2017), Systematic integration of biomedical knowledge prioritizes drugs for repurposing,
doi:10.7554/eLife.26726.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.delimited import TabSeparated
from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.hetnet import HetnetJson
from medgraph.data.identifiers import normalise_column
from medgraph.data.schema import EdgeType
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loading import Loader, fetch, sha256_of

__all__ = ["LOADER", "METAEDGES", "load"]

_COMMIT = "8a6cc0c5604d0e2908786e4de38af67b8e46ee4a"
_PLAIN = f"https://raw.githubusercontent.com/hetio/hetionet/{_COMMIT}/hetnet"
_LARGE = f"https://media.githubusercontent.com/media/hetio/hetionet/{_COMMIT}/hetnet"  # files kept with Git LFS
_REDIRECT = f"https://github.com/hetio/hetionet/raw/{_COMMIT}/hetnet"
_FILES = {  # part -> mirrors, SHA-256, names in a folder
    "nodes": (
        [f"{root}/tsv/hetionet-v1.0-nodes.tsv" for root in (_PLAIN, _REDIRECT)],
        "3ad9eb86c031df8bc7d5efefa6edc93562182eb9a6a71e5129d3f18b9d42c50e",
        [f"{start}nodes.tsv{end}" for start in ("hetionet-v1.0-", "") for end in ("", ".gz")],
    ),
    "edges": (
        [f"{root}/tsv/hetionet-v1.0-edges.sif.gz" for root in (_LARGE, _REDIRECT)],
        "611f0411ac666be4e0270e54bbca67407e14720bfc3099311f0f5eec25c5a947",
        [f"{s}edges.{kind}{end}" for s in ("hetionet-v1.0-", "") for kind in ("sif", "tsv") for end in ("", ".gz")],
    ),
    "json": (
        [f"{root}/json/hetionet-v1.0.json.bz2" for root in (_LARGE, _REDIRECT)],
        "a342ab57e9073e6c02bb5e109d1f16917e6f933be4e5c77ebbaebfa26b984c19",
        [f"hetionet-v1.0.json{end}" for end in ("", ".bz2", ".gz")],
    ),
}
_VOCABULARY = {  # Hetionet's kind -> prefix of its ids
    "Anatomy": "UBERON",
    "Biological Process": "GO",
    "Cellular Component": "GO",
    "Compound": "DRUGBANK",
    "Disease": "DOID",
    "Gene": "NCBIGENE",
    "Molecular Function": "GO",
    "Pathway": "PATHWAYCOMMONS",  # and WIKIPATHWAYS, told apart by the id
    "Pharmacologic Class": "NDFRT",
    "Side Effect": "UMLS",
    "Symptom": "MESH",
}
METAEDGES: Mapping[str, EdgeType] = {
    abbreviation: EdgeType(*words.split())
    for abbreviation, words in {
        "AdG": "Anatomy downregulates Gene",
        "AeG": "Anatomy expresses Gene",
        "AuG": "Anatomy upregulates Gene",
        "CbG": "Compound binds Gene",
        "CcSE": "Compound causes SideEffect",
        "CdG": "Compound downregulates Gene",
        "CpD": "Compound palliates Disease",
        "CrC": "Compound resembles Compound",
        "CtD": "Compound treats Disease",
        "CuG": "Compound upregulates Gene",
        "DaG": "Disease associates Gene",
        "DdG": "Disease downregulates Gene",
        "DlA": "Disease localizes Anatomy",
        "DpS": "Disease presents Symptom",
        "DrD": "Disease resembles Disease",
        "DuG": "Disease upregulates Gene",
        "GcG": "Gene covaries Gene",
        "GiG": "Gene interacts Gene",
        "GpBP": "Gene participates BiologicalProcess",
        "GpCC": "Gene participates CellularComponent",
        "GpMF": "Gene participates MolecularFunction",
        "GpPW": "Gene participates Pathway",
        "Gr>G": "Gene regulates Gene",
        "PCiC": "PharmacologicClass includes Compound",
    }.items()
}
_SYMMETRIC = frozenset(METAEDGES[name] for name in ("CrC", "DrD", "GcG", "GiG"))


def load(path: Path | None = None, properties: bool = False) -> KnowledgeGraph:
    """Hetionet v1.0 as a graph, ids as CURIEs.

    Args:
        path: a folder that holds the tables `hetionet-v1.0-nodes.tsv` and `hetionet-v1.0-edges.sif.gz`, or else
            `nodes.tsv.gz` and `edges.tsv.gz`, or with `properties` `hetionet-v1.0.json.bz2`; or that JSON file itself.
            Downloaded without it.
        properties: read the JSON file, which holds `sources`, `pmids`, `unbiased` and other properties of nodes and
            edges, but takes much longer than the tables.

    Raises:
        LoaderError, ChecksumError: a file is missing or cannot be downloaded.
        MalformedInputError: a file breaks its format; named with its line.
    """
    nodes: _Table
    edges: _Table
    files: list[Path]
    if properties or (path is not None and path.is_file()):
        files = [_find(path, "json")]
        directions = {_words(name): name for name in METAEDGES}
        nodes, edges = HetnetJson(files[0], "nodes", directions), HetnetJson(files[0], "edges", directions)
    else:
        files = [_find(path, "nodes"), _find(path, "edges")]
        nodes = TabSeparated(files[0], required=("id", "name", "kind"))
        edges = TabSeparated(files[1], required=("source", "metaedge", "target"))
    hashes = " ".join(sha256_of(file) for file in files)
    return _graph(nodes, edges, Provenance("Hetionet", "1.0", LOADER.licence, LOADER.url, hashes))


class _Table(Protocol):
    """A file that holds nodes or edges."""

    def table(self) -> pa.Table: ...

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError: ...


def _find(path: Path | None, part: str) -> Path:
    mirrors, sha256, names = _FILES[part]
    if path is None:
        return fetch(mirrors, sha256)
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    raise LoaderError(f"{path} holds no Hetionet {part}; expected one of {', '.join(names)}.")


def _words(metaedge: str) -> tuple[str, str, str, str]:
    """`GpBP` -> ("Gene", "participates", "Biological Process", "both"), as the JSON file writes it."""
    source, relation, target = METAEDGES[metaedge]
    kinds = {kind.replace(" ", ""): kind for kind in _VOCABULARY}
    return kinds[source], relation, kinds[target], "forward" if ">" in metaedge else "both"


def _graph(node_file: _Table, edge_file: _Table, provenance: Provenance) -> KnowledgeGraph:
    nodes, edges = node_file.table().combine_chunks(), edge_file.table().combine_chunks()
    raw, kind = nodes["id"].combine_chunks(), nodes["kind"].combine_chunks()
    kinds = pa.array(list(_VOCABULARY))
    number = pc.index_in(kind, kinds)
    _refuse(pc.is_null(number), kind, f"expected one of {kinds.to_pylist()}", node_file, "kind")
    number = number.to_numpy()
    row = np.empty(len(raw), dtype=np.int64)
    tables = {}
    for code, (name, prefix) in enumerate(_VOCABULARY.items()):
        mine = np.flatnonzero(number == code)
        row[mine] = np.arange(mine.size)
        table = nodes.take(pa.array(mine))
        ids = _curies(table["id"].combine_chunks(), name, prefix)
        for bad, wanted in (
            (pc.is_null(ids), f"expected '{name}::' and a {prefix} id"),
            (_repeated(ids), "expected each id once"),
        ):
            everywhere = np.zeros(len(raw), dtype=bool)
            everywhere[mine] = bad.to_numpy(zero_copy_only=False)
            _refuse(pa.array(everywhere), raw, wanted, node_file, "id")
        table = table.drop_columns(["id", "kind"]).add_column(0, "id", ids)
        tables[name.replace(" ", "")] = table
    edge_tables = _edges(edges, edge_file, raw, number, row)
    return KnowledgeGraph(tables, edge_tables, _SYMMETRIC & edge_tables.keys(), (provenance,))


def _edges(
    edges: pa.Table, file: _Table, raw: pa.Array, number: np.ndarray, row: np.ndarray
) -> dict[EdgeType, pa.Table]:
    metaedge = edges["metaedge"].combine_chunks()
    code = pc.index_in(metaedge, pa.array(list(METAEDGES)))
    _refuse(pc.is_null(code), metaedge, f"expected one of {', '.join(METAEDGES)}", file, "metaedge")
    code = code.to_numpy()
    node_types = [kind.replace(" ", "") for kind in _VOCABULARY]
    ends = {}
    for side, column in ((0, "source"), (2, "target")):
        text = edges[column].combine_chunks()
        found = pc.index_in(text, raw)
        _refuse(pc.is_null(found), text, "there is no such node", file, column)
        ends[column] = found.to_numpy()
        wanted = np.array([node_types.index(edge_type[side]) for edge_type in METAEDGES.values()])
        bad = pa.array(number[ends[column]] != wanted[code])
        _refuse(bad, text, "not a node of the kind that this metaedge joins", file, column)
    tables = {}
    rest = edges.drop_columns(["source", "metaedge", "target"])
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(METAEDGES) + 1))
    for position, edge_type in enumerate(METAEDGES.values()):
        mine = order[starts[position] : starts[position + 1]]
        if not mine.size:
            continue
        source, target = (row[ends[column][mine]] for column in ("source", "target"))
        low, high = (
            (np.minimum(source, target), np.maximum(source, target)) if edge_type in _SYMMETRIC else (source, target)
        )
        first = np.unique(low * len(raw) + high, return_index=True)[1]
        if first.size < mine.size:
            again = np.setdiff1d(np.arange(mine.size), first)[0]
            raise file.fault(f"this {edge_type} edge stands in the file twice.", int(mine[again]))
        table = pa.table({"source": source, "target": target})
        for name in rest.column_names:
            values = rest[name].take(pa.array(mine))
            if values.null_count < len(values):
                table = table.append_column(name, values)
        tables[edge_type] = table
    return tables


def _curies(raw: pa.Array, kind: str, prefix: str) -> pa.Array:
    """`Gene::9021` -> `NCBIGENE:9021`; null where the kind or the id is not as expected."""
    text = pc.replace_substring_regex(raw, f"^{kind}::", "")
    text = pc.if_else(pc.not_equal(text, raw), text, pa.scalar(None, pa.string()))
    if kind == "Pathway":
        return pc.coalesce(normalise_column(text, prefix), normalise_column(text, "WIKIPATHWAYS"))
    return normalise_column(text, prefix)


def _repeated(values: pa.Array) -> pa.Array:
    """Is this value there in an earlier row too?"""
    codes = values.dictionary_encode().indices.fill_null(-1).to_numpy()
    result = np.ones(codes.size, dtype=bool)
    result[np.unique(codes, return_index=True)[1]] = False
    return pa.array(result)


def _refuse(bad: pa.Array, values: pa.Array, wanted: str, file: _Table, column: str) -> None:
    """Raise the error for the first bad row, if there is one."""
    where = pc.index(bad, True).as_py()
    if where >= 0:
        value = values[where].as_py()
        raise file.fault(f"{'an empty cell' if value is None else repr(value[:80])}; {wanted}.", where, column)


LOADER = Loader(
    "hetionet",
    "Hetionet v1.0: genes, compounds, diseases and eight more kinds, joined by 24 relations (Rephetio, 2017)",
    "CC0 1.0; parts under their sources' terms: SIDER CC BY-NC-SA 4.0, DrugBank CC BY-NC 4.0, and others",
    "https://github.com/hetio/hetionet",
    load,
)
