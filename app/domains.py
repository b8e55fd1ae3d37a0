"""What numbers may be, as values: an interval, whole numbers, labels, shares of a row, boxes.

A domain knows whether an array lies in it, which numbers do not and by which rule, where its ends are, and whether another
lies in it entirely. The encoding of an array has one; so has what an activation makes.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
Array = NDArray[np.float64]

MOST = float(np.finfo(np.float64).max)
LEAST = float(np.finfo(np.float64).smallest_subnormal)
STEP = float(np.finfo(np.float64).eps)
MARKS = (
    1e-300,
    1e-160,
    1e-17,
    STEP / 2,
    1e-9,
    0.1,
    0.3,
    0.5,
    1.0 - STEP / 2,
    1.0,
    1.0 + STEP,
    1.5,
    2.0,
    2.5,
    3.0,
    17.9,
    36.7,
    171.0,
    709.9,
    745.2,
    800.0,
    1e4,
    1e8,
    1e16,
    1e150,
    8e307,
)
"""Sizes at which float64 is coarse or underflows, exponentials and factorials leave it, numbers tie with parameters."""
FAR = 700.0
"""Where exponentials are about to leave float64."""


class Domain(Protocol):
    """What may be asked of any domain."""

    @property
    def rule(self) -> str:
        """What a number or row must be, in words."""
        ...

    @property
    def span(self) -> "Interval":
        """The interval in which all its numbers lie."""
        ...

    @property
    def of_rows(self) -> bool:
        """Whether it is rows that lie in it, rather than single numbers."""
        ...

    @property
    def discrete(self) -> bool: ...

    def holds(self, array: Numbers, /) -> bool:
        """Whether all of the array lies in it."""
        ...

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        """Which numbers break the rule, in the shape of the array, or of its rows where these do."""
        ...

    def includes(self, other: "Domain") -> bool:
        """Whether all of the other lies in it."""
        ...

    def extremes(self, k: int, limit: float = MOST) -> Array:
        """Numbers (m,) or rows (m, k) where arithmetic is hardest, within ±limit: those at its ends first."""
        ...

    def nearest(self, array: Array) -> Array:
        """An array of numbers, each moved into it if it is not there."""
        ...

    def stretched(self, array: Array, factor: float) -> Array:
        """An array within it, moved towards its ends."""
        ...


def all_finite(values: Numbers) -> bool:
    """Whether no number is infinite or undefined: their squares tell that in one pass, unless one of these overflows."""
    flat = values if values.ndim == 1 else values.ravel("K")  # as they lie: where axes are exchanged only, this is no copy
    return math.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(values).all())


@dataclass(frozen=True)
class Interval:
    """Finite numbers between two ends, which belong to it unless they are open or infinite."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: tuple[float, ...] = ()
    """The infinities that belong to it all the same, since they have a meaning."""
    of_rows: bool = field(default=False, kw_only=True)

    holds: Callable[[Numbers], bool] = field(init=False, repr=False, compare=False)
    """Chosen once: what every call asks."""

    discrete = False

    def __post_init__(self) -> None:
        holds = self._extended if self.infinite else all_finite if self._everything else self._bounded
        object.__setattr__(self, "holds", holds)

    @property
    def span(self) -> "Interval":
        return self

    @cached_property
    def _everything(self) -> bool:
        return (self.low, self.high) == (-math.inf, math.inf)

    def _bounded(self, array: Numbers) -> bool:
        # the ufunc itself: array.min() takes as long again to find it, which is much of what a small request costs
        least, most = np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)
        above, below = self._compare
        if self._beyond_single:
            least, most = float(least), float(most)  # or an end would be rounded to 0 or to infinity
        return bool(above(least, self.low) and below(most, self.high))  # NaN is neither

    def _extended(self, array: Numbers) -> bool:
        return bool(not self.outside(array).any())

    @cached_property
    def _beyond_single(self) -> bool:
        """Whether an end is too large or too small for single precision."""
        least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
        ends = [abs(end) for end in (self.low, self.high) if end != 0 and math.isfinite(end)]
        return any(not least <= end <= most for end in ends)

    @cached_property
    def _compare(self) -> tuple[Callable[[Any, float], Any], Callable[[Any, float], Any]]:
        """How numbers are compared with the low end and with the high one."""
        above = operator.gt if self.open_low or math.isinf(self.low) else operator.ge
        return above, operator.lt if self.open_high or math.isinf(self.high) else operator.le

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        """The least and the largest float64 within."""
        above, below = self._compare
        low = np.nextafter(self.low, math.inf) if above is operator.gt else self.low
        high = np.nextafter(self.high, -math.inf) if below is operator.lt else self.high
        return float(low), float(high)

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        above, below = self._compare
        if self._beyond_single:
            array = array.astype(np.float64, copy=False)
        outside = ~(above(array, self.low) & below(array, self.high))
        for infinity in self.infinite:
            outside &= array != infinity
        return outside

    @property
    def rule(self) -> str:
        return " or ".join([self._finite_rule, *(f"{'−' * (infinity < 0)}Infinity" for infinity in self.infinite)])

    @property
    def _finite_rule(self) -> str:
        low, high = _written(self.low), _written(self.high)
        if self._everything:
            return "finite"
        if math.isinf(self.high):
            return f"{'above' if self.open_low else 'at least'} {low}"
        if math.isinf(self.low):
            return f"{'below' if self.open_high else 'at most'} {high}"
        return f"in {'(' if self.open_low else '['}{low}, {high}{')' if self.open_high else ']'}"

    def includes(self, other: Domain) -> bool:
        span = other.span
        above = self.low < span.low or (self.low == span.low and (span.open_low or not self.open_low or math.isinf(self.low)))
        below = span.high < self.high or (
            span.high == self.high and (span.open_high or not self.open_high or math.isinf(self.high))
        )
        return above and below and {*span.infinite} <= {*self.infinite}

    def extremes(self, k: int, limit: float = MOST) -> Array:
        """Both ends, and those of MARKS that lie between: (m,)."""
        least = LEAST if limit == MOST else 1.0 / limit
        ends = self.nearest(np.array([-limit, limit]))
        ends = np.where((ends != 0) & (np.abs(ends) < least), np.copysign(least, ends), ends)
        marks = np.array([sign * mark for mark in (least, *MARKS) if least <= mark <= limit for sign in (1.0, -1.0)])
        marks = np.append(marks, 0.0)
        return np.append(ends, marks[~self.outside(marks) & ~np.isin(marks, ends)])

    def nearest(self, array: Array) -> Array:
        return np.clip(array, *self._bounds)

    def of_reals(self, reals: Array) -> Array:
        """Real numbers as numbers within: by the exponential where one end is infinite, by the logistic function between two."""
        if self._everything:
            return reals
        powers = np.exp(np.clip(reals, -FAR, FAR))
        if math.isinf(self.high):
            return self.nearest(self.low + powers)
        if math.isinf(self.low):
            return self.nearest(self.high - powers)
        return self.nearest(self.low + (self.high - self.low) * (powers / (1.0 + powers)))

    def to_reals(self, array: Array) -> Array:
        """The inverse; infinite at the ends."""
        with np.errstate(divide="ignore"):
            above, below = np.log(np.abs(array - self.low)), np.log(np.abs(array - self.high))
        if math.isinf(self.low):
            return array if math.isinf(self.high) else below
        return above if math.isinf(self.high) else above - below

    def stretched(self, array: Array, factor: float) -> Array:
        return self.of_reals(factor * self.to_reals(array))


