"""Building blocks that keep their digits: each a textbook expression, written so that nothing cancels or overflows.

Error-free transforms follow Dekker (1971), doi:10.1007/BF01397083, and Ogita, Rump and Oishi (2005),
doi:10.1137/030601818. A pair (high, low) stands for the unrounded sum high + low.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

LOG_2 = math.log(2.0)


def two_sum(a: Array, b: Array | float) -> tuple[Array, Array]:
    """a + b as (rounded, error), exactly."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def two_product(a: Array, b: Array | float) -> tuple[Array, Array]:
    """a · b as (rounded, error), exactly while nothing leaves the range 1e-290 to 1e290 (Veltkamp's splitting)."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(np.asarray(b, dtype=np.float64))
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Array) -> tuple[Array, Array]:
    shifted = a * 134217729.0  # 2**27 + 1
    high = shifted - (shifted - a)
    return high, a - high


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


def exact_sum(x: Array) -> float:
    """Σx, rounded once (Rump, Ogita and Oishi 2008, doi:10.1137/050645671).

    Adding a power of two far above every number and taking it away again cuts each into a multiple of one common unit,
    whose sum has no rounding error, and a remainder too small for its own errors to matter.
    """
    if x.size <= 512:
        return _short_sum(x)
    largest = float(max(x.max(), -x.min()))
    if not math.isfinite(largest) or largest > 1e290:
        return float(np.sum(x))
    anchor = math.ldexp(1.0, math.frexp(largest)[1] + x.size.bit_length())
    high = (x + anchor) - anchor
    return math.fsum((float(high.sum()), float((x - high).sum())))


def _short_sum(x: Array) -> float:
    try:
        return math.fsum(x.tolist())
    except (OverflowError, ValueError):  # fsum refuses what has no finite partial sums; the sum may be infinite or NaN
        return float(np.sum(x))
