"""Numbers of about 32 digits, as pairs of floats: for what cancels.

Error-free transforms follow Dekker (1971), doi:10.1007/BF01397083, and Ogita, Rump and Oishi (2005),
doi:10.1137/030601818. A pair (high, low) stands for the unrounded sum high + low.
"""

import math
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import LOG_2, Array


def two_sum(a: Array, b: Array | float) -> tuple[Array, Array]:
    """a + b as (rounded, error), exactly."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def two_product(a: Array, b: Array | float) -> tuple[Array, Array]:
    """a · b as (rounded, error), exactly while the product stays within the range 1e-290 to 1e308 (Dekker)."""
    product = a * b
    a_high, a_low = split(a)
    b_high, b_low = (a_high, a_low) if b is a else split(np.asarray(b, dtype=np.float64))
    error = a_high * b_high
    error -= product
    error += a_high * b_low
    error += a_low * b_high
    error += a_low * b_low
    return product, error


_HALF_OF_LOWER, _UPPER = np.int64(1 << 26), np.int64(-1 << 27)


def split(a: Array) -> tuple[Array, Array]:
    """a as a number of 26 bits and the rest: products of two such numbers are exact. On the bits, it takes three passes."""
    bits = a.view(np.int64) + _HALF_OF_LOWER
    bits &= _UPPER
    high: Array = bits.view(np.float64)
    return high, a - high


Pair: TypeAlias = tuple[Array, Array]
"""(high, low), the unrounded sum of both, with |low| at most half a unit in the last place of high."""


def pair(x: Array) -> Pair:
    return x, np.zeros_like(x)


def constant(x: float) -> Pair:
    return np.full(1, x), np.zeros(1)


def renormalised(high: Array, low: Array) -> Pair:
    """The pair of high + low, exactly where |high| ≥ |low|."""
    total = high + low
    return total, low - (total - high)


def pair_add(a: Pair, b: Pair) -> Pair:
    """a + b, to about 2⁻¹⁰⁵ of the larger: what is left of a difference keeps the digits that its terms had."""
    high, low = two_sum(a[0], b[0])
    return renormalised(high, low + (a[1] + b[1]))


def pair_multiply(a: Pair, b: Pair) -> Pair:
    """a · b, to about 2⁻¹⁰⁴ (within the range of two_product)."""
    high, low = two_product(a[0], b[0])
    return renormalised(high, low + (a[0] * b[1] + a[1] * b[0]))


def pair_divide(a: Pair, b: Pair) -> Pair:
    """a / b, to about 2⁻¹⁰³: the rounded quotient and what its exact remainder adds to it."""
    quotient = a[0] / b[0]
    product, error = two_product(quotient, b[0])
    return renormalised(quotient, (((a[0] - product) - error) + (a[1] - quotient * b[1])) / b[0])


def plus_share(a: Pair, b: Pair, y: Array, x: Array) -> Array:
    """a + b·(y/x), rounded once, as (a·x + b·y)/x with both brought near 1; where they leave the range of pairs, as it comes."""
    exponent = -np.frexp(x)[1]
    near, far = np.ldexp(x, exponent), np.ldexp(y, exponent)
    high, low = pair_add(pair_multiply(a, pair(near)), pair_multiply(b, pair(far)))
    return np.where(np.isfinite(high + low), (high + low) / near, a[0] + b[0] * (y / x))


def pair_sqrt(a: Pair) -> Pair:
    """√a, to about 2⁻¹⁰³: one Newton step from the rounded root; 0 at 0."""
    root = np.sqrt(a[0])
    square, error = two_product(root, root)
    remainder = ((a[0] - square) - error) + a[1]
    return renormalised(root, np.divide(remainder, 2.0 * root, out=np.zeros_like(root), where=root > 0))


def pair_sum(a: Pair) -> Pair:
    """The sum over the last axis, kept as (..., 1), in a tree of two_sums: no digit of a cancelling sum is lost."""
    high, low = (np.moveaxis(by_columns(part), -1, 0) for part in a)
    while len(high) > 1:
        half = len(high) // 2
        total, error = two_sum(high[:half], high[half : 2 * half])
        error += low[:half] + low[half : 2 * half]
        high, low = (
            (total, error)
            if len(high) == 2 * half
            else (np.concatenate((total, high[2 * half :])), np.concatenate((error, low[2 * half :])))
        )
    return renormalised(np.moveaxis(high, 0, -1), np.moveaxis(low, 0, -1))


def by_columns(a: Array) -> Array:
    """The same numbers with columns in one piece each: where rows are short, NumPy's loops then are as long as the columns."""
    return np.asfortranarray(a) if a.shape[-1] < 32 else a


