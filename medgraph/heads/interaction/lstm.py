"""An LSTM over the letters of the SMILES and over short runs of residues, after Wang et al. (2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from medgraph.data.affinities import Affinities
from medgraph.data.tokens import PROTEIN_TOKENS, SMILES_ATOMS
from medgraph.errors import SchemaError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.features import Features
from medgraph.heads.interaction.pair_network import Dense, PairNetwork
from medgraph.heads.interaction.token_features import TokenFeatures

__all__ = ["PairLSTM", "RecurrentText"]


class RecurrentText(nn.Module):
    """Runs of `stride` tokens -> a bidirectional LSTM -> its last states and the mean over runs, per text.

    A run's vector is the sum of what each of its tokens adds at its place: a convolution without overlap. The LSTM
    reads packed sequences: each text ends where it ends, and padding between texts is never read.

    Args:
        tokens: how many there are.
        size: of a run's vector.
        hidden: of each direction's state.
        stride: tokens in a run; texts are a multiple of it long.
    """

    def __init__(self, tokens: int, size: int, hidden: int, stride: int) -> None:
        super().__init__()
        self.stride, self.tokens = stride, tokens
        self.embedding = nn.Embedding(stride * tokens, size)
        self.lstm = nn.LSTM(size, hidden, batch_first=True, bidirectional=True)
        self.width = 4 * hidden

    def forward(
        self, tokens: Int[Tensor, " t"], lengths: Int[Tensor, " m"], vectors: Float[Tensor, "r d"] | None = None
    ) -> Float[Tensor, "m f"]:
        """One row a text.

        Args:
            tokens: of all texts, end to end.
            lengths: of the texts.
            vectors: stand in for those of the runs: attributions change them.
        """
        if vectors is None:
            vectors = self.run_vectors(tokens)
        steps = torch.div(lengths, self.stride, rounding_mode="floor").cpu()  # packing wants them in main memory
        texts = pad_sequence(list(torch.split(vectors, steps.tolist())), batch_first=True)
        packed = pack_padded_sequence(texts, steps, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True)
        mean = padded.sum(dim=1) / steps.to(padded.device, padded.dtype)[:, None]
        return torch.cat([last[0], last[1], mean], dim=1)

    def run_vectors(self, tokens: Int[Tensor, " t"]) -> Float[Tensor, "r d"]:
        """What the LSTM reads: one row a run, of all texts end to end."""
        places = tokens.long().reshape(-1, self.stride) + self.tokens * torch.arange(self.stride, device=tokens.device)
        return functional.embedding_bag(places, self.embedding.weight, mode="sum")


@dataclass(eq=False, kw_only=True)
class PairLSTM(InteractionHead):
    """A bidirectional LSTM over the drug's atoms and one over the target's residues, joined by dense layers.

    After the use of LSTMs for drugs and targets by Wang et al. (2020), doi:10.1186/s12911-020-1052-0. Where we differ:
    theirs reads fingerprints and the moments of a PSSM, which needs an alignment of every protein; ours reads the
    tokens themselves: atoms, bonds and rings of the SMILES one by one, and residues in runs of `stride`, since a
    protein has some 800 of them and an LSTM goes step by step.

    Args:
        hidden_size: of each direction's state.
        stride: residues in a step.
        hidden: of the dense layers.
        max_smiles: tokens kept of a SMILES; None for all.
        max_sequence: residues kept of a sequence; None for all.

    The other arguments are those of `InteractionHead`.
    """

    vector_size: int = 64
    hidden_size: int = 64
    stride: int = 6
    hidden: tuple[int, ...] = (512, 256)
    dropout: float = 0.1
    clip_norm: float | None = 1.0
    max_smiles: int | None = None
    max_sequence: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)
        if self.hidden_size < 1 or self.stride < 1 or not self.hidden or min(self.hidden) < 1:
            raise SchemaError(
                f"PairLSTM: hidden_size={self.hidden_size}, stride={self.stride}, hidden={self.hidden}; expected "
                "numbers of at least 1."
            )

    def _drugs(self, train: Affinities) -> Features:
        del train  # the alphabet is fixed
        return TokenFeatures(SMILES_ATOMS, self.max_smiles)

    def _targets(self, train: Affinities) -> Features:
        del train
        return TokenFeatures(PROTEIN_TOKENS, self.max_sequence, multiple=self.stride)

    def _network(self, drugs: Features, targets: Features, outputs: int) -> PairNetwork:
        assert isinstance(drugs, TokenFeatures)
        assert isinstance(targets, TokenFeatures)
        first = RecurrentText(drugs.tokens.size, self.vector_size, self.hidden_size, 1)
        second = RecurrentText(targets.tokens.size, self.vector_size, self.hidden_size, self.stride)
        return PairNetwork(first, second, Dense(first.width + second.width, self.hidden, outputs, self.dropout, True))
