"""Cosines and sines of angles that parameters say, in twice the digits of a float, and of multiples of an angle by its cosine."""

from fractions import Fraction
from functools import cache

import numpy as np

from app.losses.numerics.pairs import Pair, pair, pair_add, pair_multiply, pair_negative, pair_sqrt, two_sum
from app.losses.numerics.stable import Array

TERMS = 40
"""Terms of a series: of an angle of up to π, the next one is below 10⁻⁶⁰."""


def _arctan_of_inverse(n: int) -> Fraction:
    """arctan(1/n) in 220 bits."""
    unit = 1 << 220
    total, term, k = 0, unit // n, 1
    while term:
        total += term // k if k % 4 == 1 else -(term // k)
        term, k = term // (n * n), k + 2
    return Fraction(total, unit)


PI = 16 * _arctan_of_inverse(5) - 4 * _arctan_of_inverse(239)
"""In 200 bits, by Machin's formula."""


def _as_pair(number: Fraction) -> Pair:
    high = float(number)
    return np.full(1, high), np.full(1, float(number - Fraction(high)))


@cache
def cosine_and_sine(angle: Fraction) -> tuple[Pair, Pair]:
    """Those of an angle of up to π, by their series."""
    terms = [Fraction(1)]
    for n in range(1, TERMS):
        terms.append(Fraction(round(terms[-1] * angle / n * 2**240), 2**240))
    cosine, sine = (
        sum((term * sign for term, sign in zip(terms[index::2], (1, -1) * TERMS, strict=False)), Fraction(0)) for index in (0, 1)
    )
    return _as_pair(cosine), _as_pair(sine)


def of_degrees(degrees: float) -> Fraction:
    """Degrees as an angle."""
    return Fraction(degrees) * PI / 180


def sine_of(cosine: Array) -> Pair:
    """√(1 − c²), at least 0: of c near 1 too."""
    return pair_sqrt(pair_multiply(two_sum(np.ones_like(cosine), -cosine), two_sum(np.ones_like(cosine), cosine)))


def multiple(cosine: Array, m: int) -> tuple[Pair, Pair]:
    """cos(mθ) and its derivative to cos θ, m·sin(mθ)/sin θ, from cos θ: by the recurrences of Chebyshev's polynomials."""
    twice = (2.0 * cosine, np.zeros_like(cosine))
    before, here = pair(np.ones_like(cosine)), pair(cosine)
    slope_before, slope = pair(np.zeros_like(cosine)), pair(np.ones_like(cosine))
    for _ in range(m - 1):
        before, here = here, pair_add(pair_multiply(twice, here), pair_negative(before))
        slope_before, slope = slope, pair_add(pair_multiply(twice, slope), pair_negative(slope_before))
    return here, pair_multiply(slope, (np.full(1, float(m)), np.zeros(1)))