@dataclass(frozen=True)
class Whole:
    """Whole numbers from low to high, all of them where there is no such end."""

    low: int | None = None
    high: int | None = None

    of_rows = False
    discrete = True

    @property
    def span(self) -> Interval:
        return Interval(-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    @property
    def rule(self) -> str:
        return "a whole number" + ("" if (self.low, self.high) == (None, None) else f", {self.span.rule}")

    def holds(self, array: Numbers) -> bool:
        return self.span.holds(array) and bool(np.logical_and.reduce(np.floor(array) == array, axis=None))

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        return self.span.outside(array) | (np.floor(array) != array)

    def includes(self, other: Domain) -> bool:
        return other.discrete and not other.of_rows and self.span.includes(other)

    def extremes(self, k: int, limit: float = MOST) -> Array:
        """Both ends; where one is missing, that of so many classes."""
        return np.array([0 if self.low is None else self.low, k - 1 if self.high is None else self.high], np.float64)

    def nearest(self, array: Array) -> Array:
        return self.span.nearest(np.rint(array))

    def stretched(self, array: Array, factor: float) -> Array:
        return array


@dataclass(frozen=True)
class Labels:
    """A few numbers that stand for something."""

    numbers: tuple[float, ...]

    of_rows = False
    discrete = True

    @property
    def span(self) -> Interval:
        return Interval(min(self.numbers), max(self.numbers))

    @property
    def rule(self) -> str:
        return " or ".join(map(_written, self.numbers))

    def holds(self, array: Numbers) -> bool:
        fits = array == self.numbers[0]
        for number in self.numbers[1:]:
            fits |= array == number
        return bool(fits.all())

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        return ~np.isin(array, self.numbers)

    def includes(self, other: Domain) -> bool:
        return isinstance(other, Labels) and set(other.numbers) <= set(self.numbers)

    def extremes(self, k: int, limit: float = MOST) -> Array:
        return np.array(self.numbers)

    def nearest(self, array: Array) -> Array:
        numbers = np.array(self.numbers)
        return numbers[np.abs(array[..., None] - numbers).argmin(axis=-1)]

    def stretched(self, array: Array, factor: float) -> Array:
        return array


@dataclass(frozen=True)
class Simplex:
    """Rows of shares, none negative, that sum to 1; or their logarithms."""

    logarithms: bool = False

    of_rows = True
    discrete = False
    TOLERANCE = 1e-6
    """How far a sum may be from 1."""

    @property
    def span(self) -> Interval:
        return Interval(high=0.0, infinite=(-math.inf,)) if self.logarithms else Interval(0.0, 1.0)

    @property
    def rule(self) -> str:
        shares = f"a row that sums to 1 (within {self.TOLERANCE:g})"
        return f"logarithms of {shares}" if self.logarithms else shares

    def holds(self, array: Numbers) -> bool:
        return self.span.holds(array) and not self.outside(array).any()

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        return ~(np.abs(self.sums(array) - 1.0) <= self.tolerance(array))

    def tolerance(self, array: Numbers) -> float:
        """How far a sum of such numbers may be from 1: those of half precision are rounded to 11 bits."""
        return max(self.TOLERANCE, float(np.finfo(array.dtype).eps)) if array.dtype.kind == "f" else self.TOLERANCE

    def sums(self, array: Numbers) -> Array:
        """The sum of each row's shares."""
        return np.add.reduce(np.exp(array) if self.logarithms else array, axis=-1, dtype=np.float64)

    def includes(self, other: Domain) -> bool:
        return self == other

    def extremes(self, k: int, limit: float = MOST) -> Array:
        """The corners, all but corners, two halves beside nearly nothing, and the middle; of logarithms, their own."""
        corner, halves = np.eye(k)[0], np.where(np.arange(k) < 2, 0.5, 0.0)
        rows = [*np.eye(k), np.full(k, 1.0 / k), halves]
        for share in (1e-9, STEP / 4, STEP, 1e-100, LEAST):
            rows += [np.where(corner == 1, 1.0 - share, share / (k - 1)), np.roll(halves, 1) + share * corner]
        shares = np.array(rows)
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(shares), -limit) if self.logarithms else shares

    def nearest(self, array: Array) -> Array:
        if self.logarithms:
            return self.of_reals(array)
        rows = np.maximum(array, 0.0)
        sums = rows.sum(axis=-1, keepdims=True)
        return np.divide(rows, sums, out=np.full(rows.shape, 1.0 / rows.shape[-1]), where=sums > 0)

    def of_reals(self, reals: Array) -> Array:
        """The softmax of rows, or its logarithm."""
        shifted = reals - reals.max(axis=-1, keepdims=True)
        powers = np.exp(shifted)
        total = powers.sum(axis=-1, keepdims=True)
        return shifted - np.log(total) if self.logarithms else powers / total

    def to_reals(self, array: Array) -> Array:
        """The inverse: logarithms, of a share of 0 that of the least number there is."""
        return array if self.logarithms else np.log(np.maximum(array, LEAST))

    def stretched(self, array: Array, factor: float) -> Array:
        return self.of_reals(factor * self.to_reals(array))


