"""Building blocks that keep their digits: each a textbook expression, written so that nothing cancels or overflows.

Error-free transforms follow Dekker (1971), doi:10.1007/BF01397083, and Ogita, Rump and Oishi (2005),
doi:10.1137/030601818. A pair (high, low) stands for the unrounded sum high + low.
"""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple, TypeAlias

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


# --- double-double: numbers of about 32 digits, for what cancels ------------------------------------------------------

Pair: TypeAlias = tuple[Array, Array]
"""(high, low), the unrounded sum of both, with |low| at most half a unit in the last place of high."""


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


def pair_sqrt(a: Pair) -> Pair:
    """√a, to about 2⁻¹⁰³: one Newton step from the rounded root; 0 at 0."""
    root = np.sqrt(a[0])
    square, error = two_product(root, root)
    remainder = ((a[0] - square) - error) + a[1]
    return renormalised(root, np.divide(remainder, 2.0 * root, out=np.zeros_like(root), where=root > 0))


def pair_sum(a: Pair) -> Pair:
    """The sum over the last axis, kept as (..., 1), in a tree of two_sums: no digit of a cancelling sum is lost."""
    high, low = a
    while high.shape[-1] > 1:
        half = high.shape[-1] // 2
        total, error = two_sum(high[..., :half], high[..., half : 2 * half])
        error = error + (low[..., :half] + low[..., half : 2 * half])
        high = np.concatenate((total, high[..., 2 * half :]), axis=-1)
        low = np.concatenate((error, low[..., 2 * half :]), axis=-1)
    return renormalised(high, low)


def _in_parts(number: Fraction, *bits: int) -> tuple[float, ...]:
    """A number as a sum of floats: each part the rest rounded to so many bits after the point, the last to a float."""
    parts: list[float] = []
    for each in bits:
        parts.append(float(Fraction(round(number * 2**each), 2**each)))
        number -= Fraction(parts[-1])
    return (*parts, float(number))


_PER_OCTAVE = 32
# a multiple of the first two parts by |k| < 2**17 is exact
_LOG_2_PARTS = _in_parts(Fraction(Decimal(2).ln(Context(60))), 36, 72)
_ROOTS_OF_2 = [_in_parts(Fraction(Context(60).power(Decimal(2), Decimal(j) / _PER_OCTAVE)), 52) for j in range(_PER_OCTAVE)]
_ROOT_HIGH, _ROOT_LOW = (np.array(part) for part in zip(*_ROOTS_OF_2, strict=True))
_INVERSE_FACTORIALS = [_in_parts(Fraction(1, math.factorial(n)), 60) for n in range(14)]


def exp_pair(x: Array) -> Pair:
    """eˣ, to about 2⁻¹⁰³ where the result is within the range of two_product: 2^(k/32) from a table times a short series."""
    k = np.rint(np.clip(x, -1100.0, 1100.0) * (_PER_OCTAVE / LOG_2))
    first, second, third = (part / _PER_OCTAVE for part in _LOG_2_PARTS)
    high, low = two_sum(x - k * first, -(k * second))
    rest = renormalised(high, low - k * third)
    tail = np.zeros_like(high)
    for n in range(13, 6, -1):
        tail = tail * high + _INVERSE_FACTORIALS[n][0]
    series = (tail, np.zeros_like(tail))
    for inverse, error in _INVERSE_FACTORIALS[6::-1]:
        series = pair_add(pair_multiply(series, rest), (np.full_like(high, inverse), np.full_like(high, error)))
    octave, step = np.divmod(k.astype(np.int64), _PER_OCTAVE)
    high, low = pair_multiply(series, (_ROOT_HIGH[step], _ROOT_LOW[step]))
    return np.ldexp(high, octave), np.ldexp(low, octave)


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


def exp_tail(x: Array) -> Array:
    """eˣ − 1 − x, which is never below 0: its own series within ±1, where the three terms would cancel."""
    near = np.clip(x, -1.0, 1.0)
    series = np.ones_like(near)
    for n in range(20, 2, -1):
        series = 1.0 + series * near / n
    return np.where(np.abs(x) < 1.0, series * near * near / 2.0, np.expm1(x) - x)


# --- differences and ratios that a formula takes the logarithm or the square of ---------------------------------------


def recovered(values: Array, again: Callable[[], Array]) -> Array:
    """The values (none is −∞), those that are not finite replaced by `again()`: a slower form near the end of the range.

    The largest value tells in one pass that there are none, which is all that most batches pay.
    """
    if np.isfinite(values.max()):
        return values
    return np.where(np.isfinite(values), values, again())


