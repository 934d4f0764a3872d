"""Which atoms and residues make the predicted interactions, and do predictions move when just those are taken out?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from medgraph.errors import SchemaError
from medgraph.evaluation.printing import as_text
from medgraph.evaluation.resampling import Interval, bootstrap_mean, percentile_interval
from medgraph.heads.interaction.attribution import read_pair
from medgraph.heads.interaction.base import InteractionHead
from medgraph.heads.interaction.explanation import Explanation

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from medgraph.data.graph import KnowledgeGraph

__all__ = ["Deletion", "InteractionEvidence", "explain_interaction"]

_SHOWN = 10


@dataclass(frozen=True)
class Deletion:
    """Do predictions move more without the strongest atoms (or residues) than without random ones?

    Args:
        part: "atoms" or "residues".
        share: of them that was taken out, at least one of each molecule.
        pairs: looked at.
        draws: of random ones, for each pair.
        moved: by how much the prediction moves without the strongest; the mean over pairs.
        moved_random: without as many random ones; the mean over pairs and draws.
        more: the first less the second, with its 95 % interval: over pairs by the bootstrap, of a single pair over
            draws.
        beaten: share of the draws in which the random ones moved it less.
    """

    part: str
    share: float
    pairs: int
    draws: int
    moved: float
    moved_random: float
    more: Interval
    beaten: float


@dataclass(frozen=True, eq=False, repr=False)
class InteractionEvidence:
    """Prints as two tables.

    Args:
        explanations: one a pair.
        deletions: of atoms, and of residues.
    """

    explanations: tuple[Explanation, ...]
    deletions: tuple[Deletion, ...]

    def __repr__(self) -> str:
        return f"InteractionEvidence({len(self.explanations)} pairs)"

    def __str__(self) -> str:
        return as_text(self)

    def to_pandas(self) -> pd.DataFrame:
        """One row a deletion check."""
        import pandas as pd

        rows = [{**vars(d), "more": d.more.value, "low": d.more.low, "high": d.more.high} for d in self.deletions]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "explanations": [each.to_dict() for each in self.explanations],
            "deletions": [{**vars(each), "more": each.more._asdict()} for each in self.deletions],
        }

    def __rich__(self) -> RenderableType:
        unit = self.explanations[0].unit
        check = Table(title=f"Taken out: by how much does {escape(unit)} move?", title_justify="left")
        names = ("what", "pairs", "the strongest", "random ones", "more [95 % interval]", "draws beaten")
        for name in names:
            check.add_column(name, justify="left" if name == "what" else "right")
        for d in self.deletions:
            what = f"{d.share:.0%} of the {d.part}"
            check.add_row(what, f"{d.pairs}", f"{d.moved:.3f}", f"{d.moved_random:.3f}", str(d.more), f"{d.beaten:.0%}")
        if len(self.explanations) == 1:
            return Group(self.explanations[0].__rich__(), check)
        pairs = Table(title=f"{len(self.explanations)} pairs", title_justify="left")
        for name in ("drug", "target", unit, "by nothing", "atoms", "residues", "ids, graph", "strongest window"):
            pairs.add_column(
                escape(name), justify="left" if name in {"drug", "target", "strongest window"} else "right"
            )
        for each in self.explanations[:_SHOWN]:
            window = each.windows(topn=1)
            figures = (each.value, each.baseline, each.atoms.sum(), each.residues.sum(), each.other)
            pairs.add_row(
                escape(each.drug or each.smiles[:24]), escape(each.target or f"{each.sequence[:12]}…"),
                *(f"{figure:.3f}" for figure in figures), window[0].name if window else "",
            )  # fmt: skip
        return Group(pairs, check)


def explain_interaction(
    head: InteractionHead,
    smiles: str | Sequence[str] | None = None,
    sequences: str | Sequence[str] | None = None,
    *,
    drugs: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    graph: KnowledgeGraph | None = None,
    share: float = 0.1,
    draws: int = 100,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> InteractionEvidence:
    """What does each atom and residue add to these predictions, and is it so?

    Each pair is explained by `explain_pair`. Then the `share` of its atoms whose contributions are largest (in size) is
    taken out, that is, their tokens become vectors of zeros and bits without an environment left are dropped; and as
    many random ones, `draws` times. The same with residues. An attribution that tells nothing moves the prediction no
    more than chance does.

    Args:
        head: a fitted one.
        smiles: drugs by structure, row by row with the targets; a single one goes with all.
        sequences: targets by amino acids, likewise.
        drugs: or drugs by id, of training or of `graph`.
        targets: or targets by id.
        graph: where ids are looked up that training does not know.
        share: of atoms, and of residues, to take out.
        draws: of random ones, for each pair.
        n_bootstrap: samples of pairs that intervals rest on.
        seed: of the draws.

    Raises:
        NotFittedError: before `fit`.
        SchemaError: a share outside of ]0, 1[, no draw, no pair, a SMILES or sequence that cannot be read.
        UnknownIdentifierError: an id that neither training nor the graph knows.
    """
    if not 0 < share < 1 or draws < 1 or n_bootstrap < 1:
        raise SchemaError(f"share={share}, draws={draws}, n_bootstrap={n_bootstrap}: one of them is out of range.")
    head._fitted()
    sides = [[given] if isinstance(given, str) else given for given in (smiles, sequences, drugs, targets)]
    lengths = {len(side) for side in sides if side is not None}
    if not lengths or len(lengths - {1}) > 1 or 0 in lengths:
        raise SchemaError(f"Pairs are row by row, one or equally many of each; there are {sorted(lengths)}.")
    rng, explanations = np.random.default_rng(seed), []
    moved: dict[str, list[tuple[float, Float64[np.ndarray, " draws"]]]] = {"atoms": [], "residues": []}
    for row in range(max(lengths)):
        one = [None if side is None else side[0 if len(side) == 1 else row] for side in sides]
        pair = read_pair(head, one[0], one[1], drug=one[2], target=one[3], graph=graph)
        found = pair.explain()
        explanations.append(found)
        for part in ("atoms", "residues"):
            sizes = np.abs(getattr(found, part))
            if not sizes.any():  # the head reads nothing of them
                continue
            taken = max(1, round(share * sizes.size))
            out = [np.argsort(-sizes, kind="stable")[:taken]]
            out += [rng.choice(sizes.size, taken, replace=False) for _ in range(draws)]
            kept = [np.where(np.isin(np.arange(sizes.size), which), 0.0, 1.0) for which in out]
            values = pair.without(kept, []) if part == "atoms" else pair.without([], kept)
            moves = np.abs(values - found.value)
            moved[part].append((float(moves[0]), moves[1:]))
    checks = [_deletion(part, share, draws, rows, n_bootstrap, seed) for part, rows in moved.items() if rows]
    return InteractionEvidence(tuple(explanations), tuple(checks))


def _deletion(
    part: str,
    share: float,
    draws: int,
    rows: list[tuple[float, Float64[np.ndarray, " draws"]]],
    n_bootstrap: int,
    seed: int,
) -> Deletion:
    top, chance = np.array([one for one, _ in rows]), np.stack([many for _, many in rows])
    more = top[:, None] - chance
    if len(rows) > 1:
        interval = bootstrap_mean(more.mean(axis=1), n_bootstrap, seed)
    else:
        interval = percentile_interval(more[0], float(more.mean()))
    beaten = float(((more > 0) + 0.5 * (more == 0)).mean())
    return Deletion(part, share, len(rows), draws, float(top.mean()), float(chance.mean()), interval, beaten)
