"""DeepDTA (Öztürk, Özgür & Ozkirimli 2018, arXiv:1801.10193): two stacks of convolutions, over SMILES and sequence."""

from __future__ import annotations

from dataclasses import dataclass

from medgraph.data.affinities import Affinities
from medgraph.data.tokens import PROTEIN_TOKENS, SMILES_TOKENS
from medgraph.errors import SchemaError
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.features import Features
from medgraph.heads.interaction.pair_network import Dense, PairNetwork
from medgraph.heads.interaction.token_convolution import TokenConvolution
from medgraph.heads.interaction.token_features import TokenFeatures

__all__ = ["DeepDTA"]


@dataclass(eq=False, kw_only=True)
class DeepDTA(InteractionHead):
    """Letters of the SMILES and of the sequence, three convolutions over each, the largest answers, three dense layers.

    As published: vectors of 128, 32-64-96 filters, dense layers of 1024, 1024 and 512 with dropout .1 after the first
    two, Adam with .001, batches of 256. Where we differ:

    - Windows. The authors' code tunes one length for all three convolutions, from 4, 6, 8 for SMILES and 4, 8, 12 for
      sequences: (8, 8, 8) and (12, 12, 12) are such. The defaults grow from layer to layer, as in DeepPurpose (Huang et
      al. 2020).
    - Lengths. Texts are not cut. The paper cuts at 85 and 1200 letters for Davis, at 100 and 1000 for KIBA, which cuts
      61 and 44 proteins: give these to have it so; the notes count what was cut.
    - Padding. The maximum is over windows within the text, so that padding cannot change an answer; the paper's
      filters read padding as one more letter.
    - Values are standardised; batches are blocks of few targets; the epoch best on valid is kept.

    Args:
        filters: of the three convolutions, of drugs and of targets alike.
        drug_windows: their lengths for SMILES.
        target_windows: for sequences.
        hidden: of the dense layers.
        max_smiles: letters kept of a SMILES; None for all.
        max_sequence: letters kept of a sequence; None for all.

    The other arguments are those of `InteractionHead`.
    """

    vector_size: int = 128
    filters: tuple[int, ...] = (32, 64, 96)
    drug_windows: tuple[int, ...] = (4, 6, 8)
    target_windows: tuple[int, ...] = (4, 8, 12)
    hidden: tuple[int, ...] = (1024, 1024, 512)
    dropout: float = 0.1
    max_smiles: int | None = None
    max_sequence: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("filters", "drug_windows", "target_windows", "hidden"):
            setattr(self, name, tuple(getattr(self, name)))
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise SchemaError(f"DeepDTA: {name}={getattr(self, name)}; expected numbers of at least 1.")
        if not len(self.filters) == len(self.drug_windows) == len(self.target_windows) or len(self.filters) < 2:
            raise SchemaError("DeepDTA: filters, drug_windows and target_windows must be equally many, at least two.")

    def _drugs(self, train: Affinities) -> Features:
        del train  # the alphabet is fixed
        return TokenFeatures(SMILES_TOKENS, self.max_smiles, field_of(self.drug_windows))

    def _targets(self, train: Affinities) -> Features:
        del train
        return TokenFeatures(PROTEIN_TOKENS, self.max_sequence, field_of(self.target_windows))

    def _network(self, drugs: Features, targets: Features, outputs: int) -> PairNetwork:
        assert isinstance(drugs, TokenFeatures)
        assert isinstance(targets, TokenFeatures)
        return PairNetwork(
            TokenConvolution(drugs.tokens.size, self.vector_size, self.filters, self.drug_windows),
            TokenConvolution(targets.tokens.size, self.vector_size, self.filters, self.target_windows),
            Dense(2 * self.filters[-1], self.hidden, outputs, self.dropout),
        )


def field_of(windows: tuple[int, ...]) -> int:
    """How many letters one answer of the stacked convolutions reads."""
    return sum(window - 1 for window in windows) + 1
