"""Rows of drug combinations brought to one form: structures merged, order forgotten, repeats counted and resolved."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from medgraph.data.molecules import Standardiser
from medgraph.errors import SchemaError

__all__ = ["TableOfSynergies", "read_table", "standard_structures"]

_RULES = ("mean", "median", "first", "refuse")


@dataclass(frozen=True, eq=False)
class TableOfSynergies:
    """What `read_table` found; see `Synergies` for the fields."""

    drugs: pa.Table
    cells: list[str]
    first: Int64[np.ndarray, " n"]
    second: Int64[np.ndarray, " n"]
    cell: Int64[np.ndarray, " n"]
    value: Float64[np.ndarray, " n"]
    fold: Int64[np.ndarray, " n"] | None
    skipped: Mapping[str, int]
    notes: tuple[str, ...]


def read_table(
    columns: Mapping[str, Sequence[Any]], standardiser: Standardiser, duplicates: str, self_pairs: str
) -> TableOfSynergies:
    """See `Synergies.of`."""
    if duplicates not in _RULES or self_pairs not in {"drop", "keep"}:
        raise SchemaError(
            f"duplicates={duplicates!r}, self_pairs={self_pairs!r}; expected one of {', '.join(_RULES)}, and 'drop' or "
            "'keep'."
        )
    skipped: Counter[str] = Counter()
    notes: list[str] = []
    given = _structures(columns)
    found = standard_structures(list(given.values()), standardiser)
    canonical = {name: smiles for name, (smiles, _) in zip(given, found, strict=True)}
    bad = [(name, why) for name, (_, why) in zip(given, found, strict=True) if why]
    if bad:
        shown = "; ".join(f"{name}: {why}" for name, why in bad[:3])
        notes.append(f"{len(bad):,} drugs have no readable structure ({shown}{' ...' if len(bad) > 3 else ''})")

    one, two = list(columns["Drug1_ID"]), list(columns["Drug2_ID"])
    cell_names = [None if name is None or name != name else str(name) for name in columns["Cell_Line_ID"]]  # noqa: PLR0124
    value = np.array([_number(given) for given in columns["Y"]], dtype=np.float64)
    structures = [(canonical.get(a), canonical.get(b)) for a, b in zip(one, two, strict=True)]
    faults = {
        "rows whose score is no number": ~np.isfinite(value),
        "rows without a cell line": np.array([not name for name in cell_names], dtype=bool),
        "rows with a drug that has no readable structure": np.array([a is None or b is None for a, b in structures]),
    }
    if self_pairs == "drop":
        faults["rows of a drug with itself"] = np.array([a is not None and a == b for a, b in structures])
    kept = np.ones(value.size, dtype=bool)
    for reason, wrong in faults.items():
        skipped[reason] = int((wrong & kept).sum())
        kept &= ~wrong.astype(bool)
    rows = np.flatnonzero(kept)
    if not rows.size:
        raise SchemaError(f"None of {value.size:,} rows can be used: {dict(+skipped)}.")

    uses = Counter(name for row in rows.tolist() for name in {one[row], two[row]})
    names: dict[str, list[str]] = {}
    for name in sorted(uses, key=lambda n: (-uses[n], n)):
        names.setdefault(str(canonical[name]), []).append(str(name))
    if merged := sum(len(same) - 1 for same in names.values()):
        notes.append(f"{merged:,} names have the structure of another and were merged with it")
    place = {smiles: number for number, smiles in enumerate(names)}
    drugs = pa.table({
        "id": pa.array([same[0] for same in names.values()], pa.string()),
        "smiles": pa.array(list(names), pa.string()),
        "names": pa.array(list(names.values()), pa.list_(pa.string())),
    })  # fmt: skip
    ends = np.array([[place[str(s)] for s in structures[row]] for row in rows.tolist()], dtype=np.int64)
    low, high = ends.min(axis=1), ends.max(axis=1)
    cells = sorted({str(cell_names[row]) for row in rows.tolist()})
    at = {name: number for number, name in enumerate(cells)}
    cell = np.array([at[str(cell_names[row])] for row in rows.tolist()], dtype=np.int64)
    fold = None
    if "fold" in columns:
        fold = np.array([columns["fold"][row] for row in rows.tolist()], dtype=np.int64)
    value = value[rows]
    group = np.unique((low * len(names) + high) * len(cells) + cell, return_inverse=True)[1]
    start, value, told, counts = _resolve(group, value, fold, duplicates, ends[:, 0] > ends[:, 1])
    skipped.update(counts)
    return TableOfSynergies(
        drugs, cells, low[start], high[start], cell[start], value, None if fold is None else fold[start],
        dict(+skipped), (*notes, *told),
    )  # fmt: skip


def standard_structures(smiles: Sequence[str], standardiser: Standardiser) -> list[tuple[str | None, str | None]]:
    """Structure and problem of each; what has no carbon (arsenic trioxide, cisplatin) is a drug too, and kept whole."""
    found = standardiser.table(smiles)
    return list(zip(found.canonical, found.problem, strict=True))


def _structures(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Drug id -> SMILES as given ("" where there is none). SchemaError for an id with two."""
    given: dict[str, str] = {}
    for number in "12":
        for name, smiles in zip(columns[f"Drug{number}_ID"], columns[f"Drug{number}"], strict=True):
            text = smiles if isinstance(smiles, str) else ""
            if name is None or name != name:  # noqa: PLR0124 (nan)
                raise SchemaError(f"Drug{number}_ID: a row has no id.")
            if given.setdefault(name, text) != text:
                raise SchemaError(f"Drug {name!r} has two structures: {given[name]} and {text}.")
    return given


