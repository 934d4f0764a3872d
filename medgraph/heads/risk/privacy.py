"""Differential privacy by subject: how much noise it takes, and what a training has spent (Abadi et al. 2016)."""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64
from scipy.special import log_ndtr, ndtr, ndtri

from medgraph.data.code_vocabulary import CodeVocabulary
from medgraph.errors import MedgraphError, SchemaError

__all__ = ["Accountant", "DifferentialPrivacy", "Spent", "choose_codes", "epsilon_of", "gaussian_noise", "noise_for"]

Accountant = Literal["rdp", "prv"]
_NOISE = (1e-2, 1e5)  # multipliers that are looked through


@dataclass(frozen=True, kw_only=True)
class DifferentialPrivacy:
    """Train so that whether one subject is among them changes the odds of any result by e^ε at most, but for δ.

    Give it to a head as `privacy`. The unit is a subject with all samples of theirs. In each step every training
    subject is drawn by itself with probability batch_size / subjects; the gradient of the mean loss of its samples is
    clipped to `max_grad_norm`; Gaussian noise is added to their sum (DP-SGD: Abadi et al. 2016,
    doi:10.1145/2976749.2978318). The codes are given, or chosen from noisy counts of subjects (Korolova et al. 2009,
    doi:10.1145/1526709.1526733).

    Nothing else is taken from the data: tuning is not read, so that training neither stops early nor is calibrated; no
    class weights; numbers beside codes do not count; bins of time are equal parts of the task's horizon; neither counts
    of samples, training losses nor the cohort's fingerprint are kept. What is taken as public: the task,
    hyper-parameters, a given `embedding`, `roll_up`, `vocabulary`, and how many training subjects there are. Trying
    several settings spends each time, and so does judging by the training subjects: that is not added up here.
    The noise comes from NumPy's generator, started by the system's, not from a cryptographic one, in floating point
    (Mironov 2012): good against reading the weights, no proof against who attacks the generator.

    Args:
        epsilon: ε of everything that `fit` does.
        delta: δ; below 1 / subjects.
        max_grad_norm: of a subject's gradient.
        vocabulary: codes known from elsewhere, not from these subjects; None chooses codes.
        vocabulary_share: of ε and δ, for choosing them.
        codes_per_subject: how many codes of a subject count in the choice, drawn at random.
        accountant: Opacus' "rdp" (Mironov 2017), or "prv" (Gopi et al. 2021), tighter and slower.
        noise_seed: for tests only: who knows it can take the noise off again. None draws it from the system.

    Raises:
        SchemaError: a number out of range.
    """

    epsilon: float
    delta: float
    max_grad_norm: float = 1.0
    vocabulary: CodeVocabulary | None = field(default=None, repr=False)
    vocabulary_share: float = 0.2
    codes_per_subject: int = 20
    accountant: Accountant = "rdp"
    noise_seed: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf or not 0 < self.delta < 1:
            raise SchemaError(
                f"DifferentialPrivacy: epsilon={self.epsilon}, delta={self.delta}; expected epsilon above 0 and delta "
                "between 0 and 1."
            )
        if not 0 < self.max_grad_norm < math.inf or not 0 < self.vocabulary_share < 1 or self.codes_per_subject < 1:
            raise SchemaError(
                "DifferentialPrivacy: expected max_grad_norm above 0, vocabulary_share between 0 and 1, "
                f"codes_per_subject of at least 1; got {self.max_grad_norm}, {self.vocabulary_share}, "
                f"{self.codes_per_subject}."
            )
        if self.accountant not in {"rdp", "prv"}:
            raise SchemaError(f"DifferentialPrivacy: accountant {self.accountant!r}; expected 'rdp' or 'prv'.")

    @property
    def for_codes(self) -> tuple[float, float]:
        """ε and δ of choosing the codes."""
        share = 0.0 if self.vocabulary is not None else self.vocabulary_share
        return share * self.epsilon, share * self.delta

    @property
    def for_training(self) -> tuple[float, float]:
        """ε and δ of DP-SGD; both add up (basic composition)."""
        epsilon, delta = self.for_codes
        return self.epsilon - epsilon, self.delta - delta

    @cached_property
    def secret(self) -> int:
        """What the draws and the noise start from."""
        return secrets.randbits(128) if self.noise_seed is None else self.noise_seed


