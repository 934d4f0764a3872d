"""Which atoms and residues make the predicted value? Integrated gradients from nothing to this pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from medgraph.data.smiles_atoms import atom_symbols
from medgraph.errors import SchemaError
from medgraph.heads.interaction.asking import asked
from medgraph.heads.interaction.explanation import Explanation
from medgraph.heads.interaction.features import Entities
from medgraph.heads.interaction.pieces import Reading
from medgraph.heads.interaction.token_features import TokenFeatures

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.heads.interaction.base import InteractionHead
    from medgraph.heads.interaction.fitted import Fitted
    from medgraph.heads.interaction.pair_network import PairNetwork

__all__ = ["ReadPair", "explain_pair", "integrated_gradients", "read_pair"]

_Kept = Float64[np.ndarray, " n"]
_AT_ONCE = 20


def integrated_gradients(
    score: Callable[[Sequence[Tensor]], Float[Tensor, " k"]],
    wholes: Sequence[Tensor],
    bases: Sequence[Tensor],
    tolerance: float = 0.002,
    max_steps: int = 540,
) -> list[Tensor]:
    """∫ ∂f(b + α(x - b))/∂x dα · (x - b), over several tensors at once: Sundararajan, Taly & Yan (2017).

    Midpoints of equal parts of [0, 1]: 20 of them, then three times as many, the old ones among them, as long as the
    shares' sum misses f(x) - f(b) by more than `tolerance`.

    Args:
        score: f, of k places at once: every tensor has a first dimension more.
        wholes: x.
        bases: b, of the same sizes.
        tolerance: largest error of the sum.
        max_steps: where to stop all the same.
    """
    with torch.no_grad():
        ends = score([torch.stack([x, b]) for x, b in zip(wholes, bases, strict=True)])
        wanted = float(ends[0]) - float(ends[1])
    totals = [torch.zeros_like(whole, dtype=torch.float64) for whole in wholes]
    parts, steps = list(range(_AT_ONCE)), _AT_ONCE
    while True:
        for start in range(0, len(parts), _AT_ONCE):
            alphas = [(part + 0.5) / steps for part in parts[start : start + _AT_ONCE]]
            scaled = [
                torch.stack([b + alpha * (x - b) for alpha in alphas]).requires_grad_()
                for x, b in zip(wholes, bases, strict=True)
            ]
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                gradients = torch.autograd.grad(score(scaled).sum(), scaled, allow_unused=True)
            for total, gradient in zip(totals, gradients, strict=True):
                total.add_(0.0 if gradient is None else gradient.sum(dim=0))
        shares = [t * (x - b) / steps for t, x, b in zip(totals, wholes, bases, strict=True)]
        steps *= 3
        if steps > max_steps or abs(sum(float(share.sum()) for share in shares) - wanted) <= tolerance:
            return shares
        parts = [part for part in range(steps) if part % 3 != 1]  # the middle thirds were there


class ReadPair:
    """A drug and a target as each member of a fitted head reads them, whole or with parts of them taken out.

    Args:
        state: of the head.
        smiles: standardised.
        sequence: checked.
        drug: id, or "".
        target: id, or "".
    """

    def __init__(self, state: Fitted, smiles: str, sequence: str, drug: str, target: str) -> None:
        self.state, self.smiles, self.sequence, self.drug, self.target = state, smiles, sequence, drug, target
        row = np.zeros(1, dtype=np.int64)
        first = state.drug_features.of(Entities((drug,), (smiles,))).tensors(row, state.device)
        second = state.target_features.of(Entities((target,), (sequence,))).tensors(row, state.device)
        self.members = [
            (
                network.eval(),
                Reading.of(network.drugs, state.drug_features, first, smiles, True),
                Reading.of(network.targets, state.target_features, second, sequence, False),
            )
            for network in state.networks
        ]

    def score(
        self, network: PairNetwork, drug: Float[Tensor, "k d"], target: Float[Tensor, "k e"]
    ) -> Float[Tensor, " k"]:
        """The values that a member gives to these vectors, in the values' unit; of a binary head, log-odds."""
        state = self.state
        limit = None if state.limit is None else (state.limit - state.scale.mean) / state.scale.std
        value: Tensor = state.loss.answer(network.join(drug, target), network.learned, limit)[0]
        return value * state.scale.std + state.scale.mean

    def without(self, atoms: Sequence[_Kept], residues: Sequence[_Kept]) -> Float64[np.ndarray, " draws"]:
        """The members' mean value for each of these: which atoms are kept, or which residues, the other side whole."""
        found = np.zeros((len(self.members), len(atoms) + len(residues)))
        with torch.no_grad():
            for values, (network, *readings) in zip(found, self.members, strict=True):
                whole = [reading.encode([piece.whole[None] for piece in reading.pieces]) for reading in readings]
                place = 0
                for side, draws in enumerate((atoms, residues)):
                    for start in range(0, len(draws), _AT_ONCE):
                        kept = np.stack(draws[start : start + _AT_ONCE])
                        faded = readings[side].encode([piece.faded(kept) for piece in readings[side].pieces])
                        other = whole[1 - side].expand(len(kept), -1)
                        both = (faded, other) if side == 0 else (other, faded)
                        values[place : place + len(kept)] = self.score(network, *both).cpu().numpy()
                        place += len(kept)
        return np.asarray(found.mean(axis=0))

    def explain(self, tolerance: float = 0.002, max_steps: int = 540) -> Explanation:
        """What each atom and residue adds, the mean over members."""
        atoms, residues = np.zeros(len(atom_symbols(self.smiles))), np.zeros(len(self.sequence))
        other = 0.0
        value = baseline = 0.0
        for network, drug, target in self.members:
            first = len(drug.pieces)
            pieces = [*drug.pieces, *target.pieces]

            def score(tensors: Sequence[Tensor], network: PairNetwork = network, first: int = first) -> Tensor:
                return self.score(network, drug.encode(tensors[:first]), target.encode(tensors[first:]))  # noqa: B023

            wholes, bases = [piece.whole for piece in pieces], [piece.base for piece in pieces]
            with torch.no_grad():
                both = score([torch.stack([x, b]) for x, b in zip(wholes, bases, strict=True)])
                value += float(both[0]) / len(self.members)
                baseline += float(both[1]) / len(self.members)
            shares = integrated_gradients(score, wholes, bases, tolerance, max_steps)
            for place, (piece, share) in enumerate(zip(pieces, shares, strict=True)):
                if piece.owners is None:
                    other += float(share.sum()) / len(self.members)
                elif place < first:
                    atoms = atoms + piece.shares(share) / len(self.members)
                else:
                    residues = residues + piece.shares(share) / len(self.members)
        return Explanation(
            self.smiles, self.sequence, atoms, residues, value, baseline,
            "log-odds" if self.state.kind == "binary" else self.state.unit, other,
            _unseen(self.state.drug_features, self.smiles), _unseen(self.state.target_features, self.sequence),
            self.drug, self.target,
        )  # fmt: skip


