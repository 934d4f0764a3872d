"""One contract for every loader of a graph or a cohort, and one for what it says of files that are broken."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgraph import loading
from medgraph.data.cohort import Cohort
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.identifiers import known_prefixes, normalise_column
from medgraph.errors import LoaderError, MalformedInputError, MedgraphError

HETIONET_NODES = b"""id\tname\tkind
Gene::9021\tSOCS3\tGene
Gene::2063\tNR2F6\tGene
Disease::DOID:1612\tbreast cancer\tDisease
Compound::DB00014\tGoserelin\tCompound
Pathway::WP98_r81183\tProstaglandin synthesis\tPathway
Side Effect::C0000727\tdouleur aigu\xc3\xab\tSide Effect
"""
HETIONET_EDGES = b"""source\tmetaedge\ttarget
Compound::DB00014\tCtD\tDisease::DOID:1612
Gene::9021\tGr>G\tGene::2063
Gene::9021\tGiG\tGene::2063
Gene::9021\tGpPW\tPathway::WP98_r81183
"""
KGX_NODES = b"""id\tname\tcategory\txref
MONDO:0005015\tdiabetes\tbiolink:Disease\ta:1|b:2
NCBIGene:3630\tINS \xce\xb1\tbiolink:Gene\t
CHEBI:6801\tmetformin\tbiolink:NamedThing|biolink:SmallMolecule\t
"""
KGX_EDGES = b"""subject\tpredicate\tobject\tpublications\tweight\tnegated
CHEBI:6801\tbiolink:treats\tMONDO:0005015\tPMID:1|PMID:2\t0.5\tFalse
NCBIGene:3630\tbiolink:interacts_with\tNCBIGene:3630\t\t\t
NCBIGene:3630\tbiolink:related_to\tMONDO:0005015\tPMID:3\t1\tTrue
"""
HETNET_JSON = json.dumps(
    {
        "metanode_kinds": ["Gene"],
        "nodes": [
            {"kind": "Gene", "identifier": 9021, "name": "SOCS3", "data": {"source": "Entrez"}},
            {"kind": "Disease", "identifier": "DOID:1612", "name": "breast cancer", "data": {}},
        ],
        "edges": [
            {
                "source_id": ["Disease", "DOID:1612"],
                "target_id": ["Gene", 9021],
                "kind": "associates",
                "direction": "both",
                "data": {"sources": ["a"], "pubmed_ids": [1], "unbiased": False},
            }
        ],
    },
    indent=2,
).encode()

CODES = {  # as their publishers write them, in small
    "icd9dx2015.csv": b"""dgns_cd,longdesc,shortdesc,version,fyear
"0010","Cholera due to vibrio cholerae","Cholera d/t vib cholerae",32,2015
"11501","Histoplasma capsulatum meningitis","Histoplasm meningitis",32,2015
"E8700","Accidental cut, puncture","Acc cut/hem in surgery",32,2015
""",
    "CMS32_DESC_LONG_SG.txt": b"3605 Multiple vessel angioplasty\n0001 Ultrasound of vessels\n",
    "icd9Tree.txt": b"1.  INFECTIOUS\n\tIntestinal infectious diseases (001-009)\n\t\t(001) Cholera\n",
    "icd10cm-codes-2024.txt": b"A000    Cholera due to Vibrio cholerae 01\nB394    Histoplasmosis\n",
    "2018_I9gem.txt": b"0010  A000    00000\n11501 B394    10111\n11501 G02     10112\nE8700 NoDx    11000\n",
    "icd10cmtoicd9gem.csv": b""""icd10cm","icd9cm","flags","approximate","no_map","combination","scenario","choice_list"
"A000","0010","00000",0,0,0,0,0
"R402130","NoDx","11000",1,1,0,0,0
""",
    "CCS-SingleDiagnosisGrouper.txt": b"Appendix A\n\n135  Intestinal\n     0010 0011\n4  Mycoses\n     11501\n",
    "ccs_multi_dx_tool_2015.csv": b"""'ICD-9-CM CODE','CCS LVL 1','CCS LVL 1 LABEL','CCS LVL 2','CCS LVL 2 LABEL',\
