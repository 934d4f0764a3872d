"""Crosswalks over a small hand-worked graph, and over the published tables line by line."""

from __future__ import annotations

import csv
import gzip
import itertools
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import medgraph as mg
from medgraph.data.code_sources import bundled_sources, find_sources
from medgraph.data.code_systems import bundled_codes, code_graph
from medgraph.data.crosswalk import FATES, crosswalk
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.identifiers import normalise_column
from medgraph.errors import SchemaError, UnknownIdentifierError

SMALL = {
    "icd9dx2015.csv": """dgns_cd,longdesc
"25000","Diabetes mellitus without complication"
"25001","Diabetes mellitus type I"
"0730","Ornithosis with pneumonia"
"V1082","History of melanoma"
"E8700","Accidental cut"
"4019","Hypertension"
"4010","Malignant hypertension"
""",
    "icd10cm-codes-2024.txt": """E119    Type 2 diabetes
E109    Type 1 diabetes
E1010   Type 1 diabetes with ketoacidosis
I10     Hypertension
""",
    "x_I9gem.txt": """25000  E119    10000
25001  E109    00000
25001  E1010   10000
0730   A70     10111
0730   A71     10111
0730   J17     10112
0730   B99     10121
E8700  NoDx    11000
""",
    "x_I10gem.txt": "E119  25000  00000\nI10  4019  10000\n",
    "CCS-SingleDiagnosisGrouper.txt": "49  Diabetes\n     25000 25001 2501\n98  Hypertension\n     4019\n",
    "dx_cat1.json": '{"E119": "END002", "E109": "END002", "E1010": "END003"}',
    "doid.obo": """format-version: 1.2

[Term]
id: DOID:9351
name: diabetes mellitus
alt_id: DOID:1
xref: ICD9CM:250
xref: UMLS_CUI:C0011849
xref: SNOMEDCT_US_2025_09_01:73211009
is_a: DOID:0014667 ! disease of metabolism

[Term]
id: DOID:9352
name: type 2 diabetes mellitus
xref: ICD10CM:E11
is_a: DOID:9351 ! diabetes mellitus

[Term]
id: DOID:10763
name: hypertension
synonym: "high blood pressure" EXACT []

[Term]
id: DOID:0014667
name: disease of metabolism

[Term]
id: DOID:5
name: gone
is_obsolete: true

""",
    "my_atc_2026.csv": "atc_code,atc_name\nA10BA,Biguanides\nA10BA02,metformin\n",
    "drugbank.tsv": (
        "drugbank_id\tname\tatc_codes\tinchikey\nDB00331\tMetformin\tA10BA02\tInChIKey=XZ\nDB00945\tAspirin\t\t\n"
    ),
    "RXNCONSO.RRF": """6809|ENG||||||||||RXNORM|IN|6809|metformin||N|4096|
1191|ENG||||||||||RXNORM|IN|1191|aspirin||N|4096|
861004|ENG||||||||||RXNORM|SCDC|861004|metformin 500 MG||N|4096|
861007|ENG||||||||||RXNORM|SCD|861007|metformin 500 MG Oral Tablet||N|4096|
6809|ENG||||||||||ATC|RXN_IN|A10BA02|metformin||N|4096|
6809|ENG||||||||||DRUGBANK|IN|DB00331|Metformin||N|4096|
""",
    "RXNREL.RRF": """861004||CUI|RO|861007||CUI|consists_of|||RXNORM|RXNORM|||N|4096|
6809||CUI|RO|861004||CUI|has_ingredient|||RXNORM|RXNORM|||N|4096|
""",
    "RXNSAT.RRF": "861007|||||||AT1|NDC|RXNORM|00378718501|N|4096|\n",
}


