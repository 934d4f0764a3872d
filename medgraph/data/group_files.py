"""HCUP's published files of groups over diagnoses: CCS and CCSR categories, chronic conditions.

Agency for Healthcare Research and Quality, Healthcare Cost and Utilization Project, tools and software.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.code_files import CodeFile

__all__ = ["read_ccs", "read_ccs_levels", "read_ccsr", "read_chronic"]


def read_ccs(path: Path, prefix: str = "ICD9CM") -> tuple[pa.Table, pa.Table]:
    """HCUP's single-level CCS: categories (id, name), and codes in them (source, target).

    Its appendix is text: a category's number and name at the margin, its codes indented below.
    """
    file = CodeFile(path)
    numbers: list[str] = []
    names: list[str] = []
    marks: list[int] = []
    codes: list[str] = []
    lines: list[int] = []
    category: list[int] = []
    for number, line in file.lines():
        if head := re.fullmatch(r"([0-9]+)\s+(\S.*)", line):
            numbers.append(head[1])
            names.append(head[2].strip())
            marks.append(number)
        elif line[0] in " \t" and (found := line.split()):
            if not numbers:
                raise file.fault("codes before the first category.", number)
            codes += found
            lines += [number] * len(found)
            category += [len(numbers) - 1] * len(found)
    if not numbers:
        raise file.fault("no category such as '1    Tuberculosis'.", 1)
    ids = file.curies(numbers, marks, "CCS")
    members = pa.table(
        {"source": file.curies(codes, lines, prefix), "target": ids.take(pa.array(category, pa.int64()))}
    )
    return pa.table({"id": ids, "name": names}), members


def read_ccs_levels(path: Path) -> tuple[pa.Table, pa.Table, pa.Table]:
    """HCUP's multi-level CCS: categories (id, name, single), codes in their finest category, and parents."""
    file = CodeFile(path)
    wanted = ["ICD-9-CM CODE", *(f"CCS LVL {level}{label}" for level in range(1, 5) for label in ("", " LABEL"))]
    lines, (codes, *levels) = file.columns(wanted)
    name: dict[str, str] = {}
    line_of: dict[str, int] = {}
    parent: dict[str, str] = {}
    finest: list[str] = []
    for row, number in enumerate(lines):
        above = ""
        for level in range(0, 8, 2):
            category = levels[level][row]
            if not category:
                break
            if above and not category.startswith(above + "."):
                raise file.fault(f"category {category[:30]!r} does not lie in {above!r}.", number)
            if above:
                parent.setdefault(category, above)
            name.setdefault(category, levels[level + 1][row])
            line_of.setdefault(category, number)
            above = category
        if not above:
            raise file.fault("a code without a category.", number)
        finest.append(above)
    given = list(name)
    ids = dict(zip(given, file.curies(given, [line_of[c] for c in given], "CCS.MULTI").to_pylist(), strict=True))
    single = [re.search(r" \[([0-9]+)\.\]$", label) for label in name.values()]
    nodes = pa.table(
        {
            "id": [ids[category] for category in given],
            "name": [label.partition(" [")[0] for label in name.values()],
            "single": pa.array([f"CCS:{found[1]}" if found else None for found in single], pa.string()),
        }
    )
    members = {"source": file.curies(codes, lines, "ICD9CM"), "target": [ids[category] for category in finest]}
    parents = {"source": [ids[child] for child in parent], "target": [ids[above] for above in parent.values()]}
    return nodes, pa.table(members), pa.table(parents, pa.schema([("source", pa.string()), ("target", pa.string())]))


def read_ccsr(path: Path) -> tuple[pa.Table, pa.Table]:
    """HCUP's CCSR: categories (id, name), and ICD-10-CM codes in them (source, target, default).

    `DXCCSR_*.csv` gives up to six categories a code, with names; a JSON object {code: category} only the default.
    """
    file = CodeFile(path)
    names: dict[str, str | None] = {}
    found: list[tuple[str, str, bool, int]] = []
    if ".json" in path.name.lower():
        try:
            given = json.loads("\n".join(line for _, line in file.lines()))
        except (ValueError, RecursionError) as fault:
            raise file.fault(f"no JSON: {str(fault)[:200]}", 1) from None
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise file.fault("expected an object {ICD-10-CM code: CCSR category}.", 1)
        found = [(code, category, True, 1) for code, category in given.items()]
    else:
        ranks = [f"CCSR CATEGORY {rank}{label}" for rank in range(1, 7) for label in ("", " DESCRIPTION")]
        lines, (codes, first, *cells) = file.columns(["ICD-10-CM CODE", "Default CCSR CATEGORY IP", *ranks])
        for row, number in enumerate(lines):
            for rank in range(0, 12, 2):
                if category := cells[rank][row]:
                    names[category.upper()] = cells[rank + 1][row]
                    found.append((codes[row], category, category == first[row], number))
    lines = [number for *_, number in found]
    targets = file.curies([category for _, category, _, _ in found], lines, "CCSR")
    ids = pc.unique(targets)
    titles = [names.get(id_.partition(":")[2]) for id_ in ids.to_pylist()]
    members = pa.table(
        {
            "source": file.curies([code for code, _, _, _ in found], lines, "ICD10CM"),
            "target": targets,
            "default": pa.array([default for _, _, default, _ in found], pa.bool_()),
        }
    )
    return pa.table({"id": ids, "name": pa.array(titles, pa.string())}), members


def read_chronic(path: Path, prefix: str) -> pa.Table:
    """HCUP's chronic condition indicator: id, name, chronic (null: undetermined), body_system (ICD-9-CM only)."""
    file = CodeFile(path)
    revised = prefix == "ICD10CM"
    code = "ICD-10-CM CODE" if revised else "ICD-9-CM CODE"
    flag_columns = ["CHRONIC"] if revised else ["CATEGORY DESCRIPTION", "BODY SYSTEM"]
    lines, (codes, names, flags, *system) = file.columns([code, f"{code} DESCRIPTION", *flag_columns])
    for number, flag in zip(lines, flags, strict=True):
        if flag not in {"0", "1", "9"}:
            raise file.fault(f"chronic flag {flag[:30]!r}, expected 0, 1 or 9.", number)
    for number, cell in zip(lines, system[0] if system else (), strict=bool(system)):
        if not re.fullmatch(r"[0-9]{1,2}", cell):
            raise file.fault(f"body system {cell[:30]!r}, expected a number.", number)
    return pa.table(
        {
            "id": file.curies(codes, lines, prefix),
            "name": pa.array(names, pa.string()),
            "chronic": pa.array([None if flag == "9" else flag == "1" for flag in flags], pa.bool_()),
            "body_system": pa.array([int(c) for c in system[0]] if system else [None] * len(lines), pa.int64()),
        }
    )
