"""Can one tell who was trained on? The loss-threshold attack (Yeom et al. 2018, doi:10.1109/CSF.2018.00027)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from medgraph.errors import SchemaError
from medgraph.evaluation.resampled import auroc_of, estimate
from medgraph.evaluation.resampling import Interval, Statistic

__all__ = ["MembershipReport", "membership_inference"]

_FEW_ALARMS = 0.01  # false alarms at which Carlini et al. (2022) look


@dataclass(frozen=True)
class MembershipReport:
    """How well losses tell members from others; 95 % intervals by subject. It is about the attack, not about a person.

    Args:
        auroc: P(a member's loss is below another's); .5 tells nothing.
        advantage: found members - falsely accused others, where a loss below the members' mean accuses (Yeom 2018).
        found: share of members found where 1 % of the others are accused (Carlini et al. 2022); .01 tells nothing.
        members: subjects trained on.
        others: subjects not trained on.
    """

    auroc: Interval
    advantage: Interval
    found: float
    members: int
    others: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "auroc": self.auroc._asdict(), "advantage": self.advantage._asdict()}

    def __str__(self) -> str:
        return (
            f"membership inference by loss: AUROC {self.auroc}, advantage {self.advantage}, {self.found:.1%} of "
            f"members found at {_FEW_ALARMS:.0%} false alarms ({self.members:,} subjects trained on, {self.others:,} "
            "others)"
        )

    __repr__ = __str__


def membership_inference(
    member_losses: Float[np.ndarray, " n"],
    other_losses: Float[np.ndarray, " m"],
    member_subjects: Int64[np.ndarray, " n"] | None = None,
    other_subjects: Int64[np.ndarray, " m"] | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> MembershipReport:
    """Is the loss lower on what was trained on? A subject's loss is the mean of its samples'.

    Members and others should be drawn from the same population, as the parts of a random split are: else the attack
    tells the populations apart. An AUROC of .5 says that this attack fails, not that every attack does.

    Args:
        member_losses: of samples that were trained on.
        other_losses: of samples that were not.
        member_subjects: whose each is; None where each sample is a subject.
        other_subjects: the same for the others.
        n_bootstrap: samples of subjects that the intervals rest on.
        seed: of these.

    Raises:
        SchemaError: no sample of a side, a loss that is not finite, a subject on both sides.
    """
    if not member_losses.size or not other_losses.size:
        raise SchemaError(f"{member_losses.size} losses of members and {other_losses.size} of others; both are needed.")
    if not np.isfinite(member_losses).all() or not np.isfinite(other_losses).all():
        raise SchemaError("Losses must be finite numbers.")
    if member_subjects is not None and other_subjects is not None:
        both = np.intersect1d(member_subjects, other_subjects).size
        if both:
            raise SchemaError(f"{both:,} subjects stand among members and among others.")
    members, others = _means(member_losses, member_subjects), _means(other_losses, other_subjects)
    losses = np.concatenate([members, others])
    member = np.arange(losses.size) < members.size
    accused = losses <= members.mean()

    def interval(statistic: Statistic) -> Interval:
        return estimate(statistic, losses.size, n_bootstrap, seed, None)

    threshold = np.quantile(others, _FEW_ALARMS, method="lower")
    return MembershipReport(
        interval(auroc_of(member, -losses)), interval(_advantage(member, accused)),
        float((members < threshold).mean()), members.size, others.size,
    )  # fmt: skip


def _means(losses: Float[np.ndarray, " n"], subjects: Int64[np.ndarray, " n"] | None) -> Float[np.ndarray, " s"]:
    if subjects is None:
        return losses.astype(np.float64)
    place = np.unique(subjects, return_inverse=True)[1]
    return np.asarray(np.bincount(place, losses) / np.bincount(place))


def _advantage(member: Bool[np.ndarray, " n"], accused: Bool[np.ndarray, " n"]) -> Statistic:
    """(b, n) weights -> P(accused | member) - P(accused | other)."""

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = [weights @ (accused & side) / (weights @ side.astype(np.float64)) for side in (member, ~member)]
        return np.asarray((rates[0] - rates[1])[:, None])

    return statistic