def row_sums_exact(x: Array) -> Array:
    """Σ of each row (n, k) -> (n,), to about 2⁻¹⁵⁰ of its largest term: the errors of a tree of two_sums, summed in pairs."""
    errors = [np.zeros((len(x), 1))]
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        total, error = two_sum(x[:, :half], x[:, half : 2 * half])
        errors.append(error)
        x = np.concatenate((total, x[:, 2 * half :]), axis=1)
    rest = np.concatenate(errors, axis=1)
    high, low = pair_add((x, np.zeros_like(x)), pair_sum((rest, np.zeros_like(rest))))
    return (high + low)[:, 0]


_BITS = 200
_ONE = 1 << _BITS
"""What tables are made of: whole numbers that stand for so many of them. Fractions would be a thirtieth of what a start takes."""


def _in_parts(number: int, *bits: int) -> tuple[float, ...]:
    """A number as a sum of floats: each part the rest rounded to so many bits after the point, the last to a float."""
    parts: list[float] = []
    for places in bits:
        unit = _ONE >> places
        rounded = (number + unit // 2) // unit
        parts.append(rounded / 2**places)
        number -= rounded * unit
    return (*parts, number / _ONE)


def _columns(rows: Iterable[tuple[float, ...]]) -> list[Array]:
    return [*np.array([*rows]).T.copy()]


def _log_of_2() -> int:
    """∑ 1/(k·2ᵏ)."""
    return sum((_ONE >> k) // k for k in range(1, _BITS))


def _roots_of_2() -> Iterator[int]:
    """2 to the power of 0, 1/1024, 2/1024, ... below 1."""
    step = 2 * _ONE
    for _ in range(10):
        step = math.isqrt(step * _ONE)
    root = _ONE
    for _ in range(_PER_OCTAVE):
        yield root
        root = root * step >> _BITS


_PER_OCTAVE = 1024
# a multiple of the first two parts by |k| < 2**21 is exact
_LOG_2_PARTS = _in_parts(_log_of_2(), 32, 64)
_STEPS = tuple(part / _PER_OCTAVE for part in _LOG_2_PARTS)
_ROOT_HIGH, _ROOT_LOW = _columns(_in_parts(root, 52) for root in _roots_of_2())
_SIXTH = _in_parts(_ONE // 6, 54)


_AT_ONCE = 2048
"""Exponentials taken at a time: beyond, a C library gives the memory of what is computed between back and asks for it again."""


def exp_parts(x: Array, rest: Array | float = 0.0) -> tuple[Pair, NDArray[np.int32]]:
    """e^(x + rest), of a pair, as a pair between 1 and 2, to about 2⁻¹⁰³, and the power of two that it is to be multiplied by."""
    if x.size <= _AT_ONCE:
        return _exp_parts(x, rest)
    x = x if x.flags.c_contiguous or x.flags.f_contiguous else x.copy()
    high, low, octave = np.empty_like(x), np.empty_like(x), np.empty_like(x, np.int32)
    low[...] = rest
    given, above, below, powers = x.ravel("K"), high.ravel("K"), low.ravel("K"), octave.ravel("K")
    for start in range(0, x.size, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        (above[some], below[some]), powers[some] = _exp_parts(given[some], below[some])
    return (high, low), octave


def _exp_parts(x: Array, rest: Array | float) -> tuple[Pair, NDArray[np.int32]]:
    """It is 2^(k/1024), from a table, times a short series.

    Beside the table, r is at most 2⁻¹¹: of r + r²/2 + r³/6 + r⁴/24 + ... only what comes before r⁴ needs pairs.
    """
    x = np.clip(x, -1100.0, 1100.0)
    k = np.rint(x * (_PER_OCTAVE / LOG_2))
    first, second, third = _STEPS
    high, low = two_sum(x - k * first, -(k * second))
    high, low = renormalised(high, low + (rest - k * third))
    halves = split(high)
    tail = high * (1 / 24 + high * (1 / 120 + high * (1 / 720 + high / 5040)))
    series = _plus(_SIXTH[0], (tail, _SIXTH[1]))
    series = _plus(0.5, _times(series, (high, low), halves))
    series = _plus(1.0, _times(series, (high, low), halves))
    excess, low = _times(series, (high, low), halves)  # e^r − 1
    steps = k.astype(np.int32)  # of 32 bits, which ldexp takes in a twentieth of the time
    octave, step = steps >> 10, steps & (_PER_OCTAVE - 1)
    root = _ROOT_HIGH.take(step)  # in half the time of an index
    high, error = two_product(root, excess)
    error += root * low + _ROOT_LOW.take(step) * (1.0 + excess)
    return renormalised(*_plus(root, (high, error))), octave


def exp_pair(x: Array) -> Pair:
    """eˣ, to about 2⁻¹⁰³ where the result is within the range of two_product."""
    (high, low), octave = exp_parts(x)
    return np.ldexp(high, octave), np.ldexp(low, octave)


def _plus(larger: Array | float, a: tuple[Array, Array | float]) -> Pair:
    """larger + a where |larger| ≥ |a|, not brought into the form of a pair."""
    total = a[0] + larger
    error = larger - total
    error += a[0]
    error += a[1]
    return total, error


def _times(a: Pair, b: Pair, b_split: tuple[Array, Array]) -> Pair:
    """a · b with b's high part split already, not brought into the form of a pair."""
    high, low = split(a[0])
    product = a[0] * b[0]
    error = high * b_split[0]
    error -= product
    error += high * b_split[1]
    error += low * b_split[0]
    error += low * b_split[1]
    error += a[0] * b[1] + a[1] * b[0]
    return product, error


def log_pair(x: Array) -> Pair:
    """log x of numbers above 0, to about 2⁻¹⁰⁵ absolute: the rounded logarithm, put right by how far its exponential is off."""
    fraction, exponent = np.frexp(x)
    below = fraction < math.sqrt(0.5)  # into [√½, √2), so that a logarithm near 0 has no k·log 2 to cancel
    fraction, k = np.where(below, 2.0 * fraction, fraction), np.where(below, exponent - 1, exponent).astype(np.float64)
    guess = np.log(fraction)
    product, error = pair_multiply((fraction, np.zeros_like(fraction)), exp_pair(-guess))
    off = (product - 1.0) + error
    first, second, third = _LOG_2_PARTS
    high, low = two_sum(k * first, guess)
    high, lower = two_sum(high, k * second)
    return renormalised(high, low + (lower + (k * third + (off - off * off / 2.0))))


@cache
def _logs() -> tuple[Array, Array]:
    """log c of c = 1, 1 + 1/1024, ... 2: each the one before and log((j + 1)/j) = 2 artanh(1/(2j + 1))."""
    logs = [0]
    for j in range(_PER_OCTAVE, 2 * _PER_OCTAVE):
        odd, power, step, n = 2 * j + 1, _ONE // (2 * j + 1), 0, 1
        while power:
            step += power // n
            power, n = power // odd**2, n + 2
        logs.append(logs[-1] + 2 * step)
    high, low = _columns(_in_parts(log, 52) for log in logs)
    return high, low


def log_long(x: Array) -> Pair:
    """log x of numbers above 0, to about 2⁻⁷⁴ absolute, in a third of the time of log_pair.

    It is log c, of the c beside x in a table, and log(1 + r) with r = x/c − 1 at most 2⁻¹¹, whose square needs no pair.
    """
    fraction, exponent = np.frexp(x)
    fraction += fraction
    k = exponent - 1.0
    step = np.rint((fraction - 1.0) * _PER_OCTAVE)
    near = 1.0 + step / _PER_OCTAVE  # of 11 bits, so that products with half of another number are exact
    gap = fraction - near
    r = gap / near
    r_high, r_low = split(r)
    rest = ((gap - r_high * near) - r_low * near) / near
    rest -= r * r * (1 / 2 - r * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r / 6))))
    log_high, log_low = (part.take(step.astype(np.int32)) for part in _logs())
    first, second, third = _LOG_2_PARTS
    high, low = two_sum(k * first, log_high)
    high, lower = two_sum(high, r)
    return high, low + (lower + (k * second + (k * third + (log_low + rest))))


_PER_RADIAN = 64


def _circle() -> Iterator[tuple[int, int]]:
    """Cosine and sine of 0, 1/64, 2/64, ... radians up to a quarter turn."""
    terms = [_ONE]
    while terms[-1]:
        terms.append(terms[-1] // (len(terms) * _PER_RADIAN))
    step_cos, step_sin = (sum(term * (-1) ** i for i, term in enumerate(terms[first::2])) for first in (0, 1))
    cos, sin = _ONE, 0
    for _ in range(round(math.pi / 2 * _PER_RADIAN) + 1):
        yield cos, sin
        cos, sin = (cos * step_cos - sin * step_sin) >> _BITS, (sin * step_cos + cos * step_sin) >> _BITS


_COS_HIGH, _COS_LOW, _SIN_HIGH, _SIN_LOW = _columns((*_in_parts(cos, 52), *_in_parts(sin, 52)) for cos, sin in _circle())


def pair_arctan2(y: Pair, x: Pair) -> Pair:
    """The angle of (x, y), x at least 0, to about 2⁻⁶⁶ of itself; 0 at the origin.

    It is one of 1/64, 2/64, ... radians, and what is left beyond that, whose tangent is small.
    """
    back = np.signbit(y[0])
    y = either(back, pair_negative(y), y)
    step = np.rint(np.arctan2(y[0], x[0]) * _PER_RADIAN).astype(np.int64)
    cos, sin = (_COS_HIGH[step], _COS_LOW[step]), (_SIN_HIGH[step], _SIN_LOW[step])
    above = pair_add(pair_multiply(y, cos), pair_negative(pair_multiply(x, sin)))
    below = pair_add(pair_multiply(x, cos), pair_multiply(y, sin))
    some = below[0] > 0
    high, low = pair_divide(above, (np.where(some, below[0], 1.0), below[1]))
    square = high * high
    low -= high * square * (1 / 3 - square * (1 / 5 - square * (1 / 7 - square / 9)))
    angle = pair_add((step / _PER_RADIAN, np.zeros_like(high)), renormalised(high, low))
    return either(back, pair_negative(angle), angle)


def difference(a: Array, b: Array) -> Pair:
    """a − b as (rounded, error), exactly; the error is 0 where the difference overflows."""
    rounded, error = two_sum(a, -b)
    return rounded, np.where(np.isfinite(error), error, 0.0)


def pair_negative(a: Pair) -> Pair:
    return -a[0], -a[1]


def pair_exp(a: Pair) -> Pair:
    """e^a of a pair of at most 700; 0 below −800."""
    (high, low), octave = exp_parts(np.maximum(a[0], -800.0), np.where(a[0] > -800.0, a[1], 0.0))
    return np.ldexp(high, octave), np.ldexp(low, octave)


def pair_log(a: Pair) -> Pair:
    """log a of a pair above 0, from that of its high part."""
    return pair_add(log_pair(a[0]), (a[1] / a[0], np.zeros_like(a[1])))


def complement(p: Array) -> Pair:
    """1 − p, exactly."""
    return renormalised(*two_sum(-p, 1.0))


def odds(x: Array, t: Pair) -> tuple[Pair, Pair]:
    """σ(x) and σ(−x) from t = e^−|x|: 1/(1 + t) and t/(1 + t), unrounded."""
    whole = pair_add((np.ones_like(x), 0.0 * x), t)
    larger, smaller = pair_divide((np.ones_like(x), 0.0 * x), whole), pair_divide(t, whole)
    back = np.signbit(x)
    return either(back, smaller, larger), either(back, larger, smaller)


def either(condition: NDArray[np.bool_], yes: Pair, no: Pair) -> Pair:
    return np.where(condition, yes[0], no[0]), np.where(condition, yes[1], no[1])


def relative_gap(a: Array, b: Array) -> Pair:
    """(a − b) / b of numbers above 0, unrounded; both are brought near 1 first, so that nothing leaves the range of pairs."""
    exponent = -np.frexp(b)[1]
    a_near, b_near = np.ldexp(a, exponent), np.ldexp(b, exponent)
    gap, low = pair_divide(two_sum(a_near, -b_near), (b_near, np.zeros_like(b_near)))
    usable = np.isfinite(gap) & np.isfinite(low)
    return np.where(usable, gap, a / b - 1.0), np.where(usable, low, 0.0)


def log_ratio(a: Array, b: Array, gap: Pair) -> Array:
    """log(a / b) from the relative gap where the two are near, of the quotient where it exists, of each where it does not."""
    high, low = gap
    quotient = a / b
    far = np.where((quotient > 1e-300) & np.isfinite(quotient), np.log(quotient), np.log(a) - np.log(b))
    return np.where(np.abs(high) < 0.9, np.log1p(high) + low / (1.0 + high), far)


def log_excess(a: Array, b: Array) -> Array:
    """a/b − 1 − log(a/b), which is never below 0, without the cancellation near a = b.

    With v = a/b − 1 and r = v / (2 + v) it is v − 2 artanh r = r·(v − 2r²·(1/3 + r²/5 + r⁴/7 + ...)).
    """
    gap = high, low = relative_gap(a, b)
    near = (high > -0.72) & (high < 1.0)  # beyond, the logarithm is little larger than what is left of it
    v = np.where(near, high, 0.0)
    r = v / (2.0 + v)
    square = r * r
    series = np.zeros_like(v)
    for n in range(65, 1, -2):
        series = series * square + 1.0 / n
    close = r * (v - 2.0 * square * series) + low * v / (1.0 + v)
    return np.where(near, close, high - log_ratio(a, b, gap) + low)
