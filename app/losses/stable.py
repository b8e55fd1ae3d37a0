"""Building blocks that keep their digits: each a textbook expression, written so that nothing cancels or overflows."""

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
LOG_2 = math.log(2.0)
CHUNK = 1 << 15
"""Numbers that a long sum takes at a time: they and their remainders fit in the cache."""


def power_of_two(magnitude: Array) -> Array:
    """The power of two below each magnitude (1 for 0 and non-finite): dividing by it is exact and makes squares safe."""
    usable = np.where(np.isfinite(magnitude) & (magnitude > 0), magnitude, 1.0)
    return np.ldexp(1.0, np.clip(np.frexp(usable)[1], -1020, 1020))


def softplus(x: Array) -> Array:
    """log(1 + eˣ) without overflow: max(x, 0) + log1p(e^−|x|)."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) from e^−|x|, exact in both tails; 1 − sigmoid(x) is sigmoid(−x), never a subtraction."""
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, t) / (1.0 + t)


def xlogy(x: Array, y: Array) -> Array:
    """x · log y with 0 · log 0 = 0, the limit that cross-entropies rely on."""
    return np.multiply(x, np.log(y), out=np.zeros_like(y), where=x != 0)


def exact_sum(x: Array, spread: Callable[..., Iterable[tuple[float, float]]] = map) -> float:
    """Σx, rounded once (Rump, Ogita and Oishi 2008, doi:10.1137/050645671). `spread` is a map that may use threads.

    Adding a power of two far above every number and taking it away again cuts each into a multiple of one common unit,
    whose sum has no rounding error, and a remainder too small for its own errors to matter.
    """
    if x.size <= 512:
        return _short_sum(x)
    parts = spread(_cut_sum, [x[start : start + CHUNK] for start in range(0, x.size, CHUNK)])
    return _short_sum(np.array([each for pair in parts for each in pair]))


def _cut_sum(x: Array) -> tuple[float, float]:
    """Σx as an exact part and a small one."""
    square = float(x.dot(x))  # at least the square of the largest number, in a third of the time that finding it takes
    largest = math.sqrt(square) if 1e-280 < square < 1e300 else float(max(x.max(), -x.min()))
    if not math.isfinite(largest) or largest > 1e290:
        return _short_sum(x), 0.0
    anchor = math.ldexp(1.0, math.frexp(largest)[1] + x.size.bit_length())
    high = x + anchor
    high -= anchor
    return float(high.sum()), float(np.subtract(x, high, out=high).sum())


def _short_sum(x: Array) -> float:
    try:
        return math.fsum(x.tolist())
    except (OverflowError, ValueError):  # fsum refuses what has no finite partial sums; the sum may be infinite or NaN
        return float(np.sum(x))


def exp_tail(x: Array) -> Array:
    """eˣ − 1 − x, which is never below 0: its own series within ±1, where the three terms would cancel."""
    near = np.clip(x, -1.0, 1.0)
    series = np.ones_like(near)
    for n in range(20, 2, -1):
        series = 1.0 + series * near / n
    return np.where(np.abs(x) < 1.0, series * near * near / 2.0, np.expm1(x) - x)


def recovered(values: Array, again: Callable[[], Array]) -> Array:
    """The values (none is −∞), those that are not finite replaced by `again()`: a slower form near the end of the range.

    The largest value tells in one pass that there are none, which is all that most batches pay.
    """
    if np.isfinite(values.max()):
        return values
    return np.where(np.isfinite(values), values, again())


def softplus_and_sigmoid(x: Array) -> tuple[Array, Array]:
    """log(1 + eˣ) and its derivative, from one exponential."""
    t = np.exp(-np.abs(x))
    return np.maximum(x, 0.0) + np.log1p(t), np.where(x >= 0, 1.0, t) / (1.0 + t)
