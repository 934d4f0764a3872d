"""SMILES and sequences as tokens, encoded once and kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medgraph.data.tokens import Tokens
from medgraph.heads.interaction.features import Encoded, Entities, Features, Inputs, Saved
from medgraph.heads.interaction.owners import Owners, token_owners

__all__ = ["TokenFeatures"]


@dataclass(frozen=True, eq=False)
class _Texts(Encoded):
    flat: Tensor
    offsets: Int64[np.ndarray, " m_plus_1"]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.offsets.size - 1

    def tensors(self, rows: Int64[np.ndarray, " k"], device: torch.device) -> Inputs:
        lengths = np.diff(self.offsets)[rows]
        index = np.arange(lengths.sum()) + np.repeat(self.offsets[rows] - np.cumsum(lengths) + lengths, lengths)
        return self.flat[torch.from_numpy(index)].to(device), torch.from_numpy(lengths)


@dataclass(frozen=True)
class TokenFeatures(Features):
    """The tokens of each text, laid end to end, so that nothing is padded.

    Args:
        tokens: the alphabet.
        max_length: tokens kept of a text; None for all.
        least: shorter texts are filled up with padding tokens to this length, whatever they are in a batch with.
        multiple: and to a multiple of this.
    """

    tokens: Tokens
    max_length: int | None = None
    least: int = 1
    multiple: int = 1

    def of(self, entities: Entities) -> Encoded:
        """Inputs: int32 tokens (t,) of the texts end to end; their lengths (k,), int64, always in main memory."""
        found = self.tokens.encode(entities.texts, self.max_length)
        notes = []
        if found.cut:
            notes.append(f"{found.cut:,} of {len(found):,} texts cut to {self.max_length} tokens")
        if found.unknown:
            notes.append(f"{found.unknown:,} of {found.flat.size:,} tokens are not in the alphabet")
        lengths = np.maximum(np.diff(found.offsets), self.least)
        lengths += -lengths % self.multiple
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.zeros(offsets[-1], dtype=np.int32)
        flat[np.arange(found.flat.size) + np.repeat(offsets[:-1] - found.offsets[:-1], np.diff(found.offsets))] = (
            found.flat
        )
        return _Texts(torch.from_numpy(flat), offsets, tuple(notes))

    @property
    def size(self) -> int:
        """Tokens and lengths."""
        return 2

    def owners(self, place: int, text: str, units: int, drug: bool) -> Owners | None:
        """Of each token, whom its letters speak of; lengths are nobody's."""
        return token_owners(self.tokens, text, units, drug) if place == 0 else None

    def saved(self) -> Saved:
        """The alphabet as JSON."""
        return Saved(
            {
                "symbols": list(self.tokens.symbols),
                "pattern": self.tokens.pattern,
                "max_length": self.max_length,
                "least": self.least,
                "multiple": self.multiple,
            }
        )

    @classmethod
    def restore(cls, saved: Saved) -> TokenFeatures:
        """From the alphabet."""
        given = saved.parameters
        tokens = Tokens(tuple(given["symbols"]), given["pattern"])
        return cls(tokens, given["max_length"], given["least"], given["multiple"])
