"""What a trained model is worth on rows that its run has never seen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.learned import under
from app.training.learners import State, learner
from app.training.metrics import score
from app.training.run import Chosen, Limits, Rows, Run, prepare, strata
from app.training.splits import Holdout, split
from app.training.tables import Table, taken


class Judged(NamedTuple):
    """Predictions for other rows, and what they are held against."""

    run: Run
    predictions: Array
    """(n, k)"""
    rows: Rows

    def score(self, chosen: Chosen | None, which: NDArray[np.intp] | None = None) -> float:
        """A metric, or the loss where there is None, of these of the rows; NaN where it is undefined."""
        rows, predictions = self.rows, self.predictions
        if which is not None:
            rows, predictions = rows.take(which), predictions[which]
        objective = self.run.objective
        if chosen is None:
            return objective.value(predictions, rows.labels)
        shaped = predictions.reshape(-1, *objective.outputs)
        return score(chosen.thing, chosen.all, shaped, objective.encoding, rows.targets, rows.sample_weight)


def judged(run: Run, kept: State, table: Table, limits: Limits) -> Judged:
    """The model of a state of this run, on the rows of a table; they are scaled as those are that it was trained on."""
    data = run.plan.data
    trained, _ = split(len(data.inputs), run.plan.validation, strata(run.plan), data.groups)
    other = prepare(replace(run.plan, data=taken(data, trained), validation=Holdout(None, table=table)), limits)
    assert other.validation is not None
    with np.errstate(all="ignore"):
        predictions = learner(run).looking(other.validation.inputs)(kept)
    return Judged(under(other, kept), predictions, other.validation)


def resampled(models: Sequence[Judged], chosen: Chosen | None, resamples: int, seed: int) -> Array:
    """(resamples, models): their scores on the same rows, drawn with replacement each time."""
    n, rng = models[0].rows.n, np.random.default_rng([seed, 6])
    draws = [rng.integers(n, size=n) for _ in range(resamples)]
    with np.errstate(all="ignore"):
        return np.array([[model.score(chosen, which) for model in models] for which in draws])
