"""Products of all rows of two arrays, as pairs: by matrix products of slices whose products add up without rounding."""

from typing import NamedTuple

import numpy as np

from app.losses.numerics.pairs import Pair, renormalised, two_sum
from app.losses.numerics.stable import Array, recovered

PAIRS_AT_ONCE = 2**15
"""Pairs of rows in a tile: what keeps the memory of a batch of n from growing as n², and a tile in the cache."""

PAIRS_KEPT = 2**18
"""Pairs of rows up to which what tiles were computed for is kept for the gradient, and not computed once more."""


def tiles(n: int, m: int) -> list[slice]:
    """Rows of n, so many at a time, that are taken beside m others."""
    step = max(1, PAIRS_AT_ONCE // m)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


class Slices(NamedTuple):
    """Rows of numbers of at most 1 as sums of three, the first two of so few bits that their products add up without rounding.

    See Ozaki, Ogita, Oishi and Rump (2012), doi:10.1007/s11075-011-9478-1.
    """

    first: Array
    second: Array
    left: Array
    right: Array
    """What is left of a·b, as one product: second·(second + third) + first·third + third·whole."""


def slices_of(rows: Array) -> Slices:
    bits = (53 - rows.shape[1].bit_length()) // 2
    anchors = 1.5 * 2.0 ** (52 - bits), 1.5 * 2.0 ** (52 - 2 * bits)
    first = (rows + anchors[0]) - anchors[0]
    rest = rows - first
    second = (rest + anchors[1]) - anchors[1]
    third = rest - second
    return Slices(first, second, np.hstack((second, first, third)), np.hstack((rest, third, rows)))


def products(one: Slices, other: Slices, rows: slice) -> Pair:
    """a·b of some rows of the one beside all of the other, but for the last few of twice their digits."""
    total, error = two_sum(one.first[rows] @ other.first.T, one.first[rows] @ other.second.T)
    high, more = two_sum(total, one.second[rows] @ other.first.T)
    return renormalised(high, error + more + one.left[rows] @ other.right.T)


def one_less_products(slices: Slices, anchors: slice, own_scale: Array, scale: Array) -> Pair:
    """1 − a·b of the anchors beside all rows: of parallel vectors of length 1, all but the last digits cancel."""
    high, low = (part * own_scale * scale for part in products(slices, slices, anchors))
    rounded, lost = two_sum(-high, 1.0)
    apart, rest = renormalised(rounded, lost - low)
    return recovered(apart, lambda: 1.0 - high), np.where(np.isfinite(rest), rest, 0.0)
