"""Which pairs are asked for: SMILES and sequences, ids known from training or from a graph, or measured pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from medgraph.data.affinities import Affinities
from medgraph.data.molecules import Standardiser
from medgraph.data.proteins import check_sequence
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest
from medgraph.heads.interaction.features import Entities

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph

__all__ = ["Asked", "asked", "asked_of", "known_ids", "standard_sequences", "standard_smiles"]


@dataclass(frozen=True, eq=False)
class Asked:
    """Pairs to predict: rows of two lists of entities.

    Args:
        drugs: each once.
        targets: each once.
        drug: (n,) row of drugs.
        target: (n,) row of targets.
    """

    drugs: Entities
    targets: Entities
    drug: Int64[np.ndarray, " n"]
    target: Int64[np.ndarray, " n"]


def asked_of(pairs: Affinities) -> Asked:
    """Measured pairs; only entities that occur are kept."""
    sides = []
    for table, text, rows in ((pairs.drugs, "smiles", pairs.drug), (pairs.targets, "sequence", pairs.target)):
        used, place = np.unique(rows, return_inverse=True)
        sides.append((Entities.of_table(table.take(pa.array(used)), text), place.astype(np.int64)))
    return Asked(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def asked(
    smiles: str | Sequence[str] | None,
    sequences: str | Sequence[str] | None,
    drugs: str | Sequence[str] | None,
    targets: str | Sequence[str] | None,
    graph: KnowledgeGraph | None,
    known: tuple[pa.Table, pa.Table],
) -> Asked:
    """Row-wise pairs; a single drug or target stands for as many as the other side has.

    Raises:
        SchemaError: not just one way of naming each side, lists of different lengths, a SMILES or sequence that cannot
            be read (its row is named).
        UnknownIdentifierError: an id that neither training nor the graph knows.
    """
    first = _side("drug", "smiles", smiles, drugs, graph, known[0])
    second = _side("target", "sequence", sequences, targets, graph, known[1])
    n, m = len(first), len(second)
    if n != m and 1 not in (n, m):
        raise SchemaError(
            f"{n} drugs and {m} targets: pairs are row-wise; give equally many, or a single one of either."
        )
    size = max(n, m) if min(n, m) else 0
    sides = []
    for side in (first, second):
        pairs = list(zip(side.ids, side.texts, strict=True))
        number = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        rows = np.array([number[pair] for pair in pairs], dtype=np.int64)
        ids, texts = zip(*number, strict=True) if number else ((), ())
        sides.append((Entities(ids, texts), np.broadcast_to(rows, (size,)).copy() if len(rows) == 1 else rows[:size]))
    return Asked(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def _side(
    word: str,
    text: str,
    texts: str | Sequence[str] | None,
    ids: str | Sequence[str] | None,
    graph: KnowledgeGraph | None,
    known: pa.Table,
) -> Entities:
    if (texts is None) == (ids is None):
        given = "smiles= or drugs=" if word == "drug" else "sequences= or targets="
        raise SchemaError(f"Name each {word} in one way: {given}, or give measured pairs.")
    if texts is not None:
        texts = [texts] if isinstance(texts, str) else list(texts)
        found = standard_smiles(texts) if text == "smiles" else standard_sequences(texts)
        return Entities(known_ids(found, known, text), found)
    assert ids is not None
    ids = (ids,) if isinstance(ids, str) else tuple(ids)
    table = dict(zip(known["id"].to_pylist(), known[text].to_pylist(), strict=True))
    return Entities(ids, tuple(table[i] if i in table else _from_graph(i, word, text, graph, table) for i in ids))


def _from_graph(id_: str, word: str, text: str, graph: KnowledgeGraph | None, table: dict[str, str]) -> str:
    """The SMILES or sequence that stands in the graph."""
    if graph is None:
        raise UnknownIdentifierError(
            f"{id_!r} is no {word} of the {len(table):,} that the head knows; pass graph= to look it up there, or its "
            f"{text}.{nearest(id_, table)}"
        )
    node_type, row = graph.locate(id_)
    nodes = graph.nodes[node_type]
    if text not in nodes.column_names or not (found := nodes[text][row].as_py()):
        raise UnknownIdentifierError(f"{id_!r} is a {node_type} of the graph, which has no {text} for it: pass it.")
    return standard_smiles([found])[0] if text == "smiles" else standard_sequences([found])[0]


def standard_smiles(smiles: Sequence[str]) -> tuple[str, ...]:
    """Each in the form that training had. Raises SchemaError, naming the first row that cannot be read."""
    found = Standardiser().table(smiles)
    for row, (canonical, problem) in enumerate(zip(found.canonical, found.problem, strict=True)):
        if canonical is None:
            raise SchemaError(f"smiles[{row}], {smiles[row][:80]!r}: {problem}")
    return tuple(str(text) for text in found.canonical)


def standard_sequences(sequences: Sequence[str]) -> tuple[str, ...]:
    """Each in upper case, checked. Raises SchemaError, naming the first row that cannot be read."""
    found: dict[str, str] = {}
    for row, text in enumerate(sequences):
        if text not in found:
            try:
                found[text] = check_sequence(text)
            except SchemaError as fault:
                raise SchemaError(f"sequences[{row}]: {fault}") from None
    return tuple(found[text] for text in sequences)


def known_ids(texts: Sequence[str], known: pa.Table, text: str) -> tuple[str, ...]:
    """The training id of each text; "" where there is none, or several (mutants with the wild type's sequence)."""
    ids: dict[str, str] = {}
    for id_, known_text in zip(known["id"].to_pylist(), known[text].to_pylist(), strict=True):
        ids[known_text] = "" if known_text in ids else id_
    return tuple(ids.get(t, "") for t in texts)
