"""What a leaf adds: a constant of least loss over the rows that end there, found for all leaves of a tree at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.trees import Tree

SlopeOfAll = Callable[[Array], Array]
"""A constant for each leaf (l,) -> the slope (l,) of the loss of its rows to it."""
SlopesOfAll = Callable[[Array], tuple[Array, Array]]
"""The same, with the sum (l,) of the sizes of its rows' slopes."""

DOUBLINGS = 20
"""How often a step that has not come to the least loss is doubled."""
FALLING = 1e-3
"""A slope that is smaller than this share of the first is none: the least loss is then at infinity."""
THIRD = 3
"""One step in so many halves what is left, whatever the others have found."""
ROUNDED = 1e-9
"""A part of a place that may be rounding."""
NARROWINGS = 60
PRECISE = 1e-12


def least_of_differences(slopes: SlopesOfAll, leaf: NDArray[np.intp], corners: Array, n_leaves: int) -> Array:
    """(l,) where the loss depends on residuals alone: the corners (n,) are the constants that make each residual 0.

    The least loss lies between two neighbours among these, or at one: halfway where it is as low all the way.
    """
    order = np.argsort(corners)
    ordered = corners[order[np.argsort(leaf[order].astype(np.min_scalar_type(n_leaves)), kind="stable")]]
    sizes = np.bincount(leaf, minlength=n_leaves)
    first = np.cumsum(sizes) - sizes
    last = first + sizes - 1
    low, high, place, step = first, last, (first + last) // 2, 0
    while (low < high).any():
        slope, size = slopes(ordered[place])
        up = slope >= 0
        high, low, step = np.where(up, place, high), np.where(up, low, np.minimum(place + 1, high)), step + 1
        if step % THIRD:
            level = first + _level(slope, size, place - first, last - place)
            place = np.fmax(np.fmin(level, high - 1), low).astype(np.intp)
        else:
            place = (low + high) // 2
    left, right = ordered[np.maximum(high - 1, first)], ordered[high]
    return _between(lambda constants: slopes(constants)[0], left, right)


def _level(slope: Array, size: Array, below: NDArray[np.intp], above: NDArray[np.intp]) -> Array:
    """The first place from which rows below outweigh those above, if all of a side pull as much as they do on average here.

    So they do of an absolute error, or a quantile's: the place is then the right one. NaN where nothing pulls.
    """
    up, down = (size + slope) * np.maximum(above, 1), (size - slope) * np.maximum(below, 1)
    with np.errstate(all="ignore"):
        return np.ceil(down / (up + down) * (below + above) - ROUNDED)


def least(slope: SlopeOfAll, n_leaves: int) -> Array:
    """(l,) from 0 on in the direction in which the loss falls, as far as it does."""
    here = slope(np.zeros(n_leaves))
    direction, near, far = -np.sign(here), np.zeros(n_leaves), np.ones(n_leaves)
    turned, flat = here == 0, here == 0
    for _ in range(DOUBLINGS):
        there = slope(far * direction) * direction
        flat |= ~turned & (there < 0) & (there >= -FALLING * np.abs(here))
        turned |= there >= 0
        done = turned | flat
        if done.all():
            break
        near, far = np.where(done, near, far), np.where(done, far, 2.0 * far)
    ends = np.stack([near * direction, far * direction])
    found = _between(slope, ends.min(axis=0), ends.max(axis=0))
    return np.where(here == 0, 0.0, np.where(turned, found, far * direction))


def _between(slope: SlopeOfAll, left: Array, right: Array) -> Array:
    """A zero of the slope between constants at which it is negative and not negative."""
    near, far = (slope(left + (right - left) * share) for share in (0.25, 0.75))
    level = near == far
    ends = np.where(near == 0, left / 2.0 + right / 2.0, np.where(near < 0, right, left))
    if level.all():
        return ends
    found = _zero(slope, left, right)
    return np.where(level, ends, found)


def _zero(slope: SlopeOfAll, left: Array, right: Array) -> Array:
    """By regula falsi, halving the weight of an end that stays (the Illinois way), and by halves where that is slow."""
    at_left, at_right = slope(left), slope(right)
    side = np.zeros(len(left))
    for step in range(NARROWINGS):
        done = (np.abs(right - left) <= PRECISE * np.maximum(np.abs(left), np.abs(right))) | (at_right == 0) | (at_left == 0)
        if done.all():
            break
        with np.errstate(all="ignore"):
            cut = (left * at_right - right * at_left) / (at_right - at_left)
        inside = (cut > left) & (cut < right) & (step % 3 != 2)  # each third time
        middle = np.where(done, right, np.where(inside, cut, left / 2.0 + right / 2.0))
        there = slope(middle)
        up, down = ~done & (there >= 0), ~done & (there < 0)
        at_left = np.where(down, there, np.where(up & (side > 0), at_left / 2.0, at_left))
        at_right = np.where(up, there, np.where(down & (side < 0), at_right / 2.0, at_right))
        left, right = np.where(down, middle, left), np.where(up, middle, right)
        side = np.where(up, 1.0, np.where(down, -1.0, side))
    return np.where(at_left == 0, left, right)


def ordered(tree: Tree, values: Array, leaf: NDArray[np.int64], monotone: tuple[int, ...]) -> Array:
    """Values (nodes,) of the leaves, moved no further than it takes to rise or fall along each column as constrained."""
    sizes = np.bincount(leaf, minlength=len(values)).astype(np.float64)
    sums = values * sizes
    for node in range(len(values) - 1, -1, -1):  # children come after their parent
        if tree["left"][node] >= 0:
            children = [tree["left"][node], tree["right"][node]]
            sizes[node], sums[node] = sizes[children].sum(), sums[children].sum()
    low, high = np.full(len(values), -np.inf), np.full(len(values), np.inf)
    means = sums / np.maximum(sizes, 1.0)
    for node in range(len(values)):
        left, right = tree["left"][node], tree["right"][node]
        if left < 0:
            continue
        low[[left, right]], high[[left, right]] = low[node], high[node]
        sign: int = monotone[int(tree["feature"][node])]
        if sign:
            middle = np.clip((means[left] + means[right]) / 2.0, low[node], high[node])
            below, above = (left, right) if sign > 0 else (right, left)
            high[below] = low[above] = middle
    return np.clip(values, low, high)