'CCS LVL 3','CCS LVL 3 LABEL','CCS LVL 4','CCS LVL 4 LABEL'
'0010 ','9',"Digestive",'9.1',"Intestinal infection [135.]",' '," ",' '," "
""",
    "icd10_dx_cat1.json": b'{"A000": "DIG001", "B394": "INF004"}',
    "cci2015.csv": b"""'ICD-9-CM CODE','ICD-9-CM CODE DESCRIPTION','CATEGORY DESCRIPTION','BODY SYSTEM'
'0010 ',"CHOLERA, VIB",'0','1'
""",
    "CCIR_v2023-1.csv": b"""Chronic Condition Indicator Refined v2023.1,,
'ICD-10-CM CODE','ICD-10-CM CODE DESCRIPTION','CHRONIC INDICATOR'
'A000',"Cholera due to Vibrio cholerae 01, biovar cholerae",9
""",
}
DISEASES_AND_DRUGS = {
    "doid.obo": b"""format-version: 1.2
data-version: doid/releases/2026-01-01/doid.obo

[Term]
id: DOID:1498
name: cholera
alt_id: DOID:99
xref: ICD9CM:001
xref: UMLS_CUI:C0008354
xref: SNOMEDCT_US_2025_09_01:63650001
is_a: DOID:4 ! disease

[Term]
id: DOID:4
name: disease
synonym: "illness" EXACT []
""",
    "doid_xrefs.tsv": b'id\tlabel\txref\n"DOID:1498"\t"cholera"\t"ICD10CM:A00.1"\nDOID:99\told\tICD10CM:A00\n',
    "my_atc_2026.csv": b"atc_code,atc_name,ddd\nA,ALIMENTARY,NA\nA10BA02,metformin,2\nA10BA02,metformin,3\n",
    "drugbank.tsv": b"drugbank_id\tname\tatc_codes\tinchikey\nDB00331\tMetformin\tA10BA02|A10BD02\tInChIKey=X\n",
    "RXNCONSO.RRF": b"""6809|ENG||||||||||RXNORM|IN|6809|metformin||N|4096|
861007|ENG||||||||||RXNORM|SCD|861007|metformin 500 MG Oral Tablet||N|4096|
6809|ENG||||||||||ATC|RXN_IN|A10BA02|metformin||N|4096|
6809|ENG||||||||||DRUGBANK|IN|DB00331|Metformin||N|4096|
""",
    "RXNREL.RRF": b"6809||CUI|RO|861007||CUI|has_ingredient|||RXNORM|RXNORM|||N|4096|\n",
    "RXNSAT.RRF": b"861007|||||||AT1|NDC|RXNORM|00378718501|N|4096|\n",
}


def as_json_lines(table: bytes) -> bytes:
    header, *rows = [line.split("\t") for line in table.decode().splitlines()]
    return b"".join(json.dumps(dict(zip(header, row, strict=True))).encode() + b"\n" for row in rows)


def as_parquet(table: bytes) -> bytes:
    header, *rows = [line.split("\t") for line in table.decode().splitlines()]
    file = io.BytesIO()
    pq.write_table(pa.table(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))), file)
    return file.getvalue()


@dataclass(frozen=True)
class Form:
    """One way in which a loader takes its input: files by name."""

    loader: str
    files: dict[str, bytes]
    options: dict[str, object] = field(default_factory=dict)

    def load(self, folder: Path) -> KnowledgeGraph | Cohort:
        path = folder / next(iter(self.files)) if len(self.files) == 1 else folder
        return loading.load(self.loader, path=path, **self.options)

    def write(self, folder: Path, changed: dict[str, bytes] | None = None) -> Path:
        for name, content in {**self.files, **(changed or {})}.items():
            (folder / name).write_bytes(content)
        return folder


GZIP = {"mtime": 0}
FORMS = {
    "hetionet tables": Form("hetionet", {"nodes.tsv": HETIONET_NODES, "edges.tsv": HETIONET_EDGES}),
    "hetionet tables, gzip": Form(
        "hetionet",
        {
            "hetionet-v1.0-nodes.tsv": HETIONET_NODES,
            "hetionet-v1.0-edges.sif.gz": gzip.compress(HETIONET_EDGES, **GZIP),
        },
    ),
    "hetionet JSON": Form("hetionet", {"hetionet-v1.0.json": HETNET_JSON}),
    "hetionet JSON, bzip2": Form("hetionet", {"hetionet-v1.0.json.bz2": bz2.compress(HETNET_JSON)}),
    "kgx tables": Form("kgx", {"nodes.tsv": KGX_NODES, "edges.tsv": KGX_EDGES}),
    "kgx tables, gzip": Form(
        "kgx", {"nodes.tsv.gz": gzip.compress(KGX_NODES, **GZIP), "edges.tsv.gz": gzip.compress(KGX_EDGES, **GZIP)}
    ),
    "kgx JSON lines": Form("kgx", {"nodes.jsonl": as_json_lines(KGX_NODES), "edges.jsonl": as_json_lines(KGX_EDGES)}),
    "clinical codes": Form("clinical_codes", CODES, {"bundled": False}),
    "clinical codes of diseases and drugs": Form("clinical_codes", DISEASES_AND_DRUGS, {"bundled": False}),
    "kgx Parquet": Form("kgx", {"nodes.parquet": as_parquet(KGX_NODES), "edges.parquet": as_parquet(KGX_EDGES)}),
}


@pytest.fixture(scope="module", name="loaded", params=["starter", *FORMS])
def each_graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A graph, and how to load it once more."""
    if request.param == "starter":
        return loading.load("starter"), lambda: loading.load("starter")
    form, folder = FORMS[request.param], tmp_path_factory.mktemp("source")
    form.write(folder)
    return form.load(folder), lambda: form.load(folder)


