"""Which nodes are called something like this? An inverted index over ids, names and synonyms, kept as Arrow files."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int64

from medgraph.data.graph import KnowledgeGraph
from medgraph.data.schema import NodeType

__all__ = ["SYNONYM_COLUMNS", "NameIndex", "asked_words", "folded_names", "name_columns"]

SYNONYM_COLUMNS = ("synonyms", "synonym", "aliases", "alias", "symbol", "exact_synonyms", "related_synonyms")
_LONGEST = 64  # characters of a word that count
_SPARE_WORD = 0.25  # what a word of the text that was not asked for costs, beside one that was
_SYNONYM = 0.9  # a synonym's worth beside a name or id
_MOST_WORDS = 32  # of a query
_CANDIDATES = 64  # words, nearest by trigrams, that are compared letter by letter
_CLOSE = 0.75  # difflib's ratio from which two spellings are one word

_NO_TEXTS = pa.schema([("node", pa.int32()), ("text", pa.string()), ("worth", pa.float64())]).empty_table()

_Rows: TypeAlias = Int64[np.ndarray, " n"]
_Qualities: TypeAlias = Float64[np.ndarray, " n"]
_Hits: TypeAlias = tuple[_Rows, _Qualities]


def _folded(texts: pa.Array) -> pa.Array:
    """Lower case, without accents, words of letters and digits apart by one space."""
    plain = pc.utf8_normalize(pc.utf8_lower(texts), form="NFKD")
    plain = pc.replace_substring_regex(plain, pattern=r"\p{M}+", replacement="")
    for letter, written in (("ø", "o"), ("ł", "l"), ("đ", "d"), ("æ", "ae"), ("œ", "oe"), ("ß", "ss"), ("ς", "σ")):
        plain = pc.replace_substring(plain, pattern=letter, replacement=written)
    plain = pc.replace_substring_regex(plain, pattern=r"[^\p{L}\p{N}]+", replacement=" ")
    return pc.utf8_trim_whitespace(plain)


def name_columns(table: pa.Table) -> list[str]:
    """Which columns of a node table say what a node is called? id, name, and the synonyms that are text."""
    names = ["id", "name", *(name for name in table.column_names if name.lower() in SYNONYM_COLUMNS)]
    kinds = [table.schema.field(name).type for name in names]
    return [name for name, kind in zip(names, kinds, strict=True) if pa.types.is_list(kind) or pa.types.is_string(kind)]


def folded_names(table: pa.Table) -> list[str]:
    """For each node, the words of all it is called, folded, once each, apart by blanks: what other indexes may hold."""
    words: list[dict[str, None]] = [{} for _ in range(table.num_rows)]
    for name in name_columns(table):
        column = table.column(name).combine_chunks()
        owner, values = np.arange(len(column)), column
        if pa.types.is_list(column.type):
            owner, values = pc.list_parent_indices(column).to_numpy(), column.flatten()
        for row, text in zip(owner.tolist(), _folded(values).to_pylist(), strict=True):
            words[row].update(dict.fromkeys(word[:_LONGEST] for word in (text or "").split()))
    return [" ".join(found) for found in words]


def asked_words(text: str) -> list[str]:
    """The words of a query, folded as `folded_names` are."""
    given = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text that Arrow takes
    return [word[:_LONGEST] for word in _folded(pa.array([given])).to_pylist()[0].split()][:_MOST_WORDS]


def _lists(keys: _Rows, values: _Rows, size: int) -> pa.ListArray:
    """For each key 0..size-1 the sorted, distinct values that stand beside it."""
    width = int(values.max(initial=0)) + 1
    pairs = np.sort(keys * width + values)
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    offsets = np.searchsorted(pairs, np.arange(size + 1) * width)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(pairs % width, pa.int32()))


def _trigrams(words: pa.Array) -> tuple[Int64[np.ndarray, " grams"], _Rows]:
    """Every three letters in a row of each word, blanks at both ends, as one integer; and whose word it is."""
    text = " " + "  ".join(words.to_pylist()) + " "
    letters = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
    lengths = pc.utf8_length(words).to_numpy(zero_copy_only=False).astype(np.int64) + 2
    owner = np.repeat(np.arange(len(words)), lengths)
    grams = letters[:-2] << 42 | letters[1:-1] << 21 | letters[2:]
    inside = owner[:-2] == owner[2:]
    return grams[inside], owner[:-2][inside]


@dataclass(frozen=True, eq=False)
class NameIndex:
    """An index over what nodes are called.

    A text scores the sum of its matched words' qualities (1 for the whole word, its matched share for a beginning,
    difflib's ratio for a misspelling) over the number of words asked for, spare words of the text adding a quarter
    each; synonyms count nine tenths. So 1 is a name that equals the query but for case, accents and punctuation.

    Args:
        nodes: id, name, node_type, by global index.
        texts: node (a row of `nodes`), text, words (their number), worth.
        words: word, sorted, and in which rows of `texts` it stands.
        trigrams: gram, sorted, and in which rows of `words` it stands.
    """

    nodes: pa.Table
    texts: pa.Table
    words: pa.Table
    trigrams: pa.Table

    @classmethod
    def build(cls, graph: KnowledgeGraph) -> NameIndex:
        """Index the ids, names and synonyms (`SYNONYM_COLUMNS`) of a graph."""
        parts = []
        for node_type, table in graph.nodes.items():
            index = pa.array(np.arange(table.num_rows) + graph.offsets[node_type], pa.int32())
            for column in name_columns(table):
                values = table.column(column).combine_chunks()
                owner = index
                if pa.types.is_list(values.type):
                    owner, values = index.take(pc.list_parent_indices(values)), values.flatten()
                worth = pa.array(np.full(len(values), 1.0 if column in ("id", "name") else _SYNONYM))
                given = pc.fill_null(pc.greater(pc.binary_length(values), 0), False)
                parts.append(pa.table({"node": owner, "text": values, "worth": worth}).filter(given))
        texts = pa.concat_tables([_NO_TEXTS, *parts]).combine_chunks()
        split = pc.split_pattern(_folded(texts.column("text").combine_chunks()), " ")
        texts = texts.append_column("words", pc.list_value_length(split))
        where = pc.list_parent_indices(split)
        found = pc.utf8_slice_codeunits(split.flatten(), 0, _LONGEST).dictionary_encode()
        order = pc.sort_indices(found.dictionary)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order.to_numpy()] = np.arange(len(order))
        words = found.dictionary.take(order)
        grams, owner = _trigrams(words)
        distinct, number = np.unique(grams, return_inverse=True)
        nodes = pa.table(
            {
                "id": pa.array(graph.ids, pa.string()),
                "name": pa.array(graph.names, pa.string()),
                "node_type": pa.array(graph.types, pa.string()).dictionary_encode(),
            }
        )
        return cls(
            nodes,
            texts,
            pa.table(
                {
                    "word": words,
                    "rows": _lists(rank[found.indices.to_numpy()], where.to_numpy().astype(np.int64), len(words)),
                }
            ),
            pa.table({"gram": distinct, "rows": _lists(number.astype(np.int64), owner, len(distinct))}),
        )

    def save(self, folder: Path) -> None:
        """Keep the index as four Arrow files."""
        folder.mkdir()
        for name, table in vars(self).items():
            with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
                file.write_table(table.combine_chunks())

    @classmethod
    def load(cls, folder: Path) -> NameIndex:
        """Open a saved index; its files are mapped into memory, not read."""
        names = ("nodes", "texts", "words", "trigrams")
        return cls(*(pa.ipc.open_file(pa.memory_map(str(folder / f"{name}.arrow"))).read_all() for name in names))

    def search(self, text: str, topn: int = 10, node_type: NodeType | None = None) -> pa.Table:
        """The `topn` best nodes for `text`: id, name, node_type, matched (the text that fitted), score.

        Misspellings are looked for only where no text has all the words as they stand.
        """
        asked = asked_words(text)
        hits = [self._begun(word) for word in asked]
        rows, scores, complete = self._scored(hits)
        if not complete:
            near = [self._near(word) for word in asked]
            hits = [
                _best(np.concatenate([begun[0], close[0]]), np.concatenate([begun[1], close[1]]))
                for begun, close in zip(hits, near, strict=True)
            ]
            rows, scores, _ = self._scored(hits)
        node = _numbers(self.texts, "node")[rows]
        if node_type is not None:
            types = self.nodes.column("node_type").combine_chunks()
            wanted = pc.index(types.dictionary, node_type).as_py()
            keep = types.indices.to_numpy()[node] == wanted
            node, rows, scores = node[keep], rows[keep], scores[keep]
        order = np.lexsort((node, -scores))
        _, first = np.unique(node[order], return_index=True)
        best = order[np.sort(first)[:topn]]
        found = self.nodes.take(pa.array(node[best]))
        return pa.table(
            {
                "id": found.column("id"),
                "name": found.column("name"),
                "node_type": found.column("node_type").cast(pa.string()),
                "matched": self.texts.column("text").take(pa.array(rows[best])),
                "score": scores[best],
            }
        )

    def holds_all(self, text: str) -> bool:
        """Does one text have every word of `text`, whole or cut short?"""
        return self._scored([self._begun(word) for word in asked_words(text)])[2]

    def _begun(self, word: str) -> _Hits:
        """Texts that have a word beginning with `word`, by the share of it that was given."""
        words = self.words.column("word").combine_chunks()
        first = bisect_left(words, word, key=_text)
        last = bisect_left(words, word + "\U0010ffff", lo=first, key=_text)
        lengths = pc.utf8_length(words[first:last]).to_numpy(zero_copy_only=False)
        return self._holding(np.arange(first, last), len(word) / lengths)

    def _near(self, word: str) -> _Hits:
        """Texts that have a word spelt much like `word`, by difflib's ratio."""
        grams = _numbers(self.trigrams, "gram")
        asked = np.unique(_trigrams(pa.array([word]))[0])
        at = np.searchsorted(grams, asked)
        at = at[(at < grams.size) & (grams[np.minimum(at, grams.size - 1)] == asked)] if grams.size else at[:0]
        shared, _ = _postings(self.trigrams, at)
        candidates, counts = np.unique(shared, return_counts=True)
        words = self.words.column("word").take(pa.array(candidates))
        lengths = pc.utf8_length(words).to_numpy().astype(np.int64)
        likeliest = np.argsort(-2 * counts / (lengths + len(word)), kind="stable")[:_CANDIDATES]
        spelt = {words[row].as_py(): int(candidates[row]) for row in likeliest.tolist()}
        close = difflib.get_close_matches(word, spelt, n=10, cutoff=_CLOSE)
        ratios = [difflib.SequenceMatcher(None, one, word).ratio() for one in close]
        return self._holding(np.array([spelt[one] for one in close], dtype=np.int64), np.array(ratios))

    def _holding(self, words: _Rows, qualities: _Qualities) -> _Hits:
        rows, sizes = _postings(self.words, words)
        return _best(rows, np.repeat(qualities, sizes))

    def _scored(self, hits: list[_Hits]) -> tuple[_Rows, _Qualities, bool]:
        """The texts that hold most of the words asked for, their scores, and whether that is all words."""
        every = [(np.empty(0, np.int64), np.empty(0)), *hits]
        rows, back = np.unique(np.concatenate([rows for rows, _ in every]), return_inverse=True)
        matched = np.bincount(back, minlength=rows.size)
        total = np.bincount(back, np.concatenate([qualities for _, qualities in every]), rows.size)
        most = int(matched.max(initial=0))
        rows, total = rows[matched == most], total[matched == most]
        spare = np.maximum(_numbers(self.texts, "words")[rows] - len(hits), 0)
        scores = total * _numbers(self.texts, "worth")[rows] / (len(hits) + _SPARE_WORD * spare)
        return rows, scores, most == len(hits)


def _text(scalar: pa.StringScalar) -> str:
    return str(scalar.as_py())


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    values: np.ndarray = table.column(column).to_numpy()
    return values


def _postings(table: pa.Table, rows: _Rows) -> tuple[_Rows, _Rows]:
    """The lists that stand in some rows, one after the other, and their lengths."""
    lists = table.column("rows").combine_chunks()
    offsets = lists.offsets.to_numpy()
    starts, sizes = offsets[rows], offsets[rows + 1] - offsets[rows]
    ends = np.cumsum(sizes)
    within = np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)
    return lists.values.to_numpy()[np.repeat(starts, sizes) + within].astype(np.int64), sizes


def _best(rows: _Rows, qualities: _Qualities) -> _Hits:
    """Each row once, with its best quality."""
    order = np.lexsort((-qualities, rows))
    first = np.diff(rows[order], prepend=-1) > 0
    return rows[order[first]], qualities[order[first]]
