"""ICD-9-CM, ICD-10-CM and the groupings over them as one graph, with the maps between them.

Every code that any file names is a node: one of the current list is `billable`, one with finer codes below it a
`header`, another `retired`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from medgraph.data import code_files, group_files
from medgraph.data.code_assembly import IN_CATEGORY, IS_A, MAPS_TO, CodeAssembly
from medgraph.data.code_sources import CodeSources, bundled_sources
from medgraph.data.disease_links import add_diseases
from medgraph.data.drug_links import add_drugs
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.ontologies import read_diagnoses
from medgraph.errors import LoaderError

__all__ = ["bundled_codes", "code_graph"]

_CHAPTERS = {  # of ICD-9-CM
    "001-139": "Infectious and parasitic diseases",
    "140-239": "Neoplasms",
    "240-279": "Endocrine, nutritional and metabolic diseases, and immunity disorders",
    "280-289": "Diseases of the blood and blood-forming organs",
    "290-319": "Mental disorders",
    "320-389": "Diseases of the nervous system and sense organs",
    "390-459": "Diseases of the circulatory system",
    "460-519": "Diseases of the respiratory system",
    "520-579": "Diseases of the digestive system",
    "580-629": "Diseases of the genitourinary system",
    "630-679": "Complications of pregnancy, childbirth, and the puerperium",
    "680-709": "Diseases of the skin and subcutaneous tissue",
    "710-739": "Diseases of the musculoskeletal system and connective tissue",
    "740-759": "Congenital anomalies",
    "760-779": "Certain conditions originating in the perinatal period",
    "780-799": "Symptoms, signs, and ill-defined conditions",
    "800-999": "Injury and poisoning",
    "E000-E999": "Supplementary classification of external causes of injury and poisoning",
    "V01-V91": "Supplementary classification of factors influencing health status and contact with health services",
}


@lru_cache(1)
def bundled_codes() -> KnowledgeGraph:
    """The codes that installed packages carry; read once, some seconds. Raises LoaderError as `bundled_sources`."""
    return code_graph(bundled_sources())


def code_graph(sources: CodeSources) -> KnowledgeGraph:
    """Codes, their hierarchies, categories and maps, and what joins them to diseases and drugs.

    Raises:
        LoaderError, MalformedInputError: a file is missing or breaks its format; named with its line.
    """
    codes = CodeAssembly()
    codes.skipped.update(sources.skipped)
    current: dict[str, set[str]] = {"ICD9CM": set(), "ICD10CM": set(), "ICD9PROC": set()}
    _add_lists(codes, sources, current)
    _add_maps(codes, sources)
    _add_categories(codes, sources)
    if "diseases" in sources.files or "disease_xrefs" in sources.files:
        add_diseases(codes, sources)
    _add_hierarchy(codes, current, sources.tabular is not None)
    add_drugs(codes, sources)
    codes.provenance = sources.provenance()
    if not codes.nodes:
        raise LoaderError("The files of codes are empty.")
    return codes.graph()


def _add_lists(codes: CodeAssembly, sources: CodeSources, current: dict[str, set[str]]) -> None:
    """The codes in force, with their names."""
    if sources.tabular:
        tabular = read_diagnoses(*sources.tabular)
        for id_, name, kind in zip(*(column.to_pylist() for column in tabular.nodes.columns), strict=True):
            codes.node("Diagnosis", id_, name, kind=kind)
        codes.add_edges(
            IS_A["Diagnosis"],
            zip(*(column.to_pylist() for column in tabular.parents.columns), strict=True),
            "ICD-10-CM",
        )
        listed = sources.tabular[1].read_text(encoding="utf-8").split()
        current["ICD10CM"] = {_dotted(code) for code in listed if "-" not in code and len(code) > 2}
        for id_ in current["ICD10CM"]:
            codes.node("Diagnosis", id_)
    for kind, prefix, node_type in (
        ("icd10cm", "ICD10CM", "Diagnosis"),
        ("icd9cm", "ICD9CM", "Diagnosis"),
        ("icd9cm_procedures", "ICD9PROC", "Procedure"),
    ):
        for path in sources.files.get(kind, ()):
            titles = code_files.read_titles(path, prefix)
            codes.add_nodes(node_type, titles)
            if path not in sources.names_only:
                current[prefix].update(titles["id"].to_pylist())
    for path in sources.files.get("icd9cm_tree", ()):
        blocks, names = code_files.read_tree(path)
        for block, name in blocks.items():
            codes.node("Diagnosis", f"ICD9CM:{block}", name, kind="block")
        for id_, name in names.items():
            codes.node("Diagnosis", id_, name)


def _dotted(code: str) -> str:
    return f"ICD10CM:{code[:3]}.{code[3:]}" if len(code) > 3 else f"ICD10CM:{code}"


def _add_maps(codes: CodeAssembly, sources: CodeSources) -> None:
    """GEMs: an edge for each line, or the vocabulary in `no_map` where a line says that there is no map."""
    for kind, source, target, node_type in (
        ("gem_9_10", "ICD9CM", "ICD10CM", "Diagnosis"),
        ("gem_10_9", "ICD10CM", "ICD9CM", "Diagnosis"),
        ("gem_9_pcs", "ICD9PROC", "ICD10PCS", "Procedure"),
        ("gem_pcs_9", "ICD10PCS", "ICD9PROC", "Procedure"),
    ):
        for path in sources.files.get(kind, ()):
            for row in code_files.read_gem(path, source, target).to_pylist():
                node = codes.node(node_type, row["source"])
                if row["no_map"]:
                    node.setdefault("no_map", []).append(target.replace("ICD9PROC", "ICD9CM"))
                else:
                    flags = (row[name] for name in ("approximate", "combination", "scenario", "choice_list"))
                    codes.edge(MAPS_TO[node_type], row["source"], row["target"], "GEM", *flags)
    procedures = codes.nodes.get("Procedure", {})
    if any(id_.startswith("ICD10PCS:") for id_ in procedures):  # names of those that the map names, not all 78,000
        for path in sources.files.get("icd10pcs", ()):
            for id_, name in zip(*code_files.read_titles(path, "ICD10PCS").to_pydict().values(), strict=True):
                if id_ in procedures:
                    codes.node("Procedure", id_, name)


def _add_categories(codes: CodeAssembly, sources: CodeSources) -> None:
    """CCS, its levels, CCSR, and which codes are chronic."""
    for path in sources.files.get("ccs", ()):
        categories, members = group_files.read_ccs(path)
        codes.add_nodes("Category", categories, kind="CCS")
        codes.add_edges(IN_CATEGORY, zip(*members.to_pydict().values(), strict=True), "CCS", True)
    for path in sources.files.get("ccs_levels", ()):
        categories, members, parents = group_files.read_ccs_levels(path)
        codes.add_nodes("Category", categories.drop_columns(["single"]), kind="CCS.MULTI")
        codes.add_edges(IS_A["Category"], zip(*parents.to_pydict().values(), strict=True), "CCS multi-level")
        for id_, _, single in zip(*categories.to_pydict().values(), strict=True):
            if single:  # where the levels name the single-level category they hold
                codes.node("Category", single, kind="CCS")
                codes.edge(IS_A["Category"], single, id_, "CCS multi-level")
        codes.add_edges(IN_CATEGORY, zip(*members.to_pydict().values(), strict=True), "CCS multi-level", True)
    for path in sources.files.get("ccsr", ()):
        categories, members = group_files.read_ccsr(path)
        codes.add_nodes("Category", categories, kind="CCSR")
        for source, target, default in zip(*members.to_pydict().values(), strict=True):
            codes.edge(IN_CATEGORY, source, target, "CCSR", default)
    for kind, prefix in (("chronic_9", "ICD9CM"), ("chronic_10", "ICD10CM")):
        for path in sources.files.get(kind, ()):
            codes.add_nodes("Diagnosis", group_files.read_chronic(path, prefix))


def _add_hierarchy(codes: CodeAssembly, current: dict[str, set[str]], tabular: bool) -> None:
    """Links up by the codes themselves where no list gives them, and every code's status."""
    diagnoses, procedures = codes.nodes.get("Diagnosis", {}), codes.nodes.get("Procedure", {})
    has_parent = {key[0] for key in codes.edges.get(IS_A["Diagnosis"], {})}
    ranges = sorted((id_ for id_ in diagnoses if id_.startswith("ICD9CM:") and "-" in id_), key=_width)
    for node_type, nodes in (("Diagnosis", diagnoses), ("Procedure", procedures)):
        for start in list(nodes):
            prefix, _, code = start.partition(":")
            if prefix not in {"ICD9CM", "ICD10CM"}:
                continue
            nodes[start].setdefault("kind", "block" if "-" in code else "code")
            below: str | None = start
            while below is not None and "-" not in below and below not in has_parent:
                has_parent.add(below)
                above = _above(below, known=nodes if prefix == "ICD10CM" and tabular else None)
                if above is not None:
                    codes.node(node_type, above, kind="code")
                elif node_type == "Diagnosis" and prefix == "ICD9CM":
                    above = _around(below, ranges, codes)
                if above is not None:
                    codes.edge(IS_A[node_type], below, above, "ICD-9-CM" if prefix == "ICD9CM" else "ICD-10-CM")
                below = above
    for block in ranges:
        chapter = _chapter(block, codes)
        if chapter is not None and chapter != block:
            codes.edge(IS_A["Diagnosis"], block, chapter, "ICD-9-CM")
    for node_type, nodes in (("Diagnosis", diagnoses), ("Procedure", procedures)):
        links = [key[:2] for key in codes.edges.get(IS_A[node_type], {})]
        for prefix in ("ICD9CM", "ICD10CM"):
            listed = current["ICD9PROC" if node_type == "Procedure" else prefix]
            headers = {above for _, above in links}
            in_force = {above for below, above in links if below in listed}
            for id_ in [id_ for id_ in nodes if listed and id_.startswith(prefix) and nodes[id_]["kind"] == "code"]:
                has_finer = id_ in (in_force if id_ in listed else headers)
                nodes[id_]["status"] = "header" if has_finer else "billable" if id_ in listed else "retired"


