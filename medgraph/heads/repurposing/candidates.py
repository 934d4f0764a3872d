"""A ranked list of answers, each with its score, probability, and how new it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

from rich.markup import escape
from rich.table import Table

from medgraph.data.schema import EdgeType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Candidate", "Candidates"]


@dataclass(frozen=True)
class Candidate:
    """One answer.

    Args:
        rank: 1 is the most likely.
        id: of the candidate.
        name: of the candidate.
        score: the model's; higher = more likely.
        probability: calibrated, that the pair is a link.
        known: the link stands in the graph already.
        novelty: 1 - the largest similarity to another node known to be linked to the one asked about: 0 is the twin of
            a known answer, 1 is like none of them (or none is known).
    """

    rank: int
    id: str
    name: str
    score: float
    probability: float
    known: bool
    novelty: float


@dataclass(frozen=True, repr=False)
class Candidates(Sequence[Candidate]):
    """The answers to one question, best first. Prints as a table."""

    question: str
    asked: str
    relation: EdgeType
    rows: tuple[Candidate, ...]

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, index: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"Candidates({self.question}: {len(self)} rows)"

    def __str__(self) -> str:
        head = f"{'rank':>4}  {'id':<18} {'name':<34} {'score':>8} {'probability':>11} {'known':>5} {'novelty':>7}"
        lines = [self.question, head]
        for row in self.rows:
            lines.append(
                f"{row.rank:>4}  {row.id:<18} {row.name[:34]:<34} {row.score:>8.3f} {row.probability:>11.4f} "
                f"{'yes' if row.known else '':>5} {row.novelty:>7.2f}"
            )
        return "\n".join(lines)

    def __rich__(self) -> Table:
        table = Table(title=escape(self.question), title_justify="left")
        for column in ("rank", "id", "name", "score", "probability", "known", "novelty"):
            table.add_column(
                column, justify="left" if column in {"id", "name"} else "right", no_wrap=column == "id",
                min_width=16 if column == "id" else None,
            )  # fmt: skip
        for row in self.rows:
            table.add_row(
                str(row.rank), escape(row.id), escape(row.name), f"{row.score:.3f}", f"{row.probability:.4f}",
                "yes" if row.known else "", f"{row.novelty:.2f}",
            )  # fmt: skip
        return table

    def to_pandas(self) -> pd.DataFrame:
        """One row per candidate."""
        import pandas as pd

        return pd.DataFrame(self.to_dict()["candidates"])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "question": self.question,
            "asked": self.asked,
            "relation": list(self.relation),
            "candidates": [asdict(row) for row in self.rows],
        }