@dataclass(frozen=True)
class Boxes:
    """Rows of four numbers: two corners, the lower first, or a place and the sizes there."""

    sized: bool = False

    of_rows = True
    discrete = False

    @property
    def rule(self) -> str:
        return "a place, with a width and a height of at least 0" if self.sized else "the corners of a box, the lower first"

    @property
    def span(self) -> Interval:
        return Interval()

    def holds(self, array: Numbers) -> bool:
        return all_finite(array) and not self.outside(array).any()

    def outside(self, array: Numbers) -> NDArray[np.bool_]:
        """Which sizes lie below 0, or numbers of the second corner below those of the first."""
        low = array[..., 2:] < (0.0 if self.sized else array[..., :2])
        return np.concatenate([np.zeros_like(low), low], axis=-1)

    def includes(self, other: Domain) -> bool:
        return self == other

    def extremes(self, k: int, limit: float = MOST) -> Array:
        """Boxes of no size, of no width, small, large and far away, no wider than half the limit."""
        sizes = [(width, height) for width in (0.0, 1.0 / limit, 1.0, limit / 4) for height in (0.0, 1.0, limit / 4)]
        places = [(0.0, 0.0), (-1.0, 1.0), (-limit / 4, limit / 4), (limit / 2, 0.0)]
        rows = np.array([(*place, *size) for place in places for size in sizes])
        return rows if self.sized else np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)

    def nearest(self, array: Array) -> Array:
        first, second = array[..., :2], array[..., 2:]
        if self.sized:
            return np.concatenate([first, np.maximum(second, 0.0)], axis=-1)
        return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=-1)

    def stretched(self, array: Array, factor: float) -> Array:
        return array * factor


def _written(number: float) -> str:
    return f"{number:g}".replace("-", "−")
