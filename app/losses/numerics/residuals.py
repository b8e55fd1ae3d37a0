"""Residuals as the losses need them that bend at a threshold, or are functions of their ratio to a scale."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.losses.numerics.pairs import Pair, constant, difference, pair_add, pair_divide, pair_multiply
from app.losses.numerics.stable import Array, recovered, sign

Scale: TypeAlias = Annotated[float, Ge(1e-100), Le(1e100), Doc("Residual from which on a target counts as far.")]
FAR = 1e140
"""A ratio r/c from which on 1 + (r/c)² is (r/c)² to the last digit, and whose square is far from the end of the range."""


def absolute(predictions: Array, targets: Array) -> tuple[Array, Array, Callable[[], Array]]:
    """|r| with its derivatives, 0 at the kink."""
    residual = predictions - targets
    return np.abs(residual), sign(residual), lambda: np.zeros_like(residual)


def seamed(predictions: Array, targets: Array, residual: Array, near: Array, slope: Array) -> Array:
    """slope · (r − ½ near), in place of the residual: quadratic where `near` is r, linear where it is the threshold."""
    values = residual
    values -= 0.5 * near
    values *= slope
    return recovered(values, lambda: 2.0 * (slope * ((predictions / 2.0 - targets / 2.0) - near / 4.0)))


def within(predictions: Array, targets: Array, limit: float) -> NDArray[np.bool_]:
    """Where |r| is below the limit, of the unrounded residual."""
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    return (size < limit) | ((size == limit) & (np.sign(residual) * error < 0))


def scaled(predictions: Array, targets: Array, scale: float) -> Pair:
    """r/scale, unrounded, and within ±FAR: beyond, a loss is that of r → ∞, or follows from half the residual."""
    residual, error = difference(predictions, targets)
    whole = recovered(residual / scale, lambda: (predictions / 2.0 - targets / 2.0) / scale * 2.0)
    ratio, low = pair_divide((residual, error), constant(scale))
    usable = np.isfinite(low) & (np.abs(ratio) < FAR) & (np.abs(residual) > 1e-290)  # below, pairs lose digits
    return np.where(usable, ratio, np.clip(whole, -FAR, FAR)), np.where(usable, low, 0.0)


def squared(ratio: Pair) -> Pair:
    return pair_multiply(ratio, ratio)


def one_less(square: Pair, factor: float) -> Array:
    """1 − factor·square, which must not be rounded before."""
    high, low = pair_add(constant(1.0), pair_multiply(square, constant(-factor)))
    return high + low
