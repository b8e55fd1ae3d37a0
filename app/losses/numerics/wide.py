"""Numbers of about 32 digits with the signs of arithmetic: a formula that cancels is written as it stands in a book.

A number that leaves the range in which a remainder can be told (1e-290 to 1e290) is as its float64 has it, and has none: what
is infinite stays so, and what is 0.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import (
    Pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_sqrt,
    pair_sum,
)
from app.losses.numerics.stable import Array

Like: TypeAlias = "Wide | Array | float"
NEAR = 2.0**-20
"""A number up to which four terms of a series have all digits."""


class Wide:
    """The unrounded sum of two floats, for each number of an array."""

    __slots__ = ("high", "low")
    __array_ufunc__ = None  # an array on the left leaves the arithmetic to this

    def __init__(self, high: Array, low: Array | None = None) -> None:
        self.high = high
        self.low = np.zeros_like(high) if low is None else low

    @property
    def pair(self) -> Pair:
        return self.high, self.low

    def __neg__(self) -> "Wide":
        return Wide(-self.high, -self.low)

    def __abs__(self) -> "Wide":
        return where(self.high < 0, -self, self)

    def __add__(self, other: Like) -> "Wide":
        other = wide(other)
        return _sound(pair_add(self.pair, other.pair), lambda: self.high + other.high)

    def __sub__(self, other: Like) -> "Wide":
        return self + -wide(other)

    def __mul__(self, other: Like) -> "Wide":
        other = wide(other)
        return _sound(pair_multiply(self.pair, other.pair), lambda: self.high * other.high)

    def __truediv__(self, other: Like) -> "Wide":
        other = wide(other)
        return _sound(pair_divide(self.pair, other.pair), lambda: self.high / other.high)

    def __radd__(self, other: Like) -> "Wide":
        return self + other

    def __rsub__(self, other: Like) -> "Wide":
        return wide(other) + -self

    def __rmul__(self, other: Like) -> "Wide":
        return self * other

    def __rtruediv__(self, other: Like) -> "Wide":
        return wide(other) / self

    def __getitem__(self, index: object) -> "Wide":
        return Wide(self.high[index], self.low[index])  # type: ignore[index]

    def __pow__(self, power: int) -> "Wide":
        """A whole power."""
        return self if power == 1 else self * self ** (power - 1)

    def max(self) -> "Wide":
        """The largest over the last axis, which is kept with one number."""
        high = self.high.max(axis=-1, keepdims=True)
        return Wide(high, np.where(self.high == high, self.low, -np.inf).max(axis=-1, keepdims=True))

    def sum(self) -> "Wide":
        """The sum over the last axis, which is kept with one number."""
        return _sound(pair_sum(self.pair), lambda: self.high.sum(axis=-1, keepdims=True))


def wide(number: Like) -> Wide:
    if isinstance(number, Wide):
        return number
    return Wide(number) if isinstance(number, np.ndarray) else Wide(np.full(1, float(number)))


def _sound(found: Pair, plain: Callable[[], Array]) -> Wide:
    high, low = found
    sound = np.isfinite(high) & np.isfinite(low)
    if sound.all():
        return Wide(high, low)
    return Wide(np.where(sound, high, plain()), np.where(sound, low, 0.0))


def where(condition: NDArray[np.bool_], yes: Like, no: Like) -> Wide:
    yes, no = wide(yes), wide(no)
    return Wide(np.where(condition, yes.high, no.high), np.where(condition, yes.low, no.low))


def exp(x: Like) -> Wide:
    x = wide(x)
    return _sound(pair_exp(x.pair), lambda: np.exp(x.high))


def log(x: Like) -> Wide:
    """ln x of numbers of at least 0."""
    x = wide(x)
    return _sound(pair_log(x.pair), lambda: np.log(x.high))


def power(x: Like, exponent: float) -> Wide:
    """x^exponent of numbers of at least 0; 0⁰ is 1."""
    x = wide(x)
    some = x.high > 0
    raised = exp(log(where(some, x, 1.0)) * exponent)
    return where(some, raised, 1.0 if exponent == 0 else 0.0)


def sqrt(x: Like) -> Wide:
    x = wide(x)
    return _sound(pair_sqrt(x.pair), lambda: np.sqrt(x.high))


def log1p(x: Like) -> Wide:
    """ln(1 + x), by its series where x is so small that little of it would be left in the sum."""
    x = wide(x)
    return where(np.abs(x.high) < NEAR, x - x * x * (0.5 - x * (wide(1.0) / 3.0 - x * (0.25 - x * 0.2))), log(1.0 + x))


def expm1(x: Like) -> Wide:
    """eˣ − 1, likewise."""
    x = wide(x)
    near = x + x * x * (0.5 + x * (wide(1.0) / 6.0 + x * (wide(1.0) / 24.0 + x / 120.0)))
    return where(np.abs(x.high) < NEAR, near, exp(x) - 1.0)


def exp_tail(x: Like) -> Wide:
    """eˣ − 1 − x, likewise."""
    x = wide(x)
    near = x * x * (0.5 + x * (wide(1.0) / 6.0 + x * (wide(1.0) / 24.0 + x * (wide(1.0) / 120.0))))
    return where(np.abs(x.high) < NEAR, near, exp(x) - 1.0 - x)


def softplus(x: Like) -> Wide:
    """ln(1 + eˣ)."""
    x = wide(x)
    return where(x.high > 0, x, 0.0) + log1p(exp(-abs(x)))


def sigmoid(x: Like) -> Wide:
    """1/(1 + e⁻ˣ)."""
    x = wide(x)
    power = exp(-abs(x))
    return where(x.high >= 0, 1.0, power) / (1.0 + power)


def tanh_of_half(x: Like) -> Wide:
    """tanh(½x)."""
    x = wide(x)
    power = exp(-abs(x))
    size = -expm1(-abs(x)) / (1.0 + power)
    return where(x.high < 0, -size, size)


def standardised(y: Array, location: Array, scale: Array) -> Wide:
    """(y − location)/scale, where the difference alone may be beyond float64."""
    gap = wide(y) - location
    return where(np.isfinite(gap.high), gap / scale, wide(y / 2.0) / scale * 2.0 - wide(location / 2.0) / scale * 2.0)


class LogSoftmax(NamedTuple):
    """The softmax p over the last axis: of the class with the largest score, 1 − p and ln p keep all of their digits."""

    logarithm: Wide
    p: Wide
    rest: Wide
    """1 − p."""


def softmax_parts(x: Like) -> LogSoftmax:
    """The softmax of rows (n, k)."""
    x = wide(x)
    gap = x - x.max()
    order = gap.high + np.where(gap.high == 0, gap.low, 0.0)
    top: NDArray[np.bool_] = np.arange(x.high.shape[-1], dtype=np.int64) == order.argmax(axis=-1)[:, None]
    powers = exp(where(gap.high < -1e300, -1e300, gap))
    others = where(top, 0.0, powers).sum()
    total = 1.0 + others
    p = powers / total
    return LogSoftmax(gap - log1p(others), p, where(top, others / total, 1.0 - p))


def log_softmax(x: Like) -> Wide:
    """ln of the softmax of rows (n, k)."""
    return softmax_parts(x).logarithm
