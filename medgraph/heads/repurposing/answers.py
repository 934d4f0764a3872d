"""What a fitted link predictor knows: the score, probability and novelty of every pair. Saved as an artefact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Float32

from medgraph.artefact import Artefact, bullets, read_artefact, write_artefact
from medgraph.data.schema import EdgeType
from medgraph.errors import UnknownIdentifierError, nearest
from medgraph.evaluation.calibration import PlattCalibrator, Reliability
from medgraph.heads.repurposing.candidates import Candidate, Candidates
from medgraph.heads.repurposing.scorer import LinkTask, Scores
from medgraph.heads.repurposing.similarity import best_similarity, neighbour_cosines

__all__ = ["LinkAnswers"]


@dataclass(frozen=True, eq=False)
class LinkAnswers:
    """The answers about every pair of sources (rows) and targets (columns).

    Args:
        ids: of the sources, of the targets.
        names: of the sources, of the targets.
        log_odds: (s, t).
        slope, intercept: of the calibration of log-odds.
        linked: which pairs are known links.
        novelty: (2, s, t): 1 - similarity to the nearest other source of the target; and to the nearest other target
            of the source.
        graph: fingerprint and provenance of the graph it was learned from.
        symmetric: is (a, b) the same link as (b, a)?
    """

    ids: tuple[tuple[str, ...], tuple[str, ...]]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    log_odds: Scores
    slope: float
    intercept: float
    linked: Bool[np.ndarray, "s t"]
    novelty: Float32[np.ndarray, "2 s t"]
    graph: Mapping[str, Any]
    symmetric: bool = False

    @classmethod
    def of(
        cls, task: LinkTask, log_odds: Scores, calibrator: PlattCalibrator, linked: Bool[np.ndarray, "s t"]
    ) -> LinkAnswers:
        """The answers, with how new each pair is: by the neighbours that nodes share over all other relations."""
        tables = [task.graph.nodes[node_type] for node_type in (task.relation.source, task.relation.target)]
        links = linked.astype(np.float64)
        novelty = np.stack(
            [
                1 - best_similarity(neighbour_cosines(task, 0), links),
                1 - best_similarity(neighbour_cosines(task, 1), links.T).T,
            ]
        )
        return cls(
            tuple(tuple(table.column("id").to_pylist()) for table in tables),  # type: ignore[arg-type]
            tuple(
                tuple(n or i for n, i in zip(*(t.column(c).to_pylist() for c in ("name", "id")), strict=True))
                for t in tables
            ),  # type: ignore[arg-type]
            log_odds,
            calibrator.slope_,
            calibrator.intercept_,
            linked,
            np.clip(novelty, 0, 1).astype(np.float32),
            {
                "fingerprint": task.graph.fingerprint,
                "provenance": [vars(source) for source in task.graph.provenance],
            },
            task.symmetric,
        )

    @cached_property
    def _rows(self) -> tuple[dict[str, int], dict[str, int]]:
        return tuple({id_: row for row, id_ in enumerate(ids)} for ids in self.ids)  # type: ignore[return-value]

    def row(self, id: str, side: int) -> int:
        """Which row (side 0) or column (side 1) is `id`? Raises UnknownIdentifierError."""
        if id not in self._rows[side]:
            raise UnknownIdentifierError(
                f"{id!r} is none of the {len(self.ids[side]):,} {('sources', 'targets')[side]} of this predictor."
                f"{nearest(id, self.ids[side])}"
            )
        return self._rows[side][id]

    def probabilities(self, log_odds: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The calibrated probability of pairs that score so."""
        return np.asarray(np.exp(-np.logaddexp(0, -(self.slope * log_odds + self.intercept))))

    def rank(self, id: str, topn: int, known: bool, relation: EdgeType) -> Candidates:
        """The best answers for one source or target. Raises UnknownIdentifierError."""
        asked = next((side for side in (0, 1) if id in self._rows[side]), None)
        if asked is None:
            raise UnknownIdentifierError(
                f"{id!r} is neither a {relation.source} nor a {relation.target} of this predictor."
                f"{nearest(id, (*self.ids[0], *self.ids[1]))}"
            )
        other, place = 1 - asked, self._rows[asked][id]
        name = self.names[asked][place]
        question = (
            f"{name} {relation.relation} which {relation.target}?"
            if asked == 0
            else f"Which {relation.source} {relation.relation} {name}?"
        )
        scores, linked, novelty = (
            matrix.take(place, axis=asked) for matrix in (self.log_odds, self.linked, self.novelty[other])
        )
        probabilities = self.probabilities(scores)
        order = np.argsort(-scores, kind="stable")
        if self.ids[0] == self.ids[1]:
            order = order[order != place]
        if not known:
            order = order[~linked[order]]
        rows = tuple(
            Candidate(
                rank,
                self.ids[other][i],
                self.names[other][i],
                float(scores[i]),
                float(probabilities[i]),
                bool(linked[i]),
                float(novelty[i]),
            )
            for rank, i in enumerate(order[: max(0, topn)].tolist(), 1)
        )
        return Candidates(question, id, relation, rows)

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, parameters: Mapping[str, Any], reliability: Reliability | None) -> None:
        """Write the artefact; what `load` gives back answers the same."""
        arrays = {
            "log_odds": self.log_odds,
            "linked": self.linked.astype(np.uint8),
            "novelty": self.novelty,
            "calibration": np.array([self.slope, self.intercept]),
        }
        tables = {
            name: pa.table({"id": self.ids[side], "name": self.names[side]})
            for side, name in enumerate(("sources", "targets"))
        }
        metrics = {} if reliability is None else {"reliability": reliability.to_dict()}
        write_artefact(
            folder,
            Artefact(
                kind="LinkPredictor",
                parameters={**parameters, "symmetric": self.symmetric},
                tensors={"weights": arrays},
                tables=tables,
                graph=self.graph,
                metrics=metrics,
                seed=parameters["seed"],
                card=self._card(parameters, reliability),
            ),
        )

    @classmethod
    def load(cls, folder: str | Path) -> tuple[LinkAnswers, Mapping[str, Any], Reliability | None]:
        """The answers, what they were saved with, their reliability. Raises ArtefactError, FormatVersionError."""
        saved = read_artefact(folder, "LinkPredictor")
        arrays = saved.tensors["weights"]
        tables = saved.tables["sources"], saved.tables["targets"]
        answers = cls(
            tuple(tuple(table.column("id").to_pylist()) for table in tables),  # type: ignore[arg-type]
            tuple(tuple(table.column("name").to_pylist()) for table in tables),  # type: ignore[arg-type]
            arrays["log_odds"],
            float(arrays["calibration"][0]),
            float(arrays["calibration"][1]),
            arrays["linked"].astype(bool),
            arrays["novelty"],
            saved.graph,
            saved.parameters["symmetric"],
        )
        measured = saved.metrics.get("reliability")
        return answers, saved.parameters, None if measured is None else Reliability.from_dict(measured)

    def _card(self, parameters: Mapping[str, Any], reliability: Reliability | None) -> str:
        measured = (
            "not measured" if reliability is None else f"ECE {reliability.ece:.5f}, Brier {reliability.brier:.5f}"
        )
        source, relation, target = parameters["relation"]
        meaning = (
            f"is one of {parameters['valid_links']:,} links that\nwere hidden from the training"
            if parameters["valid_links"]
            else "is recorded as a\nlink, had it been left out"
        )
        return f"""# {source} {relation} {target}

{self.log_odds.shape[0]:,} x {self.log_odds.shape[1]:,} pairs scored by {parameters["name"]}; {int(self.linked.sum()):,}
known links.

- calibration of the probabilities: {measured}
- graph fingerprint (less the relation): {self.graph["fingerprint"]}

## Notes
{bullets(parameters["notes"])}

## Use
`medgraph.LinkPredictor.load(folder).rank(id)`. A probability says how often a pair that scores so {meaning};
not how often a drug works. Candidates are to be tested, not taken.
"""
