"""The gradient of a loss by differences of its values, and where it has a kink: what says whether the reference is right."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.insight.agreement import Flags
from app.losses.batch import Batch
from app.losses.numerics.means import POOLED
from app.losses.numerics.stable import Array

STEP, ROOM = 1e-4, 0.02
"""How far from a number the loss is taken: a share of the number, and of the way to the end of its domain."""
NEAR = 0.01
"""Of a step: what is nearer to a kink is at it."""
JUMPS, NOTICED = 0.2, 1e-6
"""Of a change of the slope: what shrinks less than its step does by this share is a jump, if it is so much of the slope."""
ENOUGH, FLOOR = 1e-5, 1e-3
"""How far both may be apart, as a share of the slope, or of so much of the largest one."""
ROUNDING = 50 * float(np.finfo(np.float64).eps)
ROWS, COLUMNS, TOGETHER, WORK = 500, 32, 60, 2e8
"""Elements and numbers of each that are looked at; of samples that depend on each other, numbers in all, and steps."""

Places: TypeAlias = NDArray[np.intp]


class Numerical(NamedTuple):
    """The reference beside differences of its values."""

    agrees: bool
    max_relative_error: float
    n_checked: int
    n_at_kinks: int


class Checked(NamedTuple):
    """What was found, and for each array of predictions which of its numbers (m, *row) are at a kink."""

    numerical: Numerical
    kinks: list[Flags]
    """Where the slope jumps."""
    bends: list[Flags]
    """Where its own slope does, or it itself."""


class _Line(NamedTuple):
    """Numbers that can be moved at the same time: one of each element, or one alone."""

    x: Array
    evaluate: Callable[[Array], tuple[Array, Array]]
    """What they cost and their slopes, where they stand elsewhere."""
    mark: Callable[[Flags, Flags], None]


def coupled(batch: Batch) -> bool:
    """Whether the loss of a sample depends on others."""
    return batch.loss.coupling != "sample" or batch.mean is POOLED


def check_numerically(batch: Batch, first: Places) -> Checked:
    """The kernel of a batch against differences, at some of its elements, these first; kinks are told apart."""
    kinks = [np.zeros(array.shape, np.bool_) for array in batch.arrays[: len(batch.loss.sides["predictions"])]]
    bends = [marks.copy() for marks in kinks]
    found: list[tuple[Array, Array, Array]] = []
    checked = at_kinks = 0
    for index, marks in enumerate(zip(kinks, bends, strict=True)):
        span = _span(batch, index)
        lines = _one_by_one(batch, index, marks, first) if coupled(batch) else _side_by_side(batch, index, marks, first)
        for line in lines:
            room = np.minimum(line.x - span[0], span[1] - line.x)
            h = np.minimum(STEP * np.maximum(1.0, np.abs(line.x)), ROOM * room)
            probe = _probed(line, h)
            line.mark(probe.at_kink, probe.at_bend)
            checked += int(np.count_nonzero(probe.usable))
            at_kinks += int(np.count_nonzero(probe.usable & probe.near_kink))
            judged = probe.usable & ~probe.near_kink
            found.append((probe.slope[judged], probe.difference[judged], probe.noise[judged]))
    slope, difference, noise = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (np.zeros(0),) * 3
    largest = FLOOR * float(np.abs(slope).max(initial=0.0))
    apart, size = np.abs(difference - slope), np.maximum(np.abs(slope), largest)
    error = np.divide(apart, size, out=np.zeros_like(apart), where=size > 0)
    agrees = bool((apart <= ENOUGH * size + noise).all())
    return Checked(Numerical(agrees, float(error.max(initial=0.0)), checked, at_kinks), kinks, bends)


class _Probe(NamedTuple):
    slope: Array
    difference: Array
    noise: Array
    usable: Flags
    near_kink: Flags
    at_kink: Flags
    at_bend: Flags


def _probed(line: _Line, h: Array) -> _Probe:
    """Each number's slope beside that of its values, whose error is of the fourth order (Richardson)."""
    with np.errstate(all="ignore"):
        (ahead, up), (behind, down) = line.evaluate(line.x + h), line.evaluate(line.x - h)
        (half_ahead, half_up), (half_behind, half_down) = line.evaluate(line.x + h / 2), line.evaluate(line.x - h / 2)
        close_up, close_down = line.evaluate(line.x + NEAR * h)[1], line.evaluate(line.x - NEAR * h)[1]
        _, slope = line.evaluate(line.x)
        whole, half = (ahead - behind) / (2 * h), (half_ahead - half_behind) / h
        jump, half_jump, close_jump = np.abs(up - down), np.abs(half_up - half_down), np.abs(close_up - close_down)
        least = NOTICED * np.maximum(np.maximum(np.abs(up), np.abs(down)), np.abs(slope))
        at_kink = (close_jump > JUMPS * jump) & (close_jump > least)
        near = at_kink | ((np.abs(jump - 2 * half_jump) > JUMPS * jump) & (jump > least))
        bend, close_bend = (
            np.abs(ahead - 2 * slope + behind) / step
            for ahead, behind, step in ((half_up, half_down, h / 2), (close_up, close_down, NEAR * h))
        )
        curved = np.maximum(np.abs(close_up - slope), np.abs(slope - close_down)) / (NEAR * h)
        least_bend = NOTICED * curved + ROUNDING * np.abs(slope) / (NEAR * h)
        at_bend = at_kink | ((close_bend > JUMPS * bend) & (close_bend > least_bend))
        difference = (4 * half - whole) / 3
        noise = ROUNDING * (np.abs(ahead) + np.abs(behind)) / h
    usable = (h > 0) & np.isfinite(difference) & np.isfinite(slope) & np.isfinite(jump)
    return _Probe(slope, difference, noise, usable, near, at_kink & usable, at_bend & usable)


