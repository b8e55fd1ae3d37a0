"""Cosines and norms of the rows of arrays, in double-double: of nearly parallel or equally distant vectors they cancel.

A distance has no gradient where it is 0, nor a cosine at a zero vector: both count as 0 there.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from app.losses.numerics.pairs import (
    Pair,
    constant,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
    pair_sqrt,
    pair_sum,
    renormalised,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import Array, power_of_two

ROUNDING = 2.0**-100
"""What is smaller than this share of the terms it is the difference of is their rounding, in double-double: it counts as 0."""


@dataclass(frozen=True)
class Cosine:
    """The cosine between the rows of two arrays, and all that follows from it. A zero vector has the cosine 0."""

    a: Array
    b: Array
    a_scale: Array
    b_scale: Array
    """(n, 1): the powers of two by which a and b have been divided, so that their squares stay within range."""
    aa: Pair
    bb: Pair
    ab: Pair
    """(n, 1): a·a, b·b and a·b."""

    @cached_property
    def norms(self) -> Pair:
        """‖a‖‖b‖, 1 for a zero vector."""
        high, low = pair_sqrt(pair_multiply(self.aa, self.bb))
        return np.where(high > 0, high, 1.0), low

    @cached_property
    def value(self) -> Pair:
        high, low = pair_divide(self.ab, self.norms)
        return high[:, 0], low[:, 0]

    @cached_property
    def tangent(self) -> Array:
        """b‖a‖² − a(a·b): where the vectors are nearly parallel, only these digits of the cosine's gradient are left."""
        along = pair_multiply(pair(self.b), self.aa)
        across = pair_add(along, pair_negative(pair_multiply(pair(self.a), self.ab)))[0]
        lost = np.abs(across) < 2.0**-48 * np.abs(along[0])  # what pairs leave of it is less than a float
        rows = np.flatnonzero(lost.any(axis=1))
        if rows.size:
            across[rows] = np.where(lost[rows], tangent_beside_largest(self.a[rows], self.b[rows]), across[rows])
        return across

    @property
    def gradient(self) -> Array:
        """d cos / d a = tangent / (‖a‖³‖b‖)."""
        return self.tangent / pair_multiply(nonzero(self.aa), self.norms)[0] / self.a_scale

    @property
    def complement(self) -> Array:
        """1 − cos, from the length of the tangent (the sine) where it would cancel."""
        apart = pair_add(pair_negative(self.value), constant(1.0))[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            whole = pair_multiply(pair_multiply(self.aa, self.norms), pair_add(self.norms, self.ab))[0][:, 0]
            sine = (self.tangent * self.tangent).sum(axis=1) / whole
        return np.where(self.value[0] > 0.5, sine, apart)

    @property
    def swapped(self) -> "Cosine":
        return replace(self, a=self.b, b=self.a, a_scale=self.b_scale, b_scale=self.a_scale, aa=self.bb, bb=self.aa)


def tangent_beside_largest(a: Array, b: Array) -> Array:
    """b‖a‖² − a(a·b) without what the largest component of a adds to both terms alike, where it is all that was left of them.

    With that component m it is aₘ(bᵢaₘ − aᵢbₘ) + bᵢ·Σa² − aᵢ·Σab, the sums without m; what cancels here again counts as 0.
    """
    m = np.arange(len(a)), np.abs(a).argmax(axis=1)
    a_m, b_m = a[m][:, None], b[m][:, None]
    others_a, others_b = a.copy(), b.copy()
    others_a[m] = others_b[m] = 0.0
    aa, ab = (pair_sum(two_product(others_a, x)) for x in (others_a, others_b))
    turned = pair_multiply(pair_add(two_product(b, a_m), pair_negative(two_product(a, b_m))), pair(a_m))
    along = pair_multiply(pair(b), aa)
    rest = pair_add(along, pair_negative(pair_multiply(pair(a), ab)))
    across = pair_add(turned, rest)[0]
    return np.where(np.abs(across) < ROUNDING * np.maximum(np.abs(turned[0]), np.abs(along[0])), 0.0, across)


def cosine_of(first: Array, second: Array) -> Cosine:
    a_scale, b_scale = (power_of_two(np.abs(item).max(axis=1))[:, None] for item in (first, second))
    a, b = first / a_scale, second / b_scale
    aa, bb, ab = (pair_sum(two_product(x, y)) for x, y in ((a, a), (b, b), (a, b)))
    return Cosine(a, b, a_scale, b_scale, aa, bb, ab)


class Length(NamedTuple):
    """‖x‖ₚ of the rows of an array of pairs."""

    vector: Pair
    value: Pair
    """(n, 1)."""
    slope: Pair
    """Its derivative to x, which is 0 at 0."""


def length_of(x: Pair, p: float) -> Length:
    if p == 1.0:
        sign = np.sign(x[0])
        return Length(x, pair_sum(scaled_exactly(x, sign)), pair(sign))
    size = np.abs(x[0]).max(axis=1, keepdims=True)
    if p == 2.0:
        scale = power_of_two(size)
        scaled = scaled_exactly(x, 1.0 / scale)
        norm = pair_sqrt(pair_sum(pair_multiply(scaled, scaled)))
        return Length(x, scaled_exactly(norm, scale), pair_divide(scaled, nonzero(norm)))
    share = pair_divide(scaled_exactly(x, np.sign(x[0])), pair(np.where(size > 0, size, 1.0)))
    some = share[0] > 1e-290
    share = np.where(some, share[0], 1.0), np.where(some, share[1], 0.0)
    log = pair_log(share)
    powers = scaled_exactly(pair_exp(pair_multiply(log, constant(p))), some.astype(np.float64))
    total = nonzero(pair_sum(powers))
    log_norm = pair_divide(pair_log(total), constant(p))
    norm = pair_exp(log_norm)
    slope = pair_divide(powers, pair_multiply(share, pair_divide(total, norm)))
    small = some & (powers[0] < 1e-250)
    if small.any():  # a power below the range, of which the one before need not be
        below = pair_add(log, pair_negative(log_norm))
        slope[0][small], slope[1][small] = pair_exp(pair_multiply((below[0][small], below[1][small]), constant(p - 1.0)))
    return Length(x, pair_multiply(norm, pair(size)), scaled_exactly(slope, np.sign(x[0])))


def lead_of(x: Length, y: Length, apart: Pair, p: float) -> Pair:
    """‖x‖ − ‖y‖ from x − y, which may be exact where the two lengths differ by less than their own rounding.

    ‖x‖² − ‖y‖² is Σ (x − y)(x + y); city blocks are compared side by side.
    """
    if p == 1.0:
        sign, other = np.sign(x.vector[0]), np.sign(y.vector[0])
        beside = pair_add(scaled_exactly(x.vector, sign), scaled_exactly(y.vector, -other))
        return pair_sum(
            (np.where(sign == other, sign * apart[0], beside[0]), np.where(sign == other, sign * apart[1], beside[1]))
        )
    if p == 2.0:
        both = pair_add(x.value, y.value)
        unit = 1.0 / power_of_two(both[0])
        product = pair_multiply(apart, scaled_exactly(pair_add(x.vector, y.vector), unit))
        return pair_divide(pair_sum(product), nonzero(scaled_exactly(both, unit)))
    return pair_add(x.value, pair_negative(y.value))


def turn_of(x: Length, y: Length, apart: Pair, lead: Pair, p: float) -> Array:
    """x/‖x‖ − y/‖y‖, the slope of the lead where both are moved at once: (x − y − y·lead/‖y‖) / ‖x‖."""
    if p != 2.0:
        return pair_add(x.slope, pair_negative(y.slope))[0]
    turn = pair_divide(pair_add(apart, pair_negative(pair_multiply(y.slope, lead))), nonzero(x.value))[0]
    return np.where(x.value[0] > 0, turn, -y.slope[0])


def nonzero(x: Pair) -> Pair:
    """A pair to divide by: 1 for 0."""
    return np.where(x[0] > 0, x[0], 1.0), x[1]


def shifted_difference(a: Array, b: Array, shift: Array) -> Pair:
    """a − b + shift, before any rounding."""
    high, low = two_sum(a, -b)
    total, error = two_sum(high, shift)
    return renormalised(total, error + low)


def scaled_exactly(x: Pair, factor: Array) -> Pair:
    """A pair times powers of two, 0 or ±1: exact."""
    return x[0] * factor, x[1] * factor
