"""Long arrays, looked at a piece at a time: what is made of a piece stays in the cache, and takes no memory that counts."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from app.losses.numerics.stable import Array

PIECE = 1 << 15


def pieces(n: int) -> Iterator[slice]:
    """Neighbouring rows, n in all."""
    return (slice(start, min(start + PIECE, n)) for start in range(0, n, PIECE))


class Powers(NamedTuple):
    """Sums of the powers of numbers over the largest of their magnitudes, so that none overflows or vanishes."""

    largest: float
    square: float
    cube: float


def powers(numbers: Array, centre: float = 0.0) -> Powers:
    """Of numbers less their centre."""
    with np.errstate(all="ignore"):
        low, high = float(numbers.min()), float(numbers.max())
        largest = max(abs(low - centre), abs(high - centre))
        if largest == 0 or not math.isfinite(largest):
            return Powers(largest, 0.0, 0.0)
        squares, cubes = [0.0], [0.0]
        for piece in pieces(numbers.size):
            apart = numbers[piece] - centre
            apart /= largest
            square = np.square(apart)
            squares.append(float(square.sum()))
            cubes.append(float(np.multiply(square, apart, out=square).sum()))
    return Powers(largest, math.fsum(squares), math.fsum(cubes))
