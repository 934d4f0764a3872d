"""Readers of ontology files: OBO, HPO's annotations, ICD-10-CM's tabular list; and where installed packages keep them.

A package whose data files are read is not imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from medgraph.data.delimited import READ_FAULTS, open_bytes
from medgraph.errors import LoaderError, MalformedInputError

__all__ = [
    "Annotations",
    "Diagnoses",
    "DiseaseTerms",
    "Terms",
    "package_file",
    "read_annotations",
    "read_diagnoses",
    "read_diseases",
    "read_genes",
    "read_terms",
]

_FREQUENCIES = {  # HPO's terms for "how many patients show it", at the middle of their ranges
    "HP:0040280": 1.0,  # obligate
    "HP:0040281": 0.895,  # very frequent, 80-99 %
    "HP:0040282": 0.545,  # frequent, 30-79 %
    "HP:0040283": 0.17,  # occasional, 5-29 %
    "HP:0040284": 0.025,  # very rare, 1-4 %
    "HP:0040285": 0.0,  # excluded
}


class Terms(NamedTuple):
    """HPO's terms: `nodes` (id, name, description, synonyms), `parents` (source, target), old id -> new id."""

    nodes: pa.Table
    parents: pa.Table
    replaced: dict[str, str]
    version: str
    obsolete: int


class Annotations(NamedTuple):
    """HPO's statements on diseases: `rows` (disease, name, absent, phenotype, reference, frequency, aspect)."""

    rows: pa.Table
    version: str


class Diagnoses(NamedTuple):
    """ICD-10-CM's tabular list: `nodes` (id, name, kind), `parents` (source, target), codes beyond that list."""

    nodes: pa.Table
    parents: pa.Table
    version: str
    extensions: int


class DiseaseTerms(NamedTuple):
    """Disease Ontology's terms: `nodes` (id, name, synonyms, alt_ids), `parents` (source, target), `xrefs`."""

    nodes: pa.Table
    parents: pa.Table
    xrefs: pa.Table
    version: str
    obsolete: int


def package_file(package: str, pattern: str, folder: str = "data") -> Path:
    """The file of an installed package that matches `<folder>/<pattern>`. Raises LoaderError."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LoaderError(
            f"Files of the package {package} are read, which is not installed. Run: pip install {package}"
        )
    where = Path(spec.submodule_search_locations[0]) / folder
    found = sorted(where.glob(pattern))
    if not found:
        raise LoaderError(f"{where} holds no {pattern}; reinstall the package {package}.")
    return found[-1]


_LINE = re.compile(r"^(id|name|def|synonym|xref|is_a|alt_id|is_obsolete|replaced_by): (.*)$", re.MULTILINE)


def _stanzas(text: str) -> Iterator[dict[str, list[str]]]:
    for block in text.split("\n[Term]\n")[1:]:
        stanza: dict[str, list[str]] = {}
        for key, value in _LINE.findall(block.partition("\n\n")[0]):
            stanza.setdefault(key, []).append(value)
        yield stanza


def _quoted(text: str) -> str:
    """The text between a value's quotation marks."""
    inner = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    return re.sub(r"\\(.)", r"\1", inner[1]) if inner else text