class TestEveryLoader:
    def test_it_gives_a_graph_with_its_provenance(self, loaded) -> None:
        graph, _ = loaded
        assert isinstance(graph, KnowledgeGraph)
        assert graph.num_nodes
        assert graph.num_edges
        for source in graph.provenance:
            assert source.name
        assert graph.provenance

    def test_ids_are_normal_curies(self, loaded) -> None:
        graph, _ = loaded
        ids = pa.array(graph.ids)
        assert normalise_column(ids).equals(ids)
        assert {id_.partition(":")[0] for id_ in graph.ids} <= set(known_prefixes())
        assert all(name.strip() for name in graph.names)

    def test_it_gives_the_same_each_time_without_a_network(self, loaded, monkeypatch: pytest.MonkeyPatch) -> None:
        graph, again = loaded

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a loader with its files at hand went to the network")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        other = again()
        assert other.fingerprint == graph.fingerprint
        assert other.ids == graph.ids
        assert np.array_equal(other.triples(), graph.triples())
        assert other.provenance == graph.provenance

    def test_symmetric_edges_stand_once(self, loaded) -> None:
        graph, _ = loaded
        for edge_type in graph.symmetric:
            pairs = {tuple(pair) for pair in graph.edge_index(edge_type).T.tolist()}
            assert not {(b, a) for a, b in pairs if a != b} & pairs


