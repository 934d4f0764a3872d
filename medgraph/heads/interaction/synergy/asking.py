"""Which combinations are asked for: drugs by name, by id of a graph or by SMILES; or measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from medgraph.data.molecules import Standardiser
from medgraph.data.synergies import Synergies
from medgraph.data.synergy_table import standard_structures
from medgraph.errors import SchemaError, UnknownIdentifierError, nearest

if TYPE_CHECKING:
    from medgraph.data.graph import KnowledgeGraph

__all__ = ["AskedSynergies", "asked_synergies", "measured_synergies"]


class AskedSynergies(NamedTuple):
    """Combinations, and how they were asked for.

    Args:
        data: their structures and cell lines; the values mean nothing where they were asked by name.
        first: as asked.
        second: as asked.
        cell: as asked; "" where none was.
        structures: SMILES of the first and of the second drugs, in the order in which they were asked.
    """

    data: Synergies
    first: tuple[str, ...]
    second: tuple[str, ...]
    cell: tuple[str, ...]
    structures: tuple[list[str], list[str]]


def measured_synergies(pairs: Synergies) -> AskedSynergies:
    """Measured combinations, under their ids."""
    ids, smiles, cells = pairs.drugs["id"].to_pylist(), pairs.smiles, pairs.cells["id"].to_pylist()
    ends = [rows.tolist() for rows in (pairs.first, pairs.second)]
    return AskedSynergies(
        pairs,
        tuple(ids[row] for row in ends[0]),
        tuple(ids[row] for row in ends[1]),
        tuple(cells[row] for row in pairs.cell.tolist()),
        ([smiles[row] for row in ends[0]], [smiles[row] for row in ends[1]]),
    )


def asked_synergies(
    first: str | Sequence[str] | None,
    second: str | Sequence[str] | None,
    cells: str | Sequence[str] | None,
    graph: KnowledgeGraph | None,
    names: Mapping[str, str],
) -> AskedSynergies:
    """Row-wise combinations; a single drug or cell line goes with all of the others. `names` are known structures.

    Raises:
        SchemaError: a side is missing, lists of different lengths, a drug that cannot be read (its row is named).
    """
    if first is None or second is None:
        raise SchemaError("Name both drugs, first= and second=, or give measured combinations.")
    given = [[one] if isinstance(one, str) else list(one) for one in (first, second)]
    given.append([""] if cells is None else [cells] if isinstance(cells, str) else list(cells))
    sizes = {len(side) for side in given} - {1}
    if len(sizes) > 1:
        found = ", ".join(f"{len(side)} {word}" for side, word in zip(given, ("first", "second", "cells"), strict=True))
        raise SchemaError(f"{found}: combinations are row-wise; give equally many, or a single one.")
    n = sizes.pop() if sizes else 1
    one, two, where = (tuple(side * n if len(side) == 1 else side) for side in given)
    known: dict[str, str] = {}
    for word, side in (("first", one), ("second", two)):
        for row, name in enumerate(side):
            if name not in known:
                known[name] = _structure(name, f"{word}[{row}]", names, graph)
    structures = [known[name] for name in one], [known[name] for name in two]
    smiles = sorted({*structures[0], *structures[1]})
    place = {text: row for row, text in enumerate(smiles)}
    rows = [np.array([place[text] for text in side], dtype=np.int64) for side in structures]
    lines = sorted(set(where))
    at = {text: row for row, text in enumerate(lines)}
    data = Synergies(
        pa.table({"id": pa.array(smiles, pa.string()), "smiles": pa.array(smiles, pa.string())}),
        pa.table({"id": pa.array(lines, pa.string())}),
        rows[0],
        rows[1],
        np.array([at[text] for text in where], dtype=np.int64),
        np.zeros(n),
    )
    return AskedSynergies(data, one, two, where, structures)


def _structure(name: str, place: str, names: Mapping[str, str], graph: KnowledgeGraph | None) -> str:
    """The structure that this name, id or SMILES stands for."""
    if name in names:
        return names[name]
    smiles: str | None = name
    if graph is not None:
        try:
            node_type, row = graph.locate(name)
        except UnknownIdentifierError:
            pass
        else:
            nodes = graph.nodes[node_type]
            smiles = nodes["smiles"][row].as_py() if "smiles" in nodes.column_names else None
            if not smiles:
                raise SchemaError(f"{place}: {name!r} is a {node_type} of the graph, which has no smiles for it.")
    structure, problem = standard_structures([str(smiles)], Standardiser())[0]
    if structure is None:
        raise SchemaError(
            f"{place}, {name[:80]!r}: neither a drug that the head knows nor a SMILES. {problem}{nearest(name, names)}"
        )
    return structure
