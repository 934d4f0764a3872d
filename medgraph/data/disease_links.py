"""Diseases and the codes they are recorded under, as Disease Ontology's cross-references state it.

Schriml et al. (2022), The Human Disease Ontology 2022 update, doi:10.1093/nar/gkab1063. An id that was merged into
another (`alt_id`) is read as that other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from medgraph.data.code_assembly import CODED_AS, IS_A, CodeAssembly
from medgraph.data.code_files import CodeFile
from medgraph.data.code_sources import CodeSources
from medgraph.data.identifiers import normalise_column
from medgraph.data.ontologies import read_diseases

__all__ = ["add_diseases"]

_CODES = {"ICD9CM": "ICD9CM", "ICD9": "ICD9CM", "ICD10CM": "ICD10CM", "ICD10": "ICD10CM", "SNOMEDCT": "SNOMEDCT"}
_ALIASES = {"NCI": "NCIT", "MIM": "OMIM", "MSH": "MESH", "ORDO": "ORPHA", "UMLS_CUI": "UMLS"}


def add_diseases(codes: CodeAssembly, sources: CodeSources) -> None:
    """Disease nodes, their is_a links, and `coded_as` links to ICD and SNOMED CT codes.

    A link's `method` is "xref" where the ontology states it, "name" (and `noisy`) where a code and a disease only bear
    the same name. Cross-references to other vocabularies become the node's `xrefs`.

    Raises:
        MalformedInputError: a file breaks its format.
    """
    merged: dict[str, str] = {}  # an id that was merged -> the one that stands for it
    stated: list[tuple[str, str, str]] = []
    for path in sources.files.get("diseases", ()):
        terms = read_diseases(path)
        by = f"Disease Ontology {terms.version}".strip()
        file = CodeFile(path)
        ids = _doids(file, terms.nodes["id"].to_pylist())
        for node, id_ in zip(terms.nodes.to_pylist(), ids, strict=True):
            alt_ids = _doids(file, node["alt_ids"])
            merged.update((alt, id_) for alt in alt_ids)
            codes.node("Disease", id_, node["name"], synonyms=node["synonyms"], alt_ids=alt_ids)
        ends = [_doids(file, column.to_pylist()) for column in terms.parents.columns]
        codes.add_edges(IS_A["Disease"], zip(*ends, strict=True), by)
        stated += [(id_, xref, by) for id_, xref in zip(*terms.xrefs.to_pydict().values(), strict=True)]
        if terms.obsolete:
            codes.skipped["Disease Ontology: obsolete term"] += terms.obsolete
    known = set(codes.nodes.get("Disease", ()))
    merged = {alt: id_ for alt, id_ in merged.items() if alt not in known}
    for path in sources.files.get("disease_xrefs", ()):
        stated += _stated(codes, path)
    _link(codes, stated, merged)
    _match_names(codes)


def _doids(file: CodeFile, ids: list[str]) -> list[str]:
    return file.curies(ids, [0] * len(ids), "DOID").to_pylist() if ids else []


def _stated(codes: CodeAssembly, path: Path) -> list[tuple[str, str, str]]:
    """The rows of a table of cross-references: `id label xref`, or `doid_code doid_name resource resource_id`."""
    file = CodeFile(path)
    _, first = next(file.lines(), (0, ""))
    if first.startswith("doid_code"):
        lines, (ids, names, resources, locals_) = file.columns(
            ["doid_code", "doid_name", "resource", "resource_id"], "\t"
        )
        xrefs = [f"{resource}:{local}" for resource, local in zip(resources, locals_, strict=True)]
    else:
        lines, (ids, names, xrefs) = file.columns(["id", "label", "xref"], "\t")
    diseases = file.curies(ids, lines, "DOID").to_pylist()
    for id_, name in zip(diseases, names, strict=True):
        codes.node("Disease", id_, name)
    by = "Disease Ontology, " + re.sub(r"\..*$", "", path.name)
    return [(id_, xref, by) for id_, xref in zip(diseases, xrefs, strict=True)]


def _link(codes: CodeAssembly, stated: Iterable[tuple[str, str, str]], merged: dict[str, str]) -> None:
    """Cross-references as links to codes, or as entries of `xrefs`."""
    rows = [(merged.get(id_, id_), *_split(xref), by) for id_, xref, by in stated]
    for prefix in dict.fromkeys(prefix for _, prefix, _, _ in rows):
        mine = [row for row in rows if row[1] == prefix]
        local = pa.array([local for _, _, local, _ in mine], pa.string())
        ids = normalise_column(local, _CODES.get(prefix, prefix)).to_pylist() if prefix else [None] * len(mine)
        for (disease, _, _, by), id_ in zip(mine, ids, strict=True):
            if id_ is None or re.match(r"ICD9CM:[0-9]{2}(?:\.|$)", id_):  # two digits are a procedure's
                codes.skipped[f"Disease Ontology: cross-reference that is no {prefix or 'CURIE'} id"] += 1
            elif prefix in _CODES:
                codes.edge(CODED_AS["Disease"], disease, id_, by, "xref", False)
            else:
                node = codes.node("Disease", disease)
                if id_ not in (xrefs := node.setdefault("xrefs", [])):
                    xrefs.append(id_)
    for alt, id_ in merged.items():  # a table may name a disease by an id that an ontology file has merged
        if alt in codes.nodes["Disease"]:
            codes.node("Disease", id_, codes.nodes["Disease"].pop(alt).get("name"))


def _split(xref: str) -> tuple[str, str]:
    """`SNOMEDCT_US_2025_09_01:73211009` -> ("SNOMEDCT", "73211009"); ("", xref) where there is no prefix."""
    prefix, colon, local = xref.strip('"').partition(":")
    prefix = re.sub(r"^SNOMEDCT.*", "SNOMEDCT", re.sub(r"\s|[0-9]{4}_.*$", "", prefix.upper()))
    return (_ALIASES.get(prefix, prefix), local) if colon and re.fullmatch(r"[A-Z][A-Z0-9_.]*", prefix) else ("", xref)


def _match_names(codes: CodeAssembly) -> None:
    """A noisy link where a code and a disease bear one name and nothing else joins them."""
    called: dict[str, list[str]] = {}
    for id_, node in codes.nodes.get("Disease", {}).items():
        for name in (node.get("name"), *(node.get("synonyms") or ())):
            if name:
                called.setdefault(name.casefold(), []).append(id_)
    linked = {key[:2] for key in codes.edges.get(CODED_AS["Disease"], {})}
    for id_, node in list(codes.nodes.get("Diagnosis", {}).items()):
        for disease in dict.fromkeys(called.get((node.get("name") or "").casefold(), ())):
            if "-" not in id_ and (disease, id_) not in linked:
                codes.edge(CODED_AS["Disease"], disease, id_, "name", "name", True)
