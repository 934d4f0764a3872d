"""Published files of clinical codes, each as one table: code lists and General Equivalence Mappings (GEMs).

The files are read as their publishers write them (CMS, NBER's CSV form of the GEMs), plain or compressed. Every
fault names the file and its line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.delimited import LONGEST_FIELD, READ_FAULTS, open_bytes
from medgraph.data.icd import dotted_procedures
from medgraph.data.identifiers import normalise_column
from medgraph.errors import MalformedInputError, nearest

__all__ = [
    "CodeFile",
    "read_gem",
    "read_titles",
    "read_tree",
]

_CODES_ONLY = {  # what a list of codes may hold: no block, and no procedure among diagnoses
    "ICD9CM": r"^ICD9CM:[0-9VE][0-9]{2}[0-9.]*$",
    "ICD9PROC": r"^ICD9CM:[0-9]{2}(?:\.[0-9]+)?$",
    "ICD10CM": r"^[^-]*$",
}


@dataclass(frozen=True)
class CodeFile:
    """A text file of codes.

    Args:
        path: the file, compressed if it ends in .gz, .bz2 or .zst.
        encoding: of its text.
    """

    path: Path
    encoding: str = "utf-8-sig"

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line that is not blank, with its number from 1. Raises LoaderError, MalformedInputError."""
        number = 0
        try:
            with open_bytes(self.path) as stream:
                text = io.TextIOWrapper(io.BufferedReader(stream), self.encoding, newline=None)
                while line := text.readline(LONGEST_FIELD):
                    number += 1
                    if len(line) >= LONGEST_FIELD:
                        raise self.fault(f"a line of more than {LONGEST_FIELD:,} characters.", number)
                    if stripped := line.rstrip("\n"):
                        yield number, stripped
        except UnicodeDecodeError:
            raise self.fault("not UTF-8 text. Convert it with iconv -t UTF-8.", number + 1) from None
        except READ_FAULTS as fault:
            raise self.fault(f"a broken or truncated file? {str(fault)[:300]}", number + 1) from None

    def rows(self, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
        """Each record's cells, free of blanks and of either kind of quotation mark around them, and its first line."""
        first = [0]

        def text() -> Iterator[str]:
            for number, line in self.lines():
                first[0] = first[0] or number
                yield line + "\n"

        records = csv.reader(text(), delimiter=delimiter)
        while True:
            try:
                cells = next(records, None)
            except csv.Error as fault:
                raise self.fault(f"no line of a table: {fault}", first[0]) from None
            if cells is None:
                return
            yield first[0], [cell.strip().strip("'").strip() for cell in cells]
            first[0] = 0

    def columns(self, wanted: Sequence[str], delimiter: str = ",") -> tuple[list[int], list[list[str]]]:
        """Line numbers, and the columns whose headers begin with the `wanted` words, whatever their case.

        Lines before the header are passed over. Raises MalformedInputError: a column that is not there, a row without.
        """
        rows = self.rows(delimiter)
        places: list[int] = []
        heads: list[str] = []
        for number, cells in rows:
            found = [cell.strip('"').casefold() for cell in cells]
            heads = heads or found
            if any(head.startswith(wanted[0].casefold()) for head in found):
                for name in wanted:
                    place = next((i for i, head in enumerate(found) if head.startswith(name.casefold())), None)
                    if place is None:
                        problem = f"no column {name!r} among {found[:20]}.{nearest(name, found)}"
                        raise self.fault(problem, number)
                    places.append(place)
                break
        if not places:
            raise self.fault(f"no header with {wanted[0]!r}; its first line holds {[h[:60] for h in heads[:20]]}.", 1)
        lines: list[int] = []
        columns: list[list[str]] = [[] for _ in wanted]
        for number, cells in rows:
            if len(cells) <= max(places):
                raise self.fault(f"{len(cells)} cells, expected at least {max(places) + 1}.", number)
            lines.append(number)
            for column, place in zip(columns, places, strict=True):
                column.append(cells[place])
        return lines, columns

    def curies(self, cells: Sequence[str], lines: Sequence[int], prefix: str) -> pa.Array:
        """The cells as CURIEs of one vocabulary; the first that is none is refused with its line."""
        try:
            text = pa.array(cells, pa.string())
        except UnicodeEncodeError:
            raise self.fault("text with half a surrogate pair, which is no Unicode.") from None
        procedures = prefix == "ICD9PROC"
        ids = normalise_column(dotted_procedures(text) if procedures else text, "ICD9CM" if procedures else prefix)
        if procedures or prefix in _CODES_ONLY:
            fits = pc.match_substring_regex(ids, _CODES_ONLY[prefix])
            ids = pc.if_else(fits, ids, pa.scalar(None, pa.string()))
        if ids.null_count:
            row = pc.index(ids.is_null(), True).as_py()
            raise self.fault(f"{cells[row][:60]!r} is no {prefix} code.", lines[row])
        return ids

    def fault(self, problem: str, line: int | None = None) -> MalformedInputError:
        """The error that names a line of this file."""
        return MalformedInputError(problem, self.path, line)


_GEM_COLUMNS = pa.schema(
    [
        ("source", pa.string()),
        ("target", pa.string()),
        ("approximate", pa.bool_()),
        ("no_map", pa.bool_()),
        ("combination", pa.bool_()),
        ("scenario", pa.int64()),
        ("choice_list", pa.int64()),
        ("line", pa.int64()),
    ]
)


def read_gem(path: Path, source: str, target: str) -> pa.Table:
    """A General Equivalence Mapping: source, target (null where there is no map), its five flags, its line.

    CMS writes `0010  A000  00000`, NBER the same as a CSV file with a header and the flags once more, one a column.
    Centers for Medicare & Medicaid Services and National Center for Health Statistics (2018), GEMs documentation.

    Args:
        path: the file.
        source: vocabulary of its first column; ICD9PROC for procedures of ICD-9-CM.
        target: vocabulary of its second.

    Raises:
        MalformedInputError: a code or flag that is none, or flags at odds with the target.
    """
    file = CodeFile(path)
    lines: list[int] = []
    cells: tuple[list[str], list[str], list[str]] = ([], [], [])
    for number, line in file.lines():
        found = [cell.strip().strip('"') for cell in line.split(",")] if "," in line else line.split()
        if not lines and "flags" in [cell.casefold() for cell in found]:
            continue
        if len(found) < 3 or not re.fullmatch(r"[01]{3}[0-9]{2}", found[2]):
            raise file.fault(f"{line[:80]!r}; expected a code, a code and five flags such as 10112.", number)
        if len(found) > 3 and "".join(found[3:]) != found[2]:
            raise file.fault(f"flags {found[2]} at odds with its columns {found[3:]}.", number)
        if (found[2][1] == "1") != found[1].casefold().startswith("no"):
            raise file.fault(f"target {found[1]!r} at odds with flags {found[2]}; no map has flag 2 set.", number)
        lines.append(number)
        for column, cell in zip(cells, found[:3], strict=True):
            column.append(cell)
    flags = cells[2]
    mapped = [i for i, flag in enumerate(flags) if flag[1] == "0"]
    targets = file.curies([cells[1][i] for i in mapped], [lines[i] for i in mapped], target).to_pylist()
    by_row = dict(zip(mapped, targets, strict=True))
    return pa.table(
        [
            file.curies(cells[0], lines, source),
            [by_row.get(row) for row in range(len(flags))],
            *([flag[place] == "1" for flag in flags] for place in range(3)),
            *([int(flag[place]) for flag in flags] for place in (3, 4)),
            lines,
        ],
        schema=_GEM_COLUMNS,
    )


def read_titles(path: Path, prefix: str) -> pa.Table:
    """A list of codes: id, name. CMS' text (`0010  Cholera ...`), or a CSV file with `dgns_cd` and `longdesc`."""
    if ".csv" in path.name.lower():
        file = CodeFile(path)
        lines, (codes, names) = file.columns(["dgns_cd", "longdesc"])
    else:
        file = CodeFile(path, "latin-1")  # as CMS writes Ménière
        lines, codes, names = [], [], []
        for number, line in file.lines():
            code, _, name = line.strip().partition(" ")
            lines.append(number)
            codes.append(code)
            names.append(name.strip())
    return pa.table({"id": file.curies(codes, lines, prefix), "name": pa.array(names, pa.string())})


def read_tree(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """ICD-9-CM's tabular list by indentation: names of its blocks (`001-009`), and of its codes and headers."""
    blocks: dict[str, str] = {}
    names: dict[str, str] = {}
    file = CodeFile(path)
    for number, line in file.lines():
        text = line.strip()
        if not line.startswith("\t"):
            continue
        if block := re.fullmatch(r"(.*) \(([VE]?[0-9]+(?:-[VE]?[0-9]+)?)\)", text):
            blocks[block[2] if "-" in block[2] else f"{block[2]}-{block[2]}"] = (
                block[1].replace("(", "").replace(")", "")
            )
        elif code := re.fullmatch(r"\(([VE]?[0-9.]+) ?\) (.*)", text):
            names[file.curies([code[1]], [number], "ICD9CM")[0].as_py()] = code[2]
        else:
            raise file.fault(f"{text[:80]!r}; expected '(001.0) name' or 'name (001-009)'.", number)
    return blocks, names
