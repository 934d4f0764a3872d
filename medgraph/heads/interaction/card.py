"""The model card of an interaction head, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medgraph.artefact import bullets, learned_from, settings

if TYPE_CHECKING:
    from medgraph.heads.interaction.fitted import Fitted

__all__ = ["card_of"]


def card_of(kind: str, parameters: Mapping[str, Any], state: Fitted) -> str:
    """Markdown: what it predicts, from what, how sure, for what it is not."""
    counts = "\n".join(
        f"| {part} | {found['pairs']:,} | {found['drugs']:,} | {found['targets']:,} |"
        for part, found in state.counts.items()
    )
    what = "calibrated probability that they bind" if state.kind == "binary" else f"value in {state.unit}"
    intervals = "none"
    if state.conformal is not None:
        q = state.conformal.quantile(0.9)
        units = "predicted standard deviations" if state.conformal.normalised else state.unit
        width = f"± {q:.3f} {units}" if np.isfinite(q) else "unbounded, for these are too few"
        intervals = f"split conformal on {len(state.conformal):,} valid pairs; 90 %: {width}"
    limit = "" if state.limit is None else f" Recorded values at {state.limit} mean: at most this."
    return f"""# {kind}: {state.unit}

Predicts for a drug (SMILES) and a target (amino-acid sequence): {what}.{limit}

- loss: {state.loss}
- members: {len(state.networks)}
- intervals: {intervals}

| part | pairs | drugs | targets |
|---|---|---|---|
{counts}

{learned_from("affinities", state.source)}

## Notes
{bullets(state.notes)}

## How
{settings(parameters)}

## Use
`medgraph.{kind}.load(folder).predict(smiles=[...], sequences=[...])`. Intervals hold for pairs like those of valid; a
drug or target that was not seen in training is flagged, and its prediction is worth less. Measured in assays: it says
nothing of dose, safety or effect in people.
"""
