"""Deepr (Nguyen et al. 2017, arXiv:1607.07519): a history is a sentence, and a convolution looks for its phrases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medgraph.errors import SchemaError
from medgraph.heads.risk.code_vectors import CodeVectors
from medgraph.heads.risk.person import Person
from medgraph.heads.risk.tensors import Batch
from medgraph.heads.risk.visit_head import VisitHead

__all__ = ["Convolution", "Deepr", "gap_words", "sentence_places"]

_MONTH = 30.4375  # days
_ENDS = (1.0, 1 * _MONTH, 3 * _MONTH, 6 * _MONTH, 12 * _MONTH)  # transfer | to 1 | to 3 | to 6 | to 12 | more months
_GAPS = len(_ENDS) + 1


def gap_words(batch: Batch) -> Int[Tensor, " v"]:
    """The word after each visit: 0 transfer (within a day), then up to 1, 3, 6, 12 months, and more.

    It tells the time to the next visit, and after the last one to the prediction.
    """
    days = batch.visit_days.clone()
    follows = torch.nonzero(batch.visit_place > 0)[:, 0]
    days[follows - 1] = batch.visit_gaps[follows]
    return torch.bucketize(days, days.new_tensor(_ENDS), right=True)


def sentence_places(batch: Batch) -> tuple[Int[Tensor, " t"], Int[Tensor, " v"], Int[Tensor, " n"]]:
    """Where do each event and the gap word after each visit stand in their sample's sentence, and how long is that?"""
    events = torch.bincount(batch.code_visit, minlength=len(batch.visit_sample))
    per_sample = torch.zeros_like(batch.visits).index_add(0, batch.visit_sample, events)
    before = torch.cumsum(per_sample, 0) - per_sample  # events of the samples before
    number = torch.arange(len(batch.codes), device=batch.codes.device)
    sample = batch.visit_sample[batch.code_visit]
    event_places = number - before[sample] + batch.visit_place[batch.code_visit]
    gap_places = torch.cumsum(events, 0) - before[batch.visit_sample] + batch.visit_place
    return event_places, gap_places, per_sample + batch.visits


class Convolution(nn.Module):
    """Words, one convolution with ReLU, the largest answer of each filter, one linear layer."""

    def __init__(
        self,
        codes: CodeVectors,
        person: Person,
        outputs: int,
        filters: int,
        window: int,
        max_words: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.codes, self.person, self.max_words = codes, person, max_words
        self.gaps = nn.Parameter(torch.randn(_GAPS, codes.size) * 0.1)
        self.filters = nn.Conv1d(codes.size, filters, window, padding=window // 2)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(filters + person.size, outputs)

    def sentences(self, batch: Batch, events: Float[Tensor, "t d"]) -> Float[Tensor, "n l d"]:
        """Codes and gap words in order, the latest `max_words`; zeros after the end."""
        event_places, gap_places, length = sentence_places(batch)
        words = torch.cat([events, self.gaps[gap_words(batch)]])
        sample = torch.cat([batch.visit_sample[batch.code_visit], batch.visit_sample])
        place = torch.cat([event_places, gap_places]) - (length - self.max_words).clamp(min=0)[sample]
        kept = place >= 0
        longest = int(length.clamp(max=self.max_words).max()) if len(length) else 0
        rectangle = words.new_zeros((len(batch), max(longest, 1), words.shape[1]))
        return rectangle.index_put((sample[kept], place[kept]), words[kept])

    def forward(self, batch: Batch, vectors: Float[Tensor, "t d"] | None = None) -> Float[Tensor, "n k"]:
        """Logits."""
        words = self.sentences(batch, self.codes(batch.codes) if vectors is None else vectors)
        length = sentence_places(batch)[2].clamp(max=self.max_words)
        inside = torch.arange(words.shape[1], device=words.device)[None, :] < length[:, None]
        answers = torch.relu(self.filters(self.dropout(words).transpose(1, 2)))
        largest = (answers * inside[:, None, :]).amax(dim=2)  # after ReLU a zero never is the largest but one
        logits: Tensor = self.output(torch.cat([self.dropout(largest), self.person(batch)], dim=1))
        return logits


@dataclass(eq=False, kw_only=True)
class Deepr(VisitHead):
    """Codes and time gaps as a sentence, a convolution over it, max-pooling: Deepr (Nguyen et al. 2017).

    Between visits stands a word for the time that passes: transfer (within a day), up to 1, 3, 6, 12 months, more.
    Where we differ: codes keep their order within a visit, which the paper draws at random; a last gap word tells the
    time to the prediction; unknown codes are left out where the paper writes RAREWORD; age and static codes join
    before the last layer.

    Args:
        filters: phrases looked for.
        window: words in a phrase, odd.
        max_words: of a sentence, the latest.

    The other arguments are those of `VisitHead`.
    """

    filters: int = 64
    window: int = 5
    max_words: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters < 1 or self.max_words < 1 or self.window < 1 or self.window % 2 == 0:
            raise SchemaError(
                f"Deepr: filters={self.filters}, window={self.window}, max_words={self.max_words}; expected at least 1 "
                "of each, and an odd window."
            )

    def _network(self, codes: CodeVectors, person: Person, outputs: int) -> nn.Module:
        return Convolution(codes, person, outputs, self.filters, self.window, self.max_words, self.dropout)
