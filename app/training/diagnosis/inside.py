"""The inside of a model: which slopes arrive where, and what the inputs still explain of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.diagnosis.least import output_of_sums
from app.training.learners import State, learner
from app.training.network import with_ones
from app.training.run import Run
from app.training.trees import Forest, Trees

SMOOTHED = 300
"""Rows that a kernel is fitted to: its cost grows with their cube."""


class Inside(NamedTuple):
    """What the training rows do in the model as the run left it; slopes are each row's own, not divided by their number."""

    losses: Array
    """(n,)"""
    slope: Array
    """(n, k) to the predictions."""
    wanted: Array
    """(n, k) to the sums before the last activation."""
    derivatives: list[Array]
    """Of each hidden layer's activations to their sums (n, units)."""
    arriving: Array
    """(n, units) the slope that is left at the first hidden layer's sums; `wanted` where there is none."""


def look_inside(run: Run, state: State) -> Inside:
    if isinstance(run.model, Forest):
        losses, slope = run.objective.losses(learner(run).training_predictions(state), run.training.labels)
        slope = slope.reshape(run.training.n, -1)
        return Inside(losses, slope, slope, [], slope)
    if isinstance(run.model, Trees):
        return _arrived(run, state["sums"], [], [])
    units, derivatives = with_ones(run.training.inputs), list[Array]()
    *hidden, last = layers = run.model.layers(state["weights"])
    for layer in hidden:
        sums = units @ layer
        units = np.ones((len(sums), sums.shape[1] + 1))
        run.model.hidden.forward(sums, units[:, :-1])
        derivatives.append(np.ones_like(sums))
        run.model.hidden.backward(derivatives[-1], sums, units[:, :-1])
    return _arrived(run, units @ last, derivatives, layers[1:])


def _arrived(run: Run, sums: Array, derivatives: list[Array], following: list[Array]) -> Inside:
    predictions, back = output_of_sums(run.objective, sums)
    losses, slope = run.objective.losses(predictions, run.training.labels)
    slope = slope.reshape(sums.shape)
    wanted = arriving = back(slope)
    for derivative, layer in zip(reversed(derivatives), reversed(following), strict=True):
        arriving = (arriving @ layer[:-1].T) * derivative
    return Inside(losses, slope, wanted, derivatives, arriving)


def mean_length(slopes: Array) -> float:
    return float(np.sqrt(np.square(slopes).sum(axis=1)).mean())


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """So many rows, evenly spread: they may be sorted."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def explained(inputs: Array, wanted: Array) -> float:
    """Share of the slopes that are left that follows from the inputs: 0 where they are noise.

    Kernel ridge regression, judged by its error on each row when that row is left out (Allen 1974, doi:10.2307/1267500).
    """
    which = evenly(len(inputs), SMOOTHED)
    columns, wanted = inputs[which][:, np.ptp(inputs, axis=0) > 0], wanted[which] - wanted[which].mean(axis=0)
    if not columns.size or not np.isfinite(wanted).all() or not wanted.any():
        return 0.0
    columns = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-300)
    squares = np.square(columns).sum(axis=1)
    distances = (squares[:, None] + squares - 2.0 * columns @ columns.T) / columns.shape[1]
    missed = [_left_out(np.exp(-distances * width), wanted, ridge) for width in (0.5, 2.0) for ridge in (0.3, 3.0)]
    return max(0.0, 1.0 - min(missed) / float(np.square(wanted).sum()))


def _left_out(kernel: Array, wanted: Array, ridge: float) -> float:
    """Σ of the squared errors of rows when they are left out."""
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    return float(np.square(inverse @ wanted / np.diag(inverse)[:, None]).sum())