def read_pair(
    head: InteractionHead,
    smiles: str | None = None,
    sequence: str | None = None,
    *,
    drug: str | None = None,
    target: str | None = None,
    graph: KnowledgeGraph | None = None,
) -> ReadPair:
    """One pair, looked up as `InteractionHead.predict` does. Raises what that raises."""
    state = head._fitted()
    wanted = asked(smiles, sequence, drug, target, graph, (state.drugs, state.targets))
    if wanted.drug.size != 1:
        raise SchemaError(f"{wanted.drug.size} pairs; one is explained at a time.")
    first, second = wanted.drugs, wanted.targets
    return ReadPair(state, first.texts[0], second.texts[0], first.ids[0], second.ids[0])


def explain_pair(
    head: InteractionHead,
    smiles: str | None = None,
    sequence: str | None = None,
    *,
    drug: str | None = None,
    target: str | None = None,
    graph: KnowledgeGraph | None = None,
    tolerance: float = 0.002,
    max_steps: int = 540,
) -> Explanation:
    """What each atom and each residue adds to the predicted value of this pair.

    Integrated gradients over the vectors of tokens, from vectors of zeros, and over the bits of fingerprints and the
    counts of k-mers, from none. A token's share goes to the atoms that its letters speak of (`atom_shares`); a bit's
    equally to the places where it occurs, and there equally to the atoms of its environment; a k-mer's likewise to its
    residues. What ids add, from that of an unknown one, and graph vectors, from zeros, is neither.

    Args:
        head: a fitted one.
        smiles: the drug by structure.
        sequence: the target by amino acids.
        drug: or by id, of training or of `graph`.
        target: likewise.
        graph: where ids are looked up that training does not know.
        tolerance: largest error of the sum, in the values' unit.
        max_steps: of the integration.

    Raises:
        NotFittedError: before `fit`.
        SchemaError: a SMILES or sequence that cannot be read, not just one way of naming each.
        UnknownIdentifierError: an id that neither training nor the graph knows.
    """
    return read_pair(head, smiles, sequence, drug=drug, target=target, graph=graph).explain(tolerance, max_steps)


def _unseen(features: object, text: str) -> int:
    """Letters beyond what a head that reads letters keeps."""
    if isinstance(features, TokenFeatures) and features.max_length is not None:
        spans = features.tokens.encode([text], None).flat.size
        return max(0, spans - features.max_length)
    return 0
