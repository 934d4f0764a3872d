"""Published files of drug codes, each as tables: WHO's ATC index, RxNorm, DrugBank's names.

Their licences forbid us to ship them: the reader's own copies are read. U.S. National Library of Medicine, RxNorm
Technical Documentation (RRF files); WHO Collaborating Centre for Drug Statistics Methodology, ATC/DDD index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from medgraph.data.code_files import CodeFile

__all__ = ["read_atc", "read_compounds", "read_ingredients", "read_rxnorm", "read_unii"]

_UP = {  # RELA of RXNREL.RRF that lead from a product towards its ingredients
    "consists_of",
    "constitutes",
    "contains",
    "form_of",
    "has_ingredient",
    "has_ingredients",
    "has_part",
    "has_precise_ingredient",
    "tradename_of",
}


def _table(rows: Iterable[tuple[str | None, ...]], *names: str) -> pa.Table:
    """Rows as a table of strings, each once."""
    columns = list(zip(*dict.fromkeys(rows), strict=True)) or [()] * len(names)
    return pa.table({name: pa.array(c, pa.string()) for name, c in zip(names, columns, strict=True)})


def read_atc(path: Path) -> pa.Table:
    """The ATC index: id, name, of every level. Codes that stand on several lines (one a route or dose) are one."""
    file = CodeFile(path)
    lines, (codes, names) = file.columns(["atc_code", "atc_name"])
    first: dict[str, str] = {}
    for id_, name in zip(file.curies(codes, lines, "ATC").to_pylist(), names, strict=True):
        first.setdefault(id_, name)
    return _table(first.items(), "id", "name")


def read_compounds(path: Path) -> tuple[pa.Table, pa.Table]:
    """DrugBank's drugs: id, name, inchikey, unii; and their ATC codes (source, target) where the file gives them.

    Reads its open vocabulary (CSV: `DrugBank ID`, `Common name`, `UNII`, `Standard InChI Key`) and tab-separated
    tables with `drugbank_id`, `name`, `atc_codes` (joined by |), `inchikey`.
    """
    file = CodeFile(path)
    codes: list[str] = []
    if ".csv" in path.name.lower():
        lines, (ids, names, unii, keys) = file.columns(["DrugBank ID", "Common name", "UNII", "Standard InChI Key"])
        codes = [""] * len(ids)
    else:
        lines, (ids, names, codes, keys) = file.columns(["drugbank_id", "name", "atc_codes", "inchikey"], "\t")
        unii = [""] * len(ids)
    curies = file.curies(ids, lines, "DRUGBANK").to_pylist()
    keys = [key.removeprefix("InChIKey=") for key in keys]
    cells = [(row, atc) for row, cell in enumerate(codes) for atc in cell.split("|") if atc]
    atc = file.curies([code for _, code in cells], [lines[row] for row, _ in cells], "ATC").to_pylist()
    compounds = zip(curies, names, [key or None for key in keys], [code or None for code in unii], strict=True)
    links = ((curies[row], code) for (row, _), code in zip(cells, atc, strict=True))
    return _table(compounds, "id", "name", "inchikey", "unii"), _table(links, "source", "target")


def read_ingredients(path: Path) -> tuple[pa.Table, pa.Table]:
    """Products and their ingredients, tab-separated (`input_rxcui`, `ingredient_rxcui`): nodes, and source, target."""
    file = CodeFile(path)
    lines, (inputs, names, outs, titles) = file.columns(
        ["input_rxcui", "input_name", "ingredient_rxcui", "ingredient_name"], "\t"
    )
    products = file.curies(inputs, lines, "RXNORM").to_pylist()
    rows = [row for row, cell in enumerate(outs) if cell]
    ingredients = file.curies([outs[row] for row in rows], [lines[row] for row in rows], "RXNORM").to_pylist()
    named = dict(zip(ingredients, (titles[row] for row in rows), strict=True))
    named.update((id_, name) for id_, name in zip(products, names, strict=True) if id_ not in named)
    links = ((products[row], to) for row, to in zip(rows, ingredients, strict=True) if products[row] != to)
    return _table(named.items(), "id", "name"), _table(links, "source", "target")


def read_unii(path: Path) -> pa.Table:
    """RxNorm's ingredients and FDA's substance codes, tab-separated (`rxnorm_id`, `fdasrs_id`): id, unii."""
    file = CodeFile(path)
    lines, (ids, unii) = file.columns(["rxnorm_id", "fdasrs_id"], "\t")
    return _table(zip(file.curies(ids, lines, "RXNORM").to_pylist(), unii, strict=True), "id", "unii")


def read_rxnorm(folder: Path) -> tuple[pa.Table, dict[str, pa.Table]]:
    """RxNorm's RRF files: concepts (id, name, kind), and links (source, target) by what they say.

    `RXNCONSO.RRF` gives names, term types and the ATC and DrugBank codes of a concept (links "ATC" and "DRUGBANK"),
    `RXNREL.RRF` the way from a product to its ingredients ("ingredient"), `RXNSAT.RRF` the NDC of a product ("NDC").
    """
    concepts: dict[str, tuple[str, str]] = {}
    codes: dict[str, list[tuple[str, str, int]]] = {"ATC": [], "DRUGBANK": [], "NDC": []}  # RXCUI, code, line
    files: dict[str, CodeFile] = {}
    for file, number, cells in _rrf(folder, "RXNCONSO.RRF", 17):
        rxcui, vocabulary, kind, code, name = cells[0], cells[11], cells[12], cells[13], cells[14]
        if vocabulary == "RXNORM" and kind not in {"SY", "TMSY", "ET", "PSN"}:  # synonyms of the same concept
            concepts.setdefault(rxcui, (name, kind))
        elif vocabulary in ("ATC", "DRUGBANK"):
            codes[vocabulary].append((rxcui, code, number))
            files[vocabulary] = file
    above: dict[str, list[str]] = {}
    for _, _, cells in _rrf(folder, "RXNREL.RRF", 15):
        if cells[7] in _UP and cells[0] in concepts and cells[4] in concepts:  # RXCUI2 <rela> RXCUI1
            above.setdefault(cells[4], []).append(cells[0])
    for file, number, cells in _rrf(folder, "RXNSAT.RRF", 12):
        if cells[8] == "NDC" and cells[9] == "RXNORM" and cells[0] in concepts:
            codes["NDC"].append((cells[0], cells[10], number))
            files["NDC"] = file
    links: dict[str, pa.Table] = {}
    for vocabulary, rows in codes.items():
        if rows:
            ids = files[vocabulary].curies([code for _, code, _ in rows], [line for *_, line in rows], vocabulary)
            pairs = zip((f"RXNORM:{rxcui}" for rxcui, _, _ in rows), ids.to_pylist(), strict=True)
            links[vocabulary] = _table(pairs, "source", "target")
    links["ingredient"] = _table(
        (
            (f"RXNORM:{rxcui}", f"RXNORM:{to}")
            for rxcui, (_, kind) in concepts.items()
            for to in _ingredients(rxcui, kind, above, concepts)
        ),
        "source",
        "target",
    )
    return _table(((f"RXNORM:{rxcui}", *rest) for rxcui, rest in concepts.items()), "id", "name", "kind"), links


def _rrf(folder: Path, name: str, width: int) -> Iterator[tuple[CodeFile, int, list[str]]]:
    """The cells of an RRF file's lines: |-separated, without quotation. Nothing where there is no such file."""
    found = sorted(path for path in folder.iterdir() if path.name.upper().startswith(name))
    for path in found[:1]:
        file = CodeFile(path)
        for number, line in file.lines():
            cells = line.split("|")
            if len(cells) < width:
                raise file.fault(f"{len(cells)} cells, expected at least {width}, separated by |.", number)
            if name == "RXNCONSO.RRF" and not re.fullmatch(r"[0-9]{1,8}", cells[0]):
                raise file.fault(f"{cells[0][:30]!r} is no RXCUI.", number)
            yield file, number, cells


def _ingredients(start: str, kind: str, above: dict[str, list[str]], concepts: dict[str, tuple[str, str]]) -> list[str]:
    """The concepts of type IN that a product leads to."""
    seen: dict[str, None] = {start: None}
    todo = [start] if kind != "IN" else []
    while todo:
        for up in above.get(todo.pop(), ()):
            if up not in seen:
                seen[up] = None
                if concepts[up][1] != "IN":
                    todo.append(up)
    return [rxcui for rxcui in seen if rxcui != start and concepts[rxcui][1] == "IN"]
