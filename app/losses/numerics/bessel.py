"""Modified Bessel functions of the orders 0 and 1, as densities on the circle need them."""

import numpy as np

from app.losses.numerics.special import special
from app.losses.numerics.stable import Array

FAR = 32.0
"""From which on the series in 1/κ has all digits."""
TERMS = 40


def bessel(concentration: Array) -> tuple[Array, Array]:
    """e^−κ·I₀(κ), and 1 − I₁(κ)/I₀(κ), of numbers of at least 0."""
    zeroth, first = special("i0e")(concentration), special("i1e")(concentration)
    x = 1.0 / np.maximum(concentration, FAR)
    whole, apart = np.ones_like(x), np.zeros_like(x)
    a, b = np.ones_like(x), np.ones_like(x)
    for k in range(TERMS):
        odd = (2.0 * k + 1.0) ** 2
        a, b = a * x * (odd / (8.0 * (k + 1.0))), b * x * ((odd - 4.0) / (8.0 * (k + 1.0)))
        whole, apart = whole + a, apart + (a - b)
    return zeroth, np.where(concentration < FAR, (zeroth - first) / zeroth, apart / whole)
