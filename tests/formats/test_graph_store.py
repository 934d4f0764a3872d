"""Graph folders of older format versions still load. Each version keeps one, less its database file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medgraph.data.graph import Provenance
from medgraph.data.schema import EdgeType
from medgraph.errors import StoreError
from medgraph.stores import open_store

OLD = {"graph_v1": "f85de485a3be19ef8e9041baa2056573c7d302095257fcbeec36a6331d71615c"}


@pytest.mark.parametrize("name", OLD)
def test_an_old_graph_folder_loads_and_is_renewed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(Path(__file__).parent / name, folder)
    with open_store(folder) as store:
        graph = store.read()
        assert graph.fingerprint == store.fingerprint == OLD[name]
        assert graph.ids == ("DRUGBANK:DB00945", "DRUGBANK:DB00331", "DOID:9352", "DOID:1612")
        assert graph.nodes["Compound"]["synonyms"].to_pylist() == [["Acetylsalicylic acid"], None]
        assert graph.symmetric == {EdgeType("Disease", "resembles", "Disease")}
        assert graph.edges[EdgeType("Compound", "treats", "Disease")].to_pylist() == [
            {"source": 1, "target": 0, "sources": ["label", "textbook"], "weight": 0.5, "approved": True}
        ]
        assert graph.provenance == (Provenance("Fixture", "1", "CC0"),)
        assert dict(graph.skipped) == {"no target": 2}
        assert store.search("acetylsalicylic")["id"].to_pylist() == ["DRUGBANK:DB00945"]
        with pytest.raises(StoreError, match="renews"):
            store.query("MATCH (n) RETURN n.id")
        store.write(graph)
        assert store.query("MATCH (n) RETURN count(*) AS n")["n"].to_pylist() == [4]
