"""Who is it? Age bands and sex, as they stand in the samples."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from jaxtyping import Shaped

from medgraph.data.samples import Samples

__all__ = ["UNKNOWN", "age_bands", "sexes"]

UNKNOWN = "unknown"
_AGES = (0, 18, 40, 65, 80)
_SEX = re.compile(r"^(?:.*[^A-Z])?(?:SEX|GENDER)\b[^A-Z0-9]*(?P<value>.+)$", re.IGNORECASE)


def age_bands(samples: Samples) -> Shaped[np.ndarray, " n"]:
    """The band of each sample's age at its prediction time, such as "40-64"."""
    names = [f"{low}-{high - 1}" for low, high in pairwise(_AGES)] + [f"{_AGES[-1]}+", UNKNOWN]
    known = ~np.isnan(samples.age)
    place = np.searchsorted(_AGES, np.where(known, samples.age, 0), side="right") - 1
    return np.array(names)[np.where(known, np.maximum(place, 0), len(_AGES))]


def sexes(samples: Samples) -> Shaped[np.ndarray, " n"]:
    """What each sample's code without a time says of sex or gender: F of GENDER//F; "unknown" where none does."""
    codes = samples.vocabulary.codes
    found = {row: match["value"] for row, code in enumerate(codes) if (match := _SEX.match(code))}
    result = np.full(len(samples), UNKNOWN, dtype=object)
    sample = np.repeat(np.arange(len(samples)), np.diff(samples.static_offsets))
    for who, code in zip(sample.tolist(), samples.static_codes.tolist(), strict=True):
        if code in found:
            result[who] = found[code]
    return result.astype(str)
