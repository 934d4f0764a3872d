"""What any risk head must beat, fitted on the same train: age and sex, code counts, last values, popularity, Cox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy import sparse

from medgraph.data.samples import Samples
from medgraph.heads.risk.cox import Cox, fit_cox
from medgraph.heads.risk.elastic_net import chosen_penalty
from medgraph.heads.risk.groups import age_bands, sexes
from medgraph.heads.risk.targets import Target
from medgraph.heads.risk.tensors import age_features
from medgraph.heads.risk.wide import window_counts

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

__all__ = [
    "AgeSex",
    "Baseline",
    "CountBoosting",
    "CountCox",
    "CountLogistic",
    "LastValues",
    "Popularity",
    "Predict",
    "WindowedLogistic",
    "default_baselines",
]

Predict: TypeAlias = Callable[[Samples], np.ndarray]  # probabilities in the shape that heads have
_Design: TypeAlias = Callable[[Samples], sparse.csr_array]
_STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)


@runtime_checkable
class Baseline(Protocol):
    """A plain model to stand beside a head."""

    @property
    def name(self) -> str:
        """As it is called in reports."""
        ...

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """Learn from train; tuning may choose a strength, nothing else."""
        ...


def default_baselines(target: Target, train: Samples) -> tuple[Baseline, ...]:
    """Those that suit the kind of task."""
    if target.kind == "survival":
        return CountCox(codes=0), CountCox()
    if target.kind == "multilabel":
        return Popularity(), CountLogistic()
    values = (LastValues(),) if bool((~np.isnan(train.values)).any()) else ()
    return (AgeSex(), *values, CountLogistic(), CountBoosting())


def _person(samples: Samples) -> sparse.csr_array:
    """Age features and codes without a time."""
    n = len(samples)
    sample = np.repeat(np.arange(n), np.diff(samples.static_offsets))
    ones = np.ones(samples.static_codes.size)
    static = sparse.csr_array((ones, (sample, samples.static_codes)), shape=(n, len(samples.vocabulary)))
    return sparse.csr_array(sparse.hstack([sparse.csr_array(age_features(samples.age).astype(np.float64)), static]))


def _counts(samples: Samples) -> sparse.csr_array:
    """Age features and log(1 + how often) of every code."""
    counts = samples.counts()
    counts.data = np.log1p(counts.data)
    ages = sparse.csr_array(age_features(samples.age).astype(np.float64))
    return sparse.csr_array(sparse.hstack([ages, counts]))


def _last_values(samples: Samples) -> sparse.csr_array:
    """Age, sex, the standardised last value of each code, and whether there is one."""
    vocabulary, n = samples.vocabulary, len(samples)
    rows = np.flatnonzero(~np.isnan(samples.values))[::-1]  # the latest first
    sample = np.repeat(np.arange(n), np.diff(samples.event_offsets))[rows]
    code = samples.codes[rows]
    _, last = np.unique(sample * len(vocabulary) + code, return_index=True)
    sample, code, value = sample[last], code[last], samples.values[rows][last]
    scaled = (value - vocabulary.mean[code]) / np.where(vocabulary.std > 0, vocabulary.std, 1)[code]
    parts = [
        sparse.csr_array((data, (sample, code)), shape=(n, len(vocabulary))) for data in (scaled, np.ones(code.size))
    ]
    return sparse.csr_array(sparse.hstack([_person(samples), *parts]))


def _logistic(design: _Design, train: Samples, tuning: Samples, target: Target) -> Predict:
    """Ridge logistic regression for each label on columns of deviation 1; tuning's log loss picks the strength."""
    from sklearn.linear_model import LogisticRegression

    X = design(train)
    mean = np.asarray(X.mean(axis=0)).ravel()
    square = np.asarray((X * X).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    varies = deviation > 1e-6 * np.sqrt(square)  # what a constant column has left is rounding, and must not be blown up
    scale = sparse.diags_array(1 / np.where(varies, deviation, 1))

    def scaled(samples: Samples) -> sparse.csr_array:
        return sparse.csr_array(design(samples) @ scale)

    fitting, looking = sparse.csr_array(X @ scale), scaled(tuning)
    truth, seen = (samples.label.reshape(len(samples), -1) == 1 for samples in (train, tuning))
    varied = [label for label in range(truth.shape[1]) if 0 < truth[:, label].sum() < len(truth)]
    commonest = sorted(varied, key=lambda label: -int(truth[:, label].sum()))[:5]

    def fit(label: int, strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=3000, tol=1e-3).fit(fitting, truth[:, label])

    def loss(strength: float) -> float:
        total = 0.0
        for label in commonest:
            p = np.clip(fit(label, strength).predict_proba(looking)[:, 1], 1e-9, 1 - 1e-9)
            total -= float(np.where(seen[:, label], np.log(p), np.log1p(-p)).mean())
        return total

    strength = min(_STRENGTHS, key=loss)
    models = {label: fit(label, strength) for label in varied}
    rate = truth.mean(axis=0)

    def predict(samples: Samples) -> np.ndarray:
        X = scaled(samples)
        result = np.tile(rate, (len(samples), 1))
        for label, model in models.items():
            result[:, label] = model.predict_proba(X)[:, 1]
        return result[:, 0] if target.kind == "binary" else result

    return predict


class _Logistic:
    """Logistic regression on what `_design` makes of the samples."""

    _design: ClassVar[staticmethod[[Samples], sparse.csr_array]]

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """See `Baseline`."""
        del seed
        return _logistic(self._design, train, tuning, target)


@dataclass(frozen=True)
class AgeSex(_Logistic):
    """Logistic regression on age and codes without a time."""

    _design = staticmethod(_person)
    name: str = "age and sex"


@dataclass(frozen=True)
class CountLogistic(_Logistic):
    """Logistic regression on age and the log counts of all codes."""

    _design = staticmethod(_counts)
    name: str = "logistic regression"


@dataclass(frozen=True)
class WindowedLogistic:
    """The wide part of visit heads alone: an elastic net on counts in three windows, without pairs; labels only."""

    name: str = "elastic net, windows"

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """See `Baseline`."""
        del seed
        model = chosen_penalty(*window_counts([train]), *window_counts([tuning]))

        def predict(samples: Samples) -> np.ndarray:
            found = model.probabilities(window_counts([samples])[0])
            return found[:, 0] if target.kind == "binary" else found

        return predict


@dataclass(frozen=True)
class LastValues(_Logistic):
    """Logistic regression on age, sex and the last value of every code: last value carried forward."""

    _design = staticmethod(_last_values)
    name: str = "last values"


@dataclass(frozen=True)
class CountBoosting:
    """Gradient boosting (scikit-learn's, by histograms) on age and the counts of the commonest codes.

    Args:
        codes: how many.
        rounds: at most; tuning's log loss picks how many.
        learning_rate: of each round.
    """

    codes: int = 300
    rounds: int = 200
    learning_rate: float = 0.05
    name: str = "gradient boosting"

    def _design(self, samples: Samples) -> Float[np.ndarray, "n p"]:
        counts = samples.counts()[:, : self.codes].toarray()  # a vocabulary has its commonest codes first
        return np.column_stack([np.nan_to_num(samples.age.astype(np.float64), nan=-1.0), counts])

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """See `Baseline`."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        del target
        X, y = self._design(train), train.label == 1

        def model(rounds: int) -> HistGradientBoostingClassifier:
            return HistGradientBoostingClassifier(
                learning_rate=self.learning_rate, max_iter=rounds, max_leaf_nodes=15, l2_regularization=1.0,
                early_stopping=False, random_state=seed,
            ).fit(X, y)  # fmt: skip

        seen = tuning.label == 1
        losses = []
        for staged in model(self.rounds).staged_predict_proba(self._design(tuning)):
            p = np.clip(staged[:, 1], 1e-9, 1 - 1e-9)
            losses.append(-np.where(seen, np.log(p), np.log1p(-p)).mean())
        fitted = model(int(np.argmin(losses)) + 1)
        return lambda samples: np.asarray(fitted.predict_proba(self._design(samples))[:, 1])


@dataclass(frozen=True)
class Popularity:
    """How often each label comes in the sample's age band and sex, drawn towards the overall share.

    Args:
        prior: how many samples the overall share counts for.
    """

    prior: float = 10.0
    name: str = "popularity by age and sex"

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """See `Baseline`."""
        del tuning, target, seed
        overall = train.label.mean(axis=0, dtype=np.float64)
        groups = _groups(train)
        shares = {
            group: (train.label[groups == group].sum(axis=0, dtype=np.float64) + self.prior * overall)
            / ((groups == group).sum() + self.prior)
            for group in np.unique(groups).tolist()
        }
        return lambda samples: np.array([shares.get(group, overall) for group in _groups(samples).tolist()])


def _groups(samples: Samples) -> np.ndarray:
    return np.char.add(np.char.add(age_bands(samples), " "), sexes(samples))


@dataclass(frozen=True)
class CountCox:
    """Cox regression with a ridge on age, sex and the log counts of the commonest codes, one for each event.

    The risks of competing events are put together from their hazards. Tuning's concordance picks the ridge.

    Args:
        codes: how many; 0 for age and sex alone.
    """

    codes: int = 50

    @property
    def name(self) -> str:
        """As it is called in reports."""
        return "Cox" if self.codes else "Cox, age and sex"

    def _design(self, samples: Samples, static: np.ndarray) -> Float[np.ndarray, "n p"]:
        age = np.nan_to_num(samples.age.astype(np.float64), nan=50.0) / 100
        counts = samples.counts().tocsc()
        person, codes = counts[:, static].toarray(), np.log1p(counts[:, : self.codes].toarray())
        return np.column_stack([age, age**2, np.isnan(samples.age), person, codes])

    def fit(self, train: Samples, tuning: Samples, target: Target, seed: int) -> Predict:
        """See `Baseline`."""
        from medgraph.evaluation.survival import concordance_of

        del seed
        static = np.unique(train.static_codes)
        X = self._design(train, static)
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        kept = deviation > 1e-6

        def scaled(samples: Samples) -> np.ndarray:
            return np.asarray((self._design(samples, static)[:, kept] - mean[kept]) / deviation[kept])

        fitting, looking = scaled(train), scaled(tuning)
        days, which = train.label[:, 0].astype(np.float64), train.label[:, 1]
        models: list[Cox | None] = []
        for number in range(1, len(target.names) + 1):
            if not (which == number).any():
                models.append(None)
                continue
            fits = [fit_cox(fitting, days, which == number, ridge) for ridge in (1.0, 10.0, 100.0)]
            seen = tuning.label[:, 1] == number
            if seen.any():
                ones = np.ones((1, len(tuning)))
                told = [
                    float(concordance_of(tuning.label[:, 0].astype(np.float64), seen, looking @ m.beta)(ones)[0, 0])
                    for m in fits
                ]
                models.append(fits[int(np.argmax(np.nan_to_num(told)))])
            else:
                models.append(fits[1])
        edges = np.array(getattr(target, "edges"))  # noqa: B009 (every target of survival has them)
        return lambda samples: _incidence(models, scaled(samples), edges)


def _incidence(models: list[Cox | None], X: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """P(event e by the end of bin b), (n, e, b), from the hazards of each."""
    flat = np.zeros((len(X), edges.size))
    hazards = np.stack([flat if m is None else m.cumulative_hazard(X, edges) for m in models], axis=1)
    steps = np.diff(hazards, axis=2, prepend=0.0)
    total = steps.sum(axis=1, keepdims=True)
    before = np.exp(-(np.cumsum(total, axis=2) - total))
    shares = steps / np.where(total > 0, total, 1)
    return np.asarray(np.cumsum(before * -np.expm1(-total) * shares, axis=2))