def read_terms(file: Path) -> Terms:
    """The terms and is_a links of an OBO file, obsolete ones left out and counted."""
    text = file.read_text(encoding="utf-8")
    nodes: list[dict[str, object]] = []
    parents: list[tuple[str, str]] = []
    replaced: dict[str, str] = {}
    obsolete = 0
    for stanza in _stanzas(text):
        (id_,) = stanza["id"]
        if "is_obsolete" in stanza:
            obsolete += 1
            replaced.update((id_, new) for new in stanza.get("replaced_by", [])[:1])
            continue
        replaced.update((old, id_) for old in stanza.get("alt_id", []))
        parents.extend((id_, parent.split(" ! ", 1)[0].split(" {", 1)[0]) for parent in stanza.get("is_a", []))
        description = _quoted(stanza["def"][0]) if "def" in stanza else None
        synonyms = list(dict.fromkeys(_quoted(line) for line in stanza.get("synonym", [])))
        nodes.append({"id": id_, "name": stanza["name"][0], "description": description, "synonyms": synonyms})
    version = re.search(r"^data-version: .*?([0-9-]+)$", text, re.MULTILINE)
    columns = pa.schema(
        [("id", pa.string()), ("name", pa.string()), ("description", pa.string()), ("synonyms", pa.list_(pa.string()))]
    )
    return Terms(
        pa.Table.from_pylist(nodes, columns).sort_by("id"),
        pa.table({"source": [s for s, _ in parents], "target": [t for _, t in parents]}),
        replaced,
        version[1] if version else "",
        obsolete,
    )


def read_diseases(file: Path) -> DiseaseTerms:
    """The terms, is_a links and cross-references of Disease Ontology's OBO file, plain or compressed.

    Obsolete terms are left out and counted; synonyms are the exact ones.

    Raises:
        MalformedInputError: no OBO file, a term without id or name, an id that stands twice.
    """
    try:
        with open_bytes(file) as stream:
            text = stream.read().decode("utf-8-sig").replace("\r\n", "\n")
    except READ_FAULTS as fault:
        raise MalformedInputError(f"no UTF-8 text, or a broken archive: {str(fault)[:300]}", file) from None
    if not text.startswith("format-version:"):
        raise MalformedInputError(f"begins with {text[:40]!r}; expected an OBO file's 'format-version:'.", file, 1)
    nodes: dict[str, dict[str, object]] = {}
    parents: list[tuple[str, str]] = []
    xrefs: list[tuple[str, str]] = []
    obsolete = 0
    for stanza in _stanzas(text):
        if len(ids := stanza.get("id", [])) != 1 or not (names := stanza.get("name")):
            raise MalformedInputError(f"a term with ids {ids[:3]} and names {stanza.get('name')}.", file)
        (id_,) = ids
        if id_ in nodes:
            raise MalformedInputError(f"term {id_[:60]!r} stands twice.", file)
        if "is_obsolete" in stanza:
            obsolete += 1
            continue
        parents.extend((id_, parent.split(" ", 1)[0]) for parent in stanza.get("is_a", []))
        xrefs.extend((id_, xref.split(" ", 1)[0]) for xref in stanza.get("xref", []))
        synonyms = [_quoted(line) for line in stanza.get("synonym", []) if re.search(r'" EXACT\b', line)]
        nodes[id_] = {"id": id_, "name": names[0], "synonyms": synonyms, "alt_ids": stanza.get("alt_id", [])}
    version = re.search(r"^data-version: .*?([0-9][0-9-]*)", text, re.MULTILINE)
    date = re.search(r"^date: ([0-9]{2}):([0-9]{2}):([0-9]{4})", text, re.MULTILINE)
    strings = [("synonyms", pa.list_(pa.string())), ("alt_ids", pa.list_(pa.string()))]
    return DiseaseTerms(
        pa.Table.from_pylist(list(nodes.values()), pa.schema([("id", pa.string()), ("name", pa.string()), *strings])),
        _pairs(parents, "source", "target"),
        _pairs(xrefs, "id", "xref"),
        version[1] if version else f"{date[3]}-{date[2]}-{date[1]}" if date else "",
        obsolete,
    )


def _pairs(rows: list[tuple[str, str]], left: str, right: str) -> pa.Table:
    columns = {left: [row[0] for row in rows], right: [row[1] for row in rows]}
    return pa.table(columns, pa.schema([(left, pa.string()), (right, pa.string())]))


def _tab_separated(file: Path, columns: list[str], skip: int = 0) -> pa.Table:
    return pacsv.read_csv(
        file,
        pacsv.ReadOptions(skip_rows=skip),
        pacsv.ParseOptions(delimiter="\t", quote_char=False),
        pacsv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pa.string())),
    )


