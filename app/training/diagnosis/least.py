"""The least loss that there could be: of the best constant prediction, and of each row by itself."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.losses.loss import CONVEX
from app.losses.numerics.stable import Array
from app.training.activations import IDENTITY
from app.training.objective import Objective
from app.training.run import Rows, Run

TRIALS = 80
"""Steps of the search for the least loss; they double and halve, and so reach 10¹² or resolve 10⁻¹²."""


class Ends(NamedTuple):
    """The two ends of the scale on which losses are compared."""

    sums: Array
    """(1, k): those of the constant prediction that is best on the training rows."""
    constant: float
    """Its training loss."""
    least: Array
    """(n,) the least loss of each training row by itself."""
    floor: float
    """Their mean, as the loss has it."""


def ends_of(run: Run) -> Ends:
    objective, labels, n = run.objective, run.training.labels, run.training.n

    def constant(sums: Array) -> tuple[Array, Array]:
        predictions, back = output_of_sums(objective, np.repeat(sums, n, axis=0))
        slope = np.empty_like(predictions)
        objective.slope(predictions, labels, slope)
        return np.array([objective.value(predictions, labels)]), back(slope).sum(axis=0, keepdims=True)

    def rows(sums: Array) -> tuple[Array, Array]:
        predictions, back = output_of_sums(objective, sums)
        losses, slope = objective.losses(predictions, labels)
        return losses, back(slope.reshape(sums.shape))

    # the slope at one may be 0; where a loss has no other valley than the one that was found, one start is enough
    starts = [_least(constant, np.zeros((1, objective.width)))]
    if CONVEX not in objective.loss.properties or objective.activation is not IDENTITY or not starts[0][0].any():
        starts += [_least(constant, np.full((1, objective.width), level)) for level in (1.0, -1.0)]
    sums, values = min(starts, key=lambda found: or_infinite(found[1].item()))
    own, least = _least(rows, np.repeat(sums, n, axis=0))
    return Ends(sums, values.item(), least, objective.value(output_of_sums(objective, own)[0], labels))


def _least(evaluate: Callable[[Array], tuple[Array, Array]], sums: Array) -> tuple[Array, Array]:
    """Sums (m, k) with the least values (m,) that a search from these finds, for each row by itself.

    A step along the signs of the slope, twice as long after each that made the loss smaller and half as long after each that
    did not: it needs neither smoothness (absolute errors, hinges) nor an idea of the scale of the targets.
    """
    values, slope = evaluate(sums)
    step, resolved = np.ones((len(sums), 1)), 1e-9 * max(float(np.abs(values).mean()), 1e-300)
    for _ in range(TRIALS):
        tried = sums - step * np.sign(slope)
        there, slope_there = evaluate(tried)
        better = (there < values - resolved) | (np.isfinite(there) & ~np.isfinite(values))
        if not better.any() and (step < 1e-6 * (1.0 + np.abs(sums))).all():
            break
        values = np.where(better, there, values)
        sums, slope = np.where(better[:, None], tried, sums), np.where(better[:, None], slope_there, slope)
        step = np.where(better[:, None], 2.0 * step, step / 2.0)
    return sums, values


def output_of_sums(objective: Objective, sums: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Predictions (n, k) of sums, and the way back of a slope."""
    predictions = objective.activation.of(sums)

    def back(slope: Array) -> Array:
        slope = slope.copy()
        objective.activation.backward(slope, sums, predictions)
        return slope

    return predictions, back


def constant_losses(objective: Objective, sums: Array, rows: Rows) -> Array:
    """(n,) the loss of each row where the sums (1, k) are the same for all."""
    return objective.losses(output_of_sums(objective, np.repeat(sums, rows.n, axis=0))[0], rows.labels)[0]


def or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def or_zero(loss: float) -> float:
    return abs(loss) if math.isfinite(loss) else 0.0
