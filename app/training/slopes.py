"""A loss as a function of what trees add up to, with its derivatives, and the constants at which it is least."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.means import scale, weighted
from app.losses.numerics.stable import Array
from app.training.activations import IDENTITY, Activation
from app.training.leaf_values import least, least_of_differences
from app.training.objective import Labels, Objective, of_differences

ROUNDING = 1e-13
"""A share of what was added that a sum may be off."""
BESIDE = 1e-5
"""A step of a sum between whose ends a slope's difference is the second derivative."""


def sums_of(leaf: NDArray[np.int64], numbers: Array, n_leaves: int) -> tuple[Array, Array]:
    """(l,) the sum of the numbers (n,) in each leaf, 0 where these cancel but for a rounding, and that of their sizes."""
    sums = np.asarray(np.bincount(leaf, numbers, n_leaves), np.float64)
    sizes = np.asarray(np.bincount(leaf, np.abs(numbers), n_leaves), np.float64)
    sums[np.abs(sums) <= ROUNDING * sizes] = 0.0
    return sums, sizes


class Point(NamedTuple):
    """What a loss is at some sums (n, k)."""

    losses: Array
    """(n, k) of each row's outputs, or (n, 1) where they have one together; times what they count."""
    slope: Array
    """(n, k) the derivative of these to each sum."""
    pulls: Array | None
    """(m,) what each element counts; None: 1."""
    second: Callable[[], Array] | None
    """To the second derivative to each sum (n, k); None for a loss that has none."""


class Slopes:
    """A loss and its derivatives as functions of what trees add up to."""

    def __init__(self, objective: Objective, output: Activation, labels: Labels) -> None:
        self.objective, self.output, self.labels = objective, output, labels

    def of(self, rows: NDArray[np.intp]) -> "Slopes":
        """The same of some rows."""
        some = Slopes(self.objective, self.output, self.labels.take(rows))
        some.corners = None if self.corners is None else self.corners[rows]
        return some

    @cached_property
    def corners(self) -> Array | None:
        """(n, k) the sums that are the targets themselves, for a loss that depends on the difference alone."""
        if self.output is not IDENTITY or not of_differences(self.objective, self.labels):
            return None
        return np.asarray(self.labels.targets, np.float64).reshape(len(self.labels.targets), -1)

    def least(self, sums: Array, column: int, leaf: NDArray[np.int64], n_leaves: int) -> Array:
        """(l,) what has to be added to one column of the sums (n, k) for the least loss over the rows of each leaf."""
        pulls, moved = self.point(sums).pulls, sums.copy()

        def slopes(constants: Array) -> tuple[Array, Array]:
            np.add(sums[:, column], constants[leaf], out=moved[:, column])
            return sums_of(leaf, self.point(moved, pulls).slope[:, column], n_leaves)

        if self.corners is not None:
            return least_of_differences(slopes, leaf, (self.corners - sums)[:, column], n_leaves)
        return least(lambda constants: slopes(constants)[0], n_leaves)

    def point(self, sums: Array, pulls: Array | None = None) -> Point:
        """Of sums (n, k); `pulls` are those of another point."""
        predictions = self.output.of(sums)
        losses, gradient, second = self._derivatives(predictions)
        counted = self.objective.pulls(losses, self.labels) if pulls is None else pulls
        slope = np.empty_like(sums)
        scale(gradient, counted, 1.0, slope.reshape(gradient.shape))
        self.output.backward(slope, sums, predictions)
        bends = None if second is None else partial(self._second, sums, counted, second, gradient.shape)
        return Point(weighted(losses, counted).reshape(len(sums), -1), slope, counted, bends)

    def _derivatives(self, predictions: Array) -> tuple[Array, Array, Callable[[], Array] | None]:
        """Of each element's loss, to the power that the mean is taken of."""
        losses, gradient, second = self.objective.derivatives(predictions, self.labels)
        power = self.objective.loss.mean.power
        if power is None or power == 1:
            return losses, gradient, second
        shape = (-1, *(1,) * (gradient.ndim - 1))
        return losses**power, gradient * (power * losses ** (power - 1)).reshape(shape), None

    def _second(self, sums: Array, pulls: Array | None, own: Callable[[], Array], shape: tuple[int, ...]) -> Array:
        curvature = np.empty_like(sums)
        if self.output is IDENTITY:
            scale(own(), pulls, 1.0, curvature.reshape(shape))
            return curvature
        for column in range(sums.shape[1]):
            step = np.zeros_like(sums)
            step[:, column] = BESIDE * np.maximum(1.0, np.abs(sums[:, column]))
            rise = self.point(sums + step, pulls).slope - self.point(sums - step, pulls).slope
            curvature[:, column] = rise[:, column] / (2.0 * step[:, column])
        return curvature
