"""Sums that are kept exactly, as whole multiples of one tiny unit: they add up in any order, and are rounded when asked for."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from app.losses.numerics.stable import CHUNK, Array, exact_terms, largest

UNIT = 3300
"""Sums are multiples of 2 to the power of −UNIT, as all doubles are, and all products of two that are scaled before."""
SPLITTER = 2.0**27 + 1.0
WIDE = 64
"""Bits beyond those of a double that a root is rounded from."""


@dataclass(frozen=True)
class Exact:
    """A sum of doubles, to all of its digits."""

    units: int = 0
    beyond: float = 0.0
    """The sum of those that were infinite or undefined; 0 where none was."""

    def __add__(self, other: "Exact") -> "Exact":
        return Exact(self.units + other.units, self.beyond + other.beyond)

    def rounded(self, exponent: int = 0) -> float:
        """The sum times 2 to the power of `exponent`, rounded once."""
        if self.beyond != 0:
            return self.beyond
        try:
            return self.units / (1 << UNIT - exponent)
        except OverflowError:
            return math.inf if self.units > 0 else -math.inf

    @property
    def exponent(self) -> int:
        """The power of two just above it; 0 of nothing."""
        return abs(self.units).bit_length() - UNIT if self.units else 0

    @property
    def fraction(self) -> Fraction:
        return Fraction(self.units, 1 << UNIT)

    def __str__(self) -> str:
        return f"{self.units:x} {self.beyond!r}"

    @classmethod
    def read(cls, text: str) -> Self:
        units, beyond = text.split()
        return cls(int(units, 16), float(beyond))


def whole(number: int) -> Exact:
    """A sum that is this number."""
    return Exact(number << UNIT)


def exactly(x: Array, exponent: int = 0) -> Exact:
    """Σx · 2 to the power of `exponent`."""
    finite = np.isfinite(x)
    beyond = 0.0
    if not finite.all():
        beyond, x = float(np.sum(x[~finite])), x[finite]
    terms = (term for start in range(0, x.size, CHUNK) for term in exact_terms(x[start : start + CHUNK]))
    return Exact(sum(_units(term, exponent) for term in terms), beyond)


def products(x: Array, y: Array, exponent: int = 0) -> Exact:
    """Σxy · 2 to the power of `exponent`, to all digits of each product; undefined where a number is not finite.

    What a product loses in rounding is found by Dekker's multiplication (1971, doi:10.1007/BF01397083).
    """
    if not x.size:
        return Exact()
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Exact(0, math.nan)
    scales = [min(max(math.frexp(largest(factor))[1], -1000), 1000) for factor in (x, y)]
    exponent += sum(scales)
    total = Exact()
    for start in range(0, x.size, CHUNK):
        a, a_high, a_low = _halves(x[start : start + CHUNK], 2.0 ** -scales[0])
        b, b_high, b_low = (a, a_high, a_low) if x is y else _halves(y[start : start + CHUNK], 2.0 ** -scales[1])
        product = a * b
        lost = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
        total += exactly(product, exponent) + exactly(lost, exponent)
    return total


def root(square: Fraction) -> float:
    """Its square root, rounded once."""
    bits = max(0, WIDE - (square.numerator.bit_length() - square.denominator.bit_length()) // 2)
    whole_part, rest = divmod(square.numerator << 2 * bits, square.denominator)
    found = math.isqrt(whole_part)
    more = found * found != whole_part or rest != 0  # what is cut off decides between two doubles at most
    try:
        return (2 * found + more) / (2 << bits)
    except OverflowError:
        return math.inf


def _halves(x: Array, scale: float) -> tuple[Array, Array, Array]:
    """Numbers times a power of two, and two of half the digits each with that sum (Veltkamp)."""
    scaled = x * scale
    far = SPLITTER * scaled
    high = far - (far - scaled)
    return scaled, high, scaled - high


def _units(number: float, exponent: int) -> int:
    fraction, power = math.frexp(number)
    return int(fraction * 2.0**53) << UNIT + power - 53 + exponent
