"""Sums of two terms that may nearly cancel, and the logarithm of a factorial: in double-double where that is needed."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, exp_parts, log_pair, pair, pair_add, pair_multiply, two_sum
from app.losses.numerics.stable import Array, exp_tail, xlogy

Where: TypeAlias = NDArray[np.bool_]

HALF_LOG_2_PI, HALF_LOG_2_PI_LOW = 0.9189385332046728, -3.8782941580672414e-17
LOG_2_LOW = 2.3190468138462996e-17
"""What ln 2 is above its float64."""

# --- differences that keep their digits -----------------------------------------------------------------------------


def cancels(difference: Array, term: Array) -> Where:
    """Where a difference has lost two bits or more to cancellation, and its terms are in the range of double-double."""
    size = np.abs(term)
    return (np.abs(difference) < 0.25 * size) & (size > 1e-290) & (size < 1e290)


def exp_minus(factor: Array | float, x: Array, other: Array, exact: Callable[[Where], Pair]) -> Array:
    """factor · eˣ − other; where they nearly cancel in double-double, with `other` exact there."""
    power = factor * np.exp(x)
    far = (np.abs(x) > 700.0) | np.isinf(power)
    if far.any():  # eˣ may leave the range where the product does not
        half = np.exp(x / 2.0)
        power = np.where(far, factor * half * half, power)
        shifted = half * (factor * half - other / half)
        difference = np.where(np.isinf(power), np.where(np.isfinite(other) & ~np.isnan(shifted), shifted, power), power - other)
    else:
        difference = power - other
    close = cancels(difference, other) & ~far
    if close.any():
        high, low = exact(close)
        # the power of two of the factor is joined to that of the exponential, which alone may be out of range
        mantissa, exponent = np.frexp(np.broadcast_to(factor, x.shape)[close])
        power, octave = exp_parts(x[close])
        product = pair_multiply(power, pair(mantissa))
        put(
            difference,
            close,
            pair_add((np.ldexp(product[0], octave + exponent), np.ldexp(product[1], octave + exponent)), (-high, -low))[0],
        )
    return difference


def log_plus(factor: Array | float, x: Pair, other: Array, exact: Callable[[Where], Pair]) -> Array:
    """factor · log x + other with 0 · log 0 = 0; where they nearly cancel in double-double, with `other` exact there."""
    factor = np.broadcast_to(factor, other.shape)
    total = xlogy(factor, x[0]) + (factor * np.divide(x[1], x[0], out=np.zeros_like(other), where=x[0] > 0) + other)
    close = cancels(total, other)
    if close.any():
        logarithm = pair_add(log_pair(x[0][close]), pair(x[1][close] / x[0][close]))
        put(total, close, pair_add(pair_multiply(logarithm, pair(factor[close])), exact(close))[0])
    return total


def put(plain: Array, where: Where, better: Array) -> None:
    """The better numbers in place of the plain ones, except where a factor was outside the range of double-double."""
    plain[where] = np.where(np.isfinite(better), better, plain[where])


def times_power(x: Array, power: Callable[[float], Array]) -> Array:
    """x · power(1), in two steps of power(½) where one of the factors leaves the range of floats."""
    whole = power(1.0)
    product = x * whole
    outside = ~(np.isfinite(product) & (np.minimum(np.abs(product), np.abs(whole)) > 1e-290))
    if outside.any():
        half = power(0.5)
        product = np.where(outside, np.where(x == 0, 0.0, x * half * half), product)
    return product


# --- log y! -----------------------------------------------------------------------------------------------------------


def with_factorial(values: Array, predictions: Array, targets: Array, log_input: bool, eps: float, *, exact: bool) -> Array:
    """The Poisson loss + log y!. From y = 1 on the two nearly cancel: there it is the sum of terms that are at least 0,

    y·(e^z − 1 − z) with z = log(rate / y), ½ log 2πy, and the error of Stirling's formula.
    """
    large = targets >= 1.0 if exact else targets > 1.0
    y, p = targets[large], predictions[large]
    counts, of = np.unique(y, return_inverse=True)  # counts repeat: what is dear is done once for each
    if log_input:
        high, low = log_pair(counts)
        rate, z = np.exp(p), (p - high[of]) - low[of]
    else:
        rate, error = two_sum(p, eps)
        z = _log_ratio(rate, y) + np.divide(error, rate, out=np.zeros_like(rate), where=rate > 0)
    deviance = np.where((np.abs(z) < 1.0) | np.isinf(rate), y * exp_tail(z), rate - y * (1.0 + z))
    stirling = deviance + (np.log(y) / 2.0 + HALF_LOG_2_PI) - (0.0 if log_input else eps)
    total = values.copy()
    total[large] = stirling + _stirling_error(counts)[of] if exact else stirling
    if exact:
        total[~large] += _log_factorial_below_one(targets[~large])
    return total


def _log_ratio(a: Array, b: Array) -> Array:
    """log(a/b) from the exact difference: near a = b the rounded quotient would lose it."""
    excess = np.abs(a - b) / np.minimum(a, b)
    size = np.where(np.isfinite(excess), np.log1p(excess), np.abs(np.log(a) - np.log(b)))
    return np.where(a < b, -size, size)


def _stirling_error(y: Array) -> Array:
    """log y! − log(√(2πy)·(y/e)^y) for y ≥ 1: its asymptotic series from 10 on, below by steps of y to y + 1."""
    total = np.zeros_like(y)
    for _ in range(9):
        squared = 1.0 / (2.0 * y + 1.0) ** 2
        step = np.zeros_like(y)
        for k in range(17, 0, -1):  # (y + ½)·log(1 + 1/y) − 1, as a series without a difference
            step = squared * (1.0 / (2 * k + 1) + step)
        below = y < 10.0
        total, y = np.where(below, total + step, total), np.where(below, y + 1.0, y)
    w = 1.0 / (y * y)
    series = 1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188 - w * (691 / 360360 - w / 156)))))
    return total + series / y


def _zeta_less_one(k: int) -> float:
    """ζ(k) − 1 = Σ n⁻ᵏ from n = 2 on: the first terms, and Euler and Maclaurin's formula for the rest."""
    m = 200.0
    first = math.fsum(n**-k for n in range(2, 200))
    return first + m ** (1 - k) / (k - 1) + m**-k / 2 + k * m ** (-k - 1) / 12 - k * (k + 1) * (k + 2) * m ** (-k - 3) / 720


_ZETA_LESS_ONE = {k: _zeta_less_one(k) for k in range(2, 50)}
_EULER = 0.5772156649015329


def _log_factorial_below_one(y: Array) -> Array:
    """log y! = log Γ(1 + y) for 0 ≤ y < 1, with all its digits near 0, where it vanishes."""
    series = np.zeros_like(y)
    for k, zeta in reversed(_ZETA_LESS_ONE.items()):
        series = zeta / k - y * series
    return (y * (1.0 - _EULER) - np.log1p(y)) + y * y * series
