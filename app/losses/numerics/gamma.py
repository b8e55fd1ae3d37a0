"""The logarithm of the gamma function and its two derivatives, with about 30 digits: in likelihoods their differences cancel.

Of a number below 16 they follow from that of one which is so many steps above it; there, from Stirling's series.
"""

from fractions import Fraction

import numpy as np

from app.losses.numerics.wide import Wide, log, where, wide

FROM = 16
"""Numbers from which on the series has all digits."""
HALF_LOG_2_PI = Wide(np.full(1, 0.9189385332046728), np.full(1, -3.8782941580672414e-17))


def _wide(number: Fraction) -> Wide:
    high = float(number)
    return Wide(np.full(1, high), np.full(1, float(number - Fraction(high))))


_BERNOULLI = """1/6 -1/30 1/42 -1/30 5/66 -691/2730 7/6 -3617/510 43867/798 -174611/330 854513/138 -236364091/2730 8553103/6
-23749461029/870 8615841276005/14322 -7709321041217/510 2577687858367/6 -26315271553053477373/1919190"""
_B = [Fraction(number) for number in _BERNOULLI.split()]
_OF_LOG_GAMMA = [_wide(b / (2 * n * (2 * n - 1))) for n, b in enumerate(_B, 1)]
_OF_DIGAMMA = [_wide(b / (2 * n)) for n, b in enumerate(_B, 1)]
_OF_TRIGAMMA = [_wide(b) for b in _B]


def _series(coefficients: list[Wide], inverse: Wide) -> Wide:
    """c₁ + c₂/x² + c₃/x⁴ + ... of 1/x; all but the first few have digits to spare."""
    square = inverse * inverse
    total = wide(0.0 * inverse.high)
    for coefficient in reversed(coefficients):
        total = coefficient + total * square
    return total


def log_gamma(x: Wide) -> Wide:
    """ln Γ(x) of numbers above 0."""
    product = wide(np.ones_like(x.high))
    for _ in range(FROM):
        below = x.high < FROM
        product = where(below, product * x, product)
        x = where(below, x + 1.0, x)
    inverse = 1.0 / x
    return (x - 0.5) * log(x) - x + HALF_LOG_2_PI + _series(_OF_LOG_GAMMA, inverse) * inverse - log(product)


def digamma(x: Wide) -> Wide:
    """The derivative of that."""
    total = wide(np.zeros_like(x.high))
    for _ in range(FROM):
        below = x.high < FROM
        total = where(below, total - 1.0 / x, total)
        x = where(below, x + 1.0, x)
    inverse = 1.0 / x
    return total + log(x) - inverse * 0.5 - _series(_OF_DIGAMMA, inverse) * inverse * inverse


def trigamma(x: Wide) -> Wide:
    """The derivative of that."""
    total = wide(np.zeros_like(x.high))
    for _ in range(FROM):
        below = x.high < FROM
        total = where(below, total + 1.0 / (x * x), total)
        x = where(below, x + 1.0, x)
    inverse = 1.0 / x
    return total + inverse * (1.0 + inverse * (0.5 + inverse * _series(_OF_TRIGAMMA, inverse)))
