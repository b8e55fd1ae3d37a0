"""What a network says over the range of its inputs, where these are one or two: the line or the plane that it has learned."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from app.losses.numerics.stable import Array
from app.training.learners import State, learner
from app.training.network import Network
from app.training.run import Run

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
    """Where a run's model can be looked at; None where it has more columns, or is no network."""
    columns = run.plan.data.inputs
    if not isinstance(run.model, Network) or columns.shape[1] > 2:
        return None
    size = LINE if columns.shape[1] == 1 else PLANE
    axes = tuple(_axis(column, size) for column in np.asarray(columns, np.float64).T)
    places = np.stack([plane.ravel() for plane in np.meshgrid(*axes)], axis=1)
    rows = (run.validation or run.training)._replace(
        inputs=places if run.inputs_scale is None else run.inputs_scale.apply(places)
    )
    looking = learner(replace(run, validation=rows))
    shape = (*(len(axis) for axis in reversed(axes)), *run.objective.outputs)

    def predict(state: State) -> Array:
        kept = {key: array.copy() for key, array in state.items() if key in looking.keys}
        looking.adopt(kept)
        with np.errstate(all="ignore"):  # a run that is about to diverge may overflow between its rows
            predictions = looking.validation_predictions(kept).reshape(shape)
        scale = run.targets_scale
        return predictions.copy() if scale is None else predictions * scale.deviation + scale.mean

    return Surface(axes, predict)


def _axis(column: Array, size: int) -> Array:
    low, high = float(column.min()), float(column.max())
    margin = MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, size)