def _span(batch: Batch, index: int) -> tuple[float, float]:
    """Between which ends the numbers of an array lie."""
    rank = len(batch.elements) + len(batch.arrays[0].shape) - 1
    domain = [*batch.loss.inputs.values()][index].decide(batch.parameters, rank).domain.span
    return domain.low, domain.high


def _evenly(n: int, most: int) -> Places:
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.intp))


def _chosen(n: int, most: int, first: Places) -> Places:
    """At most so many of n, these first, the others evenly among all."""
    first = first[:most]
    return np.unique(np.concatenate([first, np.setdiff1d(_evenly(n, most), first)[: most - first.size]])).astype(np.intp)


def _side_by_side(batch: Batch, index: int, marks: Sequence[Flags], first: Places) -> Iterator[_Line]:
    """Of samples by themselves: the same number of each element at a time."""
    rows = _chosen(batch.size, ROWS, first)
    arrays = [_wide(array[:][rows]) for array in batch.arrays]
    places = rows if batch.kept is None else batch.kept[rows]
    some = batch._replace(arrays=tuple(arrays), kept=places)
    columns = arrays[index].reshape(rows.size, -1)
    for column in _evenly(columns.shape[1], COLUMNS):

        def moved(numbers: Array, column: int = int(column)) -> tuple[Array, Array]:
            copy = columns.copy()
            copy[:, column] = numbers
            values, gradients = _kernel(some, index, copy.reshape(arrays[index].shape))
            return values, gradients[index].reshape(rows.size, -1)[:, column]

        def mark(*found: Flags, column: int = int(column)) -> None:
            for array, flags in zip(marks, found, strict=True):
                array.reshape(len(array), -1)[rows, column] = flags

        yield _Line(columns[:, column], moved, mark)


def _one_by_one(batch: Batch, index: int, marks: Sequence[Flags], first: Places) -> Iterator[_Line]:
    """Of samples that depend on each other: a number at a time, and the sum of all losses."""
    array = _wide(batch.arrays[index][:])
    numbers = array.reshape(len(array), -1)
    d = numbers.shape[1]
    most = int(np.clip(WORK / (8 * batch.cost), 4, TOGETHER))
    for place in _chosen(numbers.size, most, first[: max(1, most // d)] * d):
        row, column = divmod(int(place), d)

        def moved(number: Array, row: int = row, column: int = column) -> tuple[Array, Array]:
            copy = numbers.copy()
            copy[row, column] = number[0]
            values, gradients = _kernel(batch, index, copy.reshape(array.shape))
            return np.array([values.sum()]), gradients[index].reshape(len(array), -1)[row, column : column + 1]

        def mark(*found: Flags, row: int = row, column: int = column) -> None:
            for marked, flags in zip(marks, found, strict=True):
                marked.reshape(len(marked), -1)[row, column] = flags[0]

        yield _Line(numbers[row, column : column + 1], moved, mark)


def _wide(array: NDArray[Any]) -> Array:
    return array if array.dtype.kind in "iu" else array.astype(np.float64, copy=False)


def _kernel(batch: Batch, index: int, predictions: Array) -> tuple[Array, tuple[Array, ...]]:
    """Values and gradients where one of the arrays of predictions is another."""
    arrays = [_wide(array[:]) for array in batch.arrays]
    arrays[index] = predictions
    values, gradient, *_ = batch.kernel(*arrays, **batch.columns_at(slice(None)))
    if callable(gradient):
        gradient = gradient(np.ones(values.size))
    return values, gradient if isinstance(gradient, tuple) else (cast(Array, gradient),)
