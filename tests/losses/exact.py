"""Numbers with all their digits and their derivatives: forward-mode differentiation over mpmath, and errors in ULP.

A formula written with these functions yields its value and its exact gradient in one pass, so that no derivative is
typed by hand. Where a function has a kink the formula declares the slope there, or says UNDECLARED: then any finite
slope is right.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import mpmath
from mpmath import mpf

mp: Any = mpmath.mp
"""The context of all digits; it has most of its functions only at run time."""

UNDECLARED = mp.nan
BEYOND = mpf(2) ** 1024  # the first number that float64 does not have
SPREAD = 3  # digits kept for every bit between the largest and the smallest input: products of three of them stay exact
LEAST_BITS = 1280
EXPONENTIAL_REACH = 800.0  # e^−800 is below every float64: 1 + e^−800 need not differ from 1


class Exact:
    """A real number and its derivatives to the inputs: {input: derivative}, without those that are 0.

    `bend` has the second derivative to each input by itself, where these are followed: that costs as much again.
    """

    __slots__ = ("bend", "slope", "value")
    bends = True

    def __init__(self, value: Any, slope: dict[Any, Any] | None = None, bend: dict[Any, Any] | None = None) -> None:
        self.value = value if type(value) is mpf else mpf(value)
        self.slope = slope or {}
        self.bend = bend or {}

    def __add__(self, other: Any) -> "Exact":
        other = exact(other)
        return Exact(self.value + other.value, _sum(self.slope, other.slope), _sum(self.bend, other.bend))

    def __neg__(self) -> "Exact":
        return Exact(-self.value, _times(self.slope, mpf(-1)), _times(self.bend, mpf(-1)))

    def __sub__(self, other: Any) -> "Exact":
        return self + -exact(other)

    def __mul__(self, other: Any) -> "Exact":
        other = exact(other)
        slope = _sum(_times(self.slope, other.value), _times(other.slope, self.value))
        value = _product(self.value, other.value)
        if not Exact.bends:
            return Exact(value, slope)
        bend = _sum(_times(self.bend, other.value), _times(other.bend, self.value))
        crossed = {key: 2 * _product(self.slope[key], other.slope[key]) for key in self.slope.keys() & other.slope.keys()}
        return Exact(value, slope, _sum(bend, crossed))

    def __truediv__(self, other: Any) -> "Exact":
        return self * exact(other) ** -1

    def __pow__(self, power: Any) -> "Exact":
        power = exact(power).value
        first = _product(power, _power(self.value, power - 1))
        second = _product(power * (power - 1), _power(self.value, power - 2)) if self.slope and Exact.bends else 0
        return chained(self, _power(self.value, power), first, second)

    def __radd__(self, other: Any) -> "Exact":
        return exact(other) + self

    def __rsub__(self, other: Any) -> "Exact":
        return exact(other) - self

    def __rmul__(self, other: Any) -> "Exact":
        return exact(other) * self

    def __rtruediv__(self, other: Any) -> "Exact":
        return exact(other) / self

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < exact(other).value)

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= exact(other).value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > exact(other).value)

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= exact(other).value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == exact(other).value)

    __hash__ = None  # type: ignore[assignment]

    @property
    def whole(self) -> bool:
        return bool(mp.isint(self.value))


def exact(number: Any) -> Exact:
    return number if isinstance(number, Exact) else Exact(number)


def chained(x: Exact, value: Any, first: Any, second: Any) -> Exact:
    """A function of x, from its value and derivatives there."""
    if not Exact.bends:
        return Exact(value, _times(x.slope, first))
    squares = _times({key: _product(slope, slope) for key, slope in x.slope.items()}, second)
    return Exact(value, _times(x.slope, first), _sum(_times(x.bend, first), squares))


def constant_of(parameter: Any) -> Any:
    """A parameter with its numbers made exact, so that 1 − parameter is."""
    if isinstance(parameter, list):
        return [constant_of(number) for number in parameter]
    return Exact(parameter) if isinstance(parameter, float) else parameter


def _sum(left: dict[Any, Any], right: dict[Any, Any]) -> dict[Any, Any]:
    if not left or not right:
        return left or right
    total = dict(left)
    for key, slope in right.items():
        total[key] = total[key] + slope if key in total else slope
    return total


def _times(slope: dict[Any, Any], factor: Any) -> dict[Any, Any]:
    """The slope times a factor; nothing where either is 0, however infinite the other (the formulas' 0 · log 0)."""
    return {key: derivative * factor for key, derivative in slope.items() if derivative} if slope and factor else {}


def _product(left: Any, right: Any) -> Any:
    return left * right if left and right else mpf(0)


def _power(base: Any, power: Any) -> Any:
    if not power:
        return mpf(1)
    if not base:
        return mp.inf if power < 0 else mpf(0)
    return base**power


# --- functions ------------------------------------------------------------------------------------------------------


@cache
def _exp(x: Any, bits: int) -> Any:
    return mp.exp(x)


@cache
def _log(x: Any, bits: int) -> Any:
    return mp.log(x)


def exp(x: Exact) -> Exact:
    value = _exp(x.value, mp.prec)
    return chained(x, value, value, value)


def log(x: Exact) -> Exact:
    return chained(x, _log(x.value, mp.prec), _power(x.value, mpf(-1)), -_power(x.value, mpf(-2)))


def sqrt(x: Exact) -> Exact:
    """The root; at 0 its slope is declared 0, as the gradient of a norm at its tip."""
    root = mp.sqrt(x.value)
    return chained(x, root, 1 / (2 * root), -1 / (4 * root * x.value)) if root else Exact(0)


def erf(x: Exact) -> Exact:
    density = 2 / mp.sqrt(mp.pi) * mp.exp(-(x.value**2))
    value = mp.erf(x.value) if abs(x.value) < 60 else mpf(mp.sign(x.value))
    return chained(x, value, density, -2 * x.value * density)


def cosh(x: Exact) -> Exact:
    return (exp(x) + exp(-x)) / 2


def sigmoid(x: Exact) -> Exact:
    return 1 / (1 + exp(-x))


def log1p_exp(x: Exact) -> Exact:
    return log(1 + exp(x))


def softmax(row: Sequence[Exact]) -> list[Exact]:
    powers = [exp(number) for number in row]
    total = total_of(powers)
    return [power / total for power in powers]


def angle(y: Exact, x: Exact) -> Exact:
    """arctan(y / x) for x, y ≥ 0, with π/2 at x = 0; without its second derivatives."""
    square = x.value**2 + y.value**2
    factor = (x.value / square, -y.value / square) if square else (mpf(0), mpf(0))
    return Exact(mp.atan2(y.value, x.value), _sum(_times(y.slope, factor[0]), _times(x.slope, factor[1])))


def log_factorial(y: Exact) -> Exact:
    """ln y! of a constant: by its series where mpmath would take seconds, for y next to 0 and beyond 10³⁰."""
    if y < 1e-30:
        return Exact(-mp.euler * y.value + mp.pi**2 / 12 * y.value**2)
    if y > 1e30:
        return Exact(y.value * (mp.log(y.value) - 1) + mp.log(2 * mp.pi * y.value) / 2 + 1 / (12 * y.value))
    with mp.workprec(min(mp.prec, 600)):
        return Exact(mp.loggamma(y.value + 1))


def xlogy(x: Exact, y: Exact) -> Exact:
    """x · log y, and nothing at all where x = 0."""
    return x * log(y) if x.value != 0 else Exact(0)


def total_of(terms: Sequence[Exact] | Iterator[Exact]) -> Exact:
    value, slope, bend = mpf(0), dict[Any, Any](), dict[Any, Any]()
    for term in map(exact, terms):
        value = value + term.value
        for total, more in ((slope, term.slope), (bend, term.bend)):
            for key, number in more.items():
                total[key] = total[key] + number if key in total else number
    return Exact(value, slope, bend)


@contextmanager
def following(second: bool) -> Iterator[None]:
    """Whether second derivatives are followed by what is computed within."""
    before, Exact.bends = Exact.bends, second
    try:
        yield
    finally:
        Exact.bends = before


# --- rows -------------------------------------------------------------------------------------------------------------


def mean_of(numbers: Sequence[Exact]) -> Exact:
    """The mean, and 0 of none."""
    return total_of(numbers) / max(len(numbers), 1)


def dot(a: Sequence[Exact], b: Sequence[Exact]) -> Exact:
    return total_of(x * y for x, y in zip(a, b, strict=True))


def one_hot(y: Any, k: int) -> Sequence[Exact]:
    return [Exact(c == y) for c in range(k)] if isinstance(y, int) else y


# --- kinks ----------------------------------------------------------------------------------------------------------


def positive(x: Exact, at_zero: Any) -> Exact:
    """max(0, x); at x = 0 its slope is `at_zero` of the slope of x."""
    if x.value > 0:
        return x
    return Exact(0, _times(x.slope, mpf(at_zero)), _times(x.bend, mpf(at_zero))) if x.value == 0 else Exact(0)


def absolute(x: Exact) -> Exact:
    """|x|; its slope at 0 is declared 0."""
    side = mpf(mp.sign(x.value))
    return Exact(abs(x.value), _times(x.slope, side), _times(x.bend, side))


def clipped(x: Exact, low: Any, high: Any = mp.inf) -> Exact:
    """x within [low, high]: constant outside, x itself at an edge, with both derivatives."""
    low, high = exact(low), exact(high)
    return low if x < low else high if x > high else x


def largest(numbers: Sequence[Exact]) -> Exact:
    """The largest; where several are, the slope is undeclared."""
    top = max(number.value for number in numbers)
    tied = [number for number in numbers if number.value == top]
    undeclared = dict.fromkeys({key for number in tied for key in number.slope}, UNDECLARED)
    return tied[0] if len(tied) == 1 else Exact(top, undeclared, undeclared)


def smallest(numbers: Sequence[Exact]) -> Exact:
    return -largest([-number for number in numbers])


def constant(x: Exact) -> Exact:
    """x without its slope."""
    return Exact(x.value)


# --- precision and error --------------------------------------------------------------------------------------------


def bits_for(numbers: Sequence[float]) -> int:
    """Bits in which what is left of a sum of these numbers, their products and exponentials, is no rounding but the truth.

    Beyond those that the spread of the numbers takes, enough that where all cancels the rest is below every float64.
    """
    exponents = [math.frexp(number)[1] for number in numbers if number != 0 and math.isfinite(number)] or [0]
    spread = max(*exponents, 1) - min(*exponents, 0)
    reach = min(max((abs(number) for number in numbers if math.isfinite(number)), default=0.0), EXPONENTIAL_REACH)
    return math.ceil((LEAST_BITS + SPREAD * spread + 1.5 * reach) / 512) * 512


def ulps(got: float, true: Any, size: Any = None) -> float:
    """How far a float64 is from the true number, in units in the last place of the true number (or of one of this size)."""
    if mp.isnan(true):
        return 0.0 if math.isfinite(got) else math.inf
    if math.isnan(got) or (mp.isinf(true) and got != float(true)):
        return math.inf
    if math.isinf(got) and abs(true) >= BEYOND:
        return 0.0 if (true > 0) == (got > 0) else math.inf
    unit = mpf(2) ** max(min(mp.mag(true if size is None else size), 1024) - 53, -1074)
    reached = mpf(got) if math.isfinite(got) else mp.sign(got) * BEYOND
    return float(min(abs(reached - true) / unit, mpf("1e300")))


def largest_magnitude(numbers: Iterable[Any]) -> Any:
    return max((abs(number) for number in numbers if mp.isfinite(number)), default=mpf(0))