def outcome(form: Form, folder: Path) -> KnowledgeGraph | MedgraphError:
    """A valid graph or one MedgraphError that names the file; anything else fails the test."""
    error: MedgraphError | None = None
    try:
        graph = form.load(folder)
    except MedgraphError as fault:
        error = fault
    if error is None:
        ids = pa.array(graph.ids, pa.string())
        assert normalise_column(ids).equals(ids)
        assert len(set(graph.ids)) == graph.num_nodes
        assert len(graph.fingerprint) == 64
        return graph
    assert isinstance(error, LoaderError), repr(error)
    assert len(str(error)) < 2000
    if isinstance(error, MalformedInputError):
        assert error.file is not None
        assert Path(error.file).name in form.files
    return error


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@every_form
class TestBrokenFiles:
    @FUZZ
    @given(data=st.data())
    def test_flipped_bytes(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = bytearray(form.files[name])
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        form.write(tmp_path, {name: bytes(content)})
        outcome(form, tmp_path)

    @FUZZ
    @given(data=st.data())
    def test_pieces_cut_out_or_put_in(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = form.files[name]
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        pieces = st.sampled_from(
            [b"", b"\t", b"\n", b"\r", b"\r\n", b'"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"|", b"\\"]
        )
        piece = data.draw(pieces | st.binary(max_size=20) | st.text(max_size=10).map(lambda t: t.encode("utf-16")))
        form.write(tmp_path, {name: content[:start] + piece + content[end:]})
        outcome(form, tmp_path)

    @FUZZ
    @given(data=st.data())
    def test_lines_lost_doubled_or_swapped(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        lines = form.files[name].splitlines(keepends=True)
        form.write(tmp_path, {name: b"".join(data.draw(st.lists(st.sampled_from(lines), max_size=len(lines) + 3)))})
        outcome(form, tmp_path)

    def test_truncated(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            for length in {*range(0, len(content), max(1, len(content) // 25)), len(content) - 1, len(content) - 9}:
                form.write(tmp_path, {name: content[:length]})
                found = outcome(form, tmp_path)
                if re.search(r"\.(gz|bz2|json|parquet)$", name) and length < len(content) - 1:
                    assert isinstance(found, MalformedInputError), (name, length)
            form.write(tmp_path)

    def test_other_encodings(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            if not re.search(r"\.(tsv|jsonl|json)$", name):
                continue
            for encoding in ("utf-16", "utf-32-le", "cp037"):
                form.write(tmp_path, {name: content.decode().encode(encoding, "replace")})
                assert isinstance(outcome(form, tmp_path), MalformedInputError), (name, encoding)
            form.write(tmp_path, {name: content + "naïve\n".encode("latin-1")})
            assert isinstance(outcome(form, tmp_path), MalformedInputError), name
            form.write(tmp_path)

    def test_a_folder_where_a_file_should_be_or_none_at_all(self, form: Form, tmp_path: Path) -> None:
        assert isinstance(outcome(form, tmp_path), LoaderError)
        for name in form.files:
            (tmp_path / name).mkdir()
        assert isinstance(outcome(form, tmp_path), LoaderError)


SUBJECT, MOMENT = b"918273645", b"2164-10-23"  # what no message may repeat
COHORTS = {
    "mimic III": Form(
        "mimic",
        {
            "PATIENTS.csv": b"subject_id,gender,dob,dod\n918273645,F,2094-03-05,2164-12-01\n7,M,2100-01-01,\n",
            "ADMISSIONS.csv": b"subject_id,hadm_id,admittime,dischtime\n"
            b"918273645,1,2164-10-23 21:09:00,2164-10-23 23:00:00\n7,2,2164-10-23 01:00:00,2164-11-01 17:15:00\n",
            "DIAGNOSES_ICD.csv": b"subject_id,hadm_id,icd9_code\n918273645,1,99591\n7,2,V090\n7,2,\n",
        },
    ),
    "mimic IV, gzip": Form(
        "mimic",
        {
            "patients.csv.gz": gzip.compress(
                b"subject_id,gender,anchor_age,anchor_year,dod\n918273645,F,50,2164,\n7,M,60,2160,2165-01-01\n", **GZIP
            ),
            "admissions.csv.gz": gzip.compress(
                b"subject_id,hadm_id,admittime,dischtime\n918273645,1,2164-10-23 21:09:00,2164-11-01 17:15:00\n", **GZIP
            ),
        },
    ),
    "omop": Form(
        "omop",
        {
            "PERSON.csv": b"PERSON_ID,GENDER_CONCEPT_ID,YEAR_OF_BIRTH\n918273645,8507,1950\n7,8532,1960\n",
            "CONCEPT.csv": b'CONCEPT_ID,CONCEPT_NAME,VOCABULARY_ID,CONCEPT_CODE\n5,"Cold, viral",SNOMED,444814009\n',
            "CONDITION_ERA.csv": b"PERSON_ID,CONDITION_CONCEPT_ID,CONDITION_ERA_START_DATE\n"
            b"918273645,5,2164-10-23\n7,5,2164-10-23\n7,0,2164-10-23\n",
        },
    ),
    "synthea": Form(
        "synthea",
        {
            "patients.csv": b"Id,BIRTHDATE,DEATHDATE,GENDER\n918273645,2150-01-01,,F\nb,2140-01-01,2164-12-01,M\n",
            "encounters.csv": b"Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE\n"
            b"e,2164-10-23T03:34:33Z,2164-10-23T03:49:33Z,918273645,inpatient,50849002\n",
            "conditions.csv": b"START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n"
            b"2164-10-23,,918273645,e,444814009,Cold\n",
        },
    ),
    "meds": Form(
        "meds",
        {
            "events.parquet": as_parquet(
                b"subject_id\ttime\tcode\n918273645\t2164-10-23\tA\n918273645\t2164-10-24\tB\n7\t2164-10-23\tA\n"
            )
        },
    ),
}


def cohort_or_error(form: Form, folder: Path) -> Cohort | LoaderError:
    """A cohort that holds together, or one LoaderError that tells of no patient; anything else fails the test."""
    error: LoaderError | None = None
    try:
        cohort = form.load(folder)
    except LoaderError as fault:
        error = fault
    if error is not None:
        assert len(str(error)) < 2000
        assert SUBJECT.decode() not in str(error)
        assert MOMENT.decode() not in str(error)
        if isinstance(error, MalformedInputError):
            assert Path(error.file).name in form.files
        return error
    blocks = list(cohort.events())
    assert sum(block.time.size for block in blocks) == cohort.num_events
    for block in blocks:
        inner = np.diff(block.subject) == 0
        assert not (inner & (block.time[1:] < block.time[:-1])).any()
    assert sum(block.num_subjects for block in blocks) == cohort.num_subjects
    assert all(isinstance(count, int) and count > 0 for count in cohort.skipped.values())
    told = f"{cohort!r} {dict(cohort.skipped)}"
    assert SUBJECT.decode() not in told
    assert MOMENT.decode() not in told
    return cohort


FEWER = settings(FUZZ, max_examples=25)


@pytest.mark.parametrize("form", COHORTS.values(), ids=COHORTS)
class TestEveryCohort:
    def test_it_is_the_same_each_time_and_says_where_it_is_from(self, form: Form, tmp_path: Path) -> None:
        form.write(tmp_path)
        cohort = cohort_or_error(form, tmp_path)
        assert isinstance(cohort, Cohort)
        assert cohort.num_subjects == 2
        assert cohort.provenance[0].name
        assert form.load(tmp_path).fingerprint == cohort.fingerprint
        cohort.to_meds(tmp_path / "meds")
        assert loading.load("meds", path=tmp_path / "meds").fingerprint == cohort.fingerprint

    @FEWER
    @given(data=st.data())
    def test_flipped_bytes(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = bytearray(form.files[name])
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        form.write(tmp_path, {name: bytes(content)})
        cohort_or_error(form, tmp_path)

    @FEWER
    @given(data=st.data())
    def test_pieces_cut_out_or_put_in(self, form: Form, tmp_path: Path, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(form.files)))
        content = form.files[name]
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        odd = [b"", b",", b"\n", b"\r\n", b'"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"-", b"9" * 30]
        piece = data.draw(st.sampled_from(odd) | st.binary(max_size=20))
        form.write(tmp_path, {name: content[:start] + piece + content[end:]})
        cohort_or_error(form, tmp_path)

    def test_truncated(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            for length in {*range(0, len(content), max(1, len(content) // 12)), len(content) - 1, len(content) - 9}:
                form.write(tmp_path, {name: content[:length]})
                found = cohort_or_error(form, tmp_path)
                if re.search(r"\.(gz|parquet)$", name) and length < len(content) - 1:
                    assert isinstance(found, MalformedInputError), (name, length)
            form.write(tmp_path)

    def test_other_encodings(self, form: Form, tmp_path: Path) -> None:
        for name, content in form.files.items():
            if name.endswith(".csv"):
                for encoding in ("utf-16", "utf-32-le", "cp037"):
                    form.write(tmp_path, {name: content.decode().encode(encoding, "replace")})
                    assert isinstance(cohort_or_error(form, tmp_path), MalformedInputError), (name, encoding)
            form.write(tmp_path)

    def test_a_folder_where_a_file_should_be_or_none_at_all(self, form: Form, tmp_path: Path) -> None:
        assert isinstance(cohort_or_error(form, tmp_path), LoaderError)
        for name in form.files:
            (tmp_path / name).mkdir()
        assert isinstance(cohort_or_error(form, tmp_path), LoaderError)
