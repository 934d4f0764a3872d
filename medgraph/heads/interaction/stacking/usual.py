"""The members of a stack where none are given."""

from __future__ import annotations

from collections.abc import Sequence

from medgraph.heads.interaction.baselines.als import ALS
from medgraph.heads.interaction.baselines.kronrls import KronRLS
from medgraph.heads.interaction.baselines.neighbours import PairNeighbours
from medgraph.heads.interaction.baselines.profiles import ProfileKronRLS
from medgraph.heads.interaction.baselines.similarity import CountedFragments, LocalAlignment
from medgraph.heads.interaction.stacking.out_of_fold import FoldBy, Member

__all__ = ["usual_members"]


def usual_members(by: FoldBy) -> Sequence[Member]:
    """Baselines, unfitted, for a stack whose folds hold this out; two of the same kind look at different things."""
    fragments, aligned = CountedFragments(), LocalAlignment()
    if by == "pair":
        profiles = ProfileKronRLS(
            drug_similarity=fragments, target_similarity=aligned, drug_power=1.5, drug_profile=0.5, target_profile=0.35,
            identity=0.02,
        )  # fmt: skip
        return KronRLS(), ProfileKronRLS(target_similarity=aligned), profiles, ALS(), PairNeighbours()
    near = PairNeighbours(drug_similarity=fragments, target_similarity=aligned)
    if by in ("drug", "scaffold"):  # what is known of a target is mostly its own, and of a new drug nothing is
        kernels = KronRLS(
            drug_similarity=fragments, drug_power=1.25, target_power=0.7, identity=(0.03, 1.0), constant=0.0
        )
    else:
        own = 0.03 if by == "both" else 0.4
        kernels = KronRLS(
            drug_similarity=fragments, target_similarity=aligned, drug_power=1.5, target_power=0.7,
            identity=(own, 0.0), constant=(0.0, 0.25),
        )  # fmt: skip
    return KronRLS(), kernels, PairNeighbours(), near
