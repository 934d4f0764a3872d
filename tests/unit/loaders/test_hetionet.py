"""Hetionet against its published degrees and counts, and against small files written by hand."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.errors import ChecksumError, LoaderError, MalformedInputError
from medgraph.loaders import hetionet
from medgraph.loaders.hetionet import METAEDGES, load

NODES = """id\tname\tkind
Gene::9021\tSOCS3\tGene
Gene::2063\tNR2F6\tGene
Disease::DOID:1612\tbreast cancer\tDisease
Compound::DB00014\tGoserelin\tCompound
Biological Process::GO:0071357\tcellular response to type I interferon\tBiological Process
Pathway::PC7_10399\ta4b7 Integrin signaling\tPathway
Pathway::WP98_r81183\tProstaglandin synthesis\tPathway
Side Effect::C0000727\tAcute abdomen\tSide Effect
Symptom::D000006\tAbdomen, Acute\tSymptom
Pharmacologic Class::N0000000069\tCalcium Channel Antagonists\tPharmacologic Class
Anatomy::UBERON:0000002\tuterine cervix\tAnatomy
"""
EDGES = """source\tmetaedge\ttarget
Compound::DB00014\tCtD\tDisease::DOID:1612
Gene::9021\tGpBP\tBiological Process::GO:0071357
Gene::9021\tGr>G\tGene::2063
Gene::2063\tGr>G\tGene::9021
Gene::9021\tGiG\tGene::2063
Gene::9021\tGpPW\tPathway::WP98_r81183
"""


def write(folder: Path, nodes: str = NODES, edges: str = EDGES) -> Path:
    (folder / "hetionet-v1.0-nodes.tsv").write_text(nodes, encoding="utf-8")
    (folder / "hetionet-v1.0-edges.sif.gz").write_bytes(gzip.compress(edges.encode()))
    return folder


@pytest.fixture(scope="module", name="graph")
def whole_graph(shared_data: Path) -> KnowledgeGraph:
    return load(shared_data / "hetionet")


class TestTheRealGraph:
    def test_counts_equal_the_published_ones(self, graph: KnowledgeGraph, shared_data: Path) -> None:
        published = pd.read_csv(shared_data / "hetionet" / "metaedges.tsv", sep="\t").set_index("abbreviation")
        assert graph.num_nodes == 47_031
        assert len(graph.node_types) == 11
        assert graph.num_edges == 993_498
        complete = {name: edge_type for name, edge_type in METAEDGES.items() if edge_type in graph.edge_types}
        assert len(complete) == 20
        for name, edge_type in complete.items():
            assert graph.edges[edge_type].num_rows == published["edges"][name]
        assert {str(edge_type) for edge_type in graph.symmetric} == {
            "Compound-resembles-Compound",
            "Disease-resembles-Disease",
            "Gene-covaries-Gene",
            "Gene-interacts-Gene",
        }

    def test_every_degree_equals_the_published_one(self, graph: KnowledgeGraph, shared_data: Path) -> None:
        """For 17 metaedges exactly. For three the published degrees add up to more than the published edges."""
        published = pd.read_csv(shared_data / "hetionet" / "true_degrees.tsv.gz", sep="\t", dtype={"node_id": str})
        published["node_id"] = published["node_id"].map(_original)
        compared, excess = 0, {}
        for edge_type in graph.edge_types:
            kinds = [_spaced(edge_type.source), _spaced(edge_type.target)]
            arrows = "<>" if edge_type.relation == "regulates" else "--"
            there = f"{kinds[0]} {arrows[1]} {edge_type.relation} {arrows[1]} {kinds[1]}"
            back = f"{kinds[1]} {arrows[0]} {edge_type.relation} {arrows[0]} {kinds[0]}"
            ends = (there, edge_type.source), (back, edge_type.target)
            for (metaedge, node_type), degrees in zip(ends, graph.degrees(edge_type), strict=True):
                wanted = published[published["metaedge"] == metaedge].set_index("node_id")["degree"]
                ours = pd.Series(degrees, [_original(id_) for id_ in graph.nodes[node_type]["id"].to_pylist()])
                assert set(ours.index[ours > 0]) <= set(wanted.index), metaedge
                more = (wanted - ours[wanted.index]).loc[lambda difference: difference != 0]
                if len(more):
                    excess[metaedge] = (len(more), int(more.min()), int(more.sum()))
                compared += len(wanted)
        assert compared == 149_015
        assert excess == {  # nodes that differ, the least and the whole difference: repeated edges and self-loops there
            "Gene - covaries - Gene": (4, 1, 6),
            "Gene - interacts - Gene": (2925, 2, 5850),
            "Pharmacologic Class - includes - Compound": (5, 1, 7),
            "Compound - includes - Pharmacologic Class": (5, 1, 7),
        }

    def test_known_nodes_and_edges(self, graph: KnowledgeGraph) -> None:
        assert graph.name("DOID:1612") == "breast cancer"
        assert graph.name("DRUGBANK:DB00014") == "Goserelin"
        treats = graph.edge_index(EdgeType("Compound", "treats", "Disease"))
        pair = [graph.locate("DRUGBANK:DB00014").row, graph.locate("DOID:1612").row]
        assert pair in treats.T.tolist()
        assert {id_.partition(":")[0] for id_ in graph.nodes["Pathway"]["id"].to_pylist()} == {
            "PATHWAYCOMMONS",
            "WIKIPATHWAYS",
        }


def _spaced(node_type: str) -> str:
    return {"SideEffect": "Side Effect", "PharmacologicClass": "Pharmacologic Class"}.get(node_type, node_type)


def _original(id_: str) -> str:
    """The last part alone: `DOID:1612`, `GO:0000002` and `1612` all end in it; WikiPathways without its revision."""
    return id_.rpartition(":")[2].partition("_r")[0]


class TestTables:
    def test_ids_become_curies(self, tmp_path: Path) -> None:
        graph = load(write(tmp_path))
        assert set(graph.ids) == {
            "NCBIGENE:9021",
            "NCBIGENE:2063",
            "DOID:1612",
            "DRUGBANK:DB00014",
            "GO:0071357",
            "PATHWAYCOMMONS:PC7_10399",
            "WIKIPATHWAYS:WP98",
            "UMLS:C0000727",
            "MESH:D000006",
            "NDFRT:N0000000069",
            "UBERON:0000002",
        }
        assert graph.edge_index(EdgeType("Gene", "regulates", "Gene")).tolist() == [[0, 1], [1, 0]]
        assert graph.symmetric == {EdgeType("Gene", "interacts", "Gene")}
        assert graph.provenance[0].name == "Hetionet"
        assert len(graph.provenance[0].sha256.split()) == 2

    @pytest.mark.parametrize(
        ("nodes", "edges", "line", "column", "problem"),
        [
            (NODES.replace("kind\n", "sort\n", 1), EDGES, 1, None, "no column 'kind'"),
            (NODES.replace("Pathway\nSide", "Path\nSide"), EDGES, 8, "kind", "'Path'; expected one of"),
            (NODES.replace("Gene::2063", "Disease::2063"), EDGES, 3, "id", "expected 'Gene::'"),
            (NODES.replace("DOID:1612", "DOID:x"), EDGES, 4, "id", "a DOID id"),
            (NODES.replace("Gene::2063", "Gene::9021"), EDGES, 3, "id", "each id once"),
            (NODES.replace("SOCS3\t", "SOCS3 "), EDGES, 2, None, "2 cells, expected 3"),
            (NODES.replace("SOCS3", "S" * 10_000_000), EDGES, 2, None, "10,000,000 characters"),
            (NODES, EDGES.replace("CtD", "CxD"), 2, "metaedge", "'CxD'"),
            (NODES, EDGES.replace("DOID:1612", "DOID:1"), 2, "target", "no such node"),
            (
                NODES,
                EDGES.replace("CtD", "CpD").replace("Compound::DB00014", "Gene::9021"),
                2,
                "source",
                "not a node of",
            ),
            (NODES, EDGES + "Gene::2063\tGiG\tGene::9021\n", 8, None, "twice"),
            (NODES, EDGES + "\n\nGene::2063\tGiG\n", 10, None, "2 cells"),
            (NODES, "", None, None, "empty"),
        ],
    )
    def test_a_fault_is_named_with_its_line(
        self, tmp_path: Path, nodes: str, edges: str, line: int | None, column: str | None, problem: str
    ) -> None:
        with pytest.raises(MalformedInputError, match=problem) as refused:
            load(write(tmp_path, nodes, edges))
        assert (refused.value.row, refused.value.column) == (line, column)
        assert refused.value.file is not None
        assert Path(refused.value.file).name in {"hetionet-v1.0-nodes.tsv", "hetionet-v1.0-edges.sif.gz"}
        assert len(str(refused.value)) < 1000

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LoaderError, match=r"no Hetionet nodes; expected one of hetionet-v1.0-nodes.tsv"):
            load(tmp_path)
        write(tmp_path)
        (tmp_path / "hetionet-v1.0-edges.sif.gz").unlink()
        with pytest.raises(LoaderError, match="no Hetionet edges"):
            load(tmp_path)

    def test_a_git_lfs_pointer_is_recognised(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / "hetionet-v1.0-edges.sif.gz").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
        )
        with pytest.raises(MalformedInputError, match="git lfs pull"):
            load(tmp_path)

    def test_a_download_with_another_content_is_refused(self, tmp_path: Path, monkeypatch) -> None:
        asked = []

        def refuse(urls: list[str], sha256: str) -> Path:
            asked.append((urls, sha256))
            raise ChecksumError("other bytes")

        monkeypatch.setattr(hetionet, "fetch", refuse)
        with pytest.raises(ChecksumError):
            load()
        urls, sha256 = asked[0]
        assert sha256 == "3ad9eb86c031df8bc7d5efefa6edc93562182eb9a6a71e5129d3f18b9d42c50e"
        assert all("8a6cc0c" in url for url in urls)


def hetnet_json(nodes: str = NODES, edges: str = EDGES) -> str:
    """The same graph as hetio writes it, with properties."""

    def end(text: str) -> list[object]:
        kind, _, id_ = text.partition("::")
        return [kind, int(id_) if kind == "Gene" else id_]

    items = []
    for line in nodes.splitlines()[1:]:
        id_, name, kind = line.split("\t")
        items.append({"kind": kind, "identifier": end(id_)[1], "name": name, "data": {"source": "X", "license": "CC0"}})
    links = []
    for number, line in enumerate(edges.splitlines()[1:]):
        source, metaedge, target = line.split("\t")
        kinds = hetionet._words(metaedge)
        data = {"unbiased": False, "sources": ["a", "b"]} if number else {"source": "a", "pubmed_ids": [1, 2]}
        link = {"source_id": end(source), "target_id": end(target), "kind": kinds[1], "direction": kinds[3]}
        links.append({**link, "data": data})
    whole = {
        "metanode_kinds": ["Gene"],
        "metaedge_tuples": [],
        "kind_to_abbrev": {"a": "b"},
        "nodes": items,
        "edges": links,
    }
    return json.dumps(whole, indent=2)


class TestJson:
    def test_it_holds_the_same_graph_and_its_properties(self, tmp_path: Path) -> None:
        plain = load(write(tmp_path))
        (tmp_path / "hetionet-v1.0.json.bz2").write_bytes(bz2.compress(hetnet_json().encode()))
        graph = load(tmp_path, properties=True)
        assert graph.ids == plain.ids
        assert graph.names == plain.names
        assert graph.edge_types == plain.edge_types
        for edge_type in graph.edge_types:
            assert np.array_equal(graph.edge_index(edge_type), plain.edge_index(edge_type))
        treats = graph.edges[EdgeType("Compound", "treats", "Disease")].to_pylist()
        assert treats == [{"source": 0, "target": 0, "sources": ["a"], "pmids": ["1", "2"]}]
        regulates = graph.edges[EdgeType("Gene", "regulates", "Gene")].to_pylist()
        assert regulates[0] == {"source": 0, "target": 1, "unbiased": False, "sources": ["a", "b"]}
        assert load(tmp_path / "hetionet-v1.0.json.bz2").fingerprint == graph.fingerprint

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ('"identifier": 2063', '"identifer": 2063', "identifier"),
            ('"direction": "both"', '"direction": "backward"', "Compound treats Disease backward"),
            ('"GO:0071357"\n', '"GO:0071358"\n', "no such node"),
            ('"edges"', '"edgs"', "no list 'edges'"),
            ('"name": "SOCS3",', '"name": "SOCS3"', "no JSON"),
            ('"name": "SOCS3"', '"name": "\\ud800"', "surrogate"),
        ],
    )
    def test_a_fault_is_named_with_its_line(self, tmp_path: Path, old: str, new: str, problem: str) -> None:
        text = hetnet_json()
        assert old in text
        file = tmp_path / "hetionet-v1.0.json"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(MalformedInputError, match=problem) as refused:
            load(file)
        assert refused.value.file == str(file)
        line = text[: text.index(old)].count("\n") + 1
        if "surrogate" not in problem and "no list" not in problem:
            assert refused.value.row is not None
            assert line - 12 <= refused.value.row <= line + 1

    def test_a_truncated_file_is_refused(self, tmp_path: Path) -> None:
        text = hetnet_json()
        file = tmp_path / "hetionet-v1.0.json"
        for length in range(0, len(text) - 1, 97):
            file.write_text(text[:length])
            with pytest.raises(MalformedInputError):
                load(file)
