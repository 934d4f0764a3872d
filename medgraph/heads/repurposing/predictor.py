"""The link predictor: which pairs are likely linked, with what probability, and how new is that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from medgraph.data.graph import EdgeIndex, KnowledgeGraph
from medgraph.data.schema import EdgeType
from medgraph.embeddings.embedding import Embedding
from medgraph.errors import NotFittedError, SchemaError
from medgraph.evaluation.calibration import PlattCalibrator, Reliability, reliability
from medgraph.evaluation.leaks import inverse_types
from medgraph.evaluation.protocol import evaluate_links
from medgraph.evaluation.report import Report
from medgraph.evaluation.splits import EdgeSplit, distinct_pairs
from medgraph.heads.repurposing.answers import LinkAnswers
from medgraph.heads.repurposing.baselines import NearestNeighbour
from medgraph.heads.repurposing.candidates import Candidates
from medgraph.heads.repurposing.kernels import SharedNeighbours
from medgraph.heads.repurposing.negatives import Negatives, TypedNegatives
from medgraph.heads.repurposing.path_counts import BoostedPathCounts, MetapathCounts
from medgraph.heads.repurposing.scorer import LinkScorer, LinkTask, Scores, scored
from medgraph.heads.repurposing.stack import Stack, cross_fitted, fit_stack
from medgraph.heads.repurposing.vectors import (
    Encoder,
    TrainedDecoder,
    TypedDecoder,
    VectorKernel,
    VectorNeighbour,
    VectorRidge,
    vectors_of,
)

__all__ = ["LinkPredictor"]


def _default_scorers() -> tuple[LinkScorer, ...]:
    return (MetapathCounts(), BoostedPathCounts(), SharedNeighbours(), NearestNeighbour())


@dataclass(eq=False)
class LinkPredictor:
    """P(s -relation-> t) for every pair of the relation's two node types, from what the rest of the graph knows.

    Every scorer learns from training links alone; a stack of their scores is fitted on links that none of them saw
    (cross-fitting), and its log-odds are calibrated. A known link is scored by the fold that did not see it, so the
    score of a known answer and of a new one mean the same; unless an embedding has seen the links, which `notes_` says.

    Args:
        encoder: an embedding, a fitted encoder, or an encoder to fit on the graph less the relation (best: its vectors
            have then seen no link at all); several; or None. Each is decoded in three ways (`VectorRidge`,
            `VectorKernel`, `VectorNeighbour`); a VGAE fitted with the links adds its own decoder.
        relation: what to predict.
        scorers: what else to use: by default path counts, shared neighbours and nearest neighbours; () for the
            encoder alone.
        negatives: which unlinked pairs the stack is fitted on.
        folds: of the cross-fitting.
        seed: of folds, negatives and scorers.

    Attributes:
        reliability_: predicted beside observed probabilities, of the pairs that the calibration's two parameters were
            fitted on: valid links where there are some, else links out of fold.
        notes_: what a reader of the scores should know.

    Raises:
        SchemaError: nothing to score with, or a parameter out of range.
    """

    encoder: Embedding | Encoder | Sequence[Embedding | Encoder] | None = None
    relation: EdgeType = field(kw_only=True)
    scorers: tuple[LinkScorer, ...] = field(default_factory=_default_scorers, kw_only=True)
    negatives: Negatives = field(default_factory=TypedNegatives, kw_only=True)
    folds: int = field(default=5, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    reliability_: Reliability | None = field(default=None, init=False, repr=False)
    notes_: tuple[str, ...] = field(default=(), init=False, repr=False)
    _answers: LinkAnswers | None = field(default=None, init=False, repr=False)
    _split: EdgeSplit | None = field(default=None, init=False, repr=False)
    _fitted_scorers: tuple[LinkScorer, ...] = field(default=(), init=False, repr=False)
    _stack: Stack | None = field(default=None, init=False, repr=False)
    _name: str = field(default="", init=False, repr=False)
    _calibrated_on: int = field(default=0, init=False, repr=False)  # valid links; 0 where it was out of fold

    def __post_init__(self) -> None:
        self.relation = EdgeType.of(self.relation)
        if self.folds < 2:
            raise SchemaError(f"folds={self.folds}: cross-fitting needs at least two.")
        if not self._encoders() and not self.scorers:
            raise SchemaError("Nothing to score with: give an encoder or scorers.")

    def _encoders(self) -> tuple[Embedding | Encoder, ...]:
        if self.encoder is None:
            return ()
        return tuple(self.encoder) if isinstance(self.encoder, Sequence) else (self.encoder,)

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(self, data: EdgeSplit | KnowledgeGraph) -> LinkPredictor:
        """Learn from a split's training links, and calibrate on its valid ones; or from all links of a graph.

        On a split a probability says: how often is a pair that scores so, and is no training link, one of the valid
        links? So it depends on how many these are. On a whole graph, or without valid links, it is calibrated out of
        fold: how often is a pair that scores so a link, had it been left out? Among as many links as there are, that
        is far more often: compare probabilities only where both were fitted in the same way.

        Raises:
            SchemaError: a relation that is not in the graph, fewer links than folds, or an embedding learned from a
                graph that is neither the training graph nor that graph less the relation: it may have seen the answers.
        """
        split = data if isinstance(data, EdgeSplit) else None
        graph = split.graph if split is not None else data
        if not isinstance(graph, KnowledgeGraph):
            raise SchemaError(f"Got a {type(data).__name__}; expected what split_edges gives, or a KnowledgeGraph.")
        relation = graph.schema.require(self.relation)
        if split is not None and split.edge_type != relation:
            raise SchemaError(f"The split is of {split.edge_type}, the predictor of {relation}.")
        links = split.train if split is not None else distinct_pairs(graph, relation)[0]
        if links.shape[1] < self.folds:
            raise SchemaError(f"{links.shape[1]} {relation} links cannot be cut into {self.folds} folds.")
        rest = _without_relation(graph, relation)
        task = LinkTask(rest, relation, self.seed)
        embeddings = [vectors_of(encoder, rest) for encoder in self._encoders()]
        saw_links, notes = _check_origin(embeddings, graph, rest)
        if inverses := inverse_types(graph, relation):
            taken = ", ".join(map(str, inverses))
            notes += (f"{taken}: taken for the inverse of {relation} and left out of all that is learned from.",)
        decoders = [decoder(e) for e in embeddings for decoder in (VectorRidge, VectorKernel, VectorNeighbour)]
        own = [  # an encoder trained with the links has a decoder for them
            TrainedDecoder(encoder)
            for encoder, embedding in zip(self._encoders(), embeddings, strict=True)
            if isinstance(encoder, TypedDecoder) and _learned_from(embedding) == graph.fingerprint
        ]
        scorers = (*own, *decoders, *self.scorers)
        valid = split.valid if split is not None else links[:, :0]
        if saw_links and not valid.size:
            raise SchemaError(
                "The embedding has seen the links it is to predict, and there are no valid links to calibrate on. "
                "Fit it on graph.without({relation: None}), or pass the encoder unfitted."
            )
        prepared = [scorer.prepare(task) for scorer in scorers]
        linked, unlinked = task.matrix(links) > 0, task.unlinked(links)
        if not unlinked.any():
            raise SchemaError(f"Every pair is linked by {relation}: there is nothing to predict.")
        final = np.stack([scored(scorer, task, links) for scorer in prepared])
        if saw_links:  # cross-fitting cannot hide links that the vectors have seen: only valid ones are new to them
            out_of_fold = final
            stack = fit_stack(final, valid, unlinked & (task.matrix(valid) == 0), self.negatives, self.seed)
        else:
            out_of_fold = np.stack([cross_fitted(p, task, links, self.folds) for p in prepared])
            stack = fit_stack(out_of_fold, links, unlinked, self.negatives, self.seed)
        log_odds, unseen = stack.combine(final), stack.combine(out_of_fold)
        calibrator = PlattCalibrator()
        if valid.size:
            scores, answers = log_odds[unlinked], (task.matrix(valid) > 0)[unlinked]
        else:
            scores, answers = unseen[linked | unlinked], linked[linked | unlinked]
        calibrator.fit(scores, answers)
        log_odds[linked] = unseen[linked]
        # Only now, when nothing can fail any more: a fit that fails leaves the one before it whole.
        self.reliability_ = reliability(answers, calibrator.predict_proba(scores))
        self._answers = LinkAnswers.of(task, log_odds, calibrator, linked)
        self._fitted_scorers, self._stack, self.notes_ = scorers, stack, notes
        self._split, self._name, self._calibrated_on = split, "", int(valid.shape[1])
        return self

    # Asking ----------------------------------------------------------------------------------------------------------

    def _fitted(self) -> LinkAnswers:
        if self._answers is None:
            raise NotFittedError("This LinkPredictor has not been fitted; call fit(split) or fit(graph) first.")
        return self._answers

    def score_matrix(self) -> Scores:
        """The log-odds of every pair, (sources, targets) in the graph's row order. Raises NotFittedError."""
        return self._fitted().log_odds.copy()

    def predict_proba(self, pairs: Sequence[tuple[str, str]]) -> Float[np.ndarray, " n"]:
        """P(link) for pairs of (source id, target id). Raises NotFittedError, UnknownIdentifierError."""
        answers = self._fitted()
        rows = [(answers.row(s, 0), answers.row(t, 1)) for s, t in pairs]
        index = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return answers.probabilities(answers.log_odds[*index])

    def rank(self, id: str, topn: int = 20, known: bool = True) -> Candidates:
        """Which drugs for this disease, or which diseases for this drug? Every node of the other type is ranked.

        Args:
            id: of a source or a target of the relation.
            topn: how many answers.
            known: list those that are linked already too, marked; else only new ones.

        Raises:
            NotFittedError, UnknownIdentifierError: not fitted; an id that is neither a source nor a target.
        """
        return self._fitted().rank(id, topn, known, self.relation)

    def evaluate(
        self,
        links: EdgeIndex | Literal["valid", "test"] = "test",
        baselines: Mapping[str, LinkScorer] | None = None,
        topn: int = 10,
        n_bootstrap: int = 1000,
    ) -> Report:
        """How well are the split's held-out links found, beside the baselines? See `evaluate_links`.

        Args:
            links: `split.test` or `split.valid`, or their names.
            baselines: scorers fitted on the same training links; by default metapath counts and nearest neighbours.
                The degree prior and chance always stand beside.
            topn: n of recall@n and of the frequent-flyer audit.
            n_bootstrap: samples for the intervals.

        Raises:
            NotFittedError: not fitted on a split.
            SchemaError: links that are not a held-out part of that split.
        """
        answers = self._fitted()
        if self._split is None:
            raise NotFittedError("Fitted on a whole graph: nothing was held out to evaluate on. Use fit(split).")
        split = self._split
        part = _part_of(links, split)
        if baselines is None:
            baselines = {"metapath counts": MetapathCounts(), "nearest neighbour": NearestNeighbour()}
        task = LinkTask(_without_relation(split.graph, self.relation), self.relation, self.seed)
        beside = {name: scored(scorer.prepare(task), task, split.train) for name, scorer in baselines.items()}
        return evaluate_links(
            answers.log_odds, split, part, beside, name=self.name, topn=topn, n_bootstrap=n_bootstrap, seed=self.seed
        )

    @property
    def name(self) -> str:
        """What it is called in reports: its encoders and scorers, the first two of many."""
        parts = [*map(_encoder_name, self._encoders()), *(scorer.name for scorer in self.scorers)]
        shown = parts if len(parts) <= 3 else [*parts[:2], f"{len(parts) - 2} more"]
        return self._name or " + ".join(shown)

    def log_odds(self, graph: KnowledgeGraph, source: str, target: str) -> float:
        """The pair's log-odds if `graph` were all that is known, a link between the two themselves left out.

        The two ids may come in either order, except for a relation between nodes of one type.

        Everything that is computed from the graph is computed anew, with the weights of the fit; given embeddings stay.

        Raises:
            NotFittedError: not fitted in this process (a loaded predictor has its answers, not its scorers).
            UnknownIdentifierError, SchemaError: an id that is not in the graph; two ids that `relation` cannot join.
        """
        if self._stack is None:
            raise NotFittedError("Only a predictor fitted in this process can score another graph.")
        relation = graph.schema.require(self.relation)
        ends = graph.locate(source), graph.locate(target)
        if ends[0].node_type != relation.source:  # asked from the target's side
            ends = ends[::-1]
        if (ends[0].node_type, ends[1].node_type) != (relation.source, relation.target):
            raise SchemaError(f"{source} and {target} are no {relation.source} and {relation.target}: {relation}.")
        pair = np.array([[ends[0].row], [ends[1].row]])
        links = distinct_pairs(graph.without({relation: pair}), relation)[0]
        task = LinkTask(_without_relation(graph, relation), relation, self.seed)
        scores = [scored(scorer.prepare(task), task, links) for scorer in self._fitted_scorers]
        return float(self._stack.combine(np.stack(scores))[*pair].item())

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the artefact: the score, probability and novelty of every pair, and a card. Raises NotFittedError."""
        parameters = {
            "relation": list(self.relation),
            "name": self.name,
            "scorers": [repr(scorer) for scorer in self.scorers],
            "folds": self.folds,
            "seed": self.seed,
            "notes": list(self.notes_),
            "valid_links": self._calibrated_on,
        }
        self._fitted().save(folder, parameters, self.reliability_)

    @classmethod
    def load(cls, folder: str | Path) -> LinkPredictor:
        """A predictor that answers from its saved scores. Raises ArtefactError, FormatVersionError."""
        answers, parameters, reliability_ = LinkAnswers.load(folder)
        relation = EdgeType(*parameters["relation"])
        predictor = cls(relation=relation, folds=parameters["folds"], seed=parameters["seed"])
        predictor._answers, predictor._name = answers, parameters["name"]
        predictor.notes_, predictor.reliability_ = tuple(parameters["notes"]), reliability_
        predictor._calibrated_on = parameters.get("valid_links", 0)
        return predictor


def _without_relation(graph: KnowledgeGraph, relation: EdgeType) -> KnowledgeGraph:
    """The graph less the relation, and less what says the same the other way round (`inverse_types`)."""
    return graph.without(dict.fromkeys((relation, *inverse_types(graph, relation))))


def _encoder_name(encoder: Embedding | Encoder) -> str:
    if isinstance(encoder, Embedding):
        return str(encoder.metadata.get("encoder") or "given vectors")
    return type(encoder).__name__


def _learned_from(embedding: Embedding) -> str | None:
    """The fingerprint of the graph that the vectors were learned from, if it is recorded."""
    fingerprint: str | None = embedding.metadata.get("graph", {}).get("fingerprint")
    return fingerprint


def _check_origin(
    embeddings: Sequence[Embedding], graph: KnowledgeGraph, rest: KnowledgeGraph
) -> tuple[bool, tuple[str, ...]]:
    """Has any embedding seen the training links? Raises SchemaError if it may have seen the held-out ones."""
    saw_links, notes = False, []
    for embedding in embeddings:
        name, learned_from = _encoder_name(embedding), _learned_from(embedding)
        if learned_from is None:
            saw_links = True
            notes.append(f"{name}: it is not recorded which graph the vectors were learned from.")
        elif learned_from == graph.fingerprint:
            saw_links = True
            notes.append(
                f"{name}: the vectors have seen the training links: these are not scored as if new; "
                "weights were fitted on valid ones."
            )
        elif learned_from != rest.fingerprint:
            raise SchemaError(
                f"The {name} vectors were learned from another graph ({learned_from[:12]}), which may hold the links "
                "to predict. Fit the encoder on split.graph, or pass it unfitted."
            )
    return saw_links, tuple(notes)


def _part_of(links: EdgeIndex | str, split: EdgeSplit) -> Literal["valid", "test"]:
    names: tuple[Literal["valid"], Literal["test"]] = ("valid", "test")
    for name in names:
        if links == name if isinstance(links, str) else np.array_equal(links, split.part(name)):
            return name
    raise SchemaError("Expected split.valid, split.test or their names; evaluate_links() judges other scores.")
