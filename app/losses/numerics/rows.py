"""Rows of scores (n, k): the softmax without a subtraction that cancels, and sums that no neighbouring row can change."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, difference, pair_add, pair_exp, pair_log, pair_negative, pair_sum, two_sum
from app.losses.numerics.stable import Array

Index: TypeAlias = NDArray[np.int64]
"""The class of each row."""
Flat: TypeAlias = NDArray[np.intp]
"""Where numbers stand in the flattened rows."""


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
        return scale_rows(self.others, 1.0 / self.total)


def softmax(x: Array, positions: NDArray[np.intp]) -> Softmax:
    """The softmax of each row of x, in C or Fortran order, seen from the columns whose places are `positions`.

    Exponentials of unshifted logits have no error but that of exp, where x − max would round each difference first. So
    the maximum is taken away only from rows whose own sum shows that something may have left the range.
    """
    others = np.exp(x)
    picked, rest, total = _pick(others, positions)
    shift = 0.0
    least = np.minimum.reduce(total)
    if not ((least >= 1.0 or (least >= 1e-30 and x.min() >= -600.0)) and total.dot(total) <= 1e300):
        shift = _needed_shift(x, total)
        if shift.any():
            others = _shifted_exp(x, shift[:, None])
            picked, rest, total = _pick(others, positions)
    ratio = rest / picked
    surprise = np.log1p(ratio)
    if not ratio.dot(ratio) < 1e300:  # also NaN
        surprise = np.where(ratio < 1e300, surprise, np.log(rest) + (shift - x.ravel("K").take(positions)))
    return Softmax(others, picked, rest, total, shift, surprise)


def _pick(exponentials: Array, positions: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Take the columns at `positions` out of the rows: their numbers, the sums of what remains, the sums of all."""
    numbers = exponentials.ravel("K")  # as they lie: a view
    picked = numbers.take(positions)
    numbers[positions] = 0.0
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


def softmax_variance(x: Array) -> Array:
    """p(1 − p) of the softmax p of each row, its derivative by the same logit: 1 − p of the largest is the sum of the others."""
    positions: NDArray[np.intp] = row_starts(x) + x.argmax(axis=1)
    parts = softmax(x, positions)
    largest = (parts.picked / parts.total) * (parts.rest / parts.total)
    p = parts.others / parts.total[:, None]
    variance = p * (1.0 - p)
    variance.reshape(-1)[positions] = largest
    return variance


def log_softmax(x: Array) -> Array:
    """log of the softmax of each row: every logit's distance to the largest, and the surprise at that."""
    positions: NDArray[np.intp] = row_starts(x) + x.argmax(axis=1)
    return (x - x.take(positions)[:, None]) - softmax(x, positions).surprise[:, None]


def log_softmax_pair(x: Array) -> Pair:
    """log of the softmax of each row, to about 2⁻¹⁰² of the largest term."""
    gap = below_largest(x)
    total = pair_sum(pair_exp(gap))
    return pair_add(gap, pair_negative(pair_log(total)))


def below_largest(x: Array) -> Pair:
    """x − max x of each row; a difference may overflow, but whatever is so far below has no share in a sum of exponentials."""
    high, low = difference(x, x.max(axis=1, keepdims=True))
    return np.maximum(high, -1e300), low


def scale_rows(a: Array, factors: Array) -> Array:
    """a · factors[:, None] in place. Broadcasting starts a loop for each row: where rows are short, that costs more than they."""
    n, k = a.shape
    if k > 24 or a.size < 4096 or not a.flags.c_contiguous:
        return np.multiply(a, factors[:, None], out=a)
    if k > 4:
        return np.multiply(a, np.repeat(factors, k).reshape(n, k), out=a)
    for column in a.T:
        column *= factors
    return a


def row_starts(a: Array) -> NDArray[np.intp]:
    """The flat index of the first number of each row."""
    return np.arange(0, a.size, a.shape[1], dtype=np.intp)


def by_rows(a: Array) -> Array:
    """The same rows in C order."""
    return a if a.flags.c_contiguous else a.copy()


def flat_index(columns: Index, k: int) -> Flat:
    """Where the number of each row in these columns stands in the flattened rows of length k."""
    return np.arange(0, columns.size * k, k, dtype=np.intp) + columns


def scattered(numbers: Array, positions: Flat, like: Array) -> Array:
    """Rows with these numbers at their flat indices and 0 elsewhere."""
    rows = np.zeros_like(like)
    rows.reshape(-1)[positions] = numbers
    return rows


def places(columns: NDArray[np.int64], a: Array) -> NDArray[np.intp]:
    """Where the number of each row in these columns (n,) stands among the numbers as they lie, `a.ravel("K")`."""
    n, k = a.shape
    if a.flags.c_contiguous:
        return np.arange(0, n * k, k, dtype=np.intp) + columns
    return np.arange(n, dtype=np.intp) + columns * n


def row_sums(a: Array) -> Array:
    """Σ of each row (n, k) -> (n,), the same bits whatever rows are beside it and in whichever order they lie.

    einsum has the least to do for each row, which is most of the work where rows are short. It takes whole rows at a time
    as long as they fit in its buffer of 8192 numbers; beyond that, a sum would depend on where a row begins.
    """
    if a.shape[1] < 6:
        return _of_rows(np.add, a)
    a = by_rows(a)
    return np.einsum("ij->i", a) if a.shape[1] < 64 else _of_rows(np.add, a)


def through_sums(slopes: Array, shares: Array, sums: Array) -> Array:
    """The derivative to rows x (n, k) of what depends on their shares q = x/S, from that to the shares: (gᵢ − Σ g·q)/S.

    All are taken less that of the largest share, which leaves it alone as it is and keeps the digits of the others' sum.
    Where a share of 0 makes the loss infinite, nothing else moves it.
    """
    most = shares.argmax(axis=1)[:, None]
    apart = slopes - np.take_along_axis(slopes, most, axis=1)
    pulls = np.where(np.isfinite(apart), apart, 0.0) * shares
    return (apart - row_sums(pulls)[:, None]) / sums[:, None]


def bends_through_sums(bends: Array, slopes: Array, shares: Array, sums: Array) -> Array:
    """The second derivative to each of the x, from that to each share and the first derivative to x.

    (Hᵢ(1 − qᵢ)² + Σⱼ≠ᵢ Hⱼqⱼ²)/S² − 2·slopeᵢ/S: of losses whose shares each add something of their own.
    """
    added = np.where(np.isfinite(bends), bends, 0.0) * shares * shares
    bent = bends * (1.0 - 2.0 * shares) + row_sums(added)[:, None]
    return (bent / sums[:, None] - 2.0 * slopes) / sums[:, None]


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
    if a.shape[1] == 1:
        return a[:, 0].copy()
    result = combine(a[:, 0], a[:, 1])
    for column in range(2, a.shape[1]):
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