def read_annotations(file: Path) -> Annotations:
    """The rows of `phenotype.hpoa`; `frequency` is a share of patients, null where HPO gives none."""
    with file.open(encoding="utf-8") as lines:
        head = []
        for line in lines:
            if not line.startswith("#"):
                break
            head.append(line)
    version = next((line.split(":", 1)[1].strip() for line in head if line.startswith("#version:")), "")
    names = ["database_id", "disease_name", "qualifier", "hpo_id", "reference", "frequency", "aspect"]
    table = _tab_separated(file, names, len(head)).combine_chunks()
    table = table.set_column(2, "absent", pc.equal(table["qualifier"], "NOT"))
    table = table.set_column(5, "frequency", _share(table["frequency"]))
    return Annotations(
        table.rename_columns(["disease", "name", "absent", "phenotype", "reference", "frequency", "aspect"]), version
    )


def _share(text: pa.ChunkedArray) -> pa.Array:
    """'3/7', '43%' or one of HPO's frequency terms, as a number from 0 to 1."""
    text = text.combine_chunks()
    terms = pa.array(list(_FREQUENCIES))
    term = pa.array(list(_FREQUENCIES.values())).take(pc.index_in(text, terms))
    ratio = pc.extract_regex(text, r"^(?P<n>[0-9]+)/(?P<of>[0-9]*[1-9][0-9]*)$")
    counted = pc.divide(*(pc.struct_field(ratio, part).cast(pa.float64()) for part in ("n", "of")))
    percent = pc.struct_field(pc.extract_regex(text, r"^(?P<p>[0-9]+(?:\.[0-9]+)?)%$"), "p").cast(pa.float64())
    return pc.coalesce(term, counted, pc.divide(percent, 100.0))


def read_genes(file: Path) -> pa.Table:
    """The distinct (disease, gene, symbol) of `genes_to_phenotype.txt`."""
    table = _tab_separated(file, ["disease_id", "ncbi_gene_id", "gene_symbol"]).rename_columns(
        ["disease", "gene", "symbol"]
    )
    table = table.group_by(["disease", "gene", "symbol"]).aggregate([])
    return table.set_column(1, "gene", pc.binary_join_element_wise("NCBIGENE", table["gene"], ":"))


def read_diagnoses(tabular: Path, codes: Path) -> Diagnoses:
    """ICD-10-CM's chapters, blocks and codes; extensions by a seventh character are only counted."""
    root = ElementTree.parse(tabular).getroot()  # noqa: S314  an installed package's own file
    rows: list[tuple[str, str, str]] = []
    parents: list[tuple[str, str]] = []

    def walk(element: ElementTree.Element, parent: str | None) -> None:
        for child in element:
            if child.tag not in ("chapter", "section", "diag"):
                continue
            name = (child.findtext("desc") or "").strip()
            if child.tag == "diag":
                code, kind = child.findtext("name") or "", "code"
            else:  # "Neoplasms (C00-D49)"
                name, _, code = name.removesuffix(")").rpartition(" (")
                kind = "chapter" if child.tag == "chapter" else "block"
                code = code if "-" in code else f"{code}-{code}"
            id_ = f"ICD10CM:{code}"
            rows.append((id_, name, kind))
            if parent is not None:
                parents.append((id_, parent))
            walk(child, id_)

    walk(root, None)
    ids, names, kinds = zip(*rows, strict=True)
    sources, targets = zip(*parents, strict=True)
    listed = {f"ICD10CM:{code[:3]}.{code[3:]}" for code in codes.read_text(encoding="utf-8").split() if "-" not in code}
    extended = {id_ for id_ in listed - set(ids) if len(id_) == len("ICD10CM:S00.00XA")}
    return Diagnoses(
        pa.table({"id": ids, "name": names, "kind": kinds}),
        pa.table({"source": sources, "target": targets}),
        root.findtext("version") or "",
        len(extended),
    )
