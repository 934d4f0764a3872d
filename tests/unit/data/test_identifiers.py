"""One normal form, whatever the spelling; Bioregistry is the oracle for the table of vocabularies."""

from __future__ import annotations

import re
import warnings

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgraph.data.identifiers import Curie, known_prefixes, normalise, normalise_column, parse
from medgraph.data.vocabularies import VOCABULARIES, Vocabulary
from medgraph.errors import MalformedInputError

SAME = {
    "DOID:1612": [
        "DOID:1612",
        "doid:1612",
        "DOID_1612",
        "doid_1612",
        " DOID:1612\n",
        "DO:1612",
        "http://purl.obolibrary.org/obo/DOID_1612",
        "https://identifiers.org/DOID:1612",
        "http://identifiers.org/doid/DOID:1612",
        "https://bioregistry.io/doid:1612",
    ],
    "HP:0001250": ["hp:0001250", "HP_0001250", "HPO:0001250", "http://purl.obolibrary.org/obo/HP_0001250"],
    "NCBIGENE:3630": [
        "Entrez:3630",
        "NCBIGene:3630",
        "ncbigene:3630",
        "GeneID:3630",
        "http://identifiers.org/ncbigene/3630",
    ],
    "DRUGBANK:DB00945": ["DrugBank:DB00945", "drugbank:db00945", "DRUGBANK:DRUGBANK:DB00945"],
    "ICD10CM:E11.9": ["ICD10CM:E119", "icd10cm:e11.9", "ICD-10-CM:E119"],
    "ICD10CM:E11": ["ICD10CM:E11.", "ICD10CM:e11"],
    "ICD10CM:A00-A09": ["ICD10CM:a00-a09"],
    "ICD10CM:QA0": ["ICD10CM:qa0", "icd10cm:QA0."],  # second character a letter: releases from 2025 on
    "ICD10CM:QA0.0101": ["ICD10CM:QA00101"],
    "ICD9CM:250.00": ["ICD9CM:25000", "ICD9CM:250.00"],
    "ICD9CM:36.05": ["icd9cm:36.05"],
    "ICD9CM:E800-E999": ["ICD9CM:e800-e999"],
    "ICD9CM:V10.82": ["ICD9CM:V1082", "icd9cm:v10.82"],
    "ICD9CM:E812.0": ["ICD9CM:E8120"],
    "ICD9CM:008.45": ["ICD9CM:00845"],
    "OMIM:143100": ["MIM:143100", "omim:143100"],
    "OMIM.PS:214100": ["OMIMPS:214100", "OMIM.PS:PS214100"],
    "ORPHA:558": ["Orphanet:558", "ORPHA:ORPHA558", "Orphanet_558", "http://www.orpha.net/ORDO/Orphanet_558"],
    "UMLS:C0020179": ["UMLS_CUI:C0020179", "umls:c0020179", "CUI:C0020179"],
    "MESH:D006816": ["MeSH:D006816", "MSH:D006816", "http://identifiers.org/mesh/D006816"],
    "GO:0008150": ["GO:GO:0008150", "go_0008150"],
    "HGNC:4851": ["HGNC:HGNC:4851", "hgnc:4851"],
    "UNIPROT:P42858": ["UniProtKB:P42858", "uniprot:p42858", "https://identifiers.org/uniprot:P42858"],
    "ENSEMBL:ENSG00000139618": ["ENSEMBL:ENSG00000139618.15", "ensembl:ensg00000139618"],
    "SNOMEDCT:73211009": ["SCTID:73211009", "SNOMEDCT_US:73211009"],
    "RXNORM:6809": ["RXCUI:6809", "RxNorm:6809"],
    "PUBCHEM.COMPOUND:2244": ["PubChem:2244", "CID:2244", "PUBCHEM_CID:2244"],
    "WIKIPATHWAYS:WP98": ["WikiPathways:WP98_r81183", "WIKIPATHWAYS:WP98"],
    "NDC:00002-1975-61": ["NDC:0002-1975-61", "NDC:00002197561", "ndc:00002-1975-61"],
    "NDC:50090-0123-01": ["NDC:50090-123-01"],  # 5-3-2
    "NDC:50090-1234-01": ["NDC:50090-1234-1"],  # 5-4-1
    "CCS.MULTI:10.2.2": ["ccs.multi:10.2.2", "CCS_MULTI:10.2.2"],
    "CCS:49": ["CCS:049", "ccs:49"],
    "KEGG.PATHWAY:hsa00190": ["KEGG.PATHWAY:HSA00190"],
    "HMDB:HMDB0000001": ["HMDB:HMDB00001"],
    "PUBMED:16333295": ["PMID:16333295", "pmid: 16333295"],
    "PMC:PMC3084216": ["PMCID:3084216", "PMC:PMC3084216"],
    "CHEBI:15365": ["http://purl.obolibrary.org/obo/CHEBI_15365", "ChEBI:CHEBI:15365"],
    "SIO:000001": ["sio:000001"],  # a prefix not in our table
}
BAD = [
    "",
    " ",
    "diabetes",
    "1612",
    ":1612",
    "DOID:",
    "DOID:abc",
    "DIOD_1612",
    "HP:12",
    "ICD10CM:119",
    "ICD9CM:2",
    "DRUGBANK:945",
    "two words:1",
    "X:has blank",
    "X:a\tb",
    "http://example.org/1612",
    "DOID:1612; DOID:1613",
    "DOID:1612\nDOID:1613",
    "X:" + "1" * 600,
]


