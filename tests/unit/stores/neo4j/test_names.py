"""Search on a server against the embedded store's index, on names that people use."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

import medgraph as mg
from medgraph.data.graph import KnowledgeGraph
from medgraph.stores.neo4j import Neo4jStore
from medgraph.stores.search import NameIndex

SIZE, ASKED = 1500, 12


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    whole = mg.load("starter")
    rows = np.random.default_rng(0).choice(whole.num_nodes, SIZE, replace=False)
    return whole.subgraph(nodes=[whole.ids[row] for row in rows], edge_types=[])


@pytest.fixture(scope="module")
def server(neo4j_url: str, graph: KnowledgeGraph) -> Iterator[Neo4jStore]:
    with Neo4jStore(neo4j_url) as store:
        store.execute("MATCH (n) DETACH DELETE n")
        store.write(graph)
        yield store
        store.execute("MATCH (n) DETACH DELETE n")


def _texts(graph: KnowledgeGraph, column: str) -> list[str]:
    found = [value for table in graph.nodes.values() if column in table.column_names for value in table[column]]
    values = [one for value in found for one in (value.as_py() if column == "synonyms" else [value.as_py()]) or []]
    return [one for one in values if one and len(one) > 6]


def _cut(text: str, rng: random.Random) -> str:
    words = text.split()[:4]
    at = rng.randrange(len(words))
    words[at] = words[at][: max(3, len(words[at]) * 2 // 3)]
    return " ".join(words)


def _misspelt(text: str, rng: random.Random) -> str:
    """One letter left out, doubled, or swapped with the next, in the longest word of the first four."""
    words = text.split()[:4]
    at = max(range(len(words)), key=lambda one: len(words[one]))
    word = words[at]
    letter = rng.randrange(1, len(word) - 1)
    head, tail = word[:letter], word[letter + 1 :]
    words[at] = rng.choice([head + tail, head + 2 * word[letter] + tail, head + tail[:1] + word[letter] + tail[1:]])
    return " ".join(words)


@pytest.mark.parametrize("kind", ["name", "synonyms", "cut"])
def test_words_as_they_are_spelt_find_the_same(graph: KnowledgeGraph, server: Neo4jStore, kind: str) -> None:
    rng = random.Random(1)
    asked = rng.sample(_texts(graph, "synonyms" if kind == "synonyms" else "name"), ASKED)
    index = NameIndex.build(graph)
    for text in [_cut(text, rng) for text in asked] if kind == "cut" else asked:
        assert server.search(text).equals(index.search(text)), text


def test_misspelt_words_find_much_the_same(graph: KnowledgeGraph, server: Neo4jStore) -> None:
    """Candidates come by letters away here and by trigrams there: of the best ten the last may differ."""
    rng = random.Random(2)
    texts = [_misspelt(text, rng) for text in rng.sample(_texts(graph, "name"), 2 * ASKED)]
    index = NameIndex.build(graph)
    first = same = 0
    for text in texts:
        here, there = server.search(text)["id"].to_pylist(), index.search(text)["id"].to_pylist()
        first += here[:1] == there[:1]
        same += here == there
    assert first >= 0.9 * len(texts)
    assert same >= 0.7 * len(texts)
