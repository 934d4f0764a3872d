"""Plain models must be as good as they can be: a weak baseline flatters a head."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from medgraph.data.cohort import Cohort
from medgraph.data.tasks import AtDates, CodeWithin
from medgraph.heads.risk.baselines import CountLogistic
from medgraph.heads.risk.targets import LabelTarget

NOW = np.datetime64("2020-01-01", "us")
DAY = np.timedelta64(1, "D")


def test_columns_that_are_the_same_for_all_do_not_spoil_the_logistic_regression() -> None:
    """Nobody's age is known: that column is 1 throughout, its deviation mere rounding (524 x 1/524 is not 1)."""
    rng, who = np.random.default_rng(0), np.arange(1048)
    sign = rng.random(1048) < 0.5
    ill = rng.random(1048) < np.where(sign, 0.7, 0.1)
    kept = {"always": who, "sign": who[sign], "ill": who[ill], "seen": who}
    days = {"always": -10, "sign": -20, "ill": 30, "seen": 400}
    parts = [
        pa.table({"subject_id": ids, "time": np.full(ids.size, NOW + days[code] * DAY), "code": [code] * ids.size})
        for code, ids in kept.items()
    ]
    cohort = Cohort.of(pa.concat_tables(parts)).split((0.5, 0.2, 0.3), seed=0)
    task = CodeWithin(("ill",), 365, AtDates(("2020-01-01",)))
    timelines = cohort.train.timelines(task)
    train = timelines.all()
    tuning, held_out = (part.timelines(task, timelines.vocabulary).all() for part in (cohort.tuning, cohort.held_out))
    target = LabelTarget.of("binary", task.names, train.label, False)
    risk = CountLogistic().fit(train, tuning, target, 0)(held_out)
    has = held_out.counts()[:, [timelines.vocabulary.index("sign")]].toarray().ravel() > 0
    for group, planted in ((has, 0.7), (~has, 0.1)):
        assert abs(risk[group].mean() - planted) < 0.12