@pytest.mark.parametrize(("normal", "spelling"), [(normal, s) for normal, many in SAME.items() for s in many])
def test_every_spelling_has_one_normal_form(normal: str, spelling: str) -> None:
    assert normalise(spelling) == normal
    assert normalise(normal) == normal
    prefix, local = parse(spelling)
    assert str(Curie(prefix, local)) == normal


def test_a_column_gives_what_its_rows_give() -> None:
    spellings = [s for many in SAME.values() for s in many]
    column = normalise_column(pa.chunked_array([spellings[:10], [*BAD, None], spellings[10:]]))
    assert column.to_pylist() == [
        *map(normalise, spellings[:10]),
        *[None] * (len(BAD) + 1),
        *map(normalise, spellings[10:]),
    ]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(MalformedInputError):
        normalise(text)


@pytest.mark.parametrize(
    ("text", "prefix", "normal"),
    [
        ("DB00945", "DRUGBANK", "DRUGBANK:DB00945"),
        ("DrugBank:DB00945", "DrugBank", "DRUGBANK:DB00945"),
        ("25000", "ICD9CM", "ICD9CM:250.00"),
        ("E119", "ICD10CM", "ICD10CM:E11.9"),
        ("HP:0001250", "HP", "HP:0001250"),
        ("7", "ncbigene", "NCBIGENE:7"),
        ("abc", "MYDB", "MYDB:abc"),
        ("mydb:abc", "MYDB", "MYDB:abc"),
    ],
)
def test_a_bare_local_id_is_read_with_its_prefix(text: str, prefix: str, normal: str) -> None:
    assert normalise(text, prefix) == normal


def test_an_id_of_another_vocabulary_is_refused() -> None:
    with pytest.raises(MalformedInputError, match="no DOID id"):
        normalise("HP:0001250", "DOID")


def test_the_message_says_what_was_expected() -> None:
    with pytest.raises(MalformedInputError, match=r"'HP:12' is no HP id; expected one such as HP:0001250"):
        normalise("HP:12")
    with pytest.raises(MalformedInputError, match="Nearest: DOID"):
        normalise("DIOD_1612")
    with pytest.raises(MalformedInputError) as refused:
        normalise("A" * 10_000_000)
    assert len(str(refused.value)) < 300


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z.]{1,9}[:_][ -~]{1,12}"))
def test_normal_form_is_a_fixed_point_and_nothing_else_is_raised(text: str) -> None:
    try:
        normal = normalise(text)
    except MalformedInputError:
        assert normalise_column(pa.array([text])).to_pylist() == [None]
        return
    assert normalise(normal) == normal
    assert normalise_column(pa.array([text, normal])).to_pylist() == [normal, normal]
    assert re.fullmatch(r"[A-Z][A-Z0-9_.\-]*:\S+", normal)


@given(st.sampled_from(VOCABULARIES).flatmap(lambda v: st.tuples(st.just(v), st.from_regex(v.pattern, fullmatch=True))))
def test_what_fits_a_vocabularys_pattern_is_normal_already(pair: tuple[Vocabulary, str]) -> None:
    vocabulary, local = pair
    if not local.isascii() or len(local) > 500:
        return
    curie = f"{vocabulary.prefix}:{local}"
    column = normalise_column(pa.array([curie, local]), vocabulary.prefix).to_pylist()
    if vocabulary.case == "keep" or local == getattr(local, vocabulary.case)():
        assert normalise(curie) == curie
        assert column == [curie, curie]


@pytest.fixture(scope="module", name="bioregistry")
def its_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("bioregistry")


class TestAgainstBioregistry:
    """The package `bioregistry` as oracle, for every vocabulary that is not ours alone."""

    registered = pytest.mark.parametrize(
        "vocabulary", [v for v in VOCABULARIES if v.registered], ids=lambda v: v.prefix
    )

    @registered
    def test_it_knows_the_prefix_and_its_synonyms(self, bioregistry, vocabulary: Vocabulary) -> None:
        assert bioregistry.normalize_prefix(vocabulary.prefix) == vocabulary.prefix.lower()
        known = {bioregistry.normalize_prefix(synonym) for synonym in vocabulary.synonyms}
        assert known <= {vocabulary.prefix.lower(), None}, "a synonym of ours is another vocabulary there"

    @registered
    def test_patterns_agree_on_both_examples(self, bioregistry, vocabulary: Vocabulary) -> None:
        resource = bioregistry.get_resource(vocabulary.prefix)
        assert normalise(f"{vocabulary.prefix}:{vocabulary.example}") == f"{vocabulary.prefix}:{vocabulary.example}"
        if resource.get_pattern():
            assert re.fullmatch(resource.get_pattern(), vocabulary.example)
        if resource.get_example():
            assert parse(f"{resource.prefix}:{resource.get_example()}").prefix == vocabulary.prefix

    def test_ours_alone_are_not_there(self, bioregistry) -> None:
        ours = [vocabulary.prefix for vocabulary in VOCABULARIES if not vocabulary.registered]
        assert ours
        assert {bioregistry.normalize_prefix(prefix) for prefix in ours} == {None}

    def test_its_own_normaliser_agrees(self, bioregistry) -> None:
        for spelling in ("Entrez:3630", "MIM:143100", "HPO:0001250", "UniProtKB:P42858", "GO:GO:0008150", "PMID:1"):
            assert normalise(spelling).casefold() == bioregistry.normalize_curie(spelling).casefold()


def test_a_million_rows_take_seconds_not_minutes() -> None:
    number = pa.array(range(1_000_000)).cast(pa.string())
    text = pa.compute.binary_join_element_wise("NCBIGene", number, ":")
    result = normalise_column(text)
    assert result.null_count == 0
    assert result[999_999].as_py() == "NCBIGENE:999999"
    assert "NCBIGENE" in known_prefixes()