def _above(id_: str, known: Iterable[str] | None) -> str | None:
    """The code with one character less, and without the X that only fill up to a seventh; or the longest `known`."""
    head, point, tail = id_.partition(".")
    if not point:
        return None
    full = len(tail) == 4
    while tail:
        tail = tail[:-1].rstrip("X") if full and known is None else tail[:-1]
        above = f"{head}.{tail}" if tail else head
        if known is None or above in known:
            return above
    return None


def _ends(range_: str) -> tuple[str, str]:
    low, _, high = range_.partition(":")[2].partition("-")
    return low, high


def _width(range_: str) -> int:
    low, high = (int(re.sub(r"[VE]", "", end)) for end in _ends(range_))
    return high - low


def _around(id_: str, ranges: Iterable[str], codes: CodeAssembly) -> str | None:
    """The block that a category lies in, or else its chapter."""
    code = id_.partition(":")[2]
    for range_ in ranges:
        low, high = _ends(range_)
        if len(low) == len(code) and low <= code <= high:
            return range_
    return _chapter(id_, codes)


def _chapter(id_: str, codes: CodeAssembly) -> str | None:
    """The chapter that a category or block lies in, made if it is not there; None past the last (V92)."""
    code = id_.partition(":")[2].partition("-")[0]
    for chapter, name in _CHAPTERS.items():
        low, high = chapter.split("-")
        if len(low) == len(code) and low <= code <= high:
            codes.node("Diagnosis", f"ICD9CM:{chapter}", name)["kind"] = "chapter"
            return f"ICD9CM:{chapter}"
    return None
