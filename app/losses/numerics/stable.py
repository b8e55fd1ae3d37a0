"""Building blocks that keep their digits: each a textbook expression, written so that nothing cancels or overflows."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domains import all_finite as all_finite

Array: TypeAlias = NDArray[np.float64]
LOG_2 = math.log(2.0)
CHUNK = 40 * 1024
"""Numbers that a long sum takes at a time: they and their remainders fit in the cache."""
SHORT = 512
"""Numbers up to which a sum is not cut."""
HUGE = 1e290
"""Numbers beyond are not cut either: nothing far above them is left."""
FAR = 2.0**-20
"""A sum that is so much less than where its numbers were cut leaves too much to their remainders."""


def power_of_two(magnitude: Array) -> Array:
    """The power of two below each magnitude (1 for 0 and non-finite): dividing by it is exact and makes squares safe."""
    usable = np.where(np.isfinite(magnitude) & (magnitude > 0), magnitude, 1.0)
    return np.ldexp(1.0, np.clip(np.frexp(usable)[1], -1020, 1020))


def sign(x: Array) -> Array:
    """−1, 0 or 1, and 0 for NaN: by two comparisons, which take half the time of np.sign."""
    return np.subtract((x > 0).view(np.int8), (x < 0).view(np.int8)).astype(np.float64)


def log_of_sum(total: Array, lost: Array) -> Array:
    """ln(total + lost), lost being what total has lost in rounding, an array that is no longer needed.

    ln s + e/s to all digits, so that of 1 − p a tiny p keeps its own: in two thirds of the time of log1p where a processor
    has no vectors of 512 bits, and one logarithm serves terms of both kinds.
    """
    lost /= total
    lost += np.log(total)
    return lost


def softplus(x: Array) -> Array:
    """log(1 + eˣ) without overflow: max(x, 0) + log1p(e^−|x|)."""
    t = np.exp(-np.abs(x))
    total = 1.0 + t
    t -= total - 1.0
    return log_of_sum(total, t) + np.maximum(x, 0.0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) from e^−|x|, exact in both tails; 1 − sigmoid(x) is sigmoid(−x), never a subtraction."""
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, t) / (1.0 + t)


def sigmoid_slope(x: Array) -> Array:
    """The derivative of the sigmoid, σ(x)·σ(−x): even, and exact in both tails."""
    t = np.exp(-np.abs(x))
    return t / np.square(1.0 + t)


def xlogy(x: Array, y: Array) -> Array:
    """x · log y with 0 · log 0 = 0, the limit that cross-entropies rely on."""
    return np.multiply(x, np.log(y), out=np.zeros_like(y), where=x != 0)


def exact_sum(x: Array) -> float:
    """Σx, rounded once (Rump, Ogita and Oishi 2008, doi:10.1137/050645671)."""
    if x.size <= SHORT:
        return _sum_of_terms(x.tolist())
    return sum_of_parts([partial_sum(piece) for piece in _chunks(x)], lambda: x)


class Partial(NamedTuple):
    """Few numbers with the sum of many: exactly, but for `slack` at most."""

    terms: list[float]
    slack: float
    anchor: float = 0.0
    """The power of two at which they were cut, 0 where they were not."""


NOTHING = Partial([], 0.0)


def partial_sum(x: Array, anchor: float = 0.0) -> Partial:
    """Σx as an exact part and a small one.

    Adding a power of two far above every number and taking it away again cuts each into a multiple of one common unit,
    whose sum has no rounding error, and a remainder too small for its own errors to matter. The `anchor` of numbers like
    these saves looking for the largest, where none is below 0: then their sum shows whether it is far enough above.
    """
    if x.size <= SHORT:
        return Partial(x.tolist(), 0.0)
    if anchor:
        partial = _cut(x, anchor)
        if anchor * FAR < partial.terms[0] < anchor:
            return partial
    square = float(x.dot(x))  # at least the square of the largest number, in a third of the time that finding it takes
    most = math.sqrt(square) if 1e-280 < square < 1e300 else largest(x)
    if not 0 < most < HUGE:
        return Partial(exact_terms(x), 0.0)
    return _cut(x, _anchor(most, x.size))