def _number(given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError):
        return math.nan


def _resolve(
    group: Int64[np.ndarray, " n"],
    value: Float64[np.ndarray, " n"],
    fold: Int64[np.ndarray, " n"] | None,
    rule: str,
    swapped: Bool[np.ndarray, " n"],
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"], list[str], dict[str, int]]:
    """The first row of each group in file order, its value by the rule, what is to be told, what was merged."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(group[order]) != 0))
    sizes = np.diff(np.append(begins, group.size))
    start = order[begins]
    repeated = np.flatnonzero(sizes > 1)
    if not repeated.size:
        return np.sort(start), value[np.sort(start)], [], {}
    blocks = [order[begins[g] : begins[g] + sizes[g]] for g in repeated.tolist()]
    apart = [float(np.ptp(value[rows])) for rows in blocks]
    if rule == "refuse":
        raise SchemaError(
            f"{repeated.size:,} pairs and cell lines were measured more than once, up to {max(apart):.3g} apart. "
            "Choose duplicates='mean', 'median' or 'first'."
        )
    resolved = value.copy()
    if rule != "first":
        for rows in blocks:
            resolved[rows[0]] = np.mean(value[rows]) if rule == "mean" else np.median(value[rows])
    within = np.concatenate([value[rows] - value[rows].mean() for rows in blocks])
    noise = math.sqrt(float((within**2).sum()) / (within.size - len(blocks)))
    both = sum(len(set(swapped[rows].tolist())) == 2 for rows in blocks)
    told = [
        f"{repeated.size:,} pairs and cell lines were measured more than once ({both:,} in both orders), "
        f"{sum(d > 0 for d in apart):,} of them with different scores: half are more than {np.median(apart):.3g} "
        f"apart, the standard deviation of one measurement is {noise:.3g}; the {rule} was taken"
    ]
    counts = {"repeated measurements": int(sizes.sum() - sizes.size)}
    if fold is not None:
        torn = sum(len(set(fold[rows].tolist())) > 1 for rows in blocks)
        if torn:
            told.append(f"{torn:,} of them stood in two of the given folds; each stays in the first's")
    start = np.sort(start)
    return start, resolved[start], told, counts
