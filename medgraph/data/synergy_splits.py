"""Train, valid and test of drug combinations, and what of the test training has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64

from medgraph.data.synergies import Synergies
from medgraph.errors import SchemaError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Seen", "SynergyLeaks", "SynergySplit", "split_synergies"]

_BY = ("pair", "drug", "cell", "given")


@dataclass(frozen=True)
class Seen:
    """What of a held-out part training has seen, in rows of that part.

    Args:
        rows: how many there are.
        pair: with a pair that training has, in any cell line.
        repeated: with a pair that training has in the same cell line: the answer itself. Always 0.
        both_drugs: with two drugs that training has.
        one_drug: with one.
        no_drug: with none.
        cell: with a cell line that training has.
        twins: with a drug that training lacks but whose fingerprint is that of a drug it has (a stereoisomer, say).
    """

    rows: int
    pair: int
    repeated: int
    both_drugs: int
    one_drug: int
    no_drug: int
    cell: int
    twins: int


@dataclass(frozen=True, repr=False)
class SynergyLeaks:
    """What could leak from train into the held-out parts.

    Args:
        by: what was held out.
        train: rows to learn from.
        parts: "valid" and "test" -> what training has seen of them.
    """

    by: str
    train: int
    parts: Mapping[str, Seen]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=f"Synergies by {self.by}: {self.train:,} rows to learn from")
        table.add_column("What training has seen, in rows")
        for part in self.parts:
            table.add_column(part, justify="right")
        names = {
            "rows": "all",
            "repeated": "the same pair in the same cell line",
            "pair": "the pair, in another cell line",
            "both_drugs": "both drugs",
            "one_drug": "one of the drugs",
            "no_drug": "neither drug",
            "cell": "the cell line",
            "twins": "not the drug, but one of the same fingerprint",
        }
        for name, words in names.items():
            table.add_row(words, *(f"{getattr(seen, name):,}" for seen in self.parts.values()))
        return table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, color_system=None, highlight=False, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    __repr__ = __str__


@dataclass(frozen=True)
class SynergySplit:
    """A split of `Synergies`: every row is in one part.

    by="pair": a held-out pair is in no cell line of train. by="drug": a test row has a drug that neither train nor
    valid has, a valid row one that train has not; the other drug may be known (`both_new` says where not). by="cell":
    whole cell lines. by="given": the source's folds, which hold out single rows: most of their pairs are in train.

    Args:
        train: to learn from.
        valid: to choose by.
        test: to report on.
        by: what was held out.
        seed: of the draw.
        report: what could leak.
    """

    train: Synergies
    valid: Synergies
    test: Synergies
    by: str
    seed: int
    report: SynergyLeaks

    @property
    def both_new(self) -> Bool[np.ndarray, " n"]:
        """Which rows of test have two drugs that train has not?"""
        known = np.zeros(self.train.drugs.num_rows, dtype=bool)
        known[self.train.first] = known[self.train.second] = True
        return np.asarray(~known[self.test.first] & ~known[self.test.second])


def split_synergies(
    data: Synergies, by: str, fractions: tuple[float, float, float], seed: int, fold: int
) -> SynergySplit:
    """See `Synergies.split`."""
    if by not in _BY:
        raise SchemaError(f"by={by!r}; expected one of {', '.join(_BY)}.")
    if by != "given" and (len(fractions) != 3 or min(fractions) < 0 or not np.isclose(sum(fractions), 1)):
        raise SchemaError(f"Expected three fractions that add up to 1, got {fractions}.")
    if by == "given":
        part = _given(data, fold)
    elif by == "drug":
        drawn = _draw(np.union1d(data.first, data.second), data.drugs.num_rows, fractions, seed)
        part = np.maximum(drawn[data.first], drawn[data.second])  # test drugs take their pairs from valid and train
    else:
        units = data.cell if by == "cell" else np.unique(data.pair, return_inverse=True)[1]
        part = _draw(np.unique(units), int(units.max(initial=0)) + 1, fractions, seed)[units]
    train, valid, test = (data.take(np.flatnonzero(part == number)) for number in range(3))
    for name, piece in (("train", train), ("valid", valid), ("test", test)):
        if not len(piece):
            raise SchemaError(f"The {name} part of {data!r} by {by} has no rows: draw with other fractions or seed.")
    report = SynergyLeaks(by, len(train), {"valid": _seen(train, valid), "test": _seen(train, test)})
    return SynergySplit(train, valid, test, by, seed, report)


def _draw(
    units: Int64[np.ndarray, " u"], size: int, fractions: tuple[float, float, float], seed: int
) -> Int64[np.ndarray, " _"]:
    """Unit -> 0 train, 1 valid, 2 test."""
    order = np.random.default_rng(seed).permutation(units)
    cuts = np.round(np.cumsum(fractions)[:2] * order.size).astype(int)
    part = np.zeros(size, dtype=np.int64)
    for number, chosen in enumerate(np.split(order, cuts)):
        part[chosen] = number
    return part


def _given(data: Synergies, fold: int) -> Int64[np.ndarray, " n"]:
    if data.fold is None:
        raise SchemaError("These synergies came without folds: split by pair, drug or cell.")
    folds = np.unique(data.fold)
    if fold not in folds or folds.size < 3:
        raise SchemaError(f"fold={fold}; there are {', '.join(map(str, folds))}, of which three are needed.")
    valid = folds[(np.searchsorted(folds, fold) + 1) % folds.size]
    return np.asarray(np.where(data.fold == fold, 2, np.where(data.fold == valid, 1, 0)), dtype=np.int64)


def _seen(train: Synergies, part: Synergies) -> Seen:
    known = np.zeros(train.drugs.num_rows, dtype=bool)
    known[train.first] = known[train.second] = True
    drugs = known[part.first].astype(np.int64) + known[part.second]
    cells = train.cells.num_rows
    twin = _twins(train, known)
    return Seen(
        len(part),
        int(np.isin(part.pair, train.pair).sum()),
        int(np.isin(part.pair * cells + part.cell, train.pair * cells + train.cell).sum()),
        int((drugs == 2).sum()),
        int((drugs == 1).sum()),
        int((drugs == 0).sum()),
        int(np.isin(part.cell, train.cell).sum()),
        int((twin[part.first] | twin[part.second]).sum()),
    )


def _twins(train: Synergies, known: Bool[np.ndarray, " d"]) -> Bool[np.ndarray, " d"]:
    """Which drugs that training lacks have the fingerprint (without stereo) of one that it has?"""
    from medgraph.data.molecules import morgan

    bits = morgan(train.smiles).tocsr()
    bits.sort_indices()
    prints = [bits.indices[bits.indptr[i] : bits.indptr[i + 1]].tobytes() for i in range(bits.shape[0])]
    there = {prints[i] for i in np.flatnonzero(known).tolist()}
    return np.array([not known[i] and prints[i] in there for i in range(len(prints))], dtype=bool)
