"""Losses that are quadratic near the target and linear beyond a threshold, without a branch between the two."""

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import difference
from app.losses.numerics.stable import Array, recovered


def seamed(predictions: Array, targets: Array, residual: Array, near: Array, slope: Array) -> Array:
    """slope · (r − ½ near), in place of the residual: quadratic where `near` is r, linear where it is the threshold."""
    values = residual
    values *= 2.0
    values -= near
    values *= slope
    values *= 0.5
    return recovered(values, lambda: 2.0 * (slope * ((predictions / 2.0 - targets / 2.0) - near / 4.0)))


def within(predictions: Array, targets: Array, limit: float) -> NDArray[np.bool_]:
    """Where |r| is below the limit, of the unrounded residual."""
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    return (size < limit) | ((size == limit) & (np.sign(residual) * error < 0))
