"""The logarithm of the gamma function and its two derivatives, with about 30 digits: in likelihoods their differences cancel.

Of a number below 16 they follow from that of one which is 16 above it, by the steps between, the first with the last and so on: a
pair of them is a number beside x·(x + 15). There, from Stirling's series.
"""

from fractions import Fraction
from functools import reduce
from operator import add, mul

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.wide import Wide, log, where, wide

FROM = 16
"""Numbers from which on the series has all digits."""
LARGE = 6
"""Terms of the series of which more than the digits of a float count there."""
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
    """c₁ + c₂/x² + c₃/x⁴ + ... of 1/x."""
    square = inverse * inverse
    small = np.zeros_like(square.high)
    for coefficient in reversed(coefficients[LARGE:]):
        small = coefficient.high + small * square.high
    total = wide(small)
    for coefficient in reversed(coefficients[:LARGE]):
        total = coefficient + total * square
    return total


def _raised(x: Wide) -> tuple[Wide, NDArray[np.bool_], Wide, list[Wide]]:
    """Numbers from which on the series has all digits, which of them are 16 above x, and of these 2x + 15 and the products
    x·(x + 15), (x + 1)·(x + 14), ..., (x + 7)·(x + 8)."""
    below = x.high < FROM
    near = where(below, x, 1.0)
    outer = near * (near + (FROM - 1.0))
    products = [outer + float(step * (FROM - 1 - step)) for step in range(FROM // 2)]
    return where(below, x + float(FROM), x), below, near * 2.0 + (FROM - 1.0), products


def log_gamma(x: Wide) -> Wide:
    """ln Γ(x) of numbers above 0."""
    x, below, _, products = _raised(x)
    return _log_gamma(x, log(x), 1.0 / x, below, products)


def log_gamma_and_digamma(x: Wide) -> tuple[Wide, Wide]:
    """The same and its derivative, which take two thirds of the time together."""
    x, below, ends, products = _raised(x)
    logarithm, inverse = log(x), 1.0 / x
    sums, product = products[0] + products[1], products[0] * products[1]
    for factor in products[2:]:
        sums, product = sums * factor + product, product * factor
    far = logarithm - inverse * 0.5 - _series(_OF_DIGAMMA, inverse) * inverse * inverse
    return _log_gamma(x, logarithm, inverse, below, products), far - where(below, ends * sums / product, 0.0)


def _log_gamma(x: Wide, logarithm: Wide, inverse: Wide, below: NDArray[np.bool_], products: list[Wide]) -> Wide:
    far = (x - 0.5) * logarithm - x + HALF_LOG_2_PI + _series(_OF_LOG_GAMMA, inverse) * inverse
    return far - where(below, log(reduce(mul, products)), 0.0)


def trigamma(x: Wide) -> Wide:
    """The second derivative."""
    x, below, ends, products = _raised(x)
    square, inverses = ends * ends, [1.0 / product for product in products]
    near = reduce(add, [inverse * (square * inverse - 2.0) for inverse in inverses])
    inverse = 1.0 / x
    far = inverse * (1.0 + inverse * (0.5 + inverse * _series(_OF_TRIGAMMA, inverse)))
    return far + where(below, near, 0.0)
