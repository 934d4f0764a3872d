"""The graph of clinical codes: what the packages carry, the reader's own files, and joining them to another graph."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

import medgraph as mg
from medgraph.data.graph import KnowledgeGraph
from medgraph.errors import SchemaError

OBO = """format-version: 1.2

[Term]
id: DOID:5158
name: pleural cancer
alt_id: DOID:9917
xref: ICD9CM:163
xref: MSH:D010997
"""


@pytest.fixture(scope="module", name="codes")
def bundled_graph() -> KnowledgeGraph:
    return mg.load("clinical_codes")


def test_what_the_packages_carry(codes: KnowledgeGraph) -> None:
    ids = codes.nodes["Diagnosis"]["id"].to_pylist()
    status = codes.nodes["Diagnosis"]["status"].to_pylist()
    billable = [id_ for id_, state in zip(ids, status, strict=True) if state == "billable"]
    assert sum(id_.startswith("ICD9CM:") for id_ in billable) == 14_567  # CMS' version 32
    assert {source.name for source in codes.provenance} >= {"CCS", "CCSR", "GEM ICD-9-CM to ICD-10-CM"}
    assert all(len(digest) == 64 for source in codes.provenance for digest in source.sha256.split())


def test_chronic_flags_are_the_published_ones(codes: KnowledgeGraph, shared_data: Path) -> None:
    table = codes.nodes["Diagnosis"]
    ours = dict(zip(*(table[name].to_pylist() for name in ("id", "chronic")), strict=True))
    system = dict(zip(*(table[name].to_pylist() for name in ("id", "body_system")), strict=True))
    with gzip.open(shared_data / "codes" / "cci2015.csv.gz", "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    for code, _, chronic, body in ([cell.strip("'").strip() for cell in row] for row in rows):
        at = 4 if code.startswith("E") else 3
        id_ = f"ICD9CM:{code[:at]}" + (f".{code[at:]}" if code[at:] else "")
        assert (ours[id_], system[id_]) == (chronic == "1", int(body)), code


def test_categories_are_the_published_ones(codes: KnowledgeGraph, shared_data: Path) -> None:
    with gzip.open(shared_data / "codes" / "icd10cm_to_ccsr_dx_cat1.json.gz", "rt") as file:
        published = json.load(file)
    found = mg.crosswalk([f"ICD10CM:{code}" for code in published], to="CCSR", graph=codes)
    assert found.targets == {f"ICD10CM:{code}": [f"CCSR:{category}"] for code, category in published.items()}


def test_levels_are_the_published_ones(shared_data: Path) -> None:
    path = shared_data / "codes" / "ccs_multi_dx_tool_2015.csv.gz"
    graph = mg.load("clinical_codes", path=path, bundled=False)
    with gzip.open(path, "rt") as lines:
        rows = [[cell.strip("'").strip() for cell in row] for row in list(csv.reader(lines))[1:]]
    finest = {row[0]: [cell for cell in row[1::2] if cell][-1] for row in rows}
    found = mg.crosswalk(list(finest), to="CCS.MULTI", graph=graph, vocabulary="ICD9CM")
    assert found.targets == {code: [f"CCS.MULTI:{category}"] for code, category in finest.items()}
    assert graph.name("CCS.MULTI:10.2.2") == "Inflammatory conditions of male genital organs"


def test_a_file_of_yours_stands_in_for_the_bundled_one(tmp_path: Path) -> None:
    (tmp_path / "2030_I9gem.txt").write_text("25000 E118 00000\n")
    (tmp_path / "doid.obo").write_text(OBO)
    graph = mg.load("clinical_codes", path=tmp_path)
    assert mg.crosswalk("ICD9CM:250.00", to="ICD10CM", graph=graph).targets == {"ICD9CM:250.00": ["ICD10CM:E11.8"]}
    assert mg.crosswalk("ICD9CM:250.00", to="CCS", graph=graph).targets == {"ICD9CM:250.00": ["CCS:49"]}
    assert mg.crosswalk("ICD9CM:163.9", to="DOID", graph=graph).targets == {"ICD9CM:163.9": ["DOID:5158"]}


def test_into_a_graph_that_has_the_old_id(tmp_path: Path) -> None:
    (tmp_path / "doid.obo").write_text(OBO)
    other = KnowledgeGraph({"Disease": pa.table({"id": ["DOID:9917"], "name": ["pleural neoplasm"]})})
    joined = mg.load("clinical_codes", path=tmp_path, bundled=False, into=other)
    assert joined.nodes["Disease"]["id"].to_pylist() == ["DOID:9917"]
    assert joined.name("DOID:9917") == "pleural neoplasm"
    assert joined.nodes["Disease"]["xrefs"].to_pylist() == [["MESH:D010997"]]
    edges = joined.edges[mg.EdgeType("Disease", "coded_as", "Diagnosis")].to_pylist()
    assert [(edge["method"], edge["noisy"], edge["sources"]) for edge in edges] == [
        ("xref", False, ["Disease Ontology"])
    ]
    assert mg.crosswalk("ICD9CM:163", to="DOID", graph=joined).targets == {"ICD9CM:163": ["DOID:9917"]}


def test_procedures_have_their_own_map(tmp_path: Path) -> None:
    (tmp_path / "gem_i9pcs.txt").write_text("3605 02703ZZ 10000\n0001 NoPCS   11000\n")
    (tmp_path / "CMS32_DESC_LONG_SG.txt").write_text("3605 Angioplasty\n0001 Ultrasound\n", encoding="latin-1")
    graph = mg.load("clinical_codes", path=tmp_path, bundled=False)
    found = mg.crosswalk(["ICD9CM:36.05", "PROCEDURE//ICD//9//0001"], to="ICD10PCS", graph=graph)
    assert found.targets == {"ICD9CM:36.05": ["ICD10PCS:02703ZZ"], "PROCEDURE//ICD//9//0001": []}
    assert found.lost == {"PROCEDURE//ICD//9//0001": "no map"}


def test_drugs_by_substance_code(tmp_path: Path) -> None:
    (tmp_path / "drugbank vocabulary.csv").write_text(
        "DrugBank ID,Accession Numbers,Common name,CAS,UNII,Synonyms,Standard InChI Key\n"
        "DB00331,APRD01099,Metformin,657-24-9,9100L32L2N,,XZWYZXLIPXDOLR-UHFFFAOYSA-N\n"
    )
    (tmp_path / "rxcui-unii-map.tsv").write_text("rxnorm_id\tfdasrs_id\n6809\t9100L32L2N\n")
    graph = mg.load("clinical_codes", path=tmp_path, bundled=False)
    (edge,) = graph.edges[mg.EdgeType("Compound", "coded_as", "DrugCode")].to_pylist()
    assert (edge["method"], edge["noisy"]) == ("UNII", False)
    assert mg.crosswalk("RXNORM:6809", to="DRUGBANK", graph=graph).targets == {"RXNORM:6809": ["DRUGBANK:DB00331"]}


def test_nothing_to_read() -> None:
    with pytest.raises(SchemaError, match="nothing to read"):
        mg.load("clinical_codes", bundled=False)
