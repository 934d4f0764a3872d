"""SMILES and sequences as numbers of tokens, for networks that read them letter by letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64, UInt16

from medgraph.errors import SchemaError

__all__ = ["PROTEIN_TOKENS", "SMILES_ATOMS", "SMILES_TOKENS", "TokenArray", "Tokens"]


@dataclass(frozen=True, eq=False, repr=False)
class TokenArray:
    """Texts as tokens, one after the other; text i is `flat[offsets[i]:offsets[i + 1]]`.

    Args:
        flat: the tokens.
        offsets: where each text begins, and where the last ends.
        cut: how many texts were longer than allowed.
        cut_tokens: how many tokens they lost.
        unknown: how many tokens are not of the alphabet.
    """

    flat: UInt16[np.ndarray, " t"]
    offsets: Int64[np.ndarray, " m+1"]
    cut: int = 0
    cut_tokens: int = 0
    unknown: int = 0

    def __len__(self) -> int:
        return int(self.offsets.size - 1)

    def __repr__(self) -> str:
        cut = f", {self.cut:,} texts cut" if self.cut else ""
        unknown = f", {self.unknown:,} unknown" if self.unknown else ""
        return f"TokenArray({len(self):,} texts, {self.flat.size:,} tokens{cut}{unknown})"

    @property
    def lengths(self) -> Int64[np.ndarray, " m"]:
        """How many tokens each text has."""
        return np.diff(self.offsets)

    def padded(
        self, rows: Int64[np.ndarray, " n"] | None = None, length: int | None = None
    ) -> Int64[np.ndarray, "n l"]:
        """These texts as rows of equal length, filled up with 0; by default of the longest among them.

        Raises:
            SchemaError: a text longer than `length`.
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        sizes = self.lengths[rows]
        longest = int(sizes.max(initial=0))
        if length is not None and longest > length:
            raise SchemaError(f"A text has {longest} tokens, more than {length}; encode with max_length={length}.")
        result = np.zeros((rows.size, longest if length is None else length), dtype=np.int64)
        there = np.arange(result.shape[1]) < sizes[:, None]
        place = np.repeat(self.offsets[rows] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        result[there] = self.flat[place]
        return result


@dataclass(frozen=True)
class Tokens:
    """An alphabet: padding is 0, its symbols are 1, 2, 3 ... in order, and whatever else comes is the last number.

    Args:
        symbols: what stands for itself, in order.
        pattern: a regular expression that finds the next token; without it every character is one.

    Raises:
        SchemaError: a symbol twice, or none; more than 65,000.
    """

    symbols: tuple[str, ...]
    pattern: str | None = None

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) < len(self.symbols) or len(self.symbols) > 65_000:
            raise SchemaError("An alphabet has 1 to 65,000 symbols, each once.")
        if self.pattern is None and any(len(symbol) != 1 for symbol in self.symbols):
            raise SchemaError("Symbols of several characters need a pattern that finds them.")

    @property
    def size(self) -> int:
        """How many numbers there are, with padding and unknown: the rows of an embedding table."""
        return len(self.symbols) + 2

    @property
    def unknown(self) -> int:
        """The number of what is not in the alphabet."""
        return len(self.symbols) + 1

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> TokenArray:
        """The texts as tokens. What is beyond `max_length` tokens is cut, and counted.

        Raises:
            SchemaError: max_length below 1.
        """
        if max_length is not None and max_length < 1:
            raise SchemaError(f"max_length must be at least 1, not {max_length}.")
        parts = [self._numbers(text) for text in texts]
        sizes = np.array([part.size for part in parts], dtype=np.int64)
        cut = cut_tokens = 0
        if max_length is not None:
            cut, cut_tokens = int((sizes > max_length).sum()), int(np.maximum(sizes - max_length, 0).sum())
            parts = [part[:max_length] for part in parts]
            sizes = np.minimum(sizes, max_length)
        flat = np.concatenate([np.zeros(0, dtype=np.uint16), *parts])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return TokenArray(flat, offsets, cut, cut_tokens, int((flat == self.unknown).sum()))

    def decode(self, numbers: Sequence[int] | Int64[np.ndarray, " n"]) -> str:
        """The text of these tokens, without padding; "?" for what is unknown."""
        text = ["", *self.symbols, "?"]
        return "".join(text[int(number)] for number in numbers)

    def _numbers(self, text: str) -> UInt16[np.ndarray, " t"]:
        if self.pattern is not None:
            found = [self._number.get(token, self.unknown) for token in self._finder.findall(text)]
            return np.array(found, dtype=np.uint16)
        return self._table[np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, 1)}

    @cached_property
    def _finder(self) -> re.Pattern[str]:
        assert self.pattern is not None
        return re.compile(self.pattern)

    @cached_property
    def _table(self) -> UInt16[np.ndarray, "256"]:
        return np.array([self._number.get(chr(byte), self.unknown) for byte in range(256)], dtype=np.uint16)


SMILES_TOKENS = Tokens(tuple("(.02468@BDFHLNPRTVZ\\bdfhlnrt#%)+-/13579=ACEGIKMOSUWY[]acegimosuy"))
"""DeepDTA's 64 characters of SMILES with its numbers (Öztürk 2018, CHARISOSMISET)."""

PROTEIN_TOKENS = Tokens(tuple("ACBEDGFIHKMLONQPSRUTWVYXZ"))
"""DeepDTA's 25 letters of proteins with its numbers (Öztürk 2018, CHARPROTSET)."""

SMILES_ATOMS = Tokens(
    (
        *("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I", "b", "c", "n", "o", "p", "s"),
        *("-", "=", "#", "$", ":", "/", "\\", ".", "(", ")", *"0123456789", *(f"%{ring}" for ring in range(10, 31))),
        *("[nH]", "[C@H]", "[C@@H]", "[C@]", "[C@@]", "[N+]", "[O-]", "[S@]", "[S@@]", "[n+]", "[2H]", "[P@]", "[P@@]"),
        *("[NH+]", "[NH2+]", "[NH3+]", "[N-]", "[S-]", "[o+]", "[s+]", "[B-]", "[H]", "[Si]", "[se]", "[Se]", "[c-]"),
    ),
    r"\[[^\]]*\]|Br|Cl|%\d\d|.",
)
"""SMILES by atoms, bonds and rings: `Cl` and `[C@@H]` are one token each (Schwaller et al. 2018)."""
