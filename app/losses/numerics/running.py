"""Sums of exponentials that grow along an array, each with a shift of its own: nothing in them overflows or is lost."""

from typing import NamedTuple

import numpy as np

from app.losses.numerics.pairs import Pair, difference, two_sum
from app.losses.numerics.stable import Array

REACH = 600.0
"""How far an exponent may be above the shift of its sum."""


class Running(NamedTuple):
    """Σ f·e^x of the first so many, as `sums`·e^`shifts`."""

    sums: Array
    shifts: Array
    """The largest exponent so far, or one that is not more than REACH below it."""


def exp_of(x: Pair) -> Array:
    """e^x of an unrounded x, rounded; whatever x was rounded from counts, however large it is."""
    powers = np.exp(x[0])
    return np.where((powers > 0) & np.isfinite(powers) & np.isfinite(x[1]), powers + powers * x[1], powers)


def gap(a: Pair, b: Pair) -> Pair:
    """a − b, unrounded; where it overflows, it is infinite."""
    high, low = difference(a[0], b[0])
    total = high + (low + (a[1] - b[1]))
    return total, np.where(np.isfinite(total), (low + (a[1] - b[1])) - (total - high), 0.0)


def shifted_exp(x: Array, shift: Array | float) -> Array:
    """e^(x − shift), the rounding error of the difference included."""
    return exp_of(two_sum(x, -np.asarray(shift)))


def running_exponentials(exponents: Array, factors: Array | float = 1.0) -> Running:
    """The sums of factors · e^exponents up to each number of an array (n,); the factors are not negative."""
    highest: Array = np.maximum.accumulate(exponents)
    factors = np.broadcast_to(np.asarray(factors, np.float64), exponents.shape)
    sums, shifts = np.empty_like(exponents), np.empty_like(exponents)
    start, carry = 0, 0.0
    while start < exponents.size:
        shift = float(highest[start])
        end = int(np.searchsorted(highest, shift + REACH, side="right"))
        carry = carry * float(np.exp(shifts[start - 1] - shift)) if start else 0.0
        terms = factors[start:end] * shifted_exp(exponents[start:end], shift)
        terms[0] += carry
        sums[start:end], shifts[start:end] = _running_sums(terms), shift
        start, carry = end, float(sums[end - 1])
    return Running(sums, shifts)


def _running_sums(terms: Array) -> Array:
    """The sums up to each number, with what was rounded off on the way."""
    totals = np.cumsum(terms)
    before = np.concatenate((np.zeros(1), totals[:-1]))
    return totals + np.cumsum(two_sum(before, terms)[1])
