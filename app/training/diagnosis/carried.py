"""How much of what was learned of the training rows shows on validation rows, and how sure that is."""

import math

import numpy as np

from app.losses.numerics.stable import Array
from app.training.diagnosis.least import constant_losses
from app.training.diagnosis.measurements import Measurements
from app.training.learners import State, learner

TOO_FEW = 3
"""Rows that may agree by chance, so that not even their spread tells anything."""


def carried_over(seen: Measurements) -> tuple[float, float]:
    """Gain over the best constant on validation rows as a share of that on training rows, and its standard error."""
    run, model, kept = seen.run, learner(seen.run), dict(seen.last)
    assert run.validation is not None
    model.adopt(kept)
    learned = constant_losses(run.objective, seen.ends.sums, run.training)
    learned -= run.objective.losses(model.training_predictions(kept), run.training.labels)[0]
    carried = constant_losses(run.objective, seen.ends.sums, run.validation) - held_losses(seen, seen.last)
    scale = max(float(learned.mean()), 1e-300)
    return float(carried.mean()) / scale, standard_error(carried) / scale


def held_losses(seen: Measurements, state: State) -> Array:
    """(n,) the loss of each validation row after some epoch."""
    run, model, kept = seen.run, learner(seen.run), dict(state)
    assert run.validation is not None
    model.adopt(kept)
    return run.objective.losses(model.validation_predictions(kept), run.validation.labels)[0]


def standard_error(losses: Array) -> float:
    """Of their mean; infinite for one, of which nobody knows."""
    return float(np.std(losses, ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else math.inf
