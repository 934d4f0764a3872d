"""The Biolink Model's terms that we act on.

Unni et al. (2022), Biolink Model: a universal schema for knowledge graphs, doi:10.1111/cts.13302.
"""

from __future__ import annotations

import re

__all__ = ["LISTS", "SYMMETRIC", "UMBRELLAS", "plain_name"]

LISTS = frozenset(  # slots with several values, which TSV parts by |
    [
        "aggregator_knowledge_source",
        "category",
        "has_evidence",
        "knowledge_source",
        "provided_by",
        "publications",
        "qualifiers",
        "same_as",
        "supporting_data_source",
        "synonym",
        "xref",
    ]
)
SYMMETRIC = frozenset(  # predicates that the Biolink Model declares symmetric
    [
        "associated_with",
        "chemically_similar_to",
        "close_match",
        "coexists_with",
        "coexpressed_with",
        "colocalizes_with",
        "correlated_with",
        "directly_physically_interacts_with",
        "exact_match",
        "genetically_associated_with",
        "genetically_interacts_with",
        "homologous_to",
        "in_cell_population_with",
        "in_complex_with",
        "in_linkage_disequilibrium_with",
        "indirectly_physically_interacts_with",
        "interacts_with",
        "negatively_correlated_with",
        "opposite_of",
        "orthologous_to",
        "overlaps",
        "paralogous_to",
        "physically_interacts_with",
        "positively_correlated_with",
        "related_to",
        "same_as",
        "similar_to",
        "xenologous_to",
    ]
)
UMBRELLAS = frozenset(  # categories that say less than any other beside them
    [
        "BiologicalEntity",
        "ChemicalEntityOrGeneOrGeneProduct",
        "ChemicalEntityOrProteinOrPolypeptide",
        "ChemicalOrDrugOrTreatment",
        "DiseaseOrPhenotypicFeature",
        "Entity",
        "GeneOrGeneProduct",
        "GenomicEntity",
        "MacromolecularMachineMixin",
        "NamedThing",
        "Occurrent",
        "OntologyClass",
        "PhysicalEssence",
        "PhysicalEssenceOrOccurrent",
        "SubjectOfInvestigation",
        "ThingWithTaxon",
    ]
)


def plain_name(text: str) -> str:
    """A category or predicate as a name: `biolink:SmallMolecule` is `SmallMolecule`, `RO:0002606` is `RO_0002606`."""
    return re.sub(r"[^A-Za-z0-9]", "_", text.strip().removeprefix("biolink:"))
