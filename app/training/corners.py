"""The way down a function with corners, where a line search that asks for a small slope finds none."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.losses.numerics.stable import Array

MOST_WEIGHTS = 500
"""Weights for which the curvature is kept as a whole matrix: fewer numbers of it lose their way among corners."""
ENOUGH = 1e-4
"""Share of the fall that the slope promises, which a step has to keep."""
FLATTER = 0.9
"""Share of the slope that may be left behind a step: it may rise there, as behind a corner."""
HALVINGS = 60
LOWER = 1e-10
"""Share of its value by which a function has to fall to be worth the move."""
WATCHED = 30
"""Steps over which it has to fall so far that the search goes on."""
NEAR = 1e-7
"""Share of the largest weight within which another may be exactly 0."""


class Point(NamedTuple):
    """Weights, with the function and its slope at them."""

    weights: Array
    value: float
    slope: Array


def past_corners(function: Callable[[Array], tuple[float, Array]], weights: Array, most: int) -> Array:
    """The weights after at most so many steps of BFGS; the same where that is no lower.

    The line search is that of the weak Wolfe conditions, with which the method comes to the minima of functions that have
    no slope there (Lewis and Overton 2013, doi:10.1007/s10107-012-0514-2). A weight that ends beside 0 is put to 0 where
    that is as low.
    """
    here = first = Point(weights, *_copied(function, weights))
    curvature, watched = None, first.value
    for step in range(1, most + 1):
        steepest = here.slope / (math.sqrt(float(here.slope @ here.slope)) or 1.0)
        down = -steepest if curvature is None else -(curvature @ here.slope)
        there = _searched(function, here, down)
        if there is None:
            break
        curvature = _updated(curvature, there.weights - here.weights, there.slope - here.slope)
        here = there
        if step % WATCHED == 0:
            if not watched - here.value > LOWER * abs(here.value):
                break
            watched = here.value
    here = _with_zeros(function, here)
    return here.weights if first.value - here.value > LOWER * abs(first.value) else weights


def _searched(function: Callable[[Array], tuple[float, Array]], here: Point, down: Array) -> Point | None:
    """A point along the direction that is lower, and where the slope has become less steep; None where none is found."""
    steep, low, high, length = float(here.slope @ down), 0.0, math.inf, 1.0
    if not steep < 0.0:
        return None
    for _ in range(HALVINGS):
        weights = here.weights + length * down
        there = Point(weights, *_copied(function, weights))
        if not there.value <= here.value + ENOUGH * length * steep or not np.isfinite(there.slope).all():
            high = length
        elif float(there.slope @ down) < FLATTER * steep:
            low = length
        else:
            return there
        length = 2.0 * low if math.isinf(high) else 0.5 * (low + high)
    return None


def _updated(curvature: Array | None, step: Array, change: Array) -> Array | None:
    """The inverse of the second derivatives, as the last step has told more of it."""
    along = float(step @ change)
    if not along > 0.0 or not math.isfinite(1.0 / along):
        return curvature
    if curvature is None:
        curvature = np.eye(step.size) * (along / float(change @ change))
    bent = curvature @ change
    curvature += (1.0 + float(change @ bent) / along) / along * np.outer(step, step)
    curvature -= (np.outer(bent, step) + np.outer(step, bent)) / along
    return curvature


def _with_zeros(function: Callable[[Array], tuple[float, Array]], here: Point) -> Point:
    weights = np.where(np.abs(here.weights) <= NEAR * np.abs(here.weights).max(), 0.0, here.weights)
    there = Point(weights, *_copied(function, weights))
    return there if there.value <= here.value + LOWER * abs(here.value) else here


def _copied(function: Callable[[Array], tuple[float, Array]], weights: Array) -> tuple[float, Array]:
    value, slope = function(weights)
    return value, slope.copy()