@dataclass(frozen=True)
class Spent:
    """What a private training may tell of a subject, and how it was reckoned.

    Args:
        epsilon: of everything, as reckoned by the accountant from the steps that were taken.
        delta: of everything.
        codes_epsilon: the part of choosing the codes; 0 where they were given.
        codes_delta: the same of δ.
        noise_multiplier: standard deviation of the noise / `max_grad_norm`.
        max_grad_norm: of a subject's gradient.
        sample_rate: with which a subject is drawn in a step.
        steps: taken.
        accountant: who reckoned.
        unit: what is protected.
    """

    epsilon: float
    delta: float
    codes_epsilon: float
    codes_delta: float
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    accountant: Accountant
    unit: str = "subject"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Spent:
        """The reverse of `to_dict`."""
        return cls(**plain)

    def __str__(self) -> str:
        return (
            f"(ε = {self.epsilon:.3g}, δ = {self.delta:.3g}) for each {self.unit}: {self.steps:,} steps of DP-SGD with "
            f"noise multiplier {self.noise_multiplier:.4g}, gradients clipped to {self.max_grad_norm:g}, sample rate "
            f"{self.sample_rate:.4g}, by the {self.accountant.upper()} accountant; of it ε = {self.codes_epsilon:.3g} "
            "for choosing the codes"
        )


def epsilon_of(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, accountant: Accountant = "rdp"
) -> float:
    """ε of so many steps of the Poisson-sampled Gaussian mechanism, of adding or removing one subject.

    Raises:
        MedgraphError: Opacus is not there.
    """
    try:
        from opacus.accountants import PRVAccountant, RDPAccountant
    except ImportError:
        raise MedgraphError("Privacy is reckoned by Opacus: pip install 'medgraph[privacy]'.") from None
    found = RDPAccountant() if accountant == "rdp" else PRVAccountant()
    found.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings(), np.errstate(divide="ignore"):  # log(0) where everyone is drawn
        warnings.simplefilter("ignore", UserWarning)  # "optimal order is the largest": the bound is valid, but wide
        return float(found.get_epsilon(delta=delta))


def noise_for(epsilon: float, delta: float, sample_rate: float, steps: int, accountant: Accountant = "rdp") -> float:
    """The least noise multiplier (within 0.1 %) that spends `epsilon` at most.

    Raises:
        SchemaError: no noise is enough.
        MedgraphError: Opacus is not there.
    """
    low, high = _NOISE
    if epsilon_of(high, sample_rate, steps, delta, accountant) > epsilon:
        raise SchemaError(f"No noise makes {steps:,} steps spend epsilon={epsilon:g} at delta={delta:g} at most.")
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        if epsilon_of(middle, sample_rate, steps, delta, accountant) > epsilon:
            low = middle
        else:
            high = middle
    return high


def gaussian_noise(epsilon: float, delta: float) -> float:
    """σ / sensitivity of the Gaussian mechanism, exactly: Balle & Wang (2018, arXiv:1805.06530), theorem 8."""

    def exact(sigma: float) -> float:
        middle, shift = 1 / (2 * sigma), epsilon * sigma
        return float(ndtr(middle - shift) - math.exp(epsilon + log_ndtr(-middle - shift)))

    low, high = _NOISE
    while high / low > 1.0001:
        sigma = math.sqrt(low * high)
        low, high = (low, sigma) if exact(sigma) <= delta else (sigma, high)
    return high


def choose_codes(
    subject: Int64[np.ndarray, " n"],
    code: Int64[np.ndarray, " n"],
    codes: int,
    epsilon: float,
    delta: float,
    per_subject: int,
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Which codes do enough subjects have, and about how many? Noisy counts above a threshold (Korolova 2009).

    A subject adds 1 to k = `per_subject` codes at most, and so moves all counts by √k; half of δ pays for Gaussian
    noise. A code that one subject alone has passes the threshold with probability δ / 2k: the other half.

    Args:
        subject: of each pair, in any numbers.
        code: of each pair, from 0.
        codes: how many there are.
        epsilon: to spend.
        delta: to spend.
        per_subject: k, distinct codes of a subject that count, drawn at random.
        rng: of draws and noise.
    """
    pairs = np.unique(np.stack([subject, code]), axis=1)
    pairs = pairs[:, rng.permutation(pairs.shape[1])]
    pairs = pairs[:, np.argsort(pairs[0], kind="stable")]
    opens = np.flatnonzero(np.diff(pairs[0], prepend=pairs[0, :1] - 1))
    place = np.arange(pairs.shape[1]) - np.repeat(opens, np.diff(opens, append=pairs.shape[1]))
    counts = np.bincount(pairs[1, place < per_subject], minlength=codes)
    there = np.flatnonzero(counts)  # a code that nobody has cannot pass
    deviation = math.sqrt(per_subject) * gaussian_noise(epsilon, delta / 2)
    noisy = counts[there] + rng.normal(0.0, deviation, there.size)
    kept = noisy > 1 - deviation * ndtri(delta / (2 * per_subject))
    return there[kept], np.maximum(np.round(noisy[kept]), 1).astype(np.int64)
