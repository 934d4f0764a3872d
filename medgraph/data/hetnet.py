"""hetio's JSON format for networks with many kinds of node and edge, streamed.

Himmelstein & Baranzini (2015), Heterogeneous network edge prediction, doi:10.1371/journal.pcbi.1004259.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from medgraph.data.delimited import LONGEST_FIELD, READ_FAULTS, open_bytes
from medgraph.data.growing import GrowingTable
from medgraph.data.records import united
from medgraph.errors import MalformedInputError

__all__ = ["HetnetJson"]

_BLOCK = 1 << 22
_LONGEST_ITEM = 20 * LONGEST_FIELD
_BATCH = 100_000
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class HetnetJson:
    """The `nodes` or the `edges` of a hetnet JSON file, as a table.

    Nodes have columns `id` (`Gene::9021`), `name` and `kind`; edges `source`, `metaedge` and `target`. The properties
    under `data` follow, with hetio's `source` and `sources` as one list `sources`, and `pubmed_ids` as `pmids`.

    Args:
        path: the file, compressed if it ends in .gz, .bz2 or .zst.
        part: which of its two lists.
        metaedges: (source kind, relation, target kind, direction) -> abbreviation, for edges.
    """

    path: Path
    part: Literal["nodes", "edges"]
    metaedges: Mapping[tuple[str, str, str, str], str]

    def table(self) -> pa.Table:
        """All of it.

        Raises:
            MalformedInputError: no JSON, a broken or truncated file, an item that lacks a key or is of the wrong type.
        """
        first = ("id", "name", "kind") if self.part == "nodes" else ("source", "metaedge", "target")
        growing = GrowingTable(keep=first)
        growing.add(pa.table({name: pa.array([], pa.string()) for name in first}), self)
        rows = self._rows()
        while batch := list(itertools.islice(rows, _BATCH)):
            keys = dict.fromkeys(key for row in batch for key in row)
            try:
                columns = {key: united([row.get(key) for row in batch]) for key in keys}
            except UnicodeEncodeError:
                problem = "text with half a surrogate pair, which is no Unicode."
                raise MalformedInputError(problem, self.path, None, self.part) from None
            growing.add(pa.table(columns), self)
        return growing.table()

    def fault(self, problem: str, row: int, column: str | None = None) -> MalformedInputError:
        """The error that names the line on which item `row` (from 0) begins."""
        line, _ = next(itertools.islice(self._items(), row, None), (None, None))
        return MalformedInputError(problem, self.path, line, column)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for line, item in self._items():
            try:
                yield self._node(item) if self.part == "nodes" else self._edge(item)
            except (KeyError, TypeError, ValueError, AttributeError) as fault:
                problem = f"no item of `{self.part}` as hetio writes it: {type(fault).__name__}: {str(fault)[:200]}"
                raise MalformedInputError(problem, self.path, line) from None

    def _node(self, item: dict[str, Any]) -> dict[str, Any]:
        row = {"id": f"{item['kind']}::{item['identifier']}", "name": item["name"], "kind": item["kind"]}
        return {**row, **_properties(item.get("data") or {}, row)}

    def _edge(self, item: dict[str, Any]) -> dict[str, Any]:
        (source_kind, source), (target_kind, target) = item["source_id"], item["target_id"]
        kind = (source_kind, item["kind"], target_kind, item["direction"])
        row = {
            "source": f"{source_kind}::{source}",
            "metaedge": self.metaedges.get(kind, " ".join(map(str, kind))),
            "target": f"{target_kind}::{target}",
        }
        return {**row, **_properties(item.get("data") or {}, row)}

    def _items(self) -> Iterator[tuple[int, Any]]:
        """Each item of this part, with the line it begins on."""
        reader = _JsonReader(self.path)
        try:
            reader.take("{")
            while True:
                key = reader.value()
                reader.take(":")
                if key == self.part:
                    reader.take("[")
                    while not reader.follows("]"):
                        line = reader.line()
                        yield line, reader.value()
                        if not reader.follows(","):
                            reader.take("]")
                            break
                    return
                reader.skip_value()
                if not reader.follows(","):
                    break
        finally:
            reader.close()
        raise MalformedInputError(f"no list {self.part!r} in this JSON object.", self.path)


class _JsonReader:
    """JSON text read value by value, so that the whole need not be in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = io.TextIOWrapper(io.BufferedReader(open_bytes(path)), "utf-8-sig", newline="")
        self._text, self._at, self._ended = "", 0, False
        self._line, self._counted = 1, 0  # the line on which character `_counted` stands
        self._decoder = json.JSONDecoder()

    def close(self) -> None:
        self._stream.close()

    def line(self) -> int:
        """On which line does the next value begin?"""
        self._skip_space()
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def follows(self, character: str) -> bool:
        """Is this the next character? If so, go past it."""
        self._skip_space()
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def take(self, character: str) -> None:
        if not self.follows(character):
            came = repr(self._text[self._at : self._at + 20]) if self._at < len(self._text) else "the end of the file"
            raise MalformedInputError(f"expected {character!r}, not {came}.", self._path, self.line())

    def value(self) -> Any:
        self._skip_space()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            except (ValueError, RecursionError) as fault:
                if self._ended or len(self._text) - self._at > _LONGEST_ITEM:
                    raise MalformedInputError(f"no JSON: {str(fault)[:200]}", self._path, self.line()) from None
            self._fill()

    def skip_value(self) -> None:
        """Go past a value; a long list item by item."""
        if not self.follows("["):
            self.value()
            return
        while not self.follows("]"):
            self.value()
            if not self.follows(","):
                self.take("]")
                break

    def _skip_space(self) -> None:
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return
            self._fill()

    def _fill(self) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = 0
        try:
            more = self._stream.read(_BLOCK)
        except UnicodeDecodeError:
            problem = "not UTF-8 text after this line. Convert it with iconv -t UTF-8."
            raise MalformedInputError(problem, self._path, self._line) from None
        except READ_FAULTS as fault:
            problem = f"cannot be read past this line, a broken or truncated file? {str(fault)[:300]}"
            raise MalformedInputError(problem, self._path, self._line) from None
        self._text, self._at, self._ended = self._text[self._at :] + more, 0, not more


def _properties(data: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        if key in {"source", "sources"}:
            result.setdefault("sources", []).extend(value if isinstance(value, list) else [value])
        elif key == "pubmed_ids":
            result["pmids"] = [str(number) for number in value] or None
        elif value is not None and value != []:
            result[f"{key}_stated" if key in row else key] = value
    return result
