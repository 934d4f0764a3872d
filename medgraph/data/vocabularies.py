"""The vocabularies whose identifiers we check: prefix, local pattern, example, and other spellings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["VOCABULARIES", "Vocabulary"]


@dataclass(frozen=True)
class Vocabulary:
    """One namespace of identifiers.

    Args:
        prefix: Bioregistry's prefix, upper-cased.
        pattern: what a local id in normal form looks like, in the syntax that RE2 and Python share.
        example: a local id that exists.
        synonyms: other spellings of the prefix; case does not matter.
        case: what normal form does to letters.
        rewrites: (pattern, replacement) pairs that bring other spellings of a local id to normal form, in order.
        registered: whether Bioregistry knows the prefix; if not, it is ours.
    """

    prefix: str
    pattern: str
    example: str
    synonyms: tuple[str, ...] = ()
    case: Literal["upper", "lower", "keep"] = "upper"
    rewrites: tuple[tuple[str, str], ...] = ()
    registered: bool = True


_SEVEN = r"[0-9]{7}"
_NUMBER = r"[0-9]+"
_DOTLESS = r"\.$", ""
_ICD10_BLOCK = r"[A-Z][0-9A][0-9A-Z]-[A-Z][0-9A][0-9A-Z]"

VOCABULARIES: tuple[Vocabulary, ...] = (
    # Diseases and phenotypes
    Vocabulary("DOID", _NUMBER, "1612", ("do",)),
    Vocabulary("MONDO", _SEVEN, "0005015"),
    Vocabulary("HP", _SEVEN, "0001250", ("hpo",)),
    Vocabulary("MP", _SEVEN, "0005452"),
    Vocabulary("EFO", _SEVEN, "0005147"),
    Vocabulary("OMIM", r"[0-9]{6}", "143100", ("mim",)),
    Vocabulary("OMIM.PS", r"[0-9]{6}", "214100", ("omimps", "mimps", "mim.ps"), rewrites=((r"^PS", ""),)),
    Vocabulary("ORPHA", r"C?[0-9]+", "558", ("orphanet",), rewrites=((r"^ORPHA(?:NET)?[:_]?", ""),)),
    Vocabulary("GARD", _NUMBER, "6038"),
    Vocabulary("DECIPHER", _NUMBER, "1"),
    Vocabulary("MEDGEN", r"(?:CN)?[0-9]{2,7}", "760050", ("medgen.uid",)),
    Vocabulary("UMLS", r"C[0-9]{7}", "C0020179", ("umls_cui", "umls cui", "umls.cui", "cui")),
    Vocabulary("MESH", r"[CDQ][0-9]{6,9}", "D006816", ("msh", "mesh_descriptor_ui", "mesh_supplemental_record_ui")),
    Vocabulary("NCIT", r"(?:C|R|P|A|NHC)[0-9]+", "C138986", ("nci", "nci_thesaurus", "ncithesaurus")),
    Vocabulary("MEDDRA", r"[0-9]{8}", "10015919", ("medra",)),
    # Clinical codes
    Vocabulary(
        "ICD9CM",
        r"(?:[0-9]{3}|V[0-9]{2})(?:\.[0-9]{1,2})?|E[0-9]{3}(?:\.[0-9])?"
        r"|[0-9]{2}(?:\.[0-9]{1,2})?"  # procedures
        r"|[0-9]{3}-[0-9]{3}|V[0-9]{2}-V[0-9]{2}|E[0-9]{3}-E[0-9]{3}",  # blocks and chapters
        "250.00",
        ("icd-9-cm", "icd9-cm"),
        rewrites=(_DOTLESS, (r"^([0-9]{3}|V[0-9]{2})([0-9]{1,2})$", r"\1.\2"), (r"^(E[0-9]{3})([0-9])$", r"\1.\2")),
    ),
    Vocabulary(
        "ICD10CM",
        rf"[A-Z][0-9A][0-9A-Z](?:\.[0-9A-Z]{{1,4}})?|{_ICD10_BLOCK}",
        "E11.9",
        ("icd-10-cm", "icd10-cm"),
        rewrites=(_DOTLESS, (r"^([A-Z][0-9A][0-9A-Z])([0-9A-Z]{1,4})$", r"\1.\2")),
    ),
    Vocabulary(
        "ICD9",
        r"(?:[0-9]{3}|V[0-9]{2})(?:\.[0-9]{1,2})?|E[0-9]{3}(?:\.[0-9])?|[0-9]{3}-[0-9]{3}",
        "277.9",
        ("icd-9",),
        rewrites=(_DOTLESS, (r"^([0-9]{3}|V[0-9]{2})([0-9]{1,2})$", r"\1.\2"), (r"^(E[0-9]{3})([0-9])$", r"\1.\2")),
    ),
    Vocabulary(
        "ICD10",
        rf"[A-Z][0-9]{{2}}(?:\.[0-9]{{1,2}})?|{_ICD10_BLOCK}|[IVX]+",
        "C34",
        ("icd", "icd-10", "icd10who"),
        rewrites=(_DOTLESS, (r"^([A-Z][0-9]{2})([0-9]{1,2})$", r"\1.\2")),
    ),
    Vocabulary("ICD10PCS", r"[0-9A-HJ-NP-Z]{7}", "01N50ZZ", ("icd-10-pcs",)),
    Vocabulary("ICD11", r"[1-9][0-9]*", "402558626", ("icd-11", "icd11.foundation")),
    Vocabulary("ICDO", r"[89][0-9]{3}(?:/[0-3])?", "9861/3", ("icd-o",)),
    Vocabulary("CCS", r"[1-9][0-9]{0,3}", "49", rewrites=((r"^0+([1-9])", r"\1"),), registered=False),
    Vocabulary("CCS.MULTI", r"[1-9][0-9]?(?:\.[0-9]{1,2}){0,3}", "3.2", ("ccs_multi",), registered=False),
    Vocabulary("CCSR", r"[A-Z]{3}[0-9]{3}", "END002", registered=False),
    Vocabulary(
        "SNOMEDCT", r"[1-9][0-9]{5,17}", "284196006", ("sctid", "snomed", "snomed_ct", "snomedct_us", "snomedctct")
    ),
    Vocabulary("LOINC", r"[0-9]{1,8}-[0-9]|L[AGLP][0-9]+-[0-9]", "4548-4", ("lnc",)),
    Vocabulary("CPT", r"[0-9]{4}[0-9A-Z]", "00103", ("ama-cpt",)),
    Vocabulary("HCPCS", r"[A-Z][0-9]{4}", "G8944"),
    Vocabulary("CVX", _NUMBER, "54"),
    # Drugs and chemicals
    Vocabulary("DRUGBANK", r"DB[0-9]{5}", "DB00945", ("drugbank_id",)),
    Vocabulary("ATC", r"[A-Z](?:[0-9]{2}(?:[A-Z](?:[A-Z](?:[0-9]{2})?)?)?)?", "A10BA02", ("atc_code",)),
    Vocabulary("RXNORM", r"[0-9]{1,8}", "221058", ("rxcui",)),
    Vocabulary(
        "NDC",
        r"[0-9]{5}-[0-9]{4}-[0-9]{2}",
        "00002-1975-61",
        rewrites=(
            (r"^([0-9]{5})([0-9]{4})([0-9]{2})$", r"\1-\2-\3"),
            (r"^([0-9]{4}-[0-9]{4}-[0-9]{2})$", r"0\1"),
            (r"^([0-9]{5})-([0-9]{3}-[0-9]{2})$", r"\1-0\2"),
            (r"^([0-9]{5}-[0-9]{4})-([0-9])$", r"\1-0\2"),
        ),
    ),
    Vocabulary("NDFRT", r"N[0-9]{10}", "N0000001662", ("nui", "ndf-rt")),
    Vocabulary("CHEBI", _NUMBER, "15365", ("chebiid",)),
    Vocabulary("CHEMBL", r"CHEMBL[0-9]+", "CHEMBL25", ("chembl_id",)),
    Vocabulary("CHEMBL.COMPOUND", r"CHEMBL[0-9]+", "CHEMBL25"),
    Vocabulary("CHEMBL.TARGET", r"CHEMBL[0-9]+", "CHEMBL3467", ("chembl-targets",)),
    Vocabulary("PUBCHEM.COMPOUND", _NUMBER, "2244", ("pubchem", "cid", "pubchem_cid", "pubchem_compound_cid")),
    Vocabulary("PUBCHEM.SUBSTANCE", _NUMBER, "100101"),
    Vocabulary("INCHIKEY", r"[A-Z]{14}-[A-Z]{10}-[A-Z]", "BSYNRYMUTXBXSQ-UHFFFAOYSA-N"),
    Vocabulary("CAS", r"[0-9]{2,7}-[0-9]{2}-[0-9]", "50-78-2", ("casid", "cas_rn", "cas_id")),
    Vocabulary("UNII", r"[A-Z0-9]{10}", "3G6A5W338E"),
    Vocabulary("HMDB", r"HMDB[0-9]{7}", "HMDB0000001", rewrites=((r"^HMDB([0-9]{5})$", r"HMDB00\1"),)),
    Vocabulary("PHARMGKB.DRUG", r"PA[0-9]+", "PA448710"),
    Vocabulary("KEGG.DRUG", r"D[0-9]{5}", "D00123", ("kegg drug",)),
    Vocabulary("KEGG.COMPOUND", r"C[0-9]{5}", "C12345", ("kegg compound",)),
    # Genes, proteins, processes, anatomy
    Vocabulary("NCBIGENE", _NUMBER, "3064", ("entrez", "entrezgene", "geneid", "ncbi_geneid", "egid")),
    Vocabulary("HGNC", _NUMBER, "4851"),
    Vocabulary("HGNC.SYMBOL", r"[A-Za-z0-9_\-]+@?", "HTT", case="keep"),
    Vocabulary("ENSEMBL", r"ENS[A-Z]*[0-9]{11}", "ENSG00000139618", rewrites=((r"\.[0-9]+$", ""),)),
    Vocabulary(
        "UNIPROT",
        r"(?:[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2})(?:-[0-9]+)?",
        "P42858",
        ("uniprotkb", "swissprot", "up"),
    ),
    Vocabulary("PR", r"[0-9]{9}|[A-Z][0-9][A-Z0-9]{4}(?:[A-Z0-9]{4})?(?:-[0-9]+)?", "000000024", ("pro",)),
    Vocabulary("INTERPRO", r"IPR[0-9]{6}", "IPR016380", ("ip", "ipr")),
    Vocabulary("PFAM", r"PF[0-9]{5}", "PF11779", ("pf",)),
    Vocabulary("EC", r"[0-9]{1,2}(?:\.(?:[0-9]+|-|[NB][0-9]+)){0,3}", "1.1.1.1", ("eccode", "ec-code", "intenz")),
    Vocabulary("GO", _SEVEN, "0032571", ("gobp", "gocc", "gomf")),
    Vocabulary(
        "REACTOME", r"R-[A-Z]{3}-[0-9]+(?:-[0-9]+)?(?:\.[0-9]+)?", "R-HSA-109581", ("react", "reactome.pathway")
    ),
    Vocabulary("WIKIPATHWAYS", r"WP[0-9]{1,5}", "WP732", rewrites=((r"_R[0-9]+$", ""),)),
    Vocabulary("PATHWAYCOMMONS", r"(?:PC[0-9]+_)?[0-9]+", "485991"),
    Vocabulary("KEGG.PATHWAY", r"[a-z]{2,4}[0-9]{5}", "hsa00190", ("kegg-path", "kegg_pathway"), case="lower"),
    Vocabulary("UBERON", _SEVEN, "0000955"),
    Vocabulary("CL", _SEVEN, "0000062"),
    Vocabulary("SO", _SEVEN, "0001157"),
    Vocabulary("NCBITAXON", _NUMBER, "9606", ("taxon", "taxid", "taxonomy", "ncbi_taxid")),
    Vocabulary("DBSNP", r"rs[0-9]+", "rs121909098", case="lower"),
    Vocabulary("CLINVAR.VARIATION", _NUMBER, "12345", ("clinvar", "clinvar.variant")),
    # Literature and sources
    Vocabulary("PUBMED", r"[1-9][0-9]*", "16333295", ("pmid", "medline")),
    Vocabulary("PMC", r"PMC[0-9]+", "PMC3084216", ("pmcid",), rewrites=((r"^([0-9]+)$", r"PMC\1"),)),
    Vocabulary("DOI", r"10\.[0-9]{2,9}/[^\s]+", "10.1038/s41597-022-01807-3", case="lower"),
    Vocabulary("INFORES", r"[a-z0-9_.\-]+", "agrkb", case="lower"),
)