def difference(a: Array, b: Array) -> Pair:
    """a − b as (rounded, error), exactly; the error is 0 where the difference overflows."""
    rounded, error = two_sum(a, -b)
    return rounded, np.where(np.isfinite(error), error, 0.0)


def softplus_and_sigmoid(x: Array) -> tuple[Array, Array]:
    """log(1 + eˣ) and its derivative, from one exponential."""
    t = np.exp(-np.abs(x))
    return np.maximum(x, 0.0) + np.log1p(t), np.where(x >= 0, 1.0, t) / (1.0 + t)


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


class Softmax(NamedTuple):
    """The softmax of rows (n, k), seen from one column of each: 1 − p of that column is rest / total, never a subtraction."""

    others: Array
    """e^(x − c) with 0 in the picked column; c is the same throughout a row. Belongs to the caller."""
    picked: Array
    """e^(x − c) of the picked column."""
    rest: Array
    """The sum of the others."""
    total: Array
    """The sum of all."""
    shift: Array | float
    """c."""
    surprise: Array
    """−log p of the picked column, as log1p(rest / picked): a confident row keeps its digits."""

    def probabilities(self) -> Array:
        """p of the others, in their own array: a reciprocal of each row is twice as fast as a division of each number."""
        return np.multiply(self.others, (1.0 / self.total)[:, None], out=self.others)


def softmax(x: Array, at: NDArray[np.intp]) -> Softmax:
    """The softmax of each row of x, seen from the columns whose flat indices are `at`.

    Exponentials of unshifted logits have no error but that of exp, where x − max would round each difference first. So
    the maximum is taken away only from rows whose own sum shows that something may have left the range.
    """
    others = np.exp(x)
    picked, rest, total = _pick(others, at)
    shift = 0.0
    least = total.min()
    if not ((least >= 1.0 or (least >= 1e-30 and x.min() >= -600.0)) and total.max() <= 1e300):
        shift = _needed_shift(x, total)
        if shift.any():
            others = _shifted_exp(x, shift[:, None])
            picked, rest, total = _pick(others, at)
    ratio = rest / picked
    surprise = np.log1p(ratio)
    if not ratio.max() < 1e300:  # also NaN
        surprise = np.where(ratio < 1e300, surprise, np.log(rest) + (shift - x.take(at)))
    return Softmax(others, picked, rest, total, shift, surprise)


