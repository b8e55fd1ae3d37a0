"""What a model says over the range of its inputs, where these are one or two: the line or the plane that it has learned."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.losses.numerics.stable import Array
from app.training.learners import State, learner
from app.training.run import Run
from app.training.trees import Boosted

LINE, PLANE = 101, 30
"""Places along the axis of one column, and along each of two."""
MARGIN = 0.05
"""Of the range of a column, beyond both of its ends."""


class Surface(NamedTuple):
    """Places, and what is predicted at them."""

    axes: tuple[Array, ...]
    """One or two, in the units of the data."""
    predict: Callable[[State], Array]
    """The model of a state at every place: (n, *outputs), or (n of the second axis, n of the first, *outputs)."""


def surface(run: Run) -> Surface | None:
    """Where a run's model can be looked at; None where it has more columns, or nothing lies between the numbers of one."""
    columns = run.plan.data.inputs
    if columns.shape[1] > 2 or (isinstance(run.model, Boosted) and run.model.categorical):
        return None
    size = LINE if columns.shape[1] == 1 else PLANE
    axes = tuple(axis(float(np.nanmin(column)), float(np.nanmax(column)), size) for column in np.asarray(columns, np.float64).T)
    places = np.stack([plane.ravel() for plane in np.meshgrid(*axes)], axis=1)
    look = learner(run).looking(places if run.inputs_scale is None else run.inputs_scale.apply(places))
    shape = (*(len(axis) for axis in reversed(axes)), *run.objective.outputs)

    def predict(state: State) -> Array:
        with np.errstate(all="ignore"):  # a run that is about to diverge may overflow between its rows
            predictions = look(state).reshape(shape)
        return predictions if run.targets_scale is None else run.targets_scale.restored(predictions)

    return Surface(axes, predict)


def axis(low: float, high: float, size: int) -> Array:
    """(size,) places over the range of a column, and beyond both of its ends."""
    margin = MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, size)
