"""The name index against a plain scan of all names with Python's own tools."""

from __future__ import annotations

import difflib
import re
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.stores.search import NameIndex

WORDS = [
    "acute",
    "chronic",
    "Ménière's",
    "disease",
    "syndrome",
    "type",
    "1",
    "2",
    "diabetes",
    "mellitus",
    "breast",
    "cancer",
    "carcinoma",
    "of",
    "the",
    "Sjögren",
    "hereditary",
    "angio-oedema",
    "β-thalassemia",
    "Straße",
    "Łódź",
    "naïve",
    "TNF-α",
    "protein",
    "receptor",
    "hypo",
    "hyper",
    "tension",
    "tensive",
]


def folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().replace("ß", "ss").replace("ł", "l"))
    plain = "".join(letter for letter in plain if not unicodedata.category(letter).startswith("M"))
    return " ".join(re.findall(r"[^\W_]+", plain))


def a_graph(size: int = 400) -> KnowledgeGraph:
    rng = np.random.default_rng(0)
    names = [" ".join(rng.choice(WORDS, rng.integers(1, 5))) for _ in range(size)]
    half = size // 2
    return KnowledgeGraph(
        {
            "Disease": pa.table({"id": [f"DOID:{row}" for row in range(half)], "name": names[:half]}),
            "Gene": pa.table({"id": [f"NCBIGENE:{row}" for row in range(half)], "name": names[half:]}),
        }
    )


@pytest.fixture(scope="module")
def index() -> NameIndex:
    return NameIndex.build(a_graph())


@pytest.mark.parametrize(
    "text", ["meniere", "SJOGREN", "strasse", "lodz", "hyper", "oedema", "tnf α", "type 1", "dis synd", "s"]
)
def test_whole_and_cut_words_are_those_of_a_scan(index: NameIndex, text: str) -> None:
    graph = a_graph()
    asked = folded(text).split()
    expected = {
        id_
        for id_, name in zip(graph.ids, graph.names, strict=True)
        if all(any(word.startswith(one) for word in folded(name).split()) for one in asked)
    }
    assert expected
    assert set(index.search(text, topn=1000)["id"].to_pylist()) == expected


@pytest.mark.parametrize("text", ["diabtes", "carcinom brest", "mellittus", "recpetor"])
def test_misspelt_words_are_those_that_difflib_finds(index: NameIndex, text: str) -> None:
    graph = a_graph()
    expected = set()
    for id_, name in zip(graph.ids, graph.names, strict=True):
        words = folded(name).split()
        if all(
            any(word.startswith(one) or difflib.SequenceMatcher(None, word, one).ratio() >= 0.75 for word in words)
            for one in folded(text).split()
        ):
            expected.add(id_)
    assert expected
    assert set(index.search(text, topn=1000)["id"].to_pylist()) == expected


def test_scores_by_hand() -> None:
    nodes = pa.table(
        {
            "id": ["A:1", "A:2", "A:3"],
            "name": ["heart failure", "failure of the heart", "Heartburn"],
            "synonyms": pa.array([["cardiac failure"], None, ["pyrosis"]]),
        }
    )
    index = NameIndex.build(KnowledgeGraph({"Disease": nodes}))
    found = {row["id"]: row["score"] for row in index.search("heart failure").to_pylist()}
    assert found == pytest.approx({"A:1": 1.0, "A:2": 2 / (2 + 0.25 * 2)})
    found = {row["id"]: row["score"] for row in index.search("heart").to_pylist()}
    assert found == pytest.approx({"A:1": 1 / 1.25, "A:2": 1 / 1.75, "A:3": 5 / 9})
    assert index.search("cardiac failure").to_pylist() == [
        {"id": "A:1", "name": "heart failure", "node_type": "Disease", "matched": "cardiac failure", "score": 0.9}
    ]
    ratio = difflib.SequenceMatcher(None, "pyrossis", "pyrosis").ratio()
    assert index.search("pyrossis")["score"].to_pylist() == pytest.approx([0.9 * ratio])


def test_where_not_all_words_are_found_most_of_them_count(index: NameIndex) -> None:
    found = index.search("breast cancer xyzzyx", topn=1000)
    assert found.num_rows
    assert all({"breast", "cancer"} <= set(folded(name).split()) for name in found["name"].to_pylist())
    assert max(found["score"].to_pylist()) < 1


def test_the_saved_index_answers_alike(index: NameIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "names")
    loaded = NameIndex.load(tmp_path / "names")
    for text in ("meniere", "diabtes", "s", "type 2 diabetes", ""):
        assert loaded.search(text, topn=50).equals(index.search(text, topn=50))


def test_ties_keep_the_order_of_the_graph(index: NameIndex) -> None:
    graph = a_graph()
    found = index.search("diabetes", topn=1000).to_pylist()
    keys = [(-row["score"], graph.global_index(row["id"])) for row in found]
    assert keys == sorted(keys)