def _cut(x: Array, anchor: float) -> Partial:
    high = x + anchor
    high -= anchor
    exact = float(np.einsum("i->", high))  # twice as fast as sum
    small = float(np.einsum("i->", np.subtract(x, high, out=high)))
    return Partial([exact, small], x.size**2 * 2.0**-106 * anchor, anchor)  # n roundings of a sum below n units of anchor/2⁵³


def sum_of_parts(parts: Iterable[Partial], numbers: Callable[[], Array]) -> float:
    """The sum of all `numbers`, rounded once, from the partial sums of any pieces of them.

    Where their slack leaves two floats to choose from, the numbers are cut anew until nothing remains: the answer is the
    same whatever the pieces were.
    """
    terms = [term for part in parts for term in part.terms]
    total = _sum_of_terms(terms)
    slack = 2.0 * sum(part.slack for part in parts)
    if not slack or not math.isfinite(total) or _sum_of_terms([*terms, slack]) == _sum_of_terms([*terms, -slack]):
        return total
    return _sum_of_terms([term for piece in _chunks(numbers()) for term in exact_terms(piece)])


def exact_terms(x: Array) -> list[float]:
    """Numbers with the very sum of x: few, unless they are huge."""
    terms: list[float] = []
    while 0 < (most := largest(x)) < HUGE:
        anchor = _anchor(most, x.size)
        high = x + anchor
        high -= anchor
        terms.append(float(high.sum()))
        x = np.subtract(x, high, out=high)
    return terms if most == 0 else [*terms, *x.tolist()]


def _anchor(most: float, size: int) -> float:
    """The power of two at which numbers up to the largest are cut: so many of their multiples add up without rounding."""
    return math.ldexp(1.0, math.frexp(most)[1] + size.bit_length())


def largest(x: Array) -> float:
    """The size of the largest number, whatever its sign."""
    return float(max(x.max(), -x.min()))


def _chunks(x: Array) -> Iterator[Array]:
    return (x[start : start + CHUNK] for start in range(0, x.size, CHUNK))


def _sum_of_terms(terms: list[float]) -> float:
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):  # fsum refuses what has no finite partial sums; the sum may be infinite or NaN
        return float(np.sum(terms))


def exp_tail(x: Array) -> Array:
    """eˣ − 1 − x, which is never below 0: its own series within ±1, where the three terms would cancel."""
    near = np.clip(x, -1.0, 1.0)
    series = np.ones_like(near)
    for n in range(20, 2, -1):
        series = 1.0 + series * near / n
    return np.where(np.abs(x) < 1.0, series * near * near / 2.0, np.expm1(x) - x)


def log_tail(x: Array) -> Array:
    """(x − log(1 + x))/x² of numbers from 0 to 1, by the series of the area tangent: the two terms would cancel."""
    r = x / (2.0 + x)
    square = r * r
    series = np.zeros_like(x)
    for n in range(39, 1, -2):  # r is at most ⅓
        series = series * square + 1.0 / n
    # x − 2 artanh r is r·x − 2r³·series, and r is x/(2 + x)
    return (1.0 - 2.0 * r * series / (2.0 + x)) / (2.0 + x)


def recovered(values: Array, again: Callable[[], Array]) -> Array:
    """The values, those that are not finite replaced by `again()`: a slower form near the end of the range."""
    if all_finite(values):
        return values
    return np.where(np.isfinite(values), values, again())


def softplus_and_sigmoid(x: Array) -> tuple[Array, Array]:
    """log(1 + eˣ) and its derivative, from one exponential."""
    t = np.exp(-np.abs(x))
    total = 1.0 + t
    return np.maximum(x, 0.0) + log_of_sum(total, t - (total - 1.0)), np.where(x >= 0, 1.0, t) / total