@pytest.fixture(scope="module", name="small")
def small_graph(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeGraph:
    folder = tmp_path_factory.mktemp("codes")
    for name, text in SMALL.items():
        (folder / name).write_text(text, encoding="utf-8")
    return code_graph(find_sources(folder))


class TestSmall:
    @pytest.mark.parametrize(
        ("code", "to", "targets", "fate"),
        [
            ("ICD9CM:250.00", "ICD10CM", ["ICD10CM:E11.9"], "approximate"),
            ("ICD10CM:E11.9", "ICD9CM", ["ICD9CM:250.00"], "one"),
            ("ICD9CM:25001", "ICD10CM", ["ICD10CM:E10.9", "ICD10CM:E10.10"], "many"),
            ("ICD9CM:E870.0", "ICD10CM", [], "no map"),
            ("ICD9CM:250", "ICD10CM", [], "header"),
            ("ICD9CM:250.0", "ICD10CM", [], "header"),
            ("ICD9CM:250.1", "ICD10CM", [], "retired"),
            ("ICD9CM:V10.82", "ICD10CM", [], "no link"),
            ("ICD9CM:999.99", "ICD10CM", [], "unknown"),
            ("FOO:1", "ICD10CM", [], "unknown"),
            ("NoDx", "ICD10CM", [], "unreadable"),
            ("V10.82", "ICD10CM", [], "unreadable"),
            ("25000", "CCS", ["CCS:49"], "one"),
            ("ICD10CM:E11.9", "CCS", ["CCS:49"], "one"),
            ("ICD9CM:250.00", "CCSR", ["CCSR:END002"], "approximate"),
            ("ICD9CM:250.01", "CCSR", ["CCSR:END002", "CCSR:END003"], "many"),
            ("ICD9CM:250.00", "ICD9CM", ["ICD9CM:250.00"], "one"),
            ("DOID:1", "SNOMEDCT", ["SNOMEDCT:73211009"], "one"),
            ("SNOMEDCT:73211009", "DOID", ["DOID:9351"], "one"),
            ("DOID:9352", "ICD10CM", ["ICD10CM:E11"], "one"),
            ("ATC:A10BA02", "DRUGBANK", ["DRUGBANK:DB00331"], "one"),
            ("DRUGBANK:DB00331", "ATC", ["ATC:A10BA02"], "one"),
            ("RXNORM:861007", "DRUGBANK", ["DRUGBANK:DB00331"], "one"),
            ("RXNORM:861007", "ATC", ["ATC:A10BA02"], "one"),
            ("ATC:A10BA02", "RXNORM", ["RXNORM:6809"], "one"),
            ("NDC:378-7185-01", "RXNORM", [], "unreadable"),
            ("NDC:0378-7185-01", "RXNORM", ["RXNORM:861007"], "one"),
            ("NDC:00378718501", "DRUGBANK", ["DRUGBANK:DB00331"], "one"),
            ("RXNORM:1191", "DRUGBANK", [], "no link"),
        ],
    )
    def test_each_fate(self, small: KnowledgeGraph, code: str, to: str, targets: list[str], fate: str) -> None:
        found = crosswalk(code, to, graph=small)
        assert found.targets == {code: targets}
        assert set(found.table["fate"].to_pylist()) == {fate}
        assert found.lost == ({} if targets else {code: fate})

    def test_diseases_by_every_way(self, small: KnowledgeGraph) -> None:
        rows = crosswalk("ICD9CM:250.00", "DOID", graph=small).table.to_pylist()
        assert {(row["target"], row["method"], row["approximate"], row["noisy"]) for row in rows} == {
            ("DOID:9351", "xref above", True, False),
            ("DOID:9352", "GEM, xref above", True, False),
            ("DOID:9352", "backward GEM, xref above", True, False),
        }

    def test_noisy_links_are_wanted_and_marked(self, small: KnowledgeGraph) -> None:
        assert crosswalk("ICD9CM:401.9", "DOID", graph=small).lost == {"ICD9CM:401.9": "no link"}
        rows = crosswalk(["ICD9CM:401.9"], "DOID", graph=small, noisy=True).table.to_pylist()
        assert [(row["target"], row["method"], row["noisy"]) for row in rows] == [("DOID:10763", "name", True)]
        drug = crosswalk("RXNORM:1191", "DRUGBANK", graph=small, noisy=True).table.to_pylist()
        assert [(row["target"], row["method"], row["noisy"]) for row in drug] == [("DRUGBANK:DB00945", "name", True)]

    def test_only_targets_within(self, small: KnowledgeGraph) -> None:
        """A merged id under the id wanted; the disease above where the one found is not wanted."""
        found = crosswalk("ICD9CM:250.00", "DOID", graph=small, within=["DOID:1", "MESH:D003920"])
        assert found.targets == {"ICD9CM:250.00": ["DOID:1"]}
        assert set(found.table["method"].to_pylist()) == {
            "xref above",
            "GEM, xref above, above",
            "backward GEM, xref above, above",
        }
        assert crosswalk("ICD9CM:250.00", "DOID", graph=small, within=["DOID:10763"]).lost

    def test_combinations_are_one_pick_of_each_list(self, small: KnowledgeGraph) -> None:
        found = crosswalk(["ICD9CM:073.0", "ICD9CM:250.01"], "ICD10CM", graph=small)
        assert found.table["fate"].to_pylist()[:4] == ["combination"] * 4
        assert found.combinations("ICD9CM:073.0") == [
            ("ICD10CM:A70", "ICD10CM:J17"),
            ("ICD10CM:A71", "ICD10CM:J17"),
            ("ICD10CM:B99",),
        ]
        assert found.combinations("ICD9CM:250.01") == [("ICD10CM:E10.9",), ("ICD10CM:E10.10",)]
        with pytest.raises(UnknownIdentifierError, match=r"Nearest: ICD9CM:073\.0"):
            found.combinations("ICD9CM:073.1")

    def test_coverage_counts_every_code_once(self, small: KnowledgeGraph) -> None:
        given = ["25000", "250.00", "ICD9CM:250.00", "ICD10CM:E11.9", "nonsense", "ICD9CM:E870.0", "25000"]
        found = crosswalk(given, "ICD10CM", graph=small)
        assert list(found.targets) == list(dict.fromkeys(given))
        counted = {name: {fate: n for fate, n in row.items() if n} for name, row in found.coverage.items()}
        assert counted == {"ICD9CM": {"approximate": 1, "no map": 1}, "ICD10CM": {"one": 1}, "?": {"unreadable": 1}}
        assert str(found).splitlines()[0] == "to ICD10CM  codes  one  approximate  no map  unreadable"
        assert repr(found) == "Crosswalk(to='ICD10CM', 6 codes, 2 lost)"
        assert found.to_pandas()["target"].notna().sum() == 4

    def test_what_bare_codes_are(self, small: KnowledgeGraph) -> None:
        assert not crosswalk("V1082", "ICD9CM", graph=small, vocabulary="ICD9CM").lost
        assert not crosswalk("V1082", "ICD9CM", graph=small, on="2012-01-01").lost
        assert crosswalk("V1082", "ICD9CM", graph=small, on="2018-01-01").lost == {"V1082": "unknown"}
        assert crosswalk("DIAGNOSIS//ICD//9//25000", "CCS", graph=small).targets.popitem()[1] == ["CCS:49"]

    def test_a_wrong_target_vocabulary(self, small: KnowledgeGraph) -> None:
        with pytest.raises(SchemaError, match="ICD11"):
            crosswalk("ICD9CM:250.00", "ICD11", graph=small)
        with pytest.raises(SchemaError, match="Load them from your files"):
            crosswalk("ICD9CM:250.00", "CCS.MULTI", graph=small)
        assert crosswalk("ICD9CM:250.00", "icd-10-cm", graph=small).to == "ICD10CM"

    def test_statuses_chronic_and_hierarchy(self, small: KnowledgeGraph) -> None:
        table = small.nodes["Diagnosis"].to_pylist()
        status = {row["id"]: row["status"] for row in table}
        assert status["ICD9CM:250.00"] == "billable"
        assert status["ICD9CM:250.0"] == status["ICD10CM:E10"] == "header"
        assert status["ICD9CM:250.1"] == status["ICD10CM:A70"] == "retired"
        assert status["ICD9CM:240-279"] is None
        edges = small.edges[mg.EdgeType("Diagnosis", "is_a", "Diagnosis")]
        ids = small.nodes["Diagnosis"]["id"].to_pylist()
        parents = {ids[e["source"]]: ids[e["target"]] for e in edges.to_pylist()}
        assert parents["ICD9CM:250.01"] == "ICD9CM:250.0"
        assert parents["ICD9CM:250.0"] == "ICD9CM:250"
        assert parents["ICD9CM:250"] == "ICD9CM:240-279"
        assert parents["ICD9CM:E870"] == "ICD9CM:E000-E999"
        assert small.skipped["Disease Ontology: obsolete term"] == 1


class TestWithoutFiles:
    """What the installed packages carry."""

    def test_the_first_example(self) -> None:
        found = mg.crosswalk("ICD9CM:250.00", to="ICD10CM")
        assert found.targets == {"ICD9CM:250.00": ["ICD10CM:E11.9"]}
        assert found.table["name"].to_pylist() == ["Type 2 diabetes mellitus without complications"]

    def test_diseases_need_a_file(self) -> None:
        with pytest.raises(SchemaError, match="Load them from your files"):
            mg.crosswalk("ICD9CM:250.00", to="DOID")

    def test_the_icd10_hierarchy_is_that_of_its_package(self) -> None:
        icd = pytest.importorskip("simple_icd_10_cm")
        graph = bundled_codes()
        ids = graph.nodes["Diagnosis"]["id"].to_pylist()
        parents = graph.edge_index(mg.EdgeType("Diagnosis", "is_a", "Diagnosis"))
        ours = {ids[a]: ids[b] for a, b in parents.T.tolist()}
        checked = 0
        for id_ in [id_ for id_ in ids if id_.startswith("ICD10CM:") and "-" not in id_][::37]:
            code = id_.partition(":")[2]
            if icd.is_valid_item(code):
                above = icd.get_parent(code)
                assert ours[id_].partition(":")[2].removesuffix(f"-{above}") == above, code
                checked += 1
        assert checked > 2_500

    def test_new_releases_are_read(self) -> None:
        tabular = bundled_sources().tabular
        assert tabular is not None
        codes = [code for code in tabular[1].read_text(encoding="utf-8").split() if "-" not in code and len(code) > 2]
        assert "QA0" in codes
        assert normalise_column(pa.array(codes), "ICD10CM").null_count == 0

    def test_published_icd9_chapters(self, shared_data: Path) -> None:
        """Every billable code lies in the chapter that the published tree puts it in."""
        chapter, published = "", {}
        with gzip.open(shared_data / "codes" / "icd9Tree.txt.gz", "rt", encoding="utf-8") as lines:
            tree = lines.read().splitlines()
        for line in tree:
            if not line.startswith("\t"):
                chapter = re.sub(r"^[0-9]+\. *| \([VE].*", "", line.strip()).casefold()
            elif code := re.match(r"\t\t\t?\(([VE]?[0-9.]+) ?\)", line):
                published[f"ICD9CM:{code[1]}"] = chapter
        graph = bundled_codes()
        table = graph.nodes["Diagnosis"]
        ids, names = table["id"].to_pylist(), table["name"].to_pylist()
        parents = dict(graph.edge_index(mg.EdgeType("Diagnosis", "is_a", "Diagnosis")).T.tolist())
        row = {id_: number for number, id_ in enumerate(ids)}
        wrong = []
        there = {id_: chapter for id_, chapter in published.items() if id_ in row}  # less codes long retired
        for id_, chapter in there.items():
            above = row[id_]
            while above in parents:
                above = parents[above]
            if names[above].casefold() != chapter.replace("diseases of blood", "diseases of the blood"):
                wrong.append((id_, names[above], chapter))
        assert len(there) > 14_000
        assert len(published) - len(there) < 100
        assert wrong == []


def published(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return list(csv.reader(lines))[1:]


def dotted(code: str, vocabulary: str) -> str:
    """By hand: the point stands after three characters, after four of an E code of ICD-9-CM."""
    at = 4 if vocabulary == "ICD9CM" and code.startswith("E") else 3
    return f"{vocabulary}:{code[:at]}" + (f".{code[at:]}" if code[at:] else "")


class TestPublishedMaps:
    @pytest.mark.parametrize(
        ("file", "source", "target"),
        [("icd9toicd10cmgem", "ICD9CM", "ICD10CM"), ("icd10cmtoicd9gem", "ICD10CM", "ICD9CM")],
    )
    def test_line_by_line(self, shared_data: Path, file: str, source: str, target: str) -> None:
        """Every line of the published file is one row of the crosswalk with its flags, and the other way round."""
        lines = published(shared_data / "codes" / f"{file}.csv.gz")
        found = crosswalk([dotted(code, source) for code in dict.fromkeys(line[0] for line in lines)], target)
        expected = Counter(
            (dotted(a, source), None if no == "1" else dotted(b, target), *((None,) * 4 if no == "1" else rest))
            for a, b, _, approximate, no, *more in lines
            for rest in [(approximate == "1", more[0] == "1", int(more[1]), int(more[2]))]
        )
        names = ("source", "target", "approximate", "combination", "scenario", "choice_list")
        rows = Counter(zip(*(found.table[name].to_pylist() for name in names), strict=True))
        assert rows == expected
        no_map = {dotted(line[0], source) for line in lines if line[4] == "1"}
        assert found.lost == dict.fromkeys(sorted(no_map, key=list(found.targets).index), "no map")

    def test_mimic_demo(self, shared_data: Path) -> None:
        codes = demo_codes(shared_data)
        assert len(codes) == 581
        found = crosswalk(codes, "ICD10CM", vocabulary="ICD9CM")
        wanted = {"one": 196, "approximate": 243, "many": 99, "combination": 6, "no map": 17, "header": 20}
        assert found.coverage == {"ICD9CM": {fate: wanted.get(fate, 0) for fate in FATES}}
        ccs = crosswalk(codes, "CCS", vocabulary="ICD9CM")
        assert ccs.coverage["ICD9CM"]["one"] == 581
        with gzip.open(shared_data / "codes" / "CCS-SingleDiagnosisGrouper.txt.gz", "rt") as lines:
            appendix = lines.read()
        blocks = re.findall(r"^(\d+) .*\n((?: .*\n?)*)", appendix, re.MULTILINE)
        member = {code: number for number, block in blocks for code in block.split()}
        assert ccs.targets == {code: [f"CCS:{member[code]}"] for code in codes}


def demo_codes(shared_data: Path) -> list[str]:
    with gzip.open(shared_data / "ehr" / "mimic3demo" / "DIAGNOSES_ICD.csv.gz", "rt") as lines:
        return sorted({row["icd9_code"] for row in csv.DictReader(lines)})


@pytest.fixture(scope="module", name="everything")
def every_published_file(shared_data: Path) -> KnowledgeGraph:
    return code_graph(find_sources(shared_data / "codes"))


@pytest.fixture(scope="module", name="hetionet")
def its_diseases(shared_data: Path) -> list[str]:
    with gzip.open(shared_data / "hetionet" / "nodes.tsv.gz", "rt", encoding="utf-8") as lines:
        rows = (line.rstrip("\n").split("\t") for line in lines)
        return [row[0].removeprefix("Disease::") for row in rows if row[2] == "Disease"]


def stated_by(graph: KnowledgeGraph, words: str) -> KnowledgeGraph:
    """The graph with only those links of diseases to codes that a source of this name states."""
    edge_type = mg.EdgeType("Disease", "coded_as", "Diagnosis")
    table = graph.edges[edge_type]
    keep = [any(words in source for source in sources) for sources in table["sources"].to_pylist()]
    edges = {**graph.edges, edge_type: table.filter(pa.array(keep))}
    return KnowledgeGraph(graph.nodes, edges, graph.symmetric, graph.provenance)


class TestDiseases:
    """How far the demo's codes reach into Hetionet's 137 diseases, as counted by hand from the published files."""

    def reach(self, graph: KnowledgeGraph, shared_data: Path, hetionet: list[str], method: str) -> int:
        found = crosswalk(demo_codes(shared_data), "DOID", graph, "ICD9CM", within=hetionet)
        rows = zip(*(found.table[name].to_pylist() for name in ("given", "target", "method")), strict=True)
        return len({code for code, target, how in rows if target is not None and re.fullmatch(method, how)})

    def test_by_exact_link(self, everything: KnowledgeGraph, shared_data: Path, hetionet: list[str]) -> None:
        only = stated_by(everything, "Disease Ontology 2015-05-14")
        assert self.reach(only, shared_data, hetionet, "xref") == 15

    def test_by_map_and_prefix(self, everything: KnowledgeGraph, shared_data: Path, hetionet: list[str]) -> None:
        only = stated_by(everything, "doid_allXREF_2026")
        assert self.reach(only, shared_data, hetionet, "GEM, xref.*") == 64

    def test_by_all_ways(self, everything: KnowledgeGraph, shared_data: Path, hetionet: list[str]) -> None:
        found = crosswalk(demo_codes(shared_data), "DOID", everything, "ICD9CM", within=hetionet)
        assert len(found.targets) - len(found.lost) == 82
        assert not any(found.table["noisy"].to_pylist()[: len(found.targets)])
        noisy = crosswalk(demo_codes(shared_data), "DOID", everything, "ICD9CM", within=hetionet, noisy=True)
        assert len(noisy.lost) < len(found.lost)
        clean = {(r["given"], r["target"]) for r in noisy.table.to_pylist() if r["target"] and not r["noisy"]}
        assert clean == {(r["given"], r["target"]) for r in found.table.to_pylist() if r["target"]}

    def test_a_merged_disease_is_reached(self, everything: KnowledgeGraph, hetionet: list[str]) -> None:
        assert "DOID:9917" in hetionet
        assert crosswalk("ICD9CM:163.9", "DOID", everything, within=hetionet).targets == {"ICD9CM:163.9": ["DOID:9917"]}
        assert crosswalk("DOID:9917", "ICD9CM", everything).targets["DOID:9917"]

    def test_drugs(self, everything: KnowledgeGraph, shared_data: Path) -> None:
        """The ATC codes of every compound are those that its row of the published table names."""
        with gzip.open(shared_data / "codes" / "drugbank_slim_hetionet.tsv.gz", "rt", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        wanted = {f"DRUGBANK:{r['drugbank_id']}": {f"ATC:{c}" for c in r["atc_codes"].split("|") if c} for r in rows}
        found = crosswalk(list(wanted), "ATC", everything)
        assert {code: set(targets) for code, targets in found.targets.items()} == wanted
        assert found.coverage["DRUGBANK"]["no link"] == sum(not codes for codes in wanted.values())
        named = crosswalk("RXNORM:861007", "DRUGBANK", everything, noisy=True)
        assert set(itertools.chain(*named.targets.values())) <= {"DRUGBANK:DB00331"}

    def test_names_of_every_kind_of_source(self, everything: KnowledgeGraph) -> None:
        assert {"ATC", "DrugBank", "RxNorm and UNII"} <= {source.name for source in everything.provenance}
        made = pc.unique(everything.edges[mg.EdgeType("Disease", "coded_as", "Diagnosis")]["method"])
        assert sorted(made.to_pylist()) == ["name", "xref"]
