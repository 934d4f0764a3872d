"""Drugs and the codes they are prescribed under: ATC's levels, RxNorm's products and ingredients, NDC, DrugBank."""

from __future__ import annotations

from medgraph.data import drug_files
from medgraph.data.code_assembly import CODED_AS, IS_A, MAPS_TO, CodeAssembly
from medgraph.data.code_sources import CodeSources
from medgraph.data.schema import EdgeType

__all__ = ["HAS_INGREDIENT", "add_drugs"]

HAS_INGREDIENT = EdgeType("DrugCode", "has_ingredient", "DrugCode")
_ATC_LEVELS = (1, 3, 4, 5, 7)


def add_drugs(codes: CodeAssembly, sources: CodeSources) -> None:
    """Drug codes, their hierarchy, and `coded_as` links from compounds.

    A link's `method` is "DrugBank", "RxNorm" or "UNII" where a file or a shared substance code states it, "name" (and
    `noisy`) where an ingredient and a compound only bear the same name.

    Raises:
        MalformedInputError: a file breaks its format.
    """
    for path in sources.files.get("atc", ()):
        codes.add_nodes("DrugCode", drug_files.read_atc(path))
    for path in sources.files.get("compounds", ()):
        compounds, links = drug_files.read_compounds(path)
        codes.add_nodes("Compound", compounds)
        codes.add_edges(
            CODED_AS["Compound"], zip(*links.to_pydict().values(), strict=True), "DrugBank", "DrugBank", False
        )
    for path in sources.files.get("rxnorm", ()):
        concepts, stated = drug_files.read_rxnorm(path.parent)
        codes.add_nodes("DrugCode", concepts)
        for name, table in stated.items():
            pairs = zip(*table.to_pydict().values(), strict=True)
            if name == "ingredient":
                codes.add_edges(HAS_INGREDIENT, pairs, "RxNorm")
            elif name == "DRUGBANK":
                swapped = ((compound, rxnorm) for rxnorm, compound in pairs)
                codes.add_edges(CODED_AS["Compound"], swapped, "RxNorm", "RxNorm", False)
            else:  # ATC: RxNorm -> ATC; NDC is stated of the product
                ends = ((b, a) for a, b in pairs) if name == "NDC" else pairs
                codes.add_edges(MAPS_TO["DrugCode"], ends, "RxNorm", False, False, None, None)
    for path in sources.files.get("ingredients", ()):
        nodes, links = drug_files.read_ingredients(path)
        codes.add_nodes("DrugCode", nodes)
        codes.add_edges(HAS_INGREDIENT, zip(*links.to_pydict().values(), strict=True), "RxNorm")
    for path in sources.files.get("unii", ()):
        codes.add_nodes("DrugCode", drug_files.read_unii(path))
    _levels(codes)
    _join(codes)


def _levels(codes: CodeAssembly) -> None:
    """ATC's links up: `A10BA02` is a `A10BA`, and so on; levels that no file names are made."""
    for id_ in [id_ for id_ in codes.nodes.get("DrugCode", {}) if id_.startswith("ATC:")]:
        code = id_.removeprefix("ATC:")
        ends = [f"ATC:{code[:length]}" for length in _ATC_LEVELS if length <= len(code)]
        codes.add_edges(IS_A["DrugCode"], zip(ends[1:], ends[:-1], strict=True), "ATC")
    for id_, node in codes.nodes.get("DrugCode", {}).items():
        node.setdefault("kind", id_.partition(":")[0])


def _join(codes: CodeAssembly) -> None:
    """Compounds and RxNorm's concepts by UNII; what has none, by name, marked noisy."""
    compounds, drugs = codes.nodes.get("Compound", {}), codes.nodes.get("DrugCode", {})
    rxnorm = {id_: node for id_, node in drugs.items() if id_.startswith("RXNORM:")}
    by_unii: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for id_, node in rxnorm.items():
        if node.get("unii"):
            by_unii.setdefault(node["unii"], []).append(id_)
        if node.get("name"):
            by_name.setdefault(node["name"].casefold(), []).append(id_)
    linked = {key[0] for key in codes.edges.get(CODED_AS["Compound"], {}) if key[1].startswith("RXNORM:")}
    for compound, node in compounds.items():
        if compound in linked:
            continue
        same = by_unii.get(node.get("unii") or "", [])
        for rxcui in same:
            codes.edge(CODED_AS["Compound"], compound, rxcui, "UNII", "UNII", False)
        for rxcui in () if same else by_name.get((node.get("name") or "").casefold(), ()):
            codes.edge(CODED_AS["Compound"], compound, rxcui, "name", "name", True)
