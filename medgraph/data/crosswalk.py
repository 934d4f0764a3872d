"""From codes of one vocabulary to those of another, and what became of every code."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from medgraph.data.code_routes import Link, Routes, node_type_of, vocabularies_of
from medgraph.data.code_systems import bundled_codes
from medgraph.data.graph import KnowledgeGraph
from medgraph.data.icd import read_icd_column
from medgraph.data.identifiers import normalise_column
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

if TYPE_CHECKING:
    import datetime

    import pandas as pd

__all__ = ["FATES", "Crosswalk", "crosswalk"]

FATES = {  # what can become of a code
    "one": "one exact target",
    "approximate": "one target, not exactly the same",
    "many": "several targets, one of which holds",
    "combination": "several targets that hold together",
    "no map": "the published map says that there is no equivalent",
    "header": "a heading of finer codes, which maps leave out",
    "retired": "a code no longer in force, which maps leave out",
    "no link": "a known code, but nothing leads from it to the target vocabulary",
    "unknown": "of a known form, but in no table",
    "unreadable": "no code at all",
}
_MAPPED = ("one", "approximate", "many", "combination")
_TABLE = pa.schema(
    [
        ("given", pa.string()),
        ("source", pa.string()),
        ("target", pa.string()),
        ("name", pa.string()),
        ("fate", pa.string()),
        ("approximate", pa.bool_()),
        ("combination", pa.bool_()),
        ("scenario", pa.int64()),
        ("choice_list", pa.int64()),
        ("method", pa.string()),
        ("noisy", pa.bool_()),
    ]
)


def crosswalk(
    codes: str | Iterable[str],
    to: str,
    graph: KnowledgeGraph | None = None,
    vocabulary: str | None = None,
    on: datetime.date | str | None = None,
    within: KnowledgeGraph | Iterable[str] | None = None,
    noisy: bool = False,
) -> Crosswalk:
    """Which codes of the vocabulary `to` do these codes stand for, and which were lost?

    ICD-9-CM and ICD-10-CM are joined by the General Equivalence Mapping of that direction, CCS and CCSR by membership
    (over that mapping where a category is of the other revision), diseases by Disease Ontology's cross-references to
    the code, else to the nearest code above it, in both revisions. `method` of every target says which way it came.

    Args:
        codes: one code or several; CURIEs, or bare codes of ICD.
        to: ICD9CM, ICD10CM, CCS, CCS.MULTI, CCSR, SNOMEDCT, DOID, ATC, RXNORM or DRUGBANK.
        graph: the codes, from `load("clinical_codes", path=...)`; without it those that installed packages carry.
        vocabulary: what bare codes are; without it their form and `on` must tell.
        on: the day bare codes were given: ICD-9-CM before October 2015.
        within: the only targets wanted, such as another graph's nodes. One that is not among them is answered by the
            nearest above it that are; an id that Disease Ontology has merged, under the id it has here.
        noisy: also follow links that are often wrong: equal names, a disease that a code of the same three-character
            category is recorded under. They are marked.

    Raises:
        SchemaError: `to` is no vocabulary of the graph.
    """
    graph = bundled_codes() if graph is None else graph
    target = _vocabulary(to, graph)
    routes = Routes(graph, noisy)
    given = [codes] if isinstance(codes, str) else list(dict.fromkeys(map(str, codes)))
    read = _read(given, vocabulary, on)
    sources = list(dict.fromkeys(routes.current(id_) for id_ in read.values() if id_ is not None))
    links = routes.follow(sources, target)
    if within is not None:
        wanted = within.ids if isinstance(within, KnowledgeGraph) else tuple(within)
        links = routes.within(links, [id_ for id_ in wanted if id_.startswith(f"{target}:")], node_type_of(target))
    rows: list[tuple[object, ...]] = []
    for code, id_ in read.items():
        source = None if id_ is None else routes.current(id_)
        found = links.get(source, []) if source is not None else []
        fate = _fate(source, found, routes, target)
        for link in found:
            name = graph.name(link.target) if link.target in graph else None
            rows.append((code, source, link[0], name, fate, *link[1:]))
        if not found:
            rows.append((code, source, None, None, fate, *(None for _ in Link._fields[1:])))
    columns = zip(*rows, strict=True) if rows else ([] for _ in _TABLE)
    return Crosswalk(pa.table([pa.array(c, f.type) for c, f in zip(columns, _TABLE, strict=True)], _TABLE), target)


@dataclass(frozen=True, repr=False)
class Crosswalk:
    """Codes and their targets. Prints as its coverage.

    Args:
        table: a row for each target of each code, in the order given; a code that was lost has one row without target.
            Columns: given, source, target, name (of the target), fate (`FATES`), the mapping's flags approximate,
            combination, scenario and choice_list, method, noisy.
        to: the vocabulary of the targets.
    """

    table: pa.Table
    to: str

    @property
    def targets(self) -> dict[str, list[str]]:
        """Each code as given -> its targets, each once; an empty list for one that was lost."""
        found: dict[str, list[str]] = {}
        for code, target in zip(self.table["given"].to_pylist(), self.table["target"].to_pylist(), strict=True):
            mine = found.setdefault(code, [])
            if target is not None and target not in mine:
                mine.append(target)
        return found

    @property
    def lost(self) -> dict[str, str]:
        """Each code without a target -> its fate."""
        fates = zip(self.table["given"].to_pylist(), self.table["fate"].to_pylist(), strict=True)
        return {code: fate for code, fate in fates if fate not in _MAPPED}

    @property
    def coverage(self) -> dict[str, dict[str, int]]:
        """Vocabulary of the codes -> fate -> how many distinct codes; `?` is the vocabulary of those not readable."""
        counted: dict[str, dict[str, int]] = {}
        seen: set[str] = set()
        columns = (self.table[name].to_pylist() for name in ("given", "source", "fate"))
        for code, source, fate in zip(*columns, strict=True):
            if (key := source or f"? {code}") not in seen:
                seen.add(key)
                row = counted.setdefault("?" if source is None else source.partition(":")[0], dict.fromkeys(FATES, 0))
                row[fate] += 1
        return counted

    def combinations(self, code: str) -> list[tuple[str, ...]]:
        """The sets of targets that stand for `code` as given: one target from each choice list of a scenario.

        A code with one target, or several of which one holds, has sets of one.

        Raises:
            UnknownIdentifierError: the code is not among those given.
        """
        rows = [row for row in self.table.to_pylist() if row["given"] == code]
        if not rows:
            known = self.table["given"].unique().to_pylist()
            raise UnknownIdentifierError(f"{code!r} is not among the codes given.{nearest(code, known)}")
        lists: dict[int, dict[int, list[str]]] = {}
        single: list[tuple[str, ...]] = []
        for row in rows:
            if row["combination"] and row["scenario"]:
                lists.setdefault(row["scenario"], {}).setdefault(row["choice_list"], []).append(row["target"])
            elif row["target"] is not None:
                single.append((row["target"],))
        together = [pick for _, choices in sorted(lists.items()) for pick in _picks(choices)]
        return list(dict.fromkeys(single + together))

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def __repr__(self) -> str:
        return f"Crosswalk(to={self.to!r}, {len(self.targets):,} codes, {len(self.lost):,} lost)"

    def __str__(self) -> str:
        counted = self.coverage
        shown = [fate for fate in FATES if any(row[fate] for row in counted.values())]
        head = [f"to {self.to}", "codes", *shown]
        body = [
            [name, f"{sum(row.values()):,}", *(f"{row[fate]:,}" for fate in shown)] for name, row in counted.items()
        ]
        width = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = [
            "  ".join([line[0].ljust(width[0]), *(cell.rjust(w) for cell, w in zip(line[1:], width[1:], strict=True))])
            for line in (head, *body)
        ]
        return "\n".join(lines)


def _picks(choices: Mapping[int, Sequence[str]]) -> Iterable[tuple[str, ...]]:
    return itertools.product(*(choices[number] for number in sorted(choices)))


def _vocabulary(to: str, graph: KnowledgeGraph) -> str:
    known = vocabularies_of(graph)
    wanted = to.strip().rstrip(":").upper().replace("-", "").replace("_", ".")
    if wanted in known:
        return wanted
    hint = nearest(wanted, known)
    if node_type_of(wanted) is not None:
        hint = ' Load them from your files: graph=load("clinical_codes", path=...).'
    raise SchemaError(f"{to!r} is no vocabulary of these codes; there are {', '.join(known)}.{hint}")


def _read(codes: list[str], vocabulary: str | None, on: datetime.date | str | None) -> dict[str, str | None]:
    """Each code's CURIE; None where it cannot be read."""
    bare = [code for code in codes if vocabulary is None and (":" not in code or "//" in code)]
    found: dict[str, str | None] = dict(zip(bare, read_icd_column(bare, on).to_pylist(), strict=True))
    rest = [code for code in codes if code not in found]
    found.update(zip(rest, normalise_column(pa.array(rest, pa.string()), vocabulary).to_pylist(), strict=True))
    return {code: found[code] for code in codes}


def _fate(source: str | None, links: Sequence[Link], routes: Routes, to: str) -> str:
    if source is None:
        return "unreadable"
    if not links:
        return routes.why_not(source, to)
    if any(link.combination for link in links):
        return "combination"
    if len({link.target for link in links}) > 1:
        return "many"
    return "approximate" if all(link.approximate for link in links) else "one"