def _pick(exponentials: Array, at: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Take the columns `at` out of the rows: their numbers, the sums of what remains, the sums of all."""
    picked = exponentials.take(at)
    exponentials.reshape(-1)[at] = 0.0
    rest = row_sums(exponentials)
    return picked, rest, rest + picked


def _needed_shift(x: Array, total: Array) -> Array:
    """The maximum of the rows whose exponentials or their quotients over- or underflow, 0 for the others."""
    usable = (total >= 1e-30) & (total <= 1e300)
    usable &= (total >= 1.0) | (row_min(x) >= -600.0)
    return np.where(usable, 0.0, row_max(x))


def _shifted_exp(x: Array, shift: Array) -> Array:
    """e^(x − shift), the rounding error of the difference included; the same bits as exp(x) where shift is 0."""
    difference, error = two_sum(x, -shift)
    exponentials = np.exp(difference)
    return np.where(exponentials > 0, exponentials + exponentials * error, 0.0)


def softmax_cross_entropy(x: Array, shares: Array) -> tuple[Array, Array]:
    """−Σ shares · log softmax(x) of each row, and its gradient to x.

    Seen from one column a: Σ shares·(xₐ − x) − Σshares · log pₐ. That is the column with most of the shares, else the
    largest logit: then nothing cancels in the value, nor in 1 − p of a column that has almost all of both.
    """
    at = _view(x, shares)
    parts = softmax(x, at)
    share, here = shares.take(at), x.take(at)[:, None]
    others = shares.copy()
    others.reshape(-1)[at] = 0.0
    remaining = row_sums(others)
    whole = remaining + share
    own = np.where(whole == 0, 0.0, whole * parts.surprise)
    # a difference of logits may overflow, if only against a share of 0
    values = recovered(row_sums(others * (here - x)) + own, lambda: 4.0 * row_sums(others * (here / 4.0 - x / 4.0)) + own)
    gradient = parts.probabilities() * whole[:, None] - shares
    gradient.reshape(-1)[at] = (remaining * parts.picked - share * parts.rest) / parts.total
    others.reshape(-1)[at] = np.minimum(share, remaining)
    return values, _resolved(gradient, others, x, shares, at)


def _view(x: Array, shares: Array) -> NDArray[np.intp]:
    """The flat index in each row of the column that has more than half of the shares, or else of the largest logit."""
    start = row_starts(x)
    most: NDArray[np.intp] = start + shares.argmax(axis=1)
    largest: NDArray[np.intp] = start + x.argmax(axis=1)
    return np.where(2.0 * shares.take(most) > row_sums(shares), most, largest)


def _resolved(gradient: Array, terms: Array, x: Array, shares: Array, at: NDArray[np.intp]) -> Array:
    """The gradient p·Σshares − shares, recomputed in pairs where its terms have cancelled, so far that few rows have to pay.

    The gradients of a row add up to 0: that of the column `at` is taken from the others, which are small where it is.
    """
    k = x.shape[1]
    cancelled = np.abs(gradient) < terms * (0.03 / k)
    rows = np.flatnonzero(cancelled.any(axis=1))
    if rows.size:
        p, wanted = pair_exp(log_softmax_pair(x[rows])), shares[rows]
        whole = pair_sum((wanted, np.zeros_like(wanted)))
        exact = pair_add(pair_multiply(p, whole), (-wanted, np.zeros_like(wanted)))
        seen = np.arange(rows.size), at[rows] - rows * k
        exact[0][seen] = exact[1][seen] = 0.0
        rest = pair_sum(exact)
        exact[0][seen], exact[1][seen] = -rest[0][:, 0], -rest[1][:, 0]
        gradient[rows] = np.where(cancelled[rows], exact[0] + exact[1], gradient[rows])
    return gradient


def log_softmax(x: Array) -> Array:
    """log of the softmax of each row: every logit's distance to the largest, and the surprise at that."""
    at: NDArray[np.intp] = row_starts(x) + x.argmax(axis=1)
    return (x - x.take(at)[:, None]) - softmax(x, at).surprise[:, None]


def log_softmax_pair(x: Array) -> Pair:
    """log of the softmax of each row, to about 2⁻¹⁰² of the largest term."""
    gap = difference(x, x.max(axis=1, keepdims=True))
    total = pair_sum(pair_exp(gap))
    return pair_add(gap, pair_negative(pair_log(total)))


def pair_negative(a: Pair) -> Pair:
    return -a[0], -a[1]


def pair_exp(a: Pair) -> Pair:
    """e^a of a pair of at most 700; 0 below −800."""
    return pair_multiply(exp_pair(np.maximum(a[0], -800.0)), renormalised(np.ones_like(a[1]), a[1]))


def pair_log(a: Pair) -> Pair:
    """log a of a pair above 0, from that of its high part."""
    return pair_add(log_pair(a[0]), (a[1] / a[0], np.zeros_like(a[1])))


def row_starts(a: Array) -> NDArray[np.intp]:
    """The flat index of the first number of each row."""
    return np.arange(0, a.size, a.shape[1], dtype=np.intp)


def row_sums(a: Array) -> Array:
    """Σ of each row (n, k) -> (n,), the same bits whatever rows are beside it.

    einsum has the least to do for each row, which is most of the work where rows are short. It takes whole rows at a time
    as long as they fit in its buffer of 8192 numbers; beyond that, a sum would depend on where a row begins.
    """
    return np.einsum("ij->i", a) if 5 < a.shape[1] < 64 else _of_rows(np.add, a)


def row_max(a: Array) -> Array:
    """The largest number of each row (n, k) -> (n,)."""
    return _of_rows(np.maximum, a)


def row_min(a: Array) -> Array:
    """The least number of each row (n, k) -> (n,)."""
    return _of_rows(np.minimum, a)


def _of_rows(combine: np.ufunc, a: Array) -> Array:
    """NumPy's own reduction of rows costs as much for 3 columns as for 30: short rows are taken column by column."""
    if a.shape[1] >= 16:
        return combine.reduce(a, axis=1)
    result = a[:, 0].copy()
    for column in range(1, a.shape[1]):
        combine(result, a[:, column], out=result)
    return result


def headroom(x: Array) -> Array | float:
    """A factor of rows (n, 1) under which no difference of their numbers overflows: 1, or 1/16 where they are huge."""
    if max(x.max(), -x.min()) < 1e300:
        return 1.0
    return np.where(np.abs(x).max(axis=1, keepdims=True) < 1e300, 1.0, 0.0625)


def lead_missing(rival: Array, leader: Array, margin: Array | float) -> Array:
    """margin + rival − leader, rounded once, so that a margin is met exactly where it is met."""
    difference, lost = two_sum(rival, -leader)
    total, error = two_sum(difference, margin)
    return total + (error + lost)
